"""What a leg is told: the terms that all legs of a switchboard share, where its TwiML is, why it has to stop."""

from dataclasses import dataclass, field

from phonebot.simulator.carrier import Oddities
from phonebot.simulator.clock import Clock
from phonebot.simulator.network import Network
from phonebot.simulator.record import Outcome
from phonebot.simulator.signing import Fields, Route
from phonebot.simulator.stream import Tap


class Over(Exception):
    """The leg has ended. `status` is its final CallStatus; None: completed, unless the outcome says otherwise."""

    def __init__(self, outcome: Outcome, reason: str = "", status: str | None = None) -> None:
        super().__init__(outcome, reason)
        self.outcome: Outcome = outcome
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Source:
    """Where TwiML comes from: `twiml` where it is at hand, else `url` is asked."""

    purpose: str
    url: str = ""
    method: str = "POST"
    extra: Fields = ()
    twiml: str | None = None
    fallback: "Source | None" = None  # asked once, when this one has none


class Replaced(Exception):
    """The document that runs is given up for another."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.purpose)
        self.source = source


@dataclass(frozen=True, slots=True)
class StatusCallback:
    """Who is told how a leg gets on, and of what: of initiated, ringing, answered, completed."""

    url: str
    method: str = "POST"
    events: frozenset[str] = frozenset({"completed"})


@dataclass(frozen=True, slots=True)
class CallbackOddities:
    """How callbacks of a call's status arrive: out of order and more than once, as Twilio says they may."""

    shuffled_ms: float = 0.0  # each is late by up to so much of real time
    doubled: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What all legs of a switchboard share."""

    account_sid: str
    auth_token: str | None = field(repr=False)
    route: Route
    clock: Clock
    network: Network = field(default_factory=Network)
    oddities: Oddities = field(default_factory=Oddities)
    callbacks: CallbackOddities = field(default_factory=CallbackOddities)
    ms_per_character: float = 65.0  # of a Say; 0: neither Say nor Play takes time, and no file is fetched
    tap: Tap | None = None
