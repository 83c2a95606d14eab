"""
Runs the hooks of one call. Whatever one of them does, the call goes on.

    running = HookTasks(hooks, events, call_for, tally)     # from now on they are told
    await running.close()                                   # when the call is over

Each has a queue and a task of its own, so a slow one delays neither the call nor another hook.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from phonebot.hooks.events import Dropped, Event
from phonebot.hooks.hook import Hook, LiveCall
from phonebot.hooks.listeners import CallEvents, Listener

CLOSE_S = 2.0
"""What hooks have, at a call's end, to come to an end with its last events."""
STOP_S = 1.0
"""What one that was cancelled has to clean up."""

log = logging.getLogger(__name__)


class Tally(Protocol):
    """Counts what goes wrong with hooks."""

    def hook_failed(self) -> None: ...

    def hook_dropped(self, events: int) -> None: ...


class HookTasks:
    """The hooks of one call. `call_for` gives the call as the hook of a name sees it."""

    def __init__(
        self, hooks: Iterable[Hook], events: CallEvents, call_for: Callable[[str], LiveCall], tally: Tally
    ) -> None:
        self._tally = tally
        self._tasks = [
            asyncio.create_task(self._run(each, events.listen(each.events), call_for(each.name)), name=each.name)
            for each in hooks
        ]

    async def close(self) -> None:
        """Wait until they have been told the last event, CLOSE_S at most; then they are stopped."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=CLOSE_S)
        for task in late:
            task.cancel()
        if late:
            _, left = await asyncio.wait(late, timeout=STOP_S)
            for task in left:
                log.warning("the hook %s goes on after its call's end", task.get_name())

    async def _run(self, hook: Hook, heard: Listener, call: LiveCall) -> None:
        with heard:
            async for event in heard:
                if isinstance(event, Dropped):
                    self._tally.hook_dropped(event.count)
                    log.warning("call %.40r: %d events are lost to %s", call.call_sid, event.count, hook.name)
                await self._tell(hook, event, call)

    async def _tell(self, hook: Hook, event: Event, call: LiveCall) -> None:
        try:
            await hook(event, call)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():
                log.warning("call %.40r: the hook %s was stopped in %s", call.call_sid, hook.name, event.type)
                raise
            self._tally.hook_failed()
            log.exception("call %.40r: the hook %s was cancelled in %s", call.call_sid, hook.name, event.type)
        except (Exception, SystemExit):  # a hook that wants to end the process does not
            self._tally.hook_failed()
            log.exception("call %.40r: the hook %s failed in %s", call.call_sid, hook.name, event.type)
