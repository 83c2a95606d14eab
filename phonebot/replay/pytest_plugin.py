"""
The pytest plugin: each call log under `fixtures/calls` is a test, and `phone` makes calls in tests of one's own.

    [tool.pytest.ini_options]
    phonebot_calls = "fixtures/calls"       # relative to pytest's rootdir; this is the default
    phonebot_profiles = "numbers.toml"      # whom `phone` reaches; without it the built-in profile answers
    phonebot_phone = "core"                 # or "service", as the option --phone

A test is named after its folder or zip file. It passes when today's core does what the log says, and when the call
comes to what `expected.toml` beside it says. Its failure shows the first difference in words.

They run with `pytest` alone, and with `pytest fixtures/calls` or one of the logs in it; a run of other files chosen
on the command line has none of them.

`phone` calls phonebot (phonebot/rehearsal/phone.py): the core in virtual time, or, with `--phone service`, the
whole service over sockets. The model is the embedded one, and says what the test wants.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from phonebot.rehearsal.phone import OpenLine, Phone

# The core is imported by what needs it: this module is loaded by every run of pytest where phonebot is installed.

OPTION = "phonebot_calls"
DEFAULT = "fixtures/calls"
PHONES = ("core", "service")


class ReplayFailed(Exception):
    """A recorded call does not replay; the text says where."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("phonebot")
    group.addoption(
        "--phone", choices=PHONES, help="What the fixture `phone` calls; the core in virtual time by default."
    )
    parser.addini("phonebot_phone", "What the fixture `phone` calls: core or service.", default=PHONES[0])
    parser.addini("phonebot_profiles", "The file of profiles that answer the fixture `phone`.", default="")
    parser.addini(OPTION, f"The folder whose call logs are tests; {DEFAULT} by default.", default="")


def pytest_configure(config: pytest.Config) -> None:
    if config.getini(OPTION) and not _calls(config).is_dir():
        raise pytest.UsageError(f"{OPTION}: there is no folder {_calls(config)}")
    chosen = config.args_source is pytest.Config.ArgsSource.ARGS
    if not chosen and _calls(config).is_dir():
        config.args.append(str(_calls(config)))


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> "RecordedCalls | None":
    if path != _calls(parent.config):
        return None
    return RecordedCalls.from_parent(parent, path=path)


def _calls(config: pytest.Config) -> Path:
    return config.rootpath / (config.getini(OPTION) or DEFAULT)


class RecordedCalls(pytest.Directory):
    """The folder of the logs."""

    def collect(self) -> Iterable[pytest.Item]:
        from phonebot.replay.archive import is_log

        for path in sorted(self.path.iterdir()):
            # A folder without the header is collected too: a log that lost it must not pass for want of a test.
            if path.name.startswith("."):
                continue
            if path.is_dir() or is_log(path):
                yield RecordedCall.from_parent(
                    self, name=path.stem if path.suffix == ".zip" else path.name, path=path
                )


class RecordedCall(pytest.Item):
    """One recorded call."""

    def runtest(self) -> None:
        from phonebot.replay.verdict import judge

        verdict = judge(self.path)
        if not verdict.holds:
            raise ReplayFailed(str(verdict))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from phonebot.errors import PhonebotError

        if isinstance(excinfo.value, (ReplayFailed, PhonebotError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"recorded call {self.name}"


def _line(called: str) -> "OpenLine":
    if called == "core":
        from phonebot.rehearsal.virtual_line import VirtualLine

        return VirtualLine
    from phonebot.rehearsal.service_line import ServiceLine

    return ServiceLine


@pytest.fixture
def phone(request: pytest.FixtureRequest) -> "Iterator[Phone]":
    """A phone to call phonebot with; the call ends with the test."""
    from phonebot.agents.numbers import Numbers
    from phonebot.rehearsal.phone import Phone

    config = request.config
    called = config.getoption("--phone") or config.getini("phonebot_phone")
    if called not in PHONES:
        raise pytest.UsageError(f"phonebot_phone: {called!r} is none of {', '.join(PHONES)}")
    profiles = config.getini("phonebot_profiles")
    numbers = Numbers.load(config.rootpath / profiles) if profiles else None
    made = Phone(_line(called), numbers)
    try:
        yield made
    finally:
        made.close()
