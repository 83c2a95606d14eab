"""
Writes the logs of a process's calls while they run.

No frame waits for a disk: a `Recorder` keeps what it is given in memory and returns. The process's one writing
thread, the `Writer`'s, comes by each call once a second, encodes what has gathered and writes it; a crash of the
process therefore costs a log its last second. A log that cannot be written ends there, which is counted and said
once, and the call goes on.
"""

import asyncio
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from heapq import heappop, heappush
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias

import msgspec
from msgspec.structs import asdict, replace

from phonebot import __version__
from phonebot.audio.wav import WavWriter
from phonebot.call.actions import Action
from phonebot.call.inputs import Input
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Media
from phonebot.errors import PhonebotError
from phonebot.realtime.events import AudioDelta
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
    silenced,
)

log = logging.getLogger(__name__)

ROUND_S = 1.0
CLOSE_S = 10.0
MAX_HELD_CHARACTERS = 4 * 1024 * 1024
"""Audio that may wait for the disk, per call, as base64: six minutes of a caller, one of a model's PCM16."""
MAX_HELD_SILENCE_CHARACTERS = 2 * MAX_HELD_CHARACTERS
"""The same with the silence that takes its place from then on; more than this ends the log."""
MAX_HELD_ENTRIES = 50_000
"""Inputs that may wait, per call: some ten minutes."""
GROUPS = 10
"""Of the logs, written one after another in a tenth of a round. Each waking of the thread costs the calls time."""
MAX_SID_CHARACTERS = 64
MAX_SAME_NAMES = 100


class _Notice(Enum):
    """What the call's side tells the writing one."""

    DROP_AUDIO = "The disk was too slow: from some moment on no audio was kept."
    CUT = "The disk was too slow: the log ends before the call did."


@dataclass(frozen=True, slots=True)
class _End:
    outcome: str
    ended: datetime
    lost: int  # what could not even be held


_Entry: TypeAlias = tuple[int, Input | CallPlan | _Notice | _End, list[Action], int]
"""Call time, what there is to write, what came of it, and how many characters of audio the first of them holds."""


class Recorder:
    """
    Takes down one call. Get it from `Writer.recorder`.

        recorder.plan(plan)
        recorder.happened(now, received, actions)
        recorder.close(outcome)             # what comes later is not recorded

    Nothing here waits or raises. Nothing given may be changed afterwards. Call it from one thread.
    """

    def __init__(self, scribe: "_Scribe") -> None:
        self._scribe = scribe
        # Characters of audio given so far; the scribe counts those it has taken.
        self._given = 0
        self._lost = 0
        self._closed = False
        # Too much audio waits: it is replaced by silence, most of which takes no memory.
        self._silent = False
        # Too much of everything waits: nothing more is held.
        self._cut = False

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
        self._hold(0, plan, [])

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        """`received` happened at call time `now`, and `actions` came of it."""
        characters = 0
        if isinstance(received, Media):
            characters = len(received.payload)
        elif isinstance(received, AudioDelta):
            characters = len(received.audio)
        if characters:
            self._given += characters
            if not self._silent and self._held_characters > MAX_HELD_CHARACTERS:
                self._silent = True
                self._hold(now, _Notice.DROP_AUDIO, [])
        if self._silent:
            received, actions = silenced(received), [silenced(action) for action in actions]
        self._hold(now, received, actions, characters)

    def close(self, outcome: str) -> None:
        """The call is over: the log will be finished within the next second. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._scribe.entries.append((0, _End(outcome, datetime.now(UTC), self._lost), [], 0))

    @property
    def _held_characters(self) -> int:
        return self._given - self._scribe.taken

    def _hold(self, now: int, what: Input | CallPlan | _Notice, actions: list[Action], characters: int = 0) -> None:
        if self._closed:
            return
        scribe = self._scribe
        if self._cut or scribe.failed:
            self._lost += 1
        elif len(scribe.entries) < MAX_HELD_ENTRIES and self._held_characters <= MAX_HELD_SILENCE_CHARACTERS:
            scribe.entries.append((now, what, actions, characters))
        else:
            self._cut = True
            self._lost += 1
            scribe.entries.append((now, _Notice.CUT, [], 0))


class _Scribe:
    """The writing side of a Recorder. All but `entries`, which they share, is set by the writing thread alone."""

    def __init__(self, root: Path, about: About, audio: bool) -> None:
        # The recorder appends, the writing thread takes from the left: a deque allows that without a lock.
        self.entries: deque[_Entry] = deque()
        self.taken = 0  # characters of audio
        self.lost = 0
        self.failed = False
        self.folder: Path | None = None
        self._root = root
        self._header = Header(
            **asdict(about), software=f"phonebot {__version__}", started=datetime.now(UTC), audio=audio
        )
        self._encoder = LogEncoder(audio)
        # None: not begun, or given up.
        self._files: _Files | None = None
        self._notes: list[str] = []
        self._written = Counts()
        self._unwritten = 0  # what was taken since
        self._end: _End | None = None

    def write(self) -> bool:
        """Write what has gathered. True once the log is finished. Raises nothing."""
        if not self.failed:
            self._attempt(self._write)
        if self.failed:
            self._discard()
        if self._end is None:
            return False
        self._attempt(self._finish)
        return True

    def abandon(self) -> None:
        """The process ends before the call did: close the files as they are. Raises nothing."""
        if self._files:
            self._attempt(self._files.close)

    @property
    def complete(self) -> bool:
        return not (self.failed or (self._end and self._end.lost))

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, PhonebotError) as error:
            self._fail(str(error))
        except Exception as error:
            # A fault of ours in one log must not end those of the other calls.
            log.exception("call %s: a fault in writing its log", self._header.call_sid)
            self._fail(type(error).__name__)

    def _fail(self, problem: str) -> None:
        if not self.failed:
            self.failed = True
            self._notes.append(f"The log ends before the call did: {problem}.")
            self._say(problem)

    def _write(self) -> None:
        if self._files is None:
            self._files = _Files(self._root, self._header)
        for now, what, actions in self._gathered():
            self._encode(now, what, actions)
        self._files.append(self._encoder.take())
        self._written, self._unwritten = self._encoder.counts, 0
        self.folder = self._files.folder

    def _gathered(self) -> Iterator[tuple[int, Input | CallPlan | _Notice, list[Action]]]:
        for _ in range(len(self.entries)):
            now, what, actions, characters = self.entries.popleft()
            self.taken += characters
            if isinstance(what, _End):
                self._end = what
                return
            self._unwritten += not isinstance(what, _Notice)
            yield now, what, actions

    def _encode(self, now: int, what: Input | CallPlan | _Notice, actions: list[Action]) -> None:
        if isinstance(what, CallPlan):
            self._encoder.plan(what)
        elif what is _Notice.DROP_AUDIO:
            self._encoder.drop_audio(what.value)
            self._say(what.value)
        elif what is _Notice.CUT:
            self._notes.append(what.value)
            self._say(what.value)
        else:
            self._encoder.happened(now, what, actions)

    def _discard(self) -> None:
        for _ in self._gathered():
            pass
        self.lost += self._unwritten
        self._unwritten = 0

    def _finish(self) -> None:
        end = self._end
        if self._files is None or end is None:
            return
        header = replace(
            self._header,
            ended=end.ended,
            outcome=end.outcome,
            counts=replace(self._written, lost=self.lost + end.lost),
            note=" ".join(filter(None, [self._encoder.note, *self._notes])),
        )
        self._files.finish(header)

    def _say(self, problem: str) -> None:
        log.warning("call %s is not recorded in full: %s", self._header.call_sid, problem)


class _Files:
    """The files of one log. Raises OSError as the file system does; what was appended before is there then."""

    def __init__(self, root: Path, header: Header) -> None:
        self.folder = _new_folder(root, header)
        self._write_header(header)
        self._open = ExitStack()
        self._events = self._open.enter_context((self.folder / EVENTS_FILE).open("wb"))
        # The audio files come with their first audio.
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
        try:
            self.close()
        finally:
            self._write_header(header)

    def _append_raw(self, audio: bytes) -> None:
        if self._raw is None:
            self._raw = self._open.enter_context((self.folder / MODEL_FILE).open("wb"))
        self._raw.write(audio)
        self._raw.flush()

    def _append_wav(self, file: AudioFile, audio: bytes) -> None:
        if file not in self._wavs:
            self._wavs[file] = self._open.enter_context(WavWriter(self.folder / file))
        self._wavs[file].append(audio)
        self._wavs[file].sync()

    def _write_header(self, header: Header) -> None:
        """At once or not at all: a reader never sees half of it."""
        unfinished = self.folder / f"{HEADER_FILE}.new"
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n")
        os.replace(unfinished, self.folder / HEADER_FILE)


def _new_folder(root: Path, header: Header) -> Path:
    """A folder of its own for the call: `<UTC start>-<call_sid>`, and a number if there is one of that name."""
    root.mkdir(parents=True, exist_ok=True)
    # The sid came from outside: nothing in it may lead to another folder.
    sid = re.sub(r"[^A-Za-z0-9_-]", "_", header.call_sid)[:MAX_SID_CHARACTERS]
    name = f"{header.started:%Y%m%dT%H%M%SZ}-{sid}"
    for number in range(1, MAX_SAME_NAMES + 1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(mode=0o700)  # what callers said is nobody else's business
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{root / name}: there are {MAX_SAME_NAMES} of that name already")


class Writer:
    """
    The thread that writes the logs of all calls of a process.

        async with Writer(root) as writer:
            recorder = writer.recorder(About(call_sid=...))

    The thread starts with the first call. `root` is made when it is needed.
    """

    def __init__(self, root: Path, round_s: float = ROUND_S) -> None:
        # How many logs of finished calls lack something.
        self.incomplete = 0
        self._root, self._round_s = root, round_s
        # A heap: when it is due by the monotonic clock, its number, the log.
        self._due: list[tuple[float, int, _Scribe]] = []
        self._begun = 0
        self._closing = False
        self._changed = Condition()  # guards the three before
        self._thread: Thread | None = None

    def recorder(self, about: About, audio: bool = True) -> Recorder:
        """
        Begin the log of a call. Without `audio` it tells how much was said, and not how it sounded.

        Raises RuntimeError after `close`.
        """
        scribe = _Scribe(self._root, about, audio)
        with self._changed:
            if self._closing:
                raise RuntimeError("the writer of call logs is closed: begin no call after closing it")
            self._begun += 1
            # Due at once: a crash in its first second leaves a trace.
            heappush(self._due, (monotonic(), self._begun, scribe))
            self._changed.notify()
        if self._thread is None:
            # A daemon, so that a disk that hangs cannot keep the process from ending.
            self._thread = Thread(target=self._run, name="call-log-writer", daemon=True)
            self._thread.start()
        return Recorder(scribe)

    async def close(self) -> None:
        """Write what has gathered and end the thread. The logs of calls still running end here, as if cut off."""
        with self._changed:
            self._closing = True
            self._changed.notify()
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
        while log_due := self._next():
            number, scribe = log_due
            if not self._write(scribe):
                with self._changed:
                    heappush(self._due, (self._next_round_s(number), number, scribe))
        for _, _, scribe in self._due:
            if not self._write(scribe):
                scribe.abandon()

    def _next_round_s(self, number: int) -> float:
        """
        When a log is due again: within one round, at the moment of its group.

        Were all of them written together, the calls' own thread would wait meanwhile.
        """
        now, moment = monotonic(), number % GROUPS / GROUPS * self._round_s
        return now + self._round_s - (now - moment) % self._round_s

    def _next(self) -> tuple[int, _Scribe] | None:
        """Wait for the next log that is due; None when closing."""
        with self._changed:
            while not self._closing:
                wait_s = self._due[0][0] - monotonic() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    return heappop(self._due)[1:]
                self._changed.wait(wait_s)
        return None

    def _write(self, scribe: _Scribe) -> bool:
        finished = scribe.write()
        self.incomplete += finished and not scribe.complete
        return finished
