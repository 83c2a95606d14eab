"""Filling of instructions and greetings: only what is known is replaced, and only once."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.agents.prompt import MAX_VALUE_CHARACTERS, PLACEHOLDERS, check, fill

FRIDAY = datetime(2026, 11, 20, 18, 30, 59, tzinfo=timezone(timedelta(hours=1)))

texts_with_braces = st.lists(
    st.sampled_from(["{", "}", "{{", "}}", "{caller}", "{now}", "{x}", "caller", " "]) | st.text(max_size=3)
).map("".join)


def filled(text: str, caller: str = "+15551230000", now: datetime = FRIDAY) -> str:
    return fill(text, caller=caller, number="+15550100000", now=now, language="en-US")


def test_each_placeholder_becomes_its_value() -> None:
    assert filled("{caller} called {number}, {now}, {language}") == (
        "+15551230000 called +15550100000, Friday 2026-11-20 18:30+01:00, en-US"
    )


def test_a_placeholder_is_replaced_wherever_it_stands() -> None:
    assert filled("{caller}{caller}") == "+15551230000+15551230000"


def test_double_braces_become_single_ones() -> None:
    assert filled('{{"caller": "{{{caller}}}"}}') == '{"caller": "{+15551230000}"}'
    assert filled("{{caller}}") == "{caller}"


def test_other_braces_stay_as_they_are() -> None:
    assert filled("{Caller} { {x} }") == "{Caller} { {x} }"


@pytest.mark.parametrize("caller", ["{number}", "{{", "}}", "{caller}"])
def test_a_value_that_holds_braces_is_not_filled_again(caller: str) -> None:
    assert filled("<{caller}>", caller) == f"<{caller}>"


def test_a_value_loses_what_cannot_be_printed() -> None:
    assert filled("{caller}", "+1\n555\0\x1b[2J\u202e\u2028\t0") == "+1555[2J0"


def test_a_value_is_cut_to_its_limit() -> None:
    assert filled("{caller}", "9" * 10_000) == "9" * MAX_VALUE_CHARACTERS


@pytest.mark.parametrize("caller", ["", " ", "\n\0"])
def test_a_value_with_nothing_to_show_is_unknown(caller: str) -> None:
    assert filled("{caller}", caller) == "unknown"


def test_the_time_in_utc_shows_its_offset() -> None:
    assert filled("{now}", now=datetime(2026, 11, 22, 9, 5, tzinfo=UTC)) == "Sunday 2026-11-22 09:05+00:00"


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="now has no time zone"):
        filled("{now}", now=FRIDAY.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", []),
        ("no braces", []),
        ("{caller} {number} {now} {language}", []),
        ("{{caller}} {{ }} {{{now}}}", []),
        ("{name}", ["{name}"]),
        ("{Caller} { caller } {caller!r} {now:%H}", ["{Caller}", "{ caller }", "{caller!r}", "{now:%H}"]),
        ("{} {0}", ["{}", "{0}"]),
        ('{"a": 1}', ['{"a": 1}']),
        ("{name} and {name}", ["{name}"]),
        ("{ {caller}", ["{"]),
        ("{caller}}", ["}"]),
        ("{{{name}}}", ["{name}"]),
    ],
)
def test_check_names_what_is_no_placeholder(text: str, wrong: list[str]) -> None:
    assert check(text) == wrong


@given(texts_with_braces)
def test_a_text_without_complaints_is_filled_as_python_formats_it(text: str) -> None:
    if not check(text):
        ours = fill(text, caller="<caller>", number="<number>", language="<language>", now=FRIDAY)
        values = {name: f"<{name}>" for name in PLACEHOLDERS} | {"now": "Friday 2026-11-20 18:30+01:00"}
        assert ours == text.format(**values)


@given(texts_with_braces)
def test_what_check_complains_of_stands_in_the_filled_text(text: str) -> None:
    for piece in check(text):
        assert piece in filled(text)


@given(caller=st.text())
def test_any_caller_yields_one_short_line(caller: str) -> None:
    line = filled("{caller}", caller)
    assert line
    assert line.isprintable()
    assert len(line) <= MAX_VALUE_CHARACTERS
