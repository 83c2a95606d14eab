"""What is done after a call, in whole calls over sockets: the webhook, the texts, and when things go wrong."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from databases import PostgresServer
from service_driver import PATIENCE_S, PROFILE, SPEECH, Service, leaving_nothing
from sqlalchemy import update
from webhook_server import Reply, WebhookServer, webhook_server

from phonebot.after import delivery, work
from phonebot.agents.profile import Profile
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.store.audit import Actor
from phonebot.store.calls import Filters
from phonebot.store.store import Store
from phonebot.store.tables import AfterRow, CallRow

pytestmark = pytest.mark.slow

SECRET = "only the CRM knows this"
TALK = (WaitForQuiet(300), Say(SPEECH, "a question"), WaitForQuiet(300), HangUp())
SCHEMA = {"type": "object", "properties": {"topic": {"enum": ["hours", "tea"]}}, "required": ["topic"]}
ADA = Actor("ada")


class Desk:
    """A mind that speaks briefly, and answers questions in writing as it was told to, the last answer for good."""

    def __init__(self, *written: Speak | Call | Exception) -> None:
        self.asked: list[Context] = []
        self._written = list(written) or [Speak("A short call.")]

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if not context.in_writing:
            return (Speak("Well"),)
        self.asked.append(context)
        answer = self._written.pop(0) if len(self._written) > 1 else self._written[0]
        if isinstance(answer, Exception):
            raise answer
        return (answer,)


def data(**fields: Any) -> Call:
    return Call("give_answer", fields)


class Deployment:
    """A service with a store, and what is told of its calls."""

    def __init__(self, service: Service, store: Store) -> None:
        self.service, self.store = service, store

    async def call(self) -> CallRow:
        """The only call, as soon as it is filed."""
        found: list[CallRow] = []

        async def is_filed() -> bool:
            found[:] = (await self.store.calls.page(Filters())).calls
            return bool(found)

        await until_so(is_filed)
        return await self.store.calls.get(found[0].call_sid)

    async def settled(self, state: str = "done") -> AfterRow:
        """What came of the only call, once it is so."""
        rows: list[AfterRow | None] = []

        async def is_settled() -> bool:
            rows[:] = [(await self.call()).after]
            return rows[0] is not None and rows[0].state == state

        await until_so(is_settled)
        assert rows[0] is not None
        return rows[0]

    async def metrics_with(self, line: str) -> str:
        """The figures, once this is one of them: how many wait is looked up from time to time."""
        figures = [""]

        async def is_there() -> bool:
            figures[:] = [(await self.service.request("GET", "/metrics"))[1]]
            return line in figures[0].splitlines()

        await until_so(is_there)
        return figures[0]

    async def attempted(self, problem: str) -> AfterRow:
        """What came of the only call, once an attempt to tell of it has failed so."""
        rows: list[AfterRow | None] = []

        async def has_failed() -> bool:
            rows[:] = [(await self.call()).after]
            return rows[0] is not None and problem in (rows[0].problem or "")

        await until_so(has_failed)
        assert rows[0] is not None
        return rows[0]


async def until_so(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await is_so():
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come soon, and so do looks at what others left."""
    monkeypatch.setattr(delivery, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(work, "POLL_S", 0.02)


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    async with leaving_nothing():
        yield


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """For what makes no difference to the database."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    return f"sqlite:///{tmp_path}/phonebot.db"


@asynccontextmanager
async def deployed(
    folder: Path,
    database_url: str,
    server: WebhookServer | None = None,
    *,
    mind: Desk | None = None,
    hosts: str = "127.0.0.1",
    **wishes: Any,
) -> AsyncIterator[Deployment]:
    """A service whose calls are told to the server."""
    after = {"after_call": {"url": server.url, "sign_with": "CRM"}} if server else {}
    table = PROFILE.model_dump(exclude_none=True) | after | wishes
    async with AsyncExitStack() as stack:
        store = await Store.open(database_url, (folder / "calls").as_uri())
        stack.push_async_callback(store.close)
        service = await Service.start(
            folder,
            profile=Profile.from_table(table, "test"),
            store=store,
            minds=lambda: mind or Desk(),
            PHONEBOT_TOOL_HOSTS_ALLOWED=hosts,
            PHONEBOT_SECRET_CRM=SECRET,
        )
        stack.push_async_callback(service.stop)
        yield Deployment(service, store)


async def test_a_call_is_told_with_all_that_was_said_and_made_of_it(database_url: str, tmp_path: Path) -> None:
    mind = Desk(Speak("Somebody asked something."), data(topic="hours"))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(webhook_server())
        wishes: dict[str, Any] = {"summary": True, "extract": {"schema": SCHEMA}}
        deployment = await stack.enter_async_context(deployed(tmp_path, database_url, server, mind=mind, **wishes))
        await deployment.service.dial(*TALK, from_number="+15550100009")
        (told,) = await server.told()
        after, call = await deployment.settled(), await deployment.call()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        async with http.get(told.json["recording_url"]) as answer:
            recording = answer.status, await answer.read()
        async with http.get(told.json["recording_url"][:-3]) as answer:
            assert answer.status == 404
        metrics = await deployment.metrics_with("phonebot_after_call_waiting 0.0")
    body = told.json
    assert (body["version"], body["call_id"], body["call_sid"]) == (1, call.call_sid, call.call_sid)
    assert (body["from"], body["to"], body["kind"]) == ("+15550100009", "+15550100002", "twilio")
    assert (body["outcome"], body["profile"]["name"]) == ("caller_hung_up", "Front desk")
    assert [(line["role"], line["text"], line["cut"]) for line in body["transcript"]] == [
        ("bot", "Hi", False),
        ("caller", "something", False),
        ("bot", "Well", False),
    ]
    assert (body["summary"], body["extracted"], body["problems"]) == (
        "Somebody asked something.",
        {"topic": "hours"},
        {},
    )
    assert (recording[0], recording[1][:4]) == (200, b"RIFF")
    assert body["page_url"] == f"{deployment.service.url}/console/calls/{call.call_sid}"
    assert "Caller: something" in mind.asked[0].history[0].text
    assert told.headers["X-Phonebot-Attempt"] == "1"
    assert (after.summary, after.extracted, after.attempts) == (body["summary"], body["extracted"], 1)
    assert [row.response_id for row in call.usage][-2:] == ["summary", "extract"]
    assert call.cost_usd == pytest.approx(sum(row.cost_usd or 0 for row in call.usage))
    assert body["cost"]["usd"] == pytest.approx(call.cost_usd)
    assert body["cost"]["tokens"]["output_text"] == sum(row.output_text for row in call.usage)
    assert 'phonebot_after_call_deliveries_total{result="delivered"} 1.0' in metrics


async def test_what_is_not_taken_is_sent_again_and_never_made_again(sqlite_url: str, tmp_path: Path) -> None:
    mind = Desk()
    async with (
        webhook_server(500, 503, 200) as server,
        deployed(tmp_path, sqlite_url, server, mind=mind, summary=True) as deployment,
    ):
        await deployment.service.dial(*TALK)
        first, second, third = await server.told(3)
        after = await deployment.settled()
        metrics = (await deployment.service.request("GET", "/metrics"))[1]
    assert [each.headers["X-Phonebot-Attempt"] for each in (first, second, third)] == ["1", "2", "3"]
    assert len({each.headers["X-Phonebot-Delivery"] for each in (first, second, third)}) == 1
    assert first.json["summary"] == third.json["summary"] == "A short call."
    assert (after.attempts, after.problem, len(mind.asked)) == (3, None, 1)
    assert 'result="failed"} 2.0' in metrics


async def test_a_server_that_wants_no_more_is_not_asked_again(sqlite_url: str, tmp_path: Path) -> None:
    gone = Reply(410, "This CRM\nhas moved.")
    async with webhook_server(gone) as server, deployed(tmp_path, sqlite_url, server) as deployment:
        await deployment.service.dial(*TALK)
        after = await deployment.settled("given_up")
    assert (after.attempts, after.problem) == (1, "status 410: This CRM has moved.")


async def test_the_answer_is_not_read_beyond_its_first_kilobytes(sqlite_url: str, tmp_path: Path) -> None:
    async with (
        webhook_server(Reply(text="x" * 10_000_000)) as server,
        deployed(tmp_path, sqlite_url, server) as deployment,
    ):
        await deployment.service.dial(*TALK)
        assert (await deployment.settled()).attempts == 1


@pytest.mark.parametrize(
    ("url", "hosts", "problem"),
    [
        ("http://127.0.0.1:1/calls", "127.0.0.1", "Connect call failed"),
        ("https://127.0.0.1:1/calls", "", "127.0.0.1 is not a public address"),
        ("https://localhost:1/calls", "", "localhost has the address 127.0.0.1, which is not public"),
        ("http://crm.example.com/calls", "", "crm.example.com may be asked over https:// only"),
    ],
)
async def test_a_call_that_cannot_be_told_says_why_and_waits(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, hosts: str, problem: str
) -> None:
    monkeypatch.setattr(delivery, "FIRST_RETRY_S", 60)
    async with deployed(tmp_path, sqlite_url, hosts=hosts, after_call={"url": url}) as deployment:
        await deployment.service.dial(*TALK)
        after = await deployment.attempted(problem)
        assert (await deployment.service.request("GET", "/metrics"))[1].count(
            "phonebot_after_call_waiting 1.0"
        ) == 1
    assert (after.state, after.attempts, after.lease) == ("waiting", 1, None)
    assert timedelta(seconds=40) < after.due_at - datetime.now(UTC) < timedelta(seconds=80)


async def test_a_redirect_is_not_followed_and_a_missing_secret_sends_nothing(
    sqlite_url: str, tmp_path: Path
) -> None:
    elsewhere = Reply(307, headers={"Location": "/elsewhere"})
    async with webhook_server(elsewhere) as server:
        async with deployed(tmp_path, sqlite_url, server) as deployment:
            await deployment.service.dial(*TALK)
            await deployment.attempted("status 307: redirects are not followed")
            assert all(request.path == "/calls" for request in server.requests)
        seen = len(server.requests)
        wish: Any = {"after_call": {"url": server.url, "sign_with": "LOST"}}
        (tmp_path / "again").mkdir()
        url = f"sqlite:///{tmp_path}/again/phonebot.db"
        async with deployed(tmp_path / "again", url, **wish) as deployment:
            await deployment.service.dial(*TALK)
            await deployment.attempted("PHONEBOT_SECRET_LOST is not set")
        assert len(server.requests) == seen


@pytest.mark.parametrize(
    ("answers", "extracted", "problem"),
    [
        ((data(topic="cake"), data(topic="tea")), {"topic": "tea"}, None),
        ((data(topic="cake"), data()), None, "the answer does not fit: 'topic' is a required property"),
    ],
)
async def test_data_that_do_not_fit_are_asked_for_once_more(
    sqlite_url: str, tmp_path: Path, answers: tuple[Call, ...], extracted: object, problem: str | None
) -> None:
    mind = Desk(*answers)
    async with (
        webhook_server() as server,
        deployed(tmp_path, sqlite_url, server, mind=mind, extract={"schema": SCHEMA}) as deployment,
    ):
        await deployment.service.dial(*TALK)
        (told,) = await server.told()
        call = await deployment.call()
    assert [("not taken" in each.history[0].text) for each in mind.asked] == [False, True]
    assert "'cake' is not one of" in mind.asked[1].history[0].text
    assert told.json["extracted"] == extracted
    assert told.json["problems"] == ({"extracted": problem} if problem else {})
    assert [row.response_id for row in call.usage].count("extract") == 2


async def test_a_model_that_fails_for_long_keeps_nobody_from_being_told(sqlite_url: str, tmp_path: Path) -> None:
    mind = Desk(RuntimeError("no model today"))
    async with (
        webhook_server() as server,
        deployed(tmp_path, sqlite_url, server, mind=mind, summary={"prompt": "What happened?"}) as deployment,
    ):
        await deployment.service.dial(*TALK)
        (told,) = await server.told()
        assert len(mind.asked) == work.MAX_WRITE_ATTEMPTS
        assert mind.asked[0].instructions.startswith("What happened?")
        assert told.json["summary"] is None
        assert "gateway gave no answer" in told.json["problems"]["summary"]
        # Somebody wants it tried again, when the model is back.
        mind._written = [Speak("It works again.")]
        await deployment.store.after.again((await deployment.call()).call_sid, ADA)
        _, again = await server.told(2)
        assert (again.json["summary"], again.headers["X-Phonebot-Attempt"]) == ("It works again.", "2")


async def test_of_a_call_in_which_nobody_spoke_no_model_is_asked(sqlite_url: str, tmp_path: Path) -> None:
    mind = Desk()
    async with (
        webhook_server() as server,
        deployed(tmp_path, sqlite_url, server, mind=mind, summary=True, greeting=None) as deployment,
    ):
        stream = await deployment.service.started_stream()
        await stream.stop()
        (told,) = await server.told()
        await stream.closed()
    assert (told.json["transcript"], told.json["summary"]) == ([], None)
    assert told.json["problems"] == {"summary": "nothing was said in this call"}
    assert mind.asked == []


async def test_a_call_whose_profile_wants_nothing_has_nothing_after_it(sqlite_url: str, tmp_path: Path) -> None:
    async with deployed(tmp_path, sqlite_url) as deployment:
        await deployment.service.dial(*TALK)
        assert (await deployment.call()).after is None


async def test_what_another_process_died_over_is_taken_over(database_url: str, tmp_path: Path) -> None:
    """The other process had asked the model, and had begun to tell; nobody knows how far it got."""
    mind = Desk()
    async with webhook_server() as server:
        async with deployed(tmp_path, database_url, mind=mind, summary=True) as deployment:
            await deployment.service.dial(*TALK)
            await deployment.settled()
            call = await deployment.call()
        store = await Store.open(database_url, (tmp_path / "calls").as_uri())
        async with store.database.begin() as session:
            wishes = {"summary": {}, "after_call": {"url": server.url}}
            dead = {"lease": "dead", "lease_until": datetime.now(UTC) + timedelta(seconds=1)}
            await session.execute(update(AfterRow).values(state="waiting", wishes=wishes, attempts=1, **dead))
        assert await store.after.claim("other", 5) == []  # it may be alive yet
        await store.close()
        async with deployed(tmp_path, database_url, mind=mind) as deployment:
            (told,) = await server.told()
            await deployment.settled()
    assert (told.json["call_id"], told.json["summary"]) == (call.call_sid, "A short call.")
    assert told.headers["X-Phonebot-Attempt"] == "2"
    assert len(mind.asked) == 1


async def test_while_the_database_is_away_it_waits_and_nothing_is_lost(
    postgres: PostgresServer, migrated_postgresql: str, tmp_path: Path
) -> None:
    name = postgres.create(template=migrated_postgresql)
    async with (
        webhook_server() as server,
        deployed(tmp_path, postgres.url(name), server, summary=True) as deployment,
    ):
        postgres.run_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        postgres.run_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        await deployment.service.dial(*TALK)
        await asyncio.sleep(0.5)
        postgres.run_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        (told,) = await server.told()
        await deployment.settled()
    assert told.json["summary"] == "A short call."


async def test_a_deleted_call_takes_its_job_with_it(sqlite_url: str, tmp_path: Path) -> None:
    async with webhook_server(500) as server, deployed(tmp_path, sqlite_url, server) as deployment:
        await deployment.service.dial(*TALK)
        await server.told(2)
        await deployment.store.calls.delete((await deployment.call()).call_sid, ADA)
        await until_so(lambda: _none_waits(deployment.store))
        assert await deployment.store.after.claim("me", 5) == []


async def _none_waits(store: Store) -> bool:
    return await store.after.waiting() == 0
