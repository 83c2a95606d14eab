"""What a model is given of a call, and what is kept of its answers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from phonebot.after.texts import HEAD_BYTES, TAIL_BYTES, NothingSaid, storable, transcript
from phonebot.realtime.text import UnfitAnswer
from phonebot.store.tables import CallRow, ToolCallRow, TurnRow


def call_of(turns: list[TurnRow], tools: list[ToolCallRow] | None = None) -> CallRow:
    return CallRow(
        call_sid="CA1",
        from_number="+15550100009",
        to_number="+15550100000",
        number="+15550100000",
        started_at=datetime(2026, 11, 27, 12, tzinfo=UTC),
        turns=turns,
        tool_calls=tools or [],
    )


def test_a_transcript_has_what_was_heard_and_what_was_done_in_order() -> None:
    turns = [
        TurnRow(who="bot", text="Rosa's", unheard_text="Trattoria", cut=True, start_ms=0),
        TurnRow(who="caller", text="A table\nfor four", start_ms=900),
        TurnRow(who="bot", text="", unheard_text="Never heard", cut=True, start_ms=1_000),
        TurnRow(who="bot", text="It is booked.", start_ms=3_000),
    ]
    tools = [
        ToolCallRow(name="book", arguments='{"n": 4}', result="Booked.", start_ms=1_500),
        ToolCallRow(name="mail", arguments="{}", result=None, error="it failed", start_ms=4_000),
    ]
    assert transcript(call_of(turns, tools)).splitlines() == [
        "Call from +15550100009 to +15550100000, 2026-11-27 12:00 UTC.",
        "",
        "Bot: Rosa's [interrupted]",
        "Caller: A table",
        "for four",
        '[Function book({"n": 4}): Booked.]',
        "Bot: It is booked.",
        "[Function mail({}): it failed]",
    ]


def test_of_a_long_transcript_the_beginning_and_the_end_are_given() -> None:
    text = transcript(call_of([TurnRow(who="caller", text="Anfang" + "ü" * 50_000 + "Ende", start_ms=0)]))
    assert "Caller: Anfang" in text
    assert text.endswith("Ende")
    assert len(text.encode()) < HEAD_BYTES + TAIL_BYTES + 200


def test_without_words_there_is_nothing_to_ask_about() -> None:
    with pytest.raises(NothingSaid):
        transcript(call_of([TurnRow(who="bot", text="", cut=True, start_ms=0)]))


def test_what_is_kept_is_what_both_databases_keep() -> None:
    given = {"a\0": ["b\ud800", float("nan"), float("inf"), 1.5, True, None]}
    assert storable(given) == {"a": ["b?", None, None, 1.5, True, None]}
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnfitAnswer, match="nested too deeply"):
        storable(deep)
