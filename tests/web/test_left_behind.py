"""What is known of a call that another process held: at once where that is dead, else once it has had its say."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from phonebot.errors import StoreUnavailable
from phonebot.store import admissions
from phonebot.store.admissions import AdmissionStore
from phonebot.store.calls import CallStore
from phonebot.store.database import Database
from phonebot.store.live import LiveCall, LiveStore, Standing
from phonebot.store.tables import CallRow, LiveProcess
from phonebot.transfers.after import NOT_BEGUN, Left
from phonebot.transfers.continuations import Standing as HowFar
from phonebot.web import left_behind
from phonebot.web.admission import Gate
from phonebot.web.left_behind import LeftBehind
from phonebot.web.live_events import Said, Snapshot, standing_of
from phonebot.web.roster import Roster

CALL = Snapshot(
    call_sid="CA1",
    kind="twilio",
    started=datetime(2026, 1, 2, tzinfo=UTC),
    caller="+15550100001",
    number="+15550100002",
    profile="default",
    profile_version="1",
    lines=(Said(role="caller", item_id="a", text="Hello?"),),
    texts={"b": "How can I", "c": "help?"},
    earlier=(("bot", "Hi."),),
    agent="billing",
    language="de-DE",
    resumed=2,
)


class Deployment:
    """`holder` is the process that held CALL, `asked` the one that the carrier asks."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.live = database, LiveStore(database)
        self.folder, self.holder = folder, Roster(folder, "host/1-aa")
        self.admissions = AdmissionStore(database)
        gate = Gate("key", store=self.admissions)
        self.asked = LeftBehind(self.live, CallStore(database), Roster(folder, "host/2-bb"), gate.shut)

    async def takes(self, stream: str) -> bool:
        """The holder takes the token of a stream; whether it is let in."""
        expires_at = datetime.now(UTC) + timedelta(minutes=1)
        return await self.admissions.take(stream, "CA1", expires_at) == "taken"

    async def write(
        self, outcome: str | None = None, process: str = "host/1-aa", stream: str = "first", call: Snapshot = CALL
    ) -> list[str]:
        """The holder writes, or another process; what it was asked."""
        text = msgspec.json.encode(call).decode()
        row = LiveCall("CA1", "+15550100002", "+15550100001", CALL.started, 1, text, outcome, stream)
        _, commands = await self.live.write(process, [row])
        return [command.what for command in commands]


@pytest.fixture
def deployment(sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(admissions, "DEADLINE_S", 10.0)  # the machine may be busy with other tests
    return Deployment(sqlite, tmp_path / "processes")


def test_how_far_a_call_has_come_is_told_by_its_snapshot() -> None:
    standing = standing_of(CALL)
    assert standing.lines == (("bot", "Hi."), ("caller", "Hello?"))
    assert (standing.agent, standing.language, standing.resumed) == ("billing", "de-DE", 2)
    assert standing.saying == "How can I help?"


async def test_the_call_of_a_process_that_is_dead_is_known_at_once(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_behind, "PATIENCE_S", 3_600)
    with deployment.holder.enrolled():
        await deployment.write()
        file = next(deployment.folder.iterdir())
        kept = file.read_bytes()
    file.write_bytes(kept)  # as one that was killed leaves it
    assert await deployment.asked.of("CA1", "first") == Left(None, standing_of(CALL))


async def test_the_call_of_a_process_of_another_machine_that_has_long_said_nothing_is_known_at_once(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_behind, "PATIENCE_S", 3_600)
    await deployment.write()
    async with deployment.database.begin() as session:
        await session.execute(update(LiveProcess).values(seen_at=datetime.now(UTC) - timedelta(seconds=5)))
    assert await deployment.asked.of("CA1", "first") == Left(None, standing_of(CALL))


async def test_a_process_that_runs_is_asked_and_says_how_its_call_ended(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_behind, "PATIENCE_S", 3_600)
    await deployment.write()
    with deployment.holder.enrolled():
        asking = asyncio.create_task(deployment.asked.of("CA1", "first"))
        while "lost" not in await deployment.write():
            await asyncio.sleep(0.01)
        await deployment.write("bot_hung_up")
        assert await asking == Left("bot_hung_up", standing_of(CALL))


async def test_one_that_says_nothing_is_not_waited_for_for_ever(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_behind, "PATIENCE_S", 0)
    await deployment.write()
    with deployment.holder.enrolled():
        assert await deployment.asked.of("CA1", "first") == Left(None, standing_of(CALL))


async def test_how_a_call_left_an_earlier_stream_says_nothing_of_a_later_one(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that has it now writes a little later than the call ends there."""
    monkeypatch.setattr(left_behind, "PATIENCE_S", 3_600)
    later = msgspec.structs.replace(CALL, lines=(), agent="main")
    await deployment.write("moved")
    await deployment.takes("second")
    asking = asyncio.create_task(deployment.asked.of("CA1", "second"))
    await asyncio.sleep(0.05)
    await deployment.write(None, "host/3-cc", "second", later)
    while "lost" not in await deployment.write(None, "host/3-cc", "second", later):
        await asyncio.sleep(0.01)
    await deployment.write("moved")  # as a process that ends does once more
    await deployment.write("operator_hung_up", "host/3-cc", "second", later)
    assert await asking == Left("operator_hung_up", standing_of(later))
    assert await deployment.asked.of("CA1", "first") == Left("moved", standing_of(CALL))


async def test_where_nothing_was_written_of_the_later_one_the_earlier_one_tells_how_far_the_call_had_come(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_behind, "PATIENCE_S", 0)
    await deployment.write("moved")
    await deployment.takes("second")
    assert await deployment.asked.of("CA1", "second") == Left(None, standing_of(CALL))


async def test_a_call_that_began_and_ended_before_its_process_could_write_is_waited_for(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_behind, "PATIENCE_S", 3_600)
    await deployment.takes("first")
    asking = asyncio.create_task(deployment.asked.of("CA1", "first"))
    await asyncio.sleep(0.05)
    await deployment.write("bot_hung_up")
    assert await asking == Left("bot_hung_up", standing_of(CALL))


async def test_a_stream_that_no_process_has_had_is_known_to_be_so_at_once_and_none_will_have_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_behind, "PATIENCE_S", 3_600)
    assert await deployment.asked.of("CA1", "first") == Left(NOT_BEGUN, HowFar())
    await deployment.write("moved", stream="second")
    assert await deployment.asked.of("CA1", "third") == Left(None, standing_of(CALL))
    assert [await deployment.takes(stream) for stream in ("first", "third", "fourth")] == [False, False, True]


async def test_a_new_call_whose_process_died_before_it_wrote_anything_has_not_begun(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_behind, "PATIENCE_S", 0)
    await deployment.takes("first")
    assert await deployment.asked.of("CA1", "first") == Left(NOT_BEGUN, HowFar())


async def test_a_call_that_is_filed_is_not_taken_for_one_that_has_not_begun(deployment: Deployment) -> None:
    numbers = dict.fromkeys(("from_number", "to_number", "number"), "+15550100002")
    await CallStore(deployment.database).file(CallRow(call_sid="CA9", started_at=CALL.started, **numbers))
    assert await deployment.asked.of("CA9", "first") is None


async def test_nothing_is_known_of_calls_while_the_database_is_away(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def away(*_: object) -> Standing | None:
        raise StoreUnavailable("it is away: wait")

    monkeypatch.setattr(LiveStore, "standing", away)
    assert await deployment.asked.of("CA1", "first") is None
