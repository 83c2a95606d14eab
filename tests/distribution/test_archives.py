"""
What is given away: a wheel that works in an environment with nothing but what it asks for, and a source archive
that makes the same one.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import requires
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from phonebot import __version__

ROOT = Path(__file__).parents[2]
DEMO_S = 120.0  # it takes 20 s of talk, and as long again where all else is slow


@dataclass(frozen=True, slots=True)
class Built:
    """The archives. `files` are those of the wheel, by their names."""

    wheel: Path
    sdist: Path
    files: Mapping[str, bytes]

    @property
    def about(self) -> Message:
        """What the wheel says of itself."""
        return BytesParser().parsebytes(self.of_metadata("METADATA"))

    def of_metadata(self, name: str) -> bytes:
        return self.files[f"phonebot-{__version__}.dist-info/{name}"]


def run(*command: object, folder: Path = ROOT) -> None:
    """Raises with what it said where it fails."""
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    if "connection broken by" in done.stderr and not os.environ.get("CI"):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def build(source: Path, into: Path, *targets: str) -> None:
    wanted = [f"--target={each}" for each in targets]
    run(sys.executable, "-m", "hatchling", "build", *wanted, "-d", into, folder=source)


def files_of(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tree(folder: str) -> set[str]:
    """The files of a folder of the repository, by their paths in it."""
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder, "wheel", "sdist")
    wheel = folder / f"phonebot-{__version__}-py3-none-any.whl"
    return Built(wheel, folder / f"phonebot-{__version__}.tar.gz", files_of(wheel))


def test_the_wheel_has_the_package_with_its_assets_and_the_demo_and_nothing_else(built: Built) -> None:
    wanted = tree("phonebot") | {f"phonebot/{name}" for name in tree("fixtures/demo")}
    assert {name for name in built.files if ".dist-info/" not in name} == wanted
    assert wanted > {
        "phonebot/py.typed",
        "phonebot/fixtures/demo/dentist.toml",
        "phonebot/store/migrations/versions/first_tables.py",
        "phonebot/web/console/static/phone-worklet.js",
        "phonebot/web/console/templates/_phone.html",
    }


def test_the_wheel_says_its_version_its_extras_and_its_command(built: Built) -> None:
    assert built.about["Version"] == __version__
    assert set(built.about.get_all("Provides-Extra", [])) == {"bench", "demo", "otel"}
    commands = built.of_metadata("entry_points.txt").decode()
    assert "[console_scripts]\nphonebot = phonebot.cli:main\n" in commands
    assert "[pytest11]\nphonebot.replay.pytest_plugin = phonebot.replay.pytest_plugin\n" in commands
    assert b"MIT License" in built.of_metadata("licenses/LICENSE")


def test_the_source_archive_makes_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    build(tmp_path / f"phonebot-{__version__}", tmp_path, "wheel")
    assert files_of(tmp_path / built.wheel.name) == built.files


def test_the_source_archive_has_what_its_own_image_and_its_makefile_are_made_of(built: Built) -> None:
    """So what its README says first can be done with it."""
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    wanted = {each for line in copied for each in line.split()}
    assert wanted > {"requirements.lock", "pyproject.toml", "phonebot", "fixtures/demo"}
    wanted |= {"Makefile", "requirements-dev.lock", "Dockerfile", ".dockerignore", "mkdocs.yml"}
    folders = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    assert wanted - names - folders == set()


@pytest.mark.timeout(600)  # it installs some fifty packages, and then there is a call
def test_the_demo_holds_its_call_from_the_wheel_in_an_environment_that_had_nothing(
    built: Built, tmp_path: Path
) -> None:
    """In an empty folder, and without a single variable of the environment."""
    environment, home = tmp_path / "environment", tmp_path / "home"
    home.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "--quiet", "--retries=1")
    install = (*pip, "--disable-pip-version-check", "install", "--no-compile")
    (tmp_path / "locked.txt").write_text("".join(locked(needed(built.about.get_all("Requires-Dist", [])))))
    run(*install, "--require-hashes", "--no-deps", "--requirement", tmp_path / "locked.txt")
    run(*install, "--no-index", f"{built.wheel}[demo]")

    demo = subprocess.run(
        [environment / "bin" / "phonebot", "demo"],
        cwd=home,
        env={},
        capture_output=True,
        text=True,
        timeout=DEMO_S,
        check=False,
    )
    assert (demo.returncode, demo.stderr) == (0, ""), demo.stdout
    assert [path.name for path in home.iterdir()] == ["data"]
    (log,) = (home / "data" / "calls").iterdir()
    kept = {path.name for path in log.iterdir()}
    assert kept >= {"call.json", "events.jsonl", "caller.wav", "bot.wav", "heard.wav"}
    assert json.loads((log / "call.json").read_text())["software"] == f"phonebot {__version__}"


def needed(asked: Iterable[str]) -> set[str]:
    """The names of all that the extra `demo` comes to on this Python, by what is installed here."""
    found = set[tuple[str, frozenset[str]]]()
    waiting = [(Requirement(each), frozenset({"demo"})) for each in asked]
    while waiting:
        requirement, extras = waiting.pop()
        this = canonicalize_name(requirement.name), frozenset(requirement.extras)
        marker = requirement.marker
        applies = marker is None or any(marker.evaluate({"extra": each}) for each in ("", *extras))
        if applies and this not in found:
            found.add(this)
            waiting += [(Requirement(each), this[1]) for each in requires(requirement.name) or ()]
    return {name for name, _ in found}


def locked(names: set[str]) -> list[str]:
    """What the lock file says of these: their versions, some for one Python or another, and the files' hashes."""
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.findall(r"^\S+==.*?\n(?=\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert names <= {entry.partition("==")[0] for entry in entries}
    return [entry for entry in entries if entry.partition("==")[0] in names]
