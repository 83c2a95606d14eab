"""From what happens in a call to the SDK's events and the history, in virtual time; and the same from a log."""

from pathlib import Path

import pytest
from driver import CallDriver

from phonebot.call.actions import Ended, HandOff, Line, Tell, Trouble
from phonebot.call.inputs import OperatorHangUp, Tick, ToolResult, TypedText
from phonebot.call.plan import AgentPlan, CallPlan, Clip, ToolRule
from phonebot.hooks import events as told
from phonebot.hooks.events import Event, HistoryItem, MessageItem, ToolCallItem
from phonebot.hooks.translator import Translator, events_of
from phonebot.realtime.events import (
    AudioCommitted,
    DeleteItem,
    FunctionCall,
    IdleTimeout,
    OutputItemDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    Transcription,
    TranscriptionCompleted,
    TurnDetection,
)
from phonebot.replay.reader import read

SESSION = Session(turn_detection=TurnDetection("server_vad"), transcription=Transcription("any"))
CALLS = Path(__file__).parents[2] / "fixtures" / "calls"


def translated(driver: CallDriver, plan: CallPlan, *on_request: str) -> tuple[list[Event], tuple[HistoryItem, ...]]:
    translator = Translator(plan, on_request)
    events = [event for each in driver.happened for event in translator.happened(*each)]
    return events, translator.history


def names(events: list[Event], *left_out: str) -> list[str]:
    return [event.type for event in events if event.type not in ("history_updated", *left_out)]


def held(plan: CallPlan) -> CallDriver:
    """The caller asks something."""
    driver = CallDriver(plan)
    driver.feed(SpeechStarted(700), SpeechStopped(1_500), AudioCommitted("turn_1"))
    driver.feed(TranscriptionCompleted("turn_1", 0, "Are you open?"))
    return driver


def test_a_question_and_its_answer() -> None:
    plan = CallPlan(SESSION)
    driver = held(plan)
    driver.say("item_1", 400, text="Yes, we are")
    driver.run(1_000)
    driver.feed(OperatorHangUp("ada"))
    events, history = translated(driver, plan)
    assert names(events) == [
        "call_start",
        "history_added",
        "agent_start",
        "history_added",
        "audio_end",
        "agent_end",
        "call_end",
    ]
    assert history == (
        MessageItem(item_id="turn_1", role="user", status="completed", text="Are you open?"),
        MessageItem(
            item_id="item_1",
            role="assistant",
            status="completed",
            text="Yes, we are",
            heard_ms=400,
            of_ms=400,
            agent="main",
        ),
    )
    updates = [event.history for event in events if isinstance(event, told.HistoryUpdated)]
    assert updates[-1] == history
    assert len(set(updates)) == len(updates)  # each says something new
    assert events[-1] == told.CallEnd(t_ms=driver.now, outcome="operator_hung_up")


def test_what_was_not_heard_is_not_in_the_history_and_what_was_cut_says_where() -> None:
    plan = CallPlan(SESSION)
    driver = held(plan)
    driver.begin("item_1")
    driver.more("item_1", 2_000)
    driver.end("item_1", text="We are open from nine to five")
    driver.begin("item_2")
    driver.more("item_2", 1_000)
    driver.run(900)
    driver.feed(SpeechStarted(3_000))
    driver.more("item_2", 400)  # on its way when the caller spoke
    driver.run(500)
    events, history = translated(driver, plan, "audio")
    (interrupted,) = [event for event in events if isinstance(event, told.AudioInterrupted)]
    assert interrupted.item_id == "item_1"
    assert interrupted.unheard_ms > 1_000
    answer = history[1]
    assert isinstance(answer, MessageItem)
    assert (answer.status, answer.heard_ms, answer.of_ms) == ("incomplete", driver.heard_ms("item_1"), 2_000)
    assert f"{answer.text} {answer.rest}" == "We are open from nine to five"
    assert len(history) == 2
    assert [event.item_id for event in events if isinstance(event, told.Audio)].count("item_2") == 1


def test_a_function_from_its_begin_to_what_the_model_is_told() -> None:
    plan = CallPlan(SESSION, tools=(ToolRule("book"),))
    driver = held(plan)
    driver.begin("item_1")
    call = FunctionCall("book", "call_1", '{"day": 1}', "f_1", "completed")
    driver.feed(OutputItemDone("resp_1", 0, call))
    driver.done()
    driver.run(100)
    driver.feed(ToolResult("call_1", "It failed.", "KeyError"))
    events, history = translated(driver, plan)
    (start,) = [event for event in events if isinstance(event, told.ToolStart)]
    (end,) = [event for event in events if isinstance(event, told.ToolEnd)]
    assert (start.tool, start.agent, start.arguments, start.call_id) == ("book", "main", '{"day": 1}', "call_1")
    assert (end.tool, end.output, end.problem) == ("book", "It failed.", "KeyError")
    assert end.t_ms >= start.t_ms + 100
    assert (
        ToolCallItem(
            item_id="f_1",
            call_id="call_1",
            tool="book",
            arguments='{"day": 1}',
            agent="main",
            status="completed",
            output="It failed.",
        )
        in history
    )
    assert [event.error for event in events if isinstance(event, told.Error)] == ["book: KeyError"]


def test_after_a_hand_off_the_other_agent_speaks_and_what_it_forgets_was_said_all_the_same() -> None:
    plan = CallPlan(SESSION, agents=(AgentPlan("main"), AgentPlan("billing")))
    driver = held(plan)
    translator = Translator(plan)
    for each in driver.happened:
        translator.happened(*each)
    forgotten = Tell(DeleteItem("turn_1"))
    events = translator.happened(9_000, Tick(), [forgotten, HandOff("main", "billing", "He is in a hurry.")])
    assert events == [told.HandOff(t_ms=9_000, from_agent="main", to_agent="billing", note="He is in a hurry.")]
    assert [item.item_id for item in translator.history] == ["turn_1"]
    known = len(driver.happened)
    driver.say("item_1", 200, text="Hi")
    driver.run(500)
    later = [event for each in driver.happened[known:] for event in translator.happened(*each)]
    assert {event.agent for event in later if isinstance(event, told.AgentStart)} == {"billing"}


def test_what_is_typed_stands_in_the_history_with_who_typed_it() -> None:
    plan = CallPlan(SESSION)
    driver = held(plan)
    driver.feed(TypedText("The table is free.", "ada", "system"))
    events, history = translated(driver, plan)
    item = MessageItem(
        item_id="typed-1", role="system", status="completed", text="The table is free.", typed_by="ada"
    )
    assert history[-1] == item
    assert told.HistoryAdded(t_ms=driver.now, item=item) in events


def test_a_greeting_of_ours_is_the_first_item_and_is_heard_as_far_as_it_was() -> None:
    plan = CallPlan(SESSION, opening=(Clip("Hello, how can I help?", "VVVV" * 4_000, "greeting"),))
    driver = CallDriver(plan)
    driver.run(300)
    driver.feed(SpeechStarted(700))
    driver.run(500)
    _, history = translated(driver, plan)
    (greeting,) = history
    assert isinstance(greeting, MessageItem)
    assert (greeting.item_id, greeting.status) == ("greeting", "incomplete")
    assert "Hello, how can I help?".startswith(greeting.text)


def test_silence_trouble_and_the_end() -> None:
    translator = Translator(CallPlan(SESSION))
    assert translator.happened(10, IdleTimeout(0, 10, "item"), []) == [told.InputAudioTimeout(t_ms=10)]
    assert translator.happened(20, Tick(), [Trouble("It hangs."), Ended("time_limit")]) == [
        told.Error(t_ms=20, error="It hangs."),
        told.CallEnd(t_ms=20, outcome="time_limit"),
    ]


def test_raw_events_and_audio_are_made_on_request_and_raw_ones_hold_no_audio_else() -> None:
    plan = CallPlan(SESSION)
    driver = CallDriver(plan)
    driver.say("item_1", 400, text="Hi")
    assert not {"audio", "raw_model_event"} & set(names(translated(driver, plan)[0]))
    raw, _ = translated(driver, plan, "raw_model_event")
    named = {event.event: event.fields for event in raw if isinstance(event, told.RawModelEvent)}
    assert set(named) >= {"ResponseCreated", "AudioDelta", "ResponseDone"}
    assert "audio" not in named["AudioDelta"]
    both, _ = translated(driver, plan, "raw_model_event", "audio")
    deltas = [event for event in both if isinstance(event, told.RawModelEvent) and event.event == "AudioDelta"]
    (audio,) = [event for event in both if isinstance(event, told.Audio)]
    assert deltas[0].fields["audio"] == audio.audio
    assert audio.format == "pcmu"


@pytest.mark.parametrize("folder", sorted(CALLS.iterdir()), ids=lambda folder: folder.name)
def test_the_events_of_every_recorded_call_are_whole(folder: Path) -> None:
    """Each response that begins ends, what runs has run, time goes on, and the lines are the history's."""
    if not folder.is_dir():
        pytest.skip("no call")
    log = read(folder)
    events = list(events_of(log, ("audio", "raw_model_event")))
    assert events[0].type == "call_start"
    assert events[-1].type == "call_end"
    assert [event.t_ms for event in events] == sorted(event.t_ms for event in events)
    ends = [event.response_id for event in events if isinstance(event, told.AgentEnd)]
    begins = [event.response_id for event in events if isinstance(event, told.AgentStart)]
    assert set(ends) <= set(begins)
    assert len(ends) == len(set(ends))
    history = next(event for event in reversed(events) if isinstance(event, told.HistoryUpdated)).history
    said = {item.item_id: item.text for item in history if isinstance(item, MessageItem)}
    actions = [action for step in log.steps for action in step.actions]
    lines = {action.item_id: action.text for action in actions if isinstance(action, Line)}
    assert lines.items() <= said.items()


def test_a_guardrail_that_trips_stops_playback_and_says_so() -> None:
    events = list(events_of(read(CALLS / "guardrail")))
    at = next(n for n, event in enumerate(events) if isinstance(event, told.GuardrailTripped))
    interrupted, tripped = events[at - 1], events[at]
    assert isinstance(interrupted, told.AudioInterrupted)
    assert isinstance(tripped, told.GuardrailTripped)
    assert (tripped.guardrail, tripped.on, tripped.then, tripped.why) == ("names", "bot", "say", "Doctor Rivera")
    assert interrupted.item_id == tripped.item_id
    assert 4_000 < interrupted.unheard_ms < 5_069


def test_silence_and_limits_are_told() -> None:
    silent = [event for event in events_of(read(CALLS / "no-input")) if isinstance(event, told.InputAudioTimeout)]
    assert [event.t_ms for event in silent] == [8_582, 23_601, 28_820]
    limits = [event for event in events_of(read(CALLS / "time-limit")) if isinstance(event, told.LimitTold)]
    assert limits == [
        told.LimitTold(t_ms=8_000, limit="time", used=8, most=10),
        told.LimitTold(t_ms=10_000, limit="time", used=10, most=10, reached=True),
    ]
