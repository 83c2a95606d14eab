"""The notes of a release, taken from the changelog."""

import re

import pytest
from release_notes import CHANGELOG, NoSuchVersion, main, notes_of

TEXT = """\
# Changelog

What an operator notices.

## Unreleased

- It is not out yet.

## 0.2.0 (2026-12-01)

- It sings.
- It dances,
  too.

## 0.1.0 (2026-11-01)

- It speaks.
"""


@pytest.mark.parametrize(
    ("version", "notes"),
    [
        ("Unreleased", "- It is not out yet.\n"),
        ("0.2.0", "- It sings.\n- It dances,\n  too.\n"),
        ("0.1.0", "- It speaks.\n"),
    ],
)
def test_they_are_what_stands_below_the_heading_of_the_version(version: str, notes: str) -> None:
    assert notes_of(TEXT, version) == notes


@pytest.mark.parametrize("version", ["0.2", "0x2.0", "0.3.0"])
def test_a_version_without_a_heading_has_none(version: str) -> None:
    with pytest.raises(NoSuchVersion) as caught:
        notes_of(TEXT, version)
    assert str(caught.value) == f"CHANGELOG.md has nothing of {version}; it has Unreleased, 0.2.0, 0.1.0"


def test_the_changelog_has_a_heading_for_what_is_to_be_released(capsys: pytest.CaptureFixture[str]) -> None:
    newest = re.findall(r"^## (\S+)", CHANGELOG.read_text("utf-8"), re.MULTILINE)[0]
    main(newest)
    assert capsys.readouterr().out.startswith("- ")


def test_a_version_that_there_is_not_ends_the_command_with_a_sentence() -> None:
    with pytest.raises(SystemExit, match=r"CHANGELOG\.md has nothing of 99\.0\.0; it has "):
        main("99.0.0")
