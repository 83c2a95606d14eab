"""
Writes the logs of a process's calls while they run.

No frame waits for a disk: a `Recorder` keeps what it is given as it is, which takes no time, and once a second
encodes that and hands the bytes to the process's one writing thread, the `Writer`'s. So a crash of the process
costs a log its last second. A log that cannot be written ends there, which is counted and said once, and the call
goes on.

The encoding is done where the call runs, up to a second of it at a time: what it needs is in the processor's cache
then (docs/performance.md). In the writing thread it would take the interpreter's lock for ms at a time, and frames
would have to wait for that.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import sleep
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias

import msgspec
from msgspec import UNSET
from msgspec.structs import asdict, replace

from phonebot import __version__
from phonebot.audio.wav import BUFFER_BYTES, WavWriter
from phonebot.call.actions import Action
from phonebot.call.inputs import Input, ModelReady
from phonebot.call.plan import CallPlan
from phonebot.errors import PhonebotError
from phonebot.private_folders import make_private
from phonebot.replay.log import (
    EVENTS_FILE,
    HEADER_FILE,
    MODEL_FILE,
    About,
    AudioFile,
    Counts,
    Header,
    LogEncoder,
    LogPart,
)
from phonebot.replay.spool import hold, sid_in_name

log = logging.getLogger(__name__)

ROUND_S = 0.9
GATHER_S = 0.05  # what comes within it is written in one go: each waking of the thread costs the calls time
CLOSE_S = 10.0
MAX_HELD_BYTES = 3 * 1024 * 1024
"""Of a log, that may wait for the disk: six minutes of a caller, one of a model's PCM16. Then audio is dropped."""
MAX_HELD_SILENT_BYTES = 2 * MAX_HELD_BYTES
"""The same without audio: more ends the log."""
MAX_GATHERED = 64
"""Steps of a call that wait to be encoded: what comes in a second, as a rule. More would keep frames waiting."""
MAX_SAME_NAMES = 100

TOO_SLOW_FOR_AUDIO = "The disk was too slow: from some moment on no audio was kept."
TOO_SLOW = "The disk was too slow: the log ends before the call did."


class Recorder:
    """
    Takes down one call. Get it from `Writer.recorder`.

        recorder.plan(plan)
        recorder.happened(now, received, actions)
        recorder.close(outcome)             # what comes later is not recorded

    Nothing here waits or raises. Use it within the running event loop it was made in.
    """

    def __init__(
        self, scribe: "_Scribe", encoder: LogEncoder, put: "Callable[[_Order], None]", round_s: float
    ) -> None:
        self._scribe = scribe
        self._encoder = encoder
        self._put = put
        self._round_s = round_s
        self._loop = asyncio.get_running_loop()
        # Hands over what has gathered; None: nothing has.
        self._timer: asyncio.TimerHandle | None = None
        # Call time, what happened, and what came of it: yet to be encoded. Nobody changes it any more.
        self._gathered: list[tuple[int, Input, list[Action]]] = []
        self._given = 0  # bytes handed over; the scribe counts those it has written
        self._unsent = 0  # how much has happened since
        self._lost = 0
        # Why nothing more is encoded; None: it is.
        self._stopped: str | None = None
        self._closed = False
        self._provider = ""  # of the model that the call had last; "": nobody said

    @property
    def folder(self) -> Path | None:
        """Where the log is. None: it is not begun, or could not be."""
        return self._scribe.folder

    @property
    def lost(self) -> int:
        """How much of what happened is not in the log and never will be."""
        return self._lost + self._scribe.lost

    def plan(self, plan: CallPlan) -> None:
        """Comes first, and once."""
        try:
            self._encoder.plan(plan)
        except Exception as error:
            self._fail(error)
        else:
            self._unsent += 1
        self._hand_over()

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        """`received` happened at call time `now`, and `actions` came of it."""
        if self._closed:
            return
        if self._stopped is not None or self._scribe.failed:
            self._lost += 1
            return
        self._gathered.append((now, received, actions))
        if self._timer is None:
            self._timer = self._loop.call_later(self._round_s, self._hand_over)
        if len(self._gathered) == MAX_GATHERED:
            self._encode()

    def close(self, outcome: str) -> None:
        """The call is over: the log will be finished at once. Closing twice is harmless."""
        if self._closed:
            return
        self._hand_over()
        self._closed = True
        notes = " ".join(filter(None, [self._encoder.note, self._stopped]))
        self._put((self._scribe, _End(outcome, datetime.now(UTC), self._lost, notes, self._provider)))

    def abandon(self) -> None:
        """The process ends before the call did: hand over what there is."""
        if not self._closed:
            self._hand_over()
            self._closed = True

    @property
    def closed(self) -> bool:
        return self._closed

    def _encode(self) -> None:
        """What has gathered. After the first step that cannot be, none is."""
        gathered, self._gathered = self._gathered, []
        for place, (now, received, actions) in enumerate(gathered):
            try:
                self._encoder.happened(now, received, actions)
            except Exception as error:
                self._fail(error, lost=len(gathered) - place)
                return
            self._unsent += 1
            if type(received) is ModelReady:
                self._provider = received.provider or self._provider

    def _fail(self, error: Exception, lost: int = 1) -> None:
        self._lost += lost
        if isinstance(error, PhonebotError):
            problem = str(error)
        else:
            # A fault of ours in one log must not end the call.
            log.error("call %s: a fault in writing its log", self._scribe.call_sid, exc_info=error)
            problem = type(error).__name__
        self._stop(f"The log ends before the call did: {problem}.")

    def _hand_over(self) -> None:
        """Give the thread what has gathered, and see how much still waits for the disk."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._encode()
        try:
            part = self._encoder.take()
        except Exception as error:
            self._fail(error)
            part = self._encoder.take()
        size = len(part.lines) + sum(map(len, part.audio.values()))
        self._given += size
        encoder = self._encoder
        self._put((self._scribe, _Part(part, encoder.counts, self._unsent, size, encoder.recorded_from_ms)))
        self._unsent = 0
        held = self._given - self._scribe.written
        if held > MAX_HELD_SILENT_BYTES and self._stopped is None:
            self._stop(TOO_SLOW)
        elif held > MAX_HELD_BYTES and not self._encoder.note:
            self._encoder.drop_audio(TOO_SLOW_FOR_AUDIO)
            self._say(TOO_SLOW_FOR_AUDIO)

    def _stop(self, why: str) -> None:
        self._stopped = why
        self._say(why)

    def _say(self, problem: str) -> None:
        log.warning("call %s is not recorded in full: %s", self._scribe.call_sid, problem)


@dataclass(frozen=True, slots=True)
class _Part:
    """
    What is to be written; then the log holds `counts`. It tells of `inputs` more, in `size` bytes.

    `recorded_from_ms`: see Header; None: nobody waited for that, or it is waited for.
    """

    part: LogPart
    counts: Counts
    inputs: int
    size: int
    recorded_from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _End:
    outcome: str
    ended: datetime
    lost: int  # what was not even encoded
    notes: str
    provider: str  # "": the one that the log began with


_Order: TypeAlias = "tuple[_Scribe, _Part | _End | None]"
"""A log and what is to be done for it; None: begin it."""


class _Scribe:
    """The writing side of a Recorder: all in it is set by the writing thread alone. Raises nothing."""

    def __init__(self, root: Path, about: About, audio: bool) -> None:
        self.call_sid = about.call_sid
        self.written = 0  # bytes
        self.lost = 0
        self.failed = False
        self.folder: Path | None = None
        self._root = root
        self._header = Header(
            **asdict(about), software=f"phonebot {__version__}", started=datetime.now(UTC), audio=audio
        )
        # None: not begun, or given up.
        self._files: _Files | None = None
        self._counts = Counts()
        self._note = ""

    def begin(self) -> None:
        self._attempt(self._begin)

    def write(self, part: _Part) -> None:
        if not self.failed:
            self._attempt(lambda: self._write(part))
        if self.failed:
            self.lost += part.inputs
        self.written += part.size

    def end(self, end: _End) -> bool:
        """Finish the log. True if all of the call is in it."""
        self._attempt(lambda: self._finish(end))
        return not (self.failed or end.lost)

    def abandon(self) -> None:
        """The process ends before the call did: close the files as they are."""
        if self._files:
            self._attempt(self._files.close)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, PhonebotError) as error:
            self._fail(str(error))
        except Exception as error:
            # A fault of ours in one log must not end those of the other calls.
            log.exception("call %s: a fault in writing its log", self.call_sid)
            self._fail(type(error).__name__)

    def _fail(self, problem: str) -> None:
        if not self.failed:
            self.failed = True
            self._note = f"The log ends before the call did: {problem}."
            log.warning("call %s is not recorded in full: %s", self.call_sid, problem)

    def _begin(self) -> None:
        self._files = _Files(self._root, self._header)
        self.folder = self._files.folder

    def _write(self, part: _Part) -> None:
        assert self._files is not None, "a log is begun before it is written"
        if part.recorded_from_ms is not None and self._header.recorded_from_ms is UNSET:
            self._header = replace(self._header, audio=True, recorded_from_ms=part.recorded_from_ms)
            self._files.write_header(self._header)
        self._files.append(part.part)
        self._counts = part.counts

    def _finish(self, end: _End) -> None:
        if self._files is None:
            return
        header = replace(
            self._header,
            ended=end.ended,
            outcome=end.outcome,
            provider=end.provider or self._header.provider,
            counts=replace(self._counts, lost=self.lost + end.lost),
            note=" ".join(filter(None, [end.notes, self._note])),
        )
        self._files.finish(header)


class _Files:
    """The files of one log. Raises OSError as the file system does; what was appended before is there then."""

    def __init__(self, root: Path, header: Header) -> None:
        self.folder = _new_folder(root, header)
        # Closed last: until then the log is locked.
        self._open = ExitStack()
        self._events = self._open.enter_context((self.folder / EVENTS_FILE).open("wb", BUFFER_BYTES))
        hold(self._events)
        self.write_header(header)
        # The audio files come with their first audio.
        self._audio = self._open.enter_context(ExitStack())
        self._wavs: dict[AudioFile, WavWriter] = {}
        self._raw: BinaryIO | None = None

    def append(self, part: LogPart) -> None:
        # The audio goes first: a line never refers to bytes that are not there.
        for file, audio in part.audio.items():
            if file == MODEL_FILE:
                self._append_raw(audio)
            else:
                self._append_wav(file, audio)
        if part.lines:
            self._events.write(part.lines)
            self._events.flush()

    def close(self) -> None:
        self._open.close()

    def finish(self, header: Header) -> None:
        with self._open:
            try:
                self._audio.close()
            finally:
                self.write_header(header)

    def _append_raw(self, audio: bytes) -> None:
        if self._raw is None:
            self._raw = self._audio.enter_context((self.folder / MODEL_FILE).open("wb", BUFFER_BYTES))
        self._raw.write(audio)
        self._raw.flush()

    def _append_wav(self, file: AudioFile, audio: bytes) -> None:
        if file not in self._wavs:
            self._wavs[file] = self._audio.enter_context(WavWriter(self.folder / file))
        self._wavs[file].append(audio)
        self._wavs[file].sync()

    def write_header(self, header: Header) -> None:
        """At once or not at all: a reader never sees half of it."""
        unfinished = self.folder / f"{HEADER_FILE}.new"
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n")
        os.replace(unfinished, self.folder / HEADER_FILE)


def _new_folder(root: Path, header: Header) -> Path:
    """A folder of its own for the call: `<UTC start>-<call_sid>`, and a number if there is one of that name."""
    make_private(root)
    name = f"{header.started:%Y%m%dT%H%M%SZ}-{sid_in_name(header.call_sid)}"
    for number in range(1, MAX_SAME_NAMES + 1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{root / name}: there are {MAX_SAME_NAMES} of that name already")


class Writer:
    """
    The thread that writes the logs of all calls of a process.

        async with Writer(root) as writer:
            recorder = writer.recorder(About(call_sid=...))

    The thread starts with the first call. `root` is made when it is needed. Use it within one running event loop.
    `finished` is told the folder of each log that will not grow any more, in the writing thread: it must not raise.
    """

    def __init__(
        self, root: Path, round_s: float = ROUND_S, finished: Callable[[Path], None] = lambda folder: None
    ) -> None:
        # How many logs of finished calls lack something.
        self.incomplete = 0
        self._root, self._round_s, self._finished = root, round_s, finished
        # None is the last order.
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        # The logs that are not finished yet: those of the calls that run, and what the thread has open.
        self._recorders: list[Recorder] = []
        self._open: set[_Scribe] = set()
        self._closing = False
        self._thread: Thread | None = None

    def recorder(self, about: About, audio: bool = True, from_start: bool = True) -> Recorder:
        """
        Begin the log of a call. Without `audio` it tells how much was said, and not how it sounded. Not
        `from_start`: it does so until the call says that it may be recorded.

        Raises RuntimeError after `close`.
        """
        if self._closing:
            raise RuntimeError("the writer of call logs is closed: begin no call after closing it")
        scribe = _Scribe(self._root, about, audio and from_start)
        self._orders.put((scribe, None))  # a crash in its first second leaves a trace
        if self._thread is None:
            # A daemon, so that a disk that hangs cannot keep the process from ending.
            self._thread = Thread(target=self._run, name="call-log-writer", daemon=True)
            self._thread.start()
        recorder = Recorder(scribe, LogEncoder(audio, from_start), self._orders.put, self._round_s)
        self._recorders = [running for running in self._recorders if not running.closed]
        self._recorders.append(recorder)
        return recorder

    async def close(self) -> None:
        """Write what has gathered and end the thread. The logs of calls still running end here, as if cut off."""
        self._closing = True
        for recorder in self._recorders:
            recorder.abandon()
        self._orders.put(None)
        if self._thread:
            await asyncio.to_thread(self._thread.join, CLOSE_S)
            if self._thread.is_alive():
                log.error(
                    "call logs were not written within %s s: is the disk under %s stuck?", CLOSE_S, self._root
                )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            self._carry_out(*order)
            if self._orders.empty():
                sleep(GATHER_S)
        for scribe in self._open:
            scribe.abandon()

    def _carry_out(self, scribe: _Scribe, what: _Part | _End | None) -> None:
        match what:
            case _Part():
                scribe.write(what)
            case _End():
                self.incomplete += not scribe.end(what)
                self._open.discard(scribe)
                if scribe.folder:
                    self._finished(scribe.folder)
            case None:
                scribe.begin()
                self._open.add(scribe)
