"""The code that pages for people hold: blocks, commands and names, found in their Markdown."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
)

_FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_END = frozenset({"|", ">", ">>", "<", "&", "&&", "||", ";"})


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page. `language` is "" where none is written."""

    page: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """A command in a page, in words. `whole`: as one types it, in a block; else named in a sentence or a table."""

    page: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for indent, language, text in _FENCED.findall(page.read_text("utf-8")):
            yield Block(_name(page), language, re.sub(f"^{indent}", "", text, flags=re.MULTILINE))


def commands(program: str) -> Iterator[Written]:
    """Those of a program, of blocks for a shell (fenced as sh, or indented) and of spans."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for line in shell_lines(text):
            if words := _of_program(program, _words(line)):
                yield Written(_name(page), words, whole=True)
        for span in _SPAN.findall(_FENCED.sub("", text)):
            words = _words(" ".join(span.replace(r"\|", "|").split()))
            if words[:1] == (program,):
                yield Written(_name(page), words, whole=False)


def shell_lines(text: str) -> Iterator[str]:
    """Those of a page's blocks for a shell, each with the lines that it goes on in."""
    fenced = [block for _, language, block in _FENCED.findall(text) if language in ("", "sh", "bash")]
    indented = re.findall(r"^ {4,}\S.*$", _FENCED.sub("", text), re.MULTILINE)
    for block in (*fenced, "\n".join(indented)):
        yield from (line.strip() for line in re.sub(r"\\\n\s*", "", block).splitlines())


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _words(line: str) -> tuple[str, ...]:
    """Up to where a shell would begin another command; none if it is no line of a shell."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return ()
    end = next((index for index, word in enumerate(words) if word in _END), len(words))
    return tuple(words[:end])


def _of_program(program: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """The command, also behind variables, and where docker, kubectl or systemd-run begin it elsewhere."""
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words[:1] in ((program,), (f".venv/bin/{program}",)):
        return (program, *words[1:])
    if words[:1] in (("docker",), ("kubectl",), ("systemd-run",)):
        starts = [index for index, word in enumerate(words) if word == program or word.endswith(f"/bin/{program}")]
        if starts and starts[-1] + 1 < len(words) and ("exec" in words or words[0] == "systemd-run"):
            return (program, *words[starts[-1] + 1 :])
    return ()
