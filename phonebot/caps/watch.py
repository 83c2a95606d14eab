"""
Watches what calls cost in a day, and ends those that go on once it is too much.

    caps = DayCaps(most_usd=50, process="a", store=store.spending, alarm=bell.ring)
    async with caps.running():
        with caps.journal(number, profile, model, plan.tariff, bridge.cap): ...     # a call, with this journal
        caps.reached(number, profile)       # for what a call that comes now is not answered; None: it is

Calls of a process are counted as their services tell what they took; what those of other processes took is read
from the database each ROUND_S. While that is away each process goes by what it knows. Days are UTC's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Literal, Self, TypeAlias

from phonebot.agents.profile import Profile
from phonebot.call.actions import Action, Cap
from phonebot.call.inputs import CapReached, Input
from phonebot.call.limits import NEAR, Spending
from phonebot.caps.ledger import Ledger
from phonebot.errors import StoreError
from phonebot.realtime.events import ResponseDone, TranscriptionCompleted
from phonebot.realtime.prices import Tariff
from phonebot.store.spending import SpendingStore

log = logging.getLogger(__name__)

ROUND_S = 2.0
TIDY_S = 3_600.0

Level: TypeAlias = Literal["near", "reached"]


@dataclass(frozen=True, slots=True)
class CapAlarm:
    """A cap is near or reached; `number` None: that of the deployment."""

    day: date
    cap: Cap
    level: Level
    number: str | None
    spent_usd: float
    most_usd: float

    @property
    def name(self) -> str:
        """The same of all alarms of which one a day is enough."""
        return f"{self.cap}:{self.level}:{self.number or ''}"

    def __str__(self) -> str:
        whose = f"calls of {self.number}" if self.number else "all calls"
        how = "have cost" if self.level == "reached" else "have nearly cost"
        return f"{whose} {how} what they may on {self.day}: {self.spent_usd:.2f} of {self.most_usd:.2f} US dollars"


@dataclass(eq=False, slots=True)
class Watched:
    """A call in progress. `most_usd` is its number's cap; `told` what it was told was reached."""

    number: str
    most_usd: float | None
    tell: Callable[[CapReached], object]
    told: bool = False


class DayCaps:
    """`most_usd` None: the deployment has no cap. `alarm` is given each alarm once, in this process."""

    def __init__(
        self,
        most_usd: float | None,
        process: str,
        store: SpendingStore | None,
        alarm: Callable[[CapAlarm], object],
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self.most_usd = most_usd
        self._process, self._store, self._alarm, self._today = process, store, alarm, today
        self._ledger = Ledger(today())
        self._calls: set[Watched] = set()
        # Alarms of the day, by name; and models of which no price is known.
        self._raised: set[str] = set()
        self._unknown: set[str] = set()
        self._away = False

    @property
    def day(self) -> date:
        """Today."""
        return self._of_today().day

    @property
    def by_number(self) -> dict[str, float]:
        """What the calls of each number have cost today, as far as it is known here."""
        return self._of_today().by_number

    @property
    def spent_usd(self) -> float:
        """What all calls have cost today, as far as it is known here."""
        return self._of_today().total

    @property
    def is_spent(self) -> bool:
        """What all calls may cost today is spent."""
        return self.most_usd is not None and self.spent_usd >= self.most_usd

    def reached(self, number: str, profile: Profile) -> CapReached | None:
        """The cap for which a new call of a number is not answered; None: it is."""
        return next(self._over(number, profile.max_cost_per_day_usd), None)

    def journal(
        self, number: str, profile: Profile, model: str, tariff: Tariff, tell: Callable[[CapReached], object]
    ) -> "CapJournal":
        """That of a call of a number with a model, at a tariff. `tell` is called once, when it has to end."""
        call = Watched(number, profile.max_cost_per_day_usd, tell)
        return CapJournal(self, call, self._spending(profile, model, tariff))

    def begin(self, call: Watched) -> None:
        """A call is in progress."""
        self._calls.add(call)

    def end(self, call: Watched) -> None:
        self._calls.discard(call)

    def add(self, number: str, usd: float) -> None:
        """A call of a number has cost so much more."""
        self._of_today().add(number, usd)
        self._judge()

    def _spending(self, profile: Profile, model: str, tariff: Tariff) -> Spending | None:
        if tariff.model is None:
            is_capped = self.most_usd is not None or profile.max_cost_per_day_usd is not None
            if is_capped and model not in self._unknown:
                self._unknown.add(model)
                log.warning("calls of the model %.60s count for no cap: no price is known", model)
            return None
        return Spending(tariff)

    def _of_today(self) -> Ledger:
        today = self._today()
        if today != self._ledger.day:
            self._ledger.begin(today)
            self._raised.clear()
        return self._ledger

    # ------------------------------------------------------------------------------ what is too much

    def _over(self, number: str, most_usd: float | None) -> Iterator[CapReached]:
        ledger = self._of_today()
        if most_usd is not None and ledger.of(number) >= most_usd:
            yield CapReached("number_day", ledger.of(number), most_usd)
        if self.most_usd is not None and ledger.total >= self.most_usd:
            yield CapReached("day", ledger.total, self.most_usd)

    def _judge(self) -> None:
        """Raise alarms, and let calls know that have to end."""
        ledger = self._of_today()
        if self.most_usd is not None:
            self._raise("day", None, ledger.total, self.most_usd)
        for call in list(self._calls):
            if call.most_usd is not None:
                self._raise("number_day", call.number, ledger.of(call.number), call.most_usd)
            reached = None if call.told else next(self._over(call.number, call.most_usd), None)
            if reached:
                call.told = True
                # In a turn of its own: it may be this call that is telling what it has cost.
                asyncio.get_running_loop().call_soon(call.tell, reached)

    def _raise(self, cap: Cap, number: str | None, spent_usd: float, most_usd: float) -> None:
        if spent_usd < most_usd * NEAR:
            return
        level: Level = "reached" if spent_usd >= most_usd else "near"
        alarm = CapAlarm(self._ledger.day, cap, level, number, spent_usd, most_usd)
        if alarm.name not in self._raised:
            self._raised.add(alarm.name)
            self._alarm(alarm)

    # ------------------------------------------------------------------------------ other processes

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What others spend is known while the block runs; at its end they know what was spent here."""
        if self._store is None:
            yield
            return
        await self._exchange(self._store)
        task = asyncio.create_task(self._follow(self._store), name="follow what calls cost")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if changed := self._ledger.take_changed():
                with suppress(StoreError):
                    await self._store.put(self._process, self._ledger.day, changed)

    async def _follow(self, store: SpendingStore) -> None:
        loop = asyncio.get_running_loop()
        tidied_s = loop.time()
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                await self._exchange(store)
                if loop.time() >= tidied_s + TIDY_S:
                    tidied_s = loop.time()
                    with suppress(StoreError):
                        await store.tidy(self._today())
            except Exception:
                # A fault of ours in one round must not end the next ones: caps would hold in this process alone.
                log.exception("what calls of other processes cost is not known")

    async def _exchange(self, store: SpendingStore) -> None:
        """Write what was spent here, and read what was elsewhere."""
        ledger = self._of_today()
        day, changed = ledger.day, ledger.take_changed()
        try:
            await store.put(self._process, day, changed)
            others = await store.of_others(self._process, day)
        except StoreError as error:
            ledger.give_back(changed)
            if not self._away:
                log.warning("what calls of other processes cost is not known: %s", error)
            self._away = True
            return
        except BaseException:
            ledger.give_back(changed)  # to be written in the next round, or at the end
            raise
        self._away = False
        if self._of_today().day == day:
            ledger.learn(others)
            self._judge()


class CapJournal:
    """
    A bridge's journal that tells what its call costs more, each time; the call is in progress while it is entered.

    `spending` None: what it costs cannot be reckoned.
    """

    def __init__(self, caps: DayCaps, call: Watched, spending: Spending | None) -> None:
        self._caps, self._call, self._spending = caps, call, spending

    def __enter__(self) -> Self:
        self._caps.begin(self._call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._caps.end(self._call)

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if self._spending is None or not isinstance(received, ResponseDone | TranscriptionCompleted):
            return
        before_usd = self._spending.usd
        if isinstance(received, ResponseDone):
            self._spending.respond(received.response.usage)
        else:
            self._spending.transcribe(received.usage)
        self._caps.add(self._call.number, self._spending.usd - before_usd)
