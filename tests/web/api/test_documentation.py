"""What docs/api.md says one may type, typed."""

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
from api_driver import BOSS, Api

from phonebot.store.tokens import SCOPES
from phonebot.web.api import streams
from phonebot.web.api.api import document
from phonebot.web.api.problems import Code

DOCUMENT = (Path(__file__).parents[3] / "docs/api.md").read_text()
FIXTURE = Path(__file__).parents[3] / "fixtures/calls/interrupted-twice"
EXAMPLES = re.findall(r"<!-- tested -->\n```sh\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """One kind will do: nothing here depends on it."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    return f"sqlite:///{tmp_path}/phonebot.db"


async def test_each_example_does_what_it_says(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("curl") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("curl is not installed: apt-get install curl")
    monkeypatch.setattr(streams, "MAX_STREAM_S", 0.05)
    await api.file_call("CA11111111111111111111111111111111", log=FIXTURE)
    await api.keep_message()
    secret = (await api.store.tokens.create("all", SCOPES, BOSS)).secret
    where = tmp_path / "typed"
    where.mkdir()
    assert len(EXAMPLES) == DOCUMENT.count("```sh")
    for example in EXAMPLES:
        shell = await asyncio.create_subprocess_exec(
            "sh",
            "-e",
            "-c",
            example,
            cwd=where,
            env={**os.environ, "API": api.url, "TOKEN": secret, "no_proxy": "*"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await shell.communicate()
        assert shell.returncode == 0, (example, said)
    assert {path.name for path in where.iterdir()} == {"numbers.toml", "heard.wav", "log.zip"}
    assert (await api.store.numbers.get("+15550100000")).note == "back to version 1"
    assert (await api.store.users.get("ada")).disabled


def test_each_code_is_told_of() -> None:
    table = DOCUMENT.partition("## What goes wrong")[2]
    assert {code for code in get_args(Code) if f"`{code}`" not in table} == set()


def test_each_tag_of_the_document_is_explained() -> None:
    described = document("https://bot.example.com/api/v1")
    used = {tag for path in described["paths"].values() for operation in path.values() for tag in operation["tags"]}
    assert {tag["name"] for tag in described["tags"]} == used
