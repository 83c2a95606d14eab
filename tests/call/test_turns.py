import pytest

from phonebot.call.turns import TRANSITIONS, PlayoutEnded, Turn, after
from phonebot.realtime.events import AudioDelta, RateLimitsUpdated, ResponseDone, SpeechStarted, SpeechStopped


def test_a_plain_exchange_goes_round() -> None:
    turn = Turn.IDLE
    for happening, expected in [
        (SpeechStarted, Turn.CALLER),
        (SpeechStopped, Turn.THINKING),
        (AudioDelta, Turn.BOT),
        (ResponseDone, Turn.BOT),  # all is generated, and still to be heard
        (PlayoutEnded, Turn.IDLE),
    ]:
        turn = after(turn, happening)
        assert turn is expected


@pytest.mark.parametrize("turn", Turn)
def test_what_is_not_in_the_table_changes_nothing(turn: Turn) -> None:
    assert after(turn, RateLimitsUpdated) is turn


@pytest.mark.parametrize("turn", [turn for turn in Turn if turn is not Turn.CALLER])
def test_the_caller_gets_the_floor_from_anyone(turn: Turn) -> None:
    assert TRANSITIONS[turn][SpeechStarted] is Turn.CALLER
