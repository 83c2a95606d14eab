"""Alarms are told once a day, whatever becomes of the request; the log has each."""

import json
import logging
from datetime import date
from typing import Any

import pytest
from webhook_server import webhook_server

from phonebot.caps.bell import Bell
from phonebot.caps.watch import CapAlarm
from phonebot.errors import StoreUnavailable
from phonebot.store.database import Database
from phonebot.store.spending import SpendingStore
from phonebot.tools.addresses import Hosts
from phonebot.tools.client import HttpClient
from phonebot.tools.http import signature_of

NEAR = CapAlarm(date(2026, 11, 27), "number_day", "near", "+15550100000", 8.2, 10)
REACHED = CapAlarm(date(2026, 11, 27), "day", "reached", None, 50, 50)


def bell(url: str | None, counted: list[CapAlarm], store: SpendingStore | None = None, **terms: Any) -> Bell:
    return Bell(url, "key", HttpClient(Hosts(["127.0.0.1"])), store, counted.append, **terms)


async def test_an_alarm_is_sent_signed_until_it_is_taken() -> None:
    counted: list[CapAlarm] = []
    async with webhook_server(500, 200) as server, bell(server.url, counted, waits_s=(0.01,)) as rings:
        rings.ring(REACHED)
        refused, taken = await server.told(2)
    assert refused.body == taken.body
    assert json.loads(taken.body)["text"] == (
        "All calls have cost what they may on 2026-11-27: 50.00 of 50.00 US dollars."
    )
    signed = signature_of("key", taken.body, float(taken.headers["X-Phonebot-Timestamp"]))
    assert taken.headers["X-Phonebot-Signature"] == signed["X-Phonebot-Signature"]
    assert counted == [REACHED]


async def test_of_several_processes_the_first_tells(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    counted: list[CapAlarm] = []
    async with webhook_server(200) as server:
        for alarm in (NEAR, NEAR, REACHED):
            async with bell(server.url, counted, SpendingStore(database)) as rings:
                rings.ring(alarm)
                await rings.told()
    assert counted == [NEAR, REACHED]
    assert [told.json["level"] for told in server.requests] == ["near", "reached"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "ERROR"]
    assert caplog.records[0].getMessage() == (
        "calls of +15550100000 have nearly cost what they may on 2026-11-27: 8.20 of 10.00 US dollars"
    )


class Away(SpendingStore):
    async def claim(self, day: date, alarm: str) -> bool:
        raise StoreUnavailable("gone")


async def test_while_the_database_is_away_it_is_told_all_the_same(database: Database) -> None:
    counted: list[CapAlarm] = []
    async with webhook_server(200) as server, bell(server.url, counted, Away(database)) as rings:
        rings.ring(NEAR)
        await server.told()
    assert counted == [NEAR]


async def test_without_a_url_it_is_counted_and_in_the_log() -> None:
    counted: list[CapAlarm] = []
    async with bell(None, counted) as rings:
        rings.ring(REACHED)
        await rings.told()
    assert counted == [REACHED]
