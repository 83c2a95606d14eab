"""The example of docs/after-the-call.md does what it says, and the document says what is sent."""

import asyncio
import json
import re
import runpy
import shutil
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from documents import Document
from pydantic import BaseModel
from service_driver import PATIENCE_S, PROFILE, SPEECH, Service, leaving_nothing
from webhook_server import webhook_server

from phonebot.agents.after_call import AfterCall, Extract, Summary
from phonebot.agents.numbers import read_tables
from phonebot.agents.profile import Profile
from phonebot.agents.toml import parse
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.store.store import Store

pytestmark = pytest.mark.slow

PAGE = Document("after-the-call.md")
SECRET = "only the CRM knows this"


def block(language: str) -> str:
    (found,) = PAGE.blocks(language)
    return found


class Desk:
    """A mind that writes what the example shows."""

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if context.forced:
            return (Call(context.tools[0], {"wish": "table", "guests": 4, "call_back": False}),)
        return (Speak("The caller booked a table." if context.in_writing else "Well"),)


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, Any]]]:
    """The document's server: its URL, and its names."""
    monkeypatch.setenv("CRM_SECRET", SECRET)
    (tmp_path / "crm.py").write_text(block("python"))
    names = runpy.run_path(str(tmp_path / "crm.py"), run_name="crm")
    with ThreadingHTTPServer(("127.0.0.1", 0), names["Calls"]) as server:
        names["Calls"].log_message = lambda *_: None
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/calls", names
        finally:
            server.shutdown()
            thread.join()


async def test_the_server_of_the_document_takes_a_call_of_its_profile_and_no_forged_one(
    crm: tuple[str, dict[str, Any]], migrated_sqlite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, names = crm
    tables = parse(block("toml").encode(), "docs/after-the-call.md")
    (table,) = (each.table for each in read_tables(tables, "docs/after-the-call.md", Path()).values())
    assert table["after_call"]["url"] == "https://crm.example.com/calls"
    table["after_call"]["url"] = url
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    async with leaving_nothing():
        store = await Store.open(f"sqlite:///{tmp_path}/phonebot.db", (tmp_path / "calls").as_uri())
        service = await Service.start(
            tmp_path,
            profile=Profile.from_table(PROFILE.model_dump(exclude_none=True) | table, "test"),
            store=store,
            minds=Desk,
            PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1",
            PHONEBOT_SECRET_CRM=SECRET,
        )
        await service.dial(
            WaitForQuiet(300), Say(SPEECH, "x"), WaitForQuiet(300), HangUp(), from_number="+15550100123"
        )
        async with asyncio.timeout(PATIENCE_S):
            while not names["taken"]:
                await asyncio.sleep(0.02)
        await service.stop()
        await store.close()
        async with aiohttp.ClientSession() as http:
            async with http.post(url, data=b"{}") as answer:
                assert answer.status == 403
            forged = {"X-Phonebot-Timestamp": "1795764157", "X-Phonebot-Signature": "v1=00"}
            async with http.post(url, data=b"{}", headers=forged) as answer:
                assert answer.status == 403
    told = "+15550100123: The caller booked a table. {'wish': 'table', 'guests': 4, 'call_back': False}"
    assert told in capsys.readouterr().out


def shape(value: Any) -> Any:
    """The keys of JSON, without values; of a list those of its first entry."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case list():
            return [shape(value[0])] if value else []
    return None


async def test_the_body_of_the_document_has_the_fields_of_a_real_one(migrated_sqlite: Path, tmp_path: Path) -> None:
    documented = json.loads(block("json"))
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    async with leaving_nothing(), webhook_server() as server:
        store = await Store.open(f"sqlite:///{tmp_path}/phonebot.db", (tmp_path / "calls").as_uri())
        wishes = {"after_call": {"url": server.url}}
        profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | wishes, "test")
        service = await Service.start(
            tmp_path, profile=profile, store=store, PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1"
        )
        stream = await service.started_stream()
        await asyncio.sleep(0.5)  # it greets
        await stream.stop()
        (told,) = await server.told()
        await stream.closed()
        await service.stop()
        await store.close()
    fixed = documented | {"extracted": None, "tools": [], "hand_offs": [], "guardrails": []}
    assert shape(told.json) == shape(fixed | {"transcript": told.json["transcript"]})
    if told.json["transcript"]:
        assert shape(told.json["transcript"]) == shape(documented["transcript"])
    fields = PAGE.text.partition("| Field |")[2]
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| .*\|$", fields, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert set(documented) <= named


@pytest.mark.parametrize(
    ("prefix", "table"), [("after_call", AfterCall), ("summary", Summary), ("extract", Extract)]
)
def test_each_key_is_documented_with_its_default_and_what_is_allowed(prefix: str, table: type[BaseModel]) -> None:
    rows = re.findall(rf"^\| `{prefix}\.([a-z_]+)` \| .*\| (.+) \| (.+) \|$", PAGE.text, re.MULTILINE)
    fields = {info.alias or name: info for name, info in table.model_fields.items()}
    assert {(key, allowed) for key, _, allowed in rows} == {(key, info.description) for key, info in fields.items()}
    for key, default, _ in rows:
        info = fields[key]
        assert (default == "required") == info.is_required()
        if isinstance(info.default, int | float):
            assert default == f"`{json.dumps(info.default)}`"
