"""
The API keeps what its document promises, whatever is sent: schemathesis makes the requests from the document.

They go to a real service with a real store, over the loopback. Which they are is the same each time.
"""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import schemathesis
from api_driver import BOSS, Api
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from sqlalchemy import update

from phonebot.replay.log import About
from phonebot.store.database import Database
from phonebot.store.tables import ApiTokenRow
from phonebot.store.tokens import SCOPES
from phonebot.web.api import streams
from phonebot.web.api.api import document
from phonebot.web.attempts import Attempts

pytestmark = pytest.mark.slow

EXAMPLES = 3
BEYOND = 2**40  # an id that no request can name: the token that asks is not revoked
FUZZED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Served:
    """A service in a thread of its own, and the token of all scopes."""

    url: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}


async def serve(folder: Path, ready: Queue[Served], stop: threading.Event) -> None:
    database = Database(f"sqlite:///{folder}/phonebot.db")
    async with Api.serving(database, folder) as api:
        token, secret = await api.store.tokens.create("everything", SCOPES, BOSS)
        async with database.begin() as session:
            await session.execute(update(ApiTokenRow).where(ApiTokenRow.id == token.id).values(id=BEYOND))
        api.count_failures_by(Attempts(10**9, 1))
        await api.file_call("CA11111111111111111111111111111111")
        await api.keep_message()
        await api.put("/numbers/+15550100000", {"profile": {"name": "Front desk"}})
        api.app.state.feed.begin(About(call_sid="CA22222222222222222222222222222222"))
        ready.put(Served(api.url, secret))
        await asyncio.to_thread(stop.wait)
    await database.close()


@pytest.fixture(scope="module")
def served(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, ready, stop = tmp_path_factory.mktemp("api"), Queue[Served](), threading.Event()
    shutil.copy(migrated_sqlite, folder / "phonebot.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "MAX_STREAM_S", 0.005)
        thread = threading.Thread(target=lambda: asyncio.run(serve(folder, ready, stop)))
        thread.start()
        try:
            yield ready.get(timeout=15)
        finally:
            stop.set()
            thread.join()


CONFIG = SchemathesisConfig.from_dict(
    {
        "generation": {"deterministic": True, "max-examples": EXAMPLES, "with-security-parameters": False},
        # 409 and 422: a name is taken, keys of a profile do not go together, a cursor is none of ours.
        "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 404, 409, 422]}},
    }
)
for media_type in ("application/toml", "audio/wav", "audio/x-wav", "audio/vnd.wave"):

    @schemathesis.serializer(media_type)
    def as_it_is(context: object, value: object) -> bytes:
        return value if isinstance(value, bytes) else str(value).encode(errors="replace")


schema = schemathesis.openapi.from_dict(document("http://127.0.0.1/api/v1"), config=CONFIG)


@schema.parametrize()
@FUZZED
def test_whatever_is_sent_is_answered_as_the_document_says(case: Case[Any], served: Served) -> None:
    case.call_and_validate(base_url=served.url, headers=served.headers)


def test_what_is_made_is_there_and_what_is_deleted_is_gone(served: Served) -> None:
    """Chains of requests: one makes or deletes what the next one asks for."""

    class Chains(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Case[Any]) -> dict[str, object]:
            return {"base_url": served.url, "headers": served.headers}

    Chains.run(settings=settings(FUZZED, max_examples=10, stateful_step_count=6))
