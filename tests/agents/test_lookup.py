"""A profile's lookup: what may stand in it, what it is told otherwise, and the placeholders that it makes."""

from typing import Any

import pytest

from phonebot.agents.lookup import Lookup
from phonebot.agents.profile import Profile
from phonebot.errors import ProfileError

CRM = "https://crm.example.com/callers/{caller}?to={number}"
VALUES = {"customer": "unknown", "orders": 3, "vip": False}


def problems_of(**table: Any) -> tuple[str, ...]:
    with pytest.raises(ProfileError) as caught:
        Profile.from_table(table, "test")
    return caught.value.problems


def wrong(**keys: Any) -> str:
    (problem,) = problems_of(lookup={"url": CRM, "values": VALUES, **keys})
    return problem


def test_its_values_are_placeholders_of_the_prompt_and_the_greeting() -> None:
    table = {"greeting": "Hello {customer}", "prompt": "{orders}, {vip}", "lookup": {"url": CRM, "values": VALUES}}
    lookup = Profile.from_table(table, "test").lookup
    assert isinstance(lookup, Lookup)
    assert lookup.defaults == {"customer": "unknown", "orders": "3", "vip": "false"}
    assert lookup.filled(caller="%2B1", number="x") == "https://crm.example.com/callers/%2B1?to=x"


def test_what_it_does_not_fill_is_refused_with_what_is_known() -> None:
    (problem,) = problems_of(prompt="{custmer}", lookup={"url": CRM, "values": VALUES})
    assert problem == (
        "prompt holds {custmer}, but only {caller}, {number}, {now}, {language}, {customer}, {orders}, {vip} are"
        " replaced; a brace itself is written {{ or }}"
    )
    assert problems_of(greeting="{customer}")[0].startswith("greeting holds {customer}, but only {caller}")


def test_a_lookup_that_is_wrong_itself_is_the_one_complaint() -> None:
    assert problems_of(prompt="{customer}", lookup={"url": CRM}) == (
        "lookup.values is missing; it must be a table of 1 to 20 names with their defaults, such as"
        ' { customer = "unknown", orders = "none" }',
    )


def test_a_recording_cannot_say_what_was_looked_up() -> None:
    (problem,) = problems_of(
        greeting="Hello {customer}", greeting_audio="a.wav", lookup={"url": CRM, "values": VALUES}
    )
    assert problem == "greeting holds {customer}, which a recording (greeting_audio) cannot say"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"url": "https://{caller}.example.com/"}, "lookup.url has a placeholder in its host: who calls must not"),
        ({"url": "https://crm.example.com/{name}"}, "lookup.url holds {name}, but only {caller} and {number}"),
        ({"url": 5}, "lookup.url is 5; it must be text such as"),
        ({"timeout_s": 9}, "lookup.timeout_s is 9; it must be a number of seconds from 0.1 to 5"),
        ({"timeout": 1}, "lookup.timeout is not a known key; the nearest is timeout_s"),
        ({"values": {}}, "lookup.values is a table; it must be a table of 1 to 20 names"),
        ({"values": {"caller": "x"}}, "lookup.values holds caller, which is replaced already"),
        ({"values": {"Big": "x"}}, "lookup.values holds 'Big', which is no name"),
        ({"values": {"orders": [1]}}, "lookup.values.orders is an array; it must be text of at most 2000"),
        ({"values": {"orders": "x" * 2_001}}, "lookup.values.orders is "),
        ({"headers": {"Host": "x"}}, "lookup.headers holds Host, which phonebot sets itself"),
    ],
)
def test_what_is_wrong_is_said_where_and_why(keys: dict[str, Any], problem: str) -> None:
    assert wrong(**keys).startswith(problem)


def test_what_is_no_table_is_refused() -> None:
    assert problems_of(lookup="crm")[0].startswith('lookup is "crm"; it must be a table such as')
