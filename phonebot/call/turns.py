"""
Who has the floor.

    IDLE      nobody speaks and nobody is about to
    CALLER    the caller speaks
    THINKING  the caller has finished; the model has not begun to be heard
    BOT       the bot's audio plays, or is on its way to the caller

The floor follows what happened and decides nothing by itself: what is not in the table leaves it as it is, since a
call outlives a surprise. From BOT to CALLER is the barge-in.
"""

from enum import StrEnum

from phonebot.realtime.events import AudioDelta, ResponseCreated, ResponseDone, SpeechStarted, SpeechStopped


class Turn(StrEnum):
    IDLE = "idle"
    CALLER = "caller"
    THINKING = "thinking"
    BOT = "bot"


class PlayoutEnded:
    """The last mark came back: the caller has heard all there was."""


TRANSITIONS: dict[Turn, dict[type, Turn]] = {
    Turn.IDLE: {
        SpeechStarted: Turn.CALLER,
        ResponseCreated: Turn.THINKING,
        AudioDelta: Turn.BOT,
    },
    Turn.CALLER: {
        SpeechStopped: Turn.THINKING,
        AudioDelta: Turn.BOT,
    },
    Turn.THINKING: {
        SpeechStarted: Turn.CALLER,
        AudioDelta: Turn.BOT,
        ResponseDone: Turn.IDLE,  # it had nothing to say: the answer was a tool call, or none
    },
    Turn.BOT: {
        SpeechStarted: Turn.CALLER,
        PlayoutEnded: Turn.IDLE,
    },
}


def after(turn: Turn, happening: type) -> Turn:
    """Who has the floor once `happening` took place."""
    return TRANSITIONS[turn].get(happening, turn)
