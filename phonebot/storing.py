"""The store of this deployment, for commands; those that make its tables, and the first token of its API."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:  # imported where it is needed: `phonebot --help` is there at once
    from phonebot.settings import Settings
    from phonebot.store.database import Database
    from phonebot.store.store import Store

T = TypeVar("T")

database = typer.Typer(help="The database.", no_args_is_help=True)
console = Console(highlight=False)


async def open_store(settings: "Settings") -> "Store":
    """The store of these settings, with its tables made or brought up to date. Raises StoreError."""
    from phonebot.store.store import Store

    return await Store.open(settings.database, settings.storage)


def with_store(work: Callable[["Settings", "Store"], Awaitable[T]]) -> T:
    """Do work with the store of this process's settings, which is closed afterwards."""
    from phonebot.settings import load

    async def do() -> T:
        settings = load()
        store = await open_store(settings)
        try:
            return await work(settings, store)
        finally:
            await store.close()

    return asyncio.run(do())


@database.command()
def upgrade() -> None:
    """Make the tables that this version needs. Any command that uses the database does so too."""
    from phonebot.settings import load
    from phonebot.store.database import Database

    opened = Database(load().database)
    before, after = asyncio.run(_upgrade(opened))
    told = f"is at {after} already" if before == after else f"was brought from {before or 'nothing'} to {after}"
    console.print(f"the database {escape(opened.name)} {told}", soft_wrap=True)


@database.command()
def token(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    scope: Annotated[list[str], typer.Option(help="read, operate or admin; more than one if need be.")],
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="After so many days it opens nothing.")] = None,
) -> None:
    """Make a token for the API, and print its secret, which is shown only here."""
    from phonebot.store.audit import COMMAND_LINE

    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)

    async def make(settings: "Settings", store: "Store") -> str:
        return (await store.tokens.create(name, scope, COMMAND_LINE, expires_at)).secret

    print(with_store(make))  # noqa: T201  (for a script: no colours, no line breaks)


async def _upgrade(opened: "Database") -> tuple[str | None, str | None]:
    try:
        before = await opened.revision()
        await opened.upgrade()
        return before, await opened.revision()
    finally:
        await opened.close()
