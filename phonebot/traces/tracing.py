"""
Traces calls: the spans of a call are one trace, whichever processes had a part in it.

    tracing = exporting(os.environ)
    spans = tracing.call(call_sid, kind="twilio", again=False)      # a journal; None: this call is not sampled
    tracing.add("webhook", call_sid, began_ns)                      # what was done for a call beside its stream
    await tracing.close()

A trace's id is made of the call's, and so is that of the span of its first stream. So the process that answered the
webhook, the one that held the call and the one that filed it need not know of each other, and whoever has a call's
id finds its trace. Spans leave in a thread of OpenTelemetry's, past a queue that drops what is too much for it.
"""

import asyncio
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from time import time_ns

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from phonebot import __version__
from phonebot.traces.call_spans import MAX_NAME, CallSpans

CLOSE_S = 5.0
"""What spans have to leave in when the process ends."""


def ids_of(call_sid: str) -> tuple[int, int]:
    """The id of a call's trace, and that of the span of its first stream."""
    digest = sha256(call_sid.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


class CallIds(IdGenerator):
    """Makes the ids of one span as they are to be, and all others at random."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._wanted: tuple[int, int] | None = None

    @contextmanager
    def being(self, wanted: tuple[int, int]) -> Iterator[None]:
        """The span that is begun in the block has these."""
        self._wanted = wanted
        try:
            yield
        finally:
            self._wanted = None

    def generate_trace_id(self) -> int:
        return self._wanted[0] if self._wanted else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        return self._wanted[1] if self._wanted else self._random.generate_span_id()


class Tracing:
    """Of one process. `provider` has no other user, and `ids` for its generator."""

    def __init__(self, provider: TracerProvider, ids: CallIds) -> None:
        self._provider, self._ids = provider, ids
        self._tracer = provider.get_tracer("phonebot", __version__)

    def call(self, call_sid: str, kind: str, again: bool) -> CallSpans | None:
        """The spans of a stream that begins; None: this call is not sampled. `again`: the call had one before."""
        attributes: dict[str, str | bool] = {
            "phonebot.call_sid": call_sid[:MAX_NAME],
            "phonebot.kind": kind,
            "phonebot.again": again,
        }
        if again:
            span = self._tracer.start_span(
                "call", self._under(call_sid), kind=SpanKind.SERVER, attributes=attributes
            )
        else:
            with self._ids.being(ids_of(call_sid)):
                span = self._tracer.start_span("call", Context(), kind=SpanKind.SERVER, attributes=attributes)
        return CallSpans(self._tracer, span) if span.is_recording() else None

    def add(self, name: str, call_sid: str, began_ns: int, **attributes: str | int) -> None:
        """A span of what began then and ends now; it is the call's, whether or not its stream is here."""
        span = self._tracer.start_span(
            name,
            self._under(call_sid),
            attributes={f"phonebot.{key}": value for key, value in attributes.items()},
            start_time=began_ns,
        )
        span.end(time_ns())

    def _under(self, call_sid: str) -> Context:
        """That of spans below a call's first one. They are sampled as that one is, wherever it was."""
        trace_id, span_id = ids_of(call_sid)
        decided = self._provider.sampler.should_sample(Context(), trace_id, "call", SpanKind.SERVER)
        is_sampled = decided.decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
        above = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
        return set_span_in_context(NonRecordingSpan(above), Context())

    async def close(self) -> None:
        """Spans that wait leave now, within CLOSE_S. In a thread that nobody waits for any longer than that."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(closed.set)

        threading.Thread(target=shut_down, name="phonebot-traces", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_S):
                await closed.wait()
        except TimeoutError:
            return  # whoever collects them is away


def exporting(environ: Mapping[str, str]) -> Tracing:
    """Traces calls, for the collector that the environment names; each batch that is lost is a line of the log."""
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)  # and none for each time that it tried
    is_named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    ours = {SERVICE_VERSION: __version__} | ({} if is_named else {SERVICE_NAME: "phonebot"})
    ids = CallIds()
    provider = TracerProvider(resource=Resource.create(ours), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider, ids)
