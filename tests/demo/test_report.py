"""Each complaint that a demo may have of its call."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from phonebot.call.actions import Cut, Line
from phonebot.demo.report import Heard, cut_items, shortcomings, tell
from phonebot.demo.scene import Expected, dentist
from phonebot.simulator.carrier import Carrier, Piece, Violation
from phonebot.simulator.record import CallFailed, CallRecord, StreamRecord
from phonebot.terminal import Conversation

EXPECTED = Expected(understood=["hello"], barge_ins=1, last_words="Goodbye!")


def good_call() -> tuple[Conversation, CallRecord, list[Heard]]:
    conversation = Conversation(
        lines=[Line("caller", "item_1", "hello"), Line("bot", "item_2", "Goodbye!")],
        barge_ins=1,
        outcome="caller_hung_up",
    )
    record = CallRecord("CA" + "1" * 32, outcome="caller hung up")
    return conversation, record, [Heard("item_0", told_ms=400, played_ms=400.0, received_ms=900)]


def test_a_call_as_expected_has_no_shortcomings() -> None:
    assert list(shortcomings(*good_call(), EXPECTED)) == []


def misheard(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    conversation.lines[0] = Line("caller", "item_1", "yellow")


def unheard(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    del conversation.lines[0]


def not_interrupted(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    conversation.barge_ins = 0


def told_too_much(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    heard[0] = Heard("item_0", told_ms=421, played_ms=400.0, received_ms=900)


def told_too_little(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    heard[0] = Heard("item_0", told_ms=379, played_ms=400.0, received_ms=900)


def other_last_words(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    conversation.lines[-1] = Line("bot", "item_2", "Goodb", cut=True)


def silent_bot(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    del conversation.lines[-1]


def called_more(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    conversation.called.append("end_call")


def handed_over(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    conversation.handed_over.append("billing")


def guarded(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    conversation.guarded.append("no_advice")


def lost_stream(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    conversation.outcome = "stream_lost"


def failed(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    record.outcome, record.reason = "failed", "refused"


def troubled(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    conversation.troubles.append("the model reports: no")


def violated(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    record.violations.append(Violation(10.0, 31951, "mark lacks a name"))


def undone(conversation: Conversation, record: CallRecord, heard: list[Heard]) -> None:
    record.failed_steps.append("step 3 (wait_for_bot): it did not happen within 15000 ms")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (misheard, "the bot understood ['yellow'], the caller said ['hello']"),
        (unheard, "the bot understood [], the caller said ['hello']"),
        (not_interrupted, "the bot was interrupted 0 times, expected were 1"),
        (told_too_much, "the model was told 421 ms of item_0, the caller heard 400 ms"),
        (told_too_little, "the model was told 379 ms of item_0, the caller heard 400 ms"),
        (other_last_words, "the bot's last words were ['Goodb'], expected was 'Goodbye!'"),
        (silent_bot, "the bot's last words were [], expected was 'Goodbye!'"),
        (called_more, "the model called ['end_call'], expected was []"),
        (handed_over, "the call was handed over to ['billing'], expected was []"),
        (guarded, "the guardrails ['no_advice'] tripped, expected was []"),
        (lost_stream, "the call ended otherwise: stream_lost, caller hung up "),
        (failed, "the call ended otherwise: caller_hung_up, failed refused"),
        (troubled, "the model reports: no"),
        (violated, "31951: mark lacks a name"),
        (undone, "step 3 (wait_for_bot): it did not happen within 15000 ms"),
    ],
)
def test_each_shortcoming_is_told_in_a_sentence(
    spoil: Callable[[Conversation, CallRecord, list[Heard]], None], complaint: str
) -> None:
    call = good_call()
    spoil(*call)
    assert list(shortcomings(*call, EXPECTED)) == [complaint]


def test_a_cut_within_a_frame_of_the_truth_is_exact() -> None:
    conversation, record, (heard,) = good_call()
    for told_ms in (380, 420):
        assert list(shortcomings(conversation, record, [replace(heard, told_ms=told_ms)], EXPECTED)) == []


def test_what_was_played_of_a_cut_item_is_the_sum_of_its_pieces() -> None:
    carrier = Carrier()
    carrier.pieces += [
        Piece(0, 0.0, 800, 800),
        Piece(1, 0.0, 800, 800),
        Piece(2, 0.0, 800, 160),
        Piece(3, 0.0, 800),
    ]
    conversation = Conversation(
        cuts=[Cut("item_2", 120, 300, "fence")], played=["item_1", "item_2", "item_2", None]
    )
    record = CallRecord("CA" + "1" * 32, streams=[StreamRecord("ws://bot/media", "MZ" + "3" * 32, carrier)])
    assert cut_items(conversation, record) == [Heard("item_2", told_ms=120, played_ms=120.0, received_ms=300)]


def test_a_call_that_never_had_a_stream_has_come_to_nothing(tmp_path: Path) -> None:
    record = CallRecord("CA" + "1" * 32, outcome="failed", reason="it answered 500")
    with pytest.raises(CallFailed, match=r"^the call failed: it answered 500$"):
        tell(record, Conversation(), tmp_path / "calls", dentist(tmp_path), Console())
