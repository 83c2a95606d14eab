"""
Types into a call from outside of it: a person at the console or the API, a function, a hook.

    typist.say("The table is free.", "ada", "system")       # raises TextRefused

What is said becomes an input of the call (`TypedText`), so it is in its log, with the name, and replays.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias

from phonebot.call.inputs import MAX_TYPED_CHARACTERS, TypedText
from phonebot.errors import TextRefused

MAX_TEXTS = 10
PER_S = 10.0
"""In so many seconds MAX_TEXTS may be typed into a call, all who type together."""

TypedRole: TypeAlias = Literal["user", "system"]


class Typist:
    """Of one call: `send` is given what is typed, in the event loop in which this was made."""

    def __init__(
        self, call_sid: str, send: Callable[[TypedText], object], seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._call_sid = call_sid
        self._send = send
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._newest: deque[float] = deque()
        self._over = False

    def say(self, text: str, by: str, role: TypedRole = "user", interrupt: bool = False) -> None:
        """
        Type into the call, in the name `by`. From any thread.

        Raises TextRefused for a text that is empty or too long, when too much was typed, and when the call is over.
        """
        check_text(self._call_sid, text)
        if self._over:
            raise TextRefused(self._call_sid, "it is over")
        now = self._seconds()
        while self._newest and self._newest[0] <= now - PER_S:
            self._newest.popleft()
        if len(self._newest) >= MAX_TEXTS:
            raise TextRefused(
                self._call_sid, f"{MAX_TEXTS} texts within {PER_S:g} s were typed already: wait", too_many=True
            )
        self._newest.append(now)
        typed = TypedText(text, by, role, interrupt)
        if self._is_here():
            self._send(typed)
        else:
            self._loop.call_soon_threadsafe(self._send, typed)

    def close(self) -> None:
        """The call is over."""
        self._over = True

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


def check_text(call_sid: str, text: str) -> None:
    """Raises TextRefused for what cannot be typed."""
    if not text.strip() or len(text) > MAX_TYPED_CHARACTERS:
        raise TextRefused(call_sid, f"it must have 1 to {MAX_TYPED_CHARACTERS} characters, and not blanks alone")
