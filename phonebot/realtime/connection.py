"""
The WebSocket to a model: opened, checked, configured, then events in and commands out.

`connect` returns once the service has confirmed the session. From there a `ModelConnection` neither retries nor
interprets: a socket that ends raises, and whoever owns the call decides what then. There is no resume: a new
connection is a new, empty session.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET, UnsetType, structs

from phonebot.errors import ModelError, ModelProtocolError, ModelRefused, ModelUnreachable
from phonebot.realtime import wire
from phonebot.realtime.beta import BETA
from phonebot.realtime.codec import Codec, dumps
from phonebot.realtime.events import (
    AppendAudio,
    AudioFormat,
    Command,
    Dialect,
    ErrorDetail,
    ErrorEvent,
    Event,
    Response,
    ResponseDone,
    Session,
    SessionCreated,
    SessionUpdated,
    TranscriptionFailed,
    UpdateSession,
)
from phonebot.realtime.ga import GA
from phonebot.realtime.line import Line, open_line
from phonebot.realtime.providers import Endpoint
from phonebot.realtime.severity import severity

TIMEOUT_S = 10.0
UPDATED_TIMEOUT_S = 5.0  # a service confirms an update at once, or has ignored it
MAX_LEFT_OUT = 3  # an older service may lack a few parameters; one that lacks more is something else

CODECS: dict[Dialect, Codec] = {"ga": GA, "beta": BETA}

_UPDATE_ID = "session-start"
# Parameters that only one dialect has: a service that does not know them speaks the other one.
_TELLTALE = frozenset(
    {"session.type", "session.audio", "session.output_modalities"}
    | {"session.modalities", "session.input_audio_format", "session.output_audio_format"}
)

_log = logging.getLogger(__name__)


class EarlyLine:
    """
    A socket that is being opened though it is not known yet how its session is to be configured.

    Give it to `connect`, once, and `close` it in any case: what nobody took is closed.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float = TIMEOUT_S) -> None:
        self._opening = asyncio.create_task(open_line(endpoint, timeout_s), name="open a line early")
        self._taken = False

    async def take(self) -> Line:
        """The line, once it is open. Raises as `open_line`."""
        try:
            line = await self._opening
        except asyncio.CancelledError:
            await self.close()  # it may have opened in the same turn of the loop
            raise
        self._taken = True
        return line

    async def close(self) -> None:
        if self._taken:
            return
        self._opening.cancel()
        (result,) = await asyncio.gather(self._opening, return_exceptions=True)
        if isinstance(result, Line):
            result.abort()


async def connect(
    endpoint: Endpoint, wanted: Session, *, timeout_s: float = TIMEOUT_S, early: EarlyLine | None = None
) -> "ModelConnection":
    """
    Open a session and configure it as wanted, all within `timeout_s`. `early`: its socket is being opened already.

    A parameter that the service does not know is left out, up to three of them, since one unknown key discards the
    whole update. Raises ModelRefused when asking again is no use (key, model, dialect, configuration),
    ModelUnreachable when it may be, ModelProtocolError when the service confirms something that cannot be used.
    Whatever it raises, nothing stays open.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    line = await (early.take() if early else open_line(endpoint, timeout_s))
    try:
        async with _within(deadline, line, "session.created"):
            codec, created = await _greeting(line)
        async with _within(min(deadline, _now() + UPDATED_TIMEOUT_S), line, "session.updated"):
            updated, left_out = await _configure(line, codec, wanted)
        return _connection(line, codec, wanted, _completed(updated, created), left_out)
    except BaseException:
        line.abort()
        raise


class ModelConnection:
    """
    A session with a model, ready for audio. Made by `connect`; close it when done.

    One task receives, any may send. `session` is what the service confirmed; `input_format` and `output_format`
    are what it really uses, which need not be what was wanted. `left_out` names the parameters that the service
    does not know: later updates leave them out too. `replaceable`: another service may take its place if this one
    refuses to go on, which `was_refused` tells.
    """

    def __init__(
        self,
        line: Line,
        codec: Codec,
        session: Session,
        formats: tuple[AudioFormat, AudioFormat],
        left_out: tuple[str, ...],
    ) -> None:
        self._line = line
        self._codec = codec
        self.session = session
        self.input_format, self.output_format = formats
        self.left_out = left_out
        self.replaceable = False
        self.was_refused = False

    @property
    def dialect(self) -> Dialect:
        """The dialect that is spoken, whatever the endpoint left open."""
        return self._codec.dialect

    @property
    def endpoint(self) -> Endpoint:
        return self._line.endpoint

    async def receive(self) -> Event:
        """
        The next event. Waits as long as the service has nothing to say; pings find out when it is gone.

        The words of an error come as one line of MAX_QUOTE characters at most, without our key, which some services
        repeat.

        Raises ModelProtocolError for a malformed message, after which receiving goes on; ModelUnreachable or
        ModelRefused, with the close code's meaning, when the socket has ended. What is `replaceable` does not raise
        ModelRefused, and an error after which no session will be granted (key, quota) is as if it had ended.
        """
        try:
            text = await self._line.read()
        except ModelRefused as refusal:
            raise self._not_granted(refusal) from None
        return self._event(text)

    async def listen(self, heard: Callable[[Event], None], wrong: Callable[[ModelProtocolError], None]) -> NoReturn:
        """
        Each event goes to `heard` and each malformed message to `wrong`, as soon as it has arrived.

        Raises what `receive` raises when the session has ended, and what they raise.
        """

        def take(text: str) -> None:
            try:
                event = self._event(text)
            except ModelProtocolError as error:
                wrong(error)
            else:
                heard(event)

        try:
            await self._line.listen(take, wrong)
        except ModelRefused as refusal:
            raise self._not_granted(refusal) from None

    def _not_granted(self, refusal: ModelRefused) -> ModelError:
        self.was_refused = True
        return ModelUnreachable(refusal.problem, refusal.code) if self.replaceable else refusal

    def _event(self, text: str) -> Event:
        event = self._codec.decode(text)
        _log.debug("< %s", type(event).__name__)
        match event:
            case ErrorEvent():
                event = structs.replace(event, error=self._quoted(event.error))
                if severity(event.error) in ("reconnect", "fatal"):
                    self._line.note(event.error)
            case TranscriptionFailed():
                event = structs.replace(event, error=self._quoted(event.error))
            case ResponseDone(Response(error=ErrorDetail() as error)):
                event = structs.replace(event, response=structs.replace(event.response, error=self._quoted(error)))
        if self.replaceable and (final := _final(event)):
            self.was_refused = True
            said = final.message or final.type
            raise ModelUnreachable(f"{self.endpoint.name} does not go on: {said}", final.code)
        return event

    def _quoted(self, error: ErrorDetail) -> ErrorDetail:
        return structs.replace(error, message=self._line.quoted(error.message))

    async def send(self, command: Command) -> None:
        """
        Send a command. Raises ModelUnreachable or ModelRefused when the socket has ended or takes no more.

        Commands of several tasks go out in the order of the calls.
        """
        _log.debug("> %s", type(command).__name__)
        text = self._codec.encode(command)
        if isinstance(command, UpdateSession):
            for parameter in self.left_out:
                text = without(text, parameter) or text
        await self._line.write(text)

    def send_now(self, command: AppendAudio) -> bool:
        """Send audio without waiting. False, and nothing is sent, when that cannot be: then use `send`."""
        return self._line.write_now(self._codec.encode(command))

    async def close(self) -> None:
        """End the session. Takes two seconds at most, may be called again, raises nothing."""
        await self._line.close()


def _final(event: Event) -> ErrorDetail | None:
    """The error in an event after which no session will be granted."""
    match event:
        case ErrorEvent(error) | ResponseDone(Response(error=ErrorDetail() as error)) if severity(error) == "fatal":
            return error
    return None


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def _within(deadline: float, line: Line, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise ModelUnreachable(f"{line.endpoint.name} sent no {what} in time") from None


async def _greeting(line: Line) -> tuple[Codec, Session]:
    """Wait for session.created and see which dialect it is in."""
    while True:
        text = await line.read()
        match wire.decode(text):
            case SessionCreated(session):
                return _codec(line.endpoint, wire.dialect_of(text)), session
            case ErrorEvent(error):
                if severity(error) == "fatal":
                    raise line.refusal("a session", error)
                line.note(error)


def _codec(endpoint: Endpoint, shown: Dialect | None) -> Codec:
    """The codec to use. A session that shows no dialect at all is taken to be of the current one."""
    if endpoint.dialect == "auto":
        return CODECS[shown or "ga"]
    if shown not in (None, endpoint.dialect):
        speaks = f"{endpoint.name} speaks the {shown} dialect and not {endpoint.dialect}"
        raise ModelRefused(f"{speaks}: set the dialect to {shown} or auto")
    return CODECS[endpoint.dialect]


async def _configure(line: Line, codec: Codec, wanted: Session) -> tuple[Session, tuple[str, ...]]:
    """Update the session; the confirmed one and the parameters that had to be left out."""
    text = codec.encode(UpdateSession(wanted, event_id=_UPDATE_ID))
    left_out: list[str] = []
    while True:
        await line.write(text)
        answer = await _answer(line, codec)
        if isinstance(answer, Session):
            return answer, tuple(left_out)
        parameter = answer.param or ""
        shorter = without(text, parameter) if answer.code == "unknown_parameter" else None
        if shorter is None or parameter in _TELLTALE or len(left_out) == MAX_LEFT_OUT:
            raise line.refusal(_what_was_refused(codec, answer), answer)
        _log.warning("%s does not know %s: left out", line.endpoint.name, parameter)
        left_out.append(parameter)
        text = shorter


async def _answer(line: Line, codec: Codec) -> Session | ErrorDetail:
    """What the service says to our update: one of the two comes, and nothing else of ours is under way."""
    while True:
        match codec.decode(await line.read()):
            case SessionUpdated(session):
                return session
            case ErrorEvent(error) if error.event_id in (None, _UPDATE_ID):
                return error


def _what_was_refused(codec: Codec, error: ErrorDetail) -> str:
    if error.param in _TELLTALE and error.code in ("unknown_parameter", "missing_required_parameter"):
        return f"the session, and seems to speak another dialect than {codec.dialect}"
    return "the session"


def without(text: str, parameter: str) -> str | None:
    """The command without the parameter that a dotted path names; None when it has no such parameter."""
    body = msgspec.json.decode(text, type=dict[str, Any])
    inner: Any = body
    *path, last = parameter.split(".")
    for name in path:
        inner = inner.get(name) if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or last not in inner:
        return None
    del inner[last]
    return dumps(body)


def _completed(updated: Session, created: Session) -> Session:
    """The confirmed session with what some services say only once."""
    once = {name: getattr(created, name) for name in ("id", "model", "expires_at_s")}
    return structs.replace(updated, **{n: value for n, value in once.items() if getattr(updated, n) is UNSET})


def _connection(
    line: Line, codec: Codec, wanted: Session, session: Session, left_out: tuple[str, ...]
) -> ModelConnection:
    name = line.endpoint.name
    if wanted.modality == "text" and wanted.input_format is UNSET and session.input_format is UNSET:
        session = structs.replace(session, input_format="pcm24k")  # it will never hear, either
    input_ = _format(name, "input", session.input_format, wanted.input_format)
    if session.kind == "transcription" or session.modality == "text":
        # It will never speak, and need not say in which format.
        output = input_ if session.output_format is UNSET else session.output_format
    else:
        output = _format(name, "output", session.output_format, wanted.output_format)
    return ModelConnection(line, codec, session, (input_, output), left_out)


def _format(
    name: str, direction: str, confirmed: AudioFormat | UnsetType, wanted: AudioFormat | UnsetType
) -> AudioFormat:
    if confirmed is UNSET:
        raise ModelProtocolError(f"session.updated: {name} confirmed no {direction} format that phonebot speaks")
    if wanted not in (UNSET, confirmed):
        _log.warning("%s uses %s for %s audio where %s was wanted", name, confirmed, direction, wanted)
    return confirmed
