"""
What a response costs in tokens.

Text: a quarter of its characters, rounded up. Audio: a token per 100 ms of the caller's and per 50 ms of the
model's (Realtime, managing costs). Cached is the prefix that the last response's input shares, cut to 64 tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from phonebot.simulator.conversation import Item, Part

USER_MS_PER_TOKEN = 100
ASSISTANT_MS_PER_TOKEN = 50
CACHE_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Tokens:
    """An amount by kind."""

    text: int = 0
    audio: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.text + other.text, self.audio + other.audio)

    @property
    def total(self) -> int:
        return self.text + self.audio


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one response; the cached ones are part of the input."""

    input: Tokens = Tokens()
    output: Tokens = Tokens()
    cached: Tokens = Tokens()


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a response's input that the cache knows again by `key`."""

    key: object
    tokens: Tokens


def text_tokens(text: str) -> int:
    return math.ceil(len(text) / 4)


def part_tokens(part: Part) -> Tokens:
    if part.type == "input_audio":
        return Tokens(audio=part.audio_ms // USER_MS_PER_TOKEN)
    if part.type == "output_audio":
        return Tokens(text_tokens(part.transcript or ""), part.audio_ms // ASSISTANT_MS_PER_TOKEN)
    return Tokens(text_tokens(part.text))


def item_tokens(item: Item) -> Tokens:
    tokens = Tokens(text_tokens(item.name + item.arguments + item.output))
    return sum(map(part_tokens, item.parts), tokens)


def blocks_of(instructions: str, items: Sequence[Item]) -> tuple[Block, ...]:
    """The input of a response: the instructions, then its items."""
    first = Block(instructions, Tokens(text_tokens(instructions)))
    return (first, *(Block((item.id, tokens), tokens) for item in items for tokens in [item_tokens(item)]))


def total(blocks: Sequence[Block]) -> Tokens:
    return sum((block.tokens for block in blocks), Tokens())


def cached(before: Sequence[Block], now: Sequence[Block]) -> Tokens:
    """What of `now` the input `before` it has left in the cache."""
    shared = []
    for old, new in zip(before, now, strict=False):
        if old != new:
            break
        shared.append(new.tokens)
    rest = sum(tokens.total for tokens in shared) // CACHE_BLOCK * CACHE_BLOCK
    text = audio = 0
    for tokens in shared:
        in_text = min(tokens.text, rest)
        in_audio = min(tokens.audio, rest - in_text)
        text, audio, rest = text + in_text, audio + in_audio, rest - in_text - in_audio
    return Tokens(text, audio)
