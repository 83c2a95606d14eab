"""Sentences on keys of a profile, taken apart: each kind that the profile's checks make."""

from pathlib import Path
from typing import Any

import pytest

from phonebot.agents.numbers import read_tables
from phonebot.agents.profile import Profile
from phonebot.errors import ProfileError
from phonebot.web.api.key_problems import KeyProblem, read_sentence

SIGNED = {"name": "a", "description": "A.", "url": "https://a.example.com", "sign_with": "A"}


def told(table: dict[str, Any]) -> list[KeyProblem]:
    with pytest.raises(ProfileError) as caught:
        Profile.from_table(table, "test")
    return [read_sentence(sentence) for sentence in caught.value.problems]


@pytest.mark.parametrize(
    ("table", "key", "reason", "allowed"),
    [
        ({"temperature": 9}, "temperature", "is 9", "a number from 0.6 to 1.2"),
        ({"name": "x; it must be y" * 9}, "name", None, "text of at most 100 characters"),
        ({"promt": ""}, "promt", "is not a known key", "prompt"),
        ({"xyzzy": ""}, "xyzzy", "is not a known key", ", ".join(Profile.model_fields)),
        ({"two words": ""}, '"two words"', "is not a known key", ", ".join(Profile.model_fields)),
        ({'say "it"': ""}, '"say \\"it\\""', "is not a known key", ", ".join(Profile.model_fields)),
        ({"k" * 60: ""}, f'"{"k" * 39}...', "is not a known key", ", ".join(Profile.model_fields)),
        ({"output": "x"}, "output", "is not supported by this version", None),
        ({"turn_detection": {"type": "x"}}, "turn_detection.type", 'is "x"', None),
        ({"turn_detection": {"threshold": 2}}, "turn_detection.threshold", "is 2", "a number from 0 to 1"),
        ({"transcription": {"modell": ""}}, "transcription.modell", "is not a known key", "model"),
        ({"prompt": "{x}"}, "prompt", None, None),
        ({"tools": ["a", "a"]}, "tools", "holds a twice", None),
        ({"tools": ["a", 3]}, "tools[1]", "is 3", None),
        ({"tools": [{"mcp": "a", "server_url": "x"}]}, "tools[0].server_url", "is not https://HOST/PATH", None),
        ({"tools": [SIGNED | {"method": "GET"}]}, "tools[0]", None, None),
        ({"tools": [SIGNED | {"sign_with": "KEY"}]}, "tools[0].sign_with", None, None),
        ({"tools": [SIGNED | {"confirm": {"key": "x"}}]}, "tools[0].confirm.key", 'is "x"', None),
        ({"greeting_audio": "a"}, "greeting_audio", "needs greeting: the words that are said in it", None),
        (
            {"barge_in": {"backchannels": ["mhm"]}},
            "barge_in.backchannels",
            "needs barge_in.hold_ms: the words come only after the speech",
            None,
        ),
    ],
)
def test_a_sentence_on_a_key_is_taken_apart(
    table: dict[str, Any], key: str, reason: str | None, allowed: str | None
) -> None:
    (problem,) = told(table)
    assert problem.key == key
    assert reason in (None, problem.reason)
    assert allowed in (None, problem.allowed)
    assert problem.number is None


def test_in_a_file_each_problem_has_its_number() -> None:
    tables = {"+15550100000": {"max_call_s": 1}, "default": {"name": 1}, "12": {}, "x": 1}
    with pytest.raises(ProfileError) as caught:
        read_tables(tables, "file", Path())
    problems = [read_sentence(sentence) for sentence in caught.value.problems]
    assert [(problem.number, problem.key) for problem in problems] == [
        ("+15550100000", "max_call_s"),
        ("default", "name"),
        (None, None),
        (None, None),
    ]
    assert problems[0].sentence() == (
        "[+15550100000] max_call_s is 1; allowed: a whole number of seconds from 10 to 14400"
    )


@pytest.mark.parametrize("sentence", ["has more than 1000000 bytes", "is not TOML: a line", "", "one two three"])
def test_what_is_about_no_key_is_the_reason(sentence: str) -> None:
    assert read_sentence(sentence) == KeyProblem(reason=sentence)
