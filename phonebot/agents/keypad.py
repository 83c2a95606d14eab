"""
What a caller may key in, as the operator writes it.

    keys = { terminator = "#", timeout_s = 3, menu = { "1" = "I want to book a table.", "0" = "I want a person." } }

call/keypad.py gathers the keys. docs/telephony.md explains it to operators.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.table import Switch, Table

MAX_CHOICES, MAX_KEYS = 50, 50

_KEYS = re.compile(rf"[0-9*#]{{1,{MAX_KEYS}}}")
_MENU = (
    f'a table of at most {MAX_CHOICES} texts of 1 to 300 characters such as {{ "1" = "I want to book a table." }}'
)


def _check_menu(menu: dict[str, str]) -> dict[str, str]:
    for keys in menu:
        if not _KEYS.fullmatch(keys):
            raise ValueError(f"holds {faults.shown(keys)}, which are no keys: 1 to {MAX_KEYS} of 0 to 9, * and #")
    return menu


class Keys(Table):
    """
    The caller may answer by keys.

    They are complete with the key `terminator`, `timeout_s` after the last, or with `max` of them. In
    `menu` stands what keys mean, as if the caller had said it. `hidden`: which keys they were is not told to the
    model, nor kept; a function may be given them.
    """

    terminator: Annotated[Literal["#", "*", "none"], Field(description='"#", "*" or "none"')] = "#"
    timeout_s: Annotated[float, Field(ge=0.5, le=30, description="a number of seconds from 0.5 to 30")] = 3.0
    max: Annotated[int, Field(ge=1, le=MAX_KEYS, description=f"a whole number from 1 to {MAX_KEYS}")] = 20
    menu: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=300)]],
        AfterValidator(_check_menu),
        Field(max_length=MAX_CHOICES, description=_MENU),
    ] = {}
    hidden: Switch = False

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        """What could never be chosen is refused: a profile promises nothing that is not done."""
        if self.menu and self.hidden:
            raise ValueError(
                "keys.menu needs keys.hidden = false: of hidden keys nobody is told whether they are in the menu"
            )
        for keys in self.menu:
            if len(keys) > self.max:
                raise ValueError(f"keys.menu holds {faults.shown(keys)}, and keys.max is {self.max}")
            if self.terminator in keys and keys != self.terminator:
                raise ValueError(f"keys.menu holds {faults.shown(keys)}, and {self.terminator} is keys.terminator")
        return self


KEYS = 'a table such as { timeout_s = 5, menu = { "0" = "I want a person." } }, or {} for the defaults'


def conflict(keys: Keys | None, ends_turns: str | None) -> str | None:
    """What does not go together, in a sentence; None: nothing. `ends_turns`: the key that ends turns."""
    if keys is None or ends_turns is None:
        return None
    if keys.terminator == ends_turns or any(ends_turns in each for each in keys.menu):
        where = "terminator" if keys.terminator == ends_turns else "menu"
        return f'keys.{where} has the key {ends_turns}, which ends turns with turn_detection.type = "none"'
    return None


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with it: where, why, what is allowed. `loc` is the fault's place below `keys`."""
    if not loc and fault["type"] == "value_error":
        return faults.bounded(str(fault["ctx"]["error"]))
    if len(loc) > 1:
        return faults.bounded(
            f"keys.menu.{faults.cut(str(loc[1]))} is {faults.shown(fault['input'])}; menu is {_MENU}"
        )
    return faults.sentence("keys", str(loc[0]) if loc else "", Keys, fault, KEYS)
