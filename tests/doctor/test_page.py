"""docs/troubleshooting.md quotes what doctor says: each quote is in the code, and no check is left out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import phonebot
from phonebot.doctor.examination import examine
from phonebot.doctor.report import PAGE
from phonebot.settings import look_through

ROOT = Path(__file__).parents[2]
PACKAGE = Path(phonebot.__file__).parent
SPEAKERS = ("checkup", "doctor", "realtime", "store", "agents", "settings.py", "deployment.py", "tools/registry.py")
QUOTE = re.compile(r"\*\*([^*]+)\*\* `([^`]+)`")
GAP = "…"


def quotes() -> list[tuple[str, str]]:
    """The name of a check and what it says, of each row of the page."""
    return QUOTE.findall((ROOT / PAGE).read_text())


def said() -> Iterator[str]:
    """Every text in the modules that speak, with … for what is put into it."""
    for speaker in SPEAKERS:
        path = PACKAGE / speaker
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(map(text_of, node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def text_of(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else GAP


def is_said(quote: str, texts: list[str]) -> bool:
    """Whether one text has all words of the quote, in their order."""
    words = [re.escape(part.strip()) for part in quote.split(GAP)]
    pattern = re.compile(".*".join(filter(None, words)), re.DOTALL)
    return any(pattern.search(text) for text in texts)


def test_each_quote_is_what_the_code_says() -> None:
    texts, found = list(said()), quotes()
    assert len(found) > 50
    assert [quote for _, quote in found if not is_said(quote, texts)] == []


def test_a_quote_of_what_nobody_says_is_noticed() -> None:
    texts = list(said())
    assert is_said("another program listens at …", texts)
    assert not is_said("no program listens at …", texts)
    assert not is_said("listens at … another program", texts)


async def test_no_check_is_left_out(tmp_path: Path) -> None:
    page = (ROOT / PAGE).read_text()
    report = await examine(
        look_through(
            {
                "PHONEBOT_DATA_DIR": str(tmp_path / "data"),
                "PHONEBOT_PORT": "1",
                "PHONEBOT_PUBLIC_URL": "https://127.0.0.1:1",
                "PHONEBOT_PROFILES": str(tmp_path / "no.toml"),
                "PHONEBOT_MODEL_URL": "ws://127.0.0.1:1",
                "PHONEBOT_PRICES": "no.toml",
                "PHONEBOT_TOOLS": "no_such_module",
                "PHONEBOT_HOOKS": "no_such_module",
                "PHONEBOT_CLIPS": "no",
                "PHONEBOT_HOLD_AUDIO": "no.wav",
                "PHONEBOT_MODEL_PROVIDERS": "no",
                "TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
                "TWILIO_AUTH_TOKEN": "x",
                "TWILIO_API_URL": "http://127.0.0.1:1",
            },
            None,
        ),
        dev=False,
    )
    assert [check.name for check in report.checks if f"**{check.name}**" not in page] == []
