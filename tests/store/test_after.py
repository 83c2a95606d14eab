"""The queue of what is to be done after calls, on both databases."""

from datetime import UTC, datetime

import pytest

from phonebot.errors import NotStored
from phonebot.store.after import AfterStore, Job, NothingToDo, after_row
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.calls import CallStore
from phonebot.store.database import Database
from phonebot.store.tables import AfterRow, CallRow, UsageRow

ADA = Actor("ada")
WISHES = {"summary": {}, "after_call": {"url": "https://crm.example.com/calls"}}
NOW = datetime(2026, 11, 27, tzinfo=UTC)


async def file(database: Database, sid: str = "CA1", wishes: dict[str, object] | None = None) -> None:
    call = CallRow(
        call_sid=sid,
        from_number="+15550100009",
        to_number="+15550100000",
        number="+15550100000",
        started_at=NOW,
        cost_usd=0.5,
        after=after_row(WISHES if wishes is None else wishes),
    )
    await CallStore(database).file(call, usage=[UsageRow(sequence=1, at_ms=0, cost_usd=0.5)])


async def claimed(after: AfterStore) -> Job:
    (job,) = await after.claim("one", 5)
    return job


async def row(database: Database, sid: str = "CA1") -> AfterRow:
    found = (await CallStore(database).get(sid)).after
    assert found is not None
    return found


async def test_a_job_has_one_owner_until_its_lease_is_over(database: Database) -> None:
    await file(database)
    await file(database, "CA2")
    after = AfterStore(database)
    first, second = await after.claim("one", 1), await after.claim("two", 5)
    assert {job.call_sid for job in [*first, *second]} == {"CA1", "CA2"}
    assert await after.claim("three", 5) == []
    assert await after.waiting() == 2

    gone = AfterStore(database, lease_s=-1)
    assert await gone.renew(first[0])
    (taken,) = await after.claim("three", 5)
    assert taken.call_sid == first[0].call_sid
    assert not await after.renew(first[0])
    assert await after.attempt(first[0]) is None
    assert not await after.keep_text(first[0], "summary", "mine")
    assert await after.attempt(taken) == 1
    assert await after.release(taken)
    assert len(await after.claim("four", 5)) == 1


async def test_texts_are_kept_and_are_on_the_bill(database: Database) -> None:
    await file(database)
    after, job = AfterStore(database), await claimed(AfterStore(database))
    spent = [UsageRow(response_id="summary", at_ms=5, input_text=100, cost_usd=0.25)]
    assert await after.keep_text(job, "summary", "A call.", spent=spent)
    assert await after.keep_text(job, "extracted", problem="it does not fit\0" + "x" * 1000)
    call = await CallStore(database).get("CA1")
    assert (call.cost_usd, [(each.sequence, each.response_id) for each in call.usage]) == (
        0.75,
        [(1, None), (2, "summary")],
    )
    kept = await row(database)
    assert (kept.summary, kept.extracted, len(kept.extracted_problem or "")) == ("A call.", None, 500)
    # What one part costs is not known: then nobody knows what it all cost.
    await after.keep_spent(job, [UsageRow(response_id="extract", at_ms=5)])
    assert (await CallStore(database).get("CA1")).cost_usd is None


async def test_what_failed_is_due_later_and_what_was_taken_is_done(database: Database) -> None:
    await file(database)
    after, job = AfterStore(database), await claimed(AfterStore(database))
    assert await after.attempt(job) == 1
    assert await after.failed(job, "status 500", retry_s=60)
    assert await after.claim("one", 5) == []
    assert ((await row(database)).problem, await after.waiting()) == ("status 500", 1)

    await after.again("CA1", ADA)
    job = await claimed(after)
    assert await after.attempt(job) == 2
    assert await after.delivered(job)
    done = await row(database)
    assert (done.state, done.attempts, done.problem, done.lease) == ("done", 2, None, None)
    assert done.delivered_at is not None
    assert (await after.waiting(), await after.claim("one", 5)) == (0, [])


async def test_what_is_given_up_meanwhile_is_not_begun_but_counts_if_it_was_taken(database: Database) -> None:
    await file(database)
    after, job = AfterStore(database), await claimed(AfterStore(database))
    await after.stop("CA1", ADA)
    assert await after.attempt(job) is None
    assert not await after.failed(job, "status 500", retry_s=1)
    assert (await row(database)).state == "given_up"
    assert await after.delivered(job)
    assert (await row(database)).state == "done"
    with pytest.raises(NothingToDo, match="nothing waits"):
        await after.stop("CA1", ADA)
    noted = await AuditStore(database).page(target="CA1")
    assert [(each.who, each.what) for each in noted] == [("ada", "call.give_up")]


async def test_once_more_makes_the_texts_that_could_not_be_made(database: Database) -> None:
    await file(database, wishes={"summary": {}, "extract": {}})
    after, job = AfterStore(database), await claimed(AfterStore(database))
    await after.keep_text(job, "summary", "A call.")
    await after.keep_text(job, "extracted", problem="no")
    await after.done(job)
    await after.again("CA1", ADA)
    kept = await row(database)
    assert (kept.state, kept.summary, kept.extracted_problem) == ("waiting", "A call.", None)
    await after.keep_text(await claimed(after), "extracted", {"topic": "tea"})
    with pytest.raises(NothingToDo, match="nothing is to be sent, and nothing is missing"):
        await after.again("CA1", ADA)


async def test_of_a_call_that_is_not_there_or_wants_nothing_nothing_is_done(database: Database) -> None:
    call = CallRow(call_sid="CA3", from_number="a", to_number="b", number="b", started_at=NOW)
    await CallStore(database).file(call)
    after = AfterStore(database)
    for change in (after.again, after.stop):
        with pytest.raises(NothingToDo, match="wants nothing done after it"):
            await change("CA3", ADA)
        with pytest.raises(NotStored):
            await change("CA9", ADA)
    assert await AuditStore(database).page() == []
