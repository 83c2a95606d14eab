"""What the documents say is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


NAMED = re.compile(r"`([\w/]*test_\w+\.py)::(test_\w+)`")


def test_every_test_that_a_document_names_exists() -> None:
    """By its path below tests/, or below tests/call/."""
    named = [
        match.groups()
        for document in sorted((ROOT / "docs").glob("*.md"))
        for match in NAMED.finditer(document.read_text())
    ]
    assert len(named) > 10
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in _code(file)]
    assert missing == []


def _code(file: str) -> str:
    path = ROOT / "tests" / file if "/" in file else ROOT / "tests" / "call" / file
    return path.read_text() if path.is_file() else ""
