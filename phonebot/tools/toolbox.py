"""
Runs the functions of one call. Whatever one of them does, the call goes on: the model is told a sentence.

    toolbox.run(RunTool(...), answer)       # `answer` is given a ToolResult, once, unless it is stopped before
    toolbox.stop(call_id)
    await toolbox.close()
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from phonebot.call.actions import RunTool
from phonebot.call.inputs import MAX_OUTPUT_CHARACTERS, ToolResult
from phonebot.tools.running import Blocking, Kind, Runnable, ToolContext, ToolError, ToolFault
from phonebot.tools.wording import Wording

CLOSE_S = 2.0  # what functions have, at a call's end, to clean up
MAX_PROBLEM_CHARACTERS = 500

Answer = Callable[[ToolResult], object]

log = logging.getLogger(__name__)


class Toolbox:
    """The functions of one call, by name, and those of them that run: each in a task of its own."""

    def __init__(
        self, tools: Mapping[str, Runnable], context: ToolContext, wording: Wording, blocking: Blocking
    ) -> None:
        self._tools = tools
        self._context = context
        self._wording = wording
        self._blocking = blocking
        # By call id, those whose result is still wanted.
        self._wanted: dict[str, asyncio.Task[None]] = {}
        # All that runs, wanted or not: a function may take its time to be cancelled, or not let itself be.
        self._running: set[asyncio.Task[ToolResult]] = set()

    def run(self, wanted: RunTool, answer: Answer) -> None:
        """Begin to run it. `answer` is never called before this returns."""
        task = asyncio.create_task(self._answer(wanted, answer), name=f"tool {wanted.name}")
        self._wanted[wanted.call_id] = task

    def stop(self, call_id: str) -> None:
        """Its result is not wanted any more."""
        if task := self._wanted.pop(call_id, None):
            task.cancel()

    async def close(self) -> None:
        """Stop all that runs, and wait for it, but not for what does not let itself be stopped."""
        wanted = list(self._wanted.values())
        for call_id in list(self._wanted):
            self.stop(call_id)
        tasks: set[asyncio.Task[Any]] = {*wanted, *self._running}
        for task in self._running:
            task.cancel()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in left:
            log.warning("call %.40r: %s goes on after the call's end", self._context.call_sid, task.get_name())

    async def _answer(self, wanted: RunTool, answer: Answer) -> None:
        tool = self._tools[wanted.name]
        work = asyncio.create_task(self._result(tool, wanted), name=f"tool {wanted.name}")
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({work}, timeout=tool.timeout_s)
            result = work.result() if work.done() and not work.cancelled() else self._late(tool, wanted)
        finally:
            work.cancel()
        self._wanted.pop(wanted.call_id, None)
        answer(result)

    async def _result(self, tool: Runnable, wanted: RunTool) -> ToolResult:
        name = wanted.name
        try:
            output = await tool.run(wanted.arguments, self._context, self._blocking)
        except ToolError as error:
            text = self._wording.of("failed", name, str(error), is_sentence=True)
            return self._wrong(wanted, text, f"it says: {error}")
        except ToolFault as fault:
            text = self._wording.of(fault.kind, name, fault.message)
            return self._wrong(wanted, text, f"{_WHAT[fault.kind]}: {fault.detail}")
        except (Exception, SystemExit) as error:  # a function that wants to end the process does not
            log.exception("call %.40r: the function %s failed", self._context.call_sid, name)
            told = f"{type(error).__name__}: {error}"
            return self._wrong(wanted, self._wording.of("failed", name, told), f"it failed: {told}")
        return ToolResult(wanted.call_id, bounded(output))

    def _late(self, tool: Runnable, wanted: RunTool) -> ToolResult:
        message = f"it took more than {tool.timeout_s:g} s"
        return self._wrong(wanted, self._wording.of("timeout", wanted.name, message), message)

    def _wrong(self, wanted: RunTool, output: str, problem: str) -> ToolResult:
        problem = problem[:MAX_PROBLEM_CHARACTERS]
        log.warning("call %.40r: %s: %s", self._context.call_sid, wanted.name, problem)
        return ToolResult(wanted.call_id, bounded(output), problem)


_WHAT: dict[Kind, str] = {
    "arguments": "its arguments do not fit",
    "failed": "it failed",
    "timeout": "it took too long",
}


def bounded(output: str) -> str:
    """The output as the model may be told it; what is cut says so."""
    if len(output) <= MAX_OUTPUT_CHARACTERS:
        return output
    note = " [cut: it was longer than can be told]"
    return output[: MAX_OUTPUT_CHARACTERS - len(note)] + note
