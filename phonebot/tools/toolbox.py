"""
Runs the functions of one call. Whatever one of them does, the call goes on: the model is told a sentence.

    toolbox.run(RunTool(...), answer)       # `answer` is given a ToolResult, once, unless it is stopped before
    toolbox.stop(call_id)
    await toolbox.close()
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from msgspec import structs

from phonebot.call.actions import RunTool
from phonebot.call.inputs import MAX_OUTPUT_CHARACTERS, ToolResult
from phonebot.call.plan import HIDDEN_KEYS
from phonebot.discretion import Personal
from phonebot.tools.running import Blocking, Kind, Leaving, Runnable, Speaking, ToolContext, ToolError, ToolFault
from phonebot.tools.wording import Wording

CLOSE_S = 2.0  # what functions have, at a call's end, to clean up
MAX_PROBLEM_CHARACTERS = 500
MIN_SECRET_KEYS = 3

Answer = Callable[[ToolResult], object]
T = TypeVar("T")

log = logging.getLogger(__name__)


class Toolbox:
    """
    The functions of one call, by name, and those of them that run: each in a task of its own.

    `keyless` ones are not given the keys that the caller keyed in hidden: they would keep them.
    """

    def __init__(
        self,
        tools: Mapping[str, Runnable],
        context: ToolContext,
        wording: Wording,
        blocking: Blocking,
        keyless: Collection[str] = (),
    ) -> None:
        self._tools = tools
        self._context = context
        self._wording = wording
        self._blocking = blocking
        self._keyless = keyless
        # By call id, those whose result is still wanted.
        self._wanted: dict[str, asyncio.Task[None]] = {}
        # All tasks, wanted or not: a function may take its time to be cancelled, or not let itself be.
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, wanted: RunTool, answer: Answer) -> None:
        """Begin to run it. `answer` is never called before this returns."""
        self._wanted[wanted.call_id] = self._task(self._answer(wanted, answer), wanted.name)

    def _task(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=f"tool {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self, call_id: str) -> None:
        """Its result is not wanted any more."""
        if task := self._wanted.pop(call_id, None):
            task.cancel()

    async def close(self) -> None:
        """Stop all that runs, and wait for it, but not for what does not let itself be stopped."""
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=CLOSE_S)
        for task in left:
            log.warning("call %.40r: %s goes on after the call's end", self._context.call_sid, task.get_name())

    async def _answer(self, wanted: RunTool, answer: Answer) -> None:
        tool = self._tools[wanted.name]
        work = self._task(self.result(wanted), wanted.name)
        try:
            await asyncio.wait({work}, timeout=tool.timeout_s)
            if not work.done():
                result = self._late(tool, wanted)
            elif work.cancelled():
                result = self._failed(wanted, "it was cancelled from within")
            else:
                result = work.result()
        finally:
            work.cancel()
        self._wanted.pop(wanted.call_id, None)
        answer(result)

    async def result(self, wanted: RunTool) -> ToolResult:
        """What comes of it, however long it takes."""
        name, keys = wanted.name, self._keys_for(wanted)
        arguments = wanted.arguments.replace(HIDDEN_KEYS, keys) if keys else wanted.arguments
        try:
            context = replace(self._context, function=name)
            output = await self._tools[name].run(arguments, context, self._blocking)
        except ToolError as error:
            why = without(keys, str(error))
            text = self._wording.of("failed", name, why, is_sentence=True)
            return self._wrong(wanted, text, "it says", why)
        except ToolFault as fault:
            text = self._wording.of(fault.kind, name, without(keys, fault.message))
            return self._wrong(wanted, text, _WHAT[fault.kind], without(keys, fault.detail))
        except (Exception, SystemExit) as error:  # a function that wants to end the process does not
            # What was raised may hold the keys that it was given.
            log.error("call %.40r: the function %s failed", self._context.call_sid, name, exc_info=not keys)
            return self._failed(wanted, f"{type(error).__name__}: {without(keys, str(error))}")
        if isinstance(output, Leaving):
            leave = structs.replace(output.leave, words=without(keys, output.leave.words))
            return ToolResult(wanted.call_id, bounded(without(keys, output.output)), leave=leave)
        if isinstance(output, Speaking):
            return ToolResult(wanted.call_id, bounded(without(keys, output.output)), language=output.language)
        return ToolResult(wanted.call_id, bounded(without(keys, output)))

    def _keys_for(self, wanted: RunTool) -> str:
        """The hidden keys that are to stand in its arguments; "": none are."""
        asks = HIDDEN_KEYS in wanted.arguments and wanted.name not in self._keyless
        return self._context.hidden_keys() if asks and self._context.hidden_keys else ""

    def _failed(self, wanted: RunTool, why: str) -> ToolResult:
        return self._wrong(wanted, self._wording.of("failed", wanted.name, why), "it failed", why)

    def _late(self, tool: Runnable, wanted: RunTool) -> ToolResult:
        message = f"it took more than {tool.timeout_s:g} s"
        return self._wrong(wanted, self._wording.of("timeout", wanted.name, message), message)

    def _wrong(self, wanted: RunTool, output: str, what: str, why: str = "") -> ToolResult:
        """What went wrong in words of ours, and why in those of others, which the call's log alone has."""
        problem = (f"{what}: {why}" if why else what)[:MAX_PROBLEM_CHARACTERS]
        told = f"{what}: {Personal(why)}" if why else what
        log.warning("call %.40r: %s: %s", self._context.call_sid, wanted.name, told)
        return ToolResult(wanted.call_id, bounded(output), problem)


_WHAT: dict[Kind, str] = {
    "arguments": "its arguments do not fit",
    "failed": "it failed",
    "timeout": "it took too long",
}


def without(keys: str, text: str) -> str:
    """The text, in which hidden keys that the function was given are hidden again; so few are no secret."""
    return text.replace(keys, HIDDEN_KEYS) if len(keys) >= MIN_SECRET_KEYS else text


def bounded(output: str) -> str:
    """The output as the model may be told it; what is cut says so."""
    if len(output) <= MAX_OUTPUT_CHARACTERS:
        return output
    note = " [cut: it was longer than can be told]"
    return output[: MAX_OUTPUT_CHARACTERS - len(note)] + note
