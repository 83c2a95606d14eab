"""
Every process is replaced while calls are in progress and new ones come: nobody is cut off, and nothing is lost.

Real processes, each with a data folder of its own as on a machine of its own, behind a real nginx by the shipped
configuration, with PostgreSQL and an S3-compatible storage.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from console_driver import Visit
from databases import PostgresServer
from nginx_driver import PUBLIC_URL, Nginx
from process_driver import STARTS_S, Fleet, Running
from s3_driver import S3Server
from service_driver import SPEECH, TOKEN
from sign_in import PASSWORD

from phonebot.audio import wav
from phonebot.callbook import CallBook
from phonebot.replay.log import BOT_FILE
from phonebot.replay.player import play
from phonebot.replay.reader import CallLog, read
from phonebot.simulator.caller import Caller, HangUp, Say, WaitForHangUp, WaitForQuiet
from phonebot.simulator.carrier import FRAME_BYTES, FRAME_MS, SILENCE, Oddities
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Says
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.store.audit import Actor
from phonebot.store.calls import Filters
from phonebot.store.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
log = logging.getLogger(__name__)

MACHINES = 3
LANES = 3
DRAIN_S = 3
GREETED = "Hi"
UNDERSTOOD = "something"
STAYS = ("+15550200001", "+15550200002")
"""Callers who stay for longer than all of it takes."""


class Clerk:
    """A mind whose answer says how much of the conversation it knows."""

    def answer(self, context: Context) -> tuple[Says | Call, ...]:
        known = sum(line.role in ("user", "assistant") for line in context.history)
        newest = context.history[-1] if context.history else None
        if newest and newest.role == "system" and "broke off" in newest.text:
            return (Says(f"back with {known} lines"),)
        return (Says(f"answer to {known} lines"),)


@dataclass
class Deployment:
    """The processes, nginx before them, and who calls. `over` is set when nobody is to call any more."""

    fleet: Fleet
    front: Nginx
    storage: str
    token: str
    serving: list[Running]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def join(self) -> None:
        """Another process begins, and nginx is told."""
        self.serving.append(await start(self.fleet, self.storage))
        await self._spread()

    async def leave(self, process: Running) -> None:
        """nginx is told that a process is no more."""
        self.serving.remove(process)
        await self._spread()

    async def _spread(self) -> None:
        await self.front.spread_over([process.port for process in self.serving])

    # ------------------------------------------------------------------------------ callers

    async def call(self, number: str, *steps: Any) -> CallRecord:
        return await dial(
            f"{self.front.url}/twilio/voice",
            Caller(*steps),
            from_number=number,
            auth_token=TOKEN,
            public_url=PUBLIC_URL,
            max_call_s=110,
        )

    async def calls(self) -> list[CallRecord]:
        """One after another: each is greeted, says something, hears the answer, and hangs up."""
        records = []
        while not self.over.is_set():
            quiet = WaitForQuiet(300)
            records.append(await self.call(f"+1555030{next(self.numbers):04}", quiet, Say(SPEECH), quiet, HangUp()))
        return records

    # ------------------------------------------------------------------------------ who sees what

    async def live(self, http: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
        """The calls in progress, as whoever is asked there tells."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with http.get(f"{url}/api/v1/live", headers=headers, ssl=self.front.trusted) as answer:
            assert answer.status == 200, await answer.text()
            items: list[dict[str, Any]] = (await answer.json())["items"]
            return items

    async def everybody_tells(self, http: aiohttp.ClientSession, holders: set[int]) -> None:
        """Wait until each process, and whoever nginx asks, tells of calls in each of these processes."""
        asked = [f"http://127.0.0.1:{process.port}" for process in self.serving] + [self.front.secure_url]
        async with asyncio.timeout(STARTS_S):
            for url in asked:
                while not holders <= {pid_of(call["process"]) for call in await self.live(http, url)}:
                    await asyncio.sleep(0.1)

    async def others_tell(self, http: aiohttp.ClientSession, stopping: Running) -> None:
        """Wait until each process that goes on, and whoever nginx asks, tells of all who stay."""
        going_on = [process for process in self.serving if process is not stopping]
        asked = [f"http://127.0.0.1:{process.port}" for process in going_on] + [self.front.secure_url]
        async with asyncio.timeout(STARTS_S):
            for url in asked:
                while not {*STAYS} <= {call["caller"] for call in await self.live(http, url)}:
                    await asyncio.sleep(0.1)

    async def page_tells(self, visit: Visit, holders: set[int]) -> None:
        """The console's page of live calls, too, by its events as they come."""
        seen = set[int]()
        async with asyncio.timeout(STARTS_S), visit.http.get(f"{visit.url}/console/live/events") as events:
            assert events.status == 200
            while not holders <= seen:
                line = await events.content.readline()
                event = msgspec.json.decode(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
                if event.get("type") == "snapshot":
                    seen.add(pid_of(event["process"]))

    async def stays(self, http: aiohttp.ClientSession, number: str) -> dict[str, Any]:
        """The call of somebody who stays, once the bot has spoken to him in the process that he is in."""
        async with asyncio.timeout(STARTS_S):
            while True:
                for call in await self.live(http, self.front.secure_url):
                    if call["caller"] == number and call["lines"]:
                        return call
                await asyncio.sleep(0.1)

    async def hang_up(self, http: aiohttp.ClientSession, number: str) -> None:
        """An operator ends the call, in whichever process it is."""
        async with asyncio.timeout(STARTS_S):
            while True:
                for call in await self.live(http, self.front.secure_url):
                    if call["caller"] == number:
                        url = f"{self.front.secure_url}/api/v1/live/{call['call_sid']}/hang-up"
                        headers = {"Authorization": f"Bearer {self.token}"}
                        async with http.post(url, headers=headers, ssl=self.front.trusted) as answer:
                            assert answer.status == 202, await answer.text()
                            return
                await asyncio.sleep(0.1)


async def start(fleet: Fleet, storage: str) -> Running:
    return await fleet.start(
        data_dir=f"machine-{len(fleet.processes)}-{asyncio.get_running_loop().time()}",
        PHONEBOT_STORAGE_URL=storage,
        PHONEBOT_DRAIN_S=str(DRAIN_S),
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
    )


def pid_of(process: str) -> int:
    return int(process.rpartition("/")[2].partition("-")[0])


@pytest.fixture
async def store(
    postgres: PostgresServer, migrated_postgresql: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Store, str, str]]:
    """The deployment's, with its addresses: of the database, and of the storage."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    database_url = postgres.url(postgres.create(template=migrated_postgresql))
    storage_url = f"s3://{s3.bucket()}/calls?region=us-east-1&endpoint={s3.endpoint}"
    store = await Store.open(database_url, storage_url)
    yield store, database_url, storage_url
    await store.close()


async def test_every_process_is_replaced_under_load_and_no_call_is_dropped_or_lost(
    store: tuple[Store, str, str], tmp_path: Path
) -> None:
    kept, database_url, storage = store
    await kept.users.create("boss", PASSWORD, "admin", Actor("test"))
    token = (await kept.tokens.create("test", ["read", "operate"], Actor("test"))).secret
    async with Fleet.open(tmp_path, database_url, Clerk) as fleet:
        fleet.public_url = PUBLIC_URL
        olds = list(await asyncio.gather(*(start(fleet, storage) for _ in range(MACHINES))))
        ports = [process.port for process in olds]
        async with Nginx.serving(tmp_path, ports) as front, aiohttp.ClientSession() as http:
            deployment = Deployment(fleet, front, storage, token, list(olds))
            short, stayed = await replace_all(deployment, http, olds)
            statuses = [line.split()[4] for line in front.log.splitlines() if " /twilio/" in line]
            passed_on = front.log.count(" 503, 101")
            for process in deployment.serving:
                process.stop()
            assert [await process.ended() for process in deployment.serving] == [0] * MACHINES
        told = [line for process in fleet.processes for line in process.told]
    check_callers(short, stayed)
    assert set(statuses) <= {"101", "200", "204"}, statuses
    assert not [line for line in told if "Traceback" in line or "refused" in line]
    await check_what_is_kept(kept, CallBook(kept.calls, kept.recordings, tmp_path / "nothing"), [*short, *stayed])
    log.info("%d calls, %d streams passed on to another process", len(short) + len(stayed), passed_on)
    for record in stayed:
        log.info("who stayed was between two streams for ms: %s", [f"{ms:.0f}" for ms in between_ms(record)])


async def replace_all(
    deployment: Deployment, http: aiohttp.ClientSession, olds: list[Running]
) -> tuple[list[CallRecord], list[CallRecord]]:
    """Each process in turn, under load. The records of those who called, and of those who stayed."""
    quiet, front = WaitForQuiet(300), deployment.front
    async with asyncio.TaskGroup() as calls, Visit(front.site, PUBLIC_URL, front.trusted) as visit:
        steps = (quiet, Say(SPEECH), quiet, WaitForHangUp(within_ms=110_000))
        staying = [calls.create_task(deployment.call(number, *steps)) for number in STAYS]
        calling = [calls.create_task(deployment.calls()) for _ in range(LANES)]
        assert (await visit.sign_in("boss")).status == 303
        everywhere = {process.pid for process in olds}
        await deployment.everybody_tells(http, everywhere)
        await deployment.page_tells(visit, everywhere)
        stays = await deployment.stays(http, STAYS[0])
        olds.sort(key=lambda process: process.pid != pid_of(stays["process"]))
        await deployment.join()
        for old in olds:
            old.stop()
            if old is olds[0]:  # which one call does not leave before it has to
                await old.says("stopping: calls in progress")
                async with http.get(f"http://127.0.0.1:{old.port}/readyz") as ready:
                    assert (ready.status, await ready.text()) == (503, "draining")
            await deployment.others_tell(http, old)
            if old is not olds[-1]:
                await deployment.join()
            assert await old.ended() == 0
            await deployment.leave(old)
        now = await deployment.stays(http, STAYS[0])
        assert pid_of(now["process"]) in {process.pid for process in deployment.serving}
        await deployment.page_tells(visit, {pid_of(now["process"])})
        deployment.over.set()
        for number in STAYS:
            await deployment.hang_up(http, number)
    return [record for each in calling for record in each.result()], [each.result() for each in staying]


def check_callers(short: list[CallRecord], stayed: list[CallRecord]) -> None:
    """Nobody was cut off, and nobody heard the carrier's voice, which has the apologies."""
    for record in [*short, *stayed]:
        assert record.passed, (record.outcome, record.reason, record.failed_steps, record.violations)
        assert not record.told("plays")
    assert {record.outcome for record in short} == {"caller hung up"}
    assert {record.outcome for record in stayed} == {"bot hung up"}
    assert len(stayed[0].streams) > 1
    for record in stayed:
        ended = [(stream.ended_by, stream.close_code) for stream in record.streams[:-1]]
        assert ended == [("server", 1012)] * len(ended)


async def check_what_is_kept(store: Store, book: CallBook, records: list[CallRecord]) -> None:
    """Each part of each call is filed once, with what was said and a log that replays, in the storage alone."""
    parts = {record.call_sid: parts_of(record) for record in records}
    expected = sorted(sid for sids in parts.values() for sid in sids)
    async with asyncio.timeout(STARTS_S):
        while len(rows := (await store.calls.page(Filters(), limit=500)).calls) < len(expected):
            await asyncio.sleep(0.1)
    assert sorted(row.call_sid for row in rows) == expected
    for record in records:
        logs = [await log_of(book, sid) for sid in parts[record.call_sid]]
        outcomes = [log.header.outcome for log, _ in logs]
        last = "operator_hung_up" if record.from_number in STAYS else "caller_hung_up"
        assert outcomes == ["moved"] * (len(logs) - 1) + [last], record.call_sid
        said: list[str] = []
        for place, (log, sound) in enumerate(logs):
            assert not [each for each in play(log).differences if each.kind == "actions"]
            assert log.plan
            assert [line.text for line in log.plan.earlier if line.role != "instruction"] == said
            turns = (await store.calls.get(parts[record.call_sid][place])).turns
            said += [turn.text for turn in turns if turn.who in ("caller", "bot")]
            if len(logs) == 1:
                assert said == [GREETED, UNDERSTOOD, "answer to 2 lines"]
                assert sounding(bytes(record.heard)) == sounding(sound)


def between_ms(record: CallRecord) -> list[float]:
    """How long a caller was on no stream each time that he was moved."""
    closed_ms = [event.at_ms for event in record.events if event.kind == "stream closed"]
    opens_ms = Oddities().first_timestamp_ms - FRAME_MS  # on the carrier's clock, as `zero_ms` is
    return [
        stream.zero_ms + opens_ms - end_ms for stream, end_ms in zip(record.streams[1:], closed_ms, strict=False)
    ]


def parts_of(record: CallRecord) -> list[str]:
    """Under which names the parts of a call are filed."""
    return [record.call_sid + (f"-{part}" if part > 1 else "") for part in range(1, len(record.streams) + 1)]


async def log_of(book: CallBook, call_sid: str) -> tuple[CallLog, bytes]:
    """A call's log as the storage has it, and what was sent to its caller."""
    async with book.log(call_sid) as folder:
        return read(folder), wav.read(folder / BOT_FILE).data


def sounding(audio: bytes) -> bytes:
    """All but the frames of silence."""
    frames = (audio[at : at + FRAME_BYTES] for at in range(0, len(audio), FRAME_BYTES))
    return b"".join(frame for frame in frames if frame != SILENCE)
