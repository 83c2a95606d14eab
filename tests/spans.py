"""
The spans of tests, kept in memory.

    kept = Kept()
    kept.tracing.call(...)
    kept.named("response")
"""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from phonebot.traces.tracing import CallIds, Tracing


class Kept:
    """What was traced. `share`: which traces are sampled."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        ids = CallIds()
        provider = TracerProvider(sampler=sampler, id_generator=ids, shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider, ids)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Those that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


def told(span: ReadableSpan) -> dict[str, object]:
    """Its attributes."""
    return dict(span.attributes or {})


def events(span: ReadableSpan) -> list[tuple[str, dict[str, object]]]:
    return [(event.name, dict(event.attributes or {})) for event in span.events]


def ids(span: ReadableSpan) -> tuple[int, int, int | None]:
    """Of its trace, its own, and that of the span above it."""
    assert span.context
    return span.context.trace_id, span.context.span_id, span.parent.span_id if span.parent else None
