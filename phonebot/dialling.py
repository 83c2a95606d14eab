"""The commands `phonebot dial` and `phonebot opt-outs ...`: whom we call, and whom no more."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from phonebot.json_output import AsJson, print_json

if TYPE_CHECKING:  # each command imports what it needs: `phonebot --help` is there at once
    from phonebot.settings import Settings
    from phonebot.store.opt_outs import OptOut
    from phonebot.store.outbound import OutboundCall
    from phonebot.store.store import Store

opt_outs = typer.Typer(help="Numbers that are not called.", no_args_is_help=True)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

POLL_S = 0.5
MAX_LISTED = 1_000
WORDS = {
    "queued": "waits",
    "dialling": "rings",
    "talking": "talks",
    "answered": "answered",
    "message_left": "a message was left on a machine",
}

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="In E.164 form, such as +15550100009.")]


def dial(
    to: Annotated[str, typer.Argument(metavar="TO", help="Whom to call, in E.164 form, such as +15550100009.")],
    from_number: Annotated[
        str, typer.Option("--from", metavar="NUMBER", help="Your number that calls: its profile talks.")
    ],
    reason: Annotated[str, typer.Option(help="Why: the bot is told so.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Until it is over; exit code 1: nobody reached.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have a running service call somebody, at once or when the number's profile allows."""
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> "OutboundCall":
        from phonebot.outbound.orders import Orders
        from phonebot.store.audit import COMMAND_LINE

        has_account = settings.twilio_account_sid is not None and settings.twilio_auth_token is not None
        orders = Orders(store.outbound, None, has_account=has_account)
        call = await orders.place(to, from_number, COMMAND_LINE, reason)
        return await _followed(store, call, quiet=as_json) if wait else call

    call = with_store(work)
    if as_json:
        print_json(facts_of(call))
    elif wait:
        console.print(f"outbound call {call.id}: {escape(_story(call))}", soft_wrap=True)
    else:
        console.print(f"outbound call {call.id} waits for a running service to make it")
    if wait and call.state != "done":
        raise typer.Exit(1)


@opt_outs.command("list")
def list_opt_outs(
    part: Annotated[str, typer.Option("--number", help="Numbers that hold this.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="So many at most, by number.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Numbers that are not called, with who said so, and why."""
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> "list[OptOut]":
        return await store.opt_outs.page(part=part, limit=limit)

    found = with_store(work)
    if as_json:
        print_json(
            [{"number": each.number, "at": each.at.isoformat(), "by": each.by, "why": each.why} for each in found]
        )
        return
    if not found:
        console.print("no such numbers" if part else "no number has opted out")
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("number", "since", "by", "why"):
        table.add_column(heading, overflow="fold")
    for each in found:
        since = f"{each.at.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(*map(escape, (each.number, since, each.by, each.why)))
    console.print(table)


@opt_outs.command()
def add(number: Number, why: Annotated[str, typer.Option(help="For those who read the list.")] = "") -> None:
    """Never call a number again; calls to it that wait are not made."""
    from phonebot.store.audit import COMMAND_LINE
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> bool:
        return await store.opt_outs.add(number, COMMAND_LINE, why)

    console.print(f"{number} {'is not called any more' if with_store(work) else 'was not called before either'}")


@opt_outs.command()
def remove(number: Number) -> None:
    """A number may be called again: only where its owner wants that."""
    from phonebot.store.audit import COMMAND_LINE
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> None:
        await store.opt_outs.remove(number, COMMAND_LINE)

    with_store(work)
    console.print(f"{number} may be called again")


async def _followed(store: "Store", call: "OutboundCall", *, quiet: bool) -> "OutboundCall":
    """The call once it is over; meanwhile what becomes of it is told, on the side."""
    told = ""
    while not call.is_over:
        if (story := _story(call)) != told and not quiet:
            errors.print(escape(story))
            told = story
        await asyncio.sleep(POLL_S)
        call = await store.outbound.get(call.id)
    return call


def _story(call: "OutboundCall") -> str:
    """How it stands, in words."""
    state = call.state if not call.is_over else call.result or call.state
    said = WORDS.get(state, state.replace("_", " "))
    attempts = f", attempt {call.attempts}" if call.attempts > 1 else ""
    return f"{said}{attempts}{f': {call.problem}' if call.problem else ''}"


def facts_of(call: "OutboundCall") -> dict[str, Any]:
    """As JSON."""
    return {
        "id": call.id,
        "to": call.to_number,
        "from": call.from_number,
        "reason": call.reason,
        "state": call.state,
        "result": call.result,
        "problem": call.problem,
        "attempts": call.attempts,
        "answered_by": call.answered_by,
        "call_sid": call.call_sid,
        "asked_by": call.asked_by,
        "asked_at": call.asked_at.isoformat(),
        "due_at": None if call.is_over else call.due_at.isoformat(),
        "ended_at": call.ended_at.isoformat() if call.ended_at else None,
    }
