"""
What the calls of this process have come to, counted for Prometheus.

A `Metrics` is the process's; each call has a `CallMetrics`, which the bridge tells what happens. What each figure
means is in docs/metrics.md.
"""

from collections.abc import Awaitable, Callable, Sized
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from phonebot.bridge import Journal
from phonebot.call.actions import (
    Action,
    BargeIn,
    Cut,
    FalseAlarm,
    GuardrailTripped,
    Limit,
    LimitReached,
    Line,
    LineRole,
    ModelDropped,
    Outcome,
    Recovered,
    Settled,
    StopTool,
    Tell,
    Trouble,
)
from phonebot.call.inputs import CallerAudioDropped, Checked, Input, ToolResult
from phonebot.call.plan import CallPlan
from phonebot.realtime.events import ErrorDetail, ErrorEvent, ResponseCreated, TruncateItem
from phonebot.realtime.severity import already_shorter_ms
from phonebot.tools.lookup import Result
from phonebot.web.crowds import Reason
from phonebot.web.delays import CallDelays, Delays
from phonebot.web.hangups import HangUp
from phonebot.web.label_names import LabelNames
from phonebot.web.model_use import CallModelUse, ModelUse, Names
from phonebot.web.webhooks import TurnedAway

# Whoever sends one of these has passed a proxy: the peer's address says nothing of where he is.
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")

RESULTS = ("answered", "message_left", "machine", "fax", "busy", "no_answer", "failed", "cancelled", "refused")
BROKEN_OFF = ("stream_lost", "moved", "process_gone")
TURNED_AWAY: tuple[TurnedAway, ...] = (*get_args(Reason), "closed", "spent", "stopping")
DELIVERIES = ("delivered", "failed", "refused")
AWAY_S = (0.1, 0.25, 0.5, 1, 1.5, 2.5, 4, 8)
MAX_GUARDRAILS = 200
"""So many names of guardrails have a figure of their own."""
FALSE_ALARMS = ("echo", "short", "empty", "backchannel")
TOOL_CALLS = ("done", "failed", "stopped")

NOT_LOCAL = "metrics are for clients on this machine, or with a token that has the scope read"

Admit: TypeAlias = Callable[[Request], Awaitable[object]]
"""Raises HTTPException for a request that brings no token which is known and has the scope."""


class Metrics:
    """The figures of one process. `live` are its calls in progress."""

    def __init__(self, live: Sized) -> None:
        self.registry = CollectorRegistry()
        self.started = self._counter("calls_started", "Media streams that were let in.")
        self.ended = self._counter("calls_ended", "Calls that have ended, by how.", "outcome", get_args(Outcome))
        self.interruptions = self._counter("interruptions", "Times that a caller stopped the bot's audio.")
        self.cuts = self._counter(
            "cuts",
            "Items a caller stopped hearing, by what the position rests on.",
            "settled",
            get_args(Settled),
        )
        self.late = self._counter("truncations_late", "Truncations sent when the next answer had begun.")
        self.refused = self._counter("truncations_refused", "Truncations that the model's service refused.")
        self.alarms = self._counter(
            "alarms", "Alarms of what calls cost in a day, by how much.", "level", ("near", "reached")
        )
        self.limits = self._counter("limits_reached", "Calls that a limit has ended.", "limit", get_args(Limit))
        self.troubles = self._counter("troubles", "Things that went wrong and did not end the call.")
        self.lost = self._counter("model_sessions_lost", "Sessions lost in mid-call.", "why", ("lost", "renewed"))
        self.away = Histogram(
            "phonebot_model_away_seconds",
            "How long a call was without a model before it had one again.",
            buckets=AWAY_S,
            registry=self.registry,
        )
        self.delays, self.use = Delays(self.registry), ModelUse(self.registry)
        self.lines = self._counter("lines", "Lines of transcripts, by who said them.", "role", get_args(LineRole))
        self.false_alarms = self._counter(
            "false_alarms", "What was taken for speech of a caller and was none.", "why", FALSE_ALARMS
        )
        self.tool_calls = self._counter(
            "tool_calls", "Functions that models called, by what came of it.", "result", TOOL_CALLS
        )
        self.dropped = self._counter("caller_frames_dropped", "Frames a slow model's connection did not take.")
        self.deliveries = self._counter(
            "after_call_deliveries", "Attempts to tell of a call, by what came of it.", "result", DELIVERIES
        )
        self.hang_ups = self._counter(
            "hang_ups", "Calls the bot ended, by how it is known that they are over.", "known", get_args(HangUp)
        )
        self.outbound_attempts = self._counter(
            "outbound_attempts", "Attempts to call somebody, by how they ended.", "result", RESULTS
        )
        self.hook_failures = self._counter("hook_failures", "Times that a hook failed in an event.")
        self.hook_events_dropped = self._counter("hook_events_dropped", "Events that a slow hook was not told.")
        self.lookups = self._counter(
            "lookups", "Lookups before calls, by what came of them.", "result", get_args(Result)
        )
        self.turned_away = self._counter(
            "calls_turned_away", "Calls that the bot did not answer, by why.", "why", TURNED_AWAY
        )
        self.resumed = self._counter("calls_resumed", "Calls that came back to the bot.", "why", BROKEN_OFF)
        incomplete = "Logs of calls that lack something, since they could not be written."
        self.incomplete_logs = Gauge("phonebot_call_logs_incomplete", incomplete, registry=self.registry)
        self.floods = self._counter("streams_flooded", "Media streams that were closed since too much came.")
        self.forged = self._counter("requests_forged", "Requests to the carrier's routes that were not its.")
        self.unknown = self._counter("guardrail_checks_failed", "Checks of guardrails that found nothing out.")
        self._trips = Counter(
            "phonebot_guardrail_trips",
            "Guardrails that have tripped, by their names and what was done.",
            ("guardrail", "then"),
            registry=self.registry,
        )
        self._guardrails = LabelNames(MAX_GUARDRAILS)
        in_progress = Gauge("phonebot_calls_in_progress", "Calls in progress.", registry=self.registry)
        in_progress.set_function(lambda: len(live))
        # Of all processes, as the last look at the database said.
        self.after_waiting = Gauge(
            "phonebot_after_call_waiting",
            "Calls after which something is still to be done.",
            registry=self.registry,
        )
        self.spent_today = Gauge(
            "phonebot_spent_today_usd",
            "What the models of all calls have cost since midnight UTC.",
            registry=self.registry,
        )
        self.outbound_waiting = Gauge(
            "phonebot_outbound_waiting", "Calls to be made, or on the line.", registry=self.registry
        )
        ProcessCollector(registry=self.registry)

    def _counter(self, name: str, text: str, label: str | None = None, values: tuple[str, ...] = ()) -> Counter:
        counter = Counter(f"phonebot_{name}", text, (label,) if label else (), registry=self.registry)
        for value in values:  # it is there from the start, as 0: a rate needs a first value
            counter.labels(value)
        return counter

    def came_back(self, why: str) -> None:
        """A call that had left its stream so is back with the bot."""
        self.resumed.labels(why).inc()

    def turn_away(self, why: TurnedAway) -> None:
        self.turned_away.labels(why).inc()

    def hook_failed(self) -> None:
        self.hook_failures.inc()

    def hook_dropped(self, events: int) -> None:
        self.hook_events_dropped.inc(events)

    def tripped(self, guardrail: str, then: str) -> None:
        """Operators name guardrails: the names of some are counted each, those of the rest together."""
        self._trips.labels(self._guardrails.of(guardrail), then).inc()

    def route(self, admit: Admit | None) -> Route:
        """`GET /metrics`, for clients on this machine and those that `admit` lets in; None: nobody else."""

        async def answer(request: Request) -> Response:
            if not is_local(request):
                if admit is None or "authorization" not in request.headers:
                    return PlainTextResponse(NOT_LOCAL, 403)
                await admit(request)
            return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

        return Route("/metrics", answer)


class CallMetrics:
    """
    A bridge's journal of all that is counted of its call, and that tells `further` the same.

    `provider` and `model`: whose model the call begins with, as the operator names them.
    """

    def __init__(
        self, metrics: Metrics, plan: CallPlan, provider: str, model: str, further: tuple[Journal, ...] = ()
    ) -> None:
        self._metrics = metrics
        self._delays = CallDelays(metrics.delays)
        use = CallModelUse(metrics.use, Names.of(plan, provider, model), plan.tariff)
        self._journals: tuple[Journal, ...] = (_Counting(metrics), self._delays, use, *further)
        metrics.started.inc()

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        for journal in self._journals:
            journal.happened(now, received, actions)

    def ended(self, outcome: Outcome) -> None:
        self._metrics.ended.labels(outcome).inc()
        self._delays.ended()


class _Counting:
    """Counts what happens to a call."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # The caller has interrupted, and the model has begun another answer since.
        self._interrupted = self._answered = False

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self._count_input(received)
        for action in actions:
            self._count(action)

    def _count_input(self, received: Input) -> None:
        metrics = self._metrics
        match received:
            case ErrorEvent(error) if _refuses_truncation(error):
                metrics.refused.inc()
            case ToolResult(problem=problem):
                metrics.tool_calls.labels("done" if problem is None else "failed").inc()
            case CallerAudioDropped(frames):
                metrics.dropped.inc(frames)
            case Checked(problem=str()):
                metrics.unknown.inc()
            case ResponseCreated():
                self._answered = self._interrupted

    def _count(self, action: Action) -> None:
        metrics = self._metrics
        match action:
            case BargeIn() | Cut() | FalseAlarm() | Tell():
                self._count_interruption(action)
            case Line(role):
                metrics.lines.labels(role).inc()
            case StopTool():
                metrics.tool_calls.labels("stopped").inc()
            case GuardrailTripped():
                metrics.tripped(action.guardrail, action.then)
            case LimitReached(limit):
                metrics.limits.labels(limit).inc()
            case ModelDropped(planned=planned):
                metrics.lost.labels("renewed" if planned else "lost").inc()
            case Recovered(away_ms, dropped_frames=frames):
                metrics.away.observe(away_ms / 1000)
                metrics.dropped.inc(frames)
            case Trouble():
                metrics.troubles.inc()

    def _count_interruption(self, action: BargeIn | Cut | FalseAlarm | Tell) -> None:
        metrics = self._metrics
        match action:
            case BargeIn():
                metrics.interruptions.inc()
                self._interrupted, self._answered = True, False
            case Cut():
                metrics.cuts.labels(action.settled).inc()
            case FalseAlarm(why):
                metrics.false_alarms.labels(why).inc()
            case Tell(TruncateItem()) if self._answered:
                metrics.late.inc()


def _refuses_truncation(error: ErrorDetail) -> bool:
    return (error.event_id or "").startswith("truncate-") or already_shorter_ms(error) is not None


def is_local(request: Request) -> bool:
    """Whether a request comes from this machine, and not through a proxy on it. No header makes it so."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:  # a socket that has no address
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback
