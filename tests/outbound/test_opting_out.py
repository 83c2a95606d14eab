""" "Do not call me again", and a database that is away meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from phonebot.agents.profile import Profile
from phonebot.disk_queue import DiskQueue
from phonebot.errors import StoreUnavailable
from phonebot.outbound.opting_out import OptOut, OptOutBook
from phonebot.store.database import Database
from phonebot.store.opt_outs import E164, OptOutStore
from phonebot.tools.running import Runnable, ToolContext, ToolError

HER = "+15550100009"


async def directly(work: Any) -> Any:
    return work()


async def test_a_number_waits_in_a_file_while_the_database_is_away(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt_outs, folder = OptOutStore(sqlite), tmp_path / "opt-outs"
    book = OptOutBook(opt_outs, folder)

    async def away(*_: object) -> bool:
        raise StoreUnavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(OptOutStore, "add", away)
        await book.add(HER, "no time")
        assert [path.name for path in folder.iterdir()] == [HER]
        with pytest.raises(StoreUnavailable):
            await book.file()
    await book.file()
    (kept,) = await opt_outs.page()
    assert (kept.number, kept.why, list(folder.iterdir())) == (HER, "no time", [])
    await book.file()


async def test_what_two_processes_bring_to_the_database_at_once_they_bring_once(
    sqlite: Database, tmp_path: Path
) -> None:
    opt_outs = OptOutStore(sqlite)
    numbers = [f"+1555010{number:04}" for number in range(20)]
    waiting = DiskQueue(tmp_path, E164)
    for number in numbers:
        waiting.put(number, b"no time")
    await asyncio.gather(*(OptOutBook(opt_outs, tmp_path).file() for _ in range(3)))
    assert [each.number for each in await opt_outs.page()] == numbers
    assert waiting.names() == []


async def test_the_function_notes_the_other_side_of_the_call(sqlite: Database, tmp_path: Path) -> None:
    opt_outs = OptOutStore(sqlite)
    made = OptOut(OptOutBook(opt_outs, tmp_path)).made_for(Profile())
    assert not isinstance(made, str)
    function: Runnable = made
    said = await function.run("{}", ToolContext("CA1", caller=HER), directly)
    assert isinstance(said, str)
    assert said.startswith(f"Noted: {HER} will not be called again.")
    assert await opt_outs.has(HER)
    with pytest.raises(ToolError, match="not known"):
        await function.run("{}", ToolContext("CA2", caller="anonymous"), directly)


def test_without_a_database_the_function_is_left_out() -> None:
    assert OptOut().made_for(Profile()) == "there is no database in which a number could be kept"
