"""
What calls take of their models, and what these answer, counted for Prometheus: see docs/metrics.md.

The process has a `ModelUse`, each call a `CallModelUse`. Nothing that a service tells becomes the value of a label:
those are of a known set, or among a number of names that the operator gave.
"""

from typing import get_args

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter

from phonebot.call.actions import Action
from phonebot.call.inputs import Input, ModelFault, ModelReady
from phonebot.call.plan import CallPlan
from phonebot.realtime.events import (
    ErrorDetail,
    ErrorEvent,
    ResponseDone,
    ResponseStatus,
    Transcription,
    TranscriptionCompleted,
    TranscriptionFailed,
    Usage,
)
from phonebot.realtime.prices import Tariff
from phonebot.realtime.severity import CODES
from phonebot.web.label_names import LabelNames

MAX_MODELS = 50
"""So many names of models, and of providers, have a figure of their own."""
STATUSES = tuple(status for status in get_args(ResponseStatus) if status != "in_progress")
PROTOCOL, OTHER = "protocol", "other"
"""An event that broke the protocol, and an error whose code nobody here knows."""


class Names(Struct, frozen=True):
    """By which a call's models are counted. `transcription`: what writes the caller's words down; "": nothing."""

    provider: str
    model: str
    transcription: str = ""

    @classmethod
    def of(cls, plan: CallPlan, provider: str, model: str) -> "Names":
        writes = plan.session.transcription
        return cls(provider, model, writes.model if isinstance(writes, Transcription) else "")


class ModelUse:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tokens = Counter(
            "phonebot_tokens",
            "Tokens that models took and gave, by whether they were cached and by what they are.",
            ("direction", "kind"),
            registry=registry,
        )
        for kind in ("text", "audio", "image", "transcription"):
            for direction in ("input", "cached", "output"):
                if (direction, kind) not in {("cached", "transcription"), ("output", "image")}:
                    self._tokens.labels(direction, kind)
        self._cost = Counter(
            "phonebot_cost_usd", "What models cost, in US dollars.", ("provider", "model"), registry=registry
        )
        self.unpriced = Counter(
            "phonebot_responses_unpriced", "Responses of models of which no price is known.", registry=registry
        )
        self._responses = Counter(
            "phonebot_responses", "Responses of models, by how they ended.", ("status",), registry=registry
        )
        self._errors = Counter(
            "phonebot_model_errors", "Errors that models told of, by their code.", ("code",), registry=registry
        )
        for status in STATUSES:
            self._responses.labels(status)
        for code in (*CODES, PROTOCOL, OTHER):
            self._errors.labels(code)
        self._providers, self._models = LabelNames(MAX_MODELS), LabelNames(MAX_MODELS)

    def spend(self, provider: str, model: str, usd: float) -> None:
        self._cost.labels(self._providers.of(provider), self._models.of(model)).inc(max(usd, 0))

    def take(self, direction: str, kind: str, tokens: int) -> None:
        self._tokens.labels(direction, kind).inc(max(tokens, 0))

    def respond(self, status: str) -> None:
        self._responses.labels(status if status in STATUSES else "failed").inc()

    def fail(self, code: str | None) -> None:
        self._errors.labels(code if code in CODES or code == PROTOCOL else OTHER).inc()


class CallModelUse:
    """Of one call, reckoned at its tariff. It is told what a bridge tells (`Journal`)."""

    def __init__(self, use: ModelUse, names: Names, tariff: Tariff) -> None:
        self._use, self._names, self._tariff = use, names, tariff
        self._provider = names.provider  # whose session it has: after a fail-over another's

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        match received:
            case ModelReady(provider=provider):
                self._provider = provider or self._names.provider
            case ResponseDone(response):
                self._use.respond(response.status)
                if response.error:
                    self._fail(response.error)
                if response.usage:
                    self._respond(response.usage)
            case TranscriptionCompleted(usage=usage) if usage:
                self._use.take("input", "transcription", usage.input)
                self._use.take("output", "transcription", usage.output)
                if self._tariff.model:
                    usd = self._tariff.of_transcription(usage)
                    self._use.spend(self._provider, self._names.transcription, usd)
            case ErrorEvent(error) | TranscriptionFailed(error=error):
                self._fail(error)
            case ModelFault():
                self._use.fail(PROTOCOL)

    def _fail(self, error: ErrorDetail) -> None:
        self._use.fail(error.code)

    def _respond(self, tokens: Usage) -> None:
        usd = self._tariff.of(tokens)
        if usd is None:
            self._use.unpriced.inc()
        else:
            self._use.spend(self._provider, self._names.model, usd)
        for direction, kind, number in _counted(tokens):
            self._use.take(direction, kind, number)


def _counted(tokens: Usage) -> tuple[tuple[str, str, int], ...]:
    """Direction, kind and number. Where a gateway leaves out the kinds, all is audio, as it is in the price."""
    given: tuple[tuple[str, str, int], ...] = (
        ("input", "text", tokens.input_text - tokens.cached_text),
        ("input", "audio", tokens.input_audio - tokens.cached_audio),
        ("input", "image", tokens.input_image - tokens.cached_image),
        ("cached", "text", tokens.cached_text),
        ("cached", "audio", tokens.cached_audio),
        ("cached", "image", tokens.cached_image),
    )
    if not (tokens.input_text or tokens.input_audio or tokens.input_image):
        given = (("input", "audio", tokens.input - tokens.cached), ("cached", "audio", tokens.cached))
    if not (tokens.output_text or tokens.output_audio):
        return (*given, ("output", "audio", tokens.output))
    return (*given, ("output", "text", tokens.output_text), ("output", "audio", tokens.output_audio))
