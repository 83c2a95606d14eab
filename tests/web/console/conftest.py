"""For the console's tests."""

from _pytest.terminal import TerminalReporter
from browser_driver import REMEDY


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What was skipped for want of a browser is said in a line of its own: `-q` shows no more than an s."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if REMEDY in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"SKIPPED {len(skipped)} tests of the phone in the browser: {REMEDY}", red=True)
