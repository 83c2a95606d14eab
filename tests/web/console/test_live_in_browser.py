"""The page Live in a real browser: calls of two processes, read, listened to and ended."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from browser_driver import NARROW, OVERFLOW, WATCH_POLICY, PhonePage, browser
from playwright.async_api import Page
from service_driver import PROFILE, SECRET_KEY, SPEECH, Service, StartService, Witness, until

from phonebot.call.actions import Cut
from phonebot.call.inputs import TypedText
from phonebot.serving import one_time_path
from phonebot.simulator.caller import Interrupt, Pause, Say, WaitForQuiet
from phonebot.store.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

TALK = (WaitForQuiet(300), Say(SPEECH), Interrupt(900, SPEECH), *(WaitForQuiet(300), Pause(400), Say(SPEECH)) * 20)
LOUD = """() => ["level-caller", "level-bot"].every((part) => {
    const bar = document.querySelector(`[data-part="levels"]:not([hidden]) [data-part="${part}"]`);
    window.loud ??= {};
    window.loud[part] ||= Number(bar?.style.getPropertyValue("--level") || 0) > 0.3;
    return window.loud[part];
})"""


@asynccontextmanager
async def process(start: StartService, folder: Path, name: str) -> AsyncIterator[tuple[Service, Store]]:
    store = await Store.open(f"sqlite:///{folder}/phonebot.db", (folder / "calls").as_uri())
    service = await start(store=store, profile=PROFILE.model_copy(update={"name": name}))
    yield service, store
    await service.stop()
    await store.close()


async def signed_in(page: Page, service: Service, store: Store, at: str) -> None:
    path = await one_time_path(store, SECRET_KEY, None, dev=True)
    await page.goto(f"{service.url}{path}")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/console/**")
    await page.goto(f"{service.url}{at}")


def heard(witness: Witness) -> str:
    cut = next(cut for cut in witness.saw(Cut) if cut.heard_ms)
    return f"heard {cut.heard_ms / 1000:.1f} s of {cut.received_ms / 1000:.1f} s"


async def test_calls_are_followed_listened_to_and_ended_on_the_page(
    start_service: StartService, migrated_sqlite: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    async with (
        process(start_service, tmp_path, "Rosa's Trattoria") as (one, store),
        process(start_service, tmp_path, "Dentist") as (other, _),
        browser(tmp_path / "silence.wav") as context,
    ):
        await context.add_init_script(WATCH_POLICY)
        shown = PhonePage(await context.new_page())
        page = shown.page
        await signed_in(page, one, store, "/console/live")
        await page.get_by_role("heading", name="No call is in progress").wait_for()
        await shown.photograph("live-none")
        here = asyncio.create_task(one.dial(*TALK, max_call_s=60))
        there = asyncio.create_task(other.dial(*TALK, from_number="+442079460123", max_call_s=60))
        own = page.locator(".live-call", has_text="+15550100001")
        others = page.locator(".live-call", has_text="+442079460123")
        await others.get_by_text("Hi", exact=True).or_(others.locator(".live-last li")).first.wait_for()
        await page.get_by_text("2 calls in progress").wait_for()
        await shown.photograph("live")
        # The transcript grows while it is read, and shows what was not heard.
        await own.get_by_role("button", name="Transcript").click()
        await own.locator(".line-cut .line-rest").wait_for()
        await own.locator('[data-part="coming"]:visible').wait_for()
        assert await own.locator(".line-heard").first.inner_text() == heard(one.witnesses[0])
        await own.get_by_role("button", name="Listen in").click()
        await page.wait_for_function(LOUD, timeout=30_000)
        await shown.photograph("live-open")
        # What is typed reaches the call, whichever process holds it, and stands in its transcript with the name.
        for card, words in ((own, "He is a regular."), (others, "Offer him Tuesday.")):
            await card.get_by_role("button", name="Tell the bot").click()
            await page.keyboard.type(words)
            if card is own:
                await card.get_by_label("Interrupt the bot for it").check()
                await shown.photograph("live-tell")
            await page.keyboard.press("Enter")
            await card.get_by_text("Told.").wait_for()
        await own.locator(".line-note", has_text="Instruction, typed by").get_by_text("He is a regular.").wait_for()
        await until(lambda: other.witnesses[0].saw(TypedText))  # the lines are gone before one has read them
        await own.get_by_role("button", name="Tell the bot").click()
        await page.set_viewport_size(NARROW)
        assert await page.evaluate(OVERFLOW) == 0
        # A call of the other process sounds here, too; to listen to one is to stop listening to another.
        await page.evaluate("() => { window.loud = {}; }")
        await others.get_by_role("button", name="Listen in").click()
        await page.wait_for_function(LOUD, timeout=30_000)
        assert await own.get_by_role("button", name="Listen in").get_attribute("aria-pressed") == "false"
        # Not without being asked whether he means it.
        await others.get_by_role("button", name="Hang up").click()
        await shown.photograph("live-confirm")
        await page.keyboard.press("Enter")
        assert not there.done()
        for card, calling in ((others, there), (own, here)):
            await card.get_by_role("button", name="Hang up").click()
            await page.get_by_role("dialog").get_by_role("button", name="Hang up").click()
            await card.get_by_text("Hung up by an operator").wait_for()
            assert (await calling).outcome == "bot hung up"
        await shown.photograph("live-ended")
        link = await own.get_by_role("link", name="See the call").get_attribute("href")
        assert link is not None
        assert link.startswith("../console/calls/CA")
        await own.get_by_role("button", name="Close").click()
        await page.get_by_role("heading", name="No call is in progress").wait_for()
        assert shown.complaints == []
        assert await shown.violations() == []
