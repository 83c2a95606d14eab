"""What the bot is told of a call that it makes: that it does, whom it called, and why."""

from datetime import datetime

from phonebot.agents.answering import Answered, answer
from phonebot.agents.outbound import REASON
from phonebot.agents.profile import Profile

NO_REASON = "none was given"
BRIEFING = """

In this call it is you who called: you have dialled {caller}, who does not know yet who calls and why. Say that
first, unless the greeting did. The reason for your call, as whoever ordered it wrote it: {reason}"""


def briefed(profile: Profile, now: datetime, reason: str) -> Answered:
    """
    How the profile talks to somebody whom its number has called. It has the same version.

    What it says to callers while it is closed is not for those whom it calls.
    """
    answered = answer(profile, now)
    prompt, greeting = profile.outbound.prompt, profile.outbound.greeting
    changes: dict[str, object] = {"prompt": profile.prompt + BRIEFING + (f"\n\n{prompt}" if prompt else "")}
    if greeting is not None:
        changes |= {"greeting": greeting, "greeting_audio": None}
    made = profile.model_copy(update=changes).with_version(profile.version)
    if greeting is not None:
        made = made.with_greeting_clip("")
    return Answered(made, answered.now, None, {**answered.values, REASON: reason or NO_REASON})
