"""
The pytest plugin: each call log under `fixtures/calls` is a test.

    [tool.pytest.ini_options]
    phonebot_calls = "fixtures/calls"       # relative to pytest's rootdir; this is the default

A test is named after its folder or zip file. It passes when today's core does what the log says, and when the call
comes to what `expected.toml` beside it says. Its failure shows the first difference in words.

They run with `pytest` alone, and with `pytest fixtures/calls` or one of the logs in it; a run of other files chosen
on the command line has none of them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

# The core is imported by what needs it: this module is loaded by every run of pytest where phonebot is installed.

OPTION = "phonebot_calls"
DEFAULT = "fixtures/calls"


class ReplayFailed(Exception):
    """A recorded call does not replay; the text says where."""


def pytest_addoption(parser: pytest.Parser) -> None:
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
