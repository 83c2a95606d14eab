"""The scripted model on the wire: what it says, in which order, and how it answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from phonebot.bench.events import Json
from phonebot.bench.scenario import Done, Heard, Pause, Reply, Speak, Step
from phonebot.bench.scripted import Play, ScriptedModel, serve_script

UPDATE = '{"type":"session.update","session":{"type":"realtime","instructions":"+15550100000"}}'
AUDIO = "response.output_audio.delta"
STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"


class Prompter:
    """A director without a call: the caller has heard all there is, and is noticed at once."""

    def __init__(self) -> None:
        self.problem: str | None = "it never finished"
        self.written: list[str] = []

    async def until_heard(self, item: int, ms: float) -> None:
        if ms > 1000:
            raise TimeoutError

    async def speak(self, ms: int) -> None:
        await asyncio.sleep(0)

    async def freeze(self, ms: int) -> None:
        await asyncio.sleep(0)

    def wrote(self, event: Json) -> None:
        self.written.append(event["type"])

    def finished(self, problem: str | None) -> None:
        self.problem = problem


@asynccontextmanager
async def session(play: Play) -> AsyncIterator[tuple[ClientConnection, ScriptedModel]]:
    async with serve_script({"+15550100000": play}) as server, connect(server.url, proxy=None) as model:
        await model.send(UPDATE)
        yield model, server


async def told(model: ClientConnection, last: str) -> list[Json]:
    """The events up to one of this type."""
    events: list[Json] = []
    async with asyncio.timeout(10):
        while not events or events[-1]["type"] != last:
            events.append(msgspec.json.decode(await model.recv()))
    return events


async def played(*steps: Step, last: str = STOPPED, **options: Any) -> list[str]:
    """The types of what a session with these steps says, without the words and without what opens it."""
    async with session(Play(steps, Prompter(), **options)) as (model, _):
        types = [event["type"] for event in await told(model, last)]
    assert types[:2] == ["session.created", "session.updated"]
    return [each for each in types[2:] if "transcript" not in each and "content_part" not in each]


BEGINNING = ["response.created", "response.output_item.added", "conversation.item.added"]
CLOSING = ["response.output_audio.done", "response.output_item.done", "conversation.item.done"]


async def test_a_reply_is_its_items_one_after_the_other_in_deltas() -> None:
    types = await played(Reply((60, 20), pace=None, delta_ms=40), last="response.done")

    second = ["response.output_item.added", "conversation.item.added", AUDIO, *CLOSING]
    assert types == [*BEGINNING, AUDIO, AUDIO, *CLOSING, *second, "response.done"]


async def test_a_caller_who_speaks_ends_the_response_that_is_being_generated() -> None:
    types = await played(Reply((40, 8000), pace=1.0, delta_ms=40), Pause(60), Speak(ms=1))

    assert types[-6:] == [STARTED, *CLOSING, "response.done", STOPPED]


async def test_a_response_that_has_ended_is_not_cancelled() -> None:
    types = await played(Reply((40,), pace=None), Done(), Speak(ms=1))

    assert types[-3:] == ["rate_limits.updated", STARTED, STOPPED]


@pytest.mark.parametrize(
    ("after_done", "expected"),
    [
        (False, [STARTED, AUDIO, AUDIO, *CLOSING, "response.done", STOPPED]),
        (True, [STARTED, *CLOSING, "response.done", AUDIO, AUDIO, STOPPED]),
    ],
)
async def test_late_deltas_come_before_or_after_the_response_was_said_to_have_ended(
    after_done: bool, expected: list[str]
) -> None:
    reply = Reply((8000,), pace=1.0)

    types = await played(reply, Pause(10), Speak(ms=3, late_ms=(1, 2), late_after_done=after_done))

    assert types[-len(expected) :] == expected


async def test_speech_can_be_reported_twice() -> None:
    types = await played(Reply((8000,), pace=1.0), Pause(10), Speak(ms=3, again_ms=1))

    assert types[-3:] == ["response.done", STARTED, STOPPED]


async def test_audio_is_in_the_sessions_format() -> None:
    async with session(Play((Reply((20,), pace=None),), Prompter(), "pcm24k")) as (model, _):
        events = await told(model, "response.done")

    [audio] = [event["delta"] for event in events if event["type"] == AUDIO]
    assert events[1]["session"]["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert len(audio) == 20 * 24 * 2 * 4 // 3


async def test_truncations_are_answered_and_remembered() -> None:
    play = Play((Reply((400,), pace=None),), Prompter())
    async with session(play) as (model, server):
        item_id = next(e["item_id"] for e in await told(model, "response.done") if e["type"] == AUDIO)
        command = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "event_id": "e1"}
        await model.send(msgspec.json.encode({**command, "audio_end_ms": 401}).decode())
        [*_, refused] = await told(model, "error")
        await model.send(msgspec.json.encode({**command, "audio_end_ms": 300}).decode())
        await told(model, "conversation.item.truncated")

    assert refused["error"]["message"] == "Audio content of 400ms is already shorter than 401ms"
    assert play.belief.said_ms == {item_id: 300}
    assert len(play.belief.refusals) == 1
    assert server.faults == []


async def test_a_response_can_be_cancelled_once() -> None:
    async with session(Play((Reply((8000,), pace=1.0),), Prompter())) as (model, _):
        await told(model, AUDIO)
        await model.send('{"type":"response.cancel"}')
        [*_, done] = await told(model, "response.done")
        await model.send('{"type":"response.cancel","event_id":"e1"}')
        [*_, refused] = await told(model, "error")

    assert done["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert (refused["error"]["code"], refused["error"]["event_id"]) == ("response_cancel_not_active", "e1")


async def test_a_step_that_does_not_come_true_ends_the_script_with_its_name() -> None:
    prompter = Prompter()
    async with session(Play((Reply((20,), pace=None), Done(), Heard(0, 9999)), prompter)) as (model, _):
        await told(model, "response.done")
        async with asyncio.timeout(10):
            while prompter.problem == "it never finished":
                await asyncio.sleep(0)

    assert prompter.problem == "Heard(item=0, ms=9999) did not come true"


@pytest.mark.parametrize(
    ("command", "complaint"),
    [("nonsense", "JSON is malformed"), ('{"type":"response.create"}', "response.create")],
)
async def test_commands_that_no_script_asks_for_are_faults(command: str, complaint: str) -> None:
    async with session(Play((), Prompter())) as (model, server):
        await told(model, "session.updated")
        await model.send(command)
        async with asyncio.timeout(10):
            while not server.faults:
                await asyncio.sleep(0)

    [fault] = server.faults
    assert complaint in fault


async def test_a_session_for_which_there_is_no_play_is_closed_and_a_fault() -> None:
    async with serve_script({}) as server, connect(server.url, proxy=None) as model:
        await model.send(UPDATE)
        with pytest.raises(ConnectionClosed):
            await told(model, "session.updated")

    [fault] = server.faults
    assert "no play was meant" in fault


async def test_a_reply_says_words_at_a_time_and_is_what_was_asked_for() -> None:
    reply = Reply((60,), pace=None, delta_ms=20, says="forbidden ", says_at_ms=20)
    async with session(Play((Pause(30), reply), Prompter(), asked=True)) as (model, server):
        metadata = {"phonebot": "insisted-1"}
        await model.send(msgspec.json.encode({"type": "conversation.item.create", "item": {}}).decode())
        await model.send(
            msgspec.json.encode({"type": "response.create", "response": {"metadata": metadata}}).decode()
        )
        events = await told(model, "response.done")
        assert server.faults == []
    begun = next(event for event in events if event["type"] == "response.created")
    assert begun["response"]["metadata"] == metadata
    words = [event["delta"] for event in events if event["type"] == "response.output_audio_transcript.delta"]
    assert words == ["word ", "forbidden ", "word "]
