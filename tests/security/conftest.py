"""The whole service with a store and users of each role."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from service_driver import Service, StartService
from sign_in import PASSWORD, QUICK

from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store
from phonebot.store.users import ROLES, UserStore


@pytest.fixture
async def store(services: AsyncExitStack, migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Store]:
    """With a user of each role, named after it. Which database it is makes no difference here."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    database = Database(f"sqlite:///{tmp_path}/phonebot.db")
    users = UserStore(database, QUICK)
    for role in ROLES:
        await users.create(role, PASSWORD, role, Actor("boss"))
    yield Store.of(database, Recordings((tmp_path / "calls").as_uri()), users)
    await services.aclose()  # who still used the database would open it again
    await database.close()


@pytest.fixture
async def service(start_service: StartService, store: Store) -> Service:
    """With a model, the console and the API."""
    return await start_service(store=store)
