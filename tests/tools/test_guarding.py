"""Python functions that are guardrails: which may be, and where they are found."""

from importlib.metadata import EntryPoint

import call_tools
import pytest

from phonebot.errors import SettingsError
from phonebot.tools import GuardrailContext, guardrail
from phonebot.tools.registry import GROUP, load_guardrails, load_tools

NAMES = {"says_something", "breaks", "never_ends"}


def test_a_module_brings_its_guardrails_beside_its_functions() -> None:
    assert load_guardrails("call_tools", ()).keys() == NAMES
    assert load_tools("call_tools", ()).keys().isdisjoint(NAMES)
    assert load_guardrails("call_tools:breaks", ()) == {"breaks": call_tools.breaks}
    assert load_tools("call_tools:breaks", ()) == {}
    assert load_guardrails("", (EntryPoint("x", "call_tools", GROUP),)).keys() == NAMES


def test_what_there_is_not_is_refused_with_a_sentence() -> None:
    with pytest.raises(SettingsError) as caught:
        load_guardrails("json,call_tools:DISHES", ())
    first, second = caught.value.problems
    assert first.endswith("no function in it is decorated with @tool or @guardrail")
    assert second.endswith("it is no function that is decorated with @tool or @guardrail")


def test_a_function_stays_as_callable_as_it_was() -> None:
    @guardrail
    def loud(text: str, threshold: int = 3) -> bool:
        return text.count("!") > threshold

    assert loud("!!!!")
    assert not loud("!!!!", threshold=9)
    assert (loud.name, loud.context) == ("loud", None)


def test_a_guardrail_has_the_name_that_it_is_given() -> None:
    @guardrail(name="too_loud")
    def loud(text: str, call: GuardrailContext) -> bool:
        return True

    assert (loud.name, loud.context) == ("too_loud", "call")
    with pytest.raises(ValueError, match="cannot be called 'a b'"):
        guardrail(name="a b")(lambda text: True)


def test_a_function_that_cannot_be_given_a_text_is_refused() -> None:
    def nothing() -> bool:
        return True

    def context_first(call: GuardrailContext, text: str) -> bool:
        return True

    def two(text: str, other: str) -> bool:
        return True

    def named(*, text: str) -> bool:
        return True

    for wrong in (nothing, context_first, two, named):
        with pytest.raises(TypeError, match="must take a text first, and at most one GuardrailContext"):
            guardrail(wrong)
