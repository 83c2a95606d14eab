"""What all examples have in common."""

import tomllib
from pathlib import Path

import pytest
from written_code import ROOT

from phonebot.agents.numbers import read_file
from phonebot.simulator.scenario import load_scenario
from phonebot.simulator.script import load_script

FOLDERS = sorted(path for path in (ROOT / "examples").iterdir() if (path / "numbers.toml").is_file())
SCREEN_LINES = 60


def test_each_is_in_the_table_and_has_a_test() -> None:
    table = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert len(FOLDERS) == 5
    for folder in FOLDERS:
        assert f"]({folder.name}/README.md)" in table
        assert Path(__file__).with_name(f"test_{folder.name}.py").is_file()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_its_readme_fits_a_screen_and_names_files_that_it_has(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= SCREEN_LINES
    assert f"cp -r examples/{folder.name} " in text
    for caller in (folder / "caller").glob("*.toml"):
        assert caller.name in text


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_its_files_are_what_phonebot_takes(folder: Path) -> None:
    assert read_file(folder / "numbers.toml")
    said = set()
    for caller in (folder / "caller").glob("*.toml"):
        assert load_scenario(caller)
        said |= {step["audio"] for step in tomllib.loads(caller.read_text())["steps"] if "audio" in step}
    assert said == {recording.name for recording in (folder / "caller").glob("*.wav")}
    if (script := folder / "script.toml").is_file():
        assert load_script(script).phrases
