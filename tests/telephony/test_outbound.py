"""Calls that the whole service makes, on an emulated account: to people, to machines, and to nobody."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from outbound_driver import ADA, Desk, staged
from service_driver import SPEECH, leaving_nothing
from switchboard_driver import COLLEAGUE, LINE

from phonebot.simulator.callees import Busy, Drops, Human, Invalid, Machine, NoAnswer, Refuses
from phonebot.simulator.caller import HangUp, Say, WaitForBot, WaitForQuiet
from phonebot.simulator.rest import RestFault
from phonebot.simulator.terms import CallbackOddities
from phonebot.store.calls import Filters
from phonebot.store.database import Database
from phonebot.store.outbound import DialRefused

MESSAGE = "This is Rosa's. Please call us back"
LEAVES = {"machine": "leave_message", "message": MESSAGE}
TALKS = Human((WaitForQuiet(200), Say(SPEECH, "a question"), WaitForBot(), HangUp()), after_s=1)
ANSWERS = Human((WaitForBot(), HangUp()), after_s=1)


@pytest.fixture
async def stage(sqlite: Database, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Desk]]]:
    """Makes a Desk, whose number calls out as these keys say."""
    async with leaving_nothing(), AsyncExitStack() as running:

        async def start(**terms: Any) -> Desk:
            return await running.enter_async_context(staged(sqlite, tmp_path, **terms))

        yield start
        await running.aclose()
        await sqlite.close()


async def test_a_person_who_answers_is_told_why_and_talks_with_the_bot(stage: Any) -> None:
    desk = await stage(greeting="Hello, {reason}", ring_s=25)
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
    for filters in (Filters(caller=COLLEAGUE), Filters(caller_part=COLLEAGUE[-4:]), Filters(number=LINE)):
        assert [each.call_sid for each in (await desk.store.calls.page(filters)).calls] == [record.call_sid]
    assert not (await desk.store.calls.page(Filters(caller=LINE))).calls


async def test_callbacks_that_come_out_of_order_and_twice_change_nothing(stage: Any) -> None:
    desk = await stage(callbacks=CallbackOddities(shuffled_ms=300, doubled=True))
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
    stage: Any, callee: Any, result: str, problem: str
) -> None:
    desk = await stage(retries=1, ring_s=5)
    call = await desk.call(callee)
    assert (call.state, call.result, call.problem) == ("failed", result, problem)
    assert [attempt.result for attempt in call.tries] == [result, result]
    assert len(desk.created()) == 2


async def test_who_answers_the_second_time_is_reached(stage: Any) -> None:
    desk = await stage()
    desk.carrier.callees[COLLEAGUE] = Busy()
    call = await desk.until(await desk.order(), lambda now: now.attempts == 1 and now.state == "queued")
    desk.carrier.callees[COLLEAGUE] = ANSWERS
    call = await desk.over(call)
    assert (call.state, [attempt.result for attempt in call.tries]) == ("done", ["busy", "answered"])


async def test_a_line_that_breaks_ends_the_call_as_answered(stage: Any) -> None:
    desk = await stage()
    assert (await desk.call(Drops(holds_s=0.5))).result == "answered"


async def test_a_number_that_twilio_refuses_is_not_tried_again_and_its_sentence_is_kept(stage: Any) -> None:
    desk = await stage()
    call = await desk.over(await desk.orders.place(COLLEAGUE, "+15550100077", ADA))
    assert (call.state, call.result, call.attempts) == ("failed", "refused", 1)
    assert call.problem.startswith("Twilio refuses it with error 21210, ")
    assert call.problem.endswith(": call from a number of the account, or verify this one")


async def test_nobody_is_called_who_opts_out_between_two_attempts(stage: Any) -> None:
    desk = await stage()
    desk.carrier.callees[COLLEAGUE] = Busy()
    call = await desk.until(await desk.order(), lambda now: now.attempts == 1 and now.state == "queued")
    await desk.store.opt_outs.add(COLLEAGUE, ADA)
    call = await desk.over(call)
    assert (call.state, call.result, len(desk.created())) == ("failed", "opted_out", 1)
    with pytest.raises(DialRefused):
        await desk.order()


async def test_in_quiet_hours_a_call_waits_for_their_end(stage: Any) -> None:
    now = datetime.now(UTC)
    quiet = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    desk = await stage(quiet=[quiet])
    call = await desk.until(await desk.order(), lambda now: bool(now.problem))
    assert call.problem.startswith("quiet hours until")
    assert timedelta(hours=1) < call.due_at - now < timedelta(hours=3)
    assert (call.state, desk.created()) == ("queued", [])


@pytest.mark.parametrize("fault", [500, None])
async def test_a_call_that_may_have_been_placed_is_found_and_not_placed_again(
    stage: Any, fault: int | None
) -> None:
    desk = await stage()
    desk.carrier.faults.append(RestFault("POST", "/Calls.json", answer=fault, performed=True))
    call = await desk.call(ANSWERS)
    assert (call.state, call.result, call.attempts) == ("done", "answered", 1)
    assert len(desk.created()) == 1


async def test_too_many_requests_delay_a_call_and_count_for_nothing(stage: Any) -> None:
    desk = await stage()
    desk.carrier.faults.append(RestFault("POST", "/Calls.json", answer=429))
    call = await desk.call(ANSWERS)
    assert (call.result, call.attempts, len(desk.created())) == ("answered", 1, 2)


async def test_a_machine_is_hung_up_on(stage: Any) -> None:
    desk = await stage(retries=1, retry_on=["machine"])
    call = await desk.call(Machine(after_s=1, answered_by="machine_start", detected_after_ms=300))
    assert (call.state, [attempt.result for attempt in call.tries]) == ("failed", ["machine", "machine"])
    await desk.carrier.settled()
    first, second = desk.carrier.calls_to(COLLEAGUE)
    assert {first.outcome, second.outcome} == {"bot hung up"}
    assert first.message is not None
    assert call.answered_by == "machine_start"


async def test_a_message_is_left_after_the_beep_once_and_the_bot_hangs_up(stage: Any) -> None:
    desk = await stage(**LEAVES, greeting="Hello, is that you? I have some news about your table")
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


async def test_a_machine_that_hangs_up_before_the_end_of_the_message_has_none(stage: Any) -> None:
    desk = await stage(**LEAVES, retries=0)
    call = await desk.call(Machine(after_s=1, greeting_ms=2500, takes_s=0.6))
    assert (call.state, call.result) == ("failed", "machine")


async def test_a_call_that_rings_is_hung_up_when_it_is_cancelled(stage: Any) -> None:
    desk = await stage(ring_s=600)
    desk.carrier.callees[COLLEAGUE] = NoAnswer()
    call = await desk.until(await desk.order(), lambda now: now.call_sid is not None)
    await desk.carrier.until(COLLEAGUE, "rings")
    await desk.store.outbound.cancel(call.id, ADA)
    call = await desk.over(call)
    assert (call.state, call.cancelled_by) == ("cancelled", "ada")
