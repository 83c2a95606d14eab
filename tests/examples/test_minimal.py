"""examples/minimal: a recorded caller asks when they are open, and is told."""

from pathlib import Path

import pytest
from example_driver import Example


@pytest.mark.slow
async def test_the_caller_is_answered_and_the_call_is_in_the_list(tmp_path: Path) -> None:
    async with Example.open("minimal", tmp_path) as example:
        await example.serve()
        await example.type_in("phonebot call ")
        assert (example.folder / "call.wav").is_file()
        lines = await example.lines_of_the_call()
        assert lines[0] == "bot: Hello, Rosa's Trattoria, how can I help?"
        assert lines[1:3] == [
            "caller: when are you open",
            "bot: From Tuesday to Sunday, from five in the afternoon until eleven.",
        ]
        assert "caller hung up" in await example.type_in("phonebot calls list")
