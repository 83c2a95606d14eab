"""Calls in progress in the database, on both kinds: written, listed, asked for something, and gone."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from phonebot.errors import NotStored
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.live import GONE_S, KEPT_S, STALE_S, TAKES_S, LiveCall, LiveStore
from phonebot.store.relay import EVENTS_S
from phonebot.store.tables import AuditRow, LiveAudio, LiveCallRow, LiveCommand, LiveEvents, LiveProcess

ADA = Actor("ada", "192.0.2.7")
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE, OTHER = "web-1/7-aaaa", "web-2/7-bbbb"


def call(
    call_sid: str, counter: int = 1, snapshot: str = "{}", outcome: str | None = None, stream: str = "first"
) -> LiveCall:
    return LiveCall(call_sid, "+15550100002", "+15550100001", STARTED, counter, snapshot, outcome, stream)


@pytest.fixture
def live(database: Database) -> LiveStore:
    return LiveStore(database)


async def silence(database: Database, process: str, seconds: float) -> None:
    """The process said nothing for so long."""
    async with database.begin() as session:
        since = datetime.now(UTC) - timedelta(seconds=seconds)
        await session.execute(update(LiveProcess).where(LiveProcess.process == process).values(seen_at=since))


async def rows(database: Database, table: type) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def test_what_a_process_writes_is_listed_for_the_others_with_each_change(live: LiveStore) -> None:
    assert await live.write(ONE, [call("CA1"), call("CA2")]) == (False, [])
    assert await live.write(ONE, [call("CA2", 5, '{"said": "Grüezi"}')]) == (True, [])
    await live.write(OTHER, [call("CA3")])
    listed = await live.listed(besides=OTHER)
    assert [(each.key, each.counter, each.outcome) for each in listed] == [
        ((ONE, "CA1"), 1, None),
        ((ONE, "CA2"), 5, None),
    ]
    assert max(each.silent_s for each in listed) < STALE_S
    assert len(await live.listed()) == 3
    keys = [each.key for each in listed]
    assert await live.snapshots([*keys, (ONE, "CA9")]) == {keys[0]: "{}", keys[1]: '{"said": "Grüezi"}'}
    await live.write(ONE, [call("CA1", 2, outcome="caller_hung_up")], forget=["CA2"])
    assert [(each.key[1], each.outcome) for each in await live.listed(OTHER)] == [("CA1", "caller_hung_up")]


async def test_the_calls_of_a_silent_process_are_stale_then_gone_and_kept_for_recovery(
    live: LiveStore, database: Database
) -> None:
    await live.write(ONE, [call("CA1", 1, '{"said": 1}')])
    await silence(database, ONE, STALE_S + 1)
    (listed,) = await live.listed()
    assert listed.is_stale
    with pytest.raises(NotStored, match="no call CA1 in progress"):
        await live.ask("CA1", "hang_up", ADA)
    await silence(database, ONE, GONE_S + 1)
    await live.tidy()
    assert await live.listed() == []
    standing = await live.standing("CA1", "first")
    assert standing is not None
    assert (standing.process, standing.snapshot, standing.outcome) == (ONE, '{"said": 1}', None)
    assert GONE_S < standing.silent_s < GONE_S + 60
    assert await live.standing("CA9", "first") is None
    await silence(database, ONE, KEPT_S + 1)
    await live.tidy()
    assert await live.standing("CA1", "first") is None
    assert (await live.write(ONE))[0] is False  # and so it writes all it has once more


async def test_a_call_that_came_back_on_another_process_is_known_by_its_newest_words(
    live: LiveStore, database: Database
) -> None:
    await live.write(ONE, [call("CA1", 9, '{"said": "before"}')])
    await live.write(OTHER, [call("CA1", 1, '{"said": "after"}', stream="second")])
    standing = await live.standing("CA1", "unknown")
    assert standing is not None
    assert standing.snapshot == '{"said": "after"}'
    for stream, said in (("first", "before"), ("second", "after")):
        standing = await live.standing("CA1", stream)
        assert standing is not None
        assert (standing.stream, standing.snapshot) == (stream, f'{{"said": "{said}"}}')
    await silence(database, ONE, STALE_S + 1)
    assert (await live.ask("CA1", "hang_up", ADA))[0] == (OTHER, "CA1")


async def test_a_command_comes_until_its_outcome_is_written_and_is_audited(
    live: LiveStore, database: Database
) -> None:
    await live.write(ONE, [call("CA1")])
    key, command = await live.ask("CA1", "hang_up", ADA)
    assert key == (ONE, "CA1")
    assert (await live.write(OTHER))[1] == []
    for _again in range(2):
        (wanted,) = (await live.write(ONE))[1]
        assert (wanted.id, wanted.call_sid, wanted.what, wanted.who) == (command, "CA1", "hang_up", "ada")
    assert await live.outcome(command) is None
    assert (await live.write(ONE, done={command: "done"}))[1] == []
    assert await live.outcome(command) == "done"
    async with database.read() as session:
        (noted,) = (await session.scalars(select(AuditRow))).all()
    assert (noted.who, noted.what, noted.target, noted.address) == ("ada", "call.hang_up", "CA1", "192.0.2.7")


async def test_to_listen_is_wanted_until_it_is_withdrawn_or_not_renewed(live: LiveStore) -> None:
    await live.write(ONE, [call("CA1")])
    _, command = await live.ask("CA1", "listen", ADA, lasts_s=60)
    assert [wanted.what for wanted in (await live.write(ONE))[1]] == ["listen"]
    await live.renew(command, -1)
    assert (await live.write(ONE))[1] == []
    await live.renew(command, 60)
    assert len((await live.write(ONE))[1]) == 1
    await live.withdraw(command)
    assert (await live.write(ONE))[1] == []


async def test_sound_is_read_in_order_from_the_newest_block_on_and_not_kept(
    live: LiveStore, database: Database
) -> None:
    key = (ONE, "CA1")
    for sequence in range(3):
        await live.relay.put_audio(key, sequence, bytes([sequence]) * 8_000)
    assert await live.relay.audio(key, None) == [(2, b"\2" * 8_000)]
    assert [sequence for sequence, _ in await live.relay.audio(key, 0)] == [1, 2]
    assert await live.relay.audio((OTHER, "CA1"), None) == []
    async with database.begin() as session:
        await session.execute(update(LiveAudio).values(at=datetime.now(UTC) - timedelta(seconds=6)))
    await live.relay.put_audio(key, 3, b"")
    assert [sequence for sequence, _ in await live.relay.audio(key, -1)] == [3]


async def test_what_nobody_needs_is_removed(live: LiveStore, database: Database) -> None:
    await live.write(ONE, [call("CA1", outcome="time_limit"), call("CA2")])
    await live.ask("CA2", "hang_up", ADA)
    await live.relay.put_audio((ONE, "CA2"), 1, b"")
    long_ago = datetime.now(UTC) - timedelta(seconds=KEPT_S + 1)
    async with database.begin() as session:
        await session.execute(update(LiveCallRow).values(updated_at=long_ago))
        await session.execute(update(LiveCommand).values(asked_at=long_ago))
        await session.execute(update(LiveAudio).values(at=long_ago))
    await live.tidy()
    assert [each.key[1] for each in await live.listed()] == ["CA2"]
    assert [await rows(database, table) for table in (LiveCommand, LiveAudio)] == [0, 0]


async def test_what_is_to_be_said_comes_to_the_process_with_its_words_and_is_audited(
    live: LiveStore, database: Database
) -> None:
    await live.write(ONE, [call("CA1")])
    key, command = await live.ask("CA1", "say", ADA, wish='{"text": "Grüezi"}')
    assert key == (ONE, "CA1")
    _, (asked,) = await live.write(ONE)
    assert (asked.id, asked.what, asked.who, asked.wish) == (command, "say", "ada", '{"text": "Grüezi"}')
    await live.write(ONE, done={command: "done"})
    assert await live.outcome(command) == "done"
    assert (await live.write(ONE))[1] == []
    assert await rows(database, AuditRow) == 1


async def test_what_happens_in_a_call_that_is_followed_is_read_in_order_and_kept_for_a_moment(
    live: LiveStore, database: Database
) -> None:
    await live.write(ONE, [call("CA1")])
    key, command = await live.ask("CA1", "follow", ADA, 8.0)
    assert await rows(database, AuditRow) == 0  # as watching is not
    assert await live.relay.newest_events(key) == -1
    for number, part in enumerate(("a\n", "b\nc\n")):
        await live.relay.put_events(key, number, part)
    await live.relay.put_events((ONE, "CA2"), 2, "d\n")
    assert await live.relay.events(key, -1) == [(0, "a\n"), (1, "b\nc\n")]
    assert await live.relay.events(key, 0) == [(1, "b\nc\n")]
    assert await live.relay.newest_events(key) == 1
    assert await live.is_held(key)
    assert await live.renew(command, 8.0) is None
    await live.withdraw(command)
    assert (await live.write(ONE))[1] == []
    async with database.begin() as session:
        since = datetime.now(UTC) - timedelta(seconds=EVENTS_S + 1)
        await session.execute(update(LiveEvents).where(LiveEvents.sequence == 0).values(at=since))
    await live.relay.put_events(key, 3, "e\n")
    assert [number for number, _ in await live.relay.events(key, -1)] == [1, 3]
    await live.write(ONE, [call("CA1", 2, outcome="caller_hung_up")])
    assert not await live.is_held(key)
    await silence(database, ONE, GONE_S + 1)
    assert not await live.is_held((ONE, "CA2"))
    async with database.begin() as session:
        await session.execute(update(LiveEvents).values(at=since - timedelta(seconds=EVENTS_S)))
    await live.tidy()
    assert await rows(database, LiveEvents) == 0


async def test_the_processes_that_take_calls_are_those_that_have_said_so_of_late(
    live: LiveStore, database: Database
) -> None:
    await live.write(ONE)
    await live.write(OTHER)
    assert await live.taking_calls(besides=ONE) == [OTHER]
    await live.write(OTHER, takes_calls=False)
    assert await live.taking_calls(besides=ONE) == []
    await live.write(OTHER)
    await silence(database, OTHER, TAKES_S + 1)
    assert await live.taking_calls(besides=ONE) == []
