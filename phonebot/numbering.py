"""The commands `phonebot numbers ...`: who answers which number, from a terminal."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from phonebot.json_output import AsJson, print_json

if TYPE_CHECKING:  # each command imports what it needs: `phonebot --help` is there at once
    from phonebot.settings import Settings
    from phonebot.store.greetings import Kept
    from phonebot.store.numbers import Entry, Saved, Version
    from phonebot.store.store import Store
    from phonebot.web.editing import ProfileEditor

numbers = typer.Typer(help="Who answers which number.", no_args_is_help=True)
console = Console(highlight=False)

NumberArgument = Annotated[
    str, typer.Argument(metavar="NUMBER", help='As +15550100000, or "default" for all others.')
]
Note = Annotated[str, typer.Option(help="What the change is for; kept with the version.")]


@numbers.command("list")
def list_numbers(as_json: AsJson = False) -> None:
    """All numbers, with the version that answers."""
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> "list[Entry]":
        return await store.numbers.entries()

    entries = with_store(work)
    if as_json:
        print_json([_described_entry(entry) for entry in entries])
    elif not entries:
        console.print("no numbers yet: the built-in profile answers all. `phonebot numbers set NUMBER` makes one")
    else:
        table = Table(box=None, pad_edge=False)
        some_expire = any(entry.retention_days is not None for entry in entries)
        for heading in ("number", "name", "version", "saved", "by", *(["calls kept"] if some_expire else [])):
            table.add_column(heading, overflow="fold")
        for entry in entries:
            saved = f"{entry.newest.created_at.astimezone():%Y-%m-%d %H:%M}"
            name = str(entry.newest.profile.get("name", ""))
            kept = "for good" if entry.retention_days is None else f"{entry.retention_days} days"
            cells = [entry.number, name, _state(entry), saved, entry.newest.author]
            table.add_row(*map(escape, cells + [kept] * some_expire))
        console.print(table)


@numbers.command()
def show(
    number: NumberArgument,
    sequence: Annotated[
        int | None, typer.Option("--version", min=1, help="An older version, by its number.")
    ] = None,
    versions: Annotated[bool, typer.Option("--versions", help="List its versions, the newest first.")] = False,
    diff: Annotated[
        int | None, typer.Option("--diff", metavar="N", min=1, help="What changed since version N.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A number's profile as TOML, its versions, or what changed between two."""
    from phonebot.agents.toml import difference, text_of_numbers
    from phonebot.storing import with_store

    if versions + (diff is not None) + as_json > 1 and not (versions and as_json):
        raise typer.BadParameter("give one of --versions, --diff and --json")

    async def work(settings: "Settings", store: "Store") -> "list[Version]":
        if versions:
            return await store.numbers.versions(number)
        shown = [await store.numbers.get(number, sequence)]
        return shown if diff is None else [await store.numbers.get(number, diff), *shown]

    found = with_store(work)
    if as_json:
        described = [_described(version) for version in found]
        print_json(described if versions else described[0])
    elif versions:
        console.print(_table_of(found))
    elif diff is not None:
        before, after = found
        names = [f"{number} version {version.sequence}" for version in found]
        told = difference(before.profile, after.profile, *names)
        _print_text(told or f"version {before.sequence} and version {after.sequence} say the same\n", "diff")
    else:
        _print_text(text_of_numbers({number: found[0].profile}), "toml")


@numbers.command("set")
def set_profile(
    number: NumberArgument,
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE...",
            help="As greeting='Hello!', max_call_s=600, turn_detection.type=local; KEY= goes back to the default.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", exists=True, dir_okay=False, help="A TOML file of the profile's keys: all of them."),
    ] = None,
    back_to: Annotated[
        int | None, typer.Option("--back-to", metavar="N", min=1, help="Make version N the newest again.")
    ] = None,
    test_callers: Annotated[
        list[str] | None,
        typer.Option("--test-caller", metavar="NUMBER", help="Only this caller gets it; may be repeated."),
    ] = None,
    release: Annotated[bool, typer.Option("--release", help="Let the newest version answer everyone.")] = False,
    retention_days: Annotated[
        int | None,
        typer.Option(
            "--retention-days", metavar="N", min=0, max=36_500, help="Delete its calls after N days; 0 keeps them."
        ),
    ] = None,
    note: Note = "",
) -> None:
    """
    Change a number's profile. Calls in progress keep theirs; the next call gets the new one.

    Or, with --retention-days, how long its calls are kept: that is no part of the profile.
    """
    from phonebot.storing import with_store

    ways = [bool(changes), source is not None, back_to is not None, release]
    if retention_days is not None:
        if any(ways) or test_callers:
            raise typer.BadParameter("give --retention-days alone: it is no part of a profile")
        _keep_calls(number, retention_days or None)
        return
    if sum(ways) > 1 or not (any(ways) or test_callers):
        raise typer.BadParameter("give KEY=VALUE, --from, --back-to, --release, --test-caller or --retention-days")
    if test_callers and (release or back_to is not None):
        raise typer.BadParameter("--test-caller goes with KEY=VALUE or --from, or alone")

    async def work(settings: "Settings", store: "Store") -> "Saved":
        from phonebot.store.audit import COMMAND_LINE

        if back_to is not None:
            return await store.numbers.roll_back(number, back_to, COMMAND_LINE, note=note)
        if release or not any(ways):
            return await _answer(store, number, test_callers)
        editor = _editor(settings, store)
        if source:
            table, expected = _table_in(source, editor), None
        else:
            table, expected = await _changed(number, changes or [], store)
        return await editor.save(
            number, table, COMMAND_LINE, note=note, test_callers=test_callers, expected=expected
        )

    saved = with_store(work)
    _tell([saved])


@numbers.command("import")
def import_profiles(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A TOML file of profiles.")],
) -> None:
    """Save the profiles of a TOML file, all of them or none. Other numbers stay as they are."""
    from phonebot.agents.numbers import read_providers
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> "list[Saved]":
        from phonebot.store.audit import COMMAND_LINE

        return await _editor(settings, store).import_file(file, COMMAND_LINE)

    _tell(with_store(work))
    if names := ", ".join(read_providers(file)):
        console.print(
            f"model providers are read from the file that PHONEBOT_PROFILES names, and stay in this one: {names}",
            soft_wrap=True,
        )


@numbers.command("export")
def export_profiles(
    chosen: Annotated[
        list[str] | None, typer.Argument(metavar="NUMBER...", help="Only these; by default all there are.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file; recordings are put beside it.")] = None,
) -> None:
    """Print the profiles as TOML, as `import` reads it."""
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> str:
        editor = _editor(settings, store)
        behind = "" if chosen else _providers(settings)
        if out:
            return await editor.export_to(out, chosen or (), behind)
        return await editor.export(chosen or ()) + behind

    text = with_store(work)
    if out is None:
        print(text, end="")  # noqa: T201  (for a file)
    else:
        console.print(f"written to {escape(str(out))}", soft_wrap=True)


@numbers.command("link")
def link_number(
    number: Annotated[
        str, typer.Argument(metavar="NUMBER", help="A number of the Twilio account, as +15550100000.")
    ],
) -> None:
    """Let a Twilio number call this service: its voice webhook, the fallback and the status callback."""
    from phonebot.linking import link
    from phonebot.settings import load

    settings = load()
    url, account, token = settings.check_for_linking()
    with console.status(f"asking {settings.twilio_api_url}"):
        changes = link(number, url, account, token, settings.twilio_api_url)
    for change in changes:
        was = f" [dim]was {escape(change.before)}[/dim]" if change.before else ""
        console.print(f"{change.name:20} {escape(change.after) or 'none'}{was}", soft_wrap=True)
    console.print(f"{number} calls {url}/twilio/voice{'' if changes else ' already'}", soft_wrap=True)


@numbers.command()
def greeting(
    number: NumberArgument,
    drop: Annotated[bool, typer.Option("--drop", help="Drop it: the next call gives another one.")] = False,
) -> None:
    """The greeting that is kept of a number: callers hear it at once."""
    from phonebot.store.audit import COMMAND_LINE
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> "tuple[list[Kept], int]":
        versions = (await store.numbers.entry(number)).answering
        kept = await store.greetings.of(versions)
        return kept, await store.greetings.drop(number, versions, COMMAND_LINE) if drop else 0

    kept, dropped = with_store(work)
    if not kept:
        console.print("none is kept: it is once a call was greeted by the model")
    for each in kept:
        since = f"{each.created_at.astimezone():%Y-%m-%d %H:%M}"
        voice = each.voice or "the model's own voice"
        told = f"{each.text}\n  {each.length_ms / 1000:.1f} s, {voice}, {each.model}, kept {since}"
        console.print(escape(told))
    if dropped:
        console.print("dropped: the next call gives another one")


def _keep_calls(number: str, days: int | None) -> None:
    from phonebot.store.audit import COMMAND_LINE
    from phonebot.storing import with_store

    async def work(settings: "Settings", store: "Store") -> None:
        await store.numbers.set_retention(number, days, COMMAND_LINE)

    with_store(work)
    how_long = "until somebody deletes them" if days is None else f"for {days} days after they ended"
    console.print(f"calls of {number} are kept {how_long}", soft_wrap=True)


def _editor(settings: "Settings", store: "Store") -> "ProfileEditor":
    from phonebot.deployment import workshop_for
    from phonebot.web.editing import ProfileEditor

    return ProfileEditor(store.numbers, settings.audio, workshop_for(settings).known)


def _providers(settings: "Settings") -> str:
    """The model providers of the file that the settings name, as they stand behind its profiles."""
    from phonebot.agents.numbers import read_providers
    from phonebot.agents.toml import text_of_providers

    found = read_providers(settings.profiles) if settings.profiles else {}
    tables = {name: each.model_dump(exclude_unset=True) for name, each in found.items()}
    return f"\n{text_of_providers(tables)}" if tables else ""


def _table_in(path: Path, editor: "ProfileEditor") -> dict[str, Any]:
    """The profile in a TOML file without headings, its recording kept."""
    from phonebot.agents.numbers import read_table
    from phonebot.agents.toml import parse

    table = parse(path.read_bytes(), str(path))
    if read_table(table, str(path), path.parent).greeting_audio is not None:
        table["greeting_audio"] = editor.keep_recording(path.parent / table["greeting_audio"])
    return table


async def _answer(store: "Store", number: str, test_callers: list[str] | None) -> "Saved":
    """Let the newest version answer these callers only, or everyone."""
    from phonebot.store.audit import COMMAND_LINE
    from phonebot.store.numbers import Saved

    before = await store.numbers.get(number)
    if test_callers:
        after = await store.numbers.limit(number, before.sequence, test_callers, COMMAND_LINE)
    else:
        after = await store.numbers.release(number, before.sequence, COMMAND_LINE)
    return Saved(after, is_new=before != after)


async def _changed(number: str, changes: Iterable[str], store: "Store") -> tuple[dict[str, Any], int]:
    """The number's newest profile, if there is one, with these keys changed; and its sequence, 0 for none."""
    from phonebot.errors import NotStored

    table, sequence = dict[str, Any](), 0
    try:
        newest = await store.numbers.get(number)
    except NotStored:
        pass
    else:
        table, sequence = newest.profile, newest.sequence
    for change in changes:
        path, sign, text = change.partition("=")
        if not sign or not path:
            raise typer.BadParameter(f"{change!r} is not KEY=VALUE")
        _set(table, path.split("."), text)
    return table, sequence


def _set(table: dict[str, Any], path: list[str], text: str) -> None:
    """Set the value at a path of keys, or take it away."""
    for key in path[:-1]:
        within = table.setdefault(key, {})
        if not isinstance(within, dict):
            within = table[key] = {}
        table = within
    if text:
        table[path[-1]] = _value(path, text)
    else:
        table.pop(path[-1], None)


def _value(path: list[str], text: str) -> Any:
    """
    The text as a TOML value if it is one that the key may have, or else as it stands: a shell takes quotes away.

    Of `name=42` the name is "42".
    """
    from phonebot.agents.profile import Profile
    from phonebot.errors import ProfileError

    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    if len(path) == 1:
        try:
            Profile.from_table({path[0]: value}, "")
        except ProfileError:
            try:
                Profile.from_table({path[0]: text}, "")
            except ProfileError:
                return value
            return text
    return value


def _tell(saved: "Iterable[Saved]") -> None:
    for version, is_new in saved:
        whom = f" for {', '.join(version.test_callers)} only" if version.test_callers is not None else ""
        told = "answers from the next call on" if is_new else "is as it was: nothing changed"
        console.print(f"{version.number} version {version.sequence}{whom} {told}", soft_wrap=True)


def _table_of(versions: "Iterable[Version]") -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("version", "saved", "by", "answers", "note"):
        table.add_column(heading, overflow="fold")
    for version in versions:
        whom = "everyone" if version.test_callers is None else ", ".join(version.test_callers)
        saved = f"{version.created_at.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(*map(escape, (str(version.sequence), saved, version.author, whom, version.note)))
    return table


def _state(entry: "Entry") -> str:
    """Which version answers whom."""
    if entry.released is None:
        return f"{entry.newest.sequence} for test callers"
    if entry.released == entry.newest:
        return str(entry.newest.sequence)
    return f"{entry.released.sequence}, {entry.newest.sequence} for test callers"


def _described_entry(entry: "Entry") -> dict[str, Any]:
    return {
        "number": entry.number,
        "newest": _described(entry.newest),
        "released": entry.released and entry.released.sequence,
        "retention_days": entry.retention_days,
    }


def _described(version: "Version") -> dict[str, Any]:
    return {
        "number": version.number,
        "sequence": version.sequence,
        "version": version.version,
        "author": version.author,
        "created_at": version.created_at.isoformat(),
        "note": version.note,
        "test_callers": version.test_callers,
        "profile": version.profile,
    }


def _print_text(text: str, language: str) -> None:
    """In colours in a terminal, as it is elsewhere."""
    if console.is_terminal:
        console.print(
            Syntax(text.rstrip(), language, theme="ansi_dark", background_color="default", word_wrap=True)
        )
    else:
        print(text, end="")  # noqa: T201  (for a file)
