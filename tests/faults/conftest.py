"""A service to call. Whatever a test does with it, afterwards no task runs and no socket is open."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from service_driver import Service, StartService, leaving_nothing


@pytest.fixture
async def start_service(tmp_path: Path) -> AsyncIterator[StartService]:
    async with leaving_nothing(), AsyncExitStack() as running:

        async def start(**terms: Any) -> Service:
            service = await Service.start(tmp_path, **terms)
            running.push_async_callback(service.stop)
            return service

        yield start
