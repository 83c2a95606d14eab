"""
An example as its README has it: its commands are typed in a copy of its folder, with free ports for those written.

    async with Example.open("restaurant", tmp_path) as example:
        await example.serve()
        await example.type_in("phonebot call", "caller/books.toml")
        assert "booked" in await example.type_in("python restaurant.py")
"""

import asyncio
import shlex
import shutil
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from process_driver import Running
from service_driver import COMMAND, SECRET_KEY, environment
from written_code import ROOT, shell_lines

from phonebot.simulator.caller import Step
from phonebot.simulator.scenario import load_scenario
from phonebot.simulator.switchboard import ACCOUNT_SID, AUTH_TOKEN, Switchboard
from phonebot.store.calls import Filters
from phonebot.store.store import Store

COMMAND_S = 90.0
"""A command holds a call at most."""


@dataclass
class Example:
    """`settings` are those that its README exports, and what a test adds. `url` is where it is served."""

    folder: Path
    lines: list[str]
    settings: dict[str, str] = field(default_factory=dict)
    url: str = ""
    _started: list[Running] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, where: Path) -> AsyncIterator["Example"]:
        folder = Path(shutil.copytree(ROOT / "examples" / name, where / name))
        example = cls(folder, list(shell_lines((folder / "README.md").read_text("utf-8"))))
        example.settings = example._exported()
        try:
            yield example
        finally:
            for each in example._started:
                if each.process.returncode is None:
                    each.stop()
                    await each.ended()
                sys.stderr.write("\n".join(["", *each.told, ""]))  # for a test that fails

    def _exported(self) -> dict[str, str]:
        """What can be typed as it stands: neither the PATH, nor what the reader has to fill in."""
        words = [
            word
            for line in self.lines
            if line.startswith("export ")
            for word in shlex.split(line, comments=True)[1:]
        ]
        settings = dict(
            word.split("=", 1) for word in words if "=" in word and "..." not in word and "$" not in word
        )
        return {name: value for name, value in settings.items() if name != "PHONEBOT_PUBLIC_URL"}

    def written(self, *parts: str) -> list[str]:
        """The words of the only command that begins with the first part, and holds the others."""
        begin, *others = parts
        fitting = (line for line in self.lines if line.startswith(begin) and all(each in line for each in others))
        found = {tuple(shlex.split(line, comments=True)) for line in fitting}
        assert len(found) == 1, f"{parts} fits {sorted(found)} in {self.folder.name}/README.md"
        return list(found.pop())

    async def start(self, words: list[str], port: int, until: str) -> Running:
        """Start what goes on; wait until it has told `until`."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *words[1:], "--port", str(port), cwd=self.folder, env=self._environment(), stderr=PIPE
        )
        running = Running(process)
        running.reading = asyncio.create_task(running.read())
        self._started.append(running)
        await running.says(until)
        return running

    async def serve(self, port: int = 0) -> None:
        """The service as one tries it, until the example is closed; 0: on a free port."""
        running = await self.start(self.written("phonebot serve --dev"), port, until="voice webhook")
        self.url = await running.finds(r"voice webhook: (\S+)/twilio/voice")

    async def serve_for(self, carrier: Switchboard, number: str) -> None:
        """The service as it is deployed, on a number of this account's. The embedded model plays the script."""
        model = await self.start(
            ["phonebot", "model", "--script", "script.toml"], 0, until="the embedded model listens"
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.settings |= {
            "PHONEBOT_PUBLIC_URL": self.url,
            "PHONEBOT_SECRET_KEY": SECRET_KEY,
            "PHONEBOT_MODEL_URL": await model.finds(r"listens at (\S+?)\?"),
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_API_URL": carrier.url,
        }
        carrier.add_number(number, VoiceUrl=f"{self.url}/twilio/voice", StatusCallback=f"{self.url}/twilio/status")
        (deployed,) = {line for line in self.lines if line == "phonebot serve"}
        await self.start(deployed.split(), port, until="voice webhook")

    def caller(self, name: str) -> tuple[Step, ...]:
        """What somebody of its callers does."""
        return load_scenario(self.folder / "caller" / f"{name}.toml")

    async def lines_of_the_call(self) -> list[str]:
        """What was said in the only call, once it is filed, as "bot: Hello"."""
        data = self.folder / "data"
        store = await Store.open(f"sqlite:///{data / 'phonebot.db'}", (data / "calls").as_uri())
        try:
            async with asyncio.timeout(COMMAND_S):
                while not (rows := (await store.calls.page(Filters())).calls):
                    await asyncio.sleep(0.1)
            (row,) = rows
            return [f"{turn.who}: {turn.text}" for turn in (await store.calls.get(row.call_sid)).turns]
        finally:
            await store.close()

    async def type_in(self, *parts: str, code: int = 0) -> str:
        """What the command tells, which ends with this exit code."""
        words = [word.replace("http://127.0.0.1:8080", self.url) for word in self.written(*parts)]
        return await self.run(*words, code=code)

    async def run(self, *words: str, code: int = 0) -> str:
        programs = {"phonebot": COMMAND, "python": (sys.executable,), "pytest": (sys.executable, "-m", "pytest")}
        process = await asyncio.create_subprocess_exec(
            *programs[words[0]], *words[1:], cwd=self.folder, env=self._environment(), stdout=PIPE, stderr=STDOUT
        )
        async with asyncio.timeout(COMMAND_S):
            told = (await process.communicate())[0].decode()
        assert process.returncode == code, told
        return told

    async def rehearse(self) -> str:
        """The rehearsals, by `pytest` as the README has it; of the plugins phonebot's alone."""
        words = self.written("pytest")
        self.settings["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        return await self.run(*words, "-p", "phonebot.replay.pytest_plugin", "-p", "no:cacheprovider")

    def _environment(self) -> dict[str, str]:
        settings = {"COLUMNS": "120", **self.settings}
        paths = f"{settings.pop('PYTHONPATH', '')}:{ROOT}".strip(":")
        return environment(**settings) | {"PYTHONPATH": paths}
