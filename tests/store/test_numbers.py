"""Numbers and their versions, on both databases: who is answered by what, and what is noted of each change."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from phonebot.errors import NotStored
from phonebot.store.audit import FILE, Actor
from phonebot.store.database import Database
from phonebot.store.numbers import ChangedMeanwhile, Imported, NumberStore, Saved, content_hash
from phonebot.store.tables import AuditRow, ProfileVersion

ADA = Actor("ada", "192.0.2.7")
DESK = "+15550100000"
TESTER = "+15550100009"


@pytest.fixture
def numbers(database: Database) -> NumberStore:
    return NumberStore(database)


async def save(numbers: NumberStore, number: str = DESK, **terms: Any) -> Saved:
    profile = {"name": terms.pop("name", "desk")}
    return await numbers.save(number, profile, f"hash of {profile['name']}", ADA, **terms)


async def names(numbers: NumberStore) -> list[tuple[int, str]]:
    return [(version.sequence, version.profile["name"]) for version in await numbers.versions(DESK)]


async def audited(database: Database) -> list[tuple[str, str, str, object, object]]:
    async with database.read() as session:
        rows = (await session.scalars(select(AuditRow).order_by(AuditRow.id))).all()
    return [(row.who, row.what, row.target, row.before, row.after) for row in rows]


async def test_an_empty_store_has_no_numbers(numbers: NumberStore) -> None:
    assert await numbers.entries() == []
    assert await numbers.answering() == (0, {})
    for missing in (numbers.get(DESK), numbers.entry(DESK)):
        with pytest.raises(NotStored, match=r"^there is no number \+15550100000: `phonebot numbers list`"):
            await missing


async def test_what_is_saved_is_there_with_its_author(numbers: NumberStore) -> None:
    saved, is_new = await save(numbers, note="first words")
    assert is_new
    assert (saved.number, saved.sequence, saved.version) == (DESK, 1, "hash of desk")
    assert (saved.profile, saved.author, saved.note, saved.test_callers) == (
        {"name": "desk"},
        "ada",
        "first words",
        None,
    )
    assert await numbers.get(DESK) == saved == await numbers.get(DESK, 1)
    (entry,) = await numbers.entries()
    assert (entry.number, entry.newest, entry.released, entry.retention_days) == (DESK, saved, saved, None)
    assert await numbers.entry(DESK) == entry


async def test_every_version_is_kept(numbers: NumberStore) -> None:
    for name in ("one", "two", "three"):
        await save(numbers, name=name)
    assert await names(numbers) == [(3, "three"), (2, "two"), (1, "one")]
    assert [version.sequence for version in await numbers.versions(DESK, limit=2)] == [3, 2]
    assert [version.sequence for version in await numbers.versions(DESK, before=2, limit=2)] == [1]


async def test_saving_what_is_there_makes_no_version(numbers: NumberStore, database: Database) -> None:
    first = await save(numbers)
    assert await save(numbers, note="again") == Saved(first.version, is_new=False)
    assert len(await audited(database)) == await numbers.changes() == 1


async def test_the_order_of_keys_is_no_change_but_it_is_kept(numbers: NumberStore) -> None:
    await numbers.save(DESK, {"voice": "marin", "name": "desk"}, "x", ADA)
    saved, is_new = await numbers.save(DESK, {"name": "desk", "voice": "marin"}, "x", ADA)
    assert not is_new
    assert list(saved.profile) == list((await numbers.get(DESK)).profile) == ["voice", "name"]


async def test_default_comes_first_and_numbers_in_order(numbers: NumberStore) -> None:
    for number in ("+2", "default", "+1"):
        await save(numbers, number)
    assert [entry.number for entry in await numbers.entries()] == ["default", "+1", "+2"]


async def test_each_change_counts_and_is_audited_with_what_it_replaced(
    numbers: NumberStore, database: Database
) -> None:
    await save(numbers, name="one")
    await save(numbers, name="two", test_callers=[TESTER])
    await numbers.release(DESK, 2, ADA)
    await numbers.limit(DESK, 2, [TESTER, TESTER], ADA)
    await numbers.roll_back(DESK, 1, ADA)
    await numbers.delete(DESK, ADA)
    assert await numbers.changes() == 6
    one, two = {"name": "one"}, {"name": "two"}
    all_, some = {"sequence": 2, "test_callers": None}, {"sequence": 2, "test_callers": [TESTER]}
    assert await audited(database) == [
        ("ada", "profile.save", DESK, None, one),
        ("ada", "profile.save", DESK, one, two),
        ("ada", "profile.release", DESK, some, all_),
        ("ada", "profile.limit", DESK, all_, some),
        ("ada", "profile.roll_back", DESK, two, one),
        ("ada", "number.delete", DESK, one, None),
    ]


async def test_an_audit_row_has_the_address(numbers: NumberStore, database: Database) -> None:
    await save(numbers)
    async with database.read() as session:
        assert await session.scalar(select(AuditRow.address)) == "192.0.2.7"


async def test_a_roll_back_is_a_new_version_equal_to_the_old_one(numbers: NumberStore) -> None:
    for name in ("one", "two"):
        await save(numbers, name=name)
    saved, is_new = await numbers.roll_back(DESK, 1, ADA)
    assert is_new
    assert (saved.sequence, saved.profile, saved.version) == (3, {"name": "one"}, "hash of one")
    assert saved.note == "back to version 1"
    assert await numbers.roll_back(DESK, 3, ADA) == Saved(saved, is_new=False)


async def test_a_version_that_is_not_there_is_told_as_such(numbers: NumberStore) -> None:
    await save(numbers)
    with pytest.raises(NotStored, match=r"^\+15550100000 has no version 7: `phonebot numbers show \+15550100000`"):
        await numbers.roll_back(DESK, 7, ADA)
    with pytest.raises(NotStored):
        await numbers.release(DESK, 0, ADA)


async def test_an_editor_who_began_with_an_older_version_is_told(numbers: NumberStore) -> None:
    first, _ = await save(numbers, name="one")
    second, _ = await save(numbers, name="two", expected=1)
    with pytest.raises(ChangedMeanwhile) as caught:
        await save(numbers, name="three", expected=first.sequence)
    assert caught.value.newest == second
    assert str(caught.value) == (
        "ada has saved version 2 of +15550100000 meanwhile: look at what it changed, and save again"
    )
    with pytest.raises(ChangedMeanwhile):
        await save(numbers, name="three", expected=0)
    assert await names(numbers) == [(2, "two"), (1, "one")]


async def test_an_editor_of_a_number_that_was_deleted_is_told(numbers: NumberStore) -> None:
    await save(numbers)
    await numbers.delete(DESK, ADA)
    with pytest.raises(NotStored, match=r"^\+15550100000 was deleted meanwhile: save it again as a new number"):
        await save(numbers, expected=1)
    assert await numbers.entries() == []
    assert (await save(numbers, expected=0)).is_new


async def test_editors_at_once_each_make_a_version_or_are_told(numbers: NumberStore) -> None:
    await save(numbers, name="one")
    results = await asyncio.gather(
        *(save(numbers, name=f"two {n}", expected=1) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, Saved) for result in results) == 1
    assert sum(isinstance(result, ChangedMeanwhile) for result in results) == 4
    await asyncio.gather(*(save(numbers, "+1", name=f"n{n}") for n in range(5)))
    assert [version.sequence for version in await numbers.versions("+1")] == [5, 4, 3, 2, 1]
    assert await numbers.changes() == 7


# ------------------------------------------------------------------------------------------- test callers


async def answering(numbers: NumberStore, number: str = DESK) -> list[tuple[int, tuple[str, ...] | None]]:
    _, found = await numbers.answering()
    return [(version.sequence, version.test_callers) for version in found[number]]


async def test_a_version_for_test_callers_leaves_the_others_to_the_one_before(numbers: NumberStore) -> None:
    await save(numbers, name="one")
    await save(numbers, name="two")
    await save(numbers, name="three", test_callers=[TESTER])
    await save(numbers, name="four", test_callers=["+1", TESTER])
    assert await answering(numbers) == [(4, ("+1", TESTER)), (3, (TESTER,)), (2, None)]
    (entry,) = await numbers.entries()
    assert entry.released is not None
    assert (entry.newest.sequence, entry.released.sequence) == (4, 2)


async def test_a_released_version_answers_everyone(numbers: NumberStore) -> None:
    await save(numbers, name="one")
    await save(numbers, name="two", test_callers=[TESTER])
    released = await numbers.release(DESK, 2, ADA)
    assert released.test_callers is None
    assert await answering(numbers) == [(2, None)]


async def test_a_number_with_nothing_for_everyone_has_nothing_released(numbers: NumberStore) -> None:
    await save(numbers, test_callers=[TESTER])
    (entry,) = await numbers.entries()
    assert entry.released is None
    assert await numbers.entry(DESK) == entry
    assert await answering(numbers) == [(1, (TESTER,))]


async def test_to_set_what_is_set_is_no_change(numbers: NumberStore) -> None:
    await save(numbers)
    await numbers.release(DESK, 1, ADA)
    assert await numbers.changes() == 1


async def test_the_same_profile_for_other_callers_is_a_change(numbers: NumberStore) -> None:
    await save(numbers, test_callers=[TESTER])
    assert (await save(numbers)).is_new


# ------------------------------------------------------------------------------------------- import


def imported(name: str) -> Imported:
    return Imported({"name": name}, f"hash of {name}")


async def test_a_file_makes_the_numbers_that_it_names(numbers: NumberStore, database: Database) -> None:
    added = await numbers.import_file({DESK: imported("desk"), "default": imported("all")})
    assert [(version.number, version.author, version.sequence) for version in added] == [
        (DESK, "file", 1),
        ("default", "file", 1),
    ]
    assert (await audited(database))[0] == (FILE.name, "profile.import", DESK, None, {"name": "desk"})


async def test_an_unchanged_file_changes_nothing_not_even_what_was_edited_since(numbers: NumberStore) -> None:
    await numbers.import_file({DESK: imported("file")})
    await save(numbers, name="edited")
    assert await numbers.import_file({DESK: imported("file")}) == []
    assert (await numbers.get(DESK)).profile == {"name": "edited"}
    assert await numbers.changes() == 2


async def test_a_changed_file_wins_over_what_was_edited_and_both_are_kept(numbers: NumberStore) -> None:
    await numbers.import_file({DESK: imported("file")})
    await save(numbers, name="edited")
    (added,) = await numbers.import_file({DESK: imported("new file")})
    assert added.sequence == 3
    assert await names(numbers) == [(3, "new file"), (2, "edited"), (1, "file")]


async def test_a_file_that_says_what_was_edited_makes_no_version(numbers: NumberStore) -> None:
    await save(numbers, name="same")
    assert await numbers.import_file({DESK: imported("same")}) == []
    await save(numbers, name="edited")
    assert await numbers.import_file({DESK: imported("same")}) == []


async def test_a_number_that_a_file_no_longer_has_is_kept(numbers: NumberStore) -> None:
    await numbers.import_file({DESK: imported("desk")})
    assert await numbers.import_file({}) == []
    assert (await numbers.get(DESK)).profile == {"name": "desk"}


async def test_processes_that_import_the_same_file_at_once_make_one_version(numbers: NumberStore) -> None:
    added = await asyncio.gather(*(numbers.import_file({DESK: imported("desk")}) for _ in range(4)))
    assert sorted(map(len, added)) == [0, 0, 0, 1]


def test_the_hash_of_a_table_never_changes() -> None:
    """It is kept: if it were another one after an upgrade, files would overwrite what was edited."""
    table = {"name": "Café", "turn_detection": {"type": "local", "threshold": 0.5}, "interruptible": True}
    assert content_hash(table) == "39a76b9ccbdffac945d245327ca724f32d0347c3825d565140c167eb5a92a747"


# ------------------------------------------------------------------------------------------- retention, deletion


async def test_retention_is_kept_with_the_number(numbers: NumberStore, database: Database) -> None:
    await save(numbers)
    await numbers.set_retention(DESK, 30, ADA)
    await numbers.set_retention(DESK, 30, ADA)
    (entry,) = await numbers.entries()
    assert entry.retention_days == 30
    assert (await audited(database))[1:] == [
        ("ada", "number.retention", DESK, {"retention_days": None}, {"retention_days": 30})
    ]


async def test_a_deleted_number_is_gone_with_its_versions(numbers: NumberStore, database: Database) -> None:
    await save(numbers, name="one")
    await save(numbers, name="two")
    await numbers.delete(DESK, ADA)
    assert await numbers.entries() == []
    async with database.read() as session:
        assert (await session.scalars(select(ProfileVersion))).all() == []
    with pytest.raises(NotStored):
        await numbers.delete(DESK, ADA)
    assert (await save(numbers)).version.sequence == 1


async def test_a_version_is_found_at_its_number_or_at_the_default(numbers: NumberStore) -> None:
    await save(numbers, name="old")
    await save(numbers, name="new")
    await save(numbers, "default", name="shared")
    assert await numbers.which(DESK, "hash of old") == (DESK, 1)
    assert await numbers.which(DESK, "hash of new") == (DESK, 2)
    assert await numbers.which(DESK, "hash of shared") == ("default", 1)
    assert await numbers.which("+15550100001", "hash of new") is None
