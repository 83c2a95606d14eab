"""Several providers in an order, against servers that refuse, hang, are away or lose their sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from service_driver import leaving_nothing, listening_socket, until

from phonebot.errors import ModelError, ModelRefused, ModelUnreachable
from phonebot.realtime import failover as module
from phonebot.realtime.connection import ModelConnection
from phonebot.realtime.events import Session, Transcription
from phonebot.realtime.failover import Failover, Provider, Result
from phonebot.realtime.providers import gateway
from phonebot.simulator.outputs import Faults
from phonebot.simulator.server import ModelServer, serve

WANTED = Session(modality="audio", input_format="pcmu", output_format="pcmu")
HANGS = Faults(slow_start_s=3600)
KEY = "the-right-key"


class Counted:
    """What a Failover told."""

    def __init__(self) -> None:
        self.results: list[tuple[str, Result]] = []
        self.failovers = 0

    def asked(self, provider: str, result: Result) -> None:
        self.results.append((provider, result))

    def failed_over(self) -> None:
        self.failovers += 1


def provider(name: str, url: str, key: str = KEY, **terms: Any) -> Provider:
    return Provider(name, lambda model: gateway(url, model, token=key), **terms)


def nowhere() -> str:
    with listening_socket() as closed:
        return f"ws://127.0.0.1:{closed.getsockname()[1]}"


@asynccontextmanager
async def servers(*faults: Faults | None) -> AsyncIterator[list[ModelServer]]:
    async with leaving_nothing(), AsyncExitStack() as running:
        yield [await running.enter_async_context(serve(key=KEY, faults=each)) for each in faults]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the time by which providers are judged; what happens on sockets takes the time it takes."""
    now = [1_000.0]
    monkeypatch.setattr(module, "_now", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


async def connected(failover: Failover) -> str:
    """Who answers a call that comes now."""
    route = failover.route("any")
    try:
        connection = await route.connect(WANTED)
        await connection.close()
        return connection.endpoint.url.partition("?")[0].removesuffix("/v1/realtime")
    finally:
        await route.close()


def address(server: ModelServer) -> str:
    return server.url.removesuffix("/v1/realtime")


@pytest.mark.parametrize(
    ("first", "result"),
    [
        (lambda good: provider("first", nowhere()), "unreachable"),
        (lambda good: provider("first", good.url, key="another"), "refused"),
    ],
    ids=["away", "refuses the key"],
)
async def test_a_call_gets_the_next_provider_where_the_first_fails(
    first: Callable[[ModelServer], Provider], result: Result
) -> None:
    async with servers(None, None) as (other, good):
        counted = Counted()
        failover = Failover([first(other), provider("second", good.url)], counted)
        assert await connected(failover) == address(good)
    assert counted.results == [("first", result), ("second", "connected")]
    assert counted.failovers == 1


async def test_a_provider_that_hangs_is_given_up_after_its_time() -> None:
    async with servers(HANGS, None) as (hung, good):
        failover = Failover([provider("first", hung.url), provider("second", good.url)], Counted())
        assert await connected(failover) == address(good)


async def test_the_error_names_each_and_is_final_only_where_all_refuse() -> None:
    async with servers(None) as (server,):
        refusing = provider("first", server.url, key="another")
        with pytest.raises(ModelRefused, match=r"401.*401"):
            await connected(Failover([refusing, provider("second", server.url, key="wrong")], Counted()))
        with pytest.raises(ModelUnreachable, match=r"401.*cannot be reached"):
            await connected(Failover([refusing, provider("second", nowhere())], Counted()))


async def test_one_that_failed_three_times_is_asked_last_until_its_trial_succeeds(
    clock: Callable[[float], None],
) -> None:
    listener = listening_socket()
    port = listener.getsockname()[1]
    url = f"ws://127.0.0.1:{port}/v1"
    listener.close()
    async with servers(None) as (good,):
        counted = Counted()
        failover = Failover([provider("first", url), provider("second", good.url)], counted)
        for _ in range(4):
            assert await connected(failover) == address(good)
        assert [name for name, _ in counted.results] == ["first", "second"] * 3 + ["second"]
        assert (failover.state("first"), failover.state("second")) == ("open", "closed")
        clock(15)
        assert failover.state("first") == "half_open"
        await connected(failover)  # the trial, in vain
        assert failover.state("first") == "open"
        clock(30)
        async with serve("127.0.0.1", port, key=KEY):
            assert await connected(failover) == f"ws://127.0.0.1:{port}"
            assert failover.state("first") == "closed"
            assert await connected(failover) == f"ws://127.0.0.1:{port}"


async def test_providers_that_all_failed_are_asked_all_the_same(clock: Callable[[float], None]) -> None:
    counted = Counted()
    failover = Failover([provider("first", nowhere()), provider("second", nowhere())], counted)
    for _ in range(5):
        with pytest.raises(ModelUnreachable):
            await connected(failover)
    assert counted.results == [("first", "unreachable"), ("second", "unreachable")] * 5


async def test_what_one_call_asks_for_in_vain_is_not_held_against_a_provider() -> None:
    async with servers(None, None) as (first, second):
        failover = Failover([provider("first", first.url), provider("second", second.url)], Counted())
        for _ in range(4):
            route = failover.route("any")
            with pytest.raises(ModelError, match="max_output_tokens"):
                await route.connect(Session(modality="audio", input_format="pcmu", max_output_tokens=-7))
            await route.close()
        assert failover.state("first") == "closed"


async def test_a_call_whose_session_did_not_last_asks_another_one_first(clock: Callable[[float], None]) -> None:
    async with servers(Faults(drop_after_s=1.0), None) as (dropping, good):
        failover = Failover([provider("first", dropping.url), provider("second", good.url)], Counted())
        route = failover.route("any")
        lost = await route.connect(WANTED)
        with pytest.raises(ModelUnreachable):
            await received_all(lost)
        clock(1)
        found = await route.connect(WANTED)
        assert address(good) in found.endpoint.url
        clock(60)
        await found.close()
        again = await route.connect(WANTED)
        assert address(dropping) in again.endpoint.url, "a session that has lasted is no reason to avoid anybody"
        await again.close()
        await lost.close()
        await route.close()


async def test_sessions_that_do_not_last_open_the_breaker_for_all(clock: Callable[[float], None]) -> None:
    async with servers(None, None) as (dropping, good):
        failover = Failover([provider("first", dropping.url), provider("second", good.url)], Counted())
        for _ in range(3):
            route = failover.route("any")
            await (await route.connect(WANTED)).close()
            await (await route.connect(WANTED)).close()
            await route.close()
        assert failover.state("first") == "open"


async def received_all(connection: ModelConnection) -> None:
    while True:
        await connection.receive()


async def test_a_socket_that_was_opened_early_is_used_or_closed() -> None:
    async with servers(None) as (server,):
        failover = Failover([provider("only", server.url)], Counted())
        unused = failover.route("any")
        unused.open_early()
        await until(lambda: len(server.sessions) == 1)
        await unused.close()
        await until(lambda: not server.sessions)
        used = failover.route("any")
        used.open_early()
        await until(lambda: len(server.sessions) == 1)
        connection = await used.connect(WANTED)
        assert len(server.sessions) == 1
        await connection.close()
        await used.close()


async def test_an_early_socket_that_fails_costs_the_call_nothing_but_its_time() -> None:
    async with servers(None) as (good,):
        failover = Failover([provider("first", nowhere()), provider("second", good.url)], Counted())
        route = failover.route("any")
        route.open_early()
        connection = await route.connect(WANTED)
        assert address(good) in connection.endpoint.url
        await connection.close()
        await route.close()


async def test_a_call_that_ends_while_a_provider_is_on_trial_leaves_the_trial_to_the_next(
    clock: Callable[[float], None],
) -> None:
    async with servers(HANGS) as (hung,):
        failover = Failover([provider("only", hung.url)], Counted())
        for _ in range(3):
            failover.ended(failover.providers[0], opened_s=module._now())
        clock(15)
        asking = asyncio.create_task(connected(failover))
        breaker = failover._breakers["only"]
        await until(lambda: not breaker.admits(module._now()))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert breaker.admits(module._now())


def test_a_session_is_asked_for_in_the_providers_own_words() -> None:
    theirs = provider("a", "ws://127.0.0.1:9", models={"writer": "our-writer"}, voices={"marin": "alloy"})
    wanted = Session(voice="marin", transcription=Transcription("writer"))
    assert theirs.session(wanted) == Session(voice="alloy", transcription=Transcription("our-writer"))
    assert theirs.session(Session(voice="cedar", transcription=None)) == Session(voice="cedar", transcription=None)
