"""The commands `phonebot messages ...`: what callers left, from a terminal, whether or not the service runs."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from phonebot.errors import StoreError
from phonebot.json_output import AsJson, print_json

if TYPE_CHECKING:  # each command imports what it needs: `phonebot --help` is there at once
    from phonebot.settings import Settings
    from phonebot.store.messages import MessageStore
    from phonebot.store.store import Store
    from phonebot.store.tables import MessageRow

messages = typer.Typer(help="Messages that callers left.", no_args_is_help=True)
console = Console(highlight=False)


@messages.command("list")
def list_messages(
    everything: Annotated[bool, typer.Option("--all", help="Those that are done, too.")] = False,
    number: Annotated[str | None, typer.Option(help="Messages left at this number of ours.")] = None,
    caller: Annotated[str | None, typer.Option(help="Messages of this caller.")] = None,
    text: Annotated[
        str, typer.Option(help="Messages with these words; those in double quotes as one: '\"half past\"'.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="So many at most, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """New messages, the newest first."""
    from phonebot.message_sheet import facts, table
    from phonebot.store.messages import MessageFilters, MessagePage
    from phonebot.storing import with_store

    filters = MessageFilters(is_done=None if everything else False, number=number, caller=caller, text=text)

    async def work(settings: "Settings", store: "Store") -> MessagePage:
        return await store.messages.page(filters, limit=limit)

    page = with_store(work)
    if as_json:
        print_json([facts(message) for message in page.messages])
        return
    if not page.messages:
        console.print("no such messages" if filters != MessageFilters(is_done=False) else "no new messages")
        return
    console.print(table(page.messages))
    if page.cursor:
        console.print(f"[dim]and older ones: --limit shows more than {limit}[/dim]")


@messages.command()
def show(
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="An id, or the end that `list` shows.")],
    as_json: AsJson = False,
) -> None:
    """A message: who left it, for whom, what it says, and whether it was told."""
    from phonebot.message_sheet import facts, print_message
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> "MessageRow":
        return await store.messages.get(await _found(store.messages, message))

    found = with_store(work)
    if as_json:
        print_json(facts(found))
    else:
        print_message(console, found)


@messages.command()
def done(
    chosen: Annotated[list[str], typer.Argument(metavar="MESSAGE...", help="Ids, or the ends that `list` shows.")],
    again: Annotated[bool, typer.Option("--reopen", help="Make them new again.")] = False,
) -> None:
    """Mark messages as done."""
    from phonebot.store.audit import COMMAND_LINE
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> None:
        ids = [await _found(store.messages, each) for each in chosen]  # all of them, before anything is changed
        for message_id in ids:
            await store.messages.mark(message_id, not again, COMMAND_LINE)

    with_store(work)
    console.print(f"{'new again' if again else 'done'}: {len(chosen)}")


async def _found(store: "MessageStore", ending: str) -> str:
    """The id that ends so. Raises StoreError when there is none, or more than one."""
    ids = await store.ids_ending(ending)
    if len(ids) > 1:
        raise StoreError(f"several messages end in {ending}: give more of the id")
    if not ids:
        raise StoreError(f"no message ends in {ending}: `phonebot messages list --all` shows them")
    return ids[0]
