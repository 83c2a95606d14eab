"""
What a model says or calls for, and what a caller says, is text: no markup, no SQL, no number to dial, no address.

A caller can have the model say anything. So this holds whatever the prompt forbids it.
"""

import asyncio
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest
import service_driver
from browser_driver import WATCH_POLICY, PhonePage, browser, recording
from console_driver import Visit
from routes import IN_PATH, Found, routes_of
from service_driver import PATIENCE_S, PROFILE, SPEECH, Service, StartService, until
from sign_in import PASSWORD
from sqlalchemy import func, select

from phonebot.agents.profile import Profile
from phonebot.call.actions import Line
from phonebot.call.inputs import ToolResult
from phonebot.simulator.caller import HangUp, Pause, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.store.audit import Actor
from phonebot.store.store import Store
from phonebot.store.tables import CallRow, MessageRow, UserRow
from phonebot.store.tokens import SCOPES
from phonebot.web.console import STATIC, TEMPLATES

pytestmark = pytest.mark.slow

PICTURE = "<img src=x onerror=alert(1)>"
SCRIPT = "\"'></script><script>window.taken = 1</script>"
MARKUP = f"{PICTURE} {SCRIPT}"
SQL = "'; DROP TABLE calls; DELETE FROM users WHERE 'a'='a"
TEMPLATE = "{{ 7 * 7777777 }} {% raw %} ${7 * 7777777}"
STRANGER = "+15550100666"
QUIET = WaitForQuiet(300)
TALK = (QUIET, Say(SPEECH, "a question"), QUIET, Pause(200))


class Ear:
    async def recognise(self, pcm8k: bytes) -> str:
        return f"caller {MARKUP}"


class Possessed:
    """A mind that does whatever its caller wants of it, and says so."""

    def __init__(self) -> None:
        self._wants: list[tuple[Speak | Call, ...]] = [
            (
                Call("transfer_call", {"to": STRANGER, "summary": MARKUP}),
                Call("transfer_call", {"to": f"sip:{STRANGER}@evil.example", "summary": SQL}),
                Call("press_keys", {"keys": f"1<Dial>{STRANGER}</Dial>"}),
                Call("take_message", {"message": MARKUP, "name": SCRIPT, "for_whom": PICTURE}),
                Call(f"<b>{PICTURE}", {"a": MARKUP}),
                Call("set_language", {"language": SCRIPT}),
            ),
            (Speak(f"bot {MARKUP} {SQL} {TEMPLATE}"),),
        ]

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if context.in_writing:
            return (Speak(f"sum {MARKUP}"),)
        return self._wants.pop(0) if self._wants else (Speak("Well"),)


@pytest.fixture
async def service(start_service: StartService, store: Store, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(service_driver, "Ear", Ear)
    table = PROFILE.model_dump(exclude_none=True) | {
        "name": f"Desk {PICTURE}",
        "transfer_to": "+15550100009",
        "destinations": {"billing": {"to": "+15550100010"}},
        "tools": ["transfer_call", "press_keys", "take_message", "set_language"],
        "languages": ["de-DE"],
        "language": "en-US",
        "summary": True,
    }
    return await start_service(store=store, profile=Profile.from_table(table, "test"), minds=Possessed)


async def filed(store: Store, call_sid: str) -> CallRow:
    """The call, once it was filed and summed up."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with store.database.read() as session:
                row = await session.scalar(select(CallRow).where(CallRow.call_sid == call_sid))
            if row:
                return row
            await asyncio.sleep(0.02)


def at(route: Found, call_sid: str, message_id: str) -> str:
    path = route.filled.replace("/CA1", f"/{call_sid}")
    return path.replace(IN_PATH["message_id"], message_id)


class Elements(HTMLParser):
    """Reads a page as a browser does, and keeps what no page of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        is_script = tag == "script" and "src" not in given
        if is_script or given.get("src") == "x" or any(name.startswith("on") for name in given):
            self.foreign.append(f"{tag} {given}")


def check_is_text(path: str, page: str) -> None:
    """Nothing of it is an element, an attribute or a script of the page."""
    elements = Elements()
    elements.feed(page)
    assert elements.foreign == [], path
    assert "54444439" not in page, path  # 7 * 7777777: nobody has evaluated it


async def test_what_is_said_is_text_on_every_page_and_in_every_answer(service: Service, store: Store) -> None:
    record = await service.dial(*TALK, HangUp(), from_number=f'"><b>{PICTURE}')
    assert record.passed, record
    await until(lambda: not service.live)
    call = await filed(store, record.call_sid)
    async with store.database.read() as session:
        (message,) = (await session.scalars(select(MessageRow))).all()
    shown = 0
    async with Visit(service) as visit:
        await visit.sign_in("admin")
        for route in routes_of(service.app):
            if "GET" in route.methods and route.kind == "role" and route.path != "/console/live/events":
                answer = await visit.http.get(service.url + at(route, call.call_sid, message.message_id))
                if answer.content_type == "text/html":
                    page = await answer.text()
                    check_is_text(route.path, page)
                    shown += PICTURE in unescape(page)
        # It is found by what was said, which the database takes for words.
        for words in (SQL, "onerror", f'"{SCRIPT}"', "100%_' --"):
            async with visit.http.get(f"{service.url}/console/calls", params={"text": words}) as answer:
                assert answer.status == 200
                page = await answer.text()
                check_is_text(words, page)
                assert (call.call_sid in page) == (words in (SQL, "onerror")) or words.startswith('"'), words
    assert shown >= 4  # the call, the list of calls, the message, the messages
    secret = (await store.tokens.create("all", list(SCOPES), Actor("boss"))).secret
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as http:
        for path in (f"/calls/{call.call_sid}", "/calls", "/messages"):
            async with http.get(f"{service.url}/api/v1{path}") as answer:
                assert answer.content_type == "application/json"
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert "default-src 'none'" in answer.headers["content-security-policy"]
                assert PICTURE in str(await answer.json())
    async with store.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(CallRow)) == 1
        assert await session.scalar(select(func.count()).select_from(UserRow)) == 3


async def test_what_a_model_calls_for_is_done_only_where_the_profile_has_it(service: Service) -> None:
    """A number, an address or a language of its own, keys that are none, a function that there is not."""
    record = await service.dial(*TALK, HangUp())
    assert record.passed, record
    results = service.witnesses[0].saw(ToolResult)
    problems = [str(result.problem) for result in results]
    assert [problem for problem in problems if "must be one of default, billing" in problem] == problems[:2]
    assert len([problem for problem in problems if problem == "None"]) == 1  # the message
    assert len(problems) == 5
    said = [line.text for line in service.witnesses[0].saw(Line)]
    assert any(PICTURE in text for text in said)
    documents = [exchange.body.decode() for exchange in record.exchanges]
    assert not [document for document in documents if STRANGER in document or "<Dial" in document]


def test_scripts_and_templates_have_no_way_to_make_markup_of_a_text() -> None:
    in_scripts = r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function"
    sinks = re.compile(rf"{in_scripts}|\|\s*safe\b|Markup")
    files = [*STATIC.glob("*.js"), *TEMPLATES.glob("*.html"), *(STATIC.parent).glob("*.py")]
    assert len(files) > 40
    assert [path.name for path in files if sinks.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.browser
async def test_a_browser_shows_it_as_text_while_the_call_goes_on_and_afterwards(
    service: Service, store: Store, tmp_path: Path
) -> None:
    microphone = recording(tmp_path / "silence.wav", 1_000)
    async with browser(microphone) as context:
        await context.add_init_script(WATCH_POLICY)
        shown = PhonePage(await context.new_page())
        page = shown.page
        await page.goto(f"{service.url}/login")
        await page.fill('input[name="name"]', "admin")
        await page.fill('input[name="password"]', PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/console/**")
        await page.goto(f"{service.url}/console/live")
        calling = asyncio.create_task(service.dial(*TALK, *TALK, HangUp(), max_call_s=60))
        await page.get_by_text("<img src=x onerror").first.wait_for()
        await page.get_by_role("button", name="Transcript").click()
        await page.locator(".line", has_text="<img src=x onerror").first.wait_for()
        await nothing_of_it_runs(shown)
        record = await calling
        await filed(store, record.call_sid)
        for path in (f"calls/{record.call_sid}", "calls?text=onerror", "messages", "overview"):
            await page.goto(f"{service.url}/console/{path}")
            if path != "overview":
                await page.get_by_text("<img src=x onerror").first.wait_for()
            await nothing_of_it_runs(shown)


async def nothing_of_it_runs(shown: PhonePage) -> None:
    made = "document.querySelectorAll('img[src=x], script:not([src]), [onerror]').length"
    assert await shown.page.evaluate(made) == 0
    assert await shown.page.evaluate("window.taken") is None
    assert await shown.violations() == []
