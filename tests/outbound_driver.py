"""
A service with an emulated account before it, and those who order calls.

    async with staged(sqlite, tmp_path, machine="talk") as desk:
        call = await desk.call(Human(...), reason="your table is free")
        (record,) = desk.carrier.calls_to(COLLEAGUE)
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service_driver import PATIENCE_S, PROFILE, TOKEN, Service
from sign_in import PASSWORD, QUICK
from switchboard_driver import COLLEAGUE, LINE

from phonebot.agents.profile import Profile
from phonebot.outbound.orders import Orders
from phonebot.simulator.switchboard import ACCOUNT_SID, Switchboard
from phonebot.simulator.terms import CallbackOddities
from phonebot.store.audit import Actor
from phonebot.store.calls import Filters
from phonebot.store.database import Database
from phonebot.store.outbound import OutboundCall
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store
from phonebot.store.tables import CallRow
from phonebot.store.users import ROLES, UserStore

ADA = Actor("ada")


@dataclass
class Desk:
    """`service` takes calls and makes them; `orders` are those of another process, which makes none."""

    service: Service
    store: Store
    carrier: Switchboard

    @property
    def orders(self) -> Orders:
        return Orders(self.store.outbound, None, has_account=True)

    async def order(self, to: str = COLLEAGUE, reason: str = "") -> OutboundCall:
        return await self.orders.place(to, LINE, ADA, reason)

    async def call(self, callee: Any, reason: str = "") -> OutboundCall:
        """Call somebody, and wait until that is over."""
        self.carrier.callees[COLLEAGUE] = callee
        return await self.over(await self.order(reason=reason))

    async def over(self, call: OutboundCall) -> OutboundCall:
        return await self.until(call, lambda now: now.is_over)

    async def until(self, call: OutboundCall, is_so: Callable[[OutboundCall], bool]) -> OutboundCall:
        async with asyncio.timeout(2 * PATIENCE_S):
            while not is_so(now := await self.store.outbound.get(call.id)):
                await asyncio.sleep(0.02)
        return now

    async def filed(self) -> CallRow:
        """The only call that was held, as soon as it can be found."""
        async with asyncio.timeout(PATIENCE_S):
            while not (page := await self.store.calls.page(Filters())).calls:
                await asyncio.sleep(0.02)
        return await self.store.calls.get(page.calls[0].call_sid)

    def created(self) -> list[dict[str, str]]:
        """What the account was asked to call."""
        return [
            given
            for method, path, given in self.carrier.requests
            if method == "POST" and path.endswith("/Calls.json")
        ]


@asynccontextmanager
async def staged(
    database: Database,
    folder: Path,
    *,
    callbacks: CallbackOddities | None = None,
    profile: dict[str, Any] | None = None,
    service: dict[str, Any] | None = None,
    line: str = LINE,
    **keys: Any,
) -> AsyncIterator[Desk]:
    """
    A Desk whose number calls out as these keys say, and tries again after a second. There is a user of each role.

    `profile` has further keys of the profile, `service` further terms of the service; `line` is the number.
    """
    users = UserStore(database, QUICK)
    for role in ROLES:
        await users.create(role, PASSWORD, role, ADA)
    store = Store.of(database, Recordings((folder / "calls").as_uri()), users)
    table = PROFILE.model_dump(exclude_none=True) | {"outbound": {"retry_after_s": 1, **keys}} | (profile or {})
    async with AsyncExitStack() as running:
        carrier = await running.enter_async_context(
            Switchboard.open(speed=20, auth_token=TOKEN, callbacks=callbacks)
        )
        terms: dict[str, Any] = {
            "store": store,
            "profile": Profile.from_table(table, "test"),
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_API_URL": carrier.url,
        }
        started = await Service.start(folder, **(terms | (service or {})))
        running.push_async_callback(started.stop)
        carrier.add_number(line, VoiceUrl=f"{started.url}/twilio/voice")
        yield Desk(started, store, carrier)
