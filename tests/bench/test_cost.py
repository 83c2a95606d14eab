"""What ways of saving save, by the embedded model's count of tokens; in virtual time."""

import msgspec
import pytest
from rich.console import Console

from phonebot.bench.cost import BY_KEY, COMPARED, FUNCTIONS, TALK, Calls, Held, asks, bill_of, hold, local
from phonebot.bench.cost_report import Bill, CostReport, Saving
from phonebot.call.actions import RunTool, Tell
from phonebot.call.withholding import AFTER_MS
from phonebot.realtime.events import AudioDelta, CreateResponse, FunctionCallOutput, OutputItemDone

TURNS = 8


def answers(turns: int) -> int:
    """So often a turn of the caller's is charged for: with its own answer, and each that follows."""
    return turns * (turns + 1) // 2


def test_our_own_detector_sends_the_turns_alone_and_the_model_reads_what_it_did() -> None:
    by_service, by_us = bill_of(hold(TALK)), bill_of(hold(TALK.with_profile(turn_detection=local())))
    assert by_us.sent_ms < by_service.sent_ms / 2
    assert by_us.input_audio == pytest.approx(by_service.input_audio, rel=0.02)


def test_silence_withheld_saves_the_tokens_of_what_ends_each_turn() -> None:
    sent, withheld = (
        bill_of(hold(TALK.with_profile(turn_detection=local(withhold_silence=withholds))))
        for withholds in (False, True)
    )
    of_a_turn = (500 - AFTER_MS) // 100
    assert sent.input_audio - withheld.input_audio == of_a_turn * answers(TURNS)
    assert sent.sent_ms - withheld.sent_ms == (500 - AFTER_MS) * TURNS
    assert (sent.responses, sent.output, sent.length_ms) == (
        withheld.responses,
        withheld.output,
        withheld.length_ms,
    )


def test_by_key_silence_withheld_saves_what_passes_between_turns() -> None:
    sent = bill_of(hold(BY_KEY))
    withheld = bill_of(hold(BY_KEY.with_profile(turn_detection={"type": "none", "withhold_silence": True})))
    assert sent.sent_ms == pytest.approx(sent.length_ms, abs=3_000)
    assert withheld.sent_ms < sent.sent_ms / 2
    assert withheld.input_audio < sent.input_audio * 0.7
    assert withheld.responses == sent.responses


def test_a_context_that_is_cut_is_paid_for_up_to_its_limit_and_each_cut_is_paid_for() -> None:
    """A cut has the rest read uncached: where caching works, a limit that a short call reaches makes it dearer."""
    talk = Held(asks(20))
    whole, half, most = (
        bill_of(hold(each))
        for each in (
            talk,
            talk.with_profile(truncation={"post_instructions": 1_000, "retention_ratio": 0.5}),
            talk.with_profile(truncation={"post_instructions": 1_000, "retention_ratio": 0.8}),
        )
    )
    assert half.uncached_usd < most.uncached_usd < whole.uncached_usd * 0.6
    assert whole.usd < half.usd < most.usd
    assert whole.responses == half.responses == most.responses == 21


def test_functions_of_one_response_are_answered_once_after_all_of_them() -> None:
    at_once = hold(Held(asks(1), functions=FUNCTIONS, mind=lambda: Calls(at_once=True)))
    in_turn = hold(Held(asks(1), functions=FUNCTIONS, mind=lambda: Calls(at_once=False)))
    assert (bill_of(at_once).responses, bill_of(in_turn).responses) == (3, 2 + len(FUNCTIONS))
    told = [action for step in at_once.steps for action in step.actions]
    assert [action.name for action in told if isinstance(action, RunTool)] == list(FUNCTIONS)
    commands = [action.command for action in told if isinstance(action, Tell)]
    outputs = [
        at for at, each in enumerate(commands) if isinstance(getattr(each, "item", None), FunctionCallOutput)
    ]
    asked = [at for at, each in enumerate(commands) if isinstance(each, CreateResponse)]
    assert len(outputs) == len(FUNCTIONS)
    assert [at > outputs[-1] for at in asked] == [False, True]  # the greeting's, and the answer's


def test_audio_of_our_own_costs_no_tokens() -> None:
    greeting = next(after for name, _, _, after in COMPARED if name == "recorded greeting")
    call = hold(greeting)
    assert bill_of(call) == Bill(0, 0, 0, 0, 0, call.now_ms, bill_of(call).sent_ms, 0.0, 0.0)
    assert call.heard.count(0xFF) < len(call.heard) / 2  # it was heard
    assert not any(isinstance(step.input, AudioDelta | OutputItemDone) for step in call.steps)


def test_the_report_fits_a_terminal_and_names_what_costs_more() -> None:
    cheap = Bill(91, 121_777, 1_466_465, 1_867_264, 29_694, 2_474_040, 2_474_040, 3.9, 43.0)
    dear = msgspec.structs.replace(cheap, usd=25.4468, uncached_usd=149.5)
    report = CostReport("gpt-realtime-2.1", "2026-11-20", "a list", (Saving("one", "a call", dear, cheap),))
    console = Console(width=80, record=True)
    console.print(report.table())
    text = console.export_text()
    assert all(figure in text for figure in ("1,466,465", "2,474", "2544.68", "14950.00", "85%"))
    assert max(map(len, text.splitlines())) <= 80
    assert report.faults == ()
    assert msgspec.json.decode(report.to_json(), type=CostReport) == report
    reverse = msgspec.structs.replace(report, savings=(Saving("one", "a call", cheap, dear),))
    assert reverse.faults == ("one costs more",)
