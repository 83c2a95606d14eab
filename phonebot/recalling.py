"""The commands `phonebot calls ...`: past calls, from a terminal, whether or not the service runs."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from phonebot.errors import NotStored
from phonebot.json_output import AsJson, print_json

if TYPE_CHECKING:  # each command imports what it needs: `phonebot --help` is there at once
    from phonebot.callbook import CallBook
    from phonebot.settings import Settings
    from phonebot.store.calls import Filters
    from phonebot.store.store import Store
    from phonebot.store.tables import CallRow

calls = typer.Typer(help="Past calls.", no_args_is_help=True)
console = Console(highlight=False)

MAX_LISTED = 10_000
_MOMENTS = ["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"]


@calls.command("list")
def list_calls(
    number: Annotated[str | None, typer.Option(help="Calls that this number of ours answered.")] = None,
    caller: Annotated[str | None, typer.Option(help="Calls of this caller.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Calls that ended so, as caller_hung_up.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_MOMENTS, help="Calls that began then or later, in local time.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=_MOMENTS, help="Calls that began before.")] = None,
    text: Annotated[
        str, typer.Option(help="Calls with these words; those in double quotes as one: '\"half past\"'.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="So many at most, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Calls that have ended, the newest first."""
    from phonebot.call_sheet import facts, table
    from phonebot.store.calls import Filters
    from phonebot.storing import with_store

    filters = Filters(
        number=number,
        caller=caller,
        outcome=outcome,
        since=since and since.astimezone(),
        until=until and until.astimezone(),
        text=text,
    )

    async def work(settings: "Settings", store: "Store") -> "tuple[list[CallRow], bool]":
        return await _pages(_book(settings, store), filters, limit)

    found, are_more = with_store(work)
    if as_json:
        print_json([facts(call) for call in found])
        return
    if not found:
        console.print("no such calls" if filters != Filters() else "no calls yet")
        return
    console.print(table(found))
    if are_more:
        console.print(f"[dim]and older ones: --limit shows more than {limit}[/dim]")


@calls.command()
def show(
    call: Annotated[
        str,
        typer.Argument(metavar="CALL|LOG", help="A CallSid or its end; with --events also a log: folder or zip."),
    ],
    as_json: AsJson = False,
    events: Annotated[
        bool, typer.Option("--events", help="What happened in it, as hooks are told; with --json a line each.")
    ] = False,
) -> None:
    """A call: its facts, what was said and heard of it, how long answers took, and what it cost."""
    from phonebot.call_sheet import print_call, whole
    from phonebot.storing import with_store

    if events:
        _show_events(call, as_json)
        return

    async def work(settings: "Settings", store: "Store") -> "tuple[CallRow, tuple[str, int] | None]":
        book = _book(settings, store)
        found = await book.get(await book.find(call))
        return found, None if as_json else await store.numbers.which(found.number, found.profile_version)

    found, version = with_store(work)
    if as_json:
        print_json(whole(found))
    else:
        print_call(console, found, version)


@calls.command()
def export(
    call: Annotated[
        str,
        typer.Argument(metavar="CALL|LOG", help="A CallSid or its end; or a call log: a folder, or a zip file."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to: a zip file or a folder; by default a zip file of its name, here.")
    ] = None,
    redact: Annotated[
        bool,
        typer.Option("--redact", help="Hide numbers: in texts, as keys, and in the audio where they were said."),
    ] = False,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="With --redact: whether other audio is kept.")
    ] = True,
    heard: Annotated[
        bool, typer.Option("--heard/--no-heard", help="Add heard.wav: the caller left, what he heard right.")
    ] = True,
) -> None:
    """Write a call's log to take away, with what was heard of the call."""
    from phonebot.replay.export import export as export_log
    from phonebot.storing import with_store

    if not (audio or redact):
        raise typer.BadParameter("--no-audio needs --redact")

    def write(log: Path, name: str) -> Path:
        target = out or Path(f"{name}{'-redacted' * redact}.zip")
        export_log(log, target, redacted=redact, audio=audio, heard=heard)
        return target

    async def work(settings: "Settings", store: "Store") -> Path:
        book = _book(settings, store)
        call_sid = await book.find(call)
        async with book.log(call_sid) as folder:
            return write(folder, call_sid)

    log = Path(call)
    if _is_log(log):
        written = write(log, log.stem if log.suffix == ".zip" else log.resolve().name)
    else:
        written = with_store(work)
    console.print(f"written to {escape(str(written))}", soft_wrap=True)


@calls.command()
def delete(
    chosen: Annotated[
        list[str], typer.Argument(metavar="CALL...", help="CallSids, or the ends that `list` shows.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete calls: recording, log and transcript. Only who deleted which call stays, in the audit."""
    from phonebot.store.audit import COMMAND_LINE
    from phonebot.storing import with_store

    async def look(settings: "Settings", store: "Store") -> list[tuple[str, str]]:
        book = _book(settings, store)
        return [await _named(book, await book.find(call)) for call in chosen]

    async def work(settings: "Settings", store: "Store") -> None:
        book = _book(settings, store)
        for call_sid, _ in named:
            await book.delete(call_sid, COMMAND_LINE)

    named = with_store(look)
    if not yes:
        for _, name in named:
            console.print(escape(name), soft_wrap=True)
        typer.confirm(f"delete {'it' if len(named) == 1 else f'these {len(named)} calls'} for good?", abort=True)
    with_store(work)
    console.print(f"deleted: {len(named)}")


def _show_events(call: str, as_json: bool) -> None:
    from phonebot.happenings import as_lines, print_events
    from phonebot.hooks.translator import events_of
    from phonebot.replay.archive import opened
    from phonebot.replay.reader import CallLog, read
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> CallLog:
        book = _book(settings, store)
        async with book.log(await book.find(call)) as folder:
            return read(folder)

    if _is_log(path := Path(call)):
        with opened(path) as folder:
            log = read(folder)
    else:
        log = with_store(work)
    if as_json:
        for line in as_lines(events_of(log)):
            print(line)  # noqa: T201  (for a script to read)
    else:
        print_events(console, events_of(log))


def _is_log(path: Path) -> bool:
    """Whether a call is named by where its log lies."""
    return path.exists() or path.suffix == ".zip" or len(path.parts) > 1


def _book(settings: "Settings", store: "Store") -> "CallBook":
    from phonebot.callbook import CallBook

    return CallBook(store.calls, store.recordings, settings.data_dir / "calls")


async def _pages(book: "CallBook", filters: "Filters", limit: int) -> "tuple[list[CallRow], bool]":
    """At most `limit` calls, and whether there are more."""
    found: list[CallRow] = []
    cursor = None
    while len(found) < limit:
        page = await book.page(filters, cursor, min(limit - len(found), 500))
        found += page.calls
        cursor = page.cursor
        if cursor is None:
            break
    return found, cursor is not None


async def _named(book: "CallBook", call_sid: str) -> tuple[str, str]:
    """The sid, and what people know the call by."""
    try:
        call = await book.get(call_sid)
    except NotStored:  # it is not filed yet
        return call_sid, call_sid
    return (
        call_sid,
        f"{call_sid}: {call.started_at.astimezone():%Y-%m-%d %H:%M}, {call.from_number} to {call.to_number}",
    )
