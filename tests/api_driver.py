"""
The API over a real socket: a service with a store, and a client with tokens.

    async with Api.serving(database, tmp_path) as api:
        answer = await api.get("/numbers")
        answer = await api.put("/numbers/default", {"profile": {}}, scope="operate")
"""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from service_driver import SECRET_KEY, TOKEN
from sign_in import QUICK
from starlette.applications import Starlette
from starlette.routing import Mount

from phonebot.agents.numbers import Numbers
from phonebot.serving import listen, running
from phonebot.settings import load
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store
from phonebot.store.tables import CallRow, MessageRow, ToolCallRow, TurnRow, UsageRow
from phonebot.store.tokens import SCOPES
from phonebot.store.users import UserStore
from phonebot.web.api.api import PATH
from phonebot.web.api.bearer import Bearers
from phonebot.web.api.parts import Parts
from phonebot.web.app import create_app
from phonebot.web.attempts import Attempts

BOSS = Actor("boss")
DESK = "+15550100000"
MESSAGE_ID = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Answer:
    """`json` None: the body is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


@dataclass
class Api:
    """`secrets` are those of a token for each scope, by scope."""

    app: Starlette
    store: Store
    url: str
    secrets: dict[str, str]
    http: aiohttp.ClientSession = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def serving(cls, database: Database, folder: Path) -> AsyncIterator["Api"]:
        store = store_of(database, folder)
        secrets: dict[str, str] = {
            scope: (await store.tokens.create(scope, [scope], BOSS)).secret for scope in SCOPES
        }
        app = app_of(store, folder, "http://127.0.0.1:8080")
        listener = listen("127.0.0.1", 0)
        # uvloop does so by itself; without it each answer waits for the acknowledgement of its head, 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with running(app, listener), aiohttp.ClientSession() as http:
            yield cls(app, store, url + PATH, secrets, http)

    async def file_call(
        self, sid: str, minute: int = 0, said: str = "a table for four", log: Path | None = None
    ) -> None:
        """A call that began so many minutes past noon."""
        key = None
        if log is not None:
            key = f"20261127-{sid}"
            await self.store.recordings.put(key, log)
        began = NOON + timedelta(minutes=minute)
        call = CallRow(
            call_sid=sid,
            from_number=f"+1555010012{minute % 10}",
            to_number=DESK,
            number=DESK,
            started_at=began,
            ended_at=began + timedelta(seconds=30),
            duration_ms=30_000,
            outcome="caller_hung_up" if minute % 2 else "time_limit",
            cost_usd=0.05,
            storage_key=key,
            tags=["vip"],
        )
        await self.store.calls.file(
            call,
            [TurnRow(sequence=1, who="bot", text="Hel", unheard_text="lo", cut=True, heard_ms=300, of_ms=500),
             TurnRow(sequence=2, who="caller", text=said)],
            [ToolCallRow(sequence=1, name="book", arguments='{"n": 4}', start_ms=100)],
            [UsageRow(sequence=1, at_ms=900, input_audio=70, output_audio=40, cost_usd=0.05)],
            text=[said],
        )  # fmt: skip

    async def keep_message(self, message_id: str = MESSAGE_ID, **values: Any) -> None:
        """A message that somebody is to be told of; nobody answers there."""
        given = {
            "message_id": message_id,
            "call_sid": "CA22222222222222222222222222222222",
            "taken_at": NOON,
            "number": DESK,
            "from_number": "+15550100123",
            "text": "Please call me about the terrace.",
        }
        await self.store.messages.keep(MessageRow(**(given | values)), {"message": {"url": "https://crm.invalid/"}})

    @property
    def parts(self) -> Parts:
        """What its routes work with."""
        parts: Parts = self._state.parts
        return parts

    def count_failures_by(self, failures: Attempts) -> None:
        """Wrong tokens are counted so from now on."""
        self._state.bearers = Bearers(self.store.tokens, failures)

    @property
    def _state(self) -> Any:
        (mounted,) = (route.app for route in self.app.routes if isinstance(route, Mount) and route.path == PATH)
        assert isinstance(mounted, Starlette)
        return mounted.state

    async def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        scope: str | None = "read",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """`scope` None: without a token."""
        sent = dict(headers or {})
        if scope is not None:
            sent.setdefault("Authorization", f"Bearer {self.secrets[scope]}")
        terms: dict[str, Any] = {"json": json} if json is not None else {"data": data}
        async with self.http.request(method, self.url + path, params=query, headers=sent, **terms) as response:
            body = await response.read()
            kind = response.headers.get("content-type", "")
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                body,
                await response.json(content_type=None) if kind.endswith("json") else None,
            )

    async def get(self, path: str, scope: str | None = "read", **query: Any) -> Answer:
        return await self.ask("GET", path, scope=scope, **query)

    async def put(self, path: str, json: Any, scope: str = "operate") -> Answer:
        return await self.ask("PUT", path, json, scope=scope)

    async def post(self, path: str, json: Any = None, scope: str = "operate") -> Answer:
        return await self.ask("POST", path, json, scope=scope)

    async def delete(self, path: str, scope: str = "operate") -> Answer:
        return await self.ask("DELETE", path, scope=scope)


def store_of(database: Database, folder: Path) -> Store:
    """The store of a database that has its tables; to hash a password takes no time in it."""
    return Store.of(database, Recordings(f"file://{folder}/calls"), UserStore(database, QUICK))


def app_of(store: Store, folder: Path, url: str) -> Starlette:
    settings = load(
        {
            "PHONEBOT_PUBLIC_URL": url,
            "PHONEBOT_SECRET_KEY": SECRET_KEY,
            "PHONEBOT_DATA_DIR": str(folder),
            "TWILIO_AUTH_TOKEN": TOKEN,
            "PHONEBOT_MODEL_URL": "ws://127.0.0.1:1",  # where nobody listens
        },
        env_file=None,
    )
    return create_app(settings, Numbers(), store=store)
