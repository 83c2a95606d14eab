"""What a party holds to his ear for a whole call, in streams and between them."""

from collections.abc import Callable
from typing import TypeAlias

from phonebot.simulator.caller import Caller, Said
from phonebot.simulator.carrier import SILENCE

Tap: TypeAlias = Callable[[bytes, Said], None]
"""Given each frame that the party hears and what he did in the same 20 ms."""


class Handset:
    """
    One party and those who overhear him: recordings, the detection of answering machines.

    `hear()` as a `Caller`'s. `said` is what he said last, for whoever is connected with him.
    """

    def __init__(self, party: Caller) -> None:
        self.party = party
        self.said = SILENCE
        self.taps: list[Tap] = []

    @property
    def now_ms(self) -> int:
        """How long he has been on the line."""
        return self.party.now_ms

    def hear(self, frame: bytes) -> Said:
        said = self.party.hear(frame)
        self.said = said.audio
        for tap in tuple(self.taps):
            tap(frame, said)
        return said
