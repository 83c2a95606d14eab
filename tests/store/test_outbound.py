"""The queue of calls that we make, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from phonebot.errors import NotStored
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.database import Database
from phonebot.store.opt_outs import OptOutStore
from phonebot.store.outbound import DialRefused, Job, NothingToCancel, OutboundCall, OutboundStore, Over
from phonebot.store.tables import NumberRow, Table

ADA = Actor("ada")
US, HER, HIM = "+15550100000", "+15550100009", "+15550100010"


@pytest.fixture
def store(database: Database) -> OutboundStore:
    return OutboundStore(database)


async def claimed(store: OutboundStore) -> Job:
    (job,) = await store.claim("one", 5)
    return job


async def begun(store: OutboundStore, to: str = HER) -> Job:
    """A call whose first attempt has begun."""
    await store.add(to, US, ADA)
    job = await claimed(store)
    assert await store.begin(job, at_once=5, look_s=60) == "begun"
    return job


async def again(store: OutboundStore, call: OutboundCall) -> OutboundCall:
    return await store.get(call.id)


async def test_a_call_is_wanted_dialled_answered_and_over(store: OutboundStore, database: Database) -> None:
    call = await store.add(HER, US, ADA, reason=" Confirm the table. ")
    assert (call.state, call.reason, call.asked_by, call.tries) == ("queued", "Confirm the table.", "ada", ())
    job = await claimed(store)
    assert await store.claim("two", 5) == []
    assert await store.begin(job, at_once=5, look_s=60) == "begun"
    await store.dialled(job, "CA1", look_s=60)
    assert await store.claim("two", 5) == []
    assert await store.talking(call.id, 1, "CA1", look_s=60)
    assert not await store.talking(call.id, 1, "CA1", look_s=60)
    assert await store.detected(call.id, 1, "CA1", "human")
    assert (await store.of_call("CA1")) == await again(store, call)
    assert await store.over(call.id, 1, Over("answered", "done"))
    assert not await store.over(call.id, 1, Over("failed"))
    call = await again(store, call)
    assert (call.state, call.result, call.answered_by, call.is_over) == ("done", "answered", "human", True)
    (attempt,) = call.tries
    assert (attempt.call_sid, attempt.result, attempt.answered_by) == ("CA1", "answered", "human")
    assert call.ended_at is not None
    assert [(row.what, row.target) for row in await AuditStore(database).page()] == [
        ("outbound.dial", f"outbound {call.id}")
    ]
    assert await store.waiting() == 0


async def test_an_attempt_that_reached_nobody_is_followed_by_another(store: OutboundStore) -> None:
    call = (await begun(store)).call
    assert await store.over(call.id, 1, Over("busy", problem="the line was busy", retry_s=-1))
    assert (await again(store, call)).state == "queued"
    job = await claimed(store)
    assert await store.begin(job, at_once=5, look_s=60) == "begun"
    assert not await store.over(call.id, 1, Over("failed"))
    assert await store.seen(call.id, 1, "CA1") is None
    assert await store.seen(call.id, 2, "CA2") is not None
    assert await store.over(call.id, 2, Over("no_answer"))
    call = await again(store, call)
    assert (call.state, call.attempts, [each.result for each in call.tries]) == ("failed", 2, ["busy", "no_answer"])


async def test_what_is_told_of_another_call_sid_is_ignored(store: OutboundStore) -> None:
    job = await begun(store)
    await store.dialled(job, "CA1", look_s=60)
    assert not await store.talking(job.call.id, 1, "CA2", look_s=60)
    assert await store.detected(job.call.id, 1, "CA2", "human") is None
    await store.dialled(job, "CA2", look_s=60)
    assert (await again(store, job.call)).call_sid == "CA1"


async def test_a_callback_may_come_before_the_answer_that_names_the_call(store: OutboundStore) -> None:
    job = await begun(store)
    assert await store.talking(job.call.id, 1, "CA1", look_s=60)
    await store.dialled(job, "CA1", look_s=60)
    call = await again(store, job.call)
    assert (call.state, call.call_sid) == ("talking", "CA1")
    assert await store.over(call.id, 1, Over("answered", "done"))
    await store.dialled(job, "CA1", look_s=60)
    assert (await again(store, call)).state == "done"


async def test_nobody_is_called_who_opted_out_between_two_attempts(
    store: OutboundStore, database: Database
) -> None:
    call = (await begun(store)).call
    await store.over(call.id, 1, Over("busy", retry_s=-1))
    await OptOutStore(database).add(HER, ADA, why="asked for it")
    job = await claimed(store)
    assert await store.begin(job, at_once=5, look_s=60) == "opted_out"
    assert await store.drop(job, "opted_out", "the number has opted out")
    assert (await again(store, call)).result == "opted_out"
    with pytest.raises(DialRefused, match="does not want to be called"):
        await store.add(HER, US, ADA)


async def test_only_so_many_calls_of_a_number_run_at_once_and_one_to_a_person(store: OutboundStore) -> None:
    await begun(store)
    for to in (HER, HIM):
        await store.add(to, US, ADA)
    to_her, to_him = await store.claim("one", 5)
    assert await store.begin(to_her, at_once=5, look_s=60) == "crowded"
    assert await store.begin(to_him, at_once=1, look_s=60) == "crowded"
    assert await store.begin(to_him, at_once=2, look_s=60) == "begun"
    assert await store.wait(to_her, 0, "another call")
    assert (await claimed(store)).call.problem == "another call"


async def test_an_attempt_that_was_not_made_does_not_count(store: OutboundStore) -> None:
    job = await begun(store)
    assert await store.wait(job, 0, "too many requests", undone=True)
    call = await again(store, job.call)
    assert (call.state, call.attempts, call.tries, call.problem) == ("queued", 0, (), "too many requests")


async def test_who_dies_over_a_call_loses_it_as_it_stands(database: Database) -> None:
    dying, store = OutboundStore(database, lease_s=-1), OutboundStore(database)
    await store.add(HER, US, ADA)
    (first,) = await dying.claim("one", 1)
    assert await dying.begin(first, at_once=5, look_s=-1) == "begun"
    taken = await claimed(store)
    assert (taken.call.state, taken.call.call_sid) == ("dialling", None)
    assert not await store.look_later(first, 10)
    assert await store.look_later(taken, 0, "asked")
    assert (await claimed(store)).call.problem == "asked"


async def test_a_call_that_waits_is_cancelled_at_once_and_one_that_rings_after_it(store: OutboundStore) -> None:
    waiting = await store.add(HER, US, ADA)
    assert (await store.cancel(waiting.id, ADA)).state == "cancelled"
    with pytest.raises(NothingToCancel):
        await store.cancel(waiting.id, ADA)
    with pytest.raises(NotStored):
        await store.cancel(99, ADA)
    job = await begun(store)
    ringing = await store.cancel(job.call.id, ADA)
    assert (ringing.state, ringing.cancelled_by) == ("dialling", "ada")
    assert await store.over(job.call.id, 1, Over("no_answer", retry_s=1))
    assert (await again(store, job.call)).state == "cancelled"


async def test_a_message_that_turns_out_to_be_left_ends_the_attempts(store: OutboundStore) -> None:
    job = await begun(store)
    await store.dialled(job, "CA1", look_s=60)
    assert not await store.left_message("CA1")
    await store.over(job.call.id, 1, Over("machine", retry_s=900))
    assert await store.left_message("CA1")
    call = await again(store, job.call)
    assert (call.state, call.result, call.tries[-1].result) == ("done", "message_left", "message_left")


async def test_calls_that_have_ended_go_after_the_days_of_their_number(
    store: OutboundStore, database: Database
) -> None:
    async with database.begin() as session:
        for number, days in ((US, 30), ("default", 1), (HIM, None)):
            session.add(NumberRow(number=number, created_at=datetime.now(UTC), retention_days=days))
    waits, ours, kept, others = [await store.add(HER, number, ADA) for number in (US, US, HIM, "+15550100001")]
    for call in (ours, kept, others):
        await store.cancel(call.id, ADA)
    now = datetime.now(UTC)
    assert await store.delete_expired(now) == 0
    assert await store.delete_expired(now + timedelta(days=2)) == 1
    assert [call.id for call in await store.page()] == [kept.id, ours.id, waits.id]
    assert await store.delete_expired(now + timedelta(days=31)) == 1
    assert [call.id for call in await store.page()] == [kept.id, waits.id]


async def test_of_a_call_that_has_gone_no_number_of_whom_it_was_to_stays(
    store: OutboundStore, database: Database
) -> None:
    async with database.begin() as session:
        session.add(NumberRow(number=US, created_at=datetime.now(UTC), retention_days=1))
    call = await store.add(HER, US, ADA, reason="Remind her.")
    await store.cancel(call.id, ADA)
    assert await store.delete_expired(datetime.now(UTC) + timedelta(days=2)) == 1
    async with database.read() as session:
        for table in Table.metadata.sorted_tables:
            assert not any(HER in str(tuple(row)) for row in await session.execute(select(table)))


async def test_a_page_holds_the_newest_that_are_asked_for(store: OutboundStore) -> None:
    calls = [await store.add(to, US, ADA) for to in (HER, HIM, HER)]
    await store.cancel(calls[0].id, ADA)
    ids = [call.id for call in calls]
    assert [call.id for call in await store.page()] == ids[::-1]
    assert [call.id for call in await store.page(limit=1, before_id=ids[2])] == [ids[1]]
    assert [call.id for call in await store.page(state="open")] == [ids[2], ids[1]]
    assert [call.id for call in await store.page(state="cancelled", to_number=HER, from_number=US)] == [ids[0]]


async def test_a_call_waits_until_a_moment(store: OutboundStore) -> None:
    await store.add(HER, US, ADA)
    job = await claimed(store)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    assert await store.wait(job, until, "quiet hours")
    assert (await again(store, job.call)).due_at == until
    assert await store.claim("two", 5) == []
