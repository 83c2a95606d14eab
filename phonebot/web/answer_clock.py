"""How long we take for the first audio of each response: from reading it to giving it to the carrier's socket."""

from collections.abc import Callable
from time import monotonic

from phonebot.call.actions import Action, PlayAudio
from phonebot.call.inputs import AnswerSent, Input
from phonebot.realtime.events import AudioDelta


class AnswerClock:
    """
    A bridge's journal. It is told once what happened was done, so what is to be sent has been handed over by then.

    `read_s` says when the model's newest event was read, by time.monotonic; `tell` is given each answer once.
    """

    def __init__(self, read_s: Callable[[], float], tell: Callable[[AnswerSent], object]) -> None:
        self._read_s, self._tell = read_s, tell
        self._newest = ""  # the response that was told of last

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if type(received) is not AudioDelta or received.response_id == self._newest:
            return
        if any(type(action) is PlayAudio for action in actions):
            took_s = monotonic() - self._read_s()
            self._newest = received.response_id
            self._tell(AnswerSent(received.response_id, round(took_s * 1e6)))
