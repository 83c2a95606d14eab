"""Where the time of a call's answers went, as its page tells it."""

from phonebot.store.tables import CallRow, TurnRow
from phonebot.web.console.answer_parts import AnswerPart, answer_parts
from phonebot.web.console.figures import brief


def answer(number: int, latency_ms: int | None, model_ms: int | None, ours_us: int | None) -> TurnRow:
    return TurnRow(sequence=number, who="bot", text="", latency_ms=latency_ms, model_ms=model_ms, ours_us=ours_us)


def test_half_and_the_longest_of_each_part_and_the_rest_is_that_of_what_was_heard() -> None:
    call = CallRow(
        turns=[
            answer(1, None, None, None),  # a greeting
            answer(2, 1_300, 700, 250),
            answer(3, None, 900, 12_000),  # it was not heard
            answer(4, 1_000, 400, 500),
        ]
    )
    rest, model, ours = answer_parts(call)
    assert (rest.half_ms, rest.most_ms) == (599.5, 599.75)
    assert (model.half_ms, model.most_ms) == (700, 900)
    assert (ours.half_ms, ours.most_ms) == (0.5, 12)


def test_a_call_of_which_nothing_was_measured_has_no_parts() -> None:
    parts: list[AnswerPart] = answer_parts(CallRow(turns=[answer(1, 900, None, None)]))
    assert parts == []


def test_short_times_are_written_with_what_counts_of_them() -> None:
    times_ms = (0, 0.2444, 3.14, 9.96, 64.4, 1_300, None)
    assert [brief(ms) for ms in times_ms] == ["0 ms", "0.24 ms", "3.1 ms", "10 ms", "64 ms", "1.3 s", "–"]
