"""What a model is given of a call, and what is kept of its answers."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from service_driver import confirm_session, leaving_nothing, scripted_model
from websockets.asyncio.server import ServerConnection

from phonebot.after.texts import HEAD_BYTES, TAIL_BYTES, NothingSaid, Scribe, storable, transcript
from phonebot.agents.after_call import Extract
from phonebot.errors import ModelUnreachable
from phonebot.realtime.providers import gateway
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


async def test_what_is_asked_once_more_has_the_time_that_the_first_answer_left() -> None:
    """Else the lease on the call would be over before its data are taken."""
    wanted = {"type": "object", "properties": {"topic": {"enum": ["tea"]}}, "required": ["topic"]}
    timeout_s = 1.0

    async def converse(socket: ServerConnection) -> None:
        await confirm_session(socket)
        for topic in ("cake", "tea"):
            asked = json.loads(await socket.recv())["response"]
            await asyncio.sleep(0.6 * timeout_s)
            arguments = json.dumps({"topic": topic})
            call = {"type": "function_call", "name": "give_answer", "call_id": "c", "arguments": arguments}
            answer = {"id": "resp_1", "object": "realtime.response", "status": "completed", "output": [call]}
            done = {"type": "response.done", "response": answer | {"metadata": asked["metadata"]}}
            await socket.send(json.dumps(done))

    call = call_of([TurnRow(who="caller", text="Tea, please.", start_ms=0)])
    async with leaving_nothing(), scripted_model(converse) as url:
        scribe = Scribe(lambda name: [("m", gateway(url, "m"))], timeout_s=timeout_s)
        with pytest.raises(ModelUnreachable, match="gateway gave no answer within 1 s"):
            await scribe.extract(call, Extract.model_validate({"schema": wanted}), [])
