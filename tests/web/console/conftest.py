"""For the console's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from browser_driver import REMEDY
from console_driver import Visit
from service_driver import Service, StartService
from sign_in import PASSWORD, QUICK

from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store
from phonebot.store.users import ROLES, UserStore

NOWHERE = "wss://127.0.0.1:1"  # no model is asked here


@pytest.fixture
async def roles(database: Database, tmp_path: Path) -> Store:
    """A store of each kind, with a user of each role, named after it."""
    users = UserStore(database, QUICK)
    for role in ROLES:
        await users.create(role, PASSWORD, role, Actor("ada"))
    return Store.of(database, Recordings((tmp_path / "calls").as_uri()), users)


@pytest.fixture
async def console(start_service: StartService, roles: Store) -> Service:
    """A service with that store."""
    return await start_service(model_url=NOWHERE, store=roles)


@pytest.fixture
async def visit(console: Service) -> AsyncIterator[Visit]:
    """A browser in which nobody is signed in yet."""
    async with Visit(console) as visit:
        yield visit


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What was skipped for want of a browser is said in a line of its own: `-q` shows no more than an s."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if REMEDY in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"SKIPPED {len(skipped)} tests of the phone in the browser: {REMEDY}", red=True)
