"""
WAV files: PCM16, mu-law and A-law, mono or stereo; a call recording has one leg per channel.

A WAV file is a RIFF file of chunks, each a four-letter name, a size and that many bytes, padded to an even length
(Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0, RIFF and WAVE). Ours are `fmt `,
`fact` for the two laws (required for all formats but PCM: Microsoft, New Multimedia Data Types and Data Techniques
3.0) and `data`.
"""

import os
import struct
from array import array
from dataclasses import dataclass, field, replace
from io import BytesIO
from types import TracebackType
from typing import BinaryIO, Literal, Self, TypeAlias

from phonebot.audio.g711 import ALAW_SILENCE, SAMPLE_RATE_HZ, ULAW_SILENCE
from phonebot.errors import AudioError

Encoding: TypeAlias = Literal["pcm16", "pcmu", "pcma"]
"""Samples as 16-bit signed little-endian, G.711 mu-law or G.711 A-law."""

DATA_LIMIT_BYTES = 64 * 1024 * 1024
"""What `read` accepts unless told otherwise: over two hours of a G.711 leg, 23 minutes of PCM16 at 24 kHz."""
BUFFER_BYTES = 1024  # of a writer: each call has two, and hands them seconds of audio at a time

# The codes of mmreg.h: WAVE_FORMAT_PCM, _ALAW, _MULAW, _EXTENSIBLE.
_FORMAT_TAG: dict[Encoding, int] = {"pcm16": 1, "pcma": 6, "pcmu": 7}
_ENCODING = {tag: encoding for encoding, tag in _FORMAT_TAG.items()}
_EXTENSIBLE_TAG = 0xFFFE
# An extensible header ends with a GUID: the plain tag in two bytes, then always these (ksmedia.h).
_EXTENSIBLE_SUBFORMAT = 24  # where in the chunk the GUID begins
_EXTENSIBLE_GUID_END = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")

_SAMPLE_BYTES: dict[Encoding, int] = {"pcm16": 2, "pcmu": 1, "pcma": 1}
_SILENCE: dict[Encoding, int] = {"pcm16": 0, "pcmu": ULAW_SILENCE, "pcma": ALAW_SILENCE}

_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 1000, 192_000

# format tag, channels, frames a second, bytes a second, bytes a frame, bits a sample
_FMT = struct.Struct("<HHIIHH")
# the same, then: size of the extension, valid bits, channel mask, GUID
_FMT_EXTENSIBLE = struct.Struct("<HHIIHHHHI16s")
_CHUNK = struct.Struct("<4sI")  # name, size
_RIFF_HEAD_BYTES = 12
_U32_MAX = 0xFFFF_FFFF
# Real files have under ten; the bound keeps a hostile one from costing a seek for each eight bytes.
_MOST_CHUNKS = 64

CONVERT = "Convert it: sox INPUT -b 16 -r 8000 -c 1 OUTPUT.wav"
"""The remedy for a file that holds something else than is needed."""
ENDLESS_BYTES = 0x7FFF_FFF0  # half of what a RIFF file may hold: some programs take the size for a signed number


@dataclass(frozen=True, slots=True)
class Wav:
    """Audio with what one needs to know to play it. `data` holds whole frames: a sample of each channel in turn."""

    encoding: Encoding
    rate_hz: int
    channels: int
    data: bytes = field(repr=False)

    @property
    def frame_bytes(self) -> int:
        """A sample of each channel."""
        return self.channels * _SAMPLE_BYTES[self.encoding]

    @property
    def duration_ms(self) -> int:
        """Rounded down."""
        return len(self.data) * 1000 // (self.rate_hz * self.frame_bytes)


# ------------------------------------------------------------------------------------------- writing


class WavWriter:
    """
    Writes a WAV file while the audio comes in; readable up to the last `sync` whatever happens to the process.

    Until it is closed the header claims all that a WAV file can hold, as streams do whose length is not known yet:
    `read` and players then take what there is.

        with WavWriter(path) as recording:
            recording.append(frame)     # any number of times
            recording.sync()            # once a second

    An existing file is replaced. Writing blocks: call it away from the event loop, from one thread at a time.
    Raises AudioError for a format that cannot be written and for more than a WAV file can hold (4 GiB), OSError as
    `open` and `write` do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        encoding: Encoding = "pcmu",
        rate_hz: int = SAMPLE_RATE_HZ,
        channels: int = 1,
    ) -> None:
        _check_layout(str(path), encoding, rate_hz, channels)
        self._path, self._encoding, self._rate_hz, self._channels = str(path), encoding, rate_hz, channels
        self._data_bytes = 0
        # The sizes in the header are 32 bits wide and count the header too, and a byte of padding.
        self._most_data_bytes = _U32_MAX - len(self._header(0)) - 1
        self._file: BinaryIO = open(path, "wb", BUFFER_BYTES)  # noqa: SIM115 - closed by close()
        try:
            self._file.write(self._header(self._most_data_bytes))
            self.sync()
        except BaseException:
            self._file.close()
            raise

    def append(self, audio: bytes) -> None:
        """Add audio at the end. It may stay in memory until the next sync."""
        if self._data_bytes + len(audio) > self._most_data_bytes:
            raise AudioError(f"{self._path}: a WAV file holds at most {self._most_data_bytes} bytes of audio")
        self._file.write(audio)
        self._data_bytes += len(audio)

    def sync(self) -> None:
        """Hand all audio to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Write the true sizes into the header and close the file. Closing twice is harmless."""
        if self._file.closed:
            return
        try:
            if self._data_bytes % 2:
                self._file.write(b"\0")  # chunks have an even length
            self._file.seek(0)
            self._file.write(self._header(self._data_bytes))
            self.sync()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _header(self, data_bytes: int) -> bytes:
        return _header(self._encoding, self._rate_hz, self._channels, data_bytes)


def write(path: str | os.PathLike[str], wav: Wav) -> None:
    """Write a whole file, replacing an existing one. Raises as WavWriter does."""
    with WavWriter(path, wav.encoding, wav.rate_hz, wav.channels) as writer:
        writer.append(wav.data)


def encode(wav: Wav) -> bytes:
    """A whole file, in memory."""
    header = _header(wav.encoding, wav.rate_hz, wav.channels, len(wav.data))
    return header + wav.data + b"\x00" * (len(wav.data) % 2)


def endless_header(encoding: Encoding, rate_hz: int, channels: int) -> bytes:
    """What stands before audio whose length is not known yet, as it is sent on a line: the longest there can be."""
    return _header(encoding, rate_hz, channels, ENDLESS_BYTES)


def _header(encoding: Encoding, rate_hz: int, channels: int, data_bytes: int) -> bytes:
    """Everything before the audio."""
    frame_bytes = channels * _SAMPLE_BYTES[encoding]
    layout = _FMT.pack(
        _FORMAT_TAG[encoding],
        channels,
        rate_hz,
        rate_hz * frame_bytes,
        frame_bytes,
        8 * _SAMPLE_BYTES[encoding],
    )
    if encoding == "pcm16":
        chunks = _chunk(b"fmt ", layout)
    else:
        no_extension = bytes(2)
        frames = (data_bytes // frame_bytes).to_bytes(4, "little")
        chunks = _chunk(b"fmt ", layout + no_extension) + _chunk(b"fact", frames)
    chunks += _CHUNK.pack(b"data", data_bytes)
    riff_bytes = len(b"WAVE") + len(chunks) + data_bytes + data_bytes % 2
    return _CHUNK.pack(b"RIFF", riff_bytes) + b"WAVE" + chunks


def _chunk(name: bytes, content: bytes) -> bytes:
    return _CHUNK.pack(name, len(content)) + content


# ------------------------------------------------------------------------------------------- reading


def read(path: str | os.PathLike[str], limit_bytes: int = DATA_LIMIT_BYTES) -> Wav:
    """
    Read a WAV file, also one whose writer crashed or is still at work.

    Such a file says it holds no audio, less than it does or more; then the audio runs to the end of the file. A
    frame cut in the middle is dropped. Raises AudioError for anything that is not PCM16, mu-law or A-law in one or
    two channels and for more than `limit_bytes` of audio (never holding more than that), OSError as `open` does.
    """
    with open(path, "rb") as file:
        return _Reader(file, str(path)).read(limit_bytes)


def parse(content: bytes, name: str) -> Wav:
    """The same for a file that is in memory; `name` stands in the errors."""
    return _Reader(BytesIO(content), name).read(DATA_LIMIT_BYTES)


class _Reader:
    """Reads one file. What the file says is believed only as far as its length allows."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._end = file.seek(0, os.SEEK_END)

    def read(self, limit_bytes: int) -> Wav:
        head = self._read_at(0, _RIFF_HEAD_BYTES)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            raise self._error(f"not a WAV file, it starts with {head!r}. {CONVERT}")
        empty: Wav | None = None  # None: its format is not known yet
        position = _RIFF_HEAD_BYTES
        for _ in range(_MOST_CHUNKS):
            name, size = self._chunk_at(position)
            start = position + _CHUNK.size
            if name == b"data":
                if empty is None:
                    raise self._error("the audio comes before its format (no 'fmt ' chunk)")
                data_bytes = self._data_bytes(start, size)
                if data_bytes > limit_bytes:
                    raise self._error(f"{data_bytes} bytes of audio, at most {limit_bytes} are accepted here")
                return replace(empty, data=self._read_at(start, data_bytes - data_bytes % empty.frame_bytes))
            if start + size > self._end:
                raise self._error(f"chunk {name!r} claims {size} bytes, but {self._end - start} are left")
            if name == b"fmt ":
                empty = self._empty(start, size)
            position = start + size + size % 2
        raise self._error(f"no audio in the first {_MOST_CHUNKS} chunks")

    def _chunk_at(self, position: int) -> tuple[bytes, int]:
        head = self._read_at(position, _CHUNK.size)
        if len(head) < _CHUNK.size:
            raise self._error("it ends before the audio (no 'data' chunk)")
        name, size = _CHUNK.unpack(head)
        return name, size

    def _empty(self, start: int, size: int) -> Wav:
        """What the `fmt ` chunk describes, without audio yet."""
        fmt = self._read_at(start, min(size, _FMT_EXTENSIBLE.size))
        if len(fmt) < _FMT.size:
            raise self._error(f"its 'fmt ' chunk has {len(fmt)} bytes, at least {_FMT.size} are needed")
        tag, channels, rate_hz, _bytes_a_second, frame_bytes, bits = _FMT.unpack_from(fmt)
        if tag == _EXTENSIBLE_TAG and len(fmt) == _FMT_EXTENSIBLE.size and fmt.endswith(_EXTENSIBLE_GUID_END):
            tag = int.from_bytes(fmt[_EXTENSIBLE_SUBFORMAT:][:2], "little")
        encoding = _ENCODING.get(tag)
        if encoding is None or bits != 8 * _SAMPLE_BYTES[encoding]:
            raise self._error(
                f"format {tag:#06x} with {bits} bits a sample; readable are PCM16, mu-law and A-law. {CONVERT}"
            )
        _check_layout(self._name, encoding, rate_hz, channels)
        empty = Wav(encoding, rate_hz, channels, b"")
        if frame_bytes != empty.frame_bytes:
            raise self._error(f"frames of {frame_bytes} bytes contradict {channels} channels of {bits} bits")
        return empty

    def _data_bytes(self, start: int, claimed: int) -> int:
        """How much audio there is: what the header claims if the file bears it out, else all that follows."""
        rest = self._end - start
        return claimed if claimed < rest and self._ends_in_chunks(start + claimed + claimed % 2) else rest

    def _ends_in_chunks(self, position: int) -> bool:
        """Whether whole chunks and nothing else stand between `position` and the end."""
        for _ in range(_MOST_CHUNKS):
            if position >= self._end:
                return position <= self._end + 1  # some writers leave out the last padding byte
            head = self._read_at(position, _CHUNK.size)
            if len(head) < _CHUNK.size or not _is_name(head[:4]):
                return False
            size = _CHUNK.unpack(head)[1]
            position += _CHUNK.size + size + size % 2
        return False

    def _read_at(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        return self._file.read(size)

    def _error(self, problem: str) -> AudioError:
        return AudioError(f"{self._name}: {problem}")


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name)


def _check_layout(name: str, encoding: str, rate_hz: int, channels: int) -> None:
    if encoding not in _SAMPLE_BYTES:
        raise AudioError(f"{name}: encoding {encoding!r} is none of {', '.join(_SAMPLE_BYTES)}")
    if channels not in (1, 2):
        raise AudioError(f"{name}: {channels} channels; one or two are supported")
    if not _LOWEST_RATE_HZ <= rate_hz <= _HIGHEST_RATE_HZ:
        raise AudioError(f"{name}: {rate_hz} Hz is not between {_LOWEST_RATE_HZ} and {_HIGHEST_RATE_HZ}")


# ------------------------------------------------------------------------------------------- two legs


def interleave(left: bytes, right: bytes, encoding: Encoding = "pcmu") -> bytes:
    """Two mono legs as stereo. The shorter one is followed by silence. Raises AudioError for half a sample."""
    width = _SAMPLE_BYTES[encoding]
    for leg, audio in (("left", left), ("right", right)):
        if len(audio) % width:
            raise AudioError(f"the {leg} leg's {len(audio)} bytes are not whole {encoding} samples")
    leg_bytes = max(len(left), len(right))
    silence = bytes([_SILENCE[encoding]])
    item = "H" if width == 2 else "B"
    stereo = array(item, bytes(2 * leg_bytes))
    stereo[0::2] = array(item, left.ljust(leg_bytes, silence))
    stereo[1::2] = array(item, right.ljust(leg_bytes, silence))
    return stereo.tobytes()
