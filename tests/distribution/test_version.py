"""The version stands in phonebot/__init__.py, and whatever has to name it names the same."""

import re
import tomllib
from pathlib import Path

import pytest
from fastapi import FastAPI

from phonebot import __version__
from phonebot.web.api.document import document_of

ROOT = Path(__file__).parents[2]


def test_it_is_a_semantic_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_the_package_has_no_other_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "phonebot/__init__.py"}


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("Dockerfile", r"^ARG VERSION=(\S+)$"),
        ("deploy/compose/compose.yaml", r"\$\{IMAGE:-phonebot:([^}]+)\}"),
        ("deploy/kubernetes/overlays/example-production/kustomization.yaml", r"newTag: (\S+)"),
        ("docs/deploy.md", r"/phonebot:(\d\S*)"),
    ],
)
def test_what_names_an_image_names_this_version(file: str, pattern: str) -> None:
    assert set(re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)) == {__version__}


def test_the_api_tells_it() -> None:
    assert document_of(FastAPI(), "http://localhost/api/v1")["info"]["version"] == __version__
