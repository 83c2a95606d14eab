"""An API to ask, on each kind of database. Afterwards no task runs and no socket is open."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_driver import Api
from service_driver import leaving_nothing

from phonebot.store.database import Database


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    async with leaving_nothing():
        async with Api.serving(database, tmp_path) as api:
            yield api
        await database.close()
