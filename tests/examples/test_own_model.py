"""examples/own_model: the embedded model stands for a server of one's own, behind a key."""

import re
from pathlib import Path

import pytest
from example_driver import Example


@pytest.mark.slow
async def test_calls_are_answered_by_the_server_that_the_file_names(tmp_path: Path) -> None:
    async with Example.open("own_model", tmp_path) as example:
        words = example.written("phonebot model")
        at = words.index("--port")
        assert f":{words[at + 1]}/" in (example.folder / "numbers.toml").read_text()
        model = await example.start(words[:at] + words[at + 2 :], 0, until="the embedded model listens")
        url = await model.finds(r"listens at (\S+?)\?")
        profiles = example.folder / "numbers.toml"
        profiles.write_text(profiles.read_text().replace(f"ws://127.0.0.1:{words[at + 1]}/v1/realtime", url))
        await example.serve()
        await example.type_in("phonebot call ")
        assert "model our-speech-model" in "\n".join(model.told)
        lines = await example.lines_of_the_call()
        assert lines[1] == "caller: what are your opening hours"
        assert lines[2].startswith("bot: We are open from Monday to Friday")
        told = await example.type_in("phonebot doctor --dev")
        assert re.search(r"ok +Model own +.*opened in", told), told
