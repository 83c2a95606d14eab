"""
What a demo plays: who calls, who answers, and what makes it a good call.

A folder has the profile that answers (numbers.toml), the caller (caller.toml, with his WAV files), what the
embedded model says (a script) and what is expected of the call (expected.toml).
"""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
from rich.console import Console

from phonebot.serving import DEMO_SCRIPT, demo_folder
from phonebot.tools import Tool

CALLER = "+15550100001"
NUMBER = "+15550100002"


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """
    What makes the call a good one.

    `understood` has a phrase for each line of the caller: it must be in what the bot understood, which may have a
    word too many where a line began or ended. In their order, `called` are the functions that the model called,
    `handed_over` the agents that had the call after the first, `guarded` the guardrails that tripped, and `changes`
    what was done to the scene's own data.
    """

    understood: list[str]
    barge_ins: int
    last_words: str
    called: list[str] = []
    handed_over: list[str] = []
    guarded: list[str] = []
    changes: list[str] = []


Aftermath: TypeAlias = Callable[[str, Expected, Console], Iterator[str]]
"""Shows what the call of this CallSid left behind; a sentence for each thing that is not as expected."""


@dataclass(frozen=True, slots=True)
class Scene:
    """
    A demo. `data` is the folder of what it keeps for itself; `functions` are those that its profile may name.

    `aftermath` None: the call leaves nothing but its log.
    """

    folder: Path
    script: Path
    data: Path
    functions: tuple[Tool, ...] = ()
    aftermath: Aftermath | None = None

    @property
    def numbers(self) -> Path:
        return self.folder / "numbers.toml"

    @property
    def caller(self) -> Path:
        return self.folder / "caller.toml"

    def expected(self) -> Expected:
        return msgspec.convert(tomllib.loads((self.folder / "expected.toml").read_text()), Expected)


def dentist(data_dir: Path) -> Scene:
    """A booking that the caller interrupts."""
    return Scene(demo_folder(), demo_folder() / DEMO_SCRIPT, data_dir / "demo")
