"""Processes that share a database, and what is audited in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from service_driver import Service, StartService
from sqlalchemy import select

from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.store import Store
from phonebot.store.tables import AuditRow

ADA = Actor("ada", "192.0.2.7")
NOWHERE = "wss://127.0.0.1:1"  # no call is held there


@asynccontextmanager
async def process(start: StartService, database_url: str, folder: Path, **terms: Any) -> AsyncIterator[Service]:
    """One that is stopped before its store is closed."""
    store = await Store.open(database_url, (folder / "calls").as_uri())
    service = await start(store=store, **terms)
    yield service
    await service.stop()
    await store.close()


async def audited(database: Database) -> list[tuple[str, str, str]]:
    async with database.read() as session:
        rows = (await session.scalars(select(AuditRow).order_by(AuditRow.id))).all()
    return [(row.who, row.what, row.target) for row in rows]
