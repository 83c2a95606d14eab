"""Calls whose service finds no turns: ours are found by our detector, or end by a key. In virtual time."""

from base64 import b64decode, b64encode

import pytest
from driver import CallDriver, recorded

from phonebot.call.actions import (
    Action,
    BargeIn,
    ClearPlayback,
    Cut,
    Floor,
    Line,
    SendMark,
    Tell,
)
from phonebot.call.call import Call
from phonebot.call.inputs import ModelReady
from phonebot.call.listening import STALL_MS
from phonebot.call.plan import CallPlan, KeyTurns, LocalTurns
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Media
from phonebot.realtime.events import (
    AppendAudio,
    AudioCommitted,
    AudioFormat,
    CancelResponse,
    CommitAudio,
    CreateResponse,
    DeleteItem,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    TruncateItem,
)
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

SESSION = Session(turn_detection=None)
LOCAL = CallPlan(SESSION, turns=LocalTurns())
KEYS = CallPlan(SESSION, turns=KeyTurns())
HOURS = recorded("demo/hours")  # speech from 473 to 2,440 ms
BEGIN_MS, END_MS = 473, 2_440
# From the first word on.
WORDS = HOURS[BEGIN_MS * 8 :]


def cancelled(response_id: str = "resp_1") -> ResponseDone:
    """What a service answers to a cancel of ours."""
    return ResponseDone(Response(response_id, "cancelled", reason="client_cancelled"))


def appended(driver: CallDriver) -> bytes:
    """All that the model was sent of the caller."""
    return b"".join(map(b64decode, driver.caller_audio))


def when(driver: CallDriver, action: Action) -> int:
    """The call time at which the call did this, which it did once."""
    (at_ms,) = [at_ms for at_ms, done in driver.log if done == action]
    return at_ms


# ------------------------------------------------------------------------------------------- our own detector


def test_a_callers_turn_is_committed_and_answered() -> None:
    driver = CallDriver(LOCAL)
    driver.run(2_000)
    assert driver.caller_audio == []
    driver.speak(HOURS)
    assert driver.run(4_000) == [
        Floor(Turn.CALLER),
        Tell(CommitAudio()),
        Floor(Turn.THINKING),
        Tell(CreateResponse(event_id="response-1")),
    ]
    turn_ms = when(driver, Tell(CommitAudio())) - when(driver, Floor(Turn.CALLER))
    assert turn_ms == pytest.approx(END_MS + 500 - BEGIN_MS - 100, abs=60)
    assert len(appended(driver)) // 8 == pytest.approx(300 + END_MS - BEGIN_MS + 500, abs=60)


@pytest.mark.parametrize("network", [Network(), Network(60, 20, 60, 20)])
def test_barge_in_stops_the_bot_cancels_the_response_and_truncates_what_was_not_heard(network: Network) -> None:
    driver = CallDriver(LOCAL, network=network)
    driver.begin("item_1")
    driver.more("item_1", 4_000)
    driver.run(1_000)
    driver.speak(WORDS)
    first = len(driver.log)
    driver.run(1_000)
    kinds = [type(action) for _, action in driver.log[first : first + 5]]
    assert kinds == [ClearPlayback, SendMark, BargeIn, Tell, Floor]
    assert driver.told(CancelResponse) == [CancelResponse("resp_1")]
    (cut,) = driver.did(Cut)
    assert isinstance(cut, Cut)
    assert cut.settled == "fence"
    assert cut.heard_ms == pytest.approx(driver.heard_ms("item_1"), abs=20)
    assert driver.told(TruncateItem) == [TruncateItem("item_1", 0, cut.heard_ms, "truncate-1")]
    # The answer to it waits for the end of the response that was cancelled.
    driver.run(2_000)
    assert driver.told(CommitAudio, CreateResponse) == [CommitAudio()]
    assert driver.feed(cancelled())[-1] == Tell(CreateResponse(event_id="response-1"))


def test_an_answer_that_was_made_but_not_heard_to_its_end_is_cut_without_a_cancel() -> None:
    driver = CallDriver(LOCAL)
    driver.say("item_1", 2_000, text="We are open from eight in the morning until six.")
    driver.run(1_000)
    driver.speak(WORDS)
    driver.run(1_000)
    assert driver.told(CancelResponse) == []
    (line,) = driver.did(Line)
    assert isinstance(line, Line)
    assert line.cut
    assert line.heard_ms == pytest.approx(driver.heard_ms("item_1"), abs=20)


def test_a_caller_who_goes_on_before_the_answer_begins_is_not_talked_over() -> None:
    driver = CallDriver(LOCAL)
    driver.speak(HOURS[: END_MS * 8])
    driver.run(END_MS + 600)
    assert driver.told(CreateResponse) == [CreateResponse(event_id="response-1")]
    driver.speak(WORDS)
    driver.run(300)
    assert driver.feed(ResponseCreated(Response("resp_1", "in_progress"))) == [Tell(CancelResponse("resp_1"))]
    driver.begin("item_1")
    assert driver.told(DeleteItem) == []
    driver.feed(cancelled())
    driver.run(3_000)
    assert driver.heard_ms("item_1") == 0
    assert driver.told(CommitAudio, CreateResponse)[2:] == [CommitAudio(), CreateResponse(event_id="response-2")]


def test_the_models_word_of_our_commit_takes_nobody_the_floor() -> None:
    driver = CallDriver(LOCAL)
    driver.speak(WORDS)
    driver.run(300)
    assert driver.did(Floor) == [Floor(Turn.CALLER)]
    assert driver.feed(AudioCommitted("item_u"), SpeechStopped(0)) == []
    driver.run(4_000)
    driver.say("item_1", 2_000)
    driver.run(300)
    assert driver.feed(SpeechStarted(0)) == []
    driver.run(3_000)
    assert driver.heard_ms("item_1") == 2_000


def test_without_create_response_a_turn_is_committed_only() -> None:
    driver = CallDriver(CallPlan(SESSION, turns=LocalTurns(create_response=False)))
    driver.speak(HOURS)
    assert driver.run(4_000) == [Floor(Turn.CALLER), Tell(CommitAudio()), Floor(Turn.THINKING)]


def test_a_bot_that_may_not_be_interrupted_goes_on_and_answers_afterwards() -> None:
    driver = CallDriver(CallPlan(SESSION, interruptible=False, turns=LocalTurns()))
    driver.begin("item_1")
    driver.more("item_1", 4_000)
    driver.speak(WORDS)
    driver.run(4_500)
    assert driver.heard_ms("item_1") == 4_000
    assert driver.told(CommitAudio, CancelResponse, CreateResponse) == [CommitAudio()]
    driver.end("item_1")
    assert driver.done()[-1] == Tell(CreateResponse(event_id="response-1"))


def test_a_greeting_is_asked_for_though_the_session_finds_no_turns() -> None:
    driver = CallDriver(CallPlan(SESSION, greeting="Hello.", turns=LocalTurns()))
    (request,) = driver.told(CreateResponse)
    assert isinstance(request, CreateResponse)
    assert request.options.instructions == 'Say exactly these words, and nothing else: "Hello."'


def test_who_speaks_before_the_model_is_ready_is_heard_from_his_first_word() -> None:
    call = Call(LOCAL)
    for n in range(40):
        frame = WORDS[n * 160 : n * 160 + 160]
        call.receive(Media(n + 1, n + 1, 20 * n, b64encode(frame).decode()), 20 * n)
    _ping, floor, *told = call.receive(ModelReady(SESSION), 810)
    assert floor == Floor(Turn.CALLER)
    frames = [WORDS[at : at + 160] for at in range(0, 40 * 160, 160)]
    assert told == [Tell(AppendAudio(b64encode(frame).decode())) for frame in frames]


@pytest.mark.parametrize(("model_format", "bytes_per_ms"), [("pcma", 8), ("pcm24k", 48)])
def test_a_turn_is_transcoded_where_the_session_has_another_format(
    model_format: AudioFormat, bytes_per_ms: int
) -> None:
    plain, driver = (
        CallDriver(LOCAL, ready=ModelReady(SESSION, input_format=each, output_format=each))
        for each in ("pcmu", model_format)
    )
    for each in (plain, driver):
        each.speak(HOURS)
        each.run(4_000)
    assert driver.log == plain.log
    assert len(appended(driver)) == len(appended(plain)) // 8 * bytes_per_ms


# ------------------------------------------------------------------------------------------- a carrier that pauses


def test_a_turn_ends_by_time_where_the_carrier_sends_no_silence() -> None:
    driver = CallDriver(LOCAL, oddities=Oddities(silence_suppressed=True))
    driver.speak(HOURS[BEGIN_MS * 8 : END_MS * 8])
    driver.run(5_000)
    assert driver.did(Floor, Tell) == [
        Floor(Turn.CALLER),
        Tell(CommitAudio()),
        Floor(Turn.THINKING),
        Tell(CreateResponse(event_id="response-1")),
    ]
    assert len(appended(driver)) // 8 == pytest.approx(END_MS - BEGIN_MS + 500, abs=80)


def test_a_turn_ends_by_time_where_the_carrier_falls_silent() -> None:
    driver = CallDriver(LOCAL)
    driver.speak(WORDS)
    driver.run(1_000)
    driver.carrier.stop()
    driver.run(2_000)
    turn_ms = when(driver, Tell(CommitAudio())) - when(driver, Floor(Turn.CALLER))
    assert turn_ms == pytest.approx(1_000 - 100 + 500 + STALL_MS, abs=60)


# ------------------------------------------------------------------------------------------- keys


def test_a_turn_ends_at_the_key_and_all_audio_belongs_to_it() -> None:
    driver = CallDriver(KEYS)
    driver.speak(HOURS)
    assert driver.run(4_000) == []
    assert driver.press("5") == []
    assert driver.press("#") == [
        Floor(Turn.CALLER),
        Tell(CommitAudio()),
        Floor(Turn.THINKING),
        Tell(CreateResponse(event_id="response-1")),
    ]
    assert HOURS in appended(driver)


def test_a_key_stops_the_bot_and_the_turn_ends_at_the_next() -> None:
    driver = CallDriver(KEYS)
    driver.begin("item_1")
    driver.more("item_1", 4_000)
    driver.run(1_000)
    kinds = [type(action) for action in driver.press("#")]
    assert kinds == [ClearPlayback, SendMark, BargeIn, Tell, Floor, Tell, Cut]
    assert driver.told(CancelResponse, CommitAudio) == [CancelResponse("resp_1")]
    assert driver.told(TruncateItem) == [TruncateItem("item_1", 0, int(driver.heard_ms("item_1")), "truncate-1")]
    driver.feed(cancelled())
    driver.speak(HOURS)
    driver.run(3_000)
    assert driver.press("#") == [
        Tell(CommitAudio()),
        Floor(Turn.THINKING),
        Tell(CreateResponse(event_id="response-1")),
    ]


def test_a_turn_that_is_added_to_before_the_answer_begins_is_answered_as_a_whole() -> None:
    driver = CallDriver(KEYS)
    driver.run(1_000)
    driver.press("#")
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    driver.run(1_000)
    assert Tell(CancelResponse("resp_1")) in driver.press("#")
    assert driver.feed(cancelled()) == [Tell(CreateResponse(event_id="response-2"))]


def test_keys_mean_nothing_where_turns_are_found_otherwise() -> None:
    for driver in (CallDriver(), CallDriver(LOCAL)):
        driver.run(1_000)
        assert driver.press("#") == []
