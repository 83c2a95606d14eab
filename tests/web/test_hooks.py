"""Hooks, session events, typed text and lookups in whole calls over sockets."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import call_hooks
import pytest
from aiohttp import web
from board_driver import ADA, NOWHERE, audited, process
from service_driver import (
    CALL_SID,
    MODEL_KEY,
    PROFILE,
    SHORT_ANSWER,
    SPEECH,
    Service,
    StartService,
    form_of_call,
    until,
)
from tool_driver import bot_lines, check_replay, shop

from phonebot.agents.profile import Profile
from phonebot.call.actions import Line
from phonebot.call.inputs import TypedText
from phonebot.errors import ListeningRefused, NotStored, TextRefused
from phonebot.hooks.events import USUAL, CallEnd, Event, HistoryUpdated
from phonebot.realtime.connection import EarlyLine
from phonebot.realtime.providers import gateway
from phonebot.simulator.caller import HangUp, Pause, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.simulator.server import serve as serve_model
from phonebot.store.database import Database
from phonebot.tools.typist import MAX_TEXTS
from phonebot.web.held import TextWish

pytestmark = pytest.mark.slow

QUIET, QUESTION = WaitForQuiet(300), Say(SPEECH, "a question")
TOLD = "Told that the table is free."
HEARD = "something"  # what the caller says, to the test's ear


class Listener:
    """A mind that says, once, what it was told by an instruction or in the caller's place; and greets else."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        for line in context.history:
            wrote = {"system": "Told that", "user": "You wrote"}.get(line.role, "")
            if wrote and line.text != HEARD and line.text not in self._said:
                self._said.add(line.text)
                return (Speak(f"{wrote} {line.text}"),)
        return (Speak(SHORT_ANSWER),)


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """One kind will do: the queries are tested with both (tests/store/test_live.py)."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    return f"sqlite:///{tmp_path}/phonebot.db"


@pytest.fixture(autouse=True)
def hooks() -> None:
    call_hooks.heard.clear()


@pytest.fixture
async def other(start_service: StartService, database_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """A process that holds no call."""
    async with process(start_service, database_url, tmp_path, model_url=NOWHERE) as service:
        yield service


def profile_with(**keys: Any) -> Profile:
    return Profile.from_table(PROFILE.model_dump(exclude_none=True) | keys, "test")


# ------------------------------------------------------------------------------------------- hooks


async def test_a_hook_is_told_of_a_call_and_types_into_it_and_shares_its_functions_state(
    start_service: StartService,
) -> None:
    class Cook(Listener):
        def __init__(self) -> None:
            super().__init__()
            self._calls = [Call("dish_of_the_day", {"day": "Monday"})]

        def answer(self, context: Context) -> tuple[Speak | Call, ...]:
            if context.heard and self._calls:
                return (self._calls.pop(),)
            return super().answer(context)

    service = await start_service(
        profile=profile_with(tools=["dish_of_the_day"]),
        minds=Cook,
        PHONEBOT_TOOLS="call_tools",
        PHONEBOT_HOOKS="call_hooks:watch,call_hooks:tell_of_the_dish,call_hooks:fail",
    )
    await service.dial(QUIET, QUESTION, QUIET, WaitForQuiet(600), HangUp())
    (witness,) = service.witnesses
    (typed,) = witness.saw(TypedText)
    assert (typed.by, typed.role) == ("tell_of_the_dish", "system")
    assert typed.text == "he asked."
    assert "Told that he asked." in bot_lines(witness)
    await until(lambda: call_hooks.heard and call_hooks.heard[-1].type == "call_end")
    names = [event.type for event in call_hooks.heard if event.type != "history_updated"]
    assert names[:2] == ["call_start", "agent_start"]
    for name in ("history_added", "tool_start", "tool_end", "audio_end", "agent_end"):
        assert name in names
    failures = (await service.request("GET", "/metrics"))[1]
    assert re.search(r"^phonebot_hook_failures_total [1-9]", failures, re.MULTILINE)
    await service.stop()
    check_replay(service.log())


async def test_a_hook_hangs_up(start_service: StartService) -> None:
    service = await start_service(PHONEBOT_HOOKS="call_hooks:hang_up_after_the_greeting")
    record = await service.dial(QUIET, Pause(20_000))
    assert record.outcome == "bot hung up"
    await service.stop()
    assert service.log().header.outcome == "operator_hung_up"


# ------------------------------------------------------------------------------------------- typed text


async def test_what_an_operator_types_is_told_answered_audited_and_in_the_log(
    start_service: StartService, database_url: str, tmp_path: Path, other: Service, database: Database
) -> None:
    """Into a call of this process, and into one of another's."""
    async with process(start_service, database_url, tmp_path, minds=Listener) as one:
        calling = asyncio.create_task(one.dial(QUIET, Pause(60_000), max_call_s=60))
        await until(lambda: one.witnesses and "Hi" in said(one))
        sid = (await one.board.calls())[0].call_sid
        await one.board.say(sid, TextWish("the table is free.", "system"), ADA)
        await until(lambda: TOLD in said(one))
        await other.board.say(sid, TextWish("Are you open?"), ADA)
        await until(lambda: "You wrote Are you open?" in said(one))
        for _ in range(MAX_TEXTS - 2):
            await one.board.say(sid, TextWish("x"), ADA)
        with pytest.raises(TextRefused, match="wait"):
            await one.board.say(sid, TextWish("x"), ADA)
        with pytest.raises(TextRefused, match="2000 characters"):
            await other.board.say(sid, TextWish("x" * 2_001), ADA)
        for service in (one, other):
            with pytest.raises(NotStored):
                await service.board.say("CA9", TextWish("x"), ADA)
        snapshot = await one.board.call(sid)
        assert snapshot is not None
        typed = [(line.role, line.text, line.typed_by) for line in snapshot.lines if line.typed_by]
        assert typed[:2] == [("instruction", "the table is free.", "ada"), ("caller", "Are you open?", "ada")]
        await one.board.hang_up(sid, ADA)
        await calling
        assert {what for _, what, _ in await audited(database)} == {"call.say", "call.hang_up"}
        await one.stop()
        check_replay(one.log())


def said(service: Service) -> list[str]:
    return [line.text for line in service.witnesses[0].saw(Line) if line.role == "bot"]


# ------------------------------------------------------------------------------------------- session events


async def test_a_call_is_followed_in_its_process_and_from_another_to_its_end(
    start_service: StartService, database_url: str, tmp_path: Path, other: Service, database: Database
) -> None:
    async with process(start_service, database_url, tmp_path) as one:
        calling = asyncio.create_task(one.dial(QUIET, *(QUESTION, QUIET) * 4, Pause(60_000), max_call_s=60))
        await until(lambda: one.witnesses and "Hi" in said(one))
        sid = (await one.board.calls())[0].call_sid
        async with one.board.follow(sid, USUAL, ADA) as here, other.board.follow(sid, USUAL, ADA) as there:
            heard, late = list[Event](), list[Event]()
            following = [asyncio.create_task(collect(here, heard)), asyncio.create_task(collect(there, late))]
            await until(lambda: any(event.type == "agent_start" for event in late))
            await one.board.hang_up(sid, ADA)
            await asyncio.gather(calling, *following)
        for events in (heard, late):
            assert isinstance(events[0], HistoryUpdated)
            assert isinstance(events[-1], CallEnd)
            assert events[-1].outcome == "operator_hung_up"
        # Of histories that follow each other within half a second one will do.
        known = {event for event in heard if not isinstance(event, HistoryUpdated)}
        assert {event for event in late if not isinstance(event, HistoryUpdated)} <= known
        assert last_history(late) == last_history(heard)
        with pytest.raises(NotStored):
            async with other.board.follow("CA9", USUAL, ADA):
                pass
        assert [what for _, what, _ in await audited(database)] == ["call.hang_up"]


async def test_audio_comes_from_the_process_that_holds_the_call_alone_and_where_it_may_be_heard(
    start_service: StartService, database_url: str, tmp_path: Path, other: Service, database: Database
) -> None:
    wanted = USUAL | {"audio", "raw_model_event"}
    async with process(start_service, database_url, tmp_path) as one:
        calling = asyncio.create_task(one.dial(QUIET, QUESTION, QUIET, QUESTION, QUIET, Pause(500), HangUp()))
        await until(lambda: one.witnesses and "Hi" in said(one))
        sid = (await one.board.calls())[0].call_sid
        async with one.board.follow(sid, wanted, ADA) as events:
            heard = list[Event]()
            following = asyncio.create_task(collect(events, heard))
            async with asyncio.timeout(15):
                while await other.board.call(sid) is None:
                    await asyncio.sleep(0.1)
            with pytest.raises(ListeningRefused, match="are told there alone"):
                async with other.board.follow(sid, wanted, ADA):
                    pass
            await asyncio.gather(calling, following)
            names = {event.type for event in heard}
        assert {"audio", "raw_model_event"} <= names
        assert [what for _, what, _ in await audited(database)] == ["call.listen"]
    silent = PROFILE.model_copy(update={"record": False})
    async with process(start_service, database_url, tmp_path, profile=silent) as one:
        stream = await one.started_stream()
        await until(lambda: one.witnesses)
        with pytest.raises(ListeningRefused, match="record = false"):
            async with one.board.follow(CALL_SID, wanted, ADA):
                pass
        await stream.stop()
        await stream.closed()


async def collect(events: AsyncIterator[Event], into: list[Event]) -> None:
    async with asyncio.timeout(30):
        async for event in events:
            into.append(event)  # noqa: PERF401 - the others look at it meanwhile


def last_history(events: list[Event]) -> Any:
    return next(event.history for event in reversed(events) if isinstance(event, HistoryUpdated))


# ------------------------------------------------------------------------------------------- lookups


@asynccontextmanager
async def crm(answer: Any, asked: list[web.Request] | None = None, takes_s: float = 0) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if asked is not None:
            asked.append(request)
        await asyncio.sleep(takes_s)
        return web.json_response(answer) if not isinstance(answer, int) else web.Response(status=answer)

    async with shop(handle) as url:
        yield url


def caller_profile(url: str, timeout_s: float = 2.0) -> Profile:
    return profile_with(
        greeting="Hello {customer}",
        prompt="{customer} has {orders}; vip: {vip}",
        lookup={
            "url": f"{url}/callers/{{caller}}?of={{number}}",
            "headers": {"Authorization": {"secret": "CRM"}},
            "timeout_s": timeout_s,
            "values": {"customer": "friend", "orders": "nothing", "vip": False},
        },
    )


SETTINGS = {"PHONEBOT_TOOL_HOSTS_ALLOWED": "127.0.0.1", "PHONEBOT_SECRET_CRM": "Bearer x"}


async def test_what_is_known_of_a_caller_fills_the_texts_and_is_asked_when_the_webhook_comes(
    start_service: StartService,
) -> None:
    asked: list[web.Request] = []
    answer = {"customer": "Ms\x07 Haddad\n", "orders": ["a", "b"], "vip": True, "other": 1}
    async with crm(answer, asked) as url:
        service = await start_service(profile=caller_profile(url), **SETTINGS)
        status, _ = await service.post("/twilio/voice", form_of_call("CA" + "7" * 32))
        assert status == 200
        await until(lambda: len(asked) == 1)  # and no stream was opened
        await service.dial(QUIET, HangUp())
        await service.stop()
    assert len(asked) == 2
    assert asked[1].raw_path == "/callers/%2B15550100001?of=%2B15550100002"
    assert asked[1].headers["Authorization"] == "Bearer x"
    assert asked[1].headers["X-Phonebot-From"] == "+15550100001"
    plan = service.log().plan
    assert (plan.greeting, plan.session.instructions) == ("Hello Ms Haddad", "Ms Haddad has nothing; vip: true")
    (witness,) = service.witnesses
    assert witness.troubles == [
        "of the lookup's answer the defaults stand for orders: no text, number, true or false"
    ]
    check_replay(service.log())


@pytest.mark.parametrize(
    ("answer", "takes_s", "result", "why"),
    [
        (500, 0.0, "failed", 'status 500: ""'),
        ([1], 0.0, "failed", "its answer is no JSON object"),
        ({}, 0.8, "late", "no answer within 0.3 s"),
    ],
)
async def test_when_nothing_is_found_the_defaults_stand_and_the_log_has_the_reason(
    start_service: StartService, answer: Any, takes_s: float, result: str, why: str
) -> None:
    async with crm(answer, takes_s=takes_s) as url:
        service = await start_service(profile=caller_profile(url, 0.3), **SETTINGS)
        await service.dial(QUIET, HangUp())
        metrics = (await service.request("GET", "/metrics"))[1]
        await service.stop()
    assert service.log().plan.greeting == "Hello friend"
    (witness,) = service.witnesses
    assert witness.troubles == [f"the lookup came to nothing, its defaults stand: {why}"]
    assert f'phonebot_lookups_total{{result="{result}"}} 1.0' in metrics


async def test_the_models_socket_is_opened_while_the_lookup_runs(
    start_service: StartService,
) -> None:
    opened = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await opened.wait()
        return web.json_response({"customer": "Ms Haddad"})

    async with shop(handle) as url:
        service = await start_service(profile=caller_profile(url, 5.0), **SETTINGS)
        assert service.model is not None
        calling = asyncio.create_task(service.dial(QUIET, HangUp()))
        model = service.model
        await until(lambda: model.sessions)
        assert service.witnesses == []  # the call waits
        opened.set()
        await calling
        await service.stop()
    assert service.log().plan.greeting == "Hello Ms Haddad"


async def test_a_socket_that_nobody_takes_is_dropped_open_or_not() -> None:
    async with serve_model(minds=Listener, key=MODEL_KEY) as model:
        endpoint = gateway(model.url, "any", token=MODEL_KEY)
        early = EarlyLine(endpoint)
        await until(lambda: model.sessions)
        await early.close()
        await until(lambda: not model.sessions)
        await EarlyLine(endpoint).close()
        assert not model.sessions
