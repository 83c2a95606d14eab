"""The load that calls put on a database: played by the service's own code, against a real PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from databases import PostgresServer
from msgspec.structs import replace

from phonebot.bench.database import measure_database
from phonebot.bench.database_calls import ScriptedCall, about_call, news_per_round
from phonebot.bench.database_load import CONSOLES, ENDED, FILED, LET_IN, LOOKS, ROUNDS, ROWS, SPENT
from phonebot.bench.database_report import DatabaseReport, Load
from phonebot.errors import StoreError
from phonebot.filing.rows import rows_of
from phonebot.replay.summary import summary_of
from phonebot.store.calls import CallStore, Filters
from phonebot.store.database import Database
from phonebot.web.feed import Feed
from phonebot.web.live_events import Snapshot

RECORDED = Path(__file__).parents[2] / "fixtures" / "calls"
SMALL = Load(calls=20, processes=2, call_s=10, consoles=1, generators=2)


def scripted(length_s: float = 180) -> ScriptedCall:
    return ScriptedCall(Feed("web-1/1"), about_call("CA" + "0" * 32, "+15550100000", "+15550123456"), length_s)


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> str:
    return postgres.url(postgres.create())


@pytest.fixture(scope="module")
def report(url: str) -> DatabaseReport:
    return measure_database(url, SMALL, seconds=2)


def test_of_each_kind_of_work_something_is_done_and_nothing_fails(report: DatabaseReport) -> None:
    kinds = {each.name: each for each in report.kinds}
    for name in (ROWS, ROUNDS, LET_IN, ENDED, FILED, SPENT, LOOKS, CONSOLES):
        assert kinds[name].done > 0, name
    assert [each.failed for each in report.kinds] == [0] * len(report.kinds)
    assert report.growth.wal_mb_s > 0
    assert report.growth.connections >= 2  # of each process one at least


def test_a_database_that_was_measured_is_left_with_the_calls_and_refused_the_next_time(
    report: DatabaseReport, url: str
) -> None:
    async def filed() -> int:
        database = Database(url)
        try:
            return len((await CallStore(database).page(Filters())).calls)
        finally:
            await database.close()

    assert asyncio.run(filed()) > 0
    with pytest.raises(StoreError, match=r"is in use, it holds calls or numbers: set PHONEBOT_DATABASE_URL to an"):
        measure_database(url, SMALL, seconds=1)


def test_a_load_that_is_slower_asks_for_less_in_a_second(postgres: PostgresServer, report: DatabaseReport) -> None:
    slower = measure_database(postgres.url(postgres.create()), replace(SMALL, slower=4), seconds=4)
    asked, asked_slower = ({each.name: each for each in of.kinds} for of in (report, slower))
    for name in (ROWS, ROUNDS, LOOKS):
        wanted = asked_slower[name].wanted
        assert wanted is not None, name
        assert wanted == pytest.approx((asked[name].wanted or 0) / 4), name
        assert 0 < asked_slower[name].done < 2 * wanted, name
    assert [each.failed for each in slower.kinds] == [0] * len(slower.kinds)


def test_sqlite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="measures a PostgreSQL: set PHONEBOT_DATABASE_URL to one that is empty"):
        measure_database(f"sqlite:///{tmp_path}/phonebot.db", SMALL, seconds=1)
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_told_of_in_a_sentence(postgres: PostgresServer) -> None:
    with pytest.raises(StoreError, match="does not exist: create it, or correct PHONEBOT_DATABASE_URL"):
        measure_database(postgres.url("not_there"), SMALL, seconds=1)


def test_a_scripted_call_is_as_dense_as_recorded_ones() -> None:
    call = scripted()
    call.advance(180_000)
    played = call.summary(datetime.now(UTC))
    recorded = [summary_of(RECORDED / name) for name in ("clinic", "long", "function")]
    minutes = sum(each.length_ms for each in recorded) / 60_000
    for of_recorded, of_played in (
        (sum(len(each.turns) for each in recorded), len(played.turns)),
        (sum(len(each.spent) for each in recorded), len(played.spent)),
        (sum(len(turn.text) for each in recorded for turn in each.turns), sum(map(len, _texts(call)))),
    ):
        assert of_recorded / minutes * 0.5 < of_played / 3 < of_recorded / minutes * 2


def test_the_snapshot_of_a_scripted_call_grows_and_is_read_by_other_processes() -> None:
    call = scripted()
    sizes = []
    for second in range(10, 181, 10):
        call.advance(second * 1000)
        text = msgspec.json.encode(call.told.snapshot())
        assert msgspec.json.decode(text, type=Snapshot).lines == call.told.lines
        sizes.append(len(text))
    assert sizes == sorted(sizes)
    assert sizes[-1] > 5_000
    assert call.due_ms is None


async def test_a_scripted_call_is_filed(database: Database) -> None:
    call = scripted(60)
    call.advance(60_000)
    rows = rows_of(call.summary(datetime.now(UTC)), "20261127T120000-CA0", "CA0")
    calls = CallStore(database)
    assert await calls.file(rows.call, rows.turns, rows.tool_calls, rows.usage, rows.text) == "new"
    filed = await calls.get("CA0")
    assert [turn.text for turn in filed.turns] == _texts(call)
    assert filed.ended_at is not None
    assert filed.ended_at - filed.started_at == timedelta(minutes=1)


def test_how_often_a_call_has_news_is_reckoned_from_its_script() -> None:
    assert 0 < news_per_round(180, 0.9) <= 1
    assert news_per_round(180, 30) == 1  # in half a minute something is always said


def _texts(call: ScriptedCall) -> list[str]:
    return [line.text for line in call.told.lines]
