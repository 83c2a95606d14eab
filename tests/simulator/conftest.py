"""For the tests of the simulator."""

from collections.abc import AsyncIterator

import pytest
from switchboard_driver import Scene, staged


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with staged() as scene:
        yield scene
