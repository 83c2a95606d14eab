"""How the process itself stands, for Prometheus: see docs/metrics.md."""

from collections.abc import Callable
from math import inf

from prometheus_client import CollectorRegistry, Gauge

from phonebot import __version__


class ProcessFigures:
    """Each is asked for when the figures are read, and must come back at once. `calls_limit` None: any number."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        calls_limit: int | None = None,
        is_draining: Callable[[], bool] = lambda: False,
        is_cut_off: Callable[[], bool] = lambda: False,
        unfiled: Callable[[], int] = lambda: 0,
    ) -> None:
        def gauge(name: str, text: str, value: Callable[[], float]) -> None:
            Gauge(f"phonebot_{name}", text, registry=registry).set_function(value)

        gauge("calls_limit", "How many calls it takes.", lambda: inf if calls_limit is None else calls_limit)
        gauge("draining", "1 while it takes no new calls, since it is told to stop.", is_draining)
        gauge("database_away", "1 while the calls in progress cannot be written to the database.", is_cut_off)
        gauge("calls_unfiled", "Calls that have ended and wait to be filed.", unfiled)
        build = Gauge("phonebot_build_info", "1, for the version that runs.", ("version",), registry=registry)
        build.labels(__version__).set(1)
