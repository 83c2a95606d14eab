"""What a stream may send, by a clock that is set."""

import pytest

from phonebot.web.pace import Pace

FRAME = 400


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_call_never_exceeds_its_pace_however_long_it_is() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(4 * 3600 * 5):  # four hours, at ten times as many messages as there are frames
        clock.now_s += 0.2
        assert not any(pace.exceeded_by(FRAME) for _ in range(10))


def test_what_has_gathered_for_half_a_minute_may_come_at_once() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(10):
        assert not any(pace.exceeded_by(FRAME) for _ in range(50 * 30))
        clock.now_s += 30


@pytest.mark.parametrize(("characters", "most"), [(10, 6_100), (FRAME, 6_100), (60_000, 100)])
def test_a_flood_is_found_by_its_messages_or_by_its_length(characters: int, most: int) -> None:
    pace = Pace(Clock())
    assert any(pace.exceeded_by(characters) for _ in range(most))


def test_a_steady_stream_of_too_much_is_found_too() -> None:
    clock = Clock()
    pace = Pace(clock)

    def send() -> bool:
        clock.now_s += 1 / 400
        return pace.exceeded_by(FRAME)

    assert any(send() for _ in range(400 * 31 * 2))
