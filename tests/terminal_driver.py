"""Commands as one would type them, in this process."""

import sys

import pytest

from phonebot.cli import main


class Terminal:
    """A terminal in which commands are typed; what they say is read by `capsys`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def type(self, *arguments: str) -> tuple[int, str]:
        """The exit code of `phonebot ...`, and what it said."""
        before, sys.argv = sys.argv, ["phonebot", *arguments]
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0
        finally:
            sys.argv = before
        told = self._capsys.readouterr()
        assert "Traceback" not in told.err, told.err
        return code, told.out + told.err

    def says(self, *arguments: str) -> str:
        """What a command that does its work says."""
        code, said = self.type(*arguments)
        assert code == 0, said
        return said
