"""
Several providers of models, asked in an order: a call gets the first that answers.

    failover = Failover(providers, figures)         # the process's
    route = failover.route(model)                   # a call's
    route.open_early()                              # or not
    connection = await route.connect(session)       # again when the model was lost
    await route.close()

Who failed lately is asked only where nobody else is left (breaker.py), never not at all: a caller who may get no
answer is better served than one who surely gets none.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from msgspec.structs import replace

from phonebot.errors import ModelError, ModelRefused, ModelUnreachable
from phonebot.realtime.breaker import Breaker, State
from phonebot.realtime.connection import TIMEOUT_S, EarlyLine, ModelConnection, connect
from phonebot.realtime.events import Session, Transcription
from phonebot.realtime.providers import Endpoint

ATTEMPT_S = 2.5
"""So long one of several has to open a session. A single one has connection.TIMEOUT_S."""
SHORT_LIVED_S = 10.0
"""A session that was lost earlier than this counts as one that did not come about."""

Result: TypeAlias = Literal["connected", "unreachable", "refused"]

# Of refusals: what one call asks for is wrong, and others may get what they ask for.
_OF_THE_CALL = frozenset(
    {
        *("unknown_parameter", "missing_required_parameter", "invalid_value", "invalid_type"),
        *("cannot_update_voice", "invalid_event", "model_not_found"),
    }
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provider:
    """
    One place where models are found. `endpoint_for` is given the model's name as profiles know it.

    `models` and `voices`: what others are called there, by their names in a session; `model_for`: what a model is,
    by its name in profiles.
    """

    name: str
    endpoint_for: Callable[[str], Endpoint]
    models: Mapping[str, str] = field(default_factory=dict)
    voices: Mapping[str, str] = field(default_factory=dict)
    model_for: Callable[[str], str] = str

    def session(self, wanted: Session) -> Session:
        """The session in this provider's words."""
        if isinstance(wanted.voice, str) and wanted.voice in self.voices:
            wanted = replace(wanted, voice=self.voices[wanted.voice])
        transcription = wanted.transcription
        if isinstance(transcription, Transcription) and transcription.model in self.models:
            other = replace(transcription, model=self.models[str(transcription.model)])
            wanted = replace(wanted, transcription=other)
        return wanted


class Figures(Protocol):
    """Who counts what comes of it."""

    def asked(self, provider: str, result: Result) -> None:
        """A provider was asked for a session."""

    def failed_over(self) -> None:
        """A call got its session from another provider than the one it asked first."""


class Failover:
    """The providers of a process, in their order, and what is known of each."""

    def __init__(self, providers: Sequence[Provider], figures: Figures) -> None:
        assert providers, "a deployment has at least one, or does not start"
        self.providers = tuple(providers)
        self.figures = figures
        self._breakers = {each.name: Breaker() for each in self.providers}

    def route(self, model: str) -> "Route":
        """One call's way to a model, by the name that its profile has for it."""
        return Route(self, model)

    def state(self, provider: str) -> State:
        return self._breakers[provider].state(_now())

    @property
    def first(self) -> Provider:
        """Who would be asked first now."""
        return self.next_of(self.providers)

    @property
    def order(self) -> tuple[Provider, ...]:
        """All of them, as they would be asked now."""
        untried, ordered = list(self.providers), list[Provider]()
        while untried:
            ordered.append(self.next_of(untried))
            untried.remove(ordered[-1])
        return tuple(ordered)

    def next_of(self, untried: Sequence[Provider]) -> Provider:
        """Which one to ask: the first that is worth it, else the one that will be soonest."""
        now = _now()
        for each in untried:
            if self._breakers[each.name].admits(now):
                return each
        return min(untried, key=lambda each: self._breakers[each.name].due_s)

    async def attempt(
        self, provider: Provider, model: str, wanted: Session, early: EarlyLine | None
    ) -> ModelConnection:
        """Ask one provider. Raises as `connect`."""
        breaker = self._breakers[provider.name]
        is_trial = breaker.begin(_now())
        try:
            connection = await connect(
                provider.endpoint_for(model), provider.session(wanted), timeout_s=self.attempt_s, early=early
            )
        except ModelError as error:
            refused = isinstance(error, ModelRefused)
            self.figures.asked(provider.name, "refused" if refused else "unreachable")
            if refused and error.code in _OF_THE_CALL:
                breaker.abandon(is_trial)
            else:
                self._failed(provider, breaker, is_trial, error)
            raise
        except BaseException:
            breaker.abandon(is_trial)
            raise
        self.figures.asked(provider.name, "connected")
        if breaker.state(_now()) != "closed":
            _log.warning("model provider %s works again", provider.name)
        breaker.succeed()
        connection.replaceable = len(self.providers) > 1
        return connection

    def ended(self, provider: Provider, opened_s: float) -> bool:
        """A session that was opened then is over, and nobody here wanted that; whether it had lasted."""
        breaker, now = self._breakers[provider.name], _now()
        if now - opened_s >= SHORT_LIVED_S:
            breaker.last()
            return True
        was = breaker.state(now)
        breaker.lose(now)
        self._log_if_opened(provider, was, "sessions with it do not last")
        return False

    def lasted(self, provider: Provider, opened_s: float) -> None:
        """A call with a session that was opened then has ended."""
        if _now() - opened_s >= SHORT_LIVED_S:
            self._breakers[provider.name].last()

    def _failed(self, provider: Provider, breaker: Breaker, was_trial: bool, error: ModelError) -> None:
        was: State = "closed" if was_trial else breaker.state(_now())
        breaker.fail(was_trial, _now())
        self._log_if_opened(provider, was, str(error))

    def _log_if_opened(self, provider: Provider, was: State, why: str) -> None:
        breaker = self._breakers[provider.name]
        if was == "closed" and breaker.state(_now()) != "closed":
            last = ", and is asked last" if len(self.providers) > 1 else ""
            _log.warning("model provider %s keeps failing%s: %s", provider.name, last, why)

    @property
    def attempt_s(self) -> float:
        """How long one provider has to open a session."""
        return ATTEMPT_S if len(self.providers) > 1 else TIMEOUT_S


class Route:
    """One call's way to its model: made by `Failover.route`. `close` it in any case."""

    def __init__(self, failover: Failover, model: str) -> None:
        self._failover, self._model = failover, model
        self.first = failover.first
        self._early: EarlyLine | None = None
        # Whose session the call has, and since when; None: it has none, or has lost it.
        self._opened: tuple[Provider, float, ModelConnection] | None = None
        self._avoided: Provider | None = None  # whose last session did not last, or who refused to go on with it

    @property
    def endpoint(self) -> Endpoint:
        """Where it is asked first."""
        return self.first.endpoint_for(self._model)

    def open_early(self) -> None:
        """Open a socket to who is asked first, though it is not known yet how its session is to be."""
        self._early = EarlyLine(self.endpoint, self._failover.attempt_s)

    async def close(self) -> None:
        """The call has ended."""
        if self._opened:
            self._failover.lasted(*self._opened[:2])
        if self._early:
            await self._early.close()

    async def connect(self, wanted: Session) -> ModelConnection:
        """
        A session with the first provider that grants one, each being given `Failover.attempt_s`.

        When it is called again, the call has lost its session. Raises ModelRefused, if every provider refuses,
        ModelUnreachable, if one of them may do it another time.
        """
        self._note_loss()
        untried, failures = [*self._failover.providers], list[ModelError]()
        while untried:
            provider = self._next_of(untried)
            untried.remove(provider)
            early, self._early = self._early, None  # it was opened to who is asked first
            try:
                connection = await self._failover.attempt(provider, self._model, wanted, early)
            except ModelError as error:
                failures.append(error)
                if untried:
                    _log.warning("%s: the next model provider is asked", error)
                continue
            if failures:
                self._failover.figures.failed_over()
            self._opened = (provider, _now(), connection)
            return connection
        raise _all_of(failures)

    def _next_of(self, untried: Sequence[Provider]) -> Provider:
        if self._early:
            return self.first
        return self._failover.next_of([each for each in untried if each is not self._avoided] or untried)

    def _note_loss(self) -> None:
        """Of a session that it got before."""
        if self._opened is None:
            return
        (provider, opened_s, connection), self._opened = self._opened, None
        lasted = self._failover.ended(provider, opened_s)
        self._avoided = None if lasted and not connection.was_refused else provider


def _all_of(failures: Sequence[ModelError]) -> ModelError:
    if len(failures) == 1:
        return failures[0]
    kind = ModelRefused if all(isinstance(each, ModelRefused) for each in failures) else ModelUnreachable
    return kind("; ".join(map(str, failures)))


def _now() -> float:
    return time.monotonic()
