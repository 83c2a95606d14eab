"""The code in documents: commands that there are, profiles that are taken, Python that compiles."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from command_line import problem_of
from written_code import PAGES, ROOT, Block, blocks, commands

from phonebot.agents.numbers import is_number, read_tables
from phonebot.agents.profile import Profile
from phonebot.settings import PREFIX, SECRET_PREFIX, settings_table

EVERY = list(blocks())
LANGUAGES = {"python", "toml", "json", "yaml", "promql", "sh", "js", ""}


def of(language: str) -> list[Block]:
    found = [block for block in EVERY if block.language == language]
    assert found
    return found


def test_each_block_is_in_a_language_that_is_looked_at() -> None:
    assert {f"{block.page}: {block.language}" for block in EVERY if block.language not in LANGUAGES} == set()


def test_each_command_is_one_of_the_command_line() -> None:
    written = list(commands("phonebot"))
    assert sum(each.whole for each in written) > 30
    assert sum(not each.whole for each in written) > 60
    problems = {str(each): problem_of(each.words[1:], each.whole) for each in written}
    assert {command: problem for command, problem in problems.items() if problem} == {}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("numbers lnik +15550100000", "there is no command lnik"),
        ("numbers list|sow", "there is no command sow"),
        ("numbers link", "link needs more than no argument"),
        ("calls show A B", "show takes 1 arguments, and not also B"),
        ("serve --devel", "serve has no option --devel"),
        ("serve --workers", "--workers needs a value"),
        ("serve --workers many", "--workers many: "),
        ("demo --profile lawyer", "--profile lawyer: "),
        ("dial +15550100009", "dial needs --from"),
        ("calls", "calls needs a command"),
    ],
)
def test_a_command_that_would_be_refused_is_found(words: str, problem: str) -> None:
    assert (problem_of(words.split(), whole=True) or "").startswith(problem)


@pytest.mark.parametrize(
    "words",
    [
        "numbers list|show|set",
        "bench faults [--calls N] [--connect-ms MS] [--json FILE]",
        "numbers set default greeting='Good evening.'",
        "calls delete CALL...",
        "serve --workers 4 --port 8081",
    ],
)
def test_a_command_that_would_be_taken_is_not_found(words: str) -> None:
    assert problem_of(words.split(), whole="|" not in words) is None


def test_each_target_of_make_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    written = [each for each in commands("make") if len(each.words) > 1]
    assert len(written) > 8
    assert {str(each) for each in written if each.words[1] not in targets} == set()


def test_each_setting_that_is_named_is_one() -> None:
    """`PHONEBOT_SECRET_...` are the operator's own; a name that ends in `_` or `...` is a group of settings."""
    known = {row.name for row in settings_table()}
    named = {
        f"{page.name}: {name}"
        for page in PAGES
        for name in re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b(?!_)", page.read_text("utf-8"))
        if name not in known and not name.startswith(SECRET_PREFIX)
    }
    assert named == set()


@pytest.mark.parametrize("block", of("toml"), ids=lambda block: block.page)
def test_toml_is_what_the_service_takes(block: Block, tmp_path: Path) -> None:
    """Files of profiles, tables of providers, and keys of a profile alone; other files are parsed."""
    tables = tomllib.loads(block.text)
    if any(is_number(heading) for heading in tables) or "provider" in tables:
        for table in tables.values():
            table.pop("greeting_audio", None)  # a recording that the reader has
        read_tables(tables, block.page, tmp_path)
    elif tables.keys() <= Profile.model_fields.keys():
        Profile.from_table(tables, block.page)


@pytest.mark.parametrize("block", of("python"), ids=lambda block: block.page)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.page, "exec")


@pytest.mark.parametrize("block", of("json"), ids=lambda block: block.page)
def test_json_can_be_read(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", of("sh"), ids=lambda block: block.page)
def test_a_shell_can_read_it(block: Block) -> None:
    read = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("block", of("yaml"), ids=lambda block: block.page)
def test_yaml_can_be_read(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)


@pytest.mark.parametrize("block", of("promql"), ids=lambda block: block.page)
def test_a_question_to_prometheus_can_be_read(block: Block) -> None:
    promql_parser.parse(block.text)


def test_the_page_on_the_call_log_replays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (block for block in of("python") if block.page == "docs/call-log.md")
    (named,) = re.findall(r'"(data/calls/.*?)"', block.text)
    shutil.copytree(ROOT / "fixtures" / "calls" / "interrupted-twice", tmp_path / named)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, block.page, "exec"), names := dict[str, Any]())
    assert len(names["log"].steps) > 1000
