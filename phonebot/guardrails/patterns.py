"""Guardrails that are words or a pattern: found at once, in time proportional to the text."""

from collections.abc import Iterable

from phonebot.agents.guardrails import compiled
from phonebot.call.wording import plain
from phonebot.guardrails.looking import Finds, Seen, shortened


def finds_words(phrases: Iterable[str]) -> Finds:
    """Finds one of these phrases, as whole words, however written."""
    known = [(f" {each} ", phrase) for phrase in phrases if (each := plain(phrase))]

    def find(seen: Seen) -> str | None:
        said = f" {plain(seen.text)} "
        return next((phrase for words, phrase in known if words in said), None)

    return find


def finds_pattern(pattern: str) -> Finds:
    """Finds a regular expression of RE2. Raises ValueError for what is none."""
    expression = compiled(pattern)

    def find(seen: Seen) -> str | None:
        match = expression.search(seen.text)
        return shortened(match.group()) if match else None

    return find
