"""
What becomes of the survey's calls: answers, and how each call ended, in tables of SQLite.

    PYTHONPATH=. PHONEBOT_TOOLS=survey PHONEBOT_HOOKS=survey phonebot serve --dev
    python survey.py                    # prints the results as CSV
"""

import asyncio
import csv
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field

from phonebot.hooks import Event, LiveCall, hook
from phonebot.hooks.events import CallEnd
from phonebot.tools import ToolContext, tool

QUESTIONS = ("on_time", "crew", "again")
DEADLINE_S = 5.0  # for other calls to let go of the file

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    call_sid TEXT NOT NULL,
    person TEXT NOT NULL,
    question INTEGER NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (call_sid, question)
);
CREATE TABLE IF NOT EXISTS calls (
    call_sid TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    outcome TEXT NOT NULL
);
"""


@tool(fillers=())
def note_answer(
    question: Annotated[int, Field(ge=1, le=len(QUESTIONS))],
    answer: Annotated[str, Field(max_length=200, description="yes, no, a number, or a few words")],
    call: ToolContext,
) -> str:
    """Notes the answer to a question; a later one to the same question counts in its place."""
    with _results() as rows:
        rows.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)",
            (call.call_sid, call.caller, question, answer),
        )
    return "Noted. Ask the next question." if question < len(QUESTIONS) else "Noted. That was the last one."


@hook(events=("call_end",))
async def note_end(event: Event, call: LiveCall) -> None:
    """Notes how a call ended, also one in which nothing was answered."""
    assert isinstance(event, CallEnd)
    await asyncio.to_thread(_note_end, call.call_sid, call.context.caller, event.outcome)


def _note_end(call_sid: str, person: str, outcome: str) -> None:
    with _results() as rows:
        rows.execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?)", (call_sid, person, outcome))


@contextmanager
def _results() -> Iterator[sqlite3.Connection]:
    """What the block does, all of it or nothing; nobody else writes meanwhile."""
    path = Path(os.environ.get("SURVEY_DB", "survey.db"))
    with closing(sqlite3.connect(path, timeout=DEADLINE_S, isolation_level=None)) as connection:
        connection.executescript(SCHEMA)
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # commits, or rolls back
            yield connection


def write_results() -> None:
    """A line for each call that has ended, with its answers."""
    lines = csv.writer(sys.stdout)
    lines.writerow(("call", "person", "outcome", *QUESTIONS))
    with _results() as rows:
        for call_sid, person, outcome in rows.execute("SELECT call_sid, person, outcome FROM calls").fetchall():
            given = dict(rows.execute("SELECT question, answer FROM answers WHERE call_sid = ?", (call_sid,)))
            answers = [given.get(number, "") for number in range(1, len(QUESTIONS) + 1)]
            lines.writerow((call_sid, person, outcome, *answers))


if __name__ == "__main__":
    write_results()
