"""
The carrier's end of one media stream, which knows to the frame what the caller heard.

A state machine without I/O, written from Twilio's documents alone (Media Streams overview, WebSocket messages,
TwiML Stream) and from captures where these are silent. It shares no code with the service that it measures: it
reads and writes plain JSON and checks the exact fields, so that a wire error cannot hide at both ends.

    server's media -> queue -> frame in flight -> the caller's ear

Each tick, 20 ms apart on the carrier's clock: the frame in flight has ended; marks whose audio has ended are
echoed; the caller's frame goes to the server; the next 160 bytes leave the queue. `clear` empties the queue and
echoes all marks in it; only the frame in flight still reaches the caller. A mark on an empty queue comes back at
once.

Times are ms on the stream's clock, whose zero is a little before the first frame (`Oddities.first_timestamp_ms`).
The driver keeps them from running backwards; `StreamClock` turns real time into them.
"""

import binascii
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from random import Random
from typing import Any, Literal

import msgspec

FRAME_MS = 20
FRAME_BYTES = 160
BYTES_PER_MS = 8  # G.711: 8000 samples a second, one byte each (ITU-T G.711)
SILENCE = b"\xff" * FRAME_BYTES  # mu-law zero

UNDECODABLE = 31950  # Twilio, Error and Warning Dictionary: message that cannot be decoded
INVALID = 31951  # the same: invalid message

KEYS = "0123456789*#ABCD"
KEPT_VIOLATIONS = 100

# Twilio, Media Streams, "Send WebSocket messages to Twilio": exactly these fields, no others.
_FIELDS = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}
_FILE_HEADERS = (b"RIFF", b".snd")


@dataclass(frozen=True, slots=True)
class Oddities:
    """
    How this carrier departs from the plain one; the defaults are the plain one.

    What Twilio leaves open (`short_frame`, a start buffer) and what goes wrong on bad days. Probabilities: 0 to 1.
    """

    first_timestamp_ms: int = 100  # captures begin at 60 to 180
    timestamp_jitter_ms: int = 0  # each timestamp is off by up to this much; they never run backwards
    drift_ppm: float = 0.0  # the carrier's clock runs fast by this much (`StreamClock`)
    short_frame: Literal["pad", "hold"] = "pad"  # less than 160 bytes left: play them with silence, or wait
    start_buffer_ms: int = 0  # audio after an empty queue begins that much later
    queue_limit_ms: int = 600_000  # a media message that would exceed it is dropped whole
    silence_suppressed: bool = False  # no media while the caller is silent
    marks_lost: float = 0.0
    marks_doubled: float = 0.0
    marks_delay_ms: int = 0
    marks_lag_ms: int = 0  # the echo of a mark behind audio comes that late, after a clear at once
    marks_burst_ms: int = 0  # echoes leave together, when the clock reaches a multiple of this
    clear_echoes: bool = True  # False: marks dropped by a clear are never echoed
    number_fields: Literal["strings", "numbers"] = "strings"
    custom_parameters: bool = True  # False: `start` lacks customParameters
    unknown_news: bool = False  # an unknown event after start, and an unknown field in each message
    strict: bool = False  # a violation makes the carrier close the socket (`Carrier.gives_up`)


@dataclass(frozen=True, slots=True)
class Violation:
    """
    Something that the documents rule out.

    `code` is the one Twilio would report, None where it would not notice; `at_ms` on the reporter's clock.
    """

    at_ms: float
    code: int | None
    reason: str

    def __str__(self) -> str:
        return self.reason if self.code is None else f"{self.code}: {self.reason}"


@dataclass(slots=True)
class Piece:
    """
    One media message of the server and what became of it.

    `heard_bytes` were played from `began_ms` to `ended_ms` (None: not a byte was), perhaps with gaps in between.
    """

    index: int  # counts the media messages that were accepted or dropped for want of room, from 0
    arrived_ms: float
    size_bytes: int
    heard_bytes: int = 0
    began_ms: float | None = None
    ended_ms: float | None = None


@dataclass(frozen=True, slots=True)
class PlayedFrame:
    """Audio that reached the caller from `at_ms` on: 160 bytes, or fewer with silence after them."""

    at_ms: float
    audio: bytes


@dataclass(frozen=True, slots=True)
class Clear:
    """A `clear` message: `dropped_bytes` will never be heard; `marks` had to be answered without it."""

    at_ms: float
    dropped_bytes: int
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StreamClock:
    """The carrier's clock in terms of a local one. Seconds of the local clock in and out, ms of the stream's."""

    zero_s: float
    drift_ppm: float = 0.0

    @classmethod
    def starting(cls, now_s: float, oddities: Oddities) -> "StreamClock":
        """The clock of a stream that starts now: its first frame is due 20 ms later."""
        clock = cls(0.0, oddities.drift_ppm)
        return replace(clock, zero_s=now_s - clock.local_s(oddities.first_timestamp_ms - FRAME_MS))

    def stream_ms(self, local_s: float) -> float:
        return (local_s - self.zero_s) * 1000 * (1 + self.drift_ppm / 1e6)

    def local_s(self, stream_ms: float) -> float:
        return self.zero_s + stream_ms / 1000 / (1 + self.drift_ppm / 1e6)


class Carrier:
    """
    One bidirectional stream: `start()` once, then `tick()` every 20 ms and `receive()` as messages come, `stop()`.

    Each returns the messages to send, in order. What was heard is in `frames`, `pieces` and `clears`; what the
    server did wrong in `violations` (the first 100; `violation_count` counts all).
    """

    def __init__(self, oddities: Oddities | None = None, rng: Random | None = None) -> None:
        self.oddities = oddities or Oddities()
        self.frames: list[PlayedFrame] = []
        self.pieces: list[Piece] = []
        self.clears: list[Clear] = []
        self.violations: list[Violation] = []
        self.violation_count = 0
        self.dropped_for_room = 0  # media messages beyond the queue's limit
        self.most_buffered_bytes = 0  # the longest that the queue ever was
        self._rng = rng or Random(0)  # noqa: S311 - jitter, no secret
        self._stream_sid: str | None = None  # None: not started
        self._account_sid = self._call_sid = ""
        self._stopped = False
        self._sequence = self._chunk = 0  # the last ones used
        self._timestamp_ms = 0  # the last one sent
        self._queue = bytearray()
        self._unplayed: deque[Piece] = deque()  # the pieces whose bytes are in the queue
        self._accepted_bytes = 0  # played, in flight and in the queue; a clear takes the queue off again
        self._played_bytes = 0  # those of ended frames
        self._in_flight_bytes = 0
        self._hearing = SILENCE
        self._running = False  # audio has come since the queue last ran dry
        self._begins_ms = 0.0  # when the start buffer lets the queue go
        self._marks: deque[tuple[int, str]] = deque()  # end of the audio before it, name
        self._echoes: deque[tuple[float, str]] = deque()  # when an echo leaves, name

    @property
    def hearing(self) -> bytes:
        """The 160 bytes that the caller hears from the last tick to the next one."""
        return self._hearing

    @property
    def buffered_bytes(self) -> int:
        """What waits in the queue, the frame in flight not included."""
        return len(self._queue)

    @property
    def gives_up(self) -> bool:
        """A strict carrier has seen a violation: close the socket."""
        return self.oddities.strict and self.violation_count > 0

    def heard_bytes(self) -> int:
        """Bytes of the server's audio that reached the caller, the frame in flight included."""
        return self._played_bytes + self._in_flight_bytes

    def start(
        self, *, stream_sid: str, account_sid: str, call_sid: str, parameters: Mapping[str, str] | None = None
    ) -> list[str]:
        """Open the stream: `connected` and `start`. The first tick is due at `Oddities.first_timestamp_ms`."""
        assert self._stream_sid is None, "a stream starts once"
        self._stream_sid, self._account_sid, self._call_sid = stream_sid, account_sid, call_sid
        body: dict[str, Any] = {
            "streamSid": stream_sid,
            "accountSid": account_sid,
            "callSid": call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }
        if self.oddities.custom_parameters:
            body["customParameters"] = dict(parameters or {})
        messages = [self._json({"event": "connected", "protocol": "Call", "version": "1.0.0"})]
        messages.append(self._message("start", body))
        if self.oddities.unknown_news:
            messages.append(self._message("weather", {"outlook": "fair"}))
        return messages

    def tick(self, now_ms: float, caller_frame: bytes) -> list[str]:
        """
        A frame boundary: `caller_frame` is what the caller said in the 20 ms that end now.

        Afterwards `hearing` is what he hears in the next 20 ms.
        """
        if len(caller_frame) != FRAME_BYTES:
            raise ValueError(f"a frame has {FRAME_BYTES} bytes of mu-law, this one {len(caller_frame)}")
        if self._stream_sid is None or self._stopped:
            return []
        self._played_bytes += self._in_flight_bytes
        self._in_flight_bytes = 0
        while self._marks and self._marks[0][0] <= self._played_bytes:
            self._echo(self._marks.popleft()[1], now_ms, self.oddities.marks_lag_ms)
        messages = self._leaving_echoes(now_ms)
        if not (self.oddities.silence_suppressed and not caller_frame.strip(b"\xff\x7f")):
            messages.append(self._media(now_ms, caller_frame))
        self._hearing = self._take_frame(now_ms)
        return messages

    def receive(self, message: str | bytes, now_ms: float) -> list[str]:
        """A WebSocket message of the server: text as str, binary as bytes. A wrong one is noted and ignored."""
        if self._stopped:
            return []
        if isinstance(message, bytes):
            self._violation(now_ms, UNDECODABLE, "a binary message: only text is allowed")
            return []
        try:
            fields = json.loads(message)
        except (ValueError, RecursionError):
            self._violation(now_ms, INVALID, f"not JSON: {_short(message)}")
            return []
        if (reason := self._fault(fields)) is not None:
            self._violation(now_ms, INVALID, reason)
            return []
        match fields["event"]:
            case "media":
                self._receive_media(fields["media"]["payload"], now_ms)
            case "mark":
                self._receive_mark(fields["mark"]["name"], now_ms)
            case "clear":
                self._receive_clear(now_ms)
        return self._leaving_echoes(now_ms)

    def dtmf(self, digit: str) -> list[str]:
        """The caller pressed a key."""
        if len(digit) != 1 or digit not in KEYS:
            raise ValueError(f"{digit!r} is no key: one of {KEYS}")
        if self._stream_sid is None or self._stopped:
            return []
        return [self._message("dtmf", {"track": "inbound_track", "digit": digit})]

    def stop(self) -> list[str]:
        """End the stream; nothing is sent or taken after it. Audio in the queue is never heard."""
        if self._stream_sid is None or self._stopped:
            return []
        self._stopped = True
        self._hearing = SILENCE
        return [self._message("stop", {"accountSid": self._account_sid, "callSid": self._call_sid})]

    # ------------------------------------------------------------------ what the server sends

    def _fault(self, fields: Any) -> str | None:
        """What is wrong with a message, None when nothing is."""
        if not isinstance(fields, dict):
            return "not a JSON object"
        event = fields.get("event")
        if not isinstance(event, str) or event not in _FIELDS:
            return f"unknown event {_short(event)}: it must be media, mark or clear"
        if self._stream_sid is None:
            return f"{event} before start was sent"
        if fields.keys() != _FIELDS[event]:
            return f"{event}: {_difference(set(fields), _FIELDS[event])}"
        if fields["streamSid"] != self._stream_sid:
            return f"{event}: streamSid {_short(fields['streamSid'])} is not this stream"
        if event == "media":
            return _text_fault("media", fields["media"], "payload") or _payload_fault(fields["media"]["payload"])
        if event == "mark":
            return _text_fault("mark", fields["mark"], "name")
        return None

    def _receive_media(self, payload: str, now_ms: float) -> None:
        audio = binascii.a2b_base64(payload)
        if audio.startswith(_FILE_HEADERS):
            self._violation(now_ms, None, "media: the payload begins with a file header, which is heard as noise")
        piece = Piece(len(self.pieces), now_ms, len(audio))
        self.pieces.append(piece)
        if len(self._queue) + len(audio) > self.oddities.queue_limit_ms * BYTES_PER_MS:
            self.dropped_for_room += 1
            return
        if not self._running:
            self._running = True
            self._begins_ms = now_ms + self.oddities.start_buffer_ms
        self._queue += audio
        self._unplayed.append(piece)
        self._accepted_bytes += len(audio)
        self.most_buffered_bytes = max(self.most_buffered_bytes, len(self._queue))

    def _receive_mark(self, name: str, now_ms: float) -> None:
        if self._accepted_bytes == self._played_bytes:
            self._echo(name, now_ms)
        else:
            self._marks.append((self._accepted_bytes, name))

    def _receive_clear(self, now_ms: float) -> None:
        names = tuple(name for _, name in self._marks)
        self.clears.append(Clear(now_ms, len(self._queue), names))
        self._queue.clear()
        self._unplayed.clear()
        self._marks.clear()
        self._running = False
        self._accepted_bytes = self._played_bytes + self._in_flight_bytes
        leaves_ms = self._leaves_ms(now_ms)
        self._echoes = deque((min(due_ms, leaves_ms), name) for due_ms, name in self._echoes)
        if self.oddities.clear_echoes:
            for name in names:
                self._echo(name, now_ms)

    def _violation(self, now_ms: float, code: int | None, reason: str) -> None:
        self.violation_count += 1
        if len(self.violations) < KEPT_VIOLATIONS:
            self.violations.append(Violation(now_ms, code, reason))

    # ------------------------------------------------------------------ what the caller hears

    def _take_frame(self, now_ms: float) -> bytes:
        """Put the next frame in flight; return it as heard, padded with silence."""
        if now_ms < self._begins_ms:
            return SILENCE
        size = min(FRAME_BYTES, len(self._queue))
        if size < FRAME_BYTES and self.oddities.short_frame == "hold":
            size = 0
        if not size:
            self._running = bool(self._queue)
            return SILENCE
        audio = bytes(self._queue[:size])
        del self._queue[:size]
        self._in_flight_bytes = size
        self.frames.append(PlayedFrame(now_ms, audio))
        self._credit(size, now_ms)
        return audio.ljust(FRAME_BYTES, b"\xff")

    def _credit(self, size: int, at_ms: float) -> None:
        """Share a frame out among the pieces it was made of."""
        while size:
            piece = self._unplayed[0]
            share = min(size, piece.size_bytes - piece.heard_bytes)
            if piece.began_ms is None:
                piece.began_ms = at_ms
            at_ms += share / BYTES_PER_MS
            size -= share
            piece.heard_bytes += share
            piece.ended_ms = at_ms
            if piece.heard_bytes == piece.size_bytes:
                self._unplayed.popleft()

    # ------------------------------------------------------------------ what the carrier sends

    def _echo(self, name: str, now_ms: float, lag_ms: int = 0) -> None:
        if self._rng.random() < self.oddities.marks_lost:
            return
        copies = 2 if self._rng.random() < self.oddities.marks_doubled else 1
        self._echoes.extend([(self._leaves_ms(now_ms + lag_ms), name)] * copies)

    def _leaves_ms(self, echoed_ms: float) -> float:
        """When an echo leaves that is due at `echoed_ms`."""
        leaves_ms = echoed_ms + self.oddities.marks_delay_ms
        burst_ms = self.oddities.marks_burst_ms
        return ceil(leaves_ms / burst_ms) * burst_ms if burst_ms else leaves_ms

    def _leaving_echoes(self, now_ms: float) -> list[str]:
        messages = []
        while self._echoes and self._echoes[0][0] <= now_ms:
            messages.append(self._message("mark", {"name": self._echoes.popleft()[1]}))
        return messages

    def _media(self, now_ms: float, frame: bytes) -> str:
        jitter_ms = self.oddities.timestamp_jitter_ms
        timestamp_ms = round(now_ms) + (self._rng.randint(-jitter_ms, jitter_ms) if jitter_ms else 0)
        self._timestamp_ms = max(self._timestamp_ms, timestamp_ms)
        self._chunk += 1
        payload = binascii.b2a_base64(frame, newline=False).decode("ascii")
        return self._message(
            "media",
            {
                "track": "inbound",
                "chunk": self._number(self._chunk),
                "timestamp": self._number(self._timestamp_ms),
                "payload": payload,
            },
        )

    def _message(self, event: str, body: dict[str, Any]) -> str:
        self._sequence += 1
        return self._json(
            {
                "event": event,
                "sequenceNumber": self._number(self._sequence),
                "streamSid": self._stream_sid,
                event: body,
            }
        )

    def _json(self, fields: dict[str, Any]) -> str:
        if self.oddities.unknown_news:
            fields["novelty"] = {"since": 2030}
        return msgspec.json.encode(fields).decode()

    def _number(self, number: int) -> str | int:
        return str(number) if self.oddities.number_fields == "strings" else number


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _difference(found: set[str], wanted: set[str]) -> str:
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    parts = [
        f"{what} {_short(', '.join(names))}"
        for what, names in (("lacks", missing), ("must not have", extra))
        if names
    ]
    return " and ".join(parts)


def _text_fault(event: str, body: Any, field: str) -> str | None:
    """What is wrong with a body that must hold one text, not empty."""
    if not isinstance(body, dict):
        return f"{event}: {event} is not an object"
    if body.keys() != {field}:
        return f"{event}.{event}: {_difference(set(body), {field})}"
    if not isinstance(body[field], str) or not body[field]:
        return f"{event}.{field} must be a text that is not empty"
    return None


def _payload_fault(payload: str) -> str | None:
    try:
        audio = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError as error:
        return f"media.payload is not base64: {error}"
    # Python lets a whole group of padding pass.
    return None if len(payload) == 4 * ceil(len(audio) / 3) else "media.payload is not base64: Excess padding"
