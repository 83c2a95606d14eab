"""
Whether calls are traced, as OpenTelemetry's own variables say.

    async with tracing_of(os.environ) as tracing: ...       # None: they are not

They are where an endpoint is set (OpenTelemetry, SDK environment variables), and the extra `otel` is installed. The
packages read all other variables themselves, from the environment of the process.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from phonebot.bridge import Journal
from phonebot.call.actions import Outcome

if TYPE_CHECKING:
    from phonebot.traces.tracing import Tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"

log = logging.getLogger(__name__)


class Spans(Journal, Protocol):
    """Those of one stream of a call (call_spans.py): a journal of the bridge."""

    def decided(self, provider: str, model_name: str, profile: str) -> None: ...

    def close(self, outcome: Outcome | None = None) -> None: ...


class Traces(Protocol):
    """What traces calls (tracing.py), for those who have to do without its packages."""

    def call(self, call_sid: str, kind: str, again: bool) -> Spans | None: ...

    def add(self, name: str, call_sid: str, began_ns: int, **attributes: str | int) -> None: ...


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether somebody collects traces, and nothing switches them off."""
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporters = environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")
    return not off and "otlp" in [each.strip() for each in exporters] and any(map(environ.get, ENDPOINTS))


@asynccontextmanager
async def tracing_of(environ: Mapping[str, str]) -> "AsyncIterator[Tracing | None]":
    """What traces calls while the block runs; None: nothing does, and where it was wanted the log says why."""
    tracing = _wanted(environ) if is_wanted(environ) else None
    try:
        yield tracing
    finally:
        if tracing:
            await tracing.close()


def _wanted(environ: Mapping[str, str]) -> "Tracing | None":
    protocol = next(filter(None, map(environ.get, PROTOCOLS)), SPOKEN)
    if protocol != SPOKEN:
        log.error("calls are not traced: %s is not spoken here; set %s to %s", protocol, PROTOCOLS[1], SPOKEN)
        return None
    try:
        # Imported here: the packages behind it are optional.
        from phonebot.traces.tracing import exporting
    except ImportError as error:
        log.error("calls are not traced: %s; pip install 'phonebot[otel]', or unset %s", error, ENDPOINTS[1])
        return None
    return exporting(environ)
