"""sox, a second opinion on formats."""

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def sox() -> Callable[..., bytes]:
    """`sox(*arguments, stdin=b"")` runs it and returns its standard output. `-D` first: no dither."""
    program = shutil.which("sox")
    if program is None:
        remedy = "sox is not installed: apt-get install sox"
        if os.environ.get("CI"):
            pytest.fail(remedy)
        pytest.skip(remedy)

    def run(*arguments: str, stdin: bytes = b"") -> bytes:
        return subprocess.run([program, *arguments], input=stdin, capture_output=True, check=True).stdout

    return run
