"""
What a form for a profile is made of: fields, in sections.

Limits and defaults are the profile's own. form_fields.py says which fields there are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from phonebot.agents.history import History
from phonebot.agents.hours import Closed, Hours
from phonebot.agents.keypad import Keys
from phonebot.agents.listening import BargeIn, LocalVad, NoVad, SemanticVad, ServerVad, Transcription
from phonebot.agents.manners import Limits, NoInput
from phonebot.agents.messages import Messages
from phonebot.agents.outbound import Outbound
from phonebot.agents.profile import Profile
from phonebot.agents.transfers import Transfer
from phonebot.agents.truncation import Truncation

Kind: TypeAlias = Literal["text", "long text", "number", "switch", "choice", "words", "table"]
"""
`number` may have words beside it (`suggestions`); `words` is a list, separated by commas or lines; `table` has a
line for each of its entries, with a = behind the key.
"""

Choice: TypeAlias = tuple[str, str]
"""A value, and what it is called. The value "" leaves the key out."""

TURNS = "turn_detection.type"
SERVER, SEMANTIC, LOCAL, KEYS = "", "semantic_vad", "local", "none"
"""The types of turn_detection, as values of its field; the default is left out."""

# Where the keys below a key are: of turn_detection it depends on the type.
_TABLES: dict[str, Mapping[str, type[BaseModel]]] = {
    "": {"": Profile},
    "turn_detection": {SERVER: ServerVad, SEMANTIC: SemanticVad, LOCAL: LocalVad, KEYS: NoVad},
    "transcription": {"": Transcription},
    "barge_in": {"": BargeIn},
    "keys": {"": Keys},
    "outbound": {"": Outbound},
    "messages": {"": Messages},
    "history": {"": History},
    "hours": {"": Hours},
    "hours.closed": {"": Closed},
    "limits": {"": Limits},
    "no_input": {"": NoInput},
    "transfer": {"": Transfer},
    "truncation": {"": Truncation},
}


def shown(value: Any) -> str:
    """A value of a profile as a form shows it; "" for none."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(map(shown, value))
        case Mapping():
            return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


@dataclass(frozen=True, slots=True)
class Field:
    """
    A key in the form.

    `hint` says what it means, `unset` what holds without it, if the profile's own default does not say it.
    `types` are those of turn_detection with which it has a meaning; none: it has one with each. `rare` stands under
    "More".
    """

    key: str
    label: str
    kind: Kind
    hint: str
    unset: str = ""
    unit: str = ""
    choices: tuple[Choice, ...] = ()
    suggestions: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    rare: bool = False

    @property
    def default(self) -> str:
        """What holds when the field is empty, for its placeholder."""
        if self.unset:
            return self.unset
        value = next(iter(self._models.values())).model_fields[self._name].get_default()
        return shown(value)

    @property
    def allowed(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """What is allowed, as the end of a sentence; by the types of turn_detection for which it is that."""
        texts: dict[str, tuple[str, ...]] = {}
        for kind, model in self._models.items():
            text = model.model_fields[self._name].description or ""
            texts[text] = (*texts.get(text, ()), kind)
        return tuple((types, text) for text, types in texts.items())

    def has_meaning(self, values: Mapping[str, str]) -> bool:
        """Whether it counts, with the other fields as they are."""
        if self.types and values.get(TURNS, "") not in self.types:
            return False
        within = self.key.partition(".")[0]
        return self.key == within or values.get(within, "") != "false"

    @property
    def _name(self) -> str:
        return self.key.rpartition(".")[2]

    @property
    def _models(self) -> Mapping[str, type[BaseModel]]:
        tables = _TABLES[self.key.rpartition(".")[0]]
        return {kind: model for kind, model in tables.items() if self._name in model.model_fields}


@dataclass(frozen=True, slots=True)
class Section:
    """Fields that belong together. `lead`: what they are about, in a sentence."""

    title: str
    lead: str
    fields: tuple[Field, ...]

    @property
    def rare(self) -> tuple[Field, ...]:
        """What stands under "More"."""
        return tuple(field for field in self.fields if field.rare)

    @property
    def rare_types(self) -> tuple[str, ...]:
        """The types of turn_detection with which anything of it has a meaning; none: with each."""
        if any(not field.types for field in self.rare):
            return ()
        return tuple(dict.fromkeys(kind for field in self.rare for kind in field.types))
