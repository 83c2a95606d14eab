"""Hooks that tests of whole calls use."""

from phonebot.hooks import Event, LiveCall, hook
from phonebot.hooks.events import HistoryUpdated, MessageItem, ToolEnd

heard: list[Event] = []
"""What `watch` was told."""


@hook
async def watch(event: Event, call: LiveCall) -> None:
    heard.append(event)


@hook(events=("tool_end",))
async def tell_of_the_dish(event: Event, call: LiveCall) -> None:
    assert isinstance(event, ToolEnd)
    call.context.state["told"] = True
    call.say("he asked.", role="system")


@hook(events=("agent_start",))
async def fail(event: Event, call: LiveCall) -> None:
    raise KeyError(event.type)


@hook(events=("history_updated",))
async def hang_up_after_the_greeting(event: Event, call: LiveCall) -> None:
    assert isinstance(event, HistoryUpdated)
    if any(isinstance(item, MessageItem) and item.status == "completed" for item in event.history):
        call.hang_up()
