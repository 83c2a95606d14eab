"""
How many calls a process takes: in all, of each number, of each caller, and of a caller within a minute.

    if reason := crowds.refuses(call): ...       # it is one too many: it is told so (CrowdedNumbers), for nothing
    crowds.expect(call)                          # it was let in: a stream is to come
    with crowds.holding(call): ...               # its stream has come

A call that comes back to the bot, or that we make ourselves, is never refused, but it is counted.
"""

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

from phonebot.agents.profile import Profile
from phonebot.audio.canned import LAST_RESORT, Clips
from phonebot.carrier import twiml
from phonebot.carrier.languages import spoken_language
from phonebot.web.attempts import Attempts

WINDOW_S = 60.0
EXPECTED_S = 60.0
"""So long a stream is waited for: then its token is void."""
MAX_EXPECTED = 10_000
WITHHELD = frozenset({"", "anonymous", "unknown", "unavailable", "restricted", "private"})
"""What carriers write for a caller who withholds his number. Nobody can tell these callers apart."""

Reason: TypeAlias = Literal["process", "number", "caller", "rate"]

log = logging.getLogger(__name__)


class Bounds(NamedTuple):
    """The most that there may be. None: any number."""

    calls: int | None = None
    calls_per_number: int | None = None
    calls_per_caller: int | None = None
    new_per_caller_a_minute: int | None = None


class Party(NamedTuple):
    """A call, as far as it is counted: who calls which number of ours."""

    call_sid: str
    caller: str
    number: str


class Crowds:
    """
    Of the carrier's calls: those from a browser are not counted. `clock` gives seconds and is time.monotonic but in
    tests.
    """

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._clock = clock
        # Calls that were let in and whose stream is to come, oldest first: who, and until when that is waited for.
        self._expected: OrderedDict[str, tuple[Party, float]] = OrderedDict()
        # How many calls there are, those included that are expected.
        self._count_of_all = 0
        self._of_numbers: Counter[str] = Counter()
        self._of_callers: Counter[str] = Counter()
        self._new = Attempts(bounds.new_per_caller_a_minute or 0, WINDOW_S, clock)

    def refuses(self, call: Party) -> Reason | None:
        """
        Why a new call is one too many; None: it is not. A webhook that is sent again is the same call.

        Asking counts it among its caller's new calls, whatever the answer is but that of too many of them.
        """
        self._forget_old()
        if call.call_sid in self._expected:
            return None
        caller, bounds = _known(call.caller), self._bounds
        if bounds.new_per_caller_a_minute is not None and caller:
            if self._new.wait_s(caller):
                return "rate"
            self._new.count(caller)
        if _reached(bounds.calls, self._count_of_all):
            return "process"
        if _reached(bounds.calls_per_number, self._of_numbers[call.number]):
            return "number"
        if caller and _reached(bounds.calls_per_caller, self._of_callers[caller]):
            return "caller"
        return None

    def expect(self, call: Party) -> None:
        """Its stream is to come: it is counted until it does, or is late."""
        self._drop(call.call_sid)
        self._expected[call.call_sid] = (call, self._clock() + EXPECTED_S)
        self._count(call, 1)
        if len(self._expected) > MAX_EXPECTED:
            self._drop(next(iter(self._expected)))

    @contextmanager
    def holding(self, call: Party) -> Iterator[None]:
        """The call is there while the block runs."""
        self._drop(call.call_sid)
        self._count(call, 1)
        try:
            yield
        finally:
            self._count(call, -1)

    def _count(self, call: Party, by: int) -> None:
        self._count_of_all += by
        for counter, key in ((self._of_numbers, call.number), (self._of_callers, _known(call.caller))):
            counter[key] += by
            if not counter[key]:
                del counter[key]  # a caller who has gone takes no memory

    def _drop(self, call_sid: str) -> None:
        if expected := self._expected.pop(call_sid, None):
            self._count(expected[0], -1)

    def _forget_old(self) -> None:
        now = self._clock()
        while self._expected:
            call_sid, (_, until_s) = next(iter(self._expected.items()))
            if until_s > now:
                return
            self._drop(call_sid)


class CrowdedNumbers:
    """Answers calls that are one too many; `counted` is told by which bound."""

    def __init__(self, crowds: Crowds, clips: Clips, counted: Callable[[Reason], None]) -> None:
        self._crowds, self._clips, self._counted = crowds, clips, counted

    def document(self, profile: Profile, call: Party) -> str | None:
        """The TwiML for one, which the carrier's voice says in the profile's language; None: the call is taken."""
        reason = self._crowds.refuses(call)
        if reason is None:
            return None
        self._counted(reason)
        log.warning("a call to %.40r hears that all lines are busy: the limit of the %s", call.number, reason)
        language = profile.language
        text = self._clips.of(language).busy.text
        # Words in another language, said by a voice of this one, nobody would understand.
        if text == self._clips.of(LAST_RESORT).busy.text and not language.startswith(LAST_RESORT):
            language = LAST_RESORT
        return twiml.say_and_hang_up(text, spoken_language(language))

    def expect(self, call: Party) -> None:
        """It is taken."""
        self._crowds.expect(call)


def _reached(bound: int | None, count: int) -> bool:
    return bound is not None and count >= bound


def _known(caller: str) -> str:
    """Who calls; "" for one who cannot be told from others."""
    return "" if caller.strip().lower() in WITHHELD else caller
