"""What calls may cost in a day: who is told when, and which calls are not answered any more."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest

from phonebot.agents.profile import Profile
from phonebot.call.inputs import CapReached, Tick
from phonebot.caps import watch
from phonebot.caps.watch import CapAlarm, CapJournal, DayCaps
from phonebot.errors import StoreUnavailable
from phonebot.realtime.events import Response, ResponseDone, TranscriptionCompleted, TranscriptionUsage, Usage
from phonebot.realtime.prices import LISTED
from phonebot.store.database import Database
from phonebot.store.spending import SpendingStore

MODEL = "gpt-realtime-2.1"
DOLLAR = 15_625  # tokens of audio that it says for one
NUMBER, OTHER = "+15550100000", "+15550100001"
FREE, CAPPED = Profile(), Profile(max_cost_per_day_usd=10)


@dataclass
class Office:
    """One process and its calls, on a day of the test's choosing."""

    most_usd: float | None = None
    store: SpendingStore | None = None
    process: str = "a"
    day: date = date(2026, 11, 27)
    alarms: list[CapAlarm] = field(default_factory=list)
    told: list[tuple[str, CapReached]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.caps = DayCaps(self.most_usd, self.process, self.store, self.alarms.append, lambda: self.day)

    def call(self, number: str = NUMBER, profile: Profile = CAPPED, model: str = MODEL) -> CapJournal:
        tariff = LISTED.tariff(model, profile.transcription.model if profile.transcription else None)
        return self.caps.journal(
            number, profile, model, tariff, lambda reached: self.told.append((number, reached))
        )

    @property
    def names(self) -> list[str]:
        return [alarm.name for alarm in self.alarms]


def spend(journal: CapJournal, dollars: float) -> None:
    tokens = Usage(output_audio=round(dollars * DOLLAR))
    journal.happened(0, ResponseDone(Response("resp_1", "completed", usage=tokens)), [])


async def test_a_call_and_a_call_to_come_are_told_once_the_cap_of_their_number_is_reached() -> None:
    office = Office()
    with office.call() as one, office.call() as other, office.call(OTHER) as third:
        spend(one, 5)
        spend(third, 9)
        spend(other, 2.88)
        assert office.names == [f"number_day:near:{OTHER}"]
        spend(other, 0.24)
        assert office.names[1:] == [f"number_day:near:{NUMBER}"]
        assert (office.told, office.caps.reached(NUMBER, CAPPED)) == ([], None)
        spend(one, 2)
        assert office.told == []  # in the loop's next turn: it is a call that tells of it
        await asyncio.sleep(0)
        (_, reached), again = office.told
        assert (reached.cap, reached.most_usd) == ("number_day", 10)
        assert reached.spent_usd == pytest.approx(10.12)
        assert again == (NUMBER, reached)
        assert office.names[2:] == [f"number_day:reached:{NUMBER}"]
        assert office.caps.reached(NUMBER, CAPPED) == reached
        assert office.caps.reached(NUMBER, FREE) is None
        spend(one, 2)
        await asyncio.sleep(0)
        assert (len(office.told), len(office.alarms)) == (2, 3)


async def test_the_cap_of_the_deployment_holds_for_all_numbers() -> None:
    office = Office(most_usd=10)
    with office.call(profile=FREE) as one, office.call(OTHER, FREE) as other:
        spend(one, 6)
        spend(other, 4.48)
        await asyncio.sleep(0)
        assert {number for number, reached in office.told if reached.cap == "day"} == {NUMBER, OTHER}
        assert office.names == ["day:reached:"]
        assert office.caps.is_spent
        reached = office.caps.reached("+15550100009", FREE)
        assert reached is not None
        assert reached.cap == "day"
        assert reached.spent_usd == pytest.approx(10.48)
    assert str(office.alarms[0]) == "all calls have cost what they may on 2026-11-27: 10.48 of 10.00 US dollars"


async def test_another_day_begins_anew() -> None:
    office = Office(most_usd=10)
    with office.call() as one:
        spend(one, 11)
        office.day += timedelta(days=1)
        assert (office.caps.spent_usd, office.caps.reached(NUMBER, CAPPED)) == (0, None)
        spend(one, 9)
        assert office.names[-2:] == ["day:near:", f"number_day:near:{NUMBER}"]


async def test_what_writes_down_the_caller_counts_and_other_events_do_not() -> None:
    office = Office()
    with office.call() as one:
        usage = TranscriptionUsage(output=200_000)  # at 5 dollars a million
        one.happened(0, TranscriptionCompleted("turn_1", 0, "Hello", usage), [])
        one.happened(0, Tick(), [])
    assert office.caps.spent_usd == pytest.approx(1)


async def test_a_model_without_a_price_counts_for_nothing_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = Office(most_usd=1)
    for _ in range(2):
        with office.call(model="my-own") as one:
            spend(one, 100)
    assert office.caps.spent_usd == 0
    assert [record.getMessage() for record in caplog.records] == [
        "calls of the model my-own count for no cap: no price is known"
    ]


async def rounds(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_processes_know_what_the_others_spend(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ROUND_S", 0.02)
    store = SpendingStore(database)
    one, other = Office(10, store, "a"), Office(10, store, "b")
    async with one.caps.running(), other.caps.running():
        with one.call() as first, other.call() as second:
            spend(first, 6)
            await rounds(lambda: other.caps.spent_usd > 5)
            spend(second, 5)
            await rounds(lambda: len(one.told) == len(other.told) == 1)
            assert one.told[0][1].spent_usd == pytest.approx(11)
    # Whoever comes later knows it from the start.
    third = Office(10, store, "c")
    async with third.caps.running():
        assert third.caps.is_spent


class Away(SpendingStore):
    """A store that cannot be written to, at times."""

    is_away = True
    fault: Exception = StoreUnavailable("gone")

    async def put(self, *given: object) -> None:
        if self.is_away:
            raise self.fault
        await super().put(*given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fault", [StoreUnavailable("gone"), RuntimeError("a mistake of ours")], ids=["away", "fault"]
)
async def test_while_nothing_can_be_written_a_process_goes_by_its_own_calls_and_writes_them_later(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(watch, "ROUND_S", 0.02)
    store = Away(sqlite)
    office = Office(10, store)
    async with office.caps.running():
        store.fault = fault
        await asyncio.sleep(0.1)
        with office.call() as one:
            spend(one, 11)
            await asyncio.sleep(0)
            assert len(office.told) == 1
            store.is_away = False
            for _ in range(500):
                if await store.of_others("b", office.day):
                    break
                await asyncio.sleep(0.01)
    assert await store.of_others("b", office.day) == {NUMBER: pytest.approx(11)}
