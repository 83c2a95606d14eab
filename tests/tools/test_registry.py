"""Which Python functions a deployment has."""

from dataclasses import replace
from importlib.metadata import EntryPoint

import call_tools
import pytest

from phonebot.errors import SettingsError
from phonebot.tools.registry import GROUP, load_function, load_tools

NAMES = {"dish_of_the_day", "endless", "fail", "large", "look_into_it", "look_up", "pay", "pay_by_word"}


def problems_of(wanted: str = "", *installed: EntryPoint) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_tools(wanted, installed)
    return caught.value.problems


def point(value: str, name: str = "x") -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_without_a_setting_and_a_package_there_is_none() -> None:
    assert load_tools() == {}


def test_a_module_brings_all_its_functions_and_a_name_one() -> None:
    assert load_tools("call_tools", ()).keys() == NAMES
    assert load_tools(" call_tools:pay_too , call_tools:fail,", ()) == {
        "pay_by_word": call_tools.pay_too,
        "fail": call_tools.fail,
    }


def test_a_function_that_is_named_twice_is_the_same() -> None:
    assert load_tools("call_tools,call_tools:fail", (point("call_tools"),)).keys() == NAMES


def test_an_installed_package_brings_functions_or_modules() -> None:
    assert load_tools("", (point("call_tools:fail"),)) == {"fail": call_tools.fail}
    assert load_tools("", (point("call_tools"),)).keys() == NAMES


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("no_such_module", "PHONEBOT_TOOLS: no_such_module cannot be loaded: ModuleNotFoundError: No module named"),
        ("call_tools:fly", "PHONEBOT_TOOLS: call_tools:fly cannot be loaded: AttributeError: module 'call_tools'"),
        ("call_tools:DISHES", "PHONEBOT_TOOLS: call_tools:DISHES cannot be loaded: it is no function that is"),
        ("json", "PHONEBOT_TOOLS: json cannot be loaded: no function in it is decorated with @tool"),
    ],
)
def test_what_there_is_not_is_refused_with_a_sentence(wanted: str, problem: str) -> None:
    (refused,) = problems_of(wanted)
    assert refused.startswith(problem)


def test_each_wrong_name_has_its_sentence() -> None:
    assert len(problems_of("json,call_tools:fly", point("no_such_module"))) == 3


def test_two_functions_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_tools, "other", replace(call_tools.fail, timeout_s=1), raising=False)
    (problem,) = problems_of("call_tools:fail,call_tools:other")
    assert problem.startswith(
        "PHONEBOT_TOOLS: call_tools:other has a function fail, which another one is called too"
    )


def test_a_formatter_is_loaded_by_its_path() -> None:
    assert load_function("json:dumps", "PHONEBOT_X")({"a": 1}) == '{"a": 1}'
    for path, problem in [
        ("json:no", "PHONEBOT_X: json:no cannot be loaded: AttributeError"),
        ("json", "PHONEBOT_X: json is no function; it must be module:function"),
    ]:
        with pytest.raises(SettingsError, match=problem):
            load_function(path, "PHONEBOT_X")
