"""examples/survey: people of a CSV file are called, and what they say is kept."""

import asyncio
import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from closure import until
from example_driver import Example

from phonebot.simulator.callees import Human, Machine
from phonebot.simulator.switchboard import Switchboard

LINE = "+15550100003"
ANSWERS, MACHINE, OPTS_OUT = "+15550100011", "+15550100012", "+15550100013"


async def test_its_rehearsals_pass(tmp_path: Path) -> None:
    async with Example.open("survey", tmp_path) as example:
        assert "3 passed" in await example.rehearse()


@pytest.mark.slow
async def test_somebody_who_calls_back_is_asked_and_another_one_opts_out(tmp_path: Path) -> None:
    async with Example.open("survey", tmp_path) as example:
        await example.serve()
        await asyncio.gather(
            example.type_in("phonebot call ", "answers.toml"), example.type_in("phonebot call ", "opts-out.toml")
        )
        assert await results(example) == {
            "+15550100001": ("caller_hung_up", "yes", "4", "yes"),
            MACHINE: ("caller_hung_up", "", "", ""),
        }
        assert MACHINE in await example.type_in("phonebot opt-outs list")


@pytest.mark.slow
async def test_the_people_of_the_file_are_called(tmp_path: Path) -> None:
    """One answers, one has a machine, one does not want to be called, and is not when the file is run again."""
    async with Example.open("survey", tmp_path) as example, Switchboard.open(speed=20) as carrier:
        profile = example.folder / "numbers.toml"
        whole = profile.read_text()
        at_any_hour = "".join(line for line in whole.splitlines(keepends=True) if not line.startswith("quiet"))
        assert at_any_hour != whole
        profile.write_text(at_any_hour)
        for number, steps in ((ANSWERS, "answers"), (OPTS_OUT, "opts-out")):
            carrier.callees[number] = Human(
                example.caller(steps), after_s=1, answered_by="human", detected_after_ms=100
            )
        carrier.callees[MACHINE] = Machine(after_s=1, answered_by="machine_start", detected_after_ms=300)
        await example.serve_for(carrier, LINE)
        told = await example.type_in("phonebot db token survey")
        example.settings["SURVEY_TOKEN"] = next(word for word in told.split() if len(word) > 30)
        assert (await example.type_in("python call_people.py")).splitlines() == [
            f"{number} queued" for number in (ANSWERS, MACHINE, OPTS_OUT)
        ]
        await until(lambda: ended_calls(example) == 3, within_s=60)
        assert await results(example) == {
            ANSWERS: ("caller_hung_up", "yes", "4", "yes"),
            MACHINE: ("bot_hung_up", "", "", ""),
            OPTS_OUT: ("caller_hung_up", "", "", ""),
        }
        assert f"{OPTS_OUT} not ordered" in await example.type_in("python call_people.py")


def ended_calls(example: Example) -> int:
    """Asked of the file itself: a process for each look would take the calls' time."""
    with closing(sqlite3.connect(example.folder / "survey.db")) as rows:
        is_begun = rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'calls'").fetchone()
        return int(rows.execute("SELECT count(*) FROM calls").fetchone()[0]) if is_begun else 0


async def results(example: Example) -> dict[str, tuple[str, ...]]:
    """Of each person's last call: how it ended, and the three answers."""
    rows = csv.DictReader((await example.type_in("python survey.py")).splitlines())
    return {row["person"]: (row["outcome"], row["on_time"], row["crew"], row["again"]) for row in rows}
