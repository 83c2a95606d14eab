"""Calls that the whole service makes, on an emulated account: to people, to machines, and to nobody."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from service_driver import PATIENCE_S, PROFILE, SPEECH, TOKEN, Service, leaving_nothing
from switchboard_driver import COLLEAGUE, LINE

from phonebot.agents.profile import Profile
from phonebot.outbound.orders import Orders
from phonebot.simulator.callees import Busy, Drops, Human, Invalid, Machine, NoAnswer, Refuses
from phonebot.simulator.caller import HangUp, Say, WaitForBot, WaitForQuiet
from phonebot.simulator.rest import RestFault
from phonebot.simulator.switchboard import ACCOUNT_SID, Switchboard
from phonebot.simulator.terms import CallbackOddities
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.outbound import DialRefused, OutboundCall
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store

ADA = Actor("ada")
MESSAGE = "This is Rosa's. Please call us back"
LEAVES = {"machine": "leave_message", "message": MESSAGE}
TALKS = Human((WaitForQuiet(200), Say(SPEECH, "a question"), WaitForBot(), HangUp()), after_s=1)
ANSWERS = Human((WaitForBot(), HangUp()), after_s=1)


@dataclass
class Desk:
    """A service with an account before it, and those who order calls."""

    service: Service
    store: Store
    carrier: Switchboard

    async def order(self, to: str = COLLEAGUE, reason: str = "") -> OutboundCall:
        return await Orders(self.store.outbound, None, has_account=True).place(to, LINE, ADA, reason)

    async def call(self, callee: Any, reason: str = "") -> OutboundCall:
        """Call somebody, and wait until that is over."""
        self.carrier.callees[COLLEAGUE] = callee
        return await self.over(await self.order(reason=reason))

    async def over(self, call: OutboundCall) -> OutboundCall:
        return await self.until(call, lambda now: now.is_over)

    async def until(self, call: OutboundCall, is_so: Callable[[OutboundCall], bool]) -> OutboundCall:
        async with asyncio.timeout(2 * PATIENCE_S):
            while not is_so(now := await self.store.outbound.get(call.id)):
                await asyncio.sleep(0.02)
        return now

    async def filed(self) -> Any:
        """The only call that was held, as soon as it can be found."""
        async with asyncio.timeout(PATIENCE_S):
            while not (page := await self.store.calls.page(_all())).calls:
                await asyncio.sleep(0.02)
        return await self.store.calls.get(page.calls[0].call_sid)

    def created(self) -> list[dict[str, str]]:
        """What the account was asked to call."""
        return [
            given for method, path, given in self.carrier.requests if (method, path.rpartition("/")[2]) == CREATE
        ]


CREATE = ("POST", "Calls.json")


def _all() -> Any:
    from phonebot.store.calls import Filters

    return Filters()


@pytest.fixture
async def staged(sqlite: Database, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes a Desk, whose number calls out as these keys say."""
    async with leaving_nothing(), AsyncExitStack() as running:

        async def stage(callbacks: CallbackOddities | None = None, **keys: Any) -> Desk:
            carrier = await running.enter_async_context(
                Switchboard.open(speed=20, auth_token=TOKEN, callbacks=callbacks)
            )
            store = Store.of(sqlite, Recordings((tmp_path / "calls").as_uri()))
            table = PROFILE.model_dump(exclude_none=True) | {"outbound": {"retry_after_s": 1, **keys}}
            service = await Service.start(
                tmp_path,
                store=store,
                profile=Profile.from_table(table, "test"),
                TWILIO_ACCOUNT_SID=ACCOUNT_SID,
                TWILIO_API_URL=carrier.url,
            )
            running.push_async_callback(service.stop)
            carrier.add_number(LINE, VoiceUrl=f"{service.url}/twilio/voice")
            return Desk(service, store, carrier)

        yield stage
        await running.aclose()
        await sqlite.close()


async def test_a_person_who_answers_is_told_why_and_talks_with_the_bot(staged: Any) -> None:
    desk = await staged(greeting="Hello, {reason}", ring_s=25)
    call = await desk.call(TALKS, reason="your table is free")
    assert (call.state, call.result, call.attempts, call.problem) == ("done", "answered", 1, "")
    (record,) = desk.carrier.calls_to(COLLEAGUE)
    assert record.passed, record
    assert (call.call_sid, call.tries[0].call_sid) == (record.call_sid, record.call_sid)
    (given,) = desk.created()
    assert {
        name: given[name] for name in ("To", "From", "Timeout", "TimeLimit", "MachineDetection", "AsyncAmd")
    } == {
        "To": COLLEAGUE,
        "From": LINE,
        "Timeout": "25",
        "TimeLimit": "960",
        "MachineDetection": "Enable",
        "AsyncAmd": "true",
    }
    filed = await desk.filed()
    assert (filed.kind, filed.number, filed.caller) == ("outbound", LINE, COLLEAGUE)
    assert (filed.from_number, filed.to_number) == (LINE, COLLEAGUE)
    assert filed.turns[0].text == "Hello, your table is free"


async def test_callbacks_that_come_out_of_order_and_twice_change_nothing(staged: Any) -> None:
    desk = await staged(callbacks=CallbackOddities(shuffled_ms=300, doubled=True))
    call = await desk.call(ANSWERS)
    await desk.carrier.settled()
    again = await desk.store.outbound.get(call.id)
    assert (again.state, again.result, len(again.tries)) == ("done", "answered", 1)


@pytest.mark.parametrize(
    ("callee", "result", "problem"),
    [
        (Busy(), "busy", "the line was busy"),
        (Refuses(), "busy", "the line was busy"),
        (NoAnswer(), "no_answer", "nobody answered"),
        (Invalid(), "failed", "the network could not connect the call: the number may be wrong or out of service"),
    ],
)
async def test_nobody_who_answers_is_called_again_as_often_as_the_profile_says(
    staged: Any, callee: Any, result: str, problem: str
) -> None:
    desk = await staged(retries=1, ring_s=5)
    call = await desk.call(callee)
    assert (call.state, call.result, call.problem) == ("failed", result, problem)
    assert [attempt.result for attempt in call.tries] == [result, result]
    assert len(desk.created()) == 2


async def test_who_answers_the_second_time_is_reached(staged: Any) -> None:
    desk = await staged()
    desk.carrier.callees[COLLEAGUE] = Busy()
    call = await desk.until(await desk.order(), lambda now: now.attempts == 1 and now.state == "queued")
    desk.carrier.callees[COLLEAGUE] = ANSWERS
    call = await desk.over(call)
    assert (call.state, [attempt.result for attempt in call.tries]) == ("done", ["busy", "answered"])


async def test_a_line_that_breaks_ends_the_call_as_answered(staged: Any) -> None:
    desk = await staged()
    assert (await desk.call(Drops(holds_s=0.5))).result == "answered"


async def test_a_number_that_twilio_refuses_is_not_tried_again_and_its_sentence_is_kept(staged: Any) -> None:
    desk = await staged()
    orders = Orders(desk.store.outbound, None, has_account=True)
    call = await desk.over(await orders.place(COLLEAGUE, "+15550100077", ADA))
    assert (call.state, call.result, call.attempts) == ("failed", "refused", 1)
    assert call.problem.startswith("Twilio refuses it with error 21210, ")
    assert call.problem.endswith(": call from a number of the account, or verify this one")


async def test_nobody_is_called_who_opts_out_between_two_attempts(staged: Any) -> None:
    desk = await staged()
    desk.carrier.callees[COLLEAGUE] = Busy()
    call = await desk.until(await desk.order(), lambda now: now.attempts == 1 and now.state == "queued")
    await desk.store.opt_outs.add(COLLEAGUE, ADA)
    call = await desk.over(call)
    assert (call.state, call.result, len(desk.created())) == ("failed", "opted_out", 1)
    with pytest.raises(DialRefused):
        await desk.order()


async def test_in_quiet_hours_a_call_waits_for_their_end(staged: Any) -> None:
    now = datetime.now(UTC)
    quiet = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    desk = await staged(quiet=[quiet])
    call = await desk.until(await desk.order(), lambda now: bool(now.problem))
    assert call.problem.startswith("quiet hours until")
    assert timedelta(hours=1) < call.due_at - now < timedelta(hours=3)
    assert (call.state, desk.created()) == ("queued", [])


@pytest.mark.parametrize("fault", [500, None])
async def test_a_call_that_may_have_been_placed_is_found_and_not_placed_again(
    staged: Any, fault: int | None
) -> None:
    desk = await staged()
    desk.carrier.faults.append(RestFault("POST", "/Calls.json", answer=fault, performed=True))
    call = await desk.call(ANSWERS)
    assert (call.state, call.result, call.attempts) == ("done", "answered", 1)
    assert len(desk.created()) == 1


async def test_too_many_requests_delay_a_call_and_count_for_nothing(staged: Any) -> None:
    desk = await staged()
    desk.carrier.faults.append(RestFault("POST", "/Calls.json", answer=429))
    call = await desk.call(ANSWERS)
    assert (call.result, call.attempts, len(desk.created())) == ("answered", 1, 2)


async def test_a_machine_is_hung_up_on(staged: Any) -> None:
    desk = await staged(retries=1, retry_on=["machine"])
    call = await desk.call(Machine(after_s=1, answered_by="machine_start", detected_after_ms=300))
    assert (call.state, [attempt.result for attempt in call.tries]) == ("failed", ["machine", "machine"])
    await desk.carrier.settled()
    first, second = desk.carrier.calls_to(COLLEAGUE)
    assert {first.outcome, second.outcome} == {"bot hung up"}
    assert first.message is not None
    assert call.answered_by == "machine_start"


async def test_a_message_is_left_after_the_beep_once_and_the_bot_hangs_up(staged: Any) -> None:
    desk = await staged(**LEAVES, greeting="Hello, is that you? I have some news about your table")
    call = await desk.call(Machine(after_s=1, greeting_ms=3500))
    assert (call.state, call.result, call.attempts) == ("done", "message_left", 1)
    assert call.answered_by == "machine_end_beep"
    await desk.carrier.settled()
    (record,) = desk.carrier.calls_to(COLLEAGUE)
    assert (record.outcome, record.passed) == ("bot hung up", True)
    filed = await desk.filed()
    assert [(turn.text, turn.cut) for turn in filed.turns if turn.who == "bot"][-1] == (MESSAGE, False)
    assert sum(turn.text == MESSAGE for turn in filed.turns) == 1
    heard_ms = filed.turns[-1].heard_ms
    assert record.message is not None
    voiced = record.message.audio.strip(b"\xff\x7f")
    assert abs(len(voiced) / 8 - heard_ms) < 400
    assert filed.outcome == "bot_hung_up"


async def test_a_machine_that_hangs_up_before_the_end_of_the_message_has_none(staged: Any) -> None:
    desk = await staged(**LEAVES, retries=0)
    call = await desk.call(Machine(after_s=1, greeting_ms=2500, takes_s=0.6))
    assert (call.state, call.result) == ("failed", "machine")


async def test_a_call_that_rings_is_hung_up_when_it_is_cancelled(staged: Any) -> None:
    desk = await staged(ring_s=600)
    desk.carrier.callees[COLLEAGUE] = NoAnswer()
    call = await desk.until(await desk.order(), lambda now: now.call_sid is not None)
    await desk.carrier.until(COLLEAGUE, "rings")
    await desk.store.outbound.cancel(call.id, ADA)
    call = await desk.over(call)
    assert (call.state, call.cancelled_by) == ("cancelled", "ada")
