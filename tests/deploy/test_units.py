"""The systemd units: by systemd itself, where it is there, and by what the service needs."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from deploy_files import DEPLOY, check_serves, env_file, filled, leaving_s

from phonebot.workers import SET_UP_WRONGLY

FOLDER = DEPLOY / "systemd"
ONE, TWO = FOLDER / "phonebot.service", FOLDER / "phonebot@.service"
MOST_EXPOSED = 20
"""In tenths, as `systemd-analyze security` counts: 0 to 20 is what it calls OK."""

both = pytest.mark.parametrize("unit", [ONE, TWO], ids=lambda path: path.name)


def value(unit: Path, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", unit.read_text("utf-8"), re.MULTILINE)
    return str(found)


def environment_of(unit: Path) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in value(unit, "Environment").split())


@pytest.fixture(scope="session")
def systemd() -> Callable[..., str]:
    """`systemd(*arguments)`: what systemd-analyze says; it has to be content."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")

    def analyze(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return analyze


@both
def test_systemd_takes_a_unit_and_knows_its_every_key(
    unit: Path, systemd: Callable[..., str], tmp_path: Path
) -> None:
    # It looks whether the programs are there.
    text = re.sub(r"/opt/phonebot/bin/phonebot", str(shutil.which("true")), unit.read_text("utf-8"))
    installed = tmp_path / unit.name.replace("@.", "@8080.")
    installed.write_text(text)
    said = systemd("verify", "--man=no", "--recursive-errors=no", str(installed))
    assert "phonebot" not in said, "it has nothing to say against it"


@both
def test_a_service_can_reach_little_but_its_folder_and_the_network(
    unit: Path, systemd: Callable[..., str], tmp_path: Path
) -> None:
    installed = tmp_path / unit.name.replace("@.", "@8080.")
    shutil.copy(unit, installed)
    systemd("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", str(installed))


@both
def test_a_service_starts_with_its_environment(unit: Path) -> None:
    environment = environment_of(unit)
    example = env_file(FOLDER / "phonebot.env.example")
    check_serves({name: text.replace("%i", "8081") for name, text in environment.items()} | filled(example))
    assert environment["PHONEBOT_DATA_DIR"] == f"/var/lib/{value(unit, 'StateDirectory')}"
    assert environment["PHONEBOT_HOST"] == "127.0.0.1", "the proxy alone reaches it"
    assert value(unit, "EnvironmentFile") == "/etc/phonebot/phonebot.env", "secrets are in a file of their own"
    assert not environment.keys() & example.keys(), "what is in the file would hold, and not what is here"


@both
def test_a_service_has_the_time_that_its_calls_need_to_end_or_to_move(unit: Path) -> None:
    needed_s = int(environment_of(unit)["PHONEBOT_DRAIN_S"]) + leaving_s()
    assert int(value(unit, "TimeoutStopSec")) >= needed_s
    assert value(unit, "KillSignal") == "SIGTERM"
    # A worker that is told by systemd and by its supervisor would cut its calls off.
    assert value(unit, "KillMode") == "mixed"


@both
def test_a_service_is_started_again_unless_its_settings_are_wrong(unit: Path) -> None:
    assert value(unit, "Restart") == "always"
    assert value(unit, "RestartPreventExitStatus") == str(SET_UP_WRONGLY)
    assert value(unit, "ExecStartPre").endswith("phonebot db upgrade")
    assert value(unit, "ExecStart").endswith("phonebot serve")


def test_the_unit_of_two_processes_is_that_of_one_but_for_the_port() -> None:
    one, two = (unit.read_text("utf-8").partition("[Unit]")[2] for unit in (ONE, TWO))
    expected = one.replace("Description=phonebot, ", "Description=phonebot at port %i, ")
    assert two == expected.replace("PHONEBOT_PORT=8080", "PHONEBOT_PORT=%i")
