"""
Reads call logs in a process of its own.

    reader = LogReader()
    summary = await reader.summary(folder)
    await reader.close()

To read a log takes about a tenth of a second of CPU for a minute of its call. In a thread that would hold the
interpreter's lock for some ms at a time, which the frames of all calls would have to wait for. The process has a
low priority, begins with the first log and ends when there was none for a while. It lives on its standard input:
when this process ends, however it does, that one does.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from phonebot.errors import PhonebotError
from phonebot.replay.log import LogError
from phonebot.replay.summary import Summary, summary_of

DEADLINE_S = 120.0  # the longest call takes some 20 s
IDLE_S = 60.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024
NICENESS = 10


class _Answer(Struct, frozen=True):
    """One of the two."""

    summary: Summary | None = None
    problem: str | None = None


class LogReader:
    """Use it from one task."""

    def __init__(self, deadline_s: float = DEADLINE_S, idle_s: float = IDLE_S) -> None:
        self._deadline_s, self._idle_s = deadline_s, idle_s
        self._process: Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def summary(self, folder: Path) -> Summary:
        """
        Raises LogError for a log that cannot be read.

        That goes also for one over which the process ends or takes too long, twice: it may have been killed for
        another reason.
        """
        if self._idle:
            self._idle.cancel()
        try:
            answer = await self._ask_in_time(folder)
        except LogError:
            answer = await self._ask_in_time(folder)
        self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._let_go)
        if answer.summary is None:
            raise LogError(folder.name, None, answer.problem or "no reason was given")
        return answer.summary

    async def close(self) -> None:
        if self._idle:
            self._idle.cancel()
        await self._end()

    async def _ask_in_time(self, folder: Path) -> _Answer:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._ask(folder)
        except TimeoutError:
            problem = f"was not read within {self._deadline_s:g} s"
        except (OSError, EOFError, ValueError) as error:
            problem = f"the process that reads it ended: {error}"
        await self._end()
        raise LogError(folder.name, None, problem)

    async def _ask(self, folder: Path) -> _Answer:
        process = self._process
        if process is None or process.returncode is not None or (process.stdin and process.stdin.is_closing()):
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                stdin=PIPE,
                stdout=PIPE,
                limit=MAX_ANSWER_BYTES,
                start_new_session=True,  # a Ctrl-C in the terminal is for us
            )
        assert process.stdin is not None, "it has a pipe"
        assert process.stdout is not None, "it has a pipe"
        process.stdin.write(msgspec.json.encode(str(folder)) + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError(f"exit code {await process.wait()}")
        return msgspec.json.decode(line, type=_Answer)

    def _let_go(self) -> None:
        """It ends by itself when its input does."""
        if self._process and self._process.stdin:
            self._process.stdin.close()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def answer(folder: Path) -> _Answer:
    """What the process says of a log."""
    try:
        return _Answer(summary=summary_of(folder))
    except (PhonebotError, OSError) as error:
        return _Answer(problem=str(error))
    except Exception as error:
        # A fault of ours over one log must not keep the others from being filed.
        return _Answer(problem=f"{type(error).__name__}: {error}")


def main() -> None:
    """Answer each line of the standard input."""
    os.nice(NICENESS)
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # sent to all processes of a service, while it still has logs for us
    encode, output = msgspec.json.Encoder().encode, sys.stdout.buffer
    for line in sys.stdin.buffer:
        output.write(encode(answer(Path(msgspec.json.decode(line, type=str)))) + b"\n")
        output.flush()


if __name__ == "__main__":
    main()
