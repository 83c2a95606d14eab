"""Whether a log still holds: today's core does what the log says, and the hand-written expectations are met."""

from dataclasses import dataclass
from pathlib import Path

from phonebot.replay.archive import opened
from phonebot.replay.differences import described
from phonebot.replay.expectations import expected_of, shortcomings
from phonebot.replay.player import Replay, play
from phonebot.replay.reader import read
from phonebot.replay.words import clock


@dataclass(frozen=True, slots=True)
class Verdict:
    """A log replayed. `shortcomings` are sentences."""

    replay: Replay
    shortcomings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.replay.differences and not self.shortcomings

    @property
    def length_ms(self) -> int:
        """How long the call was, in call time."""
        return self.replay.log.steps[-1].now_ms if self.replay.log.steps else 0

    def __str__(self) -> str:
        """What is wrong, in lines; when nothing is, what was replayed."""
        parts = [described(self.replay)] if self.replay.differences else []
        if self.shortcomings:
            parts.append("\n".join(["Not as expected.toml says:", *(f"  {each}" for each in self.shortcomings)]))
        return "\n\n".join(parts) or f"{clock(self.length_ms)}, {len(self.replay.steps)} inputs"


def judge(path: Path) -> Verdict:
    """Replay the log at `path`, a folder or a zip file. Raises LogError for what cannot be replayed."""
    with opened(path) as folder:
        replay = play(read(folder))
        expected = expected_of(folder)
    return Verdict(replay, tuple(shortcomings(replay.steps, expected)) if expected else ())
