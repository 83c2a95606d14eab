"""The examples of a page of docs/: its blocks of code, and its modules, which can be imported."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from phonebot.agents.numbers import read_tables
from phonebot.agents.profile import Profile
from phonebot.agents.toml import parse

DOCS = Path(__file__).parent.parent / "docs"


class Document:
    """A page of docs/."""

    def __init__(self, name: str) -> None:
        self.name = f"docs/{name}"
        self.text = (DOCS / name).read_text("utf-8")

    def blocks(self, language: str) -> list[str]:
        """The blocks of code in this language, in order."""
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    def profiles(self, section: str) -> dict[str, Profile]:
        """Those in the examples of a section, by number."""
        text = self.text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        blocks = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        read = read_tables(parse("\n".join(blocks).encode(), self.name), self.name, Path())
        return {number: written.profile for number, written in read.items()}

    @contextmanager
    def modules(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
        """Its Python blocks, each of which begins with the name of its file, can be imported: their names."""
        monkeypatch.syspath_prepend(str(folder))
        names = set()
        for block in self.blocks("python"):
            name = block.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(block)
            names.add(name.removesuffix(".py"))
        try:
            yield names
        finally:
            for name in names:
                sys.modules.pop(name, None)

    def rows(self, section: str | None = None) -> set[tuple[str, str, str]]:
        """Key, default and what is allowed of each row of the tables of a section; None: of the page."""
        text = self.text.partition(f"## {section}\n")[2].partition("\n## ")[0] if section else self.text
        return set(re.findall(r"^\| `([a-z_.]+)` \| .*\| (.+) \| (.+) \|$", text, re.MULTILINE))
