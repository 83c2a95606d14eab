"""`phonebot replay --live`: a recorded caller calls the service again."""

import re
import subprocess
from pathlib import Path

import pytest
from rehearsed import INTERRUPTED, interrupted, log_of, rehearsed, saved
from rich.console import Console
from service_driver import COMMAND, environment
from typer.testing import CliRunner

from phonebot.cli import app
from phonebot.rehearsal.live import LiveReplay
from phonebot.rehearsal.live_report import page, table
from phonebot.replay.account import account_of
from phonebot.replay.player import play
from phonebot.replay.reader import read

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"


def live(*arguments: str | Path, data: Path) -> subprocess.CompletedProcess[str]:
    """The command, against the embedded model with the demo's profile."""
    settings = {
        "PHONEBOT_DATA_DIR": str(data),
        "PHONEBOT_PROFILES": str(FIXTURES / "demo" / "numbers.toml"),
        "COLUMNS": "80",
    }
    return subprocess.run(
        [*COMMAND, "replay", "--live", *map(str, arguments)],
        env=environment(**settings),
        cwd=data,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_recorded_caller_calls_again_and_then_and_now_are_shown(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('must_say = ["Monday to Friday"]\nmust_not_say = ["goodbye"]\n')
    done = live(
        FIXTURES / "calls" / "interrupted-at-the-greeting",
        *("--expect", tmp_path / "rules.toml", "--html", tmp_path / "report.html"),
        data=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "what are your opening" in done.stdout
    assert "answers after" in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-2])) <= 80  # paths run over
    (folder,) = (tmp_path / "replays" / "calls").iterdir()
    log = read(folder)
    assert play(log).differences == ()
    before = account_of(read(FIXTURES / "calls" / "interrupted-at-the-greeting"))
    after = account_of(log)
    assert [line.role for _, line in after.lines] == [line.role for _, line in before.lines]
    assert after.lines[0][1].cut
    report = (tmp_path / "report.html").read_text()
    assert report.count("what are your opening hours") == 2


def test_a_rule_that_is_broken_fails_the_command(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('must_say = ["Wednesday"]\nmust_call = ["end_call"]\n')
    done = live(
        FIXTURES / "calls" / "interrupted-at-the-greeting", "--expect", tmp_path / "rules.toml", data=tmp_path
    )
    assert done.returncode == 1
    assert 'the bot did not say "Wednesday"' in done.stdout
    assert "end_call was not called" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--live", "--update", "x"], "give one of"),
        (["--live", "x", "y"], "one log at a time"),
        (["--html", "page.html", "x"], "are for --live"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], problem: str) -> None:
    done = CliRunner().invoke(app, ["replay", *arguments])
    assert done.exit_code == 2
    assert problem in re.sub(r"\s+", " ", done.output)


# ------------------------------------------------------------------------------------------- the report


def then_and_now(text: str = "") -> LiveReplay:
    after = account_of(log_of(rehearsed(*INTERRUPTED, greeting=text or "Hello")))
    return LiveReplay(account_of(log_of(interrupted())), after, Path("folder"), ())


def test_the_table_has_both_sides() -> None:
    console = Console(width=80, record=True)
    both = then_and_now("Good morning")
    console.print(table(both))
    text = console.export_text()
    assert "Hello, how can I help?" in text
    assert "Good morning" in text
    assert all(f"${each.cost_usd:.4f}" in text for each in (both.before, both.after))


def test_the_page_has_both_sides_and_trusts_nobody() -> None:
    shown = page("<title>", then_and_now("<script>alert(1)</script>"), ["it said <b>"])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>" not in shown
    assert "it said &lt;b&gt;" in shown
    assert "http" not in shown  # nothing is loaded


def test_the_page_marks_what_only_one_side_said_and_gives_its_verdict() -> None:
    shown = page("x", then_and_now("Good morning"), [])
    assert "<mark>Good morning</mark>" in shown
    assert "<mark>Hello, how can I help?</mark>" in shown
    assert "<mark>opening hours</mark>" not in shown
    assert "no rule is broken" in shown
    assert "not as it must be" in page("x", then_and_now(), ["it said nothing"])


def test_turns_that_one_side_lacks_are_left_empty(tmp_path: Path) -> None:
    both = then_and_now()
    shorter = LiveReplay(
        both.before, account_of(read(saved(tmp_path / "call", rehearsed(*INTERRUPTED[:1])))), Path(), ()
    )
    assert len(shorter.before.turns) > len(shorter.after.turns)
    assert "<td></td>" in page("x", shorter, [])
