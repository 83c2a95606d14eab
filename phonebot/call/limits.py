"""What a call may take: of silence, of time and of money. All of it is decided before the call begins."""

from collections.abc import Callable

from phonebot.agents import manners
from phonebot.realtime.events import Frozen, TranscriptionUsage, Usage
from phonebot.realtime.prices import Tariff

Filled = Callable[[str], str]
"""Puts what is known of the call into an operator's text."""

NEAR = 0.8
"""So much of a limit is near it."""
WARNED_BEFORE_MS = 60_000
"""At most: of a long call this is enough to end it in."""


class Words(Frozen, frozen=True):
    """What is said. `language`: they are ours, in English, and are said in this one, a tag; "": as they are."""

    text: str
    language: str = ""


STILL_THERE = Words("Are you still there?")
NOT_HEARD = Words("I can't hear you, so I am going to hang up. Goodbye.")
TIME_IS_UP = Words("I am sorry, I have to end this call now. Thank you for calling. Goodbye.")


class NoInput(Frozen, frozen=True):
    """
    After `after_ms` in which nobody speaks the bot says `say`, at most `times` in a row; then `goodbye`: it leaves.
    """

    after_ms: int
    times: int = 2
    say: Words = STILL_THERE
    goodbye: Words = NOT_HEARD

    @classmethod
    def of(cls, entry: manners.NoInput, language: str, filled: Filled) -> "NoInput":
        """As a profile has it, in whose language our own words are said."""
        return cls(
            int(entry.after_s * 1000),
            entry.times,
            _said(entry.say, STILL_THERE, language, filled),
            _said(entry.goodbye, NOT_HEARD, language, filled),
        )


class Limits(Frozen, frozen=True):
    """
    How a call ends that reaches a limit: it says `goodbye`. Near it the model is told `warn`; "": what we tell it.

    `most_usd` is what it may cost, by the plan's tariff; None: that is not watched.
    """

    warn: str = ""
    goodbye: Words = TIME_IS_UP
    most_usd: float | None = None

    @classmethod
    def of(cls, entry: manners.Limits, most_usd: float | None, language: str, filled: Filled) -> "Limits":
        """As a profile has it."""
        return cls(filled(entry.warn or ""), _said(entry.goodbye, TIME_IS_UP, language, filled), most_usd)


class Spending:
    """What a call has cost so far, by what the model's service tells of it. `tariff` has the model's price."""

    def __init__(self, tariff: Tariff) -> None:
        self.usd = 0.0
        self._tariff = tariff

    def respond(self, tokens: Usage | None) -> None:
        """A response has ended; None: what it took is not known."""
        if tokens:
            self.usd += max(self._tariff.of(tokens) or 0, 0)

    def transcribe(self, usage: TranscriptionUsage | None) -> None:
        """A turn of the caller's was written down."""
        if usage:
            self.usd += max(self._tariff.of_transcription(usage), 0)


def near_ms(most_ms: int) -> int:
    """When a call that may last so long is near its end."""
    return max(int(most_ms * NEAR), most_ms - WARNED_BEFORE_MS)


def _said(text: str | None, otherwise: Words, language: str, filled: Filled) -> Words:
    if text:
        return Words(filled(text))
    is_english = language.partition("-")[0].lower() == "en"
    return otherwise if is_english else Words(otherwise.text, language)
