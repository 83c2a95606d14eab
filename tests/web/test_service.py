"""Whole calls: a carrier, the service and a model, all over real sockets."""

import asyncio
from base64 import b64encode
from collections import Counter

import pytest
from driver import recorded
from service_driver import (
    GOODBYE,
    LONG_ANSWER,
    PROFILE,
    SHORT_ANSWER,
    SPEECH,
    Service,
    StartService,
    Witness,
    scripted_model,
    until,
)
from tool_driver import check_replay
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus

from phonebot.agents.profile import Profile
from phonebot.call.actions import BargeIn, Cut, FalseAlarm, Held, Line, PlayAudio, Tell
from phonebot.call.inputs import ModelReady
from phonebot.call.plan import CarrierTraits
from phonebot.carrier.messages import Start
from phonebot.realtime.events import (
    AudioCommitted,
    AudioDelta,
    CommitAudio,
    SpeechStarted,
    SpeechStopped,
)
from phonebot.simulator.caller import HangUp, Interrupt, Pause, Press, Say, WaitForBot, WaitForHangUp, WaitForQuiet
from phonebot.simulator.outputs import Faults
from phonebot.simulator.record import CallRecord
from phonebot.web.spent import APOLOGY

FRAME_MS = 20

# Is greeted, asks, interrupts the answer, hears the next one out, hangs up.
CONVERSATION = (
    WaitForQuiet(300),
    Say(SPEECH, "a question"),
    Interrupt(400, SPEECH, "an interruption"),
    WaitForQuiet(300),
    HangUp(),
)


def played_ms(witness: Witness, record: CallRecord) -> dict[str, int]:
    """How much of each item the carrier played: the carrier's word, whose pieces are the messages it was sent."""
    sent: list[str] = []
    speaking = ""
    for each in witness.history:
        if isinstance(each, AudioDelta):
            speaking = each.item_id
        elif isinstance(each, PlayAudio):
            sent.append(speaking)
    (stream,) = record.streams
    heard_bytes: Counter[str] = Counter()
    for item_id, piece in zip(sent, stream.carrier.pieces, strict=True):
        heard_bytes[item_id] += piece.heard_bytes
    return {item_id: size // 8 for item_id, size in heard_bytes.items()}


def check_conversation(witness: Witness, record: CallRecord) -> None:
    """The conversation went as it should, and the model knows exactly what the caller heard of it."""
    assert (record.passed, record.outcome) == (True, "caller hung up"), record
    assert len(witness.saw(BargeIn)) == 1
    (cut,) = witness.saw(Cut)
    heard_ms = played_ms(witness, record)[cut.item_id]
    assert abs(cut.heard_ms - heard_ms) <= FRAME_MS
    assert witness.session is not None
    item = witness.session.conversation.get(cut.item_id)
    assert item is not None
    assert item.audio_part is not None
    assert item.audio_part.truncated
    assert abs(item.audio_part.audio_ms - heard_ms) <= FRAME_MS
    greeting, question, answer, interruption, last = witness.session.lines
    assert (greeting.text, question.text, interruption.text, last.text) == (
        "Hi",
        "something",
        "something",
        SHORT_ANSWER,
    )
    assert LONG_ANSWER.startswith(answer.text)
    assert 0 < len(answer.text) < len(LONG_ANSWER)
    assert witness.troubles == []


@pytest.mark.parametrize("dialect", ["ga", "beta"])
async def test_a_caller_is_greeted_answered_and_may_interrupt_in_either_dialect(
    start_service: StartService, dialect: str
) -> None:
    service = await start_service(PHONEBOT_MODEL_DIALECT=dialect)
    record = await service.dial(*CONVERSATION)
    (witness,) = service.witnesses
    check_conversation(witness, record)
    assert witness.session is not None
    assert witness.session.dialect == dialect
    await service.idle()
    await service.stop()
    check_replay(service.log())


async def test_a_call_is_planned_with_the_carriers_traits_as_set(start_service: StartService) -> None:
    service = await start_service(
        PHONEBOT_CARRIER_START_BUFFER_MS="120",
        PHONEBOT_CARRIER_MARK_LAG_MS="40",
        PHONEBOT_CARRIER_MARK_SPREAD_MS="10",
    )
    await service.dial(Pause(100))
    await service.stop()
    assert service.log().plan.carrier == CarrierTraits(120, 40, 10)


async def test_a_model_that_stays_with_pcm_is_transcoded_both_ways(start_service: StartService) -> None:
    service = await start_service(faults=Faults(keep_pcm=True))
    record = await service.dial(*CONVERSATION)
    (witness,) = service.witnesses
    (ready,) = witness.saw(ModelReady)
    assert (ready.input_format, ready.output_format) == ("pcm24k", "pcm24k")
    check_conversation(witness, record)
    await service.stop()
    check_replay(service.log())


RECORDED = PROFILE.model_copy(update={"greeting": "Hello, this is the front desk, how can I help?"})
RECORDED = RECORDED.with_greeting_clip(b64encode(b"\x50" * 8 * 2_000).decode())


@pytest.mark.parametrize("dialect", ["ga", "beta"])
async def test_a_recorded_greeting_that_is_interrupted_is_the_models_as_far_as_it_was_heard(
    start_service: StartService, dialect: str
) -> None:
    service = await start_service(profile=RECORDED, PHONEBOT_MODEL_DIALECT=dialect)
    record = await service.dial(Interrupt(1_000, SPEECH, "an interruption"), WaitForQuiet(300), HangUp())
    (witness,) = service.witnesses
    assert (record.passed, record.outcome) == (True, "caller hung up"), record
    greeting_ms = played_ms(witness, record)[""]
    first = witness.saw(Cut)[0]
    assert (first.item_id, first.settled) == ("greeting", "fence")
    assert abs(first.heard_ms - greeting_ms) <= FRAME_MS
    assert 1_000 <= greeting_ms < 2_000
    assert witness.session is not None
    heard = next(line.text for line in witness.saw(Line) if line.item_id == "greeting")
    assert [line.text for line in witness.session.lines][:2] == [heard, "something"]
    assert heard
    assert RECORDED.greeting is not None
    assert RECORDED.greeting.startswith(heard)
    assert heard != RECORDED.greeting
    assert witness.troubles == []
    await service.stop()
    check_replay(service.log())


async def test_a_recorded_greeting_is_heard_though_the_model_never_comes(start_service: StartService) -> None:
    over = asyncio.Event()

    async def silent(socket: ServerConnection) -> None:
        await over.wait()

    async with scripted_model(silent) as model_url:
        service = await start_service(profile=RECORDED, model_url=model_url)
        record = await service.dial(WaitForQuiet(500), HangUp())
        over.set()
        (witness,) = service.witnesses
        assert played_ms(witness, record)[""] == 2_000
        assert [(line.text, line.cut) for line in witness.saw(Line)] == [(RECORDED.greeting, False)]
        await service.stop()


PHRASE = recorded("demo/hours")


@pytest.mark.parametrize("keep_pcm", [False, True])
async def test_a_model_that_finds_no_turns_answers_those_we_find(
    start_service: StartService, keep_pcm: bool
) -> None:
    profile = Profile.from_table({"greeting": "Hi", "turn_detection": {"type": "local"}}, "test")
    service = await start_service(profile=profile, faults=Faults(keep_pcm=keep_pcm))
    record = await service.dial(
        WaitForQuiet(300),
        Say(PHRASE, "a question"),
        Interrupt(400, PHRASE, "an interruption"),
        WaitForQuiet(300),
        HangUp(),
    )
    (witness,) = service.witnesses
    check_conversation(witness, record)
    assert witness.saw(SpeechStarted) == []
    assert witness.saw(SpeechStopped) == []
    told = [action.command for action in witness.saw(Tell)]
    assert told.count(CommitAudio()) == len(witness.saw(AudioCommitted)) == 2
    assert witness.session is not None
    assert witness.session.config.turn_detection is None
    await service.stop()
    check_replay(service.log())


async def test_a_caller_may_end_his_turns_and_stop_the_bot_by_key(start_service: StartService) -> None:
    profile = Profile.from_table({"greeting": "Hi", "turn_detection": {"type": "none"}}, "test")
    service = await start_service(profile=profile)
    record = await service.dial(
        WaitForQuiet(300),
        Say(PHRASE, "a question"),
        Press("#"),
        WaitForBot(),
        Pause(600),
        Press("1"),
        Say(PHRASE, "an interruption"),
        Press("#"),
        WaitForQuiet(300),
        HangUp(),
    )
    (witness,) = service.witnesses
    check_conversation(witness, record)
    assert witness.saw(SpeechStarted) == []
    assert len(witness.saw(AudioCommitted)) == 2
    await service.stop()
    check_replay(service.log())


@pytest.mark.parametrize("keep_pcm", [False, True])
async def test_a_caller_who_says_nothing_hears_all_of_the_answer(
    start_service: StartService, keep_pcm: bool
) -> None:
    """The embedded model writes "something" for whatever it hears: here that word does not interrupt."""
    table = PROFILE.model_dump(exclude_none=True) | {
        "barge_in": {"hold_ms": 3000, "backchannels": ["something"], "min_speech_ms": 100}
    }
    service = await start_service(profile=Profile.from_table(table, "test"), faults=Faults(keep_pcm=keep_pcm))
    record = await service.dial(
        WaitForQuiet(300),
        Say(PHRASE, "a question"),
        Interrupt(400, PHRASE[473 * 8 : 900 * 8], "mhm"),
        WaitForQuiet(300),
        HangUp(),
    )
    (witness,) = service.witnesses
    assert (record.passed, record.outcome) == (True, "caller hung up"), record
    assert [type(each) for each in witness.history if isinstance(each, Held | FalseAlarm | BargeIn)] == [
        Held,
        FalseAlarm,
    ]
    assert witness.saw(FalseAlarm) == [FalseAlarm("backchannel", "something")]
    assert witness.saw(Cut) == []
    answer = witness.saw(Line)[-1]
    assert (answer.text, answer.cut) == (LONG_ANSWER, False)
    (stream,) = record.streams
    heard = b"".join(frame.audio for frame in stream.carrier.frames)
    # The greeting and the answer, each filled to a frame; what was cut at the seam is a frame at most.
    said_ms = sum(line.heard_ms for line in witness.saw(Line) if line.role == "bot")
    assert abs(len(heard) / 8 - said_ms) <= 3 * FRAME_MS
    assert witness.session is not None
    assert [line.text for line in witness.session.lines] == ["Hi", "something", LONG_ANSWER]
    assert witness.troubles == []
    await service.stop()
    check_replay(service.log())


async def test_calls_side_by_side_keep_apart(service: Service) -> None:
    records = await asyncio.gather(*(service.dial(*CONVERSATION) for _ in range(5)))
    by_call = {record.call_sid: record for record in records}
    for witness in service.witnesses:
        (start,) = witness.saw(Start)
        check_conversation(witness, by_call.pop(start.call_sid))
    assert not by_call
    assert len({witness.session.id for witness in service.witnesses if witness.session}) == 5
    await service.idle()


async def test_a_call_is_kept_on_disk(service: Service) -> None:
    record = await service.dial(WaitForQuiet(300), Say(SPEECH), WaitForBot(), HangUp())
    await service.stop()
    log = service.log()
    header = log.header
    assert (header.call_sid, header.outcome) == (record.call_sid, "caller_hung_up")
    assert (header.from_number, header.to_number, header.profile) == ("+15550100001", "+15550100002", "Front desk")
    assert header.profile_version == PROFILE.version
    assert header.ended is not None
    assert header.counts.lost == 0
    lines = [line for step in log.steps for line in step.actions if isinstance(line, Line)]
    assert [(line.role, line.text) for line in lines[:2]] == [("bot", "Hi"), ("caller", "something")]
    # model.raw is there only when the caller hung up on audio that had not been sent on yet.
    files = {file.name for file in next(service.calls_dir.iterdir()).iterdir()}
    assert files - {"model.raw"} == {"bot.wav", "call.json", "caller.wav", "events.jsonl"}


async def test_what_is_not_recorded_is_not_on_disk(start_service: StartService) -> None:
    service = await start_service(profile=PROFILE.model_copy(update={"record": False}))
    await service.dial(WaitForQuiet(300), HangUp())
    await service.stop()
    (folder,) = service.calls_dir.iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["call.json", "events.jsonl"]
    assert service.log().header.audio is False


async def test_without_a_greeting_the_bot_waits_for_the_caller(start_service: StartService) -> None:
    service = await start_service(profile=PROFILE.model_copy(update={"greeting": None}))
    record = await service.dial(Pause(400), Say(SPEECH), WaitForBot(), HangUp())
    (witness,) = service.witnesses
    assert record.passed
    kinds = [event.kind for event in record.events]
    assert kinds.index("caller says") < kinds.index("bot starts")
    assert witness.session is not None
    assert [line.role for line in witness.session.lines][:1] == ["user"]


async def test_a_call_that_reaches_its_limit_is_ended_by_the_service(start_service: StartService) -> None:
    service = await start_service(profile=PROFILE.model_copy(update={"max_call_s": 1}))
    record = await service.dial(WaitForHangUp())
    assert (record.outcome, record.passed) == ("bot hung up", True)
    assert [stream.close_code for stream in record.streams] == [1000]
    await service.stop()
    assert service.log().header.outcome == "time_limit"


async def test_a_service_that_drains_refuses_new_calls_and_keeps_those_in_progress(service: Service) -> None:
    running = await service.started_stream()
    await until(lambda: service.witnesses and service.witnesses[0].saw(AudioDelta))
    service.live.draining = True
    assert await service.request("GET", "/readyz") == (503, "draining")
    assert await service.request("GET", "/healthz") == (200, "ok")
    status, twiml = await service.post("/twilio/voice")
    assert (status, APOLOGY in twiml, "<Stream" in twiml) == (200, True, False)
    with pytest.raises(InvalidStatus) as refusal:
        await service.open_stream()
    assert refusal.value.response.status_code == 503  # a proxy asks another process then
    # Without one, the carrier then asks what to do with the call whose stream was refused.
    _, twiml = await service.post("/twilio/after", CallSid="CA" + "9" * 32)
    assert GOODBYE in twiml
    assert len(service.live) == 1
    await running.stop()
    assert await running.closed() == 1000
    await service.live.idle()
    _, twiml = await service.after()
    assert "<Say" not in twiml
    assert len(service.witnesses) == 1


async def test_a_stream_that_has_yet_to_start_is_a_call_in_progress(service: Service) -> None:
    token = await service.token()
    stream = await service.open_stream()
    await until(lambda: len(service.live) == 1)
    service.live.draining = True
    await stream.connected()
    await stream.start(token)
    await until(lambda: service.witnesses)
    await stream.stop()
    assert await stream.closed() == 1000
    await service.stop()
    assert service.log().header.outcome == "caller_hung_up"


async def test_shutting_down_ends_the_calls_and_keeps_them(service: Service) -> None:
    call = asyncio.create_task(service.dial(WaitForHangUp()))
    await until(lambda: service.witnesses and service.witnesses[0].saw(AudioDelta))
    await service.stop()
    record = await call
    assert [(stream.ended_by, stream.close_code) for stream in record.streams] == [("server", 1012)]
    assert service.log().header.outcome == "stream_lost"


async def test_the_service_is_alive_and_ready(service: Service) -> None:
    assert await service.request("GET", "/healthz") == (200, "ok")
    assert await service.request("GET", "/readyz") == (200, "ready")
