"""The demo: once as a user sees it."""

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from service_driver import COMMAND, environment

from phonebot.agents.numbers import Numbers
from phonebot.agents.profile import Profile
from phonebot.audio import wav
from phonebot.call.actions import Cut
from phonebot.cli import DemoProfile
from phonebot.demo.scene import CALLER, NUMBER
from phonebot.demo.service import SCENES, DemoProfiles, has_display
from phonebot.replay.reader import read

pytestmark = pytest.mark.slow


async def demo(folder: Path, *options: str) -> str:
    """What `phonebot demo` says of a call that went well, in real time, with nothing set up."""
    running = await asyncio.create_subprocess_exec(
        *COMMAND,
        "demo",
        *options,
        cwd=folder,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    text = out.decode()
    assert (running.returncode, err) == (0, b""), text
    return text


async def test_the_demo_holds_its_call_and_shows_what_came_of_it(tmp_path: Path) -> None:
    text = await demo(tmp_path, "--data-dir", "out[1]")  # a path to be shown to the letter
    told = re.search(r"the model was told: ([\d,]+) of ([\d,]+) ms were heard", text)
    played = re.search(r"the carrier played: ([\d,]+) ms, ([+-]\d+) ms off", text)
    assert told
    assert played
    told_ms, received_ms, played_ms = (int(n.replace(",", "")) for n in (*told.groups(), played[1]))
    assert abs(told_ms - played_ms) <= 20
    assert int(played[2]) == told_ms - played_ms
    assert 0 < told_ms < received_ms
    assert "the caller interrupts" in text
    assert "0 violations seen by the carrier" in text
    (folder,) = (tmp_path / "out[1]" / "calls").iterdir()
    assert str(folder.relative_to(tmp_path)) in text
    recording = wav.read(folder / "heard.wav")
    assert (recording.encoding, recording.rate_hz, recording.channels) == ("pcmu", 8000, 2)
    log = read(folder)
    assert log.header.outcome == "caller_hung_up"
    (cut,) = [action for step in log.steps for action in step.actions if isinstance(action, Cut)]
    assert (cut.heard_ms, cut.received_ms) == (told_ms, received_ms)


@pytest.mark.timeout(240)  # a minute and more of talk
async def test_the_clinics_demo_books_moves_and_cancels_in_its_table(tmp_path: Path) -> None:
    text = await demo(tmp_path, "--profile", "clinic")
    # Paths are for copying, and not broken.
    assert [line for line in text.splitlines() if len(line) > 80 and "data/calls/" not in line] == []
    assert 'book_appointment {"at": "' in text
    assert "the guardrail no_medical_advice has tripped" in text
    assert "I am not allowed to give medical advice." in text
    assert "main hands over to billing" in text
    assert "billing hands over to main" in text
    assert "Not done yet: the caller has to agree first." in text
    assert "as expected: lines 9, functions 9, hand-offs 2, guardrails 1, changes 3" in text
    (folder,) = (tmp_path / "data" / "calls").iterdir()
    call_sid = read(folder).header.call_sid
    with closing(sqlite3.connect(tmp_path / "data" / "demo" / "clinic" / "clinic.db")) as rows:
        done = rows.execute("SELECT appointment, what FROM changes WHERE call_sid = ?", (call_sid,)).fetchall()
        ((number, state),) = rows.execute("SELECT id, state FROM appointments WHERE caller = ?", (CALLER,))
    assert done == [(number, "booked"), (number, "moved"), (number, "cancelled")]
    assert state == "cancelled"


def test_each_scene_can_be_asked_for_by_its_name() -> None:
    assert {each.value for each in DemoProfile} == set(SCENES)


def test_whoever_is_not_the_recorded_caller_is_answered_as_it_was_edited() -> None:
    recorded, edited = Profile(name="recorded"), Profile(name="edited")
    profiles = DemoProfiles(Numbers.single(recorded), Numbers.single(edited))
    assert profiles.profile_for(NUMBER, CALLER) == recorded
    assert profiles.profile_for(NUMBER, "browser:admin") == edited
    assert profiles.profile_for(NUMBER) == edited


@pytest.mark.parametrize(
    ("platform", "environ", "has"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
    ],
)
def test_a_browser_is_opened_where_it_would_have_a_window(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], has: bool
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert has_display() == has
