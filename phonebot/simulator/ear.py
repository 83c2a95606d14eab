"""
The embedded model's ear: pocketsphinx in worker processes, listening for the phrases of a script.

It understands a menu of some ten requests in American English, said about as the script words them, on a quiet
line. It is no dictation machine, and digits are better pressed than said.
"""

import asyncio
import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

import msgspec

from phonebot.errors import AudioError, ModelError, ModelUnreachable, ProfileError, SettingsError
from phonebot.simulator.recogniser import CALL_HZ, LENGTH, Answer, Heard, Job, Ready, Refused

_BYTES_PER_MS = 2 * CALL_HZ // 1000
SHORTEST_MS = 100  # of an utterance; less holds no word
LONGEST_MS = 20_000  # of a longer one the end is listened to: there people come to the point
START_TIMEOUT_S = 60.0  # it takes under two seconds on an idle machine


class PhraseEar:
    """
    An `Ear` that listens for phrases; shared by all sessions.

    Use it as `async with PhraseEar(script.phrases, pronounce=script.pronounce, source=script.source) as ear`. It
    starts `workers` processes (each some 100 MB) and ends them; one that dies or takes too long is replaced.
    `cache` is a folder in which the language model outlives the ear, which saves half a second at the next start.
    `max_waiting` utterances may wait or be worked at, each for `deadline_s`; both may be changed at any time.

    Entering raises SettingsError when pocketsphinx is missing, ProfileError when it does not know the sound of a
    word, ModelError when the workers do not start.
    """

    def __init__(
        self,
        phrases: Sequence[str],
        *,
        pronounce: Mapping[str, str] = MappingProxyType({}),
        source: str = "phrases",
        cache: Path | None = None,
        workers: int = 1,
        deadline_s: float = 10.0,
        max_waiting: int = 64,
    ) -> None:
        if workers < 1:
            raise SettingsError(f"an ear needs at least one worker, not {workers}")
        self._phrases, self._pronounce, self._source = tuple(phrases), dict(pronounce), source
        self._cache, self._workers = cache, workers
        self.deadline_s, self.max_waiting = deadline_s, max_waiting
        self._resources = contextlib.AsyncExitStack()
        self._job = b""
        # A place per worker that is not at work; None where the next who comes has to start one.
        self._places: asyncio.Queue[_Worker | None] = asyncio.Queue(workers)
        self._waiting = 0
        self._is_open = False

    async def __aenter__(self) -> Self:
        if importlib.util.find_spec("pocketsphinx") is None:
            raise SettingsError('the embedded model\'s ear needs pocketsphinx: pip install "phonebot[demo]"')
        async with contextlib.AsyncExitStack() as resources:
            cache = self._cache or resources.enter_context(tempfile.TemporaryDirectory(prefix="phonebot-ear-"))
            self._job = msgspec.json.encode(Job(self._phrases, self._pronounce, str(cache)))
            resources.push_async_callback(self._stop_workers)
            for _ in range(self._workers):
                self._places.put_nowait(None)
            # One after the other: the first makes the language model that the others load.
            for _ in range(self._workers):
                async with self._worker():
                    pass
            self._resources = resources.pop_all()
        self._is_open = True
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the workers when they have done what they were given, which takes no longer than the deadline."""
        self._is_open = False
        await self._resources.aclose()

    async def recognise(self, pcm8k: bytes) -> str:
        """
        Return the words of an utterance (PCM16 at 8 kHz), lower case, without punctuation; "" for none.

        Raises AudioError for half a sample, ModelUnreachable when the workers are busy for longer than the
        deadline or die twice over the same utterance, ModelError when a new one does not start.
        """
        if len(pcm8k) % 2:
            raise AudioError(f"{len(pcm8k)} bytes are not whole PCM16 samples")
        if len(pcm8k) < SHORTEST_MS * _BYTES_PER_MS:
            return ""
        if not self._is_open:
            raise ModelUnreachable("the ear is closed", "ear_closed")
        if self._waiting >= self.max_waiting:
            raise ModelUnreachable(f"{self._waiting} utterances wait for the ear already", "ear_busy")
        self._waiting += 1
        try:
            async with asyncio.timeout(self.deadline_s):
                return await self._recognise(pcm8k[-LONGEST_MS * _BYTES_PER_MS :])
        except TimeoutError as error:
            raise ModelUnreachable(f"the ear gave no answer within {self.deadline_s:g} s", "ear_timeout") from error
        finally:
            self._waiting -= 1

    async def _recognise(self, pcm8k: bytes) -> str:
        for _ in range(2):  # the worker may have died of something else
            with contextlib.suppress(_WorkerDied):
                async with self._worker() as worker:
                    return await worker.recognise(pcm8k)
        raise ModelUnreachable("the ear's worker died twice over one utterance", "ear_died")

    @contextlib.asynccontextmanager
    async def _worker(self) -> AsyncIterator["_Worker"]:
        """Lend a worker. One that was left in the middle of its work would give its answer to the next."""
        worker = await self._places.get()
        try:
            if worker is None:
                worker = await self._start_worker()
            yield worker
        except BaseException:
            if worker is not None:
                await worker.stop()
            worker = None
            raise
        finally:
            self._places.put_nowait(worker)

    async def _start_worker(self) -> "_Worker":
        worker = await _Worker.start()
        async with contextlib.AsyncExitStack() as failing:
            failing.push_async_callback(worker.stop)
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    answer = await worker.ask(self._job)
            except (TimeoutError, _WorkerDied) as error:
                raise ModelError("the ear's worker did not start; its own words are above", "ear_start") from error
            if isinstance(answer, Refused):
                raise ProfileError(self._source, *map(_unknown_word, answer.unknown_words))
            assert isinstance(answer, Ready), f"a worker answers its job with Ready or Refused, not {answer}"
            failing.pop_all()
        return worker

    async def _stop_workers(self) -> None:
        for _ in range(self._workers):
            if (worker := await self._places.get()) is not None:
                await worker.stop()


def _unknown_word(word: str) -> str:
    return f'"{word}" is not in the dictionary: use another word, or say how it sounds: [pronounce] {word} = "..."'


class _WorkerDied(Exception):
    """The process ended, or its pipe did."""


class _Worker:
    """One `phonebot.simulator.recogniser` process, which does one thing at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        # The worker finds phonebot where this process has found it, and nothing in the current folder.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "phonebot.simulator.recogniser",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        return cls(process)

    async def recognise(self, pcm8k: bytes) -> str:
        answer = await self.ask(pcm8k)
        assert isinstance(answer, Heard), f"a worker answers an utterance with Heard, not {answer}"
        return answer.text

    async def ask(self, request: bytes) -> Answer:
        """Return the answer to a request. Raises _WorkerDied."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None, "its input is a pipe"
        assert answers is not None, "its output is a pipe"
        try:
            requests.write(LENGTH.pack(len(request)) + request)
            await requests.drain()
        except ConnectionError as error:
            raise _WorkerDied from error
        line = await answers.readline()
        if not line.endswith(b"\n"):
            raise _WorkerDied
        answer: Answer = msgspec.json.decode(line, type=Answer)
        return answer

    async def stop(self) -> None:
        """End the process at once: it keeps nothing."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        # Reads what is left too: only then are the pipes closed.
        await self._process.communicate()
