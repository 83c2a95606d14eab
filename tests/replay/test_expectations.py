"""What is expected of a call by hand."""

from pathlib import Path

import pytest
from rehearsed import GREETING, UNDERSTOOD, interrupted

from phonebot.call.actions import Cut
from phonebot.replay.expectations import Expected, ExpectedCut, expected_of, shortcomings
from phonebot.replay.log import LogError

HEARD = (
    f"bot: {GREETING}",
    f"caller: {UNDERSTOOD}",
    "bot: You …",
    f"caller: {UNDERSTOOD}",
    f"bot: You said {UNDERSTOOD}",
)


def cut() -> Cut:
    (found,) = (action for step in interrupted().steps for action in step.actions if isinstance(action, Cut))
    return found


def failings(expected: Expected) -> list[str]:
    return list(shortcomings(interrupted().steps, expected))


def test_a_call_as_expected_has_no_shortcomings() -> None:
    around = (cut().heard_ms - 1, cut().heard_ms + 1)
    assert failings(Expected("caller_hung_up", 1, HEARD, (ExpectedCut(around, "fence"),))) == []
    assert failings(Expected()) == []


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        (Expected(outcome="time_limit"), "the outcome is caller_hung_up, expected was time_limit"),
        (Expected(barge_ins=2), "there are 1 barge-ins, expected were 2"),
        (Expected(heard=HEARD[:-1]), "there are 5 lines, expected were 4"),
        (
            Expected(heard=("bot: Bye", *HEARD[1:])),
            f"line 1 is {f'bot: {GREETING}'!r}, expected was 'bot: Bye'",
        ),
        (Expected(cuts=()), "there are 1 cuts, expected were 0"),
        (
            Expected(cuts=(ExpectedCut((0, 10)),)),
            f"cut 1 is at {cut().heard_ms} ms of its item, expected was 0 to 10 ms",
        ),
        (
            Expected(cuts=(ExpectedCut((0, 9999), "timeout"),)),
            "cut 1 is settled by fence, expected was timeout",
        ),
        (Expected(troubles=("slow",)), "the troubles are [], expected were ['slow']"),
    ],
)
def test_each_expectation_that_is_not_met_is_a_sentence(expected: Expected, sentence: str) -> None:
    assert failings(expected) == [sentence]


def test_a_line_that_was_to_be_cut_and_was_not_is_a_shortcoming() -> None:
    assert len(failings(Expected(heard=("bot: Hello …", *HEARD[1:])))) == 1


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "expected.toml").write_text(
        'outcome = "caller_hung_up"\nheard = ["bot: Hello"]\n[[cuts]]\nheard_ms = [10, 20]\n'
    )
    assert expected_of(tmp_path) == Expected("caller_hung_up", heard=("bot: Hello",), cuts=(ExpectedCut((10, 20)),))


def test_no_file_expects_nothing(tmp_path: Path) -> None:
    assert expected_of(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("outcome = 3", "outcome"),
        ('heard = ["Hello"]', "matching regex"),
        ("barge_in = 1", "unknown field `barge_in`"),
        ("[[cuts]]\nheard_ms = [1]", "length 2"),
        ("= =", "Invalid statement"),
        ("\ud800", "utf-8"),
        ("# " + "x" * 1024 * 1024, "longer than"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "expected.toml").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(LogError, match=problem) as caught:
        expected_of(tmp_path)
    assert caught.value.file == "expected.toml"
