"""What comes of asking providers for models, counted for Prometheus: see docs/metrics.md."""

from collections.abc import Callable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from phonebot.realtime.breaker import State
from phonebot.realtime.failover import Failover, Result

STATES: dict[State, int] = {"closed": 0, "half_open": 1, "open": 2}


class ModelFigures:
    """A Failover's figures, in the registry of the process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._asked = Counter(
            "phonebot_model_sessions",
            "Sessions that a model provider was asked for, by what came of it.",
            ("provider", "result"),
            registry=registry,
        )
        self._failed_over = Counter(
            "phonebot_model_failovers",
            "Sessions that were got from another provider than the one that was asked first.",
            registry=registry,
        )
        self._breaker = Gauge(
            "phonebot_model_breaker",
            "Whether a provider is asked in its order (0), on trial (1), or last (2).",
            ("provider",),
            registry=registry,
        )

    def watch(self, failover: Failover) -> None:
        """Show the state of its providers, whose figures are there from now on."""
        for provider in failover.providers:
            for result in get_args(Result):
                self._asked.labels(provider.name, result)
            self._breaker.labels(provider.name).set_function(_state_of(failover, provider.name))

    def asked(self, provider: str, result: Result) -> None:
        self._asked.labels(provider, result).inc()

    def failed_over(self) -> None:
        self._failed_over.inc()


def _state_of(failover: Failover, provider: str) -> Callable[[], float]:
    return lambda: STATES[failover.state(provider)]
