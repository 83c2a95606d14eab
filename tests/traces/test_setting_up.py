"""Whether calls are traced, by OpenTelemetry's own variables; and traces on their way to who collects them."""

import builtins
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from service_driver import SPEECH, StartService, until
from spans import Kept, ids
from tool_driver import shop

from phonebot import __version__
from phonebot.simulator.caller import HangUp, Interrupt, Say, WaitForQuiet
from phonebot.store.database import Database
from phonebot.store.store import Store
from phonebot.traces.setting_up import is_wanted, tracing_of
from phonebot.traces.tracing import ids_of

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
AWAY = "http://127.0.0.1:9"
CONVERSATION = (
    WaitForQuiet(300),
    Say(SPEECH, "a question"),
    Interrupt(400, SPEECH, "an interruption"),
    WaitForQuiet(300),
    HangUp(),
)


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: AWAY}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{AWAY}/v1/traces"}, True),
        ({ENDPOINT: AWAY, "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: AWAY, "OTEL_SDK_DISABLED": "false"}, True),
        ({ENDPOINT: AWAY, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: AWAY, "OTEL_TRACES_EXPORTER": "console, otlp"}, True),
        ({"OTEL_SERVICE_NAME": "bot"}, False),
    ],
)
async def test_calls_are_traced_where_an_endpoint_is_set_and_nothing_switches_it_off(
    environ: dict[str, str], wanted: bool
) -> None:
    assert is_wanted(environ) == wanted
    if not wanted:
        async with tracing_of(environ) as tracing:
            assert tracing is None


async def test_without_the_packages_the_log_says_what_to_install_and_the_service_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "phonebot.traces.tracing":
            raise ImportError("No module named 'opentelemetry.sdk'")
        return whole(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    async with tracing_of({ENDPOINT: AWAY}) as tracing:
        assert tracing is None
    assert [record.getMessage() for record in caplog.records] == [
        "calls are not traced: No module named 'opentelemetry.sdk'; pip install 'phonebot[otel]', or unset "
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    ]


async def test_a_protocol_that_is_not_spoken_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async with tracing_of({ENDPOINT: AWAY, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) as tracing:
        assert tracing is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "calls are not traced: grpc is not spoken here; set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf"
    )


# ------------------------------------------------------------------------------------------- whole calls


@pytest.mark.slow
async def test_a_whole_call_is_one_trace_from_its_webhook_until_it_is_filed(
    start_service: StartService, sqlite: Database, tmp_path: Any
) -> None:
    kept = Kept()
    store = await Store.open(f"sqlite:///{tmp_path}/phonebot.db", (tmp_path / "calls").as_uri())
    service = await start_service(traces=kept.tracing, store=store)
    record = await service.dial(*CONVERSATION, from_number="+15550100009")
    await until(lambda: "file" in {span.name for span in kept.spans})
    await service.stop()
    await store.close()
    trace_id, span_id = ids_of(record.call_sid)
    assert {ids(span)[0] for span in kept.spans} == {trace_id}
    names = {span.name for span in kept.spans}
    assert names == {"webhook", "prepare", "model session", "caller speaks", "response", "end", "call", "file"}
    assert len(kept.named("webhook")) == 2, "before its stream, and after it"
    assert [name for name in ("interrupted", "cut") if name in {event.name for event in kept.one("call").events}]
    assert ids(kept.one("call")) == (trace_id, span_id, None)
    whole = "".join(span.to_json() for span in kept.spans)
    for personal in ("+15550100009", "15550100009", "+15550100002", "something", "This answer"):
        assert personal not in whole


@asynccontextmanager
async def collector(got: list[ExportTraceServiceRequest]) -> AsyncIterator[str]:
    """Takes traces as OpenTelemetry's collector does; yields its endpoint."""

    async def take(request: web.Request) -> web.Response:
        assert (request.method, request.path) == ("POST", "/v1/traces")
        got.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    async with shop(take) as url:
        yield url


async def test_traces_get_to_who_collects_them_with_the_services_name_and_version(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[ExportTraceServiceRequest] = []
    async with collector(got) as endpoint:
        monkeypatch.setenv(ENDPOINT, endpoint)
        async with tracing_of({ENDPOINT: endpoint}) as tracing:
            service = await start_service(traces=tracing)
            record = await service.dial(*CONVERSATION)
            await service.stop()
    groups = [group for request in got for group in request.resource_spans]
    about = {pair.key: pair.value.string_value for pair in groups[0].resource.attributes}
    assert (about["service.name"], about["service.version"]) == ("phonebot", __version__)
    spans = [span for group in groups for scope in group.scope_spans for span in scope.spans]
    assert {"webhook", "call", "response", "model session"} <= {span.name for span in spans}
    assert {span.trace_id for span in spans} == {ids_of(record.call_sid)[0].to_bytes(16)}


@pytest.mark.slow
async def test_a_collector_that_is_away_delays_neither_the_call_nor_its_end(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, AWAY)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # what comes late is lost
    async with tracing_of({ENDPOINT: AWAY}) as tracing:
        service = await start_service(traces=tracing)
        record = await service.dial(*CONVERSATION)
        await service.stop()
    assert record.passed, record
