"""What a call's watchers are told: each event once and in order, whoever comes late or falls behind."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from phonebot.call.actions import (
    Action,
    BargeIn,
    Cut,
    Ended,
    FalseAlarm,
    Floor,
    Held,
    LimitNear,
    LimitReached,
    Line,
    StartRecording,
    Trouble,
)
from phonebot.call.actions import GuardrailTripped as Tripped
from phonebot.call.inputs import PlayClip, Tick
from phonebot.call.plan import CallPlan, Clip
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Dtmf
from phonebot.realtime.events import Session, SpokenTextDelta, SpokenTextDone
from phonebot.replay.log import About
from phonebot.replay.reader import read
from phonebot.web import feed as feeds
from phonebot.web import subscription
from phonebot.web.feed import CallFeed, Feed
from phonebot.web.live_events import (
    CallEnded,
    GuardrailTripped,
    Interrupted,
    ItemCut,
    KeyPressed,
    LimitTold,
    LineSettled,
    Lost,
    Paused,
    Said,
    Snapshot,
    TextAdded,
    TurnTaken,
    WentOn,
    WentWrong,
)
from phonebot.web.subscription import Subscription

ABOUT = About(call_sid="CA1", kind="browser", from_number="browser:ada", to_number="+15550100002", profile="Desk")
RECORDED = Path(__file__).parents[2] / "fixtures" / "calls"
OTHER = About(call_sid="CA2")


def spoken(item_id: str, text: str) -> SpokenTextDelta:
    return SpokenTextDelta("resp_1", item_id, 0, 0, text)


def happen(call: CallFeed, now: int, *actions: Action, received: Any = Tick()) -> None:  # noqa: B008 - frozen
    call.happened(now, received, list(actions))


async def waiting(events: Subscription) -> list[Any]:
    """What the subscriber can read without waiting."""
    events.close()
    return [event async for event in events]


async def test_a_guardrail_that_trips_is_told() -> None:
    feed = Feed()
    call = feed.begin(ABOUT)
    with feed.subscribe("CA1") as events:
        happen(call, 40, Tripped("advice", "bot", "say", "blue pills", "item_1"))
        _, told = await waiting(events)
    assert told == GuardrailTripped(
        call_sid="CA1", at_ms=40, guardrail="advice", on="bot", then="say", why="blue pills"
    )


async def test_a_limit_is_told_in_a_sentence() -> None:
    feed = Feed()
    call = feed.begin(ABOUT)
    with feed.subscribe("CA1") as events:
        happen(call, 40, LimitNear("time", 840, 900), LimitReached("cost", 2.004, 2))
        _, *told = await waiting(events)
    near = "The call is near the time that it may last: 840 s of 900 s."
    reached = "The call has reached what it may cost: 2.00 US dollars of 2.00 US dollars."
    assert told == [
        LimitTold(call_sid="CA1", at_ms=40, limit="time", reached=False, text=near),
        LimitTold(call_sid="CA1", at_ms=40, limit="cost", reached=True, text=reached),
    ]


async def test_a_watcher_is_told_when_the_caller_has_heard_the_notice() -> None:
    feed = Feed()
    call = feed.begin(ABOUT, CallPlan(Session(), notice="This call is recorded."))
    with feed.subscribe("CA1") as events:
        before = await anext(events)
        happen(call, 2_000, StartRecording())
        (after,) = await waiting(events)
    assert isinstance(before, Snapshot)
    assert (before.noticed, after.noticed) == (False, True)


async def test_a_watcher_is_told_all_that_happens_to_a_call_in_order() -> None:
    feed = Feed()
    with feed.subscribe("CA1") as events:
        call = feed.begin(ABOUT)
        happen(call, 10, Floor(Turn.BOT))
        happen(call, 20, received=spoken("item_1", "Good morning"))
        happen(call, 30, received=spoken("item_1", ", how are you?"))
        happen(call, 40, Held(900), BargeIn(800), Floor(Turn.CALLER))
        happen(call, 50, Cut("item_1", 700, 1900, "fence"), Line("bot", "item_1", "Good", cut=True, heard_ms=700))
        happen(call, 60, FalseAlarm("echo"), Trouble("the model is slow"), received=Dtmf(7, "5"))
        happen(call, 70, Line("caller", "item_2", "Stop"))
        happen(call, 80, Ended("caller_hung_up"))
        call.close("stream_lost")  # the first word counts
        told = [event async for event in events]
    line = Said(
        role="bot",
        item_id="item_1",
        text="Good",
        at_ms=50,
        cut=True,
        heard_ms=700,
        of_ms=1900,
        rest=" morning, how are you?",
    )
    assert isinstance(told[0], Snapshot)
    assert told[1:] == [
        TurnTaken(call_sid="CA1", at_ms=10, turn=Turn.BOT),
        TextAdded(call_sid="CA1", at_ms=20, item_id="item_1", text="Good morning"),
        TextAdded(call_sid="CA1", at_ms=30, item_id="item_1", text=", how are you?"),
        Paused(call_sid="CA1", at_ms=40, unheard_ms=900),
        Interrupted(call_sid="CA1", at_ms=40, unheard_ms=800),
        TurnTaken(call_sid="CA1", at_ms=40, turn=Turn.CALLER),
        ItemCut(call_sid="CA1", at_ms=50, item_id="item_1", heard_ms=700, of_ms=1900, settled="fence"),
        LineSettled(call_sid="CA1", at_ms=50, line=line),
        KeyPressed(call_sid="CA1", at_ms=60),
        WentOn(call_sid="CA1", at_ms=60, why="echo"),
        WentWrong(call_sid="CA1", at_ms=60, problem="the model is slow"),
        LineSettled(call_sid="CA1", at_ms=70, line=Said(role="caller", item_id="item_2", text="Stop", at_ms=70)),
        CallEnded(call_sid="CA1", at_ms=80, outcome="caller_hung_up"),
    ]


async def test_who_comes_late_begins_with_the_call_so_far() -> None:
    feed = Feed()
    call = feed.begin(ABOUT)
    happen(call, 10, Line("caller", "item_1", "Hello"), Floor(Turn.BOT))
    happen(call, 20, received=spoken("item_2", "Good "))
    with feed.subscribe("CA1") as events:
        happen(call, 30, received=spoken("item_2", "morning"))
        snapshot, text = await waiting(events)
    assert snapshot == Snapshot(
        call_sid="CA1",
        at_ms=20,
        kind="browser",
        started=snapshot.started,
        caller="browser:ada",
        number="+15550100002",
        profile="Desk",
        profile_version=None,
        turn=Turn.BOT,
        lines=(Said(role="caller", item_id="item_1", text="Hello", at_ms=10),),
        texts={"item_2": "Good "},
    )
    assert text == TextAdded(call_sid="CA1", at_ms=30, item_id="item_2", text="morning")


async def test_events_are_json_that_names_its_type() -> None:
    feed = Feed()
    feed.begin(ABOUT)
    with feed.subscribe() as events:
        (snapshot,) = await waiting(events)
    read = msgspec.json.decode(msgspec.json.encode(snapshot))
    assert (read["type"], read["call_sid"], read["turn"], read["lines"]) == ("snapshot", "CA1", "idle", [])
    assert msgspec.json.encode(Lost()) == b'{"type":"lost"}'


async def test_who_watches_all_calls_is_told_of_each_and_of_those_to_come() -> None:
    feed = Feed()
    first = feed.begin(ABOUT)
    with feed.subscribe() as events:
        feed.begin(OTHER)
        first.close("caller_hung_up")
        told = await waiting(events)
    assert [(type(event), event.call_sid) for event in told] == [
        (Snapshot, "CA1"),
        (Snapshot, "CA2"),
        (CallEnded, "CA1"),
    ]
    assert [snapshot.call_sid for snapshot in feed.calls()] == ["CA2"]
    assert feed.call("CA1") is None


async def test_who_watches_one_call_is_told_of_no_other() -> None:
    feed = Feed()
    with feed.subscribe("CA1") as events:
        happen(feed.begin(OTHER), 10, Floor(Turn.BOT))
        assert await waiting(events) == []


async def test_a_watcher_that_is_too_slow_is_told_so_and_the_others_are_not_concerned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription, "MAX_QUEUED", 3)
    feed = Feed()
    call = feed.begin(ABOUT)
    with feed.subscribe("CA1") as slow, feed.subscribe("CA1") as quick:
        quickly = []
        for now in range(4):
            quickly.append(await anext(quick))
            happen(call, now, Floor(Turn.BOT))
        assert [event async for event in slow] == [Lost()]
        assert [type(event) for event in quickly] == [Snapshot, TurnTaken, TurnTaken, TurnTaken]


async def test_a_watcher_waits_until_something_happens_and_is_let_go_when_it_closes() -> None:
    feed = Feed()
    events = feed.subscribe("CA1")
    reading = asyncio.ensure_future(anext(events, None))
    await asyncio.sleep(0)
    assert not reading.done()
    call = feed.begin(ABOUT)
    assert isinstance(await reading, Snapshot)
    reading = asyncio.ensure_future(anext(events, None))
    await asyncio.sleep(0)
    events.close()
    assert await reading is None
    assert call.listeners == []


async def test_the_text_of_a_clip_is_known_before_it_is_heard() -> None:
    feed = Feed()
    call = feed.begin(ABOUT, CallPlan(Session(), opening=(Clip("Hello there", "AAAA", "greeting"),)))
    happen(call, 10, received=PlayClip("One moment", "AAAA", "clip_1"))
    assert call.snapshot().texts == {"greeting": "Hello there", "clip_1": "One moment"}
    happen(call, 20, Cut("greeting", 400, 900, "fence"), Line("bot", "greeting", "Hello", cut=True, heard_ms=400))
    (line,) = call.snapshot().lines
    assert (line.text, line.rest, line.of_ms) == ("Hello", " there", 900)


async def test_text_that_comes_after_its_line_is_not_told() -> None:
    feed = Feed()
    call = feed.begin(ABOUT)
    happen(call, 10, received=SpokenTextDone("resp_1", "item_1", 0, 0, "Hello"))
    happen(call, 20, Cut("item_1", 0, 900, "fence"))
    happen(call, 30, received=spoken("item_1", " there"))
    happen(call, 40, Line("bot", "item_2", "Yes", heard_ms=300))
    happen(call, 50, received=spoken("item_2", "!"))
    assert call.snapshot().texts == {}


async def test_a_call_keeps_its_newest_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_LINES", 2)
    call = Feed().begin(ABOUT)
    for n in range(3):
        happen(call, n, Line("caller", f"item_{n}", str(n)))
    assert [line.text for line in call.snapshot().lines] == ["1", "2"]


async def test_who_begins_to_watch_more_calls_than_events_may_wait_is_told_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription, "MAX_QUEUED", 3)
    feed = Feed()
    calls = [feed.begin(About(call_sid=f"CA{number}")) for number in range(10)]
    with feed.subscribe() as events:
        assert [event.call_sid for event in events.waiting if isinstance(event, Snapshot)] == [
            call.call_sid for call in calls
        ]
        happen(calls[0], 100, Floor(Turn.CALLER))
        happen(calls[0], 200, Floor(Turn.THINKING))
        assert len(await waiting(events)) == 12


async def test_a_snapshot_that_waits_gives_way_to_a_newer_one_unless_something_happened_between() -> None:
    events = Subscription(None, closed=lambda closed: None)
    call = Feed().begin(OTHER)
    first = call.snapshot()
    said, later, last = (replace(first, at_ms=at_ms) for at_ms in (100, 300, 400))
    turn = TurnTaken(call_sid="CA2", at_ms=200, turn=Turn.BOT)
    events.put(first)
    events.put(said)
    assert events.waiting == (said,)
    events.put(turn)
    events.put(later)
    assert await anext(events) == said
    events.put(last)
    assert await waiting(events) == [turn, last]


@pytest.mark.parametrize("name", ["clinic", "interrupted-twice", "another-language", "consent", "typed"])
def test_what_changes_the_snapshot_of_a_recorded_call_is_counted_and_that_time_goes_on_is_not(
    name: str,
) -> None:
    log = read(RECORDED / name)
    call = Feed().begin(log.header, log.plan)
    snapshot, changes, rounds = call.snapshot(), call.changes, 0
    for step in log.steps:
        call.happened(step.now_ms, step.input, list(step.actions))
        after = call.snapshot()
        assert call.changes > changes or replace(after, at_ms=snapshot.at_ms) == snapshot, step
        rounds += call.changes > changes
        snapshot, changes = after, call.changes
    assert rounds < len(log.steps) / 4
