"""
Spoils messages: what a careless or malicious peer may send instead of what the protocol says.

    spoiler = Spoiler(rng, [connected, start, media])       # JSON objects that are right
    spoiler.message()                                       # text or bytes that is mostly wrong

Everything follows from the generator that is given, so a seed brings it back.
"""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

Json = dict[str, Any]

MAX_CHARACTERS = 70_000  # a little more than a media stream takes
ODD_TEXTS = ("", " ", "\x00", "é", "\U0001f600", "\ud800", "\r\n", "-1", "' OR 1=1 --", "<script>", "../../etc")
ODD_NUMBERS = (0, -1, 1, 20, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 0.5, 1e308, -0.0)


class Spoiler:
    """Makes messages of right ones; at most MAX_CHARACTERS long."""

    def __init__(self, rng: Random, right: Sequence[Json]) -> None:
        self._rng = rng
        self._right = right
        self._ways: tuple[Callable[[Json], str | bytes], ...] = (
            self._whole,
            self._with_odd_value,
            self._with_odd_value,
            self._with_odd_value,
            self._without_something,
            self._with_more,
            self._mixed,
            self._cut,
            self._scratched,
            self._scratched,
            self._nothing_of_it,
        )

    def message(self) -> str | bytes:
        way = self._rng.choice(self._ways)
        return way(deepcopy(self._rng.choice(self._right)))[:MAX_CHARACTERS]

    def text(self) -> str:
        """The same, as text that a socket can send."""
        spoilt = self.message()
        text = spoilt.decode("latin-1") if isinstance(spoilt, bytes) else spoilt
        return text.encode(errors="replace").decode()

    def odd(self, depth: int = 0) -> Any:
        """A JSON value that nobody expects."""
        kind = self._rng.randrange(9 if depth < 3 else 6)
        match kind:
            case 0:
                return None
            case 1:
                return self._rng.random() < 0.5
            case 2 | 3:
                return self._rng.choice(ODD_NUMBERS)
            case 4:
                return self._rng.choice(ODD_TEXTS)
            case 5:
                return self._rng.choice(ODD_TEXTS[2:5]) * self._rng.choice((1, 64, 500, 5_000))
            case 6:
                return [self.odd(depth + 1) for _ in range(self._rng.randrange(4))]
            case 7:
                return {self._rng.choice(ODD_TEXTS): self.odd(depth + 1) for _ in range(self._rng.randrange(4))}
        return str(self._rng.choice(ODD_NUMBERS))

    # ------------------------------------------------------------------------------ the ways

    def _whole(self, right: Json) -> str:
        return _text(right)

    def _with_odd_value(self, right: Json) -> str:
        holder, key = self._place(right)
        holder[key] = self.odd()
        return _text(right)

    def _without_something(self, right: Json) -> str:
        holder, key = self._place(right)
        del holder[key]
        return _text(right)

    def _with_more(self, right: Json) -> str:
        holder, _ = self._place(right)
        if isinstance(holder, dict):
            holder[self._rng.choice((*ODD_TEXTS, *right))] = self.odd()
        else:
            holder.append(self.odd())
        return _text(right)

    def _mixed(self, right: Json) -> str:
        """Of two messages one."""
        return _text(right | deepcopy(self._rng.choice(self._right)))

    def _cut(self, right: Json) -> str:
        text = _text(right)
        begin, end = sorted(self._rng.randrange(len(text) + 1) for _ in range(2))
        return text[begin:end] if self._rng.random() < 0.3 else text[:end]

    def _scratched(self, right: Json) -> str:
        characters = list(_text(right))
        for _ in range(self._rng.randrange(1, 6)):
            characters[self._rng.randrange(len(characters))] = self._rng.choice(
                ('"', "{", "}", "[", "]", ":", ",", "\\", "0", "\x00", "e", "-", "\u2028", "\ud800")
            )
        return "".join(characters)

    def _nothing_of_it(self, right: Json) -> str | bytes:
        match self._rng.randrange(5):
            case 0:
                return self._rng.randbytes(self._rng.randrange(200))
            case 1:
                return self._rng.choice("[{") * self._rng.choice((1, 10, 1_000, 60_000))
            case 2:
                return '{"a":' * self._rng.randrange(5_000)
            case 3:
                return _text(self.odd())
        return "".join(chr(self._rng.randrange(0x250)) for _ in range(self._rng.randrange(300)))

    def _place(self, right: Json) -> tuple[Any, Any]:
        """Somewhere in the message: what holds it, and its key or index there."""
        holder: Any = right
        while True:
            key = self._rng.choice(list(holder)) if isinstance(holder, dict) else self._rng.randrange(len(holder))
            inner = holder[key]
            if not (isinstance(inner, dict | list) and inner) or self._rng.random() < 0.2:
                return holder, key
            holder = inner


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
