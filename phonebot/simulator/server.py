"""
The embedded Realtime server: sessions behind a WebSocket.

    async with serve(minds=EchoMind) as server:
        ...  # connect to server.url

It is a service of its own: it knows phonebot's audio and nothing else of it. Text frames only, no compression; each
connection has one reader, one ordered outbox, a timer and a task per job of the ear or the voice.
"""

import asyncio
import json
import logging
import math
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from random import Random, SystemRandom
from typing import Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from phonebot.simulator.config import Config
from phonebot.simulator.handshake import SUBPROTOCOL, Entry, NotAdmitted, admit
from phonebot.simulator.mind import (
    DeafEar,
    Detector,
    Ear,
    EchoMind,
    EnergyDetector,
    Mind,
    ToneVoice,
    VerbatimMind,
    Voice,
)
from phonebot.simulator.outputs import Close, Faults, Options, Output, Recognise, Send, Speak, Spoken
from phonebot.simulator.session import Session
from phonebot.simulator.sound import for_the_ear, from_the_voice

log = logging.getLogger(__name__)

# The library logs upgrade requests, and so keys, at DEBUG.
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.WARNING)
# Who connects and leaves, as one does who looks whether we are there, is worth no traceback.
_wire_log.addFilter(lambda record: record.msg != "opening handshake failed")

MAX_FRAME_BYTES = 21 * 1024 * 1024  # 15 MiB of audio in base64, and the JSON around it
MAX_OUTBOX_CHARACTERS = 64 * 1024 * 1024
MAX_SESSIONS = 1000
JOB_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0

INVALID_KEY_CLOSE = 3000
INVALID_REQUEST_CLOSE = 4000
RESTART_CLOSE = 1012


class ModelServer:
    """
    A running server. `url` takes clients of either dialect; `sessions` are those connected now.

    While `is_down` it answers each upgrade with 503.
    """

    def __init__(
        self,
        *,
        minds: Callable[[], Mind],
        detectors: Callable[[], Detector],
        ear: Ear,
        voice: Voice,
        key: str | None,
        options: Options,
        faults: Faults,
    ) -> None:
        self.url = ""
        self.is_down = False
        self._minds, self._detectors, self._ear, self._voice = minds, detectors, ear, voice
        self._key, self._options, self._faults = key, options, faults
        self._sessions: dict[Session, ServerConnection] = {}
        self._opened = 0  # sessions so far

    @property
    def sessions(self) -> Sequence[Session]:
        return tuple(self._sessions)

    def drop(self, session: Session) -> None:
        """Break a session's TCP connection, without a close."""
        self._sessions[session].transport.abort()

    def freeze(self, session: Session) -> None:
        """Read nothing more of a session: its client is told nothing, as by a network that is gone."""
        self._sessions[session].transport.pause_reading()

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Let an upgrade pass (None) or answer it with an HTTP error."""
        if self._faults.slow_upgrade_s:
            await asyncio.sleep(self._faults.slow_upgrade_s)
            if connection.transport.is_closing():
                raise asyncio.CancelledError("the client has left")  # the library would try to answer it
        try:
            if self.is_down or len(self._sessions) >= MAX_SESSIONS:
                raise NotAdmitted(503, "server_overloaded", "Too many sessions; try again later.")
            admit(request.path, request.headers, self._key, self._options.dialect)
        except NotAdmitted as problem:
            return _refusal(problem)
        return None

    async def converse(self, websocket: ServerConnection) -> None:
        """Hold one session, from the upgrade to the close."""
        request = websocket.request
        assert request is not None, "the upgrade has been received"
        entry = admit(request.path, request.headers, self._key, self._options.dialect)
        if await self._turn_away(websocket, entry) or await self._leaves_within(
            websocket, self._faults.slow_start_s
        ):
            return
        session = self._session(entry)
        self._sessions[session] = websocket
        log.info("%s opened: %s, model %s", session.id, session.dialect, session.config.model)
        try:
            connection = _Connection(websocket, session, self._ear, self._voice, self._faults.drop_after_s)
            await connection.run()
        finally:
            del self._sessions[session]
            log.info("%s closed: %s", session.id, websocket.close_code)

    async def _leaves_within(self, websocket: ServerConnection, wait_s: float) -> bool:
        """Wait so long before a session begins; whether the connection was closed meanwhile."""
        if not wait_s:
            return False
        try:
            async with asyncio.timeout(wait_s):
                await websocket.wait_closed()
        except TimeoutError:
            return False
        return True

    async def _turn_away(self, websocket: ServerConnection, entry: Entry) -> bool:
        """Close at once, with an error, a connection that real services refuse only after the upgrade."""
        if self._faults.refuse_key:
            code, close, problem = "invalid_api_key", INVALID_KEY_CLOSE, "Incorrect API key provided."
        elif self._faults.beta_disabled and entry.dialect == "beta":
            code, close = "beta_api_shape_disabled", INVALID_REQUEST_CLOSE
            problem = "The beta shape of this API is no longer available; leave the OpenAI-Beta header out."
        elif entry.kind is None:
            code, close, problem = "invalid_intent", INVALID_REQUEST_CLOSE, "The intent of the URL does not exist."
        else:
            return False
        error = {"type": "invalid_request_error", "code": code, "message": problem, "param": None, "event_id": None}
        try:
            await websocket.send(json.dumps({"type": "error", "event_id": "event_refused", "error": error}))
            await websocket.close(close, f"invalid_request_error.{code}")
        except ConnectionClosed:
            log.debug("a client that was turned away had left")
        return True

    def _session(self, entry: Entry) -> Session:
        options = self._options
        self._opened += 1
        # The seed is for tests that want the same sizes again; ids stay unique across sessions and servers.
        seed = os.urandom(16) if options.seed is None else f"{options.seed}/{self._opened}"
        return Session(
            entry.dialect,
            Config(
                model=entry.model or options.model,
                kind=entry.kind or "realtime",
                voice="marin" if entry.dialect == "ga" else "alloy",
            ),
            VerbatimMind(self._minds()),
            self._detectors(),
            expires_at_s=int(time.time()) + options.session_limit_s,
            expires_ms=_now_ms() + options.session_limit_s * 1000,
            model_given=entry.model is not None,
            options=options,
            faults=self._faults,
            ids=SystemRandom(),
            sizes=Random(seed),  # noqa: S311 - lengths of audio deltas are no secret
        )


class _Connection:
    """The shell of one session: performs what it asks for and tells it what happens."""

    def __init__(
        self,
        websocket: ServerConnection,
        session: Session,
        ear: Ear,
        voice: Voice,
        drop_after_s: float | None,
    ) -> None:
        self._websocket, self._session, self._ear, self._voice = websocket, session, ear, voice
        self._drop_after_s = drop_after_s
        self._outbox: deque[Send | Close] = deque()
        self._outbox_characters = 0
        self._outbox_filled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms = math.inf

    async def run(self) -> None:
        """Serve until either side has closed; no task is left behind."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start(self._write())
            drop = None
            if self._drop_after_s is not None:
                drop = loop.call_later(self._drop_after_s, self._websocket.transport.abort)
            self._perform(self._session.open())
            try:
                async for message in self._websocket:
                    self._perform(self._session.receive(message, _now_ms()))
            except ConnectionClosed:
                pass  # how it ended is logged with the close code
            finally:
                for handle in (drop, self._timer):
                    if handle is not None:
                        handle.cancel()
                for task in self._tasks:
                    task.cancel()

    def _start(self, job: Any) -> None:
        task = self._group.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _perform(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if isinstance(output, Recognise):
                self._start(self._recognise(output))
            elif isinstance(output, Speak):
                self._start(self._speak(output))
            else:
                self._put(output)
        self._set_timer()

    def _put(self, output: Send | Close) -> None:
        self._outbox.append(output)
        self._outbox_filled.set()
        if isinstance(output, Send):
            self._outbox_characters += len(output.text)
            if self._outbox_characters > MAX_OUTBOX_CHARACTERS:
                log.warning("%s dropped: the client does not read", self._session.id)
                self._websocket.transport.abort()

    async def _write(self) -> None:
        try:
            while True:
                await self._outbox_filled.wait()
                self._outbox_filled.clear()
                while self._outbox:
                    output = self._outbox.popleft()
                    if isinstance(output, Close):
                        await self._websocket.close(output.code, output.reason)
                        return
                    self._outbox_characters -= len(output.text)
                    await self._websocket.send(output.text)
        except ConnectionClosed:
            return  # the reader sees it too, and ends the session

    def _set_timer(self) -> None:
        due_ms = self._session.due_ms
        if due_ms == self._timer_due_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due_ms = due_ms
        if due_ms == math.inf:
            self._timer = None
        else:
            self._timer = asyncio.get_running_loop().call_at(due_ms / 1000, self._tick)

    def _tick(self) -> None:
        self._timer_due_ms = math.inf
        self._perform(self._session.tick(_now_ms()))

    async def _recognise(self, job: Recognise) -> None:
        result: str | Exception
        try:
            async with asyncio.timeout(JOB_TIMEOUT_S):
                pcm8k = await asyncio.to_thread(for_the_ear, job.audio, job.format)
                result = await self._ear.recognise(pcm8k)
        except Exception as problem:  # an ear is anybody's code
            log.exception("%s: the ear failed", self._session.id)
            result = problem
        self._perform(self._session.complete(job.job, result, _now_ms()))

    async def _speak(self, job: Speak) -> None:
        result: Spoken | Exception
        try:
            async with asyncio.timeout(JOB_TIMEOUT_S):
                speech = await self._voice.speak(job.text)
                audio = await asyncio.to_thread(from_the_voice, speech, job.format)
                result = Spoken(audio, speech.words)
        except Exception as problem:  # a voice is anybody's code
            log.exception("%s: the voice failed", self._session.id)
            result = problem
        self._perform(self._session.complete(job.job, result, _now_ms()))


@asynccontextmanager
async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    minds: Callable[[], Mind] = EchoMind,
    detectors: Callable[[], Detector] = EnergyDetector,
    ear: Ear | None = None,
    voice: Voice | None = None,
    key: str | None = None,
    options: Options | None = None,
    faults: Faults | None = None,
) -> AsyncIterator[ModelServer]:
    """
    Run a server while the block runs; port 0 takes a free one. Then close all sessions with 1012.

    `minds` and `detectors` make one for each session; `ear` and `voice` are shared and stay the caller's to close.
    `key` None lets everybody in. Raises OSError when the address cannot be used.
    """
    server = ModelServer(
        minds=minds,
        detectors=detectors,
        ear=ear or DeafEar(),
        voice=voice or ToneVoice(),
        key=key,
        options=options or Options(),
        faults=faults or Faults(),
    )
    async with serve_websockets(
        server.converse,
        host,
        port,
        process_request=server.admit,
        select_subprotocol=_select_subprotocol,
        compression=None,
        max_size=MAX_FRAME_BYTES,
        close_timeout=CLOSE_TIMEOUT_S,
        logger=_wire_log,
    ) as listener:
        bound_port = next(iter(listener.sockets)).getsockname()[1]
        named_host = f"[{host}]" if ":" in host else host
        server.url = f"ws://{named_host}:{bound_port}/v1/realtime"
        try:
            yield server
        finally:
            await _close_all(listener)


async def _close_all(listener: Server) -> None:
    listener.close(close_connections=False)
    closing = [connection.close(RESTART_CLOSE, "service restart") for connection in listener.connections]
    await asyncio.gather(*closing)


def _select_subprotocol(connection: ServerConnection, offered: Sequence[Any]) -> Any:
    """Never the one that carries the key."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _refusal(problem: NotAdmitted) -> Response:
    error = {"type": "invalid_request_error", "code": problem.code, "message": problem.message, "param": None}
    body = json.dumps({"error": error}).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    return Response(problem.status, HTTPStatus(problem.status).phrase, headers, body)


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000
