"""What the model is told of a call that comes back to it, and the colleague of the caller."""

from collections.abc import Mapping
from datetime import datetime

from phonebot.agents.profile import Profile
from phonebot.agents.prompt import fill
from phonebot.agents.transfers import SUMMARY, WARM_WHISPER, Destination
from phonebot.transfers.continuations import Standing
from phonebot.transfers.urls import Ticket

TAKES_MESSAGES = "take_message"

_WHY = {
    "busy": "the line is busy",
    "no-answer": "nobody answered",
    "canceled": "nobody answered",
    "declined": "nobody took the call",
    "refused": "the number cannot be called",
}
_FAILED = "the call could not be made"


def came_to_nothing(to: str, why: str, profile: Profile) -> str:
    """`why` is an answer of a leg, or a DialCallStatus."""
    takes_messages = any(TAKES_MESSAGES in entries for entries in profile.tool_lists().values())
    offer = "offer to take a message" if takes_messages else "offer what else you can do"
    return (
        f"The transfer to {to} came to nothing: {_WHY.get(why, _FAILED)}. The caller is with you again: tell him "
        f"so, and {offer}."
    )


BROKE_OFF = (
    "The connection to the caller broke off for a moment, and he is with you again. Do not greet him: say in a few "
    "words that the line was interrupted, and go on where you were. If he waits for an answer, give it."
)
SAYING = ' You were saying this when it broke off, and he has perhaps not heard all of it: "{saying}"'
UNKNOWN = " What was said before is not known any more: tell him so, and ask what he wants."


def broke_off(standing: Standing) -> str:
    """What the model is told of a call that comes back so."""
    if not standing.lines:
        return BROKE_OFF + UNKNOWN
    return BROKE_OFF + (SAYING.format(saying=standing.saying) if standing.saying else "")


def described(destinations: Mapping[str, Destination]) -> str:
    """The destinations, for the model."""
    return "\n".join(
        f"{name}: {each.description or 'whoever answers there'}" for name, each in destinations.items()
    )


def whispered(profile: Profile, ticket: Ticket, summary: str) -> str:
    """What the colleague hears; "" for nothing."""
    text = profile.transfer.whisper
    if text is None:
        if not ticket.leg:
            return ""
        text = WARM_WHISPER
    zone = profile.hours.timetable.zone if profile.hours else None  # None: this machine's
    return fill(
        text,
        caller=ticket.caller,
        number=ticket.number,
        now=datetime.now().astimezone(zone),
        language=profile.language,
        further={SUMMARY: summary},
    )
