"""A profile as the fields of a form, and back."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from phonebot.agents.form import by_field, shows_all, table_of, values_of
from phonebot.agents.form_fields import FIELDS, WITHOUT_FIELD
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
from phonebot.errors import ProfileError

TABLES: dict[str, tuple[type[BaseModel], ...]] = {
    "turn_detection": (ServerVad, SemanticVad, LocalVad, NoVad),
    "transcription": (Transcription,),
    "barge_in": (BargeIn,),
    "outbound": (Outbound,),
    "keys": (Keys,),
    "messages": (Messages,),
    "history": (History,),
    "hours": (Hours,),
    "hours.closed": (Closed,),
    "limits": (Limits,),
    "no_input": (NoInput,),
    "transfer": (Transfer,),
    "truncation": (Truncation,),
}
# What a value that a field offers stands with.
BESIDE = {
    "hours.closed.then": {
        "talk": {"hours.time_zone": "UTC"},
        "say": {"hours.time_zone": "UTC", "hours.closed.say": "Bye"},
        "transfer": {"hours.time_zone": "UTC", "hours.closed.to": "+15550100009"},
    }
}
FILES = sorted((Path(__file__).parents[2]).glob("fixtures/**/numbers.toml"))
REQUEST = {"name": "order", "description": "Orders.", "url": "https://shop.example.com/orders"}
WRONG = {
    "name": "n" * 101,
    "language": "English",
    "greeting": "Hi {name}",
    "max_call_s": "soon",
    "temperature": "0,8",
    "voice": "v" * 65,
    "turn_detection.type": "local",
    "turn_detection.silence_duration_ms": "99",
    "turn_detection.idle_timeout_ms": "4",  # not one of local's: it does not count
    "barge_in.hold_ms": "-1",
    "barge_in.backchannels": "w" * 41,
    "transcription.language": "english",
}


def keys(within: str = "", names: Iterable[str] = Profile.model_fields.keys() - WITHOUT_FIELD) -> Iterator[str]:
    for key in (within + name for name in names):
        if key in WITHOUT_FIELD:
            continue
        for model in TABLES.get(key, ()):
            yield from keys(f"{key}.", model.model_fields)
        if key not in TABLES:
            yield key


def test_each_key_of_a_profile_has_a_field() -> None:
    assert {field.key for field in FIELDS} == {*keys(), "transcription"}
    assert len({field.key for field in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.key)
def test_each_field_says_what_holds_when_it_is_empty_and_what_is_allowed(field: Any) -> None:
    assert field.default or field.key == "name"
    assert all(text for _, text in field.allowed)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.key)
def test_what_a_field_offers_is_allowed(field: Any) -> None:
    for value in [*(value for value, _ in field.choices), *field.suggestions]:
        values = {field.key: value}
        if field.types and "" not in field.types:
            values["turn_detection.type"] = field.types[0]
        if value == "leave_message":
            values["outbound.message"] = "Please call us back."
        if field.key in BESIDE:
            values |= BESIDE[field.key][value]
        Profile.from_table(table_of(values), "the form")


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"name": "desk", "prompt": "One.\n\n  Two {now}.\n", "max_call_s": 600, "record": False},
        {"turn_detection": {"type": "server_vad", "threshold": 0.6, "idle_timeout_ms": 5000}},
        {"turn_detection": {"type": "semantic_vad", "eagerness": "low", "create_response": False}},
        {"turn_detection": {"type": "local", "min_speech_ms": 150, "threshold": 1}},
        {"turn_detection": {"type": "none"}, "max_output_tokens": "inf"},
        {"transcription": False, "noise_reduction": "near_field", "temperature": 0.8},
        {"transcription": {"model": "whisper-1", "language": "de", "prompt": "tagliatelle\nossobuco"}},
        {"barge_in": {"hold_ms": 2000, "backchannels": ["mhm", "uh huh"], "keys": True}, "interruptible": True},
        {"transfer_to": "+15550100009", "transfer": {"whisper": "{summary}\n1 takes it.", "caller_id": "caller"}},
        {"outbound": {"machine": "leave_message", "message": "Hi", "quiet": ["20:00-09:00"], "retry_on": ["busy"]}},
        {"hours": {"time_zone": "UTC", "monday": ["09:00-12:00", "13:00-17:30"], "dates": ["2026-12-24 closed"]}},
        {"keys": {"menu": {"1": "I want a table.", "21": "a = b"}, "timeout_s": 2.5, "terminator": "none"}},
        {"keys": {"hidden": True}},
        {"consent": "This call is recorded."},
        {"messages": {"url": "https://crm.example.com/", "sign_with": "CRM", "people": ["Rosa", "the kitchen"]}},
        {"hours": {"time_zone": "UTC", "closed": {"then": "transfer", "to": "+15550100009", "ring_s": 30}}},
    ],
)
def test_a_profile_survives_the_form(table: dict[str, Any]) -> None:
    again = table_of(values_of(table))
    assert Profile.from_table(again, "") == Profile.from_table(table, "")
    assert shows_all(table)
    assert table_of(values_of(again)) == again


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_profiles_of_files_survive_the_form(file: Path) -> None:
    for table in tomllib.loads(file.read_text()).values():
        assert shows_all(table) != ("agents" in table)  # which the form leaves to TOML


def test_an_empty_form_is_the_built_in_profile() -> None:
    assert table_of(dict.fromkeys((field.key for field in FIELDS), " ")) == {}


def test_the_line_ends_of_a_browser_become_ours() -> None:
    assert table_of({"prompt": "One.\r\nTwo.\r\n"}) == {"prompt": "One.\nTwo.\n"}


@pytest.mark.parametrize(
    "table", [{"prompt": ""}, {"tools": [REQUEST]}, {"max_call_s": 1}, {"barge_in": {"holdms": 1}}]
)
def test_what_the_form_cannot_show_is_known(table: dict[str, Any]) -> None:
    assert not shows_all(table)


def test_each_problem_belongs_to_the_field_that_was_typed_into() -> None:
    with pytest.raises(ProfileError) as refused:
        Profile.from_table(table_of(WRONG), "the form")
    found = dict(by_field(refused.value.problems, WRONG))
    assert found.keys() == WRONG.keys() - {"turn_detection.type", "turn_detection.idle_timeout_ms"}
    assert found["max_call_s"] == 'max_call_s is "soon"; it must be a whole number of seconds from 10 to 14400'


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"barge_in.backchannels": "mhm"}, "barge_in.backchannels"),
        ({"greeting_audio": "hello.wav"}, "greeting_audio"),
        ({"greeting_audio": "hello.wav", "greeting": "Hi {caller}"}, "greeting"),
        ({"barge_in.hold_ms": "100", "transcription": "false"}, "barge_in.hold_ms"),
    ],
)
def test_a_problem_of_two_keys_belongs_to_the_first(values: dict[str, str], key: str) -> None:
    with pytest.raises(ProfileError) as refused:
        Profile.from_table(table_of(values), "the form")
    assert [found for found, _ in by_field(refused.value.problems, values)] == [key]


def test_a_problem_that_no_field_has_is_kept() -> None:
    assert list(by_field(["agents is not supported by this version", 'tools[1] is "fly"'], {})) == [
        ("", "agents is not supported by this version"),
        ("tools", 'tools[1] is "fly"'),
    ]
