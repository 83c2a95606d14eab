"""The embedded server behind real sockets: who may enter, what the shell does, what goes wrong on purpose."""

import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from model_driver import Answers, check_invariants, tone
from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus

from phonebot.simulator.handshake import Entry, NotAdmitted, admit
from phonebot.simulator.mind import Mind, Say
from phonebot.simulator.outputs import Faults, Options
from phonebot.simulator.server import ModelServer, serve

KEY = "sk-test-0123"


@asynccontextmanager
async def client(url: str, **kwargs: Any) -> AsyncIterator[ClientConnection]:
    async with connect(url, compression=None, max_size=None, **kwargs) as websocket:
        yield websocket


async def receive(websocket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        event: dict[str, Any] = json.loads(await websocket.recv())
    return event


async def receive_until(websocket: ClientConnection, event_type: str) -> list[dict[str, Any]]:
    events = [await receive(websocket)]
    while events[-1]["type"] != event_type:
        events.append(await receive(websocket))
    return events


async def closed(websocket: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(10):
        await websocket.wait_closed()
    assert websocket.close_code is not None
    return websocket.close_code, websocket.close_reason or ""


async def send(websocket: ClientConnection, event_type: str, **fields: Any) -> None:
    await websocket.send(json.dumps({"type": event_type, **fields}))


# --------------------------------------------------------------------------------------------- the handshake


@pytest.mark.parametrize(
    ("target", "headers", "entry"),
    [
        ("/v1/realtime?model=m", {}, Entry("ga", "m", "realtime")),
        ("/v1/realtime", {}, Entry("ga", None, "realtime")),
        ("/v1/realtime?model=m", {"OpenAI-Beta": "realtime=v1"}, Entry("beta", "m", "realtime")),
        ("/v1/realtime?model=m", {"OpenAI-Beta": "assistants=v2"}, Entry("ga", "m", "realtime")),
        (
            "/v1/realtime?model=m",
            {"Sec-WebSocket-Protocol": "realtime, openai-beta.realtime-v1"},
            Entry("beta", "m", "realtime"),
        ),
        ("/openai/v1/realtime?model=m", {}, Entry("ga", "m", "realtime")),
        (
            "/openai/realtime?api-version=2025-04-01-preview&deployment=d",
            {},
            Entry("beta", "d", "realtime"),
        ),
        ("/v1/realtime?dialect=beta", {}, Entry("beta", None, "realtime")),
        ("/v1/realtime?dialect=ga", {"OpenAI-Beta": "realtime=v1"}, Entry("ga", None, "realtime")),
        ("/v1/realtime?intent=transcription", {}, Entry("ga", None, "transcription")),
        ("/v1/realtime?intent=dictation", {}, Entry("ga", None, None)),
    ],
)
def test_address_and_headers_decide_dialect_model_and_kind(
    target: str, headers: dict[str, str], entry: Entry
) -> None:
    assert admit(target, Headers(headers), None, "ga") == entry


def test_the_default_dialect_is_that_of_clients_who_do_not_say() -> None:
    assert admit("/v1/realtime", Headers(), None, "beta").dialect == "beta"
    assert admit("/openai/v1/realtime", Headers(), None, "beta").dialect == "ga"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 404),
        ("/v1/chat", 404),
        ("/openai/realtime?deployment=d", 404),
        ("/v1/realtime?dialect=gamma", 400),
        ("/v1/realtime?" + "&".join(f"a{n}=1" for n in range(51)), 400),
    ],
)
def test_an_address_that_is_not_served_is_refused(target: str, status: int) -> None:
    with pytest.raises(NotAdmitted) as refusal:
        admit(target, Headers(), None, "ga")
    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v1/realtime", {"Authorization": f"Bearer {KEY}"}),
        ("/v1/realtime", {"authorization": f"bearer {KEY}"}),
        ("/openai/v1/realtime", {"api-key": KEY}),
        (f"/v1/realtime?token={KEY}", {}),
        (f"/openai/realtime?api-version=x&deployment=d&api-key={KEY}", {}),
        ("/v1/realtime", {"Sec-WebSocket-Protocol": f"realtime, openai-insecure-api-key.{KEY}"}),
    ],
)
def test_every_way_to_give_the_key_opens_the_door_and_only_with_the_right_one(
    target: str, headers: dict[str, str]
) -> None:
    admit(target, Headers(headers), KEY, "ga")
    with pytest.raises(NotAdmitted) as refusal:
        admit(target, Headers(headers), KEY + "4", "ga")
    assert refusal.value.status == 401
    assert KEY not in str(refusal.value)


@pytest.mark.parametrize("headers", [{}, {"Authorization": KEY}, {"Authorization": "Bearer "}])
def test_no_key_is_no_entry(headers: dict[str, str]) -> None:
    with pytest.raises(NotAdmitted):
        admit("/v1/realtime", Headers(headers), KEY, "ga")


async def test_a_wrong_key_is_401_and_a_wrong_path_404() -> None:
    async with serve(key=KEY) as server:
        for url, key, status in ((server.url, "wrong", 401), (server.url + "s", KEY, 404)):
            with pytest.raises(InvalidStatus) as refusal:
                async with client(url, additional_headers={"Authorization": f"Bearer {key}"}):
                    pass
            response = refusal.value.response
            assert response.status_code == status
            assert response.headers["Content-Type"] == "application/json"
            assert json.loads(response.body or b"")["error"]["message"]
        assert server.sessions == ()


async def test_the_subprotocol_with_the_key_is_never_echoed() -> None:
    async with serve(key=KEY) as server:
        offered: Any = ["realtime", f"openai-insecure-api-key.{KEY}"]
        async with client(server.url, subprotocols=offered) as websocket:
            assert websocket.subprotocol == "realtime"
            assert (await receive(websocket))["type"] == "session.created"


async def test_no_compression_is_negotiated() -> None:
    async with serve() as server, connect(server.url, compression="deflate") as websocket:
        assert websocket.response is not None
        assert "Sec-WebSocket-Extensions" not in websocket.response.headers


# --------------------------------------------------------------------------------------------- the shell


async def spoken_turn(server: ModelServer, dialect: str) -> list[dict[str, Any]]:
    ulaw: Any
    if dialect == "ga":
        ulaw = {"type": "audio/pcmu"}
        turns = {"type": "server_vad", "silence_duration_ms": 200}
        audio = {"input": {"format": ulaw, "turn_detection": turns}, "output": {"format": ulaw}}
        session: dict[str, Any] = {"type": "realtime", "audio": audio}
    else:
        session = {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw"}
    async with client(f"{server.url}?dialect={dialect}") as websocket:
        await send(websocket, "session.update", session=session)
        for frame in [tone(20)] * 20 + [b"\xff" * 160] * 20:
            await send(websocket, "input_audio_buffer.append", audio=base64.b64encode(frame).decode())
        events = await receive_until(websocket, "response.done")
        (session_state,) = [each for each in server.sessions if each.id == events[0]["session"]["id"]]
        assert [line.role for line in session_state.lines] == ["user", "assistant"]
    return events


class Ear:
    """Understands how long somebody spoke."""

    async def recognise(self, pcm8k: bytes) -> str:
        return f"{len(pcm8k) // 16} ms"


@pytest.mark.parametrize("dialect", ["ga", "beta"])
async def test_a_spoken_turn_is_heard_and_answered(dialect: Any) -> None:
    async with serve(ear=Ear()) as server:
        events = await spoken_turn(server, dialect)
    check_invariants(events, dialect)
    (item,) = events[-1]["response"]["output"]
    assert item["content"][0]["transcript"] == "You said 600 ms"


async def test_many_sessions_run_side_by_side() -> None:
    async with serve(ear=Ear(), options=Options(speed=50)) as server:
        sessions = await asyncio.gather(*(spoken_turn(server, "ga") for _ in range(60)))
    for events in sessions:
        check_invariants(events, "ga")
        assert events[-1]["response"]["status"] == "completed"
    ids = [event["event_id"] for events in sessions for event in events]
    assert len(set(ids)) == len(ids)


async def test_nothing_is_left_behind_when_a_client_goes_in_the_middle_of_an_answer() -> None:
    before = asyncio.all_tasks()
    async with serve(options=Options(speed=1)) as server:
        async with client(server.url) as websocket:
            await send(websocket, "response.create")
            await receive_until(websocket, "response.output_audio.delta")
        async with asyncio.timeout(10):
            while server.sessions:
                await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


class Stubborn:
    """A voice that fails and an ear that never answers."""

    async def speak(self, text: str) -> Any:
        raise RuntimeError("hoarse")

    async def recognise(self, pcm8k: bytes) -> str:
        await asyncio.Event().wait()
        return ""


async def test_a_voice_that_fails_fails_the_response_and_not_the_session() -> None:
    async with serve(voice=Stubborn()) as server, client(server.url) as websocket:
        for _ in range(2):
            await send(websocket, "response.create")
            events = await receive_until(websocket, "response.done")
            assert events[-1]["response"]["status"] == "failed"


async def test_a_job_under_way_does_not_hold_up_the_end_of_a_session() -> None:
    before = asyncio.all_tasks()
    async with serve(ear=Stubborn()) as server, client(server.url) as websocket:
        await send(websocket, "input_audio_buffer.append", audio=base64.b64encode(bytes(48 * 200)).decode())
        await send(websocket, "input_audio_buffer.commit")
        await receive_until(websocket, "conversation.item.done")
    assert asyncio.all_tasks() == before


async def test_fifteen_mebibytes_may_be_appended_at_once_and_a_byte_more_not() -> None:
    async with serve() as server, client(server.url) as websocket:
        update = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await send(websocket, "session.update", session=update)
        audio = bytes(15 * 1024 * 1024)
        await send(websocket, "input_audio_buffer.append", audio=base64.b64encode(audio).decode())
        await send(websocket, "input_audio_buffer.append", audio=base64.b64encode(audio + b"1").decode())
        error = (await receive_until(websocket, "error"))[-1]["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "audio")


async def test_a_client_that_lets_megabytes_pile_up_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonebot.simulator.server.MAX_OUTBOX_CHARACTERS", 100_000)
    async with serve(options=Options(speed=math.inf)) as server, client(server.url) as websocket:
        await receive(websocket)
        long_text = "word " * 100  # 30 s of speech, all at once
        await send(websocket, "response.create", response={"instructions": f'Say exactly: "{long_text}"'})
        assert await closed(websocket) == (1006, "")


async def test_a_full_server_answers_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonebot.simulator.server.MAX_SESSIONS", 1)
    async with serve() as server, client(server.url) as websocket:
        await receive(websocket)
        with pytest.raises(InvalidStatus) as refusal:
            async with client(server.url):
                pass
        assert refusal.value.response.status_code == 503


async def test_a_session_expires_with_1001() -> None:
    async with serve(options=Options(session_limit_s=0)) as server, client(server.url) as websocket:
        events = await receive_until(websocket, "error")
        assert events[-1]["error"]["code"] == "session_expired"
        assert await closed(websocket) == (1001, "session_expired")


async def test_a_server_that_stops_closes_with_1012() -> None:
    async with serve() as server:
        websocket = await connect(server.url)
        await receive(websocket)
    assert (await closed(websocket))[0] == 1012


async def test_a_session_without_a_model_in_the_url_takes_that_of_its_first_update() -> None:
    async with serve() as server, client(server.url) as websocket:
        for model, answer in (("mine", "session.updated"), ("another", "error")):
            await send(websocket, "session.update", session={"type": "realtime", "model": model})
            events = await receive_until(websocket, answer)
        assert events[-1]["error"]["param"] == "session.model"
    async with serve() as server, client(f"{server.url}?model=given") as websocket:
        await send(websocket, "session.update", session={"type": "realtime", "model": "another"})
        assert (await receive_until(websocket, "error"))[-1]["error"]["param"] == "session.model"


async def test_each_session_has_a_mind_of_its_own() -> None:
    made: list[Answers] = []

    def mind() -> Mind:
        made.append(Answers(Say(f"I am number {len(made)}")))
        return made[-1]

    async with serve(minds=mind) as server:
        for number in range(2):
            async with client(server.url) as websocket:
                await send(websocket, "response.create")
                done = (await receive_until(websocket, "response.done"))[-1]["response"]
                assert done["output"][0]["content"][0]["transcript"] == f"I am number {number}"


# --------------------------------------------------------------------------------------------- faults


async def test_a_key_may_be_refused_after_the_upgrade() -> None:
    async with serve(faults=Faults(refuse_key=True)) as server, client(server.url) as websocket:
        assert (await receive(websocket))["error"]["code"] == "invalid_api_key"
        assert await closed(websocket) == (3000, "invalid_request_error.invalid_api_key")


async def test_a_server_without_beta_refuses_beta_clients_only() -> None:
    async with serve(faults=Faults(beta_disabled=True)) as server:
        async with client(server.url, additional_headers={"OpenAI-Beta": "realtime=v1"}) as websocket:
            assert (await receive(websocket))["error"]["code"] == "beta_api_shape_disabled"
            assert await closed(websocket) == (4000, "invalid_request_error.beta_api_shape_disabled")
        async with client(server.url) as websocket:
            assert (await receive(websocket))["type"] == "session.created"


async def test_an_unknown_intent_is_refused_after_the_upgrade() -> None:
    async with serve() as server, client(f"{server.url}?intent=dictation") as websocket:
        assert (await receive(websocket))["error"]["code"] == "invalid_intent"
        assert await closed(websocket) == (4000, "invalid_request_error.invalid_intent")


async def test_the_connection_may_break_without_a_close() -> None:
    async with serve(faults=Faults(drop_after_s=0.05)) as server, client(server.url) as websocket:
        assert (await receive(websocket))["type"] == "session.created"
        assert await closed(websocket) == (1006, "")


async def test_a_session_that_is_dropped_breaks_without_a_close_and_the_others_stay() -> None:
    async with serve() as server, client(server.url) as dropped, client(server.url) as other:
        for websocket in (dropped, other):
            await receive(websocket)
        server.drop(server.sessions[0])
        assert await closed(dropped) == (1006, "")
        assert len(server.sessions) == 1
        await other.ping()


async def test_a_slow_upgrade_delays_the_answer_to_it() -> None:
    async with serve(faults=Faults(slow_upgrade_s=600)) as server:
        with pytest.raises(TimeoutError):
            async with client(server.url, open_timeout=0.2):
                pass
        assert not server.sessions


async def test_a_slow_start_delays_the_first_event() -> None:
    async with serve(faults=Faults(slow_start_s=600)) as server, client(server.url) as websocket:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await websocket.recv()
        # The server's end must not wait for the slow start.
    with pytest.raises(ConnectionClosed):
        await websocket.recv()
