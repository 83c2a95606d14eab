"""What a log comes to as it is filed: its transcript with times, and its figures."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as altered
from rehearsed import GREETING, UNDERSTOOD, interrupted, log_of, saved

from phonebot.audio.g711 import FRAME_MS
from phonebot.call.actions import Ended, HandOff, Line, Tell, Trouble
from phonebot.call.call import Call
from phonebot.call.inputs import OperatorHangUp, Tick, ToolResult, TypedText
from phonebot.filing.rows import noted_in
from phonebot.realtime.events import CreateItem, Frozen, FunctionCall, FunctionCallOutput, OutputItemDone
from phonebot.realtime.prices import Tariff
from phonebot.replay.account import account_of
from phonebot.replay.reader import Step, read
from phonebot.replay.summary import TRANSCRIPTION, FunctionUsed, Noted, Summary, summarised, summary_of

FIXTURES = Path(__file__).parent.parent.parent / "fixtures/calls"


def fixture(name: str) -> Summary:
    return summary_of(FIXTURES / name)


def test_a_summary_has_the_transcript_with_what_was_heard_of_it_and_when() -> None:
    """The caller asks, interrupts the answer half a second into it, and hears the next one out."""
    turns = summarised(log_of(interrupted())).turns
    assert [(turn.who, turn.text, turn.cut) for turn in turns] == [
        ("bot", GREETING, False),
        ("caller", UNDERSTOOD, False),
        ("bot", "You said", True),
        ("caller", UNDERSTOOD, False),
        ("bot", f"You said {UNDERSTOOD}", False),
    ]
    cut = turns[2]
    assert cut.unheard_text == UNDERSTOOD
    assert 0 < (cut.heard_ms or 0) < (cut.of_ms or 0)
    assert (cut.end_ms or 0) - (cut.start_ms or 0) == pytest.approx(cut.heard_ms, abs=20)
    assert all(0 < (turn.start_ms or 0) < (turn.end_ms or 0) for turn in turns)
    assert [turn.heard_ms for turn in turns if turn.who == "caller"] == [None, None]


@pytest.mark.parametrize("folder", sorted(FIXTURES.iterdir()), ids=lambda folder: folder.name)
def test_each_answer_is_timed_in_its_turn_as_one_who_listens_times_it(folder: Path) -> None:
    heard, told = account_of(read(folder)).latencies_ms, tuple(summary_of(folder).latencies_ms)
    if folder.name == "backchannel":  # the bot goes on after the caller's assent: that is no answer to it
        heard = heard[:1]
    if folder.name == "presses-keys":  # tones are for a machine: they are no answer that a caller waits for
        heard = ()
    assert told == heard


@pytest.mark.parametrize("folder", sorted(FIXTURES.iterdir()), ids=lambda folder: folder.name)
def test_all_that_the_bot_said_has_its_time_one_after_the_other(folder: Path) -> None:
    """Also what was recorded, where the model could not speak."""
    said = [turn for turn in summary_of(folder).turns if turn.who == "bot" and turn.heard_ms]
    times = [(turn.start_ms or 0, turn.end_ms or 0) for turn in said]
    for turn, (start_ms, end_ms) in zip(said, times, strict=True):
        assert end_ms - start_ms >= (turn.heard_ms or 0) - FRAME_MS
    assert all(start_ms >= before - FRAME_MS for (_, before), (start_ms, _) in pairwise(times))


def test_figures_of_a_call_that_was_interrupted_twice() -> None:
    summary = fixture("interrupted-twice")
    assert (summary.interruptions, summary.corrections, summary.errors) == (2, 2, 0)
    assert (summary.generated_ms, summary.heard_ms) == (4248 + 7958 + 5670 + 2994, 4248 + 3200 + 2180 + 2994)
    assert summary.length_ms == 22_383
    assert summary.outcome == "caller_hung_up"
    assert 5000 < summary.caller_talk_ms < 6000
    assert summary.bot_talk_ms == pytest.approx(summary.heard_ms, abs=200)
    assert len(summary.spent) == 4


def test_what_is_played_again_after_a_pause_is_counted_once() -> None:
    summary = fixture("backchannel")
    assert summary.interruptions == 0
    assert summary.generated_ms == summary.heard_ms == sum(turn.of_ms or 0 for turn in summary.turns)


def test_what_was_sent_ahead_when_the_call_ended_was_not_heard() -> None:
    """An operator ends the call in the middle of an answer."""
    log = read(FIXTURES / "time-limit")
    call = Call(log.plan)
    steps = [
        Step(step.now_ms, step.input, tuple(call.receive(step.input, step.now_ms)))
        for step in log.steps
        if step.now_ms < 10_000
    ]
    steps.append(Step(10_000, OperatorHangUp("ada"), tuple(call.receive(OperatorHangUp("ada"), 10_000))))
    summary = summarised(replace(log, steps=tuple(steps)))
    assert summary.outcome == "operator_hung_up"
    assert (summary.turns[-1].heard_ms, summary.turns[-1].end_ms) == (1280, 10_000)


def test_a_call_that_is_not_recorded_is_timed_by_who_had_the_floor(tmp_path: Path) -> None:
    recorded = summarised(log_of(interrupted()))
    summary = summary_of(saved(tmp_path / "call", interrupted(), audio=False))
    assert not summary.has_audio
    assert summary.latencies_ms == pytest.approx(recorded.latencies_ms, abs=150)
    assert (summary.generated_ms, summary.heard_ms) == (recorded.generated_ms, recorded.heard_ms)
    assert summary.caller_talk_ms == pytest.approx(recorded.caller_talk_ms, rel=0.3)
    assert summary.bot_talk_ms == pytest.approx(recorded.bot_talk_ms, rel=0.1)


def test_each_response_has_its_tokens_and_its_cost() -> None:
    log = log_of(interrupted())
    summary = summarised(log)
    assert summary.cost_usd is not None
    assert summary.cost_usd > 0
    assert sum(each.cost_usd or 0 for each in summary.spent) == pytest.approx(summary.cost_usd)
    assert summary.cost_usd == pytest.approx(account_of(log).cost_usd)
    assert [each.response_id for each in summary.spent][-1] == TRANSCRIPTION
    assert summary.spent[-1].cost_usd
    unknown = summarised(replace(log, plan=altered(log.plan, tariff=Tariff())))
    assert (unknown.cost_usd, {each.cost_usd for each in unknown.spent}) == (None, {None})


def test_functions_are_listed_with_what_the_model_was_told_of_them() -> None:
    log = log_of(interrupted())
    asked = Step(50, OutputItemDone("resp_1", 0, FunctionCall("book", "call_1", '{"day": 1}')), ())
    answered = Step(90, log.steps[0].input, (Tell(CreateItem(FunctionCallOutput("call_1", "done"))),))
    unanswered = Step(95, OutputItemDone("resp_1", 1, FunctionCall("end_call", "call_2", "{}")), ())
    functions = summarised(replace(log, steps=(*log.steps, asked, answered, unanswered))).functions
    assert functions == (
        FunctionUsed(call_id="call_1", name="book", arguments='{"day": 1}', start_ms=50, result="done", end_ms=90),
        FunctionUsed(call_id="call_2", name="end_call", arguments="{}", start_ms=95),
    )


def test_troubles_are_counted_as_errors() -> None:
    log = log_of(interrupted())
    trouble = Step(60, log.steps[0].input, (Trouble("The model's connection was slow."),))
    assert summarised(replace(log, steps=(*log.steps, trouble))).errors == 1


def test_a_log_that_was_cut_off_has_lost_its_stream() -> None:
    log = log_of(interrupted(), ended=None, outcome=None)
    whole = [step for step in log.steps if not any(isinstance(action, Ended) for action in step.actions)]
    assert summarised(replace(log, steps=tuple(whole))).outcome == "stream_lost"
    assert summarised(replace(log, steps=())).length_ms == 0


def test_a_summary_goes_through_json() -> None:
    summary = fixture("interrupted-twice")
    assert msgspec.json.decode(msgspec.json.encode(summary), type=Summary) == summary


class GuardrailTripped(Frozen, frozen=True):
    guardrail: str
    why: str


def test_hand_offs_and_guardrails_that_tripped_are_noted_with_all_their_fields() -> None:
    log = log_of(interrupted())
    actions: Any = (HandOff("main", "billing"), GuardrailTripped("prices", "90 dollars"))
    log = replace(log, steps=(*log.steps, Step(5_000, Tick(), actions)))
    assert summarised(log).noted == (
        Noted(what="hand_off", at_ms=5_000, fields={"from_agent": "main", "to_agent": "billing", "note": ""}),
        Noted(what="guardrail", at_ms=5_000, fields={"guardrail": "prices", "why": "90 dollars"}),
    )
    assert noted_in(summarised(log)) == {
        "hand_offs": [{"t_ms": 5_000, "from_agent": "main", "to_agent": "billing", "note": ""}],
        "guardrails": [{"t_ms": 5_000, "guardrail": "prices", "why": "90 dollars"}],
    }


def test_a_function_that_failed_says_why() -> None:
    log = log_of(interrupted())
    call = FunctionCall("book", "call_1", "{}", id="item_9", status="completed")
    steps = (
        Step(4_000, OutputItemDone("resp_9", 0, call), ()),
        Step(4_500, ToolResult("call_1", "It failed.", "it broke"), ()),
    )
    (function,) = summarised(replace(log, steps=(*log.steps, *steps))).functions
    assert (function.name, function.problem) == ("book", "it broke")


def test_what_was_typed_is_a_turn_with_who_typed_it() -> None:
    log = read(FIXTURES / "clean")
    typed = Step(
        log.steps[-1].now_ms,
        TypedText("He is a regular.", "ada", "system"),
        (Line("instruction", "typed-1", "He is a regular.", typed_by="ada"),),
    )
    turn = summarised(replace(log, steps=(*log.steps, typed))).turns[-1]
    assert (turn.who, turn.text, turn.typed_by, turn.heard_ms) == ("instruction", "He is a regular.", "ada", None)
