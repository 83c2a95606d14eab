"""Hooks of a call: what they are told, what becomes of slow and faulty ones, and how they are loaded."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from phonebot.call.actions import Ended, Trouble
from phonebot.call.inputs import MAX_TYPED_CHARACTERS, Tick, TypedText
from phonebot.call.plan import CallPlan
from phonebot.errors import SettingsError, TextRefused
from phonebot.hooks import LiveCall, hook, listeners, running
from phonebot.hooks.events import USUAL, CallEnd, Dropped, Error, Event, HistoryUpdated, MessageItem
from phonebot.hooks.hook import Code, Hook
from phonebot.hooks.listeners import CallEvents
from phonebot.hooks.registry import load_hooks
from phonebot.hooks.running import HookTasks
from phonebot.realtime.events import ItemAdded, Message, Session
from phonebot.tools import ToolContext
from phonebot.tools.typist import MAX_TEXTS, PER_S, Typist

PLAN = CallPlan(Session())


class Counted:
    failed = dropped = 0

    def hook_failed(self) -> None:
        self.failed += 1

    def hook_dropped(self, events: int) -> None:
        self.dropped += events


class Held:
    """A call with hooks."""

    def __init__(self, *codes: Code, events: frozenset[str] = USUAL) -> None:
        self.events, self.tally = CallEvents(PLAN), Counted()
        self.typed: list[TypedText] = []
        self.hung_up: list[str] = []
        self.context = ToolContext("CA1", "+15550100001")
        typist = Typist("CA1", self.typed.append)
        hooks = [Hook(code.__name__, events, code) for code in codes]
        self.tasks = HookTasks(
            hooks,
            self.events,
            lambda by: LiveCall(self.context, by, self.events, typist, self.hung_up.append),
            self.tally,
        )

    def trouble(self, problem: str, now: int = 10) -> None:
        self.events.happened(now, Tick(), [Trouble(problem)])

    async def end(self) -> None:
        self.events.happened(99, Tick(), [Ended("time_limit")])
        await self.tasks.close()


async def test_a_hook_is_told_what_it_asked_for_in_order_and_may_act_on_the_call() -> None:
    heard: list[Event] = []

    async def watch(event: Event, call: LiveCall) -> None:
        heard.append(event)
        call.context.state["seen"] = len(heard)
        if isinstance(event, Error):
            call.say("Say sorry.", role="system", interrupt=True)
        else:
            call.hang_up()

    held = Held(watch, events=frozenset({"error", "call_end"}))
    held.trouble("one", 10)
    held.events.happened(15, ItemAdded(Message("user", id="turn_1")), [])
    held.trouble("two", 20)
    await held.end()
    ended = CallEnd(t_ms=99, outcome="time_limit")
    assert heard == [Error(t_ms=10, error="one"), Error(t_ms=20, error="two"), ended]
    assert held.typed == [TypedText("Say sorry.", "watch", "system", True)] * 2
    assert held.hung_up == ["watch"]
    assert held.context.state == {"seen": 3}


async def test_a_hook_that_fails_harms_nothing_and_is_told_what_comes_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    async def fail(event: Event, call: LiveCall) -> None:
        heard.append(event.type)
        if event.type == "call_end":
            raise SystemExit(1)
        raise asyncio.CancelledError if len(heard) == 1 else KeyError("x")

    held = Held(fail)
    held.trouble("one")
    held.trouble("two")
    await held.end()
    assert heard == ["error", "error", "call_end"]
    assert held.tally.failed == 3
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert all("CA1" in record.getMessage() for record in caplog.records)


async def test_a_slow_hook_loses_the_oldest_events_is_told_so_and_delays_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listeners, "MAX_QUEUED", 3)
    go, heard, others = asyncio.Event(), list[Event](), list[Event]()

    async def slow(event: Event, call: LiveCall) -> None:
        heard.append(event)
        await go.wait()

    async def quick(event: Event, call: LiveCall) -> None:
        others.append(event)

    held = Held(slow, quick, events=frozenset({"error"}))
    for number in range(8):
        held.trouble(str(number), number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    go.set()
    await held.end()
    assert heard == [
        Error(t_ms=0, error="0"),
        Dropped(t_ms=5, count=4),
        *(Error(t_ms=number, error=str(number)) for number in (5, 6, 7)),
    ]
    assert [event for event in others if isinstance(event, Error)] == [
        Error(t_ms=number, error=str(number)) for number in range(8)
    ]
    assert held.tally.dropped == 4


async def test_a_hook_has_a_moment_at_the_calls_end_and_is_then_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CLOSE_S", 0.05)
    stopped: list[str] = []

    async def endless(event: Event, call: LiveCall) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(event.type)

    held = Held(endless)
    await held.end()
    assert stopped == ["call_end"]


async def test_who_listens_later_is_told_the_history_first_and_nothing_after_the_end() -> None:
    events = CallEvents(PLAN)
    events.happened(10, ItemAdded(Message("user", id="turn_1")), [])
    item = MessageItem(item_id="turn_1", role="user", status="completed")
    with events.listen(USUAL) as listener:
        events.close("stream_lost")
        events.close("time_limit")
        assert [event async for event in listener] == [
            HistoryUpdated(t_ms=10, history=(item,)),
            CallEnd(t_ms=10, outcome="stream_lost"),
        ]
    late = events.listen({"call_end"})
    assert [event async for event in late] == []


async def test_what_only_some_want_is_made_only_while_they_listen() -> None:
    events = CallEvents(PLAN)
    added = ItemAdded(Message("user", id="turn_1"))
    with events.listen({"raw_model_event"}) as listener:
        events.happened(10, added, [])
        assert [event.type for event in listener.take()] == ["raw_model_event"]
    with events.listen(USUAL) as usual:
        usual.take()
        events.happened(20, added, [])
        assert usual.take() == []


# ------------------------------------------------------------------------------------------- who types


async def test_so_much_may_be_typed_and_no_more() -> None:
    sent: list[TypedText] = []
    clock = [0.0]
    typist = Typist("CA1", sent.append, lambda: clock[0])
    for text in ("", " ", "x" * (MAX_TYPED_CHARACTERS + 1)):
        with pytest.raises(TextRefused, match="1 to 2000 characters"):
            typist.say(text, "ada")
    for _ in range(MAX_TEXTS):
        typist.say("Hello", "ada")
    with pytest.raises(TextRefused, match="wait") as refused:
        typist.say("Hello", "ada")
    assert refused.value.too_many
    clock[0] = PER_S
    typist.say("Hello", "ada")
    typist.close()
    with pytest.raises(TextRefused, match="it is over"):
        typist.say("Hello", "ada")
    assert len(sent) == MAX_TEXTS + 1


async def test_a_function_types_in_its_own_name_from_a_thread_too() -> None:
    sent: list[TypedText] = []
    context = ToolContext("CA1", function="book", typist=Typist("CA1", sent.append))
    await asyncio.to_thread(context.say, "It is booked.", role="system")
    await asyncio.sleep(0)
    assert sent == [TypedText("It is booked.", "book", "system")]
    with pytest.raises(TextRefused, match="nobody holds"):
        ToolContext("CA1").say("It is booked.")


# ------------------------------------------------------------------------------------------- which there are

MODULE = """
from phonebot.hooks import hook

@hook
async def first(event, call): ...

@hook(events=("error",))
async def second(event, call): ...

async def plain(event, call): ...
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "some_hooks.py").write_text(MODULE)
    (tmp_path / "no_hooks.py").write_text("")
    yield
    for name in ("some_hooks", "no_hooks"):
        sys.modules.pop(name, None)


def test_all_hooks_of_a_module_or_one_are_loaded_none_twice(modules: None) -> None:
    first, second = load_hooks("some_hooks, some_hooks:first")
    assert (first.name, first.events, second.events) == ("first", USUAL, frozenset({"error"}))
    assert [each.name for each in load_hooks("some_hooks:second")] == ["second"]
    assert load_hooks("") == ()


def test_each_that_there_is_not_is_told(modules: None) -> None:
    with pytest.raises(SettingsError) as caught:
        load_hooks("some_hooks:plain,no_hooks,nowhere,some_hooks:gone")
    assert [problem.partition(": ")[2] for problem in caught.value.problems] == [
        "some_hooks:plain cannot be loaded: it is no function that is decorated with @hook",
        "no_hooks cannot be loaded: no function in it is decorated with @hook",
        "nowhere cannot be loaded: ModuleNotFoundError: No module named 'nowhere'",
        "some_hooks:gone cannot be loaded: AttributeError: module 'some_hooks' has no attribute 'gone'",
    ]


def test_what_cannot_be_a_hook_is_refused_where_it_is_written() -> None:
    def plain(event: Event, call: LiveCall) -> None: ...

    async def alone(event: Event) -> None: ...

    async def fine(event: Event, call: LiveCall) -> None: ...

    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda: hook(plain), TypeError, "no async def"),  # type: ignore[arg-type]
        (lambda: hook(alone), TypeError, "two parameters"),  # type: ignore[arg-type]
        (lambda: hook(events=("tool_ended",))(fine), ValueError, "the nearest is tool_end"),
        (lambda: hook(events="tool_end")(fine), TypeError, "not a text"),
    ]
    for make, kind, problem in wrong:
        with pytest.raises(kind, match=problem):
            make()
    with suppress(StopIteration):
        hook(fine)(CallEnd(t_ms=1, outcome="time_limit"), None).__await__().send(None)  # type: ignore[arg-type]
