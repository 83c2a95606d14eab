"""The Caddyfile, as Caddy understands it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from databases import free_port
from deploy_files import DEPLOY, lacks
from service_driver import PATIENCE_S, SPEECH, Service, StartService
from starlette.applications import Starlette

from phonebot.serving import server_for
from phonebot.simulator.caller import HangUp, Say, WaitForBot, WaitForQuiet

CADDYFILE = DEPLOY / "caddy" / "Caddyfile"
REMEDY = "caddy is not installed: apt-get install caddy"
SINCE_2_7 = "stream_close_delay"
"""Debian 12 has an older Caddy, which does not know it."""
NS_PER_S = 1_000_000_000


@pytest.fixture(scope="module")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The program, and the file, without what this version does not know."""
    program = shutil.which("caddy")
    if program is None:
        lacks(REMEDY)
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"v?(\d+)\.(\d+)", said)
    assert version, said
    text = CADDYFILE.read_text("utf-8")
    if (int(version[1]), int(version[2])) < (2, 7):
        text = re.sub(rf"^\s*{SINCE_2_7} .*\n", "", text, flags=re.MULTILINE)
    file = tmp_path_factory.mktemp("caddy") / "Caddyfile"
    file.write_text(text)
    return program, file


def run(caddy: tuple[str, Path], command: str, **variables: str) -> str:
    program, file = caddy
    done = subprocess.run(
        [program, command, "--adapter", "caddyfile", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(file.parent, **variables),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr if command == "validate" else done.stdout


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Caddy keeps its own files in the folder."""
    home = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    return {"PATH": os.environ["PATH"], **home, **variables}


@asynccontextmanager
async def in_front(caddy: tuple[str, Path], *services: Service) -> AsyncIterator[str]:
    """Caddy runs before these, by HTTP, since the emulated carrier believes no certificate of a test's: its URL."""
    (program, file), port = caddy, free_port()
    upstreams = " ".join(service.url.removeprefix("http://") for service in services)
    site = f"http://127.0.0.1:{port}, http://bot.example.com:{port}"
    config = json.loads(run(caddy, "adapt", HOST_NAME=site, UPSTREAMS=upstreams, HEALTH_PATH="/readyz"))
    config["admin"] = {"disabled": True}  # its port would be the same for all that run on this machine
    running = file.with_name(f"{port}.json")
    running.write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        *(program, "run", "--config", str(running)),
        env=environment(file.parent),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        # It tells of each that says it is stopping, before it is asked for anything.
        assert process.stderr
        stopping = sum(service.live.draining for service in services)
        async with asyncio.timeout(PATIENCE_S):
            told = ""
            while "serving initial configuration" not in told or told.count("status code") < stopping:
                line = await process.stderr.readline()
                assert line, told
                told += line.decode()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.communicate()


def found(tree: Any, key: str, value: str | None = None) -> list[dict[str, Any]]:
    """The tables in a tree of JSON that have this key, with this value if one is given."""
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    here = [tree] if isinstance(tree, dict) and key in tree and value in (None, tree[key]) else []
    return [*here, *(each for part in inner for each in found(part, key, value))]


def proxies_of(caddy: tuple[str, Path], **variables: str) -> list[dict[str, Any]]:
    """Those of calls, and those of the console."""
    proxies = found(json.loads(run(caddy, "adapt", **variables)), "handler", "reverse_proxy")
    assert len(proxies) == 2
    return proxies


def test_caddy_takes_the_file(caddy: tuple[str, Path]) -> None:
    assert "Valid configuration" in run(caddy, "validate")


def test_calls_go_to_any_process_and_the_console_to_the_same(caddy: tuple[str, Path]) -> None:
    processes = {"UPSTREAMS": "a:8080 b:8080", "HEALTH_PATH": "/readyz"}
    calls, console = proxies_of(caddy, **processes)
    assert [each["dial"] for each in calls["upstreams"]] == ["a:8080", "b:8080"]
    policies = [proxy["load_balancing"]["selection_policy"]["policy"] for proxy in (calls, console)]
    assert policies == ["least_conn", "cookie"]
    routed = [each["path"] for each in found(json.loads(run(caddy, "adapt", **processes)), "path")]
    assert ["/twilio/*", "/api/*", "/recordings/*", "/healthz"] in routed


def test_one_process_is_asked_whether_it_lives_and_several_whether_they_take_calls(caddy: tuple[str, Path]) -> None:
    """A single one that drains has to be asked still how its last calls go on."""
    for variables, path in (({}, "/healthz"), ({"HEALTH_PATH": "/readyz"}, "/readyz")):
        for proxy in proxies_of(caddy, **variables):
            assert proxy["health_checks"]["active"]["uri"] == path
            assert proxy["health_checks"]["active"]["interval"] <= 5 * NS_PER_S


def test_what_comes_goes_on_at_once_and_no_stream_has_a_limit(caddy: tuple[str, Path]) -> None:
    for proxy in proxies_of(caddy):
        assert proxy["flush_interval"] == -1
        assert "stream_timeout" not in proxy
        assert proxy["transport"].keys() == {"protocol", "dial_timeout", "keep_alive"}
        assert proxy["load_balancing"]["try_duration"] > proxy["transport"]["dial_timeout"]
    assert f"{SINCE_2_7} 4h" in CADDYFILE.read_text("utf-8"), "the longest call that a profile may allow"


def test_no_idle_connection_is_closed_by_a_process_before_caddy_or_another_proxy_does(
    caddy: tuple[str, Path],
) -> None:
    ours_s = server_for(Starlette()).config.timeout_keep_alive
    assert ours_s > 60, "ingress-nginx's, and that of load balancers"
    for proxy in proxies_of(caddy):
        assert proxy["transport"]["keep_alive"]["idle_timeout"] < ours_s * NS_PER_S


async def test_a_call_goes_through_to_the_process_that_takes_calls(
    caddy: tuple[str, Path], start_service: StartService
) -> None:
    stopping, taking = [await start_service(public_url="https://bot.example.com") for _ in range(2)]
    stopping.live.draining = True
    async with in_front(caddy, stopping, taking) as url:
        through = replace(taking, url=url)
        record = await through.dial(WaitForBot(), WaitForQuiet(300), Say(SPEECH), WaitForBot(), HangUp())
        assert record.passed, record
        assert (await through.request("GET", "/metrics"))[0] == 404, "figures are nobody's who comes from outside"
    assert (len(stopping.witnesses), len(taking.witnesses)) == (0, 1)
