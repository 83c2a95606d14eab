"""
The sentences of a ProfileError, taken apart: which key is wrong, why, and what it may be.

    temperature is 9; it must be a number from 0.6 to 1.2
    promt is not a known key; the nearest is prompt
    barge_in.hold_ms needs transcription: it waits for the caller's words
    ["+15550100000"] max_call_s is 1; it must be a whole number of seconds from 10 to 14400
"""

import re

from pydantic import BaseModel, Field

_HEADING = re.compile(r'\[(?:"(?P<quoted>\+[0-9]{7,15})"|(?P<bare>default))\] (?P<rest>.*)', re.DOTALL)
# A key of TOML, a path of two, or one into an entry of tools; what is no bare key stands in quotes, as
# `agents.profile.shown` writes it.
_IN_TOOLS = r"tools\[[0-9]+\](?:\.[A-Za-z0-9_-]{1,40}){0,2}"
_ANY_KEY = r'(?:[a-z_0-9]+\.)?(?:[A-Za-z0-9_-]{1,40}|"(?:[^"\\]|\\.)*(?:"|\.\.\.))'
_KEY = re.compile(rf"(?P<key>{_IN_TOOLS}|{_ANY_KEY})(?P<colon>:)? (?P<rest>.*)", re.DOTALL)
_VERBS = re.compile(r"(?:is|holds|needs|has|names|refers|must) ")
_ALLOWED = re.compile(r"(?P<reason>.*); (?:it must be|the nearest is|allowed are) (?P<allowed>.*)", re.DOTALL)


class KeyProblem(BaseModel):
    """A key that is wrong."""

    key: str | None = Field(
        default=None,
        description="The key, with a dot before one of a table in it; absent if it is about the whole.",
        examples=["turn_detection.threshold"],
    )
    reason: str = Field(description="What is wrong with it.", examples=["is 2"])
    allowed: str | None = Field(default=None, description="What it may be.", examples=["a number from 0 to 1"])
    number: str | None = Field(
        default=None, description="In an import: whose profile it is in.", examples=["+15550100000"]
    )

    def sentence(self) -> str:
        """As one would say it."""
        where = " ".join(filter(None, (f"[{self.number}]" if self.number else None, self.key)))
        said = f"{where} {self.reason}" if where else self.reason
        return f"{said}; allowed: {self.allowed}" if self.allowed else said


def read_sentence(sentence: str) -> KeyProblem:
    """A sentence of a ProfileError; one of another form comes back whole, as the reason."""
    number, rest = None, sentence
    if heading := _HEADING.fullmatch(sentence):
        number, rest = heading["quoted"] or heading["bare"], heading["rest"]
    found = _KEY.fullmatch(rest)
    if found is None or not (found["colon"] or _VERBS.match(found["rest"])):
        return KeyProblem(reason=rest, number=number)
    named = _ALLOWED.fullmatch(found["rest"])
    reason, allowed = (named["reason"], named["allowed"]) if named else (found["rest"], None)
    return KeyProblem(key=found["key"], reason=reason, allowed=allowed, number=number)
