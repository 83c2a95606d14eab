"""A process follows the profiles of the store, on both databases, and keeps what it has when the store is away."""

import asyncio
import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from databases import PostgresServer
from service_driver import PROFILE, StartService, until

from phonebot.agents.profile import Profile
from phonebot.audio import wav
from phonebot.errors import StoreUnavailable
from phonebot.simulator.caller import Pause, WaitForBot
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.numbers import NumberStore, Version
from phonebot.web import profiles
from phonebot.web.editing import ProfileEditor
from phonebot.web.profiles import StoredProfiles

ADA = Actor("ada")
DESK, OTHER = "+15550100000", "+15550100002"
TESTER, CALLER = "+15550100009", "+15550100001"


class Bench:
    """A store with an editor, and a process that follows it."""

    def __init__(self, database: Database, recordings: Path) -> None:
        self.numbers = NumberStore(database)
        self.editor = ProfileEditor(self.numbers, recordings)
        self.profiles = StoredProfiles(self.numbers, recordings)

    async def save(self, number: str, name: str, test_callers: Iterable[str] | None = None, **keys: Any) -> str:
        saved = await self.editor.save(number, {"name": name, **keys}, ADA, test_callers=test_callers)
        return saved.version.version

    def name(self, number: str = DESK, caller: str = CALLER) -> str:
        return self.profiles.profile_for(number, caller).name


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path / "audio")


async def test_before_anything_was_read_and_without_profiles_the_built_in_one_answers(bench: Bench) -> None:
    assert bench.profiles.profile_for(DESK, CALLER) == Profile()
    assert await bench.profiles.refresh()
    assert bench.profiles.profile_for(DESK, CALLER) == Profile()


async def test_a_folder_of_recordings_that_stands_still_holds_nothing_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held answers until it goes on; the change is not lost."""
    await bench.save(DESK, "before")
    await bench.profiles.refresh()
    await bench.save(DESK, "after")
    goes_on, reads = threading.Event(), profiles.read

    def stuck(version: Version, recordings: Path) -> Profile:
        goes_on.wait()
        return reads(version, recordings)

    monkeypatch.setattr(profiles, "read", stuck)
    refreshing = asyncio.create_task(bench.profiles.refresh())
    await asyncio.sleep(0.05)
    assert (refreshing.done(), bench.name()) == (False, "before")
    goes_on.set()
    assert await refreshing
    assert bench.name() == "after"


async def test_a_change_answers_once_it_was_read(bench: Bench) -> None:
    await bench.save("default", "all")
    await bench.profiles.refresh()
    await bench.save(DESK, "desk")
    assert bench.name() == "all"
    assert await bench.profiles.refresh()
    assert (bench.name(), bench.name(OTHER)) == ("desk", "all")
    assert not await bench.profiles.refresh()
    await bench.numbers.delete(DESK, ADA)
    await bench.profiles.refresh()
    assert bench.name() == "all"


async def test_a_profile_is_known_by_the_version_it_was_saved_as(bench: Bench) -> None:
    version = await bench.save(DESK, "desk")
    await bench.profiles.refresh()
    profile = bench.profiles.profile_for(DESK)
    assert profile.version == version == Profile(name="desk").version


async def test_a_trial_answers_test_callers_until_it_is_released(bench: Bench) -> None:
    await bench.save(DESK, "old")
    await bench.save(DESK, "new", test_callers=[TESTER])
    await bench.profiles.refresh()
    assert (bench.name(), bench.name(caller=TESTER)) == ("old", "new")
    await bench.numbers.release(DESK, 2, ADA)
    await bench.profiles.refresh()
    assert (bench.name(), bench.name(caller=TESTER)) == ("new", "new")


async def test_a_number_with_a_trial_alone_leaves_the_others_to_the_default(bench: Bench) -> None:
    await bench.save("default", "all")
    await bench.save(DESK, "new", test_callers=[TESTER])
    await bench.profiles.refresh()
    assert (bench.name(), bench.name(caller=TESTER)) == ("all", "new")


async def test_a_profile_that_did_not_change_is_not_read_again(bench: Bench) -> None:
    await bench.save(DESK, "desk")
    await bench.profiles.refresh()
    held = bench.profiles.profile_for(DESK)
    await bench.save(OTHER, "other")
    await bench.profiles.refresh()
    assert bench.profiles.profile_for(DESK) is held


async def test_a_number_made_anew_is_answered_anew(bench: Bench) -> None:
    await bench.save(DESK, "desk")
    await bench.profiles.refresh()
    await bench.numbers.delete(DESK, ADA)
    await bench.save(DESK, "another")
    await bench.profiles.refresh()
    assert bench.name() == "another"


async def test_a_recorded_greeting_comes_with_the_profile(bench: Bench, tmp_path: Path) -> None:
    wav.write(tmp_path / "hello.wav", wav.Wav("pcmu", 8000, 1, bytes(800)))
    recording = bench.editor.keep_recording(tmp_path / "hello.wav")
    await bench.save(DESK, "desk", greeting="Hello", greeting_audio=recording)
    await bench.profiles.refresh()
    assert bench.profiles.profile_for(DESK).greeting_clip != ""


async def test_what_cannot_be_understood_is_left_out_and_said_and_the_rest_answers(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Its recording is not on this machine; a key is of a later version. A call has to be answered."""
    table = {
        "name": "desk",
        "greeting": "Hello",
        "greeting_audio": "gone.wav",
        "of_2031": {"x": 1},
        "max_call_s": 60,
    }
    await bench.numbers.save(DESK, table, "0123456789ab", ADA)
    await bench.profiles.refresh()
    profile = bench.profiles.profile_for(DESK)
    assert profile == Profile(name="desk", greeting="Hello", max_call_s=60).with_version("0123456789ab")
    assert "part of a profile is left out: +15550100000, version 1: of_2031 is not a known key" in caplog.text


# ------------------------------------------------------------------------------------------- following


async def test_a_process_that_follows_has_a_change_soon(bench: Bench) -> None:
    async with bench.profiles.following(poll_s=0.01):
        await bench.save(DESK, "desk")
        await until(lambda: bench.name() == "desk")


async def test_with_the_database_away_the_profiles_stay_and_it_is_said_once(
    postgres: PostgresServer, migrated_postgresql: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "phonebot")
    name = postgres.create(migrated_postgresql)
    database = Database(postgres.url(name))
    bench = Bench(database, tmp_path)
    await bench.save(DESK, "desk")
    async with bench.profiles.following(poll_s=0.01):
        postgres.run_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        postgres.run_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        await until(lambda: "profiles stay as they are" in caplog.text)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await bench.profiles.refresh()
        assert bench.name() == "desk"
        postgres.run_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        await until(lambda: "profiles are followed again" in caplog.text)
        await bench.save(DESK, "new")
        await until(lambda: bench.name() == "new")
    assert caplog.text.count("profiles stay as they are") == 1
    await database.close()


async def test_a_fault_of_ours_does_not_end_the_following(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def fails(_: NumberStore) -> int:
        nonlocal asked
        asked += 1
        raise KeyError("nobody foresaw this")

    async with bench.profiles.following(poll_s=0.01):
        with monkeypatch.context() as patched:
            patched.setattr(NumberStore, "changes", fails)
            await until(lambda: asked > 1)
        await bench.save(DESK, "desk")
        await until(lambda: bench.name() == "desk")


async def test_a_store_that_is_away_at_the_start_is_told_as_such(tmp_path: Path) -> None:
    profiles = StoredProfiles(NumberStore(Database("postgresql://phonebot@127.0.0.1:1/x")), tmp_path)
    with pytest.raises(StoreUnavailable):
        async with profiles.following():
            raise AssertionError("there is nothing to follow")


# ------------------------------------------------------------------------------------------- calls


async def test_the_next_call_has_a_change_and_the_one_in_progress_has_not(
    bench: Bench, database: Database, start_service: StartService
) -> None:
    """The caller is a tester from the second call on: the first one's profile was chosen when it came in."""
    keys = PROFILE.model_dump(exclude_unset=True, exclude={"name"})
    await bench.save(OTHER, "old", **keys)
    await bench.profiles.refresh()
    service = await start_service(numbers=bench.profiles)
    calling = asyncio.create_task(service.dial(WaitForBot(), Pause(400), from_number=TESTER))
    await until(lambda: len(service.live) == 1)
    await bench.save(OTHER, "new", test_callers=[TESTER], **keys)
    await bench.profiles.refresh()
    first = await calling
    second = await service.dial(WaitForBot(), from_number=TESTER)
    third = await service.dial(WaitForBot(), from_number=CALLER)
    await service.stop()
    await database.close()
    profiles = {log.header.call_sid: log.header.profile for log in service.logs()}
    assert [profiles[record.call_sid] for record in (first, second, third)] == ["old", "new", "old"]
