"""
Looks, for one call, at what its guardrails are to look at. Whatever a guardrail does, the call goes on.

    guard.check(Check(...), answer)         # `answer` is given a Checked for each of the guardrails, once
    await guard.close()

What is found at once, words and patterns, is answered in the loop's next turn: the clear that may follow waits for
nobody. The rest runs in tasks, each with its own time-out.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

from phonebot.agents.guardrails import Guardrail
from phonebot.call.actions import Check
from phonebot.call.inputs import Checked
from phonebot.discretion import Personal
from phonebot.guardrails.looking import Finds, Looks, NotFoundOut, Seen, shortened
from phonebot.tools.running import ToolContext

MAX_RUNNING = 32  # looks that take their time, at once in a call
CLOSE_S = 2.0  # what they have, at a call's end, to clean up
GRACE_S = 0.25  # so much later than a look's own time-out it is given up: it may say better what it waited for
MAX_PROBLEM_CHARACTERS = 300

Answer = Callable[[Checked], object]

log = logging.getLogger(__name__)


class Guard:
    """
    `finds` and `looks` by name: those of the guardrails that take no time, and those that do. `problems` by name:
    why a guardrail cannot be looked at in this deployment. `resources` are what the looks need: closed with it.
    """

    def __init__(
        self,
        entries: Mapping[str, Guardrail],
        finds: Mapping[str, Finds],
        looks: Mapping[str, Looks],
        problems: Mapping[str, str],
        context: ToolContext,
        resources: AsyncExitStack,
    ) -> None:
        self._entries, self._finds, self._looks, self._problems = entries, finds, looks, problems
        self._context = context
        self._resources = resources
        # All tasks: for each look one that looks, and one, in `_looking`, that waits for it.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._looking: set[asyncio.Task[Any]] = set()
        self._closed = False

    def check(self, wanted: Check, answer: Answer) -> None:
        """Begin to look. `answer` is never called before this returns, and not after `close`."""
        seen = self._seen(wanted)
        at_once = [name for name in wanted.guardrails if name not in self._looks]
        if at_once:
            asyncio.get_running_loop().call_soon(self._find, wanted, seen, at_once, answer)
        for name in wanted.guardrails:
            if name not in self._looks:
                continue
            if len(self._looking) >= MAX_RUNNING:
                late = Checked(wanted.check_id, name, False, problem=f"{MAX_RUNNING} checks are running already")
                asyncio.get_running_loop().call_soon(self._answer, late, answer)
            else:
                task = self._start(self._look(wanted, name, seen, answer), name)
                self._looking.add(task)
                task.add_done_callback(self._looking.discard)

    async def close(self) -> None:
        """Stop all that runs, and wait for it, but not for what does not let itself be stopped."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=CLOSE_S)
            for task in left:
                log.warning("call %.40r: %s goes on after the call's end", self._context.call_sid, task.get_name())
        await self._resources.aclose()

    async def results(self, wanted: Check) -> list[Checked]:
        """What comes of it, however long it takes."""
        seen = self._seen(wanted)
        return [
            await self._looked(wanted, name, seen) if name in self._looks else self._found(wanted, name, seen)
            for name in wanted.guardrails
        ]

    def _seen(self, wanted: Check) -> Seen:
        if wanted.tool:
            return Seen.arguments(wanted.tool, wanted.arguments, self._context)
        return Seen(self._entries[wanted.guardrails[0]].on, wanted.text, self._context)

    # ---------------------------------------------------------------------------------- at once

    def _find(self, wanted: Check, seen: Seen, names: list[str], answer: Answer) -> None:
        for name in names:
            self._answer(self._found(wanted, name, seen), answer)

    def _found(self, wanted: Check, name: str, seen: Seen) -> Checked:
        if name in self._problems:
            return Checked(wanted.check_id, name, False, problem=self._problems[name])
        why = self._finds[name](seen)
        return Checked(wanted.check_id, name, why is not None, why or "")

    def _answer(self, result: Checked, answer: Answer) -> None:
        if not self._closed:
            answer(result)

    # ---------------------------------------------------------------------------------- in its own time

    def _start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=f"guardrail {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _look(self, wanted: Check, name: str, seen: Seen, answer: Answer) -> None:
        timeout_s = self._entries[name].timeout_s
        work = self._start(self._looked(wanted, name, seen), name)
        try:
            await asyncio.wait({work}, timeout=timeout_s + GRACE_S)
            if work.done() and not work.cancelled():
                result = work.result()
            else:
                why = "it was cancelled from within" if work.done() else f"it took more than {timeout_s:g} s"
                result = self._unknown(wanted, name, why)
        finally:
            work.cancel()
        self._answer(result, answer)

    async def _looked(self, wanted: Check, name: str, seen: Seen) -> Checked:
        try:
            why = await self._looks[name](seen)
        except NotFoundOut as problem:
            return self._unknown(wanted, name, str(problem))
        except (Exception, SystemExit) as error:  # a function that wants to end the process does not
            log.exception("call %.40r: the guardrail %s failed", self._context.call_sid, name)
            return self._unknown(wanted, name, f"{type(error).__name__}: {error}")
        return Checked(wanted.check_id, name, why is not None, shortened(why or ""))

    def _unknown(self, wanted: Check, name: str, problem: str) -> Checked:
        problem = problem[:MAX_PROBLEM_CHARACTERS]
        why = Personal(problem)
        log.warning("call %.40r: guardrail %s found nothing out: %s", self._context.call_sid, name, why)
        return Checked(wanted.check_id, name, False, problem=problem)
