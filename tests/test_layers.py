"""Who may import whom. An import for types alone counts too: it would draw a line that the design does not have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "phonebot"
PAGE = PACKAGE.parent / "docs" / "architecture.md"

# What each part may import of ours, besides its own modules. What stands for a package stands for all of it.
ALLOWED: dict[str, tuple[str, ...]] = {
    "errors": (),
    "frames": (),
    "tasks": (),
    "discretion": ("errors", "log_context"),
    "log_context": (),
    "settings": ("errors",),
    "audio": ("errors",),
    "carrier": ("errors", "audio"),
    "realtime": ("errors", "frames"),
    "agents": ("errors",),
    "agents.numbers": ("audio.recordings",),  # beside what is allowed to the rest of agents
    "call": ("carrier.messages", "realtime.events", "realtime.severity", "realtime.prices", "agents", "audio"),
    "replay.pytest_plugin": ("rehearsal",),  # likewise
    "replay": ("call", "carrier", "realtime", "agents", "audio", "errors", "private_folders"),
    "outbox": ("realtime.events", "audio"),
    "hidden_keys": ("call", "carrier", "audio"),
    "bridge": ("outbox", "hidden_keys", "call", "carrier", "realtime", "errors"),
    "simulator": ("errors", "audio"),
    "store": ("errors", "private_folders"),
    "tools": ("discretion", "errors", "call", "realtime.events", "agents"),
    "tools.builtin": ("audio.dtmf",),  # beside what is allowed to the rest of tools
    "leased": ("errors",),
    "private_folders": (),
    "disk_queue": ("private_folders",),
    "after": ("discretion", "leased", "agents", "errors", "realtime", "store", "tools"),
    "outbound": ("disk_queue", "leased", "agents", "carrier", "errors", "store", "tools"),
    "caps": ("agents", "call", "errors", "realtime", "store", "tasks", "tools"),
    "hooks": ("errors", "agents.agent", "call", "carrier.messages", "realtime.events", "replay.reader", "tools"),
    "guardrails": ("discretion", "errors", "call", "agents", "tools"),
    "traces": ("bridge", "call", "realtime.events", "realtime.severity", "replay.answer_times"),
    "transfers": ("agents", "audio", "call", "carrier", "errors", "realtime.events", "store", "tools"),
    "clinic": ("tools",),
    "callbook": ("store", "replay", "errors"),
    "messages": ("disk_queue", "agents", "errors", "store", "tools"),
    "recognition": (),
    "checkup": ("errors", "carrier", "realtime", "store", "recognition"),
    "filing": ("callbook", "store", "replay", "errors"),
    "web": (
        "discretion",
        "log_context",
        "bridge",
        "call",
        "callbook",
        "caps",
        "carrier",
        "checkup",
        "recognition",
        "realtime",
        "agents",
        "audio",
        "errors",
        "frames",
        "hooks",
        "outbound",
        "private_folders",
        "transfers",
        "traces",
        "replay",
        "store",
        "tasks",
        "tools",
        "guardrails",
    ),
    # beside what is allowed to the rest of web
    "web.app": ("settings", "deployment"),
    "web.parts": ("settings", "deployment", "filing", "after", "messages"),
}
TOP = frozenset(
    {
        "bench",
        "calibration",
        "call_sheet",
        "calling",
        "cli",
        "demo",
        "deployment",
        "dialling",
        "doctor",
        "happenings",
        "json_output",
        "linking",
        "measuring",
        "message_sheet",
        "numbering",
        "recalling",
        "receiving",
        "rehearsal",
        "replaying",
        "serving",
        "storing",
        "terminal",
        "workers",
    }
)
# Runs in virtual time, so it is as pure as a call.
MEASURING = frozenset({f"calibration.{name}" for name in ("experiments", "figures", "line", "measurement", "tone")})
# Those who start a service: the last is the one that is measured.
REHEARSING = frozenset({"rehearsal.live", "rehearsal.live_command", "rehearsal.service_line"})
SEE_SETTINGS = frozenset(
    {
        *("deployment", "web.app", "serving", "cli", "demo.service", "bench.fault_calls", "bench.subject"),
        *(
            f"doctor.{name}"
            for name in ("command", "examination", "parts", "profiles", "settings", "service", "models")
        ),
        *("dialling", "measuring", "numbering", "recalling", "receiving", "storing", "workers"),
        *REHEARSING,
    }
)
# All that a call depends on comes in as an input; otherwise its log would not replay.
NOT_IN_A_CALL = frozenset(
    {"asyncio", "logging", "os", "random", "secrets", "select", "socket", "subprocess", "threading", "time", "uuid"}
)


def modules() -> Iterator[tuple[str, str]]:
    """Each module's name within the package, and its source."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:  # the package itself holds its version
            yield name, path.read_text(encoding="utf-8")


def imports(module: str, source: str) -> Iterator[str]:
    """The full names of what the source imports, wherever in it, in a function or for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = f"phonebot.{module}".rsplit(".", node.level)[0] if node.level else ""
            base = ".".join(filter(None, (package, node.module)))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def broken_rules(module: str, source: str) -> list[str]:
    """A sentence for each import of the module that the rules do not allow."""
    part = module.partition(".")[0]
    names = [name for name in imports(module, source) if name.startswith("phonebot.")]
    ours = [name.removeprefix("phonebot.") for name in names if name != "phonebot.__version__"]
    problems = []
    if part == "call" or module in MEASURING:
        problems += [
            f"{module} imports {name}"
            for name in imports(module, source)
            if name.partition(".")[0] in NOT_IN_A_CALL
        ]
    if part in TOP:
        wrong = [name for name in ours if _is_in(name, ("settings",)) and module not in SEE_SETTINGS]
    else:
        allowed = (part, *ALLOWED.get(part, ()), *ALLOWED.get(module, ()))
        wrong = [name for name in ours if not _is_in(name, allowed)]
    return problems + [f"{module} imports phonebot.{name}" for name in wrong]


def _is_in(name: str, parts: tuple[str, ...]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def test_each_module_imports_only_what_its_layer_may() -> None:
    assert [problem for module, source in modules() for problem in broken_rules(module, source)] == []


def test_every_module_belongs_to_a_layer() -> None:
    parts = {module.partition(".")[0] for module in (*ALLOWED, *TOP)}
    assert {module.partition(".")[0] for module, _ in modules()} == parts


def test_no_rule_allows_what_nobody_imports() -> None:
    used = set()
    for module, source in modules():
        names = [name.removeprefix("phonebot.") for name in imports(module, source)]
        for importer in (each for each in ALLOWED if _is_in(module, (each,))):
            used |= {(importer, part) for part in ALLOWED[importer] for name in names if _is_in(name, (part,))}
    assert {(importer, part) for importer, allowed in ALLOWED.items() for part in allowed} == used


# ------------------------------------------------------------------------------------------- the page about it


def on_the_page() -> dict[str, set[str] | None]:
    """By part: what it may import of ours, as the page's table says; None: all."""
    told: dict[str, set[str] | None] = {}
    rows = re.findall(r"^\| (`.*?) \| .*? \| (.*?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    for parts, allowed in rows:
        names = set(re.findall(r"`(\w+)`", allowed))
        if allowed.startswith("all above but "):
            excepted = set(re.findall(r"`(\w+)`", allowed.partition(";")[0]))
            names = names - excepted | told.keys() - excepted
        told |= dict.fromkeys(re.findall(r"`(\w+)`", parts), None if allowed == "all" else names)
    return told


def test_the_page_has_the_same_rules() -> None:
    """Also what is allowed to one module of a part."""
    rules: dict[str, set[str] | None] = dict.fromkeys(TOP)
    for module, allowed in ALLOWED.items():
        part = module.partition(".")[0]
        rules[part] = (rules.get(part) or set()) | {name.partition(".")[0] for name in allowed} - {part}
    assert on_the_page() == rules


def test_what_the_page_names_is_there() -> None:
    """Modules, by their path or its end; and the classes and methods of the picture, in their modules."""
    page = PAGE.read_text("utf-8")
    paths = set(re.findall(r"`((?:\w+/)*\w+\.py)`", page))
    assert len(paths) > 50
    files = [str(path) for folder in (PACKAGE, PACKAGE.parent / "tests") for path in folder.rglob("*.py")]
    assert sorted(path for path in paths if not any(file.endswith(f"/{path}") for file in files)) == []
    picture = page.partition("## The parts")[0]
    pictured = re.findall(r"(\w+/\w+|\w+(?=\.py))(?:\.py)? +([A-Z]\w+)(?:\.(\w+))?", picture)
    assert len(pictured) > 10
    assert [each for each in pictured if not _has(*each)] == []


def _has(module: str, name: str, member: str) -> bool:
    for node in ast.parse((PACKAGE / f"{module}.py").read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            functions = [
                each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            return not member or member in functions
    return False


@pytest.mark.parametrize(
    ("module", "source", "problem"),
    [
        ("call.call", "import asyncio", "call.call imports asyncio"),
        ("call.call", "def f():\n    from time import monotonic", "call.call imports time.monotonic"),
        ("call.call", "from phonebot.carrier.twiml import hang_up", "phonebot.carrier.twiml.hang_up"),
        ("call.call", "from phonebot.settings import load", "phonebot.settings.load"),
        ("call.call", "from ..realtime import connection", "phonebot.realtime.connection"),
        (
            "call.plan",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from phonebot.bridge import Bridge",
            "phonebot.bridge.Bridge",
        ),
        ("carrier.messages", "from phonebot.realtime.events import Event", "phonebot.realtime.events.Event"),
        ("realtime.events", "import phonebot.carrier.messages", "phonebot.carrier.messages"),
        ("agents.profile", "from phonebot.audio import wav", "phonebot.audio.wav"),
        ("simulator.phone", "from phonebot.carrier import signature", "phonebot.carrier.signature"),
        ("simulator.session", "from phonebot import call", "phonebot.call"),
        ("replay.log", "from phonebot.bridge import Bridge", "phonebot.bridge.Bridge"),
        ("bridge", "from phonebot.web.media import MediaSocket", "phonebot.web.media.MediaSocket"),
        ("web.media", "from phonebot.settings import Settings", "phonebot.settings.Settings"),
        ("web.app", "from phonebot.simulator.server import serve", "phonebot.simulator.server.serve"),
        ("web.app", "from phonebot.bench import latency", "phonebot.bench.latency"),
        ("web.feed", "from phonebot.simulator.mind import Say", "phonebot.simulator.mind.Say"),
        ("web.console.door", "from phonebot.settings import Settings", "phonebot.settings.Settings"),
        ("calibration.measurement", "import asyncio", "calibration.measurement imports asyncio"),
        ("calling", "from phonebot.settings import load", "phonebot.settings.load"),
        ("errors", "from phonebot.audio import g711", "phonebot.audio.g711"),
        ("audio.wav", "from phonebot.carrier import messages", "phonebot.carrier.messages"),
    ],
)
def test_an_import_across_the_layers_is_noticed(module: str, source: str, problem: str) -> None:
    (noticed,) = broken_rules(module, source)
    assert problem in noticed


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("call.call", "from collections import deque\nfrom phonebot.call.turns import Turn"),
        ("call.call", "from phonebot.realtime import events, severity"),
        ("web.app", "from phonebot.settings import Settings"),
        (
            "web.console.door",
            "from phonebot.web.media import MediaSocket\nfrom phonebot.bridge import StreamClosed",
        ),
        ("demo.service", "from phonebot.settings import load\nfrom phonebot.simulator.phone import dial"),
        ("replay.recorder", "from phonebot import __version__"),
    ],
)
def test_an_import_within_the_rules_is_not(module: str, source: str) -> None:
    assert broken_rules(module, source) == []
