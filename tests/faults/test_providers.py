"""Providers of models that fail, over real sockets: who calls is answered by the next one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from service_driver import (
    LONG_ANSWER,
    MODEL_KEY,
    PATIENCE_S,
    PROFILE,
    SHORT_ANSWER,
    SPEECH,
    Clerk,
    Ear,
    Service,
    StartService,
    confirm_session,
    listening_socket,
    scripted_model,
    until,
)
from websockets.asyncio.server import ServerConnection

from phonebot.agents.after_call import Summary
from phonebot.call.actions import Line, ModelDropped
from phonebot.call.inputs import ModelReady
from phonebot.errors import NotStored
from phonebot.realtime import failover
from phonebot.realtime.events import ResponseDone
from phonebot.simulator.caller import HangUp, Say, WaitForBot, WaitForHangUp, WaitForQuiet
from phonebot.simulator.outputs import Faults
from phonebot.simulator.server import ModelServer, serve
from phonebot.store.database import Database
from phonebot.store.store import Store

pytestmark = pytest.mark.slow

ANSWERED = (WaitForQuiet(300), Say(SPEECH, "a question"), WaitForQuiet(300), HangUp())


@asynccontextmanager
async def model(faults: Faults | None = None) -> AsyncIterator[ModelServer]:
    async with serve(minds=Clerk, ear=Ear(), key=MODEL_KEY, faults=faults) as server:
        yield server


def nowhere() -> str:
    with listening_socket() as closed:
        return f"ws://127.0.0.1:{closed.getsockname()[1]}/v1/realtime"


def settings_for(folder: Path, *urls: str, key: str = "RIGHT", **further: str) -> dict[str, str]:
    """Of a deployment whose providers are gateways at these addresses, named p0, p1 and so on."""
    file = folder / "profiles.toml"
    tables = (
        f'[provider.p{place}]\nkind = "gateway"\nurl = "{url}"\nkey = "{key if place == 0 else "RIGHT"}"\n'
        for place, url in enumerate(urls)
    )
    file.write_text("\n".join(tables))
    return {
        "PHONEBOT_PROFILES": str(file),
        "PHONEBOT_MODEL_PROVIDERS": ", ".join(f"p{place}" for place in range(len(urls))),
        "PHONEBOT_SECRET_RIGHT": MODEL_KEY,
        "PHONEBOT_SECRET_WRONG": "sk-of-somebody-else",
        **further,
    }


def provider_of(service: Service) -> str:
    """Who answered the last call."""
    return service.witnesses[-1].saw(ModelReady)[-1].provider


async def figures(service: Service) -> dict[str, float]:
    """What is counted of sessions with models."""
    _, text = await service.request("GET", "/metrics")
    found = re.findall(r"^phonebot_model_((?:sessions|failovers|breaker)\S*) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found if value != "0.0" and "_created" not in name}


@pytest.mark.parametrize("fault", ["unreachable", "refuses", "hangs"])
async def test_a_caller_is_answered_by_the_next_provider(
    start_service: StartService, tmp_path: Path, fault: str
) -> None:
    async with model(Faults(slow_start_s=3600)) as hung, model() as good, model() as refusing:
        first = {"unreachable": nowhere(), "refuses": refusing.url, "hangs": hung.url}[fault]
        terms = settings_for(tmp_path, first, good.url, key="WRONG" if fault == "refuses" else "RIGHT")
        service = await start_service(model_url=good.url, **terms)
        record = await service.dial(*ANSWERED)
        assert record.passed, record
        assert record.outcome == "caller hung up"
        assert provider_of(service) == "p1"
        result = "refused" if fault == "refuses" else "unreachable"
        assert await figures(service) == {
            f'sessions_total{{provider="p0",result="{result}"}}': 1,
            'sessions_total{provider="p1",result="connected"}': 1,
            "failovers_total": 1,
        }
        await service.stop()
    log = service.log()
    assert (log.header.outcome, log.header.provider) == ("caller_hung_up", "p1")


@pytest.mark.parametrize("key", ["RIGHT", "WRONG"])
async def test_what_is_wanted_after_a_call_is_written_by_the_next_provider(
    start_service: StartService, sqlite: Database, tmp_path: Path, key: str
) -> None:
    store = await Store.open(f"sqlite:///{sqlite.name}", (tmp_path / "calls").as_uri())
    async with model(Faults(refuse_key=key == "WRONG")) as refusing, model() as good:
        first = nowhere() if key == "RIGHT" else refusing.url
        profile = PROFILE.model_copy(update={"summary": Summary()})
        terms = settings_for(tmp_path, first, good.url, key=key)
        service = await start_service(model_url=good.url, profile=profile, store=store, **terms)
        record = await service.dial(*ANSWERED)
        assert record.passed, record
        async with asyncio.timeout(PATIENCE_S):
            while (after := await summary_of(store, record.call_sid)) is None:
                await asyncio.sleep(0.02)
        assert after in (LONG_ANSWER, SHORT_ANSWER)
        await service.stop()
    await store.close()


async def summary_of(store: Store, call_sid: str) -> str | None:
    try:
        call = await store.calls.get(call_sid)
    except NotStored:
        return None
    return call.after.summary if call.after else None


async def test_a_call_that_no_provider_takes_ends_and_its_log_names_each(
    start_service: StartService, tmp_path: Path
) -> None:
    service = await start_service(model_url=nowhere(), **settings_for(tmp_path, nowhere(), nowhere()))
    record = await service.dial(WaitForHangUp())
    assert record.passed, record
    assert [stream.close_code for stream in record.streams] == [1011]
    await service.stop()
    assert service.log().header.outcome == "model_failed"
    problems = " ".join(service.witnesses[0].troubles)
    assert "p0 cannot be reached" in problems
    assert "p1 cannot be reached" in problems


async def test_calls_do_not_wait_for_a_provider_that_fails(
    start_service: StartService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three failures it is asked last; once its time has come and it works, it answers again."""
    port_holder = listening_socket()
    port = port_holder.getsockname()[1]
    port_holder.close()
    async with model() as good:
        terms = settings_for(tmp_path, f"ws://127.0.0.1:{port}/v1/realtime", good.url)
        service = await start_service(model_url=good.url, **terms)
        for _ in range(4):
            await service.dial(WaitForBot(), HangUp())
        told = await figures(service)
        assert told['sessions_total{provider="p0",result="unreachable"}'] == 3
        assert told['breaker{provider="p0"}'] == 2
        later = failover._now
        monkeypatch.setattr(failover, "_now", lambda: later() + 15)
        async with serve("127.0.0.1", port, minds=Clerk, ear=Ear(), key=MODEL_KEY):
            await service.dial(*ANSWERED)
            assert provider_of(service) == "p0"
            assert 'breaker{provider="p0"}' not in await figures(service)
            await service.stop()


async def test_a_call_goes_on_with_another_provider_when_its_own_is_gone(
    start_service: StartService, tmp_path: Path
) -> None:
    """What was said is told to the second one, and the caller is not greeted again."""
    async with model() as good, AsyncExitStack() as first:
        lost = await first.enter_async_context(model())
        service = await start_service(model_url=good.url, **settings_for(tmp_path, lost.url, good.url))
        call = asyncio.create_task(
            service.dial(
                *(WaitForQuiet(300), Say(SPEECH, "a question"), WaitForQuiet(500), Say(SPEECH, "another")),
                *(WaitForQuiet(300), HangUp()),
            )
        )
        await until(lambda: service.witnesses and len(service.witnesses[0].saw(ResponseDone)) == 2)
        await first.aclose()
        record = await call
        assert record.passed, record
        assert [ready.provider for ready in service.witnesses[0].saw(ModelReady)] == ["p0", "p1"]
        lines = service.witnesses[0].saw(Line)
        assert [line.role for line in lines] == ["bot", "caller", "bot", "caller", "bot"]
        assert [line.text for line in lines if line.text == "Hi"] == ["Hi"]
        await service.stop()
    assert service.log().header.outcome == "caller_hung_up"


@pytest.mark.parametrize("in_response", [False, True])
async def test_a_provider_that_refuses_to_go_on_is_replaced_in_mid_call(
    start_service: StartService, tmp_path: Path, in_response: bool
) -> None:
    code = "insufficient_quota"
    error = {"type": code, "code": code, "message": f"Quota of {MODEL_KEY} exceeded."}
    failed = {"object": "realtime.response", "id": "resp_1", "status": "failed", "output": []}
    events = (
        {"type": "response.done", "response": {**failed, "status_details": {"type": "failed", "error": error}}}
        if in_response
        else {"type": "error", "error": error}
    )

    async def run_out(socket: ServerConnection) -> None:
        await confirm_session(socket)
        await socket.send(json.dumps({"event_id": "event_3", **events}))

    async with scripted_model(run_out) as spent, model() as good:
        service = await start_service(model_url=good.url, **settings_for(tmp_path, spent, good.url))
        record = await service.dial(*ANSWERED)
        assert record.passed, record
        assert record.outcome == "caller hung up"
        assert provider_of(service) == "p1"
        (dropped,) = service.witnesses[0].saw(ModelDropped)
        assert dropped.problem == "p0 does not go on: Quota of *** exceeded. (insufficient_quota)"
        await service.stop()
