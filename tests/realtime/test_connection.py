"""
The connection over real sockets, against a service that follows a script.

Each test ends with the check that no task of ours is left, whatever went wrong.
"""

import asyncio
import json
import logging
import os
import socket as sockets
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from phonebot.errors import ModelError, ModelProtocolError, ModelRefused, ModelUnreachable
from phonebot.realtime import events as e
from phonebot.realtime.connection import EarlyLine, ModelConnection, connect, without
from phonebot.realtime.line import MAX_QUOTE, UNACKNOWLEDGED_MS
from phonebot.realtime.providers import DialectChoice, Endpoint, gateway
from phonebot.realtime.severity import already_shorter_ms

KEY = "t0p-secret"
WANTED = e.Session(
    instructions="Be brief.",
    modality="audio",
    voice="marin",
    input_format="pcmu",
    output_format="pcmu",
    noise_reduction="near_field",
    speed=1.2,
)
GA_SESSION = {"type": "realtime", "object": "realtime.session", "id": "sess_1", "expires_at": 1795200000}
BETA_SESSION = {"object": "realtime.session", "id": "sess_1", "modalities": ["audio", "text"]}

Script = Callable[["Service"], Awaitable[None]]


class Service:
    """The other end: says what a test's script says and remembers what it was told."""

    def __init__(self, socket: ServerConnection, told: list[Any]) -> None:
        self.socket = socket
        self.told = told

    async def say(self, type_: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type_, "event_id": "event_1", **fields}))

    async def hear(self) -> Any:
        self.told.append(json.loads(await self.socket.recv()))
        return self.told[-1]

    async def refuse(self, code: str | None, param: str | None = None, event_id: str | None = None) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": f"No: {param}", "param": param}
        await self.say("error", error={**error, "event_id": event_id})

    async def confirm(self) -> Any:
        """Hear an update and confirm what it asks for; returns the update."""
        update = await self.hear()
        await self.say("session.updated", session=update["session"])
        return update

    async def start(self) -> None:
        await self.say("session.created", session=GA_SESSION)
        await self.confirm()


@asynccontextmanager
async def service(
    script: Script, dialect: DialectChoice = "ga", **options: Any
) -> AsyncIterator[tuple[Endpoint, Any]]:
    """A service on a free port; yields its endpoint and what it has been told so far."""
    told: list[Any] = []

    async def follow(socket: ServerConnection) -> None:
        try:
            await script(Service(socket, told))
            await socket.wait_closed()
        except ConnectionClosed:
            pass  # the test has seen enough

    async with serve(follow, "127.0.0.1", 0, compression=None, close_timeout=0.1, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield gateway(f"http://127.0.0.1:{port}/v1", "m", KEY, "bearer", dialect), told


@pytest.fixture(autouse=True)
async def nothing_left_running() -> AsyncIterator[None]:
    yield
    for _ in range(10):  # a cancelled task ends some turns of the loop later
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def failure(endpoint: Endpoint, wanted: e.Session = WANTED, timeout_s: float = 5.0) -> ModelError:
    """What `connect` raises. It never tells the key."""
    with pytest.raises(ModelError) as raised:
        await connect(endpoint, wanted, timeout_s=timeout_s)
    assert KEY not in f"{raised.value} {raised.value.args}"
    return raised.value


def answering(status: HTTPStatus, body: str = "", headers: dict[str, str] | None = None) -> Any:
    def answer(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(status, body)
        response.headers.update(headers or {})
        return response

    return answer


async def silence(service: Service) -> None:
    """Open the socket and say nothing."""


# ------------------------------------------------------------------------------------------- a good start


async def test_session_is_confirmed_then_events_come_in_and_commands_go_out() -> None:
    async def script(service: Service) -> None:
        await service.start()
        await service.say("input_audio_buffer.speech_started", audio_start_ms=20, item_id="item_1")
        await service.hear()

    async with service(script) as (endpoint, told):
        connection = await connect(endpoint, WANTED)
        assert (connection.dialect, connection.left_out) == ("ga", ())
        assert (connection.input_format, connection.output_format) == ("pcmu", "pcmu")
        assert connection.session.voice == "marin"
        assert (connection.session.id, connection.session.expires_at_s) == ("sess_1", 1795200000)
        assert await connection.receive() == e.SpeechStarted(20, "item_1")
        await connection.send(e.AppendAudio("f39/fw=="))
        await connection.close()
    assert told[0]["session"]["type"] == "realtime"
    assert told[1] == {"type": "input_audio_buffer.append", "audio": "f39/fw=="}


def option_of_connection(port: int, option: int) -> int:
    """A TCP option of this process's only connection to a port of loopback."""
    found = []
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with sockets.socket(fileno=os.dup(number)) as same, suppress(OSError):
                if same.getpeername()[1:2] == (port,):
                    found.append(same.getsockopt(sockets.IPPROTO_TCP, option))
    (value,) = found
    return value


@pytest.mark.skipif(sys.platform != "linux", reason="no other system has the option")
async def test_a_peer_that_acknowledges_nothing_is_given_up_by_the_system() -> None:
    async with service(Service.start) as (endpoint, _):
        connection = await connect(endpoint, WANTED)
        port = int(endpoint.url.rpartition(":")[2].partition("/")[0])
        assert option_of_connection(port, sockets.TCP_USER_TIMEOUT) == UNACKNOWLEDGED_MS
        await connection.close()


async def test_events_before_and_between_the_two_of_the_start_are_passed_over() -> None:
    async def script(service: Service) -> None:
        await service.say("rate_limits.updated", rate_limits=[])
        await service.say("session.created", session=GA_SESSION)
        await service.say("conversation.created", conversation={"id": "conv_1"})
        await service.confirm()

    async with service(script) as (endpoint, _):
        await (await connect(endpoint, WANTED)).close()


async def test_request_carries_the_key_and_no_beta_header() -> None:
    seen: list[Request] = []

    def look(connection: ServerConnection, request: Request) -> None:
        seen.append(request)

    async with service(Service.start, process_request=look) as (endpoint, _):
        await (await connect(endpoint, WANTED)).close()
    headers = seen[0].headers
    assert (seen[0].path, headers["Authorization"]) == ("/v1/realtime?model=m", f"Bearer {KEY}")
    assert "OpenAI-Beta" not in headers
    assert "Sec-WebSocket-Extensions" not in headers


async def test_a_line_that_opens_in_the_moment_in_which_nobody_wants_it_any_more_is_closed() -> None:
    closed = asyncio.Event()

    async def script(service: Service) -> None:
        await service.socket.wait_closed()
        closed.set()

    async with service(script) as (endpoint, _):
        early = EarlyLine(endpoint)
        (opening,) = (task for task in asyncio.all_tasks() if task.get_name() == "open a line early")
        opening.add_done_callback(lambda _: connecting.cancel())
        connecting = asyncio.create_task(connect(endpoint, WANTED, early=early))
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert not opening.cancelled()
        await early.close()
        async with asyncio.timeout(5):
            await closed.wait()


async def test_subprotocol_authentication_opens_a_session() -> None:
    async with service(Service.start, subprotocols=["realtime"]) as (endpoint, _):
        offered = gateway(endpoint.url, "m", KEY, "subprotocol", "ga")
        await (await connect(offered, WANTED)).close()


@pytest.mark.parametrize(("session", "dialect"), [(GA_SESSION, "ga"), (BETA_SESSION, "beta"), ({"id": "s"}, "ga")])
async def test_dialect_left_open_is_the_one_that_shows(session: dict[str, Any], dialect: str) -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=session)
        await service.confirm()

    async with service(script, "auto") as (endpoint, told):
        connection = await connect(endpoint, WANTED)
        assert connection.dialect == dialect
        await connection.close()
    assert ("type" in told[0]["session"]) == (dialect == "ga")


async def test_formats_are_those_the_service_confirms_not_those_that_were_wanted() -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=GA_SESSION)
        await service.hear()
        audio = {"input": {"format": {"type": "audio/pcma"}}, "output": {"format": {"type": "audio/pcm"}}}
        await service.say("session.updated", session={"type": "realtime", "audio": audio})

    async with service(script) as (endpoint, _):
        connection = await connect(endpoint, WANTED)
        assert (connection.input_format, connection.output_format) == ("pcma", "pcm24k")
        await connection.close()


async def test_session_that_only_writes_need_not_confirm_an_output_format() -> None:
    async with service(Service.start) as (endpoint, _):
        connection = await connect(endpoint, e.Session(modality="text", input_format="pcmu"))
        assert (connection.input_format, connection.output_format) == ("pcmu", "pcmu")
        await connection.close()


async def test_unknown_parameters_are_left_out_of_this_update_and_of_later_ones() -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=GA_SESSION)
        await service.hear()
        await service.refuse("unknown_parameter", "session.audio.input.noise_reduction", "session-start")
        await service.hear()
        await service.refuse("unknown_parameter", "session.audio.output.speed")
        await service.confirm()
        await service.hear()

    async with service(script) as (endpoint, told):
        connection = await connect(endpoint, WANTED)
        assert connection.left_out == ("session.audio.input.noise_reduction", "session.audio.output.speed")
        await connection.send(e.UpdateSession(e.Session(noise_reduction="far_field", instructions="New.")))
        await connection.close()
    assert "noise_reduction" not in told[2]["session"]["audio"]["input"]
    assert "speed" not in told[2]["session"]["audio"]["output"]
    assert told[2]["session"]["instructions"] == "Be brief."
    assert told[3]["session"] == {"type": "realtime", "instructions": "New.", "audio": {"input": {}}}


# ------------------------------------------------------------------------------------------- refusals at start


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (HTTPStatus.BAD_REQUEST, ModelRefused),
        (HTTPStatus.UNAUTHORIZED, ModelRefused),
        (HTTPStatus.FORBIDDEN, ModelRefused),
        (HTTPStatus.NOT_FOUND, ModelRefused),
        (HTTPStatus.OK, ModelRefused),
        (HTTPStatus.REQUEST_TIMEOUT, ModelUnreachable),
        (HTTPStatus.CONFLICT, ModelUnreachable),
        (HTTPStatus.TOO_MANY_REQUESTS, ModelUnreachable),
        (HTTPStatus.BAD_GATEWAY, ModelUnreachable),
    ],
)
async def test_http_status_tells_whether_to_ask_again(status: HTTPStatus, kind: type[ModelError]) -> None:
    body = json.dumps({"error": {"message": f"It was {KEY} you sent", "code": "x"}})
    async with service(silence, process_request=answering(status, body)) as (endpoint, _):
        error = await failure(endpoint)
    assert type(error) is kind
    assert error.code == str(int(status))
    assert "It was *** you sent" in str(error)


async def test_redirect_is_not_followed() -> None:
    async with service(silence) as (elsewhere, told):
        moved = answering(HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": elsewhere.url})
        async with service(silence, process_request=moved) as (endpoint, _):
            error = await failure(endpoint)
    assert type(error) is ModelRefused
    assert "redirects" in str(error)
    assert told == []


async def test_wrong_key_after_the_upgrade_is_refused_with_the_services_code() -> None:
    async def script(service: Service) -> None:
        await service.refuse("invalid_api_key")
        await service.socket.close(3000, "invalid_request_error.invalid_api_key")

    async with service(script) as (endpoint, _):
        error = await failure(endpoint)
    assert (type(error), error.code) == (ModelRefused, "invalid_api_key")


async def test_wrong_key_told_by_the_close_alone_is_refused_with_the_code_in_its_reason() -> None:
    async def script(service: Service) -> None:
        await service.socket.close(3000, "invalid_request_error.invalid_api_key")

    async with service(script) as (endpoint, _):
        error = await failure(endpoint)
    assert (type(error), error.code) == (ModelRefused, "invalid_api_key")


async def test_beta_switched_off_is_refused_with_the_services_code() -> None:
    async def script(service: Service) -> None:
        await service.refuse("beta_api_shape_disabled")
        await service.socket.close(4000, "invalid_request_error.beta_api_shape_disabled")

    async with service(script, "beta") as (endpoint, _):
        error = await failure(endpoint)
    assert (type(error), error.code) == (ModelRefused, "beta_api_shape_disabled")


async def test_error_without_a_code_explains_the_close_that_follows() -> None:
    async def script(service: Service) -> None:
        await service.say("error", error={"message": f"Not with {KEY}"})
        await service.socket.close(4000)

    async with service(script) as (endpoint, _):
        error = await failure(endpoint)
    assert (type(error), error.code) == (ModelRefused, "4000")
    assert "Not with ***" in str(error)


@pytest.mark.parametrize(("configured", "shown"), [("ga", BETA_SESSION), ("beta", GA_SESSION)])
async def test_dialect_that_contradicts_the_configured_one_is_refused(
    configured: DialectChoice, shown: dict[str, Any]
) -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=shown)

    async with service(script, configured) as (endpoint, told):
        error = await failure(endpoint)
    assert type(error) is ModelRefused
    assert "set the dialect to" in str(error)
    assert told == []


@pytest.mark.parametrize(
    ("code", "param", "kind", "says"),
    [
        ("invalid_value", "session.voice", ModelRefused, "session.voice: No"),
        ("unknown_parameter", "session.nonsense", ModelRefused, "session.nonsense: No"),
        ("unknown_parameter", "session.type", ModelRefused, "another dialect than ga"),
        ("missing_required_parameter", "session.type", ModelRefused, "another dialect than ga"),
        ("rate_limit_exceeded", None, ModelUnreachable, "No"),
    ],
)
async def test_refused_update_says_what_was_refused(
    code: str, param: str | None, kind: type[ModelError], says: str
) -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=GA_SESSION)
        await service.hear()
        await service.refuse(code, param)

    async with service(script) as (endpoint, _):
        error = await failure(endpoint)
    assert (type(error), error.code) == (kind, code)
    assert says in str(error)


async def test_unknown_parameters_are_left_out_three_times_and_no_more() -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=GA_SESSION)
        for parameter in (
            "audio.output.speed",
            "audio.output.voice",
            "instructions",
            "audio.input.noise_reduction",
        ):
            await service.hear()
            await service.refuse("unknown_parameter", f"session.{parameter}")

    async with service(script) as (endpoint, told):
        error = await failure(endpoint)
    assert type(error) is ModelRefused
    assert "noise_reduction" in str(error)
    assert len(told) == 4


@pytest.mark.parametrize("format_", [{"type": "audio/opus"}, {"type": "audio/pcm", "rate": 16000}, None])
async def test_confirmed_format_that_cannot_be_used_is_an_error(format_: Any) -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=GA_SESSION)
        await service.hear()
        audio = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": format_}}
        await service.say("session.updated", session={"type": "realtime", "audio": audio})

    async with service(script) as (endpoint, _):
        error = await failure(endpoint)
    assert type(error) is ModelProtocolError
    assert "output format" in str(error)


# ------------------------------------------------------------------------------------------- errors in mid-session


async def test_words_of_an_error_come_without_the_key_and_as_one_short_line() -> None:
    said = f"No\n {KEY}! " + "x" * 1000
    error = {"type": "invalid_request_error", "message": said}

    async def script(service: Service) -> None:
        await service.start()
        await service.say("error", error=error)
        details = {"type": "failed", "error": error}
        response = {"object": "realtime.response", "id": "resp_1", "status": "failed", "status_details": details}
        await service.say("response.done", response=response)
        transcription = "conversation.item.input_audio_transcription.failed"
        await service.say(transcription, item_id="item_1", content_index=0, error=error)

    async with service(script) as (endpoint, _):
        connection = await connect(endpoint, WANTED)
        events = [await connection.receive() for _ in range(3)]
        await connection.close()
    detail = e.ErrorDetail(f"No ***! {'x' * 1000}"[:MAX_QUOTE], type="invalid_request_error")
    assert events == [
        e.ErrorEvent(detail),
        e.ResponseDone(e.Response("resp_1", "failed", error=detail)),
        e.TranscriptionFailed("item_1", 0, detail),
    ]


async def test_refused_truncation_still_says_how_long_the_item_is() -> None:
    said = f"Item_{'1' * 100}: Audio content of 1234567ms is already shorter than 7654321ms"

    async def script(service: Service) -> None:
        await service.start()
        await service.say(
            "error", error={"type": "invalid_request_error", "code": "invalid_value", "message": said}
        )

    async with service(script) as (endpoint, _):
        connection = await connect(endpoint, WANTED)
        event = await connection.receive()
        await connection.close()
    assert isinstance(event, e.ErrorEvent)
    assert already_shorter_ms(event.error) == 1_234_567


# ------------------------------------------------------------------------------------------- no answer at start

STAGE_S = 1.0  # time enough, on a machine that has other work, to come as far as the stage that never ends


async def test_service_that_says_nothing_is_unreachable() -> None:
    async with service(silence) as (endpoint, _):
        error = await failure(endpoint, timeout_s=STAGE_S)
    assert type(error) is ModelUnreachable
    assert "session.created" in str(error)


async def test_service_that_ignores_the_update_is_unreachable() -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=GA_SESSION)
        await service.hear()
        await service.refuse("response_cancel_not_active", event_id="of-another-command")

    async with service(script) as (endpoint, _):
        error = await failure(endpoint, timeout_s=STAGE_S)
    assert type(error) is ModelUnreachable
    assert "session.updated" in str(error)


async def test_host_that_accepts_and_never_answers_the_handshake_is_unreachable() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(gateway(f"ws://127.0.0.1:{port}/v1", "m"), timeout_s=0.1)
    assert type(error) is ModelUnreachable


async def test_host_that_answers_something_else_is_unreachable() -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(chatter, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(gateway(f"ws://127.0.0.1:{port}/v1", "m"))
    assert type(error) is ModelUnreachable


async def test_port_where_nobody_listens_is_unreachable() -> None:
    async with service(silence) as (endpoint, _):
        pass
    assert type(await failure(endpoint)) is ModelUnreachable


async def test_plain_port_dialled_with_tls_is_unreachable() -> None:
    async with service(silence) as (endpoint, _):
        secure = gateway(endpoint.url.replace("ws://", "wss://"), "m")
        assert type(await failure(secure)) is ModelUnreachable


async def test_connection_broken_during_the_start_is_unreachable() -> None:
    async def script(service: Service) -> None:
        await service.say("session.created", session=GA_SESSION)
        await service.hear()
        service.socket.transport.abort()

    async with service(script) as (endpoint, _):
        error = await failure(endpoint)
    assert (type(error), error.code) == (ModelUnreachable, "1006")


async def test_start_that_is_cancelled_leaves_nothing_open() -> None:
    greeted = asyncio.Event()
    closed = asyncio.Event()

    async def script(service: Service) -> None:
        await service.say("session.created", session=GA_SESSION)
        await service.hear()
        greeted.set()
        await service.socket.wait_closed()
        closed.set()

    async with service(script) as (endpoint, _):
        start = asyncio.create_task(connect(endpoint, WANTED))
        await greeted.wait()
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        await closed.wait()


# ------------------------------------------------------------------------------------------- during the call


@asynccontextmanager
async def connected(script: Script) -> AsyncIterator[ModelConnection]:
    """A connection to a service that starts well and then follows the script."""

    async def whole(service: Service) -> None:
        await service.start()
        await script(service)

    async with service(whole) as (endpoint, _):
        connection = await connect(endpoint, WANTED)
        try:
            yield connection
        finally:
            await connection.close()


@pytest.mark.parametrize("message", ["{", "[]", '{"type":"input_audio_buffer.speech_started"}', b"\x00\x01"])
async def test_malformed_message_is_an_error_after_which_receiving_goes_on(message: str | bytes) -> None:
    async def script(service: Service) -> None:
        await service.socket.send(message)
        await service.say("input_audio_buffer.cleared")

    async with connected(script) as connection:
        with pytest.raises(ModelProtocolError):
            await connection.receive()
        assert await connection.receive() == e.AudioCleared()


async def test_event_of_two_mebibytes_comes_through() -> None:
    audio = "f39/" * (2**19)
    place = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}

    async def script(service: Service) -> None:
        await service.say("response.output_audio.delta", delta=audio, **place)

    async with connected(script) as connection:
        assert await connection.receive() == e.AudioDelta("resp_1", "item_1", 0, 0, audio)


async def test_broken_connection_is_unreachable_for_both_directions() -> None:
    async def script(service: Service) -> None:
        service.socket.transport.abort()

    async with connected(script) as connection:
        with pytest.raises(ModelUnreachable, match="broke") as lost:
            await connection.receive()
        assert lost.value.code == "1006"
        with pytest.raises(ModelUnreachable):
            await connection.send(e.AppendAudio("f39/"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1000, ModelUnreachable),
        (1001, ModelUnreachable),
        (1011, ModelUnreachable),
        (3000, ModelRefused),
        (4000, ModelRefused),
    ],
)
async def test_close_we_did_not_ask_for_is_raised_with_its_meaning(code: int, kind: type[ModelError]) -> None:
    async def script(service: Service) -> None:
        await service.socket.close(code)

    async with connected(script) as connection:
        with pytest.raises(kind) as lost:
            await connection.receive()
        assert lost.value.code == str(code)


async def test_expired_session_is_told_apart_by_the_error_before_the_close() -> None:
    async def script(service: Service) -> None:
        await service.refuse("session_expired")
        await service.socket.close(1001)

    async with connected(script) as connection:
        assert isinstance(await connection.receive(), e.ErrorEvent)
        with pytest.raises(ModelUnreachable) as lost:
            await connection.receive()
        assert lost.value.code == "session_expired"


async def test_harmless_error_long_ago_does_not_explain_a_close() -> None:
    async def script(service: Service) -> None:
        await service.refuse("response_cancel_not_active")
        await service.socket.close(1011)

    async with connected(script) as connection:
        assert isinstance(await connection.receive(), e.ErrorEvent)
        with pytest.raises(ModelUnreachable) as lost:
            await connection.receive()
        assert lost.value.code == "1011"


async def send_without_end(connection: ModelConnection) -> None:
    while True:
        await connection.send(e.AppendAudio("f39/" * 2**18))


async def test_service_that_stops_reading_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonebot.realtime.line.SEND_TIMEOUT_S", 0.1)
    monkeypatch.setattr("phonebot.realtime.line.CLOSE_TIMEOUT_S", 0.05)

    async def script(service: Service) -> None:
        service.socket.transport.pause_reading()

    async with connected(script) as connection:
        with pytest.raises(ModelUnreachable, match="has taken nothing"):
            await send_without_end(connection)


async def test_close_may_be_repeated_and_ends_a_pending_receive() -> None:
    async def script(service: Service) -> None:
        pass

    async with connected(script) as connection:
        receiving = asyncio.create_task(connection.receive())
        await asyncio.sleep(0)
        await asyncio.gather(connection.close(), connection.close())
        with pytest.raises(ModelUnreachable, match="has been closed"):
            await receiving
        await connection.close()


async def test_close_does_not_wait_for_a_service_that_never_says_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonebot.realtime.line.CLOSE_TIMEOUT_S", 0.05)

    async def script(service: Service) -> None:
        service.socket.transport.pause_reading()

    async with connected(script) as connection:
        async with asyncio.timeout(5):
            await connection.close()
        with pytest.raises(ModelUnreachable):
            await connection.receive()


async def test_logs_show_no_key_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with service(Service.start, logger=logging.getLogger("the other end")) as (endpoint, _):
        await (await connect(endpoint, WANTED)).close()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("phonebot")]
    assert KEY not in "".join(ours)
    assert not [record for record in caplog.records if record.name == "websockets.client"]


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("session.a.b", {"session": {"a": {}, "c": 1}}),
        ("session.c", {"session": {"a": {"b": 2}}}),
        ("session.x", None),
        ("session.c.x", None),
        ("session.a.b.x.y", None),
        ("", None),
    ],
)
def test_parameter_is_taken_out_by_its_dotted_path(parameter: str, expected: Any) -> None:
    text = without('{"session":{"a":{"b":2},"c":1}}', parameter)
    assert (text and json.loads(text)) == expected
