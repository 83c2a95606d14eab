"""
The carrier's side of the load: media streams, 50 frames a second each, at absolute times.

`simulator.carrier` knows what was heard, byte by byte; this one must carry hundreds of calls on one core and only
knows when the audio so far will have played; no task belongs to a call or a frame. It refuses what the carrier
refuses: a field too many or too few, a foreign stream sid, audio that is not base64 (Twilio, Media Streams, "Send
WebSocket messages to Twilio").
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from html import unescape
from uuid import uuid4

import aiohttp
import msgspec

from phonebot.bench.stamps import Tally
from phonebot.bench.wire import Receiver, Wire, connect
from phonebot.errors import PhonebotError

FRAME_MS = 20
FRAME_BYTES = 160
BYTES_PER_MS = 8  # G.711: 8000 samples a second, one byte each (ITU-T G.711)
FIRST_TIMESTAMP_MS = 100
OPEN_TIMEOUT_S = 15.0  # Twilio, Webhooks, connection overrides: the read timeout's default
DIALLED_APART_S = 0.02
BEAT_S = 0.001  # what is due is sent so often: the event loop's timers are no finer
MAX_UNSENT_BYTES = 64 * 1024  # a server that leaves more unread loses frames (Twilio, error 31930)
USER_AGENT = "Twilio.TmeWs/1.0"
ACCOUNT_SID = "AC" + "2" * 32
TO_NUMBER, FROM_NUMBER = "+15550100000", "+15550100001"

_STREAM_URL = re.compile(r'<Stream[^>]* url="([^"]+)"')
_PARAMETER = re.compile(r'<Parameter name="([^"]+)" value="([^"]*)"')


class _Strict(msgspec.Struct, tag_field="event", rename="camel", forbid_unknown_fields=True):
    stream_sid: str


class _MediaBody(msgspec.Struct, forbid_unknown_fields=True):
    payload: str


class _Media(_Strict, tag="media"):
    media: _MediaBody


class _MarkBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Mark(_Strict, tag="mark"):
    mark: _MarkBody


class _Clear(_Strict, tag="clear"):
    pass


_MESSAGE: msgspec.json.Decoder[_Media | _Mark | _Clear] = msgspec.json.Decoder(_Media | _Mark | _Clear)


class Stream(Receiver):
    """One call's media stream. Made by `dial`; `tick` it every 20 ms, `hang_up` at the end."""

    def __init__(
        self,
        call_sid: str,
        asked_ns: int,
        to_model: Tally,
        to_caller: Tally,
        faults: list[str],
        on_clear: Callable[[], None],
        on_audio: Callable[[], None],
    ) -> None:
        self._on_clear, self._on_audio = on_clear, on_audio
        self.start_after_ms = 0.0
        """From the request to the voice webhook to the start of the stream."""
        self._wire: Wire
        self._asked_ns = asked_ns  # when the voice webhook was asked
        self._first_audio_ms: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._faults = faults
        self._call_sid, self._stream_sid = call_sid, f"MZ{uuid4().hex}"
        self._to_model, self._to_caller = to_model, to_caller
        self._sequence = 0
        self._chunk = 0
        self._played_s = 0.0  # when all audio that has come will have been played
        self._marks: deque[tuple[float, str]] = deque()  # when the audio before it will have been played, name
        self._hung_up = False

    def opened(self, wire: Wire) -> None:
        self._wire = wire

    def start(self, parameters: dict[str, str]) -> None:
        """Say whose call this is. Audio may flow from here on."""
        self.start_after_ms = (time.monotonic_ns() - self._asked_ns) / 1e6
        self._write('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        body = {
            "streamSid": self._stream_sid,
            "accountSid": ACCOUNT_SID,
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        self._send("start", f'"start":{msgspec.json.encode(body).decode()}')

    def tick(self) -> None:
        """20 ms have passed: echo the marks that are due and send what the caller said."""
        if self._marks:
            now_s = time.monotonic()
            while self._marks and self._marks[0][0] <= now_s:
                self._echo(self._marks.popleft()[1])
        timestamp_ms = FIRST_TIMESTAMP_MS + self._chunk * FRAME_MS
        self._chunk += 1
        payload = self._to_model.send(FRAME_BYTES)
        self._send(
            "media",
            f'"media":{{"track":"inbound","chunk":"{self._chunk}","timestamp":"{timestamp_ms}",'
            f'"payload":"{payload}"}}',
        )

    async def first_audio_ms(self) -> float:
        """Wait for the first audio: how long it took to come, from the request to the voice webhook."""
        return await asyncio.shield(self._first_audio_ms)

    async def hang_up(self) -> None:
        """The caller hangs up: no tick after this."""
        self._hung_up = self._wire.is_open
        self._send("stop", f'"stop":{{"accountSid":"{ACCOUNT_SID}","callSid":"{self._call_sid}"}}')
        await self._wire.close()

    def receive(self, text: bytes) -> None:
        try:
            self._understand(text)
        except (msgspec.MsgspecError, ValueError) as error:
            self._faults.append(f"the carrier was sent {error}")

    def closed(self, reason: str) -> None:
        if not self._hung_up:
            self._faults.append(f"the server closed the stream: {reason}")

    def _send(self, event: str, body: str) -> None:
        self._sequence += 1
        self._write(
            f'{{"event":"{event}","sequenceNumber":"{self._sequence}",{body},"streamSid":"{self._stream_sid}"}}'
        )

    def _write(self, message: str) -> None:
        if self._wire.unsent_bytes > MAX_UNSENT_BYTES:
            self._faults.append("the server read too slowly: a message was lost")
        else:
            self._wire.send(message)

    def _echo(self, name: str) -> None:
        self._send("mark", f'"mark":{{"name":{msgspec.json.encode(name).decode()}}}')

    def _understand(self, text: bytes) -> None:
        message = _MESSAGE.decode(text)
        if message.stream_sid != self._stream_sid:
            raise ValueError(f"the stream sid {message.stream_sid!r}")
        match message:
            case _Media(media=body):
                self._to_caller.arrive(body.payload)
                self._on_audio()
                self._play(body.payload)
            case _Mark(mark=mark) if self._played_s <= time.monotonic():
                self._echo(mark.name)  # Twilio echoes a mark on an empty queue at once
            case _Mark(mark=mark):
                self._marks.append((self._played_s, mark.name))
            case _Clear():
                self._on_clear()
                self._played_s = 0.0
                while self._marks:
                    self._echo(self._marks.popleft()[1])

    def _play(self, payload: str) -> None:
        if not self._first_audio_ms.done():
            self._first_audio_ms.set_result((time.monotonic_ns() - self._asked_ns) / 1e6)
        size_bytes = len(payload) * 3 // 4 - payload[-2:].count("=")
        self._played_s = max(self._played_s, time.monotonic()) + size_bytes / BYTES_PER_MS / 1000


class Carrier:
    """
    Calls to the server at `url`, http on loopback; `async with` it.

    The frames of `slots` calls are spread evenly over the 20 ms; `late_ms` tells how late each one was sent.
    `faults` says what a carrier would have complained of.
    """

    def __init__(self, url: str, slots: int, to_model: Tally, to_caller: Tally) -> None:
        self.late_ms: list[float] = []
        self.faults: list[str] = []
        self._streams: list[Stream] = []
        self._url = url
        self._slots = slots
        self._to_model, self._to_caller = to_model, to_caller
        self._http: aiohttp.ClientSession
        self._pacer: asyncio.Task[None]

    async def __aenter__(self) -> "Carrier":
        self._http = aiohttp.ClientSession(
            # A request must not meet a connection that the server is about to close as idle.
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=OPEN_TIMEOUT_S),
        )
        self._pacer = asyncio.create_task(self._pace())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pacer.cancel()
        await asyncio.gather(*(stream.hang_up() for stream in self._streams))
        await self._http.close()
        with suppress(asyncio.CancelledError):
            await self._pacer

    async def dial(
        self,
        from_number: str = FROM_NUMBER,
        on_clear: Callable[[], None] = lambda: None,
        on_audio: Callable[[], None] = lambda: None,
    ) -> Stream:
        """
        Make a call: ask the voice webhook, open the stream. `on_clear` is called when a clear arrives, `on_audio`
        with each piece of audio.

        Raises PhonebotError when the server does not take the call.
        """
        call_sid = f"CA{uuid4().hex}"
        asked_ns = time.monotonic_ns()
        stream = Stream(call_sid, asked_ns, self._to_model, self._to_caller, self.faults, on_clear, on_audio)
        try:
            url, parameters = await self._ask_webhook(call_sid, from_number)
            await connect(url, stream, USER_AGENT, OPEN_TIMEOUT_S)
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            raise PhonebotError(
                f"the server under test does not take calls: {error or type(error).__name__}"
            ) from error
        self._streams.append(stream)
        stream.start(parameters)
        return stream

    async def hang_up(self, stream: Stream) -> None:
        self._streams.remove(stream)
        await stream.hang_up()

    async def dial_until(self, calls: int) -> None:
        """Make calls until there are so many, not more than there are slots, and not all in one moment."""
        while len(self._streams) < calls:
            await self.dial()
            await asyncio.sleep(DIALLED_APART_S)

    async def _ask_webhook(self, call_sid: str, from_number: str) -> tuple[str, dict[str, str]]:
        form = {
            "CallSid": call_sid,
            "AccountSid": ACCOUNT_SID,
            "From": from_number,
            "To": TO_NUMBER,
            "CallStatus": "ringing",
            "Direction": "inbound",
            "ApiVersion": "2010-04-01",
        }
        async with self._http.post(f"{self._url}/twilio/voice", data=form) as answer:
            document = await answer.text()
        url = _STREAM_URL.search(document)
        if answer.status != 200 or not url:
            raise PhonebotError(f"the voice webhook answered {answer.status} without a Stream")
        parameters = {unescape(name): unescape(value) for name, value in _PARAMETER.findall(document)}
        return unescape(url[1]), parameters

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        begin_s, apart_s = loop.time(), FRAME_MS / 1000 / self._slots
        sent = 0  # frames, also those of slots without a call
        while True:
            now_s = loop.time()
            # What comes from the server is read in between, however late the frames are.
            for place in range(sent, min(int((now_s - begin_s) / apart_s) + 1, sent + self._slots)):
                slot = place % self._slots
                if slot < len(self._streams):
                    self.late_ms.append((now_s - begin_s - place * apart_s) * 1000)
                    self._streams[slot].tick()
                sent += 1
            await asyncio.sleep(BEAT_S)
