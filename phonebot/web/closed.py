"""
Calls to a number that is closed, where its profile wants no model for them: see agents/hours.py.

No stream is opened for such a call, so nothing of it is recorded or filed.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from phonebot.agents.answering import Answered, answer
from phonebot.agents.profile import Profile
from phonebot.agents.prompt import fill
from phonebot.carrier import twiml
from phonebot.carrier.languages import spoken_language

UNANSWERED = "We are sorry, nobody can take your call right now. Please try again later."

log = logging.getLogger(__name__)


def now_here() -> datetime:
    return datetime.now().astimezone()


class ClosedNumbers:
    """Makes the TwiML. `action_url` is asked once a call that was put through has ended there."""

    def __init__(self, action_url: str, clock: Callable[[], datetime] = now_here) -> None:
        self._action_url = action_url
        self._clock = clock

    def document(self, profile: Profile, caller: str, number: str) -> str | None:
        """How such a call is answered; None: a stream is to be opened for it."""
        answered = answer(profile, self._clock())
        closed = answered.closed
        if closed is None or closed.then == "talk":
            return None
        log.info("a call to %.40r: it is closed, %s", number, closed.then)
        say = _filled(closed.say or "", answered, caller, number)
        language = spoken_language(profile.language)
        if closed.then == "say":
            return twiml.say_and_hang_up(say, language)
        assert closed.to is not None, "the profile was checked"
        return twiml.put_through(closed.to, self._action_url, say=say, language=language, ring_s=closed.ring_s)

    def after(self, profile: Profile, caller: str, number: str, was_answered: bool) -> str:
        """How a call goes on that was put through."""
        if was_answered:
            return twiml.hang_up()
        closed = profile.hours.closed if profile.hours else None
        if closed is None or closed.unanswered is None:
            return twiml.hang_up(UNANSWERED)
        answered = answer(profile, self._clock())
        say = _filled(closed.unanswered, answered, caller, number)
        return twiml.say_and_hang_up(say, spoken_language(profile.language))


def _filled(text: str, answered: Answered, caller: str, number: str) -> str:
    return fill(
        text,
        caller=caller,
        number=number,
        now=answered.now,
        language=answered.profile.language,
        further=answered.values,
    )
