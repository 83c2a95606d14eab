"""What the carrier asks about a transfer, of whichever process: two share a database and an emulated account."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace
from service_driver import until
from switchboard_driver import CALLER, COLLEAGUE, LINE, Scene, staged

from phonebot.agents.profile import Profile
from phonebot.audio.canned import Clips
from phonebot.call.plan import EarlierLine
from phonebot.carrier.account import CarrierAccount
from phonebot.errors import StoreUnavailable
from phonebot.simulator.callees import Human
from phonebot.simulator.switchboard import ACCOUNT_SID, AUTH_TOKEN
from phonebot.store.continuations import ContinuationStore
from phonebot.store.database import Database
from phonebot.transfers import after, colleagues
from phonebot.transfers.after import MAX_RESUMED, NOT_BEGUN, Left, Returned, Transfers
from phonebot.transfers.continuations import Continuation, Continuations, Standing
from phonebot.transfers.legs import Leg, Legs
from phonebot.transfers.urls import Ticket, TransferUrls
from phonebot.transfers.wording import broke_off

SECRET = "fedcba9876543210fedcba9876543210"
CALL = Ticket("CA1", CALLER, LINE, "")
STREAM, LATER = "first", "second"
PROFILE = Profile.from_table({"transfer_to": COLLEAGUE, "tools": ["transfer_call"]}, "test")
BUSY = {"DialCallStatus": "busy"}
NOBODY = Profile.from_table({"language": "de-DE"}, "test")
# How calls stood in a process that is gone.
LEFT: dict[str, Left] = {}
STANDING = Standing((("caller", "My bill."), ("bot", "One moment.")), "billing", "de-DE")


class Away(ContinuationStore):
    """A database that is away."""

    def __init__(self) -> None: ...

    async def put(self, call_sid: str, text: str) -> None:
        raise StoreUnavailable("it is away: wait")

    async def get(self, call_sid: str) -> str | None:
        raise StoreUnavailable("it is away: wait")

    async def remove(self, call_sid: str) -> None:
        raise StoreUnavailable("it is away: wait")


@dataclass
class Process:
    continuations: Continuations
    legs: Legs
    transfers: Transfers


def process(store: ContinuationStore, account: CarrierAccount, origin: str, others: list[Process]) -> Process:
    continuations, legs = Continuations(store), Legs(account, TransferUrls(origin, SECRET))

    async def elsewhere(call_sid: str, text: str) -> bool:
        return any(other.transfers.colleagues.passed_on(call_sid, text) for other in others)

    async def left(call_sid: str, stream: str) -> Left | None:
        return LEFT.get(call_sid)

    made = Process(continuations, legs, Transfers(continuations, legs, elsewhere, left))
    others.append(made)
    return made


@dataclass
class Deployment:
    scene: Scene
    one: Process
    other: Process
    alone: Process

    async def taken(self, call_sid: str = "CA1") -> Leg:
        """A colleague who waits for the caller in a room, of the first process."""
        self.scene.carrier.callees[COLLEAGUE] = Human()
        leg = self.one.legs.begin(CALL._replace(call_sid=call_sid, to="default"), "Take it?")
        self.one.legs.dial(leg, COLLEAGUE, LINE, 20, 600)
        await until(lambda: leg.call_sid)
        leg.settle("taken")
        await self.one.continuations.keep(call_sid, Continuation("default", "", leg.room, leg.call_sid))
        return leg

    async def placed_by_test(self) -> str:
        """A call that is in progress, in the place of a caller's."""
        sid = await self.scene.place("+15550100008")
        await self.scene.carrier.until("+15550100008", "heard", "Hello.")
        return sid


@pytest.fixture
async def deployment(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployment]:
    monkeypatch.setattr(colleagues, "MEETS_S", 0)
    others: list[Process] = []
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(staged())
        waits = '<Response><Say>Hello.</Say><Pause length="3600"/></Response>'
        scene.bot.answers |= dict.fromkeys(("/twilio/whisper", "/outbound"), waits)
        scene.bot.answers |= dict.fromkeys(("/twilio/status", "/twilio/after"), "<Response/>")
        scene.carrier.callees["+15550100008"] = Human()
        account = CarrierAccount(ACCOUNT_SID, AUTH_TOKEN, scene.carrier.url, deadline_s=2)
        await stack.enter_async_context(account)
        store, origin = ContinuationStore(database), scene.bot.origin
        made = [process(each, account, origin, others) for each in (store, store, Away())]
        for each in made:
            await stack.enter_async_context(each.legs)
        yield Deployment(scene, *made)


async def test_another_process_puts_the_caller_through_and_takes_him_back_with_what_was_said(
    deployment: Deployment,
) -> None:
    one, other = deployment.one, deployment.other
    await one.continuations.keep("CA1", Continuation("default", "A bill."))
    step = await other.transfers.go_on(CALL, STREAM, PROFILE)
    assert isinstance(step, str)
    assert f"<Number>{COLLEAGUE}</Number>" in step
    assert f'callerId="{LINE}"' in step
    await one.continuations.add("CA1", STANDING)
    ticket = CALL._replace(to="default")
    returned = await other.transfers.came_back(ticket, PROFILE, BUSY)
    assert returned == Returned("default", "busy")
    assert Returned.of(returned.text) == returned
    resumed = await other.transfers.resumed("CA1", returned, PROFILE)
    assert (resumed.standing.agent, resumed.standing.language) == ("billing", "de-DE")
    *said, why = resumed.earlier
    assert said == [EarlierLine("caller", "My bill."), EarlierLine("bot", "One moment.")]
    assert why.text.startswith("The transfer to default came to nothing: the line is busy.")
    assert await one.continuations.of("CA1") is None


async def test_while_the_database_is_away_the_process_that_held_the_call_knows(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    alone = deployment.alone
    with caplog.at_level(logging.WARNING):
        await alone.continuations.keep("CA1", Continuation("default"))
        await alone.continuations.add("CA1", STANDING)
        assert "<Number>" in str(await alone.transfers.go_on(CALL, STREAM, PROFILE))
        returned = await alone.transfers.came_back(CALL._replace(to="default"), PROFILE, BUSY)
        assert isinstance(returned, Returned)
        resumed = await alone.transfers.resumed("CA1", returned, PROFILE)
        assert len(resumed.earlier) == 3
    assert "how call 'CA1' goes on is known to this process alone: it is away: wait" in caplog.messages


@pytest.mark.parametrize("outcome", ["guardrail", "operator_hung_up", "caller_hung_up", "time_limit"])
async def test_a_call_that_was_ended_for_another_reason_is_not_put_through(
    deployment: Deployment, outcome: Any
) -> None:
    await deployment.other.continuations.keep("CA1", Continuation("default"))
    deployment.one.transfers.ended("CA1", STREAM, outcome, STANDING)
    for _ in range(2):
        assert await deployment.one.transfers.go_on(CALL, STREAM, PROFILE) is None


async def test_a_destination_that_the_profile_lost_brings_the_caller_back(deployment: Deployment) -> None:
    await deployment.one.continuations.keep("CA1", Continuation("billing"))
    assert await deployment.one.transfers.go_on(CALL, STREAM, PROFILE) == Returned("billing", "failed")


# ------------------------------------------------------------------------------------------- broken off


@pytest.fixture
def left() -> Iterator[dict[str, Left]]:
    yield LEFT
    LEFT.clear()


@pytest.mark.parametrize("outcome", ["stream_lost", "moved"])
async def test_a_call_that_broke_off_comes_back_with_what_was_said_whichever_process_is_asked(
    deployment: Deployment, outcome: Any
) -> None:
    one, other = deployment.one.transfers, deployment.other.transfers
    one.ended("CA1", STREAM, outcome, STANDING)
    step = await one.go_on(CALL, STREAM, PROFILE)
    assert isinstance(step, Returned)
    assert Returned.of(step.text) == step
    resumed = await other.resumed("CA1", step, PROFILE)
    assert resumed.standing == replace(STANDING, resumed=0 if outcome == "moved" else 1)
    *said, why = resumed.earlier
    assert [(line.role, line.text) for line in said] == list(STANDING.lines)
    assert (why.role, why.text) == ("instruction", broke_off(STANDING))


async def test_a_call_comes_back_from_a_process_that_is_gone_so_often_and_then_reaches_a_person(
    deployment: Deployment, left: dict[str, Left]
) -> None:
    transfers = deployment.one.transfers
    for times in range(1, MAX_RESUMED + 1):
        left["CA1"] = Left(None, replace(STANDING, resumed=times - 1, saying="I will look it up."))
        step = await transfers.go_on(CALL, STREAM, PROFILE)
        assert isinstance(step, Returned)
        resumed = await transfers.resumed("CA1", step, PROFILE)
        assert resumed.standing.resumed == times
        assert "I will look it up." in resumed.earlier[-1].text
    left["CA1"] = Left(None, replace(STANDING, resumed=MAX_RESUMED))
    assert f"<Number>{COLLEAGUE}</Number>" in str(await transfers.go_on(CALL, STREAM, PROFILE))


async def test_a_call_comes_back_as_often_as_its_processes_are_told_to_stop(
    deployment: Deployment, left: dict[str, Left]
) -> None:
    """Also one that may come back no more when its connection breaks off."""
    transfers, standing = deployment.one.transfers, replace(STANDING, resumed=MAX_RESUMED)
    for _ in range(MAX_RESUMED + 1):
        left["CA1"] = Left("moved", standing)
        step = await transfers.go_on(CALL, STREAM, PROFILE)
        assert isinstance(step, Returned)
        standing = (await transfers.resumed("CA1", step, PROFILE)).standing
    left["CA1"] = Left("stream_lost", standing)
    assert f"<Number>{COLLEAGUE}</Number>" in str(await transfers.go_on(CALL, STREAM, PROFILE))


async def test_a_call_whose_stream_is_refused_is_sent_back_for_a_while_and_not_for_ever(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = deployment.one.transfers, deployment.other.transfers
    one.ended("CA1", STREAM, "stream_lost", STANDING)
    assert await one.go_on(CALL, STREAM, NOBODY) == Returned("", "broke_off")
    for transfers in (other, one, other, one):  # more often than a call comes back
        step = await transfers.go_on(CALL, LATER, NOBODY)
        assert step == Returned("", "broke_off", held_up=True)
    assert one.hold_on(NOBODY) == (Clips().of("de").wait.text, "de-DE")
    resumed = await other.resumed("CA1", Returned.of("broke_off"), NOBODY)
    assert resumed.standing.resumed == 1
    other.ended("CA1", LATER, "stream_lost", resumed.standing)
    assert isinstance(await other.go_on(CALL, LATER, NOBODY), Returned)
    monkeypatch.setattr(after, "COMES_BACK_S", 0.0)
    told = await one.go_on(CALL, "third", NOBODY)
    assert "Auf Wiederh\u00f6ren" in str(told)
    assert '<Say language="de-DE">' in str(told)


async def test_a_call_whose_first_stream_is_refused_begins_anew_in_whichever_process_takes_it(
    deployment: Deployment, left: dict[str, Left], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = deployment.one.transfers, deployment.other.transfers
    left["CA1"] = Left(NOT_BEGUN, Standing())
    step = await one.go_on(CALL, STREAM, NOBODY)
    assert isinstance(step, Returned)
    assert (step.is_new, step.held_up) == (True, False)
    assert await other.go_on(CALL, LATER, NOBODY) == Returned("", "anew", held_up=True)
    assert Returned.of(step.text).is_new
    await other.begun("CA1")
    # From then on it is a call like others.
    other.ended("CA1", "third", "stream_lost", STANDING)
    assert await other.go_on(CALL, "third", NOBODY) == Returned("", "broke_off")
    await other.resumed("CA1", Returned("", "broke_off"), NOBODY)
    assert isinstance(await one.go_on(CALL, "fourth", NOBODY), Returned)
    monkeypatch.setattr(after, "COMES_BACK_S", 0.0)
    assert "Auf Wiederh\u00f6ren" in str(await other.go_on(CALL, "fifth", NOBODY))


@pytest.mark.parametrize("asked", ["one", "other"])
async def test_how_an_earlier_stream_ended_does_not_count_once_the_call_was_elsewhere(
    deployment: Deployment, left: dict[str, Left], asked: str
) -> None:
    one, other = deployment.one.transfers, deployment.other.transfers
    one.ended("CA1", STREAM, "stream_lost", STANDING)
    left["CA1"] = Left("stream_lost", STANDING)
    step = await getattr(deployment, asked).transfers.go_on(CALL, STREAM, PROFILE)
    assert isinstance(step, Returned)
    resumed = await other.resumed("CA1", step, PROFILE)
    left["CA1"] = Left("stream_lost", resumed.standing)
    assert isinstance(await one.go_on(CALL, LATER, PROFILE), Returned)
    await other.resumed("CA1", Returned("", "broke_off"), PROFILE)
    left["CA1"] = Left("bot_hung_up", resumed.standing)
    assert await one.go_on(CALL, "third", PROFILE) is None


async def test_how_a_call_ended_is_known_for_the_latest_calls(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The carrier asks as soon as the stream is closed: what a process has long not been asked is forgotten."""
    monkeypatch.setattr(after, "MAX_REMEMBERED", 2)
    transfers = deployment.alone.transfers
    transfers.ended("CA1", STREAM, "stream_lost", STANDING)
    transfers.ended("CA1", STREAM, "bot_hung_up", STANDING)  # what came last counts
    transfers.ended("CA2", STREAM, "caller_hung_up", STANDING)
    assert await transfers.go_on(CALL, STREAM, NOBODY) is None
    transfers.ended("CA3", STREAM, "caller_hung_up", STANDING)
    assert "<Say" in str(await transfers.go_on(CALL, STREAM, NOBODY))
    assert await transfers.go_on(CALL._replace(call_sid="CA2"), STREAM, NOBODY) is None


@pytest.mark.parametrize("here", [True, False])
async def test_a_caller_who_has_heard_that_his_call_cannot_go_on_is_not_told_again(
    deployment: Deployment, left: dict[str, Left], here: bool
) -> None:
    transfers, words = deployment.one.transfers, Clips().of("de").goodbye.text
    parted = replace(STANDING, lines=(*STANDING.lines, ("bot", words), ("caller", "Hello?")))
    for standing, says in ((parted, False), (STANDING, True)):
        if here:
            transfers.ended("CA1", STREAM, "model_failed", standing)
        else:
            left["CA1"] = Left("model_failed", standing)
        told = str(await transfers.go_on(CALL, STREAM, NOBODY))
        assert (words in told, "<Hangup" in told) == (says, True)


@pytest.mark.parametrize("outcome", ["caller_hung_up", "bot_hung_up", "operator_hung_up", "time_limit"])
async def test_a_call_that_another_process_has_ended_is_over(
    deployment: Deployment, left: dict[str, Left], outcome: str
) -> None:
    left["CA1"] = Left(outcome, STANDING)
    assert await deployment.one.transfers.go_on(CALL, STREAM, PROFILE) is None


@pytest.mark.parametrize("outcome", ["model_failed", "carrier_faults"])
async def test_a_call_that_failed_in_another_process_reaches_a_person(
    deployment: Deployment, left: dict[str, Left], outcome: str
) -> None:
    left["CA1"] = Left(outcome, STANDING)
    assert "<Number>" in str(await deployment.one.transfers.go_on(CALL, STREAM, PROFILE))


async def test_where_nothing_is_known_the_caller_is_told_and_where_the_lines_are_gone_the_bot_says_so(
    deployment: Deployment,
) -> None:
    alone = deployment.alone.transfers
    assert "<Hangup" in str(await alone.go_on(CALL, STREAM, NOBODY))
    resumed = await alone.resumed("CA1", Returned("", "broke_off"), PROFILE)
    (line,) = resumed.earlier
    assert line.text == broke_off(Standing())
    assert "not known any more" in line.text


async def test_a_caller_who_has_hung_up_leaves_nothing(deployment: Deployment) -> None:
    transfers = deployment.one.transfers
    transfers.ended("CA1", STREAM, "stream_lost", STANDING)
    await transfers.caller_told({"CallSid": "CA1", "CallStatus": "completed"})
    assert "<Number>" in str(await transfers.go_on(CALL, STREAM, PROFILE))


# ------------------------------------------------------------------------------------------- the colleague


async def test_a_key_that_another_process_is_told_of_takes_the_call(deployment: Deployment) -> None:
    one, other = deployment.one, deployment.other
    leg = one.legs.begin(CALL._replace(to="default"), "Take it?")
    await one.continuations.keep("CA1", Continuation("default", "A bill.", leg.room))
    asked = await other.transfers.colleagues.whisper(leg.ticket, PROFILE)
    assert f"A call from {CALLER}. A bill. Press 1" in asked
    assert asked.count("<Gather") == 2
    met = await other.transfers.colleagues.key_pressed(leg.ticket, {"Digits": "1"})
    assert leg.room in met
    assert await leg.answered(5) == "taken"


@pytest.mark.parametrize("digits", ["2", "9", "#"])
async def test_any_other_key_declines(deployment: Deployment, digits: str) -> None:
    leg = deployment.one.legs.begin(CALL._replace(to="default"), "Take it?")
    assert "<Conference" not in await deployment.one.transfers.colleagues.key_pressed(
        leg.ticket, {"Digits": digits}
    )
    assert await leg.answered(5) == "declined"


async def test_a_colleague_who_presses_the_key_too_late_is_told_that_the_caller_has_gone(
    deployment: Deployment,
) -> None:
    one = deployment.one
    leg = one.legs.begin(CALL._replace(to="default"), "Take it?")
    one.legs.end(leg)
    for process in (one, deployment.other):
        answer = await process.transfers.colleagues.key_pressed(leg.ticket, {"Digits": "1"})
        assert colleagues.CALLER_GONE in answer


async def test_a_caller_whose_colleague_went_before_they_met_is_fetched_from_the_room(
    deployment: Deployment,
) -> None:
    caller_sid = await deployment.placed_by_test()
    leg = await deployment.taken(caller_sid)
    await deployment.other.transfers.colleagues.leg_told(leg.ticket, {"CallStatus": "completed"})
    await until(lambda: "/twilio/after" in deployment.scene.bot.paths)
    (_, request, _) = next(each for each in deployment.scene.bot.asked if each[0] == "/twilio/after")
    ticket = deployment.one.legs.urls.read(request.query["t"])
    assert ticket == leg.ticket
    assert ticket is not None
    assert await deployment.other.transfers.came_back(ticket, PROFILE, {}) == Returned("default", "declined")


async def test_a_caller_whose_colleague_has_gone_already_comes_back_at_once(deployment: Deployment) -> None:
    await deployment.one.continuations.keep("CA1", Continuation("default", "", "room-1"))
    step = await deployment.other.transfers.go_on(CALL, STREAM, PROFILE)
    assert step == Returned("default", "declined")


async def test_two_who_have_met_are_let_go_when_either_leaves(deployment: Deployment) -> None:
    leg = await deployment.taken()
    step = await deployment.other.transfers.go_on(CALL, STREAM, PROFILE)
    assert leg.room in str(step)
    left = await deployment.one.transfers.came_back(leg.ticket, PROFILE, {"DialCallStatus": "answered"})
    assert "<Hangup" in str(left)
    assert await deployment.other.continuations.of("CA1") is None
    await deployment.one.transfers.colleagues.leg_told(leg.ticket, {"CallStatus": "completed"})
    await asyncio.sleep(0)
    assert "/twilio/after" not in deployment.scene.bot.paths


@pytest.mark.parametrize("by", ["one", "other"])
async def test_a_colleague_does_not_wait_for_a_caller_who_has_hung_up(deployment: Deployment, by: str) -> None:
    leg = await deployment.taken()
    told: Process = getattr(deployment, by)
    await told.transfers.caller_told({"CallSid": "CA1", "CallStatus": "ringing"})
    await told.transfers.caller_told({"CallSid": "CA1", "CallStatus": "completed"})
    await deployment.scene.carrier.settled()
    assert leg.call_sid == deployment.scene.carrier.calls_to(COLLEAGUE)[0].call_sid
    assert await deployment.one.continuations.of("CA1") is None


async def test_a_colleague_does_not_wait_for_a_call_that_a_guardrail_has_ended(deployment: Deployment) -> None:
    await deployment.taken()
    deployment.one.transfers.ended("CA1", STREAM, "guardrail", Standing())
    await deployment.scene.carrier.settled()
    assert deployment.one.legs.taken_for("CA1") == []


async def test_a_token_of_ours_is_read_and_no_other(deployment: Deployment) -> None:
    urls, ticket = deployment.one.legs.urls, CALL._replace(to="default", leg="a", tried="b,c")
    token = urls.after(ticket).partition("t=")[2]
    assert urls.read(token) == ticket
    others = TransferUrls("http://a.example", SECRET.upper())
    for forged in (None, "", "x", f"{token}x", others.after(ticket).partition("t=")[2]):
        assert urls.read(forged) is None
