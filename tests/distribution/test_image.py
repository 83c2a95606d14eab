"""The labels of the image (OCI Image Format Specification, Pre-Defined Annotation Keys)."""

import re
import tomllib
from pathlib import Path

import pytest

from phonebot import __version__

ROOT = Path(__file__).parents[2]


def last_stage() -> list[tuple[str, str]]:
    """Its instructions, each with what stands behind it."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    begin = max(place for place, line in enumerate(lines) if line.startswith("FROM "))
    pairs = (line.partition(" ") for line in lines[begin:])
    return [(instruction, rest) for instruction, _, rest in pairs]


@pytest.fixture
def labels() -> dict[str, str]:
    """By their names below org.opencontainers.image, with what a builder has told filled in."""
    given = {"VERSION": __version__, "REVISION": "a commit", "SOURCE": "https://example.com/phonebot"}
    told = {rest.partition("=")[0] for instruction, rest in last_stage() if instruction == "ARG"}
    assert told == given.keys()
    (written,) = (rest for instruction, rest in last_stage() if instruction == "LABEL")
    pairs = re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', written)
    return {name: re.sub(r"^\$(\w+)$", lambda found: given[found[1]], value) for name, value in pairs}


def test_the_image_says_what_it_is_and_where_it_came_from(labels: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels == {
        "title": project["name"],
        "description": project["description"],
        "version": __version__,
        "revision": "a commit",
        "source": "https://example.com/phonebot",
        "licenses": f"{project['license']} AND GPL-3.0-or-later",
    }


def test_an_image_whose_label_would_tell_another_version_is_not_built() -> None:
    assert '&& test "$(/opt/phonebot/bin/phonebot version)" = "$VERSION"' in (ROOT / "Dockerfile").read_text()
