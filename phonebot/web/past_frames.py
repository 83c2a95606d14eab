"""Tells several of what happens to a call, but for its frames, at the cost of one."""

from phonebot.bridge import Journal
from phonebot.call.actions import Action, Tell
from phonebot.call.inputs import Input
from phonebot.carrier.messages import Media


class PastFrames:
    """A bridge's journal. What a frame does beside being passed on to the model is told like all else."""

    def __init__(self, journals: tuple[Journal, ...]) -> None:
        self._journals = journals

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if type(received) is Media and len(actions) == 1 and type(actions[0]) is Tell:
            return  # fifty times a second
        for journal in self._journals:
            journal.happened(now, received, actions)
