"""Which greetings are kept, how all processes come to know them, and calls that are greeted by them."""

import asyncio
import json
from base64 import b64decode, b64encode

import pytest
from closure import PATIENCE_S, until
from service_driver import PROFILE, SPEECH, StartService, Witness, scripted_model
from websockets.asyncio.server import ServerConnection

from phonebot.agents.profile import Profile
from phonebot.call.actions import ClearPlayback, Line, PlayAudio, Tell
from phonebot.call.inputs import ModelReady
from phonebot.errors import StoreUnavailable
from phonebot.realtime.events import CreateResponse
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.outputs import Faults
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.greetings import GreetingStore
from phonebot.web import greetings as module
from phonebot.web.greetings import Greetings, Spoken

GREETING = "Hello, how can I help?"
SPOKEN = Spoken("v1", "openai", "gpt-realtime-2.1", None, GREETING)
AUDIO = b64encode(b"\x51" * 1_600).decode()
POLL_S = 0.01


# ------------------------------------------------------------------------------------------- which


def test_a_greeting_depends_on_the_version_the_voice_the_model_and_its_words() -> None:
    profile = Profile(greeting=GREETING, voice="marin").with_version("v1")
    found = Spoken.of(profile, "openai", "gpt-realtime-2.1")
    assert found == Spoken("v1", "openai", "gpt-realtime-2.1", "marin", GREETING)
    other = Spoken.of(profile.model_copy(update={"model": "other"}), "openai", "gpt-realtime-2.1")
    assert other is not None
    assert other.model == "other"
    assert len({each.key for each in (found, other, SPOKEN)}) == 3


@pytest.mark.parametrize(
    "profile",
    [
        Profile(),
        Profile(greeting=GREETING, greeting_cache=False),
        Profile(greeting="Hello {caller}"),
        Profile(greeting="{{It is}} {now}"),
        Profile(greeting=GREETING, greeting_audio="hello.wav").with_greeting_clip(AUDIO),
    ],
)
def test_what_differs_from_call_to_call_or_is_not_to_be_kept_is_not(profile: Profile) -> None:
    assert Spoken.of(profile, "openai", "gpt-realtime-2.1") is None


# ------------------------------------------------------------------------------------------- all processes


async def test_what_one_process_keeps_another_knows_until_an_operator_drops_it(database: Database) -> None:
    store = GreetingStore(database)
    async with Greetings(store).running(POLL_S) as one, Greetings(store).running(POLL_S) as another:
        one.keep(SPOKEN, AUDIO)
        assert one.of(SPOKEN) == AUDIO  # at once
        await until(lambda: another.of(SPOKEN) == AUDIO)
        await store.drop("+15550100000", ["v1"], Actor("ada"))
        await until(lambda: not one.of(SPOKEN) and not another.of(SPOKEN))
        one.keep(SPOKEN, AUDIO)
    async with Greetings(store).running() as later:  # what was kept last was written before the process ended
        assert later.of(SPOKEN) == AUDIO


async def test_what_was_kept_while_the_database_was_away_is_written_when_it_is_back(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = GreetingStore(sqlite)
    keep, asked = GreetingStore.keep, asyncio.Event()

    async def refuse(*_: object) -> bool:
        asked.set()
        raise StoreUnavailable("the database is away")

    async with Greetings(store).running(POLL_S) as greetings:
        monkeypatch.setattr(GreetingStore, "keep", refuse)
        greetings.keep(SPOKEN, AUDIO)
        await asked.wait()
        assert greetings.of(SPOKEN) == AUDIO
        monkeypatch.setattr(GreetingStore, "keep", keep)
    assert await store.keys() == [SPOKEN.key]


async def test_a_process_holds_no_more_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HELD", 2 * len(AUDIO))
    greetings = Greetings()
    spoken = [Spoken(version, "openai", "any", None, GREETING) for version in "abc"]
    for each in spoken:
        greetings.keep(each, AUDIO)
    assert [bool(greetings.of(each)) for each in spoken] == [False, True, True]


# ------------------------------------------------------------------------------------------- whole calls


def sent(witness: Witness) -> bytes:
    """The bot's audio up to the first line that was heard of it, or until the caller cut it."""
    pieces = []
    for each in witness.history:
        if isinstance(each, Line | ClearPlayback):
            break
        if isinstance(each, PlayAudio):
            pieces.append(b64decode(each.payload))
    return b"".join(pieces)


async def test_the_second_caller_is_greeted_with_what_the_first_one_heard_before_the_model_is_there(
    start_service: StartService,
) -> None:
    """The model takes a second. Who speaks meanwhile is answered, and nobody is greeted twice."""
    profile = PROFILE.model_copy(update={"greeting": GREETING})
    service = await start_service(profile=profile, faults=Faults(slow_start_s=1.0))
    await service.dial(WaitForQuiet(300), HangUp())
    record = await service.dial(Say(SPEECH), WaitForQuiet(300), HangUp())
    assert record.passed, record
    first, second = service.witnesses
    ready = next(at for at, each in enumerate(second.history) if isinstance(each, ModelReady))
    assert any(isinstance(each, PlayAudio) for each in second.history[:ready])
    assert sent(first)
    assert sent(first).startswith(sent(second))
    assert [each for each in first.saw(Tell) if isinstance(each.command, CreateResponse)]
    assert not [each for each in second.saw(Tell) if isinstance(each.command, CreateResponse)]
    assert second.session is not None
    roles = [line.role for line in second.session.lines]
    texts = [line.text for line in second.session.lines]
    assert roles == ["assistant", "user", "assistant"]
    assert GREETING.startswith(texts[0])
    assert texts[1] == "something"


async def test_a_caller_is_greeted_though_his_carrier_sends_nothing_and_no_model_is_there(
    start_service: StartService,
) -> None:
    async def never(_: ServerConnection) -> None:
        """It takes the connection and says nothing."""

    recorded = PROFILE.with_greeting_clip(AUDIO)
    async with scripted_model(never) as model_url:
        service = await start_service(profile=recorded, model_url=model_url)
        stream = await service.started_stream()
        async with asyncio.timeout(PATIENCE_S):
            events = [json.loads(await stream.socket.recv())["event"] for _ in range(3)]
        assert events == ["mark", "media", "mark"]
        stream.vanish()
