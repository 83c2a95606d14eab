"""Where things are kept: what is said of each state, and that looking changes nothing."""

from pathlib import Path

import pytest
from databases import PostgresServer
from sqlalchemy import text

from phonebot.checkup import keeping
from phonebot.checkup.check import Check, Probe, run
from phonebot.checkup.keeping import data_folder, disk, of_facts, of_room, storage
from phonebot.errors import StoreTooNew
from phonebot.store.database import Database
from phonebot.store.examination import Facts, examine
from phonebot.store.recordings import Recordings


async def found(probe: Probe) -> Check:
    (check,) = await run([probe])
    return check


async def test_a_database_with_its_tables_is_well(database: Database) -> None:
    learnt = list[Facts]()
    check = await found(keeping.database(database, learnt.append))
    assert (check.state, "tables at 0001" in check.sentence, len(learnt)) == ("ok", True, 1)


async def test_a_database_without_tables_is_left_without(empty_database_url: str, tmp_path: Path) -> None:
    opened = Database(empty_database_url)
    check = await found(keeping.database(opened))
    assert (check.state, check.sentence.endswith("has no tables yet")) == ("warning", True)
    assert "phonebot db upgrade" in check.remedy
    assert await opened.revision() is None
    assert not (tmp_path / "phonebot.db").exists()
    await opened.close()


async def test_a_database_that_is_away_shows_no_password() -> None:
    check = await found(keeping.database(Database("postgresql://phonebot:secret@127.0.0.1:1/phonebot")))
    assert (check.state, "cannot be reached" in check.sentence) == ("failed", True)
    assert "PHONEBOT_DATABASE_URL" in check.remedy
    assert "secret" not in check.sentence + check.remedy


async def test_a_database_of_a_later_version_is_refused(database: Database) -> None:
    async with database.begin() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match="newer version of phonebot"):
        await examine(database)


async def test_a_database_that_may_only_be_read_fails(postgres: PostgresServer) -> None:
    name = postgres.create()
    opened = Database(postgres.url(name))
    await opened.upgrade()
    await opened.close()
    postgres.run_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    again = Database(postgres.url(name))
    check = await found(keeping.database(again))
    await again.close()
    assert (check.state, "may only be read" in check.sentence) == ("failed", True)
    assert check.remedy == "Give phonebot the right to write to it."


def test_a_database_behind_or_with_another_time_is_warned_of() -> None:
    opened = Database("postgresql://db.example.com/phonebot")
    behind = of_facts(opened, Facts("0001", "0002", 0, 1))
    assert (behind.state, "at 0001, not at 0002" in behind.sentence) == ("warning", True)
    early = of_facts(opened, Facts("0002", "0002", 7.2, 1))
    assert (early.state, "7 s ahead of ours" in early.sentence, "NTP" in early.remedy) == ("warning", True, True)
    assert "9 s behind ours" in of_facts(opened, Facts("0002", "0002", -9, 1)).sentence
    assert of_facts(opened, Facts("0002", "0002", 1, 1)).state == "ok"


async def test_a_storage_takes_and_gives_and_keeps_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    recordings = Recordings(folder.as_uri())
    not_yet = await found(storage(recordings))
    assert (not_yet.state, "is made when it is needed" in not_yet.sentence, folder.exists()) == ("ok", True, False)
    folder.mkdir()
    check = await found(storage(recordings))
    assert (check.state, "takes a file and gives it back" in check.sentence) == ("ok", True)
    assert list(folder.iterdir()) == []
    recordings.close()


async def test_a_storage_that_is_none_fails_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recordings = Recordings((tmp_path / "file").as_uri())
    check = await found(storage(recordings))
    recordings.close()
    assert (check.state, "Check that it is a folder" in check.remedy) == ("failed", True)


async def test_a_data_folder_is_written_to_and_nothing_stays(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    not_yet = await found(data_folder(folder, "data"))
    assert (not_yet.state, not_yet.sentence) == ("ok", "the folder data is made when it is needed")
    folder.mkdir(mode=0o700)
    assert await found(data_folder(folder, "data")) == Check(
        "Data folder", "ok", "the folder data can be written to, by us alone"
    )
    assert list(folder.iterdir()) == []


async def test_a_data_folder_open_to_others_is_warned_of(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "phonebot.db").touch()
    (folder / "phonebot.db").chmod(0o644)
    (folder / "opt-outs").mkdir(mode=0o755)
    check = await found(data_folder(folder, "data"))
    assert (check.state, "may read phonebot.db, opt-outs in data" in check.sentence) == ("warning", True)
    assert check.remedy == "Run `chmod -R go= data`."
    folder.chmod(0o700)
    assert (await found(data_folder(folder, "data"))).state == "ok"


async def test_a_data_folder_that_is_a_file_or_under_one_fails(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert (
        await found(data_folder(tmp_path / "data", "data"))
    ).sentence == "PHONEBOT_DATA_DIR is data, which is no folder"
    under = await found(data_folder(tmp_path / "data" / "calls", "data/calls"))
    assert (under.state, "data/calls cannot be written to" in under.sentence) == ("failed", True)
    assert "name another folder" in under.remedy


async def test_the_room_is_told_in_hours_of_calls(tmp_path: Path) -> None:
    assert (await found(disk(tmp_path / "not" / "there"))).name == "Disk"
    assert of_room(57_600_000_000) == Check("Disk", "ok", "57.6 GB free, about 1,000 hours of calls")
    assert [of_room(free).state for free in (999_000_000, 99_000_000)] == ["warning", "failed"]
    assert "PHONEBOT_DATA_DIR" in of_room(0).remedy
