"""
The notes of a release: what CHANGELOG.md says of its version, for wherever releases are announced.

    python tests/release_notes.py 0.2.0         # or Unreleased
"""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"

_HEADING = re.compile(r"^## (\S+).*$", re.MULTILINE)


class NoSuchVersion(Exception):
    """The changelog has no section of this version. `known` are those that it has, newest first."""

    def __init__(self, version: str, known: list[str]) -> None:
        super().__init__(version, known)
        self.version, self.known = version, known

    def __str__(self) -> str:
        return f"CHANGELOG.md has nothing of {self.version}; it has {', '.join(self.known)}"


def notes_of(changelog: str, version: str) -> str:
    """What stands below the heading `## VERSION`, whatever follows the version in it. Raises NoSuchVersion."""
    headings = list(_HEADING.finditer(changelog))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        if heading[1] == version:
            return changelog[heading.end() : following.start() if following else None].strip() + "\n"
    raise NoSuchVersion(version, [heading[1] for heading in headings])


def main(version: str) -> None:
    try:
        sys.stdout.write(notes_of(CHANGELOG.read_text("utf-8"), version))
    except NoSuchVersion as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main(sys.argv[1])
