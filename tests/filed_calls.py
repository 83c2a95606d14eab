"""
Calls that were filed, for tests and for pictures of pages: plausible, and the same each time.

    await fill(database, 10_000)                            # rows alone, quickly
    await file_fixture(store, data / "calls", "interrupted-twice", "CA1")   # with its log and its audio
"""

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

from phonebot.call.actions import Cut
from phonebot.realtime.events import ResponseDone, SpokenTextDone, Usage
from phonebot.realtime.prices import LISTED
from phonebot.replay.account import Account, account_of
from phonebot.replay.heard import Legs, legs
from phonebot.replay.reader import CallLog, read
from phonebot.replay.utterances import Utterance, of_bot, of_caller
from phonebot.store.database import Database
from phonebot.store.search import searchable
from phonebot.store.store import Store
from phonebot.store.tables import CallRow, Table, TurnRow, UsageRow

FIXTURES = Path(__file__).parent.parent / "fixtures" / "calls"
NEWEST = datetime(2026, 11, 27, 11, 40, tzinfo=UTC)
DESK, SHOP, LINE = "+15550100000", "+15550100002", "+15550100003"
NAMES = {DESK: "Rosa's Trattoria", SHOP: "Northwind Dental", LINE: "After hours"}
# As often as they happen.
OUTCOMES = ["caller_hung_up"] * 24 + ["time_limit", "stream_lost", "stream_lost", "model_failed", "transferred"]
GREETINGS = {
    DESK: "Hello, Rosa's Trattoria, how can I help?",
    SHOP: "Hello, and thank you for calling Northwind Dental. How can I help?",
    LINE: "We are closed right now. I can take a message, or tell you when we open.",
}
# What a caller says, and what the bot answers.
TALK = [
    (
        "Do you have a table for {n} this evening?",
        "Yes, we have one for {n} at half past seven, or at nine. Which would you like?",
    ),
    ("What are your opening hours?", "We are open from Tuesday to Sunday, from five until eleven at night."),
    (
        "Is there parking near you?",
        "There is a garage across the street, and after six parking along the canal is free.",
    ),
    (
        "I would like to move my appointment to Thursday.",
        "On Thursday I can offer you ten o'clock, or a quarter past three.",
    ),
    ("Can I bring my dog?", "Dogs are welcome on the terrace, and inside as long as the other guests agree."),
    ("My name is {name}.", "Thank you, {name}. May I have a number where we can reach you?"),
    (
        "Do you have anything without gluten?",
        "Most of our pasta can be made without gluten, and the risotto always is.",
    ),
    ("How much is a check-up?", "A check-up with cleaning is ninety dollars, and children under twelve pay half."),
    (
        "Could I speak to somebody, please?",
        "Of course. I will put you through to the front desk, please hold on for a moment.",
    ),
    ("That is all, thanks.", "You are welcome. Goodbye!"),
]
PEOPLE = ["Zoë Laurent", "Tomasz Nowak", "Grace Okafor", "Kenji Sato", "Maria da Silva", "Jonas Weiß"]
TAGS = ["lead", "complaint", "follow up", "booking"]


@dataclass(frozen=True)
class Filed:
    """A call's rows as plain values, so that many of them are inserted at once."""

    call: dict[str, Any]
    turns: list[dict[str, Any]]
    usage: list[dict[str, Any]]
    text: str


def plausible(count: int, days: int = 30, seed: int = 7) -> Iterator[Filed]:
    """So many calls of the last `days` before NEWEST, the oldest first; more by day than by night."""
    chance = random.Random(seed)
    moments = sorted(_moment(chance, days) for _ in range(count))
    for number, at in enumerate(moments, 1):
        yield _filed(chance, number, at)


def _moment(chance: random.Random, days: int) -> datetime:
    hour = min(max(chance.gauss(15, 4), 0), 23.9)
    day = NEWEST.replace(hour=0, minute=0) - timedelta(days=chance.randrange(1, days))
    return day + timedelta(seconds=int(hour * 3600))


def _filed(chance: random.Random, number: int, at: datetime) -> Filed:
    ours = chance.choices([DESK, SHOP, LINE], [6, 3, 1])[0]
    said = _conversation(chance, ours)
    latencies = sorted(turn["latency_ms"] for turn in said if turn["latency_ms"] is not None)
    bot = [turn for turn in said if turn["who"] == "bot"]
    cuts = [turn for turn in bot if turn["cut"]]
    outcome = chance.choice(OUTCOMES)
    length_ms = int(said[-1]["end_ms"]) + chance.randrange(400, 1500)
    caller = f"+1555{chance.randrange(2_000_000, 2_004_000)}"
    usage = _usage(bot)
    call = {
        "id": number,
        "call_sid": f"CA{number:032x}",
        "stream_sid": f"MZ{number:032x}",
        "kind": "twilio",
        "from_number": caller,
        "to_number": ours,
        "number": ours,
        "profile_name": NAMES[ours],
        "profile_version": "4a8c8c5760e8",
        "provider": "openai",
        "model": "gpt-realtime-2.1",
        "software_version": "0.1.0",
        "started_at": at,
        "ended_at": at + timedelta(milliseconds=length_ms),
        "duration_ms": length_ms,
        "outcome": outcome,
        "cost_usd": round(sum(row["cost_usd"] for row in usage), 5),
        "caller_talk_ms": sum(t["end_ms"] - t["start_ms"] for t in said if t["who"] == "caller"),
        "bot_talk_ms": sum(t["heard_ms"] for t in bot),
        "interruptions": len(cuts),
        "generated_ms": sum(t["of_ms"] for t in bot),
        "heard_ms": sum(t["heard_ms"] for t in bot),
        "corrections": len(cuts),
        "errors": int(outcome == "model_failed") + int(chance.random() < 0.01),
        "latency_p50_ms": latencies[len(latencies) // 2] if latencies else None,
        "latency_p95_ms": latencies[-1] if latencies else None,
        "round_trip_ms": 20 + number % 40,
        "has_audio": False,
        "storage_key": None,
        "note": "Wants to be called back on Monday." if chance.random() < 0.02 else "",
        "tags": [chance.choice(TAGS)] if chance.random() < 0.06 else [],
    }
    words = [caller, ours, NAMES[ours], *(turn["text"] for turn in said), *call["tags"], call["note"]]
    return Filed(
        call,
        [{"call_id": number, **turn} for turn in said],
        [{"call_id": number, **row} for row in usage],
        searchable(words),
    )


def _conversation(chance: random.Random, ours: str) -> list[dict[str, Any]]:
    at_ms = 240
    turns = [_bot(chance, GREETINGS[ours], at_ms, None)]
    topics = [*chance.sample(TALK[:-1], chance.randrange(1, 6)), TALK[-1]]
    for asked, answer in topics:
        filled = {"n": chance.choice(["two", "four", "six"]), "name": chance.choice(PEOPLE)}
        text = asked.format(**filled)
        begin = turns[-1]["end_ms"] + (20 if turns[-1]["cut"] else chance.randrange(500, 1800))
        turns.append(_turn("caller", text, begin, begin + 60 * len(text)))
        latency_ms = round(chance.lognormvariate(6.35, 0.32))
        turns.append(_bot(chance, answer.format(**filled), turns[-1]["end_ms"] + latency_ms, latency_ms))
    return [{"sequence": number, **turn} for number, turn in enumerate(turns, 1)]


def _bot(chance: random.Random, text: str, at_ms: int, latency_ms: int | None) -> dict[str, Any]:
    of_ms = 66 * len(text)
    if len(text) < 40 or chance.random() > 0.16:
        return _turn("bot", text, at_ms, at_ms + of_ms, heard_ms=of_ms, of_ms=of_ms, latency_ms=latency_ms)
    words = text.split()
    heard = chance.randrange(2, len(words) - 1)
    heard_ms = of_ms * len(" ".join(words[:heard])) // len(text)
    terms = {"heard_ms": heard_ms, "of_ms": of_ms, "latency_ms": latency_ms, "cut": True}
    rest = " ".join(words[heard:])
    return _turn("bot", " ".join(words[:heard]), at_ms, at_ms + heard_ms, unheard_text=rest, **terms)


def _turn(who: str, text: str, start_ms: int, end_ms: int, **terms: Any) -> dict[str, Any]:
    latency_ms = terms.get("latency_ms")
    empty = {"unheard_text": "", "cut": False, "heard_ms": None, "of_ms": None, "latency_ms": None, "item_id": None}
    parts = {
        "model_ms": None if latency_ms is None else latency_ms * 6 // 10,
        "ours_us": None if latency_ms is None else 200 + latency_ms % 97,
    }
    return {"who": who, "text": text, "start_ms": start_ms, "end_ms": end_ms, **empty, **parts, **terms}


def _usage(bot: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for number, turn in enumerate(bot, 1):
        spoken = turn["of_ms"] // 50
        tokens = {
            "input_text": 60 + 30 * number,
            "input_audio": 180 * number,
            "cached_text": 20 * number,
            "cached_audio": 120 * (number - 1),
            "output_text": spoken // 4,
            "output_audio": spoken,
        }
        cost = (60 * tokens["input_audio"] * 0.3 + 64 * spoken) / 1_000_000
        rows.append(
            {"sequence": number, "at_ms": turn["start_ms"], "response_id": None, **tokens, "cost_usd": cost}
        )
    return rows


async def fill(database: Database, count: int, days: int = 30, usage: bool = True) -> None:
    """Insert plausible calls into an empty database; without `usage` sooner."""
    filed = list(plausible(count, days))
    rows: list[tuple[str, list[dict[str, Any]]]] = [
        ("calls", [each.call for each in filed]),
        ("call_texts", [{"call_id": each.call["id"], "text": each.text} for each in filed]),
        ("turns", [turn for each in filed for turn in each.turns]),
        ("usage", [row for each in filed for row in each.usage if usage]),
    ]
    async with database.begin() as session:
        connection = await session.connection()
        for table, values in filter(itemgetter(1), rows):
            # The table's own insert is several times as fast as the mapped class's.
            await connection.execute(insert(Table.metadata.tables[table]), values)
        if not database.is_sqlite:
            # The ids were given: the next one that PostgreSQL gives must be behind them.
            await connection.execute(
                text("SELECT setval(pg_get_serial_sequence('calls', 'id'), (SELECT max(id) FROM calls))")
            )


def copied_fixture(name: str, calls_dir: Path, sid: str, started: datetime = NEWEST) -> Path:
    """A log of fixtures/calls in the folder of calls, as the log of the call `sid`."""
    folder = calls_dir / f"{started:%Y%m%dT%H%M%SZ}-{sid}"
    shutil.copytree(FIXTURES / name, folder)
    header = json.loads((folder / "call.json").read_text())
    length = datetime.fromisoformat(header["ended"]) - datetime.fromisoformat(header["started"])
    header |= {"call_sid": sid, "started": started.isoformat(), "ended": (started + length).isoformat()}
    (folder / "call.json").write_text(json.dumps(header))
    return folder


async def file_fixture(store: Store, calls_dir: Path, name: str, sid: str, started: datetime = NEWEST) -> str:
    """A call of fixtures/calls with its log and its audio, filed as the call `sid`; the sid."""
    folder = copied_fixture(name, calls_dir, sid, started)
    log = read(folder)
    account, both = account_of(log), legs(log)
    turns = list(_turns_of(log, account, both))
    usage = [
        UsageRow(
            sequence=number,
            at_ms=step.now_ms,
            cost_usd=LISTED.tariff("gpt-realtime-2.1").of(step.input.response.usage),
            **_tokens(step.input.response.usage),
        )
        for number, step in enumerate((step for step in log.steps if isinstance(step.input, ResponseDone)), 1)
        if isinstance(step.input, ResponseDone) and step.input.response.usage
    ]
    bot = [turn for turn in turns if turn.who == "bot"]
    latencies = sorted(account.latencies_ms)
    call = CallRow(
        call_sid=sid,
        from_number="+15550100001",
        to_number=SHOP,
        number=SHOP,
        profile_name=NAMES[SHOP],
        profile_version=log.header.profile_version or "",
        provider="openai",
        model="gpt-realtime-2.1",
        software_version="0.1.0",
        started_at=started,
        ended_at=started + timedelta(milliseconds=account.length_ms),
        duration_ms=account.length_ms,
        outcome=account.outcome,
        cost_usd=LISTED.tariff("gpt-realtime-2.1").of(account.tokens),
        caller_talk_ms=sum(each.end_ms - each.begin_ms for each in of_caller(both)),
        bot_talk_ms=sum(each.end_ms - each.begin_ms for each in of_bot(both)),
        interruptions=sum(turn.cut for turn in bot),
        generated_ms=sum(turn.of_ms or 0 for turn in bot),
        heard_ms=sum(turn.heard_ms or 0 for turn in bot),
        corrections=sum(turn.cut for turn in bot),
        latency_p50_ms=latencies[len(latencies) // 2] if latencies else None,
        latency_p95_ms=latencies[-1] if latencies else None,
        has_audio=True,
        storage_key=folder.name,
    )
    await store.calls.file(call, turns, [], usage, [call.from_number, SHOP, *(turn.text for turn in turns)])
    return sid


def _turns_of(log: CallLog, account: Account, both: Legs) -> Iterator[TurnRow]:
    cuts = {action.item_id: action for step in log.steps for action in step.actions if isinstance(action, Cut)}
    texts = {
        step.input.item_id: step.input.transcript for step in log.steps if isinstance(step.input, SpokenTextDone)
    }
    spoken, latencies = iter(of_caller(both)), iter(account.latencies_ms)
    for number, (at_ms, line) in enumerate(account.lines, 1):
        if line.role == "caller":
            heard = next(spoken, Utterance(at_ms, at_ms))
            yield TurnRow(
                sequence=number, who="caller", text=line.text, start_ms=heard.begin_ms, end_ms=heard.end_ms
            )
            continue
        cut = cuts.get(line.item_id)
        yield TurnRow(
            sequence=number,
            who="bot",
            text=line.text,
            unheard_text=texts.get(line.item_id, "")[len(line.text) :].strip() if line.cut else "",
            cut=line.cut,
            heard_ms=line.heard_ms,
            of_ms=cut.received_ms if cut else line.heard_ms,
            start_ms=max(at_ms - line.heard_ms, 0),
            end_ms=at_ms,
            latency_ms=next(latencies, None) if number > 1 else None,
        )


def _tokens(usage: Usage | None) -> dict[str, int]:
    kinds = ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio")
    return {kind: getattr(usage, kind) for kind in kinds}
