"""What a profile becomes as TOML, and that it comes back as it was."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.agents.toml import difference, parse, text_of, text_of_numbers
from phonebot.errors import ProfileError

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.text(alphabet='"\\\n\r\t ab\x00\x7f')
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)
tables = st.dictionaries(keys, values, max_size=6)


@given(st.dictionaries(keys, tables, max_size=3))
def test_any_table_comes_back_as_it_was_and_as_the_same_text(numbers: dict[str, Any]) -> None:
    text = text_of_numbers(numbers)
    read = parse(text.encode(), "test")
    assert read == numbers
    assert [list(table) for table in read.values()] == [list(table) for table in numbers.values()]
    assert text_of_numbers(read) == text


def test_a_profile_is_written_as_one_would_write_it() -> None:
    profile = {
        "name": "Front desk",
        "prompt": 'You answer for "Rosa".\n\nIt is {now}.\\\n',
        "turn_detection": {"type": "server_vad", "threshold": 0.5, "interrupt_response": False},
        "transcription": False,
        "barge_in": {"backchannels": ["mhm", "uh-huh"], "hold_ms": 2000},
        "max_call_s": 600,
    }
    text = '''\
name = "Front desk"
prompt = """
You answer for "Rosa".

It is {now}.\\\\
"""
turn_detection = { type = "server_vad", threshold = 0.5, interrupt_response = false }
transcription = false
barge_in = { backchannels = ["mhm", "uh-huh"], hold_ms = 2000 }
max_call_s = 600
'''
    assert text_of(profile) == text
    assert tomllib.loads(text) == profile


def test_numbers_are_headed_by_themselves() -> None:
    assert text_of_numbers({"default": {"name": "all"}, "+15550100000": {}}) == (
        '[default]\nname = "all"\n\n["+15550100000"]\n'
    )


def test_the_example_of_the_documentation_survives_being_read_and_written() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "profiles.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    numbers = tomllib.loads(example)
    text = text_of_numbers(numbers)
    assert tomllib.loads(text) == numbers
    # All that a person would notice is missing are the comments.
    lines = [line.partition("  #")[0].rstrip() for line in example.strip().splitlines()]
    assert text.strip().splitlines() == lines


def test_a_difference_shows_the_lines_of_a_prompt() -> None:
    before = {"name": "desk", "prompt": "One\ntwo\nthree\n"}
    after = {"name": "desk", "prompt": "One\n2\nthree\n", "voice": "marin"}
    assert difference(before, after, "version 1", "version 2") == (
        "--- version 1\n+++ version 2\n@@ -1,6 +1,7 @@\n"
        ' name = "desk"\n prompt = """\n One\n-two\n+2\n three\n """\n+voice = "marin"\n'
    )
    assert difference(after, dict(after), "a", "b") == ""


def test_what_is_no_toml_is_told_with_its_line() -> None:
    with pytest.raises(ProfileError, match=r"^import: is not TOML: .* \(at line 2, column 8\)$"):
        parse(b"a = 1\nname = ?\n", "import")


@pytest.mark.parametrize(
    "text",
    [
        "[" + ".".join("a" * 100_000) + "]",
        "x = {" + " . ".join("a" * 100_000) + " = 1}",
        '"a"."b" . ' * 50_000 + "c = 1",
        ".".join(["'a.b'"] * 50_000) + " = 1",
    ],
)
def test_a_key_of_very_many_parts_is_refused_before_it_is_read(text: str) -> None:
    """To read it would take minutes, in which no call gets a frame."""
    with pytest.raises(ProfileError, match="a key has more than 32 parts"):
        parse(text.encode(), "file")


def test_dots_in_texts_are_no_parts_of_a_key() -> None:
    prompt = "Say hello. Ask. Wait. Then... " * 1_000 + "." * 1_000
    assert parse(f'a.b.c = """{prompt}"""'.encode(), "file") == {"a": {"b": {"c": prompt}}}
