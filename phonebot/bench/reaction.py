"""
How soon the service acts on an interruption or a guardrail, measured inside its own process.

    app = Reactions(create_app(...))    # in the process under test; nothing of it runs anywhere else

What counts is the time from the model's word that the caller speaks, or from its words that a guardrail stops it
for, as soon as that was read (`ModelConnection.listen` passes it on), until the server's transport has the clear
(`Stream.send_now`, or its ASGI `send`, returned). Unlike the same seen from outside it holds nothing of the
loopback and of the load. With it is noted how much CPU time the thread used for it: the rest is other processes'
and other threads'. Beside it stands how late the event loop is with a timer, which shows what keeps it from its
work.
"""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import NoReturn

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from phonebot.bench.scenario import TABOO
from phonebot.call.actions import Action
from phonebot.call.inputs import AnswerSent, Input
from phonebot.carrier.messages import Start
from phonebot.errors import ModelProtocolError
from phonebot.realtime.connection import ModelConnection
from phonebot.realtime.events import Event, SpeechStarted, SpokenTextDelta
from phonebot.web.streams import Stream

PATH = "/bench/reactions"
BEAT_MS = 10  # how often the loop is asked; its timers are good to a ms


class Took(msgspec.Struct, frozen=True, array_like=True):
    """How long a clear took, and how much CPU time of its thread that was; in ms."""

    all_ms: float
    cpu_ms: float


class Reacted(msgspec.Struct, frozen=True):
    """
    The clears of each call in their order, and how late each beat was, in ms.

    `answers_ms`: how long the first audio of each answer took to pass through, by call and in their order.
    """

    clears: tuple[tuple[Took, ...], ...]
    beats_late_ms: tuple[float, ...]
    answers_ms: tuple[tuple[float, ...], ...] = ()


class _AnswersOfCall:
    """A bridge's journal, which keeps what the service itself has measured of the call's answers."""

    def __init__(self) -> None:
        self.took_ms: list[float] = []

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if type(received) is AnswerSent:
            self.took_ms.append(received.took_us / 1000)


class Answers:
    """Those of all calls, in the order of their streams."""

    def __init__(self) -> None:
        self.calls: list[_AnswersOfCall] = []

    def watch(self, start: Start) -> _AnswersOfCall:
        self.calls.append(_AnswersOfCall())
        return self.calls[-1]


class _Call:
    """A call's clears so far, and when the word was read that waits for the next one; None: none does."""

    def __init__(self) -> None:
        self.read: _Moment | None = None
        self.clears: list[Took] = []

    def wrote(self, message: str) -> None:
        if self.read and message.startswith('{"event":"clear"'):
            self.clears.append(self.read.until_now())
            self.read = None


class _Moment:
    """Now: in the time that passes, and in the CPU time of this thread. Asking for it lets no other thread run."""

    def __init__(self) -> None:
        self._at_s, self._cpu_s = time.perf_counter(), time.thread_time()

    def until_now(self) -> Took:
        return Took((time.perf_counter() - self._at_s) * 1000, (time.thread_time() - self._cpu_s) * 1000)


_CALL: ContextVar[_Call] = ContextVar("call")


class Reactions:
    """The app, timed. Its record since it was last asked for is at PATH."""

    def __init__(self, app: ASGIApp, answers: Answers | None = None) -> None:
        self._app = app
        self._answers = answers or Answers()
        self._calls: list[_Call] = []
        self._beats_late_ms: list[float] = []
        self._due_s: float | None = None  # of the next beat
        self._beating: asyncio.TimerHandle | None = None
        _time_receiving()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._due_s is None:
            self._arm()
        if scope["type"] == "websocket":
            await self._app(scope, receive, self._timed(Stream.of(scope), send))
        elif scope["type"] == "http" and scope["path"] == PATH:
            await self._answer(send)
        else:
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                self.close()

    def close(self) -> None:
        """The loop is not asked any more."""
        if self._beating:
            self._beating.cancel()

    def _timed(self, stream: Stream | None, send: Send) -> Send:
        call = _Call()
        self._calls.append(call)
        _CALL.set(call)  # the tasks of this call inherit it
        if stream:
            send_now = stream.send_now

            def timed_now(text: str) -> bool:
                sent = send_now(text)
                if sent:
                    call.wrote(text)
                return sent

            stream.send_now = timed_now  # type: ignore[method-assign]

        async def timed(message: Message) -> None:
            await send(message)
            call.wrote(message.get("text", ""))

        return timed

    async def _answer(self, send: Send) -> None:
        record = Reacted(
            tuple(tuple(call.clears) for call in self._calls),
            tuple(self._beats_late_ms),
            tuple(tuple(call.took_ms) for call in self._answers.calls),
        )
        for answered in self._answers.calls:
            answered.took_ms.clear()
        for call in self._calls:
            call.clears.clear()
        self._beats_late_ms.clear()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": msgspec.json.encode(record)})

    def _arm(self) -> None:
        self._due_s = time.perf_counter() + BEAT_MS / 1000
        self._beating = asyncio.get_running_loop().call_later(BEAT_MS / 1000, self._beat)

    def _beat(self) -> None:
        assert self._due_s is not None, "a beat was armed"
        self._beats_late_ms.append(max(0.0, (time.perf_counter() - self._due_s) * 1000))
        self._arm()


def _is_cause(event: Event) -> bool:
    return type(event) is SpeechStarted or (type(event) is SpokenTextDelta and TABOO in event.delta)


def _time_receiving() -> None:
    """From now on each model connection of this process notes when it has read what a clear follows."""
    listen = ModelConnection.listen

    async def timed(
        connection: ModelConnection, heard: Callable[[Event], None], wrong: Callable[[ModelProtocolError], None]
    ) -> NoReturn:
        call = _CALL.get(None)

        def noted(event: Event) -> None:
            if call and _is_cause(event):
                call.read = _Moment()
            heard(event)

        await listen(connection, noted, wrong)

    ModelConnection.listen = timed  # type: ignore[method-assign, assignment]
