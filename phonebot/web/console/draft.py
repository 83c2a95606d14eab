"""What stands in the editor of a number, saved or not: as a form or, for whatever keys there are, as TOML."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from phonebot.agents.faults import shown
from phonebot.agents.form import by_field, shows_all, table_of, values_of
from phonebot.agents.numbers import DEFAULT, is_number
from phonebot.agents.profile import Profile
from phonebot.agents.toml import parse, text_of
from phonebot.errors import ProfileError

View: TypeAlias = Literal["form", "toml"]

MAX_NOTE_CHARACTERS = 500
MAX_CALLERS = 100
TEXT, CALLERS, NOTE = "text", "test_callers", "note"
"""Fields of the editor that are no keys of a profile."""
NOT_IN_FORM = "the form cannot show all of this: correct it, or go on here"


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence, and the field that it is about; "": none."""

    field: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Draft:
    """
    `values` are those of the form, `text` is the TOML; the one that is not shown follows the other.

    `table` is what they say; None: the text is no TOML, as `problems` tells. `callers` and `note` are as typed.
    """

    view: View
    values: Mapping[str, str]
    text: str
    table: dict[str, Any] | None
    callers: str = ""
    note: str = ""
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, table: Mapping[str, Any], callers: tuple[str, ...] | None = None, view: View = "form") -> "Draft":
        """A profile that is kept. One that the form cannot show whole is shown as TOML."""
        view = view if shows_all(table) else "toml"
        return cls(view, values_of(table), text_of(table), dict(table), ", ".join(callers or ()))

    @classmethod
    def sent(cls, form: Mapping[str, str]) -> "Draft":
        """What a browser sent of it."""
        callers, note = form.get(CALLERS, ""), form.get(NOTE, "")
        if TEXT not in form:
            table = table_of(form)
            return cls("form", form, text_of(table), table, callers, note)
        text = form[TEXT].replace("\r\n", "\n")
        try:
            parsed = parse(text.encode(errors="replace"), "the text")
        except ProfileError as error:
            problems = tuple(Problem(TEXT, f"the text {problem}") for problem in error.problems)
            return cls("toml", {}, text, None, callers, note, problems)
        return cls("toml", values_of(parsed), text, parsed, callers, note)

    def seen_as(self, view: View) -> "Draft":
        """The same in the other view; what the form cannot show stays TOML, with a problem that says so."""
        if view == "toml" or (self.table is not None and _fits_form(self.table)):
            return replace(self, view=view)
        return replace(self, problems=self.problems or (Problem(TEXT, NOT_IN_FORM),))

    def checked(self, check: Callable[[Mapping[str, Any]], Profile]) -> "Draft":
        """With all that is wrong with it. `check` raises ProfileError."""
        problems = [*self.problems, *_outside(self.callers, self.note)]
        try:
            check(self.table or {})
        except ProfileError as error:
            for key, sentence in by_field(error.problems, self.values):
                problems.append(Problem(key if self.view == "form" else TEXT, sentence))
        return replace(self, problems=tuple(problems))

    @property
    def test_callers(self) -> list[str] | None:
        """None: it is for everyone."""
        return _split(self.callers) or None

    @property
    def sentences(self) -> dict[str, list[str]]:
        """What is wrong, by field."""
        found: dict[str, list[str]] = {}
        for problem in self.problems:
            found.setdefault(problem.field, []).append(problem.sentence)
        return found


def _fits_form(table: Mapping[str, Any]) -> bool:
    """Whether the form holds all of it, right or wrong: what is wrong is then told beside its field."""
    return table_of(values_of(table)) == table or shows_all(table)


def _outside(callers: str, note: str) -> list[Problem]:
    wrong = [caller for caller in _split(callers) if caller == DEFAULT or not is_number(caller)]
    problems = [
        Problem(CALLERS, f'{shown(caller)} is not a number in E.164 form, "+" and 7 to 15 digits')
        for caller in wrong
    ]
    if len(_split(callers)) > MAX_CALLERS:
        problems = [Problem(CALLERS, f"at most {MAX_CALLERS} test callers are allowed")]
    if len(note) > MAX_NOTE_CHARACTERS:
        problems.append(Problem(NOTE, f"it has {len(note)} characters; at most {MAX_NOTE_CHARACTERS} are kept"))
    return problems


def _split(callers: str) -> list[str]:
    return [caller for caller in re.split(r"[,;\s]+", callers) if caller]
