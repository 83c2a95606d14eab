import pytest

from phonebot.simulator.filling import filled, filled_arguments, names_in, results_in
from phonebot.simulator.mind import Line

RESULTS = {"look": '{"name": "Ada", "free": [{"at": 10}, {"at": 11}], "ok": true}', "result": "1.50", "say": '"hi"'}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Nothing to fill, {0} and { look }.", "Nothing to fill, {0} and { look }."),
        ("It is {result}.", "It is 1.50."),
        ("{say}, {look.name}", "hi, Ada"),
        ("at {look.free.1.at}", "at 11"),
        ("so: {look.free.0}, {look.ok}", 'so: {"at": 10}, true'),
    ],
)
def test_a_placeholder_stands_for_a_value_of_what_a_function_returned(text: str, said: str) -> None:
    assert filled(text, RESULTS) == said


@pytest.mark.parametrize(
    "text",
    ["{other}", "{look.age}", "{look.free.2.at}", "{look.free.at}", "{look.name.first}", "{result.x}", "{say.0}"],
)
def test_a_value_that_there_is_not_leaves_no_text(text: str) -> None:
    assert filled(f"It is {text}.", RESULTS) is None


def test_an_argument_keeps_the_type_of_its_value() -> None:
    arguments = {"at": "{look.free.0.at}", "ok": "{look.ok}", "who": "for {look.name}", "seats": 2, "day": "friday"}
    assert filled_arguments(arguments, RESULTS) == {
        "at": 10,
        "ok": True,
        "who": "for Ada",
        "seats": 2,
        "day": "friday",
    }


@pytest.mark.parametrize("argument", ["{look.age}", "for {look.age}"])
def test_arguments_with_one_missing_are_none(argument: str) -> None:
    assert filled_arguments({"a": 1, "b": argument}, RESULTS) is None


def test_of_a_function_that_ran_twice_the_newest_result_counts() -> None:
    history = [
        Line("tool", "1", "look"),
        Line("user", "again"),
        Line("tool", "2", "look"),
        Line("tool", "3"),
    ]
    assert results_in(history) == {"look": "2"}


def test_the_names_of_all_placeholders_are_found() -> None:
    assert names_in("{result.a} and {find_times.free.0}, {result}") == ["result", "find_times", "result"]
