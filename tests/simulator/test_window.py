"""How much of its conversation the embedded model still reads."""

import pytest

from phonebot.simulator.conversation import Item, Part
from phonebot.simulator.schema import Refused
from phonebot.simulator.window import INPUT_TOKENS, Window

RATIO = {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 1_000}}


def said(item_id: str, tokens: int) -> Item:
    return Item(item_id, "message", role="user", parts=[Part("input_text", text="abcd" * tokens)])


def ids(items: tuple[Item, ...]) -> str:
    return "".join(item.id for item in items)


def test_what_fits_is_read_whole() -> None:
    items = [said("a", 500), said("b", 500)]
    assert ids(Window().read(RATIO, "x" * 100_000, items)) == "ab"


def test_beyond_the_limit_it_is_cut_to_its_share_at_once_and_grows_again() -> None:
    window, items = Window(), [said(name, 250) for name in "abcde"]
    assert ids(window.read(RATIO, "", items)) == "de"
    items += [said("f", 250), said("g", 250)]
    assert ids(window.read(RATIO, "", items)) == "defg"
    items.append(said("h", 1))
    assert ids(window.read(RATIO, "", items)) == "gh"


def test_without_a_limit_of_its_own_the_window_is_the_models_and_the_oldest_goes() -> None:
    items = [said("a", 100), said("b", 100), said("c", INPUT_TOKENS - 150)]
    assert ids(Window().read("auto", "x" * 100, items)) == "bc"
    assert ids(Window().read("auto", "x" * 400, items)) == "c"


def test_the_newest_is_read_whatever_it_takes() -> None:
    assert ids(Window().read(RATIO, "", [said("a", 10), said("b", 5_000)])) == "b"


def test_where_nothing_may_go_a_response_is_refused() -> None:
    with pytest.raises(Refused):
        Window().read("disabled", "", [said("a", INPUT_TOKENS + 1)])


def test_the_output_of_a_function_goes_with_its_call() -> None:
    items = [
        Item("a", "function_call", call_id="1", name="f", arguments="x" * 3_000),
        Item("b", "function_call_output", call_id="1", output="y" * 400),
        said("c", 200),
    ]
    assert ids(Window().read(RATIO, "", items)) == "c"
