"""
The whole service over real sockets: uvicorn on loopback, the embedded model behind it, a carrier before it.

    service = await Service.start(tmp_path)
    record = await service.dial(WaitForQuiet(300), Say(tone(300)), WaitForQuiet(300))
    await service.stop()
    call_log = service.log()                # what was kept of it on disk

`dial` is the carrier emulator. Where a test needs a carrier that misbehaves, `open_stream` is one that says what it
is told to. `witnesses` are journals, one for each call, which see all that its bridge sees.
"""

import asyncio
import json
import os
import socket
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import aiohttp
from closure import PATIENCE_S as PATIENCE_S
from closure import leaving_nothing as leaving_nothing
from closure import until as until
from model_driver import tone
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

import phonebot
from phonebot.agents.numbers import Numbers
from phonebot.agents.profile import Profile
from phonebot.audio.canned import Clips
from phonebot.call.actions import Action, Trouble
from phonebot.call.inputs import Input, ModelReady
from phonebot.carrier.messages import Start
from phonebot.replay.reader import CallLog, read
from phonebot.serving import listen, running
from phonebot.settings import load
from phonebot.simulator.caller import Caller
from phonebot.simulator.mind import Call, Context, Mind, Say
from phonebot.simulator.outputs import Faults, Options
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.simulator.server import ModelServer
from phonebot.simulator.server import serve as serve_model
from phonebot.simulator.session import Session
from phonebot.simulator.signing import signature
from phonebot.store.store import Store
from phonebot.traces.setting_up import Traces
from phonebot.web.app import create_app
from phonebot.web.board import Board
from phonebot.web.console.access import Authorise
from phonebot.web.live import LiveCalls
from phonebot.web.profiles import Answering

TOKEN = "0123456789abcdef0123456789abcdef"
SECRET_KEY = "fedcba9876543210fedcba9876543210"
MODEL_KEY = "sk-the-right-key"
ACCOUNT_SID = "AC" + "2" * 32
CALL_SID = "CA" + "1" * 32
STREAM_SID = "MZ" + "3" * 32

PROFILE = Profile.from_table(
    {
        "name": "Front desk",
        "greeting": "Hi",
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 200, "prefix_padding_ms": 100},
        "transcription": {"model": "any"},
    },
    "test",
)
SPEECH = tone(300)
LONG_ANSWER = "This answer is so long that every caller interrupts it"  # more than three seconds
SHORT_ANSWER = "Well"

GOODBYE = Clips().of("en").goodbye.text
"""What a caller hears whose call cannot go on."""
WAIT = Clips().of("en").wait.text
"""What he hears who has to wait for it to go on."""

T = TypeVar("T")


class Clerk:
    """A mind that first gives a long answer, then short ones."""

    def __init__(self) -> None:
        self._answers = [LONG_ANSWER]

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        return (Say(self._answers.pop() if self._answers else SHORT_ANSWER),)


class Ear:
    """Understands that somebody spoke."""

    async def recognise(self, pcm8k: bytes) -> str:
        return "something"


class Witness:
    """A journal of one call. `session` is the embedded model's, kept so that it can be asked after the call."""

    def __init__(self, model: ModelServer | None) -> None:
        self.history: list[Input | Action] = []
        self.session: Session | None = None
        self._model = model

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self.history += [received, *actions]
        if isinstance(received, ModelReady) and self._model:
            # The sessions of calls that run side by side differ in nothing but their ids.
            self.session = next((s for s in self._model.sessions if s.id == received.session.id), None)

    passed_on = happened

    def saw(self, kind: type[T]) -> list[T]:
        """The inputs or actions of this kind, in order."""
        return [each for each in self.history if isinstance(each, kind)]

    @property
    def troubles(self) -> list[str]:
        return [trouble.problem for trouble in self.saw(Trouble)]


@dataclass
class Service:
    """A running service with its calls. `model` is the embedded one; None when the settings point elsewhere."""

    url: str
    calls_dir: Path
    model: ModelServer | None
    witnesses: list[Witness]
    live: LiveCalls
    board: Board
    public_url: str
    app: Starlette
    _running: AsyncExitStack = field(repr=False)
    # What the newest TwiML of each call says is to be asked after its stream.
    _after: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def start(
        cls,
        folder: Path,
        *,
        profile: Profile = PROFILE,
        numbers: Answering | None = None,
        model_url: str | None = None,
        public_url: str | None = None,
        faults: Faults | None = None,
        options: Options | None = None,
        signs: bool = True,
        send_buffer: int | None = None,
        minds: Callable[[], Mind] = Clerk,
        authorise: Authorise | None = None,
        store: Store | None = None,
        traces: Traces | None = None,
        **settings: str,
    ) -> "Service":
        """
        `settings` are further variables; `public_url` is where the carrier believes the service to be.
        `numbers` say who answers; without them `profile` does. `send_buffer` is that of its connections, in bytes.
        `minds` makes the embedded model's, one for each session.
        `authorise` says who may use the phone in the browser; with `store` there is the console. `traces` are told
        of each call.
        """
        async with AsyncExitStack() as starting:
            model = None
            if model_url is None:
                model = await starting.enter_async_context(
                    serve_model(minds=minds, ear=Ear(), key=MODEL_KEY, faults=faults, options=options)
                )
                starting.push_async_callback(no_session_left, model)
            if store:  # what the service opened of it, though the store may be closed before; it can be used on
                starting.push_async_callback(store.database.close)
            listener = listen("127.0.0.1", 0)
            if send_buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            variables = {
                "PHONEBOT_PUBLIC_URL": public_url or url,
                "PHONEBOT_SECRET_KEY": SECRET_KEY,
                "PHONEBOT_MODEL_URL": model_url or (model.url if model else ""),
                "PHONEBOT_MODEL_TOKEN": MODEL_KEY,
                "PHONEBOT_DATA_DIR": str(folder),
                "TWILIO_AUTH_TOKEN": TOKEN if signs else "",
                **settings,
            }
            witnesses: list[Witness] = []

            def watch(start: Start) -> Witness:
                witnesses.append(Witness(model))
                return witnesses[-1]

            answering = numbers or Numbers.single(profile)
            app = create_app(
                load(variables, env_file=None),
                answering,
                watch=(watch,),
                authorise=authorise,
                store=store,
                traces=traces,
            )
            await starting.enter_async_context(running(app, listener))
            live, board = app.state.live, app.state.board
            calls_dir, public_url = folder / "calls", public_url or url
            return cls(url, calls_dir, model, witnesses, live, board, public_url, app, starting.pop_all())
        raise AssertionError("what starts is returned or raises")

    async def stop(self) -> None:
        """Shut the service down, then the model. May be called again."""
        await self._running.aclose()

    # ------------------------------------------------------------------------------ carriers

    async def dial(self, *steps: Any, **terms: Any) -> CallRecord:
        """The emulator calls, signed as the carrier would sign."""
        public_url = None if self.public_url == self.url else self.public_url
        terms = {"auth_token": TOKEN, "public_url": public_url, "max_call_s": 30.0} | terms
        return await dial(f"{self.url}/twilio/voice", Caller(*steps), **terms)

    async def post(
        self, path: str, fields: Mapping[str, str] | None = None, token: str | None = TOKEN, **changes: str
    ) -> tuple[int, str]:
        """A form, signed with `token` unless that is None; status and body of the answer."""
        form = {**(form_of_call() if fields is None else fields), **changes}
        headers = (
            {"X-Twilio-Signature": signature(token, self.public_url + path, tuple(form.items()))} if token else {}
        )
        status, body = await self.request("POST", path, data=form, headers=headers)
        if "<Connect" in body and (connect_ := ElementTree.fromstring(body).find("Connect")) is not None:
            self._after[form["CallSid"]] = connect_.attrib["action"].removeprefix(self.public_url)
        return status, body

    async def after(self, call_sid: str = CALL_SID, **changes: str) -> tuple[int, str]:
        """Ask how a call goes on whose newest stream has ended."""
        return await self.post(self._after[call_sid], form_of_call(call_sid) | changes)

    async def request(self, method: str, path: str, **terms: Any) -> tuple[int, str]:
        async with aiohttp.ClientSession() as http, http.request(method, self.url + path, **terms) as response:
            return response.status, await response.text()

    async def token(self, call_sid: str = CALL_SID) -> str:
        """What the TwiML for a call says its stream has to bring."""
        status, twiml = await self.post("/twilio/voice", form_of_call(call_sid))
        parameter = ElementTree.fromstring(twiml).find("./Connect/Stream/Parameter")
        assert status == 200
        assert parameter is not None
        return parameter.attrib["value"]

    async def open_stream(
        self, token: str | None = TOKEN, path: str = "/twilio/media", **terms: Any
    ) -> "RawStream":
        """Open a media stream, signed with `token` unless that is None. Raises InvalidStatus when it is refused."""
        ws_url = "ws" + self.public_url.removeprefix("http") + path
        socket = await connect(
            f"ws{self.url.removeprefix('http')}{path}",
            additional_headers={"X-Twilio-Signature": signature(token, ws_url)} if token else {},
            compression=None,
            max_size=None,
            proxy=None,
            **terms,
        )
        return RawStream(socket)

    async def refused_stream(self, **terms: Any) -> int:
        """With which status a media stream is refused, opened as by `open_stream`."""
        try:
            stream = await self.open_stream(**terms)
        except InvalidStatus as refusal:
            return refusal.response.status_code
        stream.vanish()
        raise AssertionError("the stream was accepted")

    async def started_stream(self, call_sid: str = CALL_SID) -> "RawStream":
        """Open a media stream that belongs to a call, as far as its start message."""
        stream = await self.open_stream()
        await stream.connected()
        await stream.start(await self.token(call_sid), call_sid)
        return stream

    # ------------------------------------------------------------------------------ what came of it

    def log(self) -> CallLog:
        """The only call's log, from disk. Stop the service first: a log is written within a second."""
        (log,) = self.logs()
        return log

    def logs(self) -> list[CallLog]:
        return [read(folder) for folder in sorted(self.calls_dir.iterdir())] if self.calls_dir.exists() else []

    async def idle(self) -> None:
        """Wait until the embedded model has no session left."""
        assert self.model is not None, "only the embedded model tells"
        model = self.model
        await until(lambda: not model.sessions)


async def no_session_left(model: ModelServer, within_s: float = PATIENCE_S) -> None:
    """A service that has stopped has closed each of its sessions: none is left that somebody has to pay for."""
    with suppress(TimeoutError):
        await until(lambda: not model.sessions, within_s)
    assert not model.sessions, f"model sessions left: {[session.id for session in model.sessions]}"


StartService = Callable[..., Awaitable[Service]]
"""Starts a service on given terms (`Service.start`) and stops it at the test's end."""


class RawStream:
    """A carrier's end of a media stream that says what a test wants it to."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.sequence = 0

    async def send(self, message: str | bytes) -> None:
        await self.socket.send(message)

    async def event(self, event: str, **body: Any) -> None:
        self.sequence += 1
        fields = {"event": event, "sequenceNumber": str(self.sequence), "streamSid": STREAM_SID, event: body}
        await self.send(json.dumps(fields))

    async def connected(self) -> None:
        await self.send('{"event": "connected", "protocol": "Call", "version": "1.0.0"}')

    async def start(self, token: str | None, call_sid: str = CALL_SID, account_sid: str = ACCOUNT_SID) -> None:
        await self.event(
            "start",
            streamSid=STREAM_SID,
            accountSid=account_sid,
            callSid=call_sid,
            tracks=["inbound"],
            mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            customParameters={} if token is None else {"token": token},
        )

    async def media(self, chunk: int = 1, timestamp_ms: int = 20, audio: bytes = b"\xff" * 160) -> None:
        payload = b64encode(audio).decode()
        await self.event("media", track="inbound", chunk=str(chunk), timestamp=str(timestamp_ms), payload=payload)

    async def stop(self) -> None:
        await self.event("stop", accountSid=ACCOUNT_SID, callSid=CALL_SID)

    async def closed(self) -> int:
        """Read to the end; the code with which the service closed, 1006 when the connection just broke."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    await self.socket.recv()
        return self.socket.close_code or 1006

    def vanish(self) -> None:
        """Break the TCP connection without a close."""
        self.socket.transport.abort()


def form_of_call(call_sid: str = CALL_SID, **changes: str) -> dict[str, str]:
    """The fields of a voice webhook that matter here, one of them empty."""
    form = {
        "AccountSid": ACCOUNT_SID,
        "CallSid": call_sid,
        "CallStatus": "ringing",
        "Direction": "inbound",
        "From": "+15550100001",
        "FromCity": "",
        "To": "+15550100002",
    }
    return form | changes


# ---------------------------------------------------------------------------------- models that misbehave


@asynccontextmanager
async def scripted_model(
    script: Callable[[ServerConnection], Awaitable[None]], listener: socket.socket | None = None, **options: Any
) -> AsyncIterator[str]:
    """A model that does what the script says, then waits for the end; yields its URL."""

    async def converse(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await script(socket)
            await socket.wait_closed()

    listener = listener or listening_socket()
    async with serve_websockets(converse, sock=listener, compression=None, max_size=None, **options) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/realtime"


def listening_socket(receive_buffer: int | None = None) -> socket.socket:
    """A socket bound to a free port; `receive_buffer` is that of its connections, in bytes."""
    listener = socket.socket()
    if receive_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    listener.bind(("127.0.0.1", 0))
    return listener


async def confirm_session(socket: ServerConnection) -> None:
    """Greet as a service of the GA dialect does and confirm what is asked for."""
    session = {"type": "realtime", "object": "realtime.session", "id": "sess_1"}
    await socket.send(json.dumps({"type": "session.created", "event_id": "event_1", "session": session}))
    update = json.loads(await socket.recv())
    confirmed = session | update["session"]
    await socket.send(json.dumps({"type": "session.updated", "event_id": "event_2", "session": confirmed}))


# ---------------------------------------------------------------------------------- phonebot as a process

COMMAND = (sys.executable, "-c", "from phonebot.cli import main; main()")


def is_setting(variable: str) -> bool:
    return variable.startswith(("PHONEBOT_", "TWILIO_", "OPENAI_", "AZURE_"))


def environment(**settings: str) -> dict[str, str]:
    """That of a `COMMAND`: these settings and no others, and the package that is tested, wherever it is run."""
    inherited = {name: value for name, value in os.environ.items() if not is_setting(name)}
    return {**inherited, "PYTHONPATH": str(Path(phonebot.__file__).parent.parent), **settings}
