"""
How a profile answers a call that begins at a moment: by its hours, and by what is known of the caller.

    answered = answer(with_history(profile, history), datetime.now().astimezone())
    plan_for(answered.profile, now=answered.now, looked_up=answered.values | ..., ...)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from phonebot.agents.history import NOTHING, PLACEHOLDER
from phonebot.agents.hours import Closed
from phonebot.agents.profile import Profile
from phonebot.agents.prompt import used


@dataclass(frozen=True, slots=True)
class Answered:
    """
    `profile` has the version of the one that it was made of. `now` is in the time zone of its hours, if it has any.

    `closed`: what holds, since it is closed; None: it is open, or closed and answered alike. `values` are what
    stands for further placeholders.
    """

    profile: Profile
    now: datetime
    closed: Closed | None = None
    values: Mapping[str, str] = field(default_factory=dict)


def answer(profile: Profile, now: datetime) -> Answered:
    """`now` must know its time zone. Of earlier calls the values say that none is known."""
    values = {PLACEHOLDER: NOTHING} if profile.history else {}
    hours = profile.hours
    if hours is None:
        return Answered(profile, now, values=values)
    now = now.astimezone(hours.timetable.zone)
    closed = hours.closed_at(now)
    return Answered(_when(closed, profile) if closed else profile, now, closed, values | hours.values(now))


def _holds_history(profile: Profile) -> bool:
    closed = profile.hours.closed if profile.hours else None
    texts = (profile.prompt, profile.greeting, *(each.prompt for each in profile.agents.values()))
    if closed:
        texts = (*texts, closed.greeting, closed.prompt)
    return any(f"{{{PLACEHOLDER}}}" in used(text or "") for text in texts)


def with_history(profile: Profile, history: str) -> Profile:
    """
    The profile, some text of which has a place for what is told of the caller's earlier calls; "": nothing is.

    It has the same version.
    """
    if not history or _holds_history(profile):
        return profile
    prompt = f"{profile.prompt}\n\n{{{PLACEHOLDER}}}"
    return profile.model_copy(update={"prompt": prompt}).with_version(profile.version)


def _when(closed: Closed, profile: Profile) -> Profile:
    changed: dict[str, str | None] = {}
    if closed.greeting:
        changed |= {"greeting": closed.greeting, "greeting_audio": None}  # whose words are others
    if closed.prompt:
        changed["prompt"] = f"{profile.prompt}\n\n{closed.prompt}"
    if not changed:
        return profile
    made = profile.model_copy(update=changed).with_version(profile.version)
    return made.with_greeting_clip("") if closed.greeting else made
