"""
Whatever a peer sends, what reads it says so in the one way that it promises, and goes on.

Some thousands of messages in each run of the tests; `make fuzz` sends a million (`PHONEBOT_FUZZ`).
"""

import asyncio
import json
import os
from pathlib import Path
from random import Random

import msgspec
import pytest
from driver import PLAN
from hypothesis import given, settings
from hypothesis import strategies as st
from service_driver import MODEL_KEY, Clerk, Ear
from spoiler import Json, Spoiler
from websockets.asyncio.client import connect

from phonebot.call.call import Call
from phonebot.call.inputs import CarrierFault, Input, ModelFault, ModelReady, Tick
from phonebot.carrier.messages import Media, Start, Stop, StreamReader
from phonebot.errors import CarrierError, ModelProtocolError
from phonebot.realtime import wire
from phonebot.realtime.events import Session
from phonebot.simulator.server import serve

MESSAGES = (int(os.environ.get("PHONEBOT_FUZZ", "0")) or 9_000) // 3  # the carrier's, the model's in each dialect
BATCH = 100
DOCUMENTED = Path(__file__).parents[2] / "fixtures" / "carrier" / "documented.jsonl"
MAX_COMPLAINT = 300  # characters: a line of the log, which holds no more of what the peer sent than that

FUZZED = settings(max_examples=max(MESSAGES // BATCH, 1), deadline=None, database=None)
SEEDS = st.integers(0, 2**32)
RIGHT = [json.loads(line) for line in DOCUMENTED.read_text().splitlines()]


async def _overheard(dialect: str) -> list[Json]:
    """What the embedded model says in one short conversation."""
    async with serve(minds=Clerk, ear=Ear(), key=MODEL_KEY) as server:
        beta = {"OpenAI-Beta": "realtime=v1"} if dialect == "beta" else {}
        headers = {"Authorization": f"Bearer {MODEL_KEY}", **beta}
        async with connect(server.url, additional_headers=headers, proxy=None) as socket:
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
            await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
            await socket.send(json.dumps({"type": "response.create"}))
            await socket.send(json.dumps({"type": "conversation.item.delete", "item_id": "nothing"}))
            heard: dict[str, Json] = {}
            while "response.done" not in heard:
                event = json.loads(await socket.recv())
                heard.setdefault(event["type"], event)
    return list(heard.values())


@pytest.fixture(scope="module", params=["ga", "beta"])
def model_events(request: pytest.FixtureRequest) -> list[Json]:
    return asyncio.run(_overheard(request.param))


def check_complaint(text: str) -> None:
    assert len(text) <= MAX_COMPLAINT, text
    assert text.isprintable(), text


@FUZZED
@given(seed=SEEDS)
def test_a_stream_takes_or_refuses_whatever_the_carrier_sends(seed: int) -> None:
    """And a call that is told of all of it neither fails nor grows."""
    rng = Random(seed)
    spoiler, reader, call, now = Spoiler(rng, RIGHT), StreamReader(), Call(PLAN), 0
    for message in RIGHT[:2] if rng.random() < 0.8 else []:
        _take(reader, call, json.dumps(message), now)
    for _ in range(BATCH):
        now += rng.choice((0, 1, 20, 1_000))
        _take(reader, call, spoiler.message(), now)


def _take(reader: StreamReader, call: Call, message: str | bytes, now: int) -> None:
    received: Input
    try:
        received = reader.receive(message)
    except CarrierError as error:
        check_complaint(str(error))
        received = CarrierFault(str(error), counts=False)
    assert msgspec.json.encode(received)  # it can be logged
    if not isinstance(received, Stop):  # which ends the call, and with it what else may come of the rest
        call.receive(received, now)


@FUZZED
@given(seed=SEEDS)
def test_a_session_takes_or_refuses_whatever_the_model_sends(seed: int, model_events: list[Json]) -> None:
    rng = Random(seed)
    spoiler, call, now = Spoiler(rng, model_events), Call(PLAN), 0
    call.receive(Start(1, "MZ1", "AC1", "CA1"), now)
    call.receive(Media(2, 1, 20, "/" * 216), now)
    call.receive(ModelReady(Session()), now)
    for _ in range(BATCH):
        now += rng.choice((0, 1, 20, 1_000))
        received: Input
        try:
            received = wire.decode(spoiler.message())
        except ModelProtocolError as error:
            check_complaint(str(error))
            received = ModelFault(str(error))
        assert msgspec.json.encode(received)
        call.receive(received, now)
        if call.wakeup_ms is not None and call.wakeup_ms <= now:
            call.receive(Tick(), now)
