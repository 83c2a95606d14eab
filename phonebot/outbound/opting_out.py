"""
"Do not call me again": the function `opt_out`, and what makes sure that it is kept.

    book = OptOutBook(store.opt_outs, data_dir / "opt-outs")
    await book.add("+15550100009", why="asked for it in the call")
    await book.file()                                   # what could not be kept in the database until now

Who asks not to be called is told that he will not be, so it must be true: while the database is away the number
waits in a file, and no process of the machine dials before the file is in the database.
"""

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field

from phonebot.agents.profile import Profile
from phonebot.disk_queue import DiskQueue
from phonebot.errors import StoreUnavailable
from phonebot.store.audit import Actor
from phonebot.store.opt_outs import E164, OptOutStore
from phonebot.tools.functions import Tool, tool
from phonebot.tools.running import Runnable, ToolContext, ToolError

log = logging.getLogger(__name__)

NAME = "opt_out"
STORE_S = 3.0
"""How long the database has, before the number is kept in a file."""
CALLER = Actor("caller")
UNKNOWN = "The number of this call is not known, so it cannot be noted. Ask for it to be sent in writing."
NOTED = "Noted: {number} will not be called again. Say so in a sentence, and say goodbye."


class Noting(Protocol):
    """Keeps numbers that are not to be called."""

    async def add(self, number: str, why: str) -> None:
        """Never call a number again. Raises OSError when it can be kept nowhere."""
        ...


class OptOutBook:
    """`folder` holds a file for each number that is not in the database yet."""

    def __init__(self, opt_outs: OptOutStore, folder: Path) -> None:
        self._opt_outs = opt_outs
        self._waiting = DiskQueue(folder, E164)

    async def add(self, number: str, why: str) -> None:
        """Never call a number again. Raises OSError when it can be kept nowhere."""
        try:
            async with asyncio.timeout(STORE_S):
                await self._opt_outs.add(number, CALLER, why)
        except (StoreUnavailable, TimeoutError) as error:
            folder = self._waiting.folder
            log.warning("%s opts out: it is kept in %s until the database is back: %s", number, folder, error)
            await asyncio.to_thread(self._waiting.put, number, why.encode(errors="replace"))

    async def file(self) -> None:
        """Bring into the database what waits in files. Raises StoreUnavailable, and then the rest waits on."""
        for number in await asyncio.to_thread(self._waiting.names):
            why = await asyncio.to_thread(self._waiting.get, number)
            if why is not None:  # else another process was faster
                await self._opt_outs.add(number, CALLER, why.decode(errors="replace"))
                await asyncio.to_thread(self._waiting.remove, number)


class OptOut:
    """The built-in function `opt_out`. `book` None: this deployment keeps nothing."""

    name = NAME

    def __init__(self, book: Noting | None = None) -> None:
        self._function = None if book is None else _function(book)

    def made_for(self, profile: Profile) -> Runnable | str:
        """The function; or, where nothing is kept, why it is left out."""
        return self._function or "there is no database in which a number could be kept"


def _function(book: Noting) -> Tool:
    @tool(name=NAME, timeout_s=10)
    async def opt_out(
        call: ToolContext,
        reason: Annotated[
            str, Field(max_length=300, description="why, in the person's own words; empty if none was given")
        ] = "",
    ) -> str:
        """
        Note that the person on the phone does not want to be called again. Call it as soon as somebody asks for
        that, in whatever words; the number is known.
        """
        if not E164.fullmatch(call.caller):
            raise ToolError(UNKNOWN)
        await book.add(call.caller, reason or "asked for it in a call")
        return NOTED.format(number=call.caller)

    return opt_out
