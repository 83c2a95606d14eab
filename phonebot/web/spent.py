"""
Calls that come when what calls may cost today is spent: no stream is opened for them, and no model is paid for.

They are put through to the number's `transfer_to`, if it has one; else the carrier's voice says a sentence.
"""

import logging

from phonebot.agents.profile import Profile
from phonebot.agents.prompt import fill
from phonebot.caps.watch import DayCaps
from phonebot.carrier import twiml
from phonebot.carrier.languages import spoken_language
from phonebot.web.closed import now_here

APOLOGY = "We are sorry, we cannot take your call at the moment. Please try again later."

log = logging.getLogger(__name__)


class SpentNumbers:
    """Makes the TwiML. `action_url` is asked once a call that was put through has ended there."""

    def __init__(self, caps: DayCaps, action_url: str) -> None:
        self._caps, self._action_url = caps, action_url

    def document(self, profile: Profile, caller: str, number: str, outbound: bool) -> str | None:
        """How such a call is answered; None: a stream is to be opened for it. One that we have made just ends."""
        reached = self._caps.reached(number, profile)
        if reached is None:
            return None
        log.warning("a call to %.40r is answered without a model: %s is spent", number, reached.cap)
        if outbound:
            return twiml.hang_up()
        language = spoken_language(profile.language)
        say = profile.limits.sorry and fill(
            profile.limits.sorry, caller=caller, number=number, now=now_here(), language=profile.language
        )
        if profile.transfer_to is None:
            return twiml.say_and_hang_up(say, language) if say else twiml.hang_up(APOLOGY)
        transfer = profile.transfer
        shows_caller = transfer.caller_id == "caller" or not number
        return twiml.put_through(
            profile.transfer_to,
            self._action_url,
            ring_s=transfer.ring_s,
            limit_s=transfer.limit_s,
            caller_id=None if shows_caller else number,
        )
