"""A model that fails in mid-call, over real sockets: the caller is answered, and nothing that was said is lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import call_tools
import pytest
from faulty_relay import Relay, relaying
from model_driver import tone
from service_driver import GOODBYE, MODEL_KEY, PROFILE, Ear, Service, StartService, Witness, until
from silence import longest_silence_ms

from phonebot.call import recovery
from phonebot.call.actions import Cut, Line, ModelDropped, Recovered, RunTool, Trouble
from phonebot.realtime import line
from phonebot.realtime.events import SpeechStarted
from phonebot.replay.summary import summarised
from phonebot.simulator.caller import HangUp, Pause, Say, WaitForBot, WaitForHangUp, WaitForQuiet
from phonebot.simulator.mind import Call, Context, RateLimited
from phonebot.simulator.mind import Say as Speak
from phonebot.simulator.outputs import Faults, Options
from phonebot.simulator.record import CallRecord
from phonebot.simulator.server import serve

pytestmark = pytest.mark.slow

SPEECH = tone(600)

log = logging.getLogger(__name__)


class Counting:
    """A mind that tells how many turns of the caller's the conversation has: the same in whichever session."""

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        turns = sum(line.role == "user" for line in context.history)
        return (Speak(f"This is answer number {turns}, and it is rather long"),)


LENGTHY = (
    "This answer takes so long that a session of six seconds is at its end before it is, " + "and longer, " * 5
)


class Lengthy:
    """A mind whose answer to the caller takes seconds; asked to go on, it says that it does."""

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        newest = context.history[-1] if context.history else None
        if newest and newest.role == "system":
            return (Speak("And so on"),)
        return (Speak(LENGTHY),)


async def call_in(
    service: Service, *steps: Any, when: Callable[[Witness], object], then: Callable[[], object]
) -> CallRecord:
    """A call with these steps; `then` is done once `when` is so of its witness."""
    calling = asyncio.create_task(service.dial(*steps))
    await until(lambda: service.witnesses and when(service.witnesses[0]))
    then()
    record = await calling
    assert record.passed, record
    return record


def break_all(service: Service) -> None:
    """Break the connections of all sessions."""
    assert service.model is not None
    for session in service.model.sessions:
        service.model.drop(session)


def lines(service: Service) -> list[tuple[str, str]]:
    return [(line.role, line.text) for line in service.witnesses[0].saw(Line)]


def remembered(service: Service) -> list[tuple[str, str]]:
    """What the session that the call had last knows of what was said."""
    session = service.witnesses[0].session
    assert session is not None
    return [(line.role, line.text) for line in session.lines]


def spoken(witness: Witness, role: str, times: int = 1) -> bool:
    return sum(line.role == role for line in witness.saw(Line)) >= times


async def test_a_model_that_vanishes_in_silence_is_replaced_and_the_next_one_knows_what_was_said(
    start_service: StartService,
) -> None:
    service = await start_service(minds=Counting)
    record = await call_in(
        service,
        *(WaitForQuiet(300), Say(SPEECH), WaitForQuiet(1_500), Say(SPEECH), WaitForQuiet(300), HangUp()),
        when=lambda witness: spoken(witness, "bot", 2),
        then=lambda: break_all(service),
    )
    assert record.outcome == "caller hung up"
    said = lines(service)
    assert [role for role, _ in said] == ["bot", "caller", "bot", "caller", "bot"]
    assert said[-1][1].startswith("This is answer number 2")
    assert [text for _, text in remembered(service)] == [text for _, text in said]
    assert len(service.witnesses[0].saw(Recovered)) == 1
    await service.stop()


async def test_a_model_that_vanishes_in_mid_answer_is_replaced_and_the_answer_goes_on(
    start_service: StartService,
) -> None:
    service = await start_service(minds=Counting, options=Options(speed=1.5))
    await call_in(
        service,
        *(WaitForQuiet(300), Say(SPEECH), WaitForBot(), WaitForQuiet(1_500), HangUp()),
        when=lambda witness: len(witness.saw(SpeechStarted)) == 1 and spoken(witness, "caller"),
        then=lambda: asyncio.get_running_loop().call_later(0.7, break_all, service),
    )
    (witness,) = service.witnesses
    cut_off, whole = [text for role, text in lines(service) if role == "bot"][1:]
    assert "This is answer number 1".startswith(cut_off[:20])
    assert cut_off != whole
    assert [text for role, text in remembered(service) if role == "assistant"][1:] == [cut_off, whole]
    assert witness.saw(Cut) == []
    assert len(witness.saw(Recovered)) == 1
    await service.stop()


async def test_what_the_caller_says_while_the_model_vanishes_is_answered_and_in_the_transcript_once(
    start_service: StartService,
) -> None:
    service = await start_service(minds=Counting, faults=Faults(slow_start_s=0.6))
    await call_in(
        service,
        *(WaitForQuiet(1_000), Say(SPEECH), WaitForBot(), WaitForQuiet(1_000), HangUp()),
        when=lambda witness: witness.saw(SpeechStarted),
        then=lambda: break_all(service),
    )
    assert [role for role, _ in lines(service)] == ["bot", "caller", "bot"]
    assert [text for _, text in remembered(service)] == [text for _, text in lines(service)]
    await service.stop()


@asynccontextmanager
async def service_behind_a_relay(start_service: StartService) -> AsyncIterator[tuple[Service, Relay]]:
    """A service, and the network between it and its model."""
    async with (
        serve(minds=Counting, ear=Ear(), key=MODEL_KEY) as model,
        relaying(int(model.url.rpartition(":")[2].partition("/")[0])) as relay,
    ):
        service = await start_service(model_url=f"ws://127.0.0.1:{relay.port}/v1/realtime")
        yield service, relay
        await service.stop()


async def test_a_connection_that_is_half_open_is_found_dead_and_replaced(start_service: StartService) -> None:
    """Its bytes are taken and lead nowhere: only pings tell."""
    async with service_behind_a_relay(start_service) as (service, relay):
        record = await call_in(
            service,
            *(WaitForQuiet(300), Pause(500), Say(SPEECH), WaitForBot(), WaitForQuiet(800), HangUp()),
            when=lambda witness: spoken(witness, "bot"),
            then=lambda: relay.links[0].hold(),
        )
        assert [role for role, _ in lines(service)] == ["bot", "caller", "bot"]
        assert len(service.witnesses[0].saw(Recovered)) == 1
        silence_ms = longest_silence_ms(record)
        log.info("half open: the caller heard nothing for %d ms", silence_ms)  # --log-cli-level=INFO
        assert silence_ms < 1_000 * (line.PING_INTERVAL_S + line.PING_TIMEOUT_S) + 2_000


async def test_a_model_that_stands_still_for_two_seconds_is_kept(start_service: StartService) -> None:
    async with service_behind_a_relay(start_service) as (service, relay):

        def stand_still() -> None:
            relay.links[0].hold()
            asyncio.get_running_loop().call_later(2.0, relay.links[0].release)

        await call_in(
            service,
            *(WaitForQuiet(300), Pause(500), Say(SPEECH), WaitForBot(), WaitForQuiet(1_500), HangUp()),
            when=lambda witness: spoken(witness, "bot"),
            then=stand_still,
        )
        (witness,) = service.witnesses
        assert witness.saw(ModelDropped) == []
        assert [role for role, _ in lines(service)] == ["bot", "caller", "bot"]


class Asking:
    """A mind that calls a function for the caller's first turn, and tells what came of it."""

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        newest = context.history[-1] if context.history else None
        if newest and newest.role == "tool":
            return (Speak(f"It says {newest.text}"),)
        return (Call("look_up", {}),) if newest and newest.role == "user" else (Speak("Well"),)


async def test_a_function_outlives_the_session_that_called_it(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_tools, "gate", asyncio.Event())
    profile = PROFILE.model_copy(update={"tools": ["look_up"]})
    service = await start_service(minds=Asking, profile=profile, PHONEBOT_TOOLS="call_tools")

    def vanish() -> None:
        break_all(service)
        asyncio.get_running_loop().call_later(0.5, lambda: call_tools.gate.set())

    await call_in(
        service,
        *(WaitForQuiet(300), Say(SPEECH), WaitForBot(), WaitForQuiet(1_500), HangUp()),
        when=lambda witness: witness.saw(RunTool),
        then=vanish,
    )
    assert lines(service)[-1] == ("bot", "It says Found.")
    await service.stop()


async def test_a_session_is_renewed_before_it_ends_and_nobody_notices(start_service: StartService) -> None:
    service = await start_service(minds=Counting, options=Options(session_limit_s=6))
    record = await service.dial(
        *(WaitForQuiet(300), Say(SPEECH), WaitForQuiet(6_000), Say(SPEECH), WaitForQuiet(300), HangUp())
    )
    assert record.passed, record
    (witness,) = service.witnesses
    assert all(dropped.planned for dropped in witness.saw(ModelDropped))
    assert witness.saw(ModelDropped)
    assert witness.saw(Trouble) == []
    assert [role for role, _ in lines(service)] == ["bot", "caller", "bot", "caller", "bot"]
    assert lines(service)[-1][1].startswith("This is answer number 2")
    await service.stop()


async def test_a_session_that_ends_while_somebody_speaks_is_renewed_and_what_he_says_is_answered_once(
    start_service: StartService,
) -> None:
    """It ends 8 s after it began, and with a caller who talks all the time no quiet moment comes before."""
    service = await start_service(minds=Counting, options=Options(session_limit_s=8))
    record = await service.dial(WaitForQuiet(300), Say(tone(9_000)), WaitForBot(), WaitForQuiet(1_000), HangUp())
    assert record.passed, record
    (witness,) = service.witnesses
    first = witness.saw(ModelDropped)[0]
    assert first == ModelDropped("its session ends", planned=True)
    assert spoken(witness, "bot", 2)
    assert witness.saw(Trouble) == []
    assert [role for role, _ in lines(service)] == ["bot", "caller", "bot"]
    assert lines(service)[-1][1].startswith("This is answer number 1")
    assert [text for _, text in remembered(service)] == [text for _, text in lines(service)]
    assert longest_silence_ms(record) < 3_000
    await service.stop()


async def test_a_session_that_ends_while_the_bot_speaks_is_renewed_and_nothing_is_said_twice(
    start_service: StartService,
) -> None:
    service = await start_service(minds=Lengthy, options=Options(session_limit_s=6, speed=1.0))
    record = await service.dial(WaitForQuiet(300), Say(SPEECH), WaitForBot(), WaitForQuiet(1_500), HangUp())
    assert record.passed, record
    (witness,) = service.witnesses
    assert witness.saw(ModelDropped)[0] == ModelDropped("its session ends", planned=True)
    _, _, (_, cut_off), went_on = lines(service)
    assert went_on == ("bot", "And so on")
    assert LENGTHY.startswith(cut_off[:40])
    assert cut_off != LENGTHY
    assert witness.saw(Trouble) == []
    assert longest_silence_ms(record) < 3_000
    await service.stop()


async def test_a_caller_who_waits_for_a_model_hears_that_it_takes_a_moment_and_is_answered_then(
    start_service: StartService,
) -> None:
    service = await start_service(minds=Counting)
    model = service.model
    assert model is not None

    def go_down() -> None:
        model.is_down = True
        break_all(service)
        asyncio.get_running_loop().call_later(3.0, lambda: setattr(model, "is_down", False))

    await call_in(
        service,
        *(WaitForQuiet(300), Pause(4_500), Say(SPEECH), WaitForBot(), WaitForQuiet(800), HangUp()),
        when=lambda witness: spoken(witness, "bot"),
        then=go_down,
    )
    said = [text for role, text in lines(service) if role == "bot"]
    assert len(said) == 3
    (recovered,) = service.witnesses[0].saw(Recovered)
    assert recovered.attempts > 2
    await service.stop()


async def test_a_model_that_does_not_come_back_ends_the_call_with_words(start_service: StartService) -> None:
    service = await start_service(minds=Counting, PHONEBOT_MODEL_PATIENCE_S="2")
    model = service.model
    assert model is not None

    def go_down() -> None:
        model.is_down = True
        break_all(service)

    record = await call_in(service, WaitForHangUp(), when=lambda witness: spoken(witness, "bot"), then=go_down)
    assert record.outcome == "bot hung up"
    assert [stream.close_code for stream in record.streams] == [1011]
    assert record.told("plays") == []  # he has heard it
    assert lines(service)[-1] == ("bot", GOODBYE)
    assert len(lines(service)) == 3  # before it the greeting, and that it takes a moment
    await service.stop()


class Failing:
    """A mind that fails at first: so many times for each turn of the caller's."""

    def __init__(self, times: int) -> None:
        self._left = times

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if context.heard is None:
            return (Speak("Hi"),)
        if self._left:
            self._left -= 1
            raise RuntimeError("out of order")
        return (Speak("This is the answer"),)


@pytest.mark.parametrize(("times", "last"), [(1, "This is the answer"), (2, "I am sorry, something went wrong.")])
async def test_an_answer_that_fails_is_asked_for_once_more_and_else_the_caller_is_told_so(
    start_service: StartService, times: int, last: str
) -> None:
    service = await start_service(minds=lambda: Failing(times))
    record = await service.dial(WaitForQuiet(300), Say(SPEECH), WaitForBot(), WaitForQuiet(800), HangUp())
    assert record.passed, record
    assert lines(service)[-1][1].startswith(last)
    await service.stop()


class Limited:
    """A mind whose service allows no answer to the caller for so long, from when it was asked for the first."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._allowed_s: float | None = None
        self.refusals = 0

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if not any(line.role == "user" for line in context.history):
            return (Speak("Hi"),)
        now_s = asyncio.get_running_loop().time()
        if self._allowed_s is None:
            self._allowed_s = now_s + self._limit_s
        if (left_s := self._allowed_s - now_s) > 0:
            self.refusals += 1
            raise RateLimited(left_s)
        return (Speak("This is the answer"),)


@pytest.mark.parametrize(("limit_s", "told", "refusals"), [(1.2, "never", 1), (4.5, "dialect", 1)])
async def test_a_caller_whom_a_rate_limit_keeps_waiting_is_told_so_and_answered(
    start_service: StartService, limit_s: float, told: Literal["dialect", "never"], refusals: int
) -> None:
    """A short one is over by the second try; a longer one is waited for if the service says how long it lasts."""
    mind = Limited(limit_s)
    service = await start_service(minds=lambda: mind, options=Options(rate_limits=told))
    record = await service.dial(WaitForQuiet(300), Say(SPEECH), Pause(int(limit_s * 1000) + 2_500), HangUp())
    assert record.passed, record
    said = lines(service)
    assert said[-1] == ("bot", "This is the answer")
    assert [text for role, text in said if role == "caller"] == ["something"]
    assert len(said) == (3 if limit_s < 2 else 4)  # that it takes a moment
    assert longest_silence_ms(record) < 3_000
    assert mind.refusals == refusals
    await service.stop()


async def test_a_session_that_falls_silent_in_mid_answer_is_left_for_another_one(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "STALL_MS", 1_000)
    service = await start_service(minds=Counting, faults=Faults(stall_after_ms=1_500))
    calling = asyncio.create_task(service.dial(WaitForQuiet(300), Say(SPEECH), Pause(7_000), HangUp()))
    await until(lambda: service.witnesses and len(service.witnesses[0].saw(Recovered)) == 1)
    record = await calling
    assert record.passed, record
    (witness, *_) = service.witnesses
    assert witness.saw(ModelDropped)[0] == ModelDropped("the model does not answer")
    await service.stop()


async def test_a_session_that_takes_its_time_is_told_what_was_said_before_the_line_went(
    start_service: StartService,
) -> None:
    """A call that reconnects in 600 ms: how long the caller hears nothing, and what he hears then."""
    service = await start_service(minds=Counting, faults=Faults(slow_start_s=0.6))
    await call_in(
        service,
        *(WaitForQuiet(300), Say(SPEECH), WaitForBot(), WaitForQuiet(1_500), Say(SPEECH), WaitForBot()),
        *(WaitForQuiet(500), HangUp()),
        when=lambda witness: spoken(witness, "bot", 2),
        then=lambda: break_all(service),
    )
    (recovered,) = service.witnesses[0].saw(Recovered)
    assert 600 <= recovered.away_ms < 2_500
    assert [text for _, text in remembered(service)] == [text for _, text in lines(service)]
    await service.stop()


@pytest.mark.parametrize("transcripts", ["swapped", "never"])
async def test_the_transcript_is_in_the_order_of_the_conversation_however_late_it_is_written_down(
    start_service: StartService, transcripts: Literal["swapped", "never"]
) -> None:
    service = await start_service(minds=Counting, faults=Faults(transcripts=transcripts))
    record = await service.dial(
        *(WaitForQuiet(300), Say(SPEECH), WaitForBot(), WaitForQuiet(300)),
        *(Say(SPEECH), WaitForBot(), WaitForQuiet(800), HangUp()),
    )
    assert record.passed, record
    assert [role for role, _ in lines(service)] == ["bot", "caller", "bot", "caller", "bot"]
    words = [text for role, text in lines(service) if role == "caller"]
    assert words == (["something", "something"] if transcripts == "swapped" else ["", ""])
    await service.stop()
    assert [turn.who for turn in summarised(service.log()).turns] == ["bot", "caller", "bot", "caller", "bot"]
