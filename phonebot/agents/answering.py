"""
How a profile answers a call that begins at a moment: by its hours.

    answered = answer(profile, datetime.now().astimezone())
    plan_for(answered.profile, now=answered.now, looked_up=answered.values | ..., ...)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from phonebot.agents.hours import Closed
from phonebot.agents.profile import Profile


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
    """`now` must know its time zone."""
    hours = profile.hours
    if hours is None:
        return Answered(profile, now)
    now = now.astimezone(hours.timetable.zone)
    closed = hours.closed_at(now)
    return Answered(_when(closed, profile) if closed else profile, now, closed, hours.values(now))


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
