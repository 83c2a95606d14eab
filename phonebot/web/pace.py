"""
Whether what comes on a media stream comes at a pace that a call can have.

A call's stream has 50 frames of about 400 characters in a second, echoes of marks and keys. A line that stood still
sends at once what has gathered. Whoever sends more for long would have one call take the place of many, and a model
paid for audio that nobody can have spoken.
"""

import time
from collections.abc import Callable

MESSAGES_PER_S = 200
CHARACTERS_PER_S = 100_000
BURST_S = 30.0
"""So many seconds' worth may come at once: 6,000 messages, or 3 MB."""
LOOKS_EVERY = 32  # messages: to ask for the time costs more than to count


class Pace:
    """Of one stream. `clock` gives seconds and is time.monotonic but in tests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since_s = clock()
        # What has come and was not worn off by time yet, in seconds' worth.
        self._load_s = 0.0
        self._messages = self._characters = 0

    def exceeded_by(self, characters: int) -> bool:
        """A message of this length has come; True: that is too much."""
        self._messages += 1
        self._characters += characters
        if self._messages < LOOKS_EVERY:
            return False
        now = self._clock()
        came_s = max(self._messages / MESSAGES_PER_S, self._characters / CHARACTERS_PER_S)
        self._load_s = max(0.0, self._load_s + came_s - (now - self._since_s))
        self._since_s, self._messages, self._characters = now, 0, 0
        return self._load_s > BURST_S
