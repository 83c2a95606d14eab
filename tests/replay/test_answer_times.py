"""Who was waited for in each answer, from the log: inputs and actions at their times."""

from typing import Any

import pytest

from phonebot.call.actions import Action, PlayAudio, SendMark, Tell
from phonebot.call.inputs import AnswerSent, Input, Tick
from phonebot.carrier.messages import Mark, Media
from phonebot.realtime.events import (
    AudioCommitted,
    AudioDelta,
    CommitAudio,
    CreateResponse,
    Response,
    ResponseCreated,
    SpeechStarted,
    SpeechStopped,
)
from phonebot.replay.answer_times import AnswerTimes, answer_times, round_trip_ms
from phonebot.replay.reader import Step

FRAME = Media(2, 1, 100, "")


def step(now: int, received: Input, *actions: Action) -> Step:
    return Step(now, received, actions)


def delta(response: str, item: str) -> AudioDelta:
    return AudioDelta(response, item, 0, 0, "")


def played(item: str) -> PlayAudio:
    return PlayAudio("", item)


def times(turn_end_ms: int, model_ms: int, ours_us: int) -> AnswerTimes:
    return AnswerTimes(turn_end_ms=turn_end_ms, model_ms=model_ms, ours_us=ours_us)


HEARD = [
    step(1_000, SpeechStarted(0, "u1")),
    step(2_000, SpeechStopped(0, "u1")),
    step(2_001, AudioCommitted("u1", None)),
]


def test_where_the_service_answers_by_itself_the_model_has_all_but_what_we_measured() -> None:
    log = [
        *HEARD,
        step(2_600, delta("r1", "i1"), played("i1")),
        step(2_600, AnswerSent("r1", 240)),
        step(2_700, delta("r1", "i1"), played("i1")),
    ]
    assert answer_times(log) == {"i1": times(2_000, 600, 240)}


def test_what_we_wait_before_we_ask_and_before_we_play_is_ours() -> None:
    log = [
        *HEARD,
        step(2_300, Tick(), Tell(CreateResponse())),
        step(2_800, delta("r1", "i1")),  # less than a frame of audio: nothing is played yet
        step(2_805, delta("r1", "i1"), played("i1")),
        step(2_805, AnswerSent("r1", 1_200)),
    ]
    assert answer_times(log) == {"i1": times(2_000, 500, 300_000 + 5_000 + 1_200)}


def test_what_bridges_the_wait_is_not_the_answer() -> None:
    """As a phrase of ours that is played while the answer's audio is kept back."""
    log = [
        *HEARD,
        step(2_300, Tick(), played("filler")),
        step(2_600, delta("r1", "i1"), played("filler")),
        step(2_900, Tick(), played("i1")),
    ]
    assert answer_times(log) == {"i1": times(2_000, 600, 300_000)}


def test_a_turn_that_we_found_ourselves_ends_with_our_commit() -> None:
    log = [
        step(1_900, FRAME, Tell(CommitAudio()), Tell(CreateResponse())),
        step(1_950, AudioCommitted("u1", None)),
        step(2_400, delta("r1", "i1"), played("i1")),
    ]
    assert answer_times(log) == {"i1": times(1_900, 500, 0)}


def test_an_answer_that_calls_a_function_first_counts_from_the_turn_to_its_first_audio() -> None:
    log = [
        *HEARD,
        step(2_002, ResponseCreated(Response("r1", "in_progress"))),
        step(2_900, Tick(), Tell(CreateResponse())),  # with the function's result
        step(3_300, delta("r2", "i2"), played("i2")),
        *(step(each.now_ms + 5_000, each.input) for each in HEARD),
        step(7_500, delta("r3", "i3"), played("i3")),
    ]
    assert answer_times(log) == {"i2": times(2_000, 1_300, 0), "i3": times(7_000, 500, 0)}


@pytest.mark.parametrize(
    "said",
    [
        [step(500, delta("r1", "greeting"), played("greeting"))],
        [*HEARD, step(2_100, SpeechStarted(0, "u2")), step(2_600, delta("r1", "late"), played("late"))],
    ],
)
def test_what_answers_no_turn_has_no_times(said: list[Step]) -> None:
    assert answer_times(said) == {}


def marks(*happened: tuple[Any, ...]) -> list[Step]:
    return [step(now, received, *actions) for now, received, *actions in happened]


def test_the_round_trip_is_that_of_marks_that_met_an_empty_queue() -> None:
    log = marks(
        (15, Tick(), SendMark("early")),
        (100, FRAME),
        (110, Mark(3, "early")),
        (120, FRAME, SendMark("a")),
        (200, Mark(3, "a")),
        (300, FRAME, SendMark("b"), played("i1"), SendMark("c")),
        (370, Mark(4, "b")),
        (371, FRAME, SendMark("d")),  # behind what plays
        (400, Mark(5, "c")),
        (401, Mark(6, "d")),
    )
    assert round_trip_ms(log) == 70
    assert round_trip_ms(log[:3]) is None
