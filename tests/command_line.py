"""Whether a written command is one of `phonebot`, asked without running it."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer

from phonebot.cli import app

PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_|]*(\.\.\.)?|\.\.\.|.*=.*")
"""What stands for a value: FILE, CALL, NUMBER..., KEY=VALUE."""


@cache
def command_line() -> Any:
    """The commands as typer knows them."""
    return typer.main.get_command(app)


def problem_of(words: Sequence[str], whole: bool) -> str | None:
    """
    What is wrong with `phonebot` and these words; None: nothing.

    With `whole` nothing that it needs may be missing. Brackets around what may be left out are passed over; of
    commands that are told apart by `|` each is looked at.
    """
    bare = [word.strip("[]") for word in words]
    return _problem(command_line(), [word for word in bare if word not in ("", "...")], whole)


def _problem(command: Any, words: list[str], whole: bool) -> str | None:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        return next(_wrong(command, words, whole), None)
    if not words:
        return f"{command.name or 'phonebot'} needs a command" if whole else None
    if words == ["--help"]:
        return None
    for name in words[0].split("|"):
        if name not in subcommands:
            return f"there is no command {name}"
        if found := _problem(subcommands[name], words[1:], whole and "|" not in words[0]):
            return found
    return None


def _wrong(command: Any, words: list[str], whole: bool) -> Iterator[str]:
    """What is wrong with these options and arguments, of a command that does the work."""
    options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    given, left = list[str](), list(words)
    while left:
        word = left.pop(0)
        name, _, value = word.partition("=")
        if word == "--help":
            return
        if not word.startswith("--"):
            given.append(word)
        elif name not in options:
            yield f"{command.name} has no option {name}"
        elif not options[name].is_flag:
            value = value or (left.pop(0) if left and not left[0].startswith("--") else "")
            yield from _wrong_value(command, options[name], value)
    yield from _wrong_number(command, given, whole)
    if whole:
        named = {word.partition("=")[0] for word in words}
        for each in command.params:
            if each.required and each.param_type_name == "option" and named.isdisjoint(each.opts):
                yield f"{command.name} needs {each.opts[0]}"


def _wrong_number(command: Any, given: list[str], whole: bool) -> Iterator[str]:
    """Whether there are too many arguments or, of a whole command, too few."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    most = sum(each.nargs for each in arguments) if all(each.nargs > 0 for each in arguments) else len(given)
    if len(given) > most:
        yield f"{command.name} takes {most} arguments, and not also {' '.join(given[most:])}"
    if whole and len(given) < sum(each.required for each in arguments):
        yield f"{command.name} needs more than {' '.join(given) or 'no argument'}"


def _wrong_value(command: Any, option: Any, value: str) -> Iterator[str]:
    """Numbers and choices are looked at; whether a file is there is not."""
    if not value:
        yield f"{option.opts[0]} needs a value"
    elif not (PLACEHOLDER.fullmatch(value) or option.multiple or option.type_descriptor.annotation is Path):
        try:
            option.process_value(command.make_context(command.name, [], resilient_parsing=True), value)
        except Exception as error:  # typer's own; of which kind differs between its versions
            yield f"{option.opts[0]} {value}: {error}"
