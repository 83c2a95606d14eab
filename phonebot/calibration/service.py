"""
The shell of a measuring call: a service with the doors of the real one, whose first call is measured.

Everything but the measuring is the service's own: signatures, tokens, TwiML (web/). So what may call it is what may
call the service: Twilio, `phonebot call`, the emulated carrier.
"""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from phonebot.agents.numbers import Numbers
from phonebot.bridge import StreamClosed
from phonebot.calibration.emulated import LONGEST_CALL_MS, Emulated
from phonebot.calibration.figures import CalibrationFailed, Figures
from phonebot.calibration.measurement import TITLES, Measurement
from phonebot.call.actions import Action, ClearPlayback, PlayAudio, SendMark
from phonebot.carrier.messages import Start, Stop, StreamReader, StreamWriter
from phonebot.errors import CarrierError
from phonebot.serving import AFTER_S, listen, running
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallFailed
from phonebot.web.admission import Admitted, Gate
from phonebot.web.live import LiveCalls
from phonebot.web.media import MediaEndpoint, MediaSocket
from phonebot.web.webhooks import Door, Webhooks

log = logging.getLogger(__name__)

LONGEST_S = LONGEST_CALL_MS / 1000

Progress = Callable[[int], None]
"""Is told the index in TITLES of what is being measured."""


class Calibrator:
    """
    Measures the first call that comes in at `app`; further ones are hung up.

    `figures` is done when the call is over, perhaps with CalibrationFailed. Make it inside the event loop.
    """

    def __init__(
        self, public_url: str, auth_tokens: Sequence[str], account_sid: str | None, repeats: int, progress: Progress
    ) -> None:
        self.figures: asyncio.Future[Figures] = asyncio.get_running_loop().create_future()
        self.live = LiveCalls()
        self._repeats, self._progress = repeats, progress
        self._begun = False
        door, gate = Door(public_url, auth_tokens, account_sid), Gate(secrets.token_urlsafe(32))
        webhooks = Webhooks(door, Numbers(), gate, self.live)
        media = MediaEndpoint(door, gate, self.live, self._hold)
        self.app = Starlette(
            routes=[
                Route("/twilio/voice", webhooks.voice, methods=["POST"]),
                Route("/twilio/after", webhooks.after, methods=["POST"]),
                Route("/twilio/status", webhooks.status, methods=["POST"]),
                WebSocketRoute("/twilio/media", media),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await self.live.finish()

    async def _hold(self, stream: MediaSocket, reader: StreamReader, start: Start, admitted: Admitted) -> None:
        if not self._begun:
            self._begun = True
            try:
                self.figures.set_result(await measure(stream, reader, start, self._repeats, self._progress))
            except CalibrationFailed as failure:
                self.figures.set_exception(failure)
        with suppress(StreamClosed):
            await stream.close(1000)


async def measure(
    stream: MediaSocket, reader: StreamReader, start: Start, repeats: int, progress: Progress
) -> Figures:
    """Hold the measuring call on a stream that has started. Raises CalibrationFailed."""
    measurement = Measurement(_now_ms(), repeats)
    try:
        async with asyncio.timeout(LONGEST_S):
            return await _converse(measurement, stream, reader, StreamWriter(start.stream_sid), progress)
    except StreamClosed:
        raise CalibrationFailed(
            f"the call ended too early, while this was being measured: {TITLES[measurement.stage]}; call again and "
            "stay on the line until it is hung up"
        ) from None
    except TimeoutError:
        raise CalibrationFailed(f"the call could not be measured within {LONGEST_S:g} s") from None


async def _converse(
    measurement: Measurement,
    stream: MediaSocket,
    reader: StreamReader,
    writer: StreamWriter,
    progress: Progress,
) -> Figures:
    receiving = asyncio.ensure_future(stream.receive())
    try:
        while measurement.figures is None:
            progress(measurement.stage)
            await asyncio.wait({receiving}, timeout=max(measurement.wakeup_ms - _now_ms(), 0) / 1000)
            now_ms = _now_ms()
            if receiving.done():
                actions = _receive(measurement, reader, receiving.result(), now_ms)
                receiving = asyncio.ensure_future(stream.receive())
            else:
                actions = measurement.tick(now_ms)
            for action in actions:
                await stream.send(_message(writer, action))
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
    return measurement.figures


def _receive(measurement: Measurement, reader: StreamReader, text: str | bytes, now_ms: float) -> list[Action]:
    try:
        message = reader.receive(text)
    except CarrierError as error:
        log.warning("a message of the carrier was refused: %s", error)
        return measurement.tick(now_ms)
    if isinstance(message, Stop):
        raise StreamClosed(1000)
    return measurement.receive(message, now_ms)


def _message(writer: StreamWriter, action: Action) -> str:
    match action:
        case PlayAudio(payload):
            return writer.media(payload)
        case SendMark(name):
            return writer.mark(name)
        case ClearPlayback():
            return writer.clear()
    raise AssertionError("a measurement only plays, marks and clears")


def _now_ms() -> float:
    # The loop's own clock may stand still for a whole turn of it.
    return time.monotonic() * 1000


async def calibrate_emulated(carrier: Emulated, repeats: int, progress: Progress) -> Figures:
    """Let the emulated carrier call. Raises CalibrationFailed."""
    listener = listen("127.0.0.1", 0)
    url, token = f"http://127.0.0.1:{listener.getsockname()[1]}", secrets.token_hex(16)
    calibrator = Calibrator(url, (token,), None, repeats, progress)
    async with running(calibrator.app, listener):
        record = await dial(
            f"{url}/twilio/voice",
            carrier.caller(),
            auth_token=token,
            network=carrier.network,
            oddities=carrier.oddities,
            max_call_s=LONGEST_S,
        )
    if not calibrator.figures.done():
        raise CalibrationFailed(str(CallFailed(record)))
    figures = calibrator.figures.result()
    if record.violations:
        raise CalibrationFailed(f"the carrier was sent what it does not take: {record.violations[0]}")
    return figures


async def calibrate_first_call(
    listener: socket.socket,
    public_url: str,
    auth_tokens: Sequence[str],
    account_sid: str | None,
    repeats: int,
    progress: Progress,
) -> Figures:
    """Wait for a call and measure it. Raises CalibrationFailed when it came to nothing."""
    calibrator = Calibrator(public_url, auth_tokens, account_sid, repeats, progress)
    async with running(calibrator.app, listener):
        await asyncio.wait({calibrator.figures})
        await calibrator.live.idle()
        await asyncio.sleep(AFTER_S)
    return calibrator.figures.result()
