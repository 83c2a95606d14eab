"""What the documents say is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_test_that_a_document_names_exists() -> None:
    named = [
        match.groups()
        for document in sorted((ROOT / "docs").glob("*.md"))
        for match in re.finditer(r"`(test_\w+\.py)::(test_\w+)`", document.read_text())
    ]
    assert len(named) > 10
    code = {path.name: path.read_text() for path in (ROOT / "tests" / "call").glob("test_*.py")}
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in code.get(file, "")]
    assert missing == []
