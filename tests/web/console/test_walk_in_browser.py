"""
An operator's first hour, in a real browser whose microphone plays a file, against the whole service.

Each page is photographed on the way: artifacts/screens, in both schemes, 1280 and 390 wide.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from browser_driver import FOR_TESTS, OVERFLOW, WATCH_POLICY, PhonePage, browser, phrase, recording
from playwright.async_api import BrowserContext, Dialog, ViewportSize
from service_driver import SECRET_KEY, Service, StartService
from sign_in import PASSWORD

from phonebot.call.actions import Cut, Line
from phonebot.serving import embedded_model, one_time_path
from phonebot.store.audit import Actor
from phonebot.store.store import Store
from phonebot.web.profiles import StoredProfiles

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

NUMBER = "+15550100000"
WIDE, NARROW = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
# What a form of the page would send, sent though its fields are disabled: by somebody who does not use the page.
FORGED = """async () => {
    const csrf = document.querySelector("meta[name=csrf-token]").content;
    const answer = await fetch(location.href, {
        method: "POST",
        headers: { "x-csrf-token": csrf, "content-type": "application/x-www-form-urlencoded" },
        body: "name=forged&expected=2",
    });
    return answer.status;
}"""


@pytest.fixture
async def store(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Store]:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    opened = await Store.open(f"sqlite:///{tmp_path}/phonebot.db", (tmp_path / "calls").as_uri())
    yield opened
    await opened.close()


class Walk:
    """One who walks through the console, with a camera."""

    def __init__(self, shown: PhonePage, service: Service) -> None:
        self.shown, self.page, self.service = shown, shown.page, service

    @classmethod
    async def start(cls, context: BrowserContext, service: Service) -> "Walk":
        await context.add_init_script(WATCH_POLICY)
        await context.add_init_script(FOR_TESTS.replace("RATE", "8000"))
        walk = cls(PhonePage(await context.new_page()), service)
        await walk.page.set_viewport_size(WIDE)
        return walk

    async def go(self, path: str) -> None:
        await self.page.goto(f"{self.service.url}/console/{path}")

    async def photograph(self, name: str) -> None:
        """It needs no more than the width of a phone, and broke no rule so far."""
        await self.page.set_viewport_size(NARROW)
        assert await self.page.evaluate(OVERFLOW) == 0, name
        await self.shown.photograph(name, WIDE, NARROW)
        await self.page.set_viewport_size(WIDE)
        assert await self.shown.violations() == []

    def complaints(self) -> list[str]:
        """But for those about answers that were meant, 409 and 422, and requests that he left with their page."""
        meant: tuple[str, ...] = ("409", "422")
        if any("htmx:sendAbort" in text for text in self.shown.complaints):
            meant += ("htmx:sendAbort", "htmx:afterRequest")
        return [text for text in self.shown.complaints if not any(each in text for each in meant)]


async def test_from_the_first_login_to_a_bot_that_was_changed_tried_and_saved(
    start_service: StartService, store: Store, tmp_path: Path
) -> None:
    # The offer takes eight seconds. He accepts within it.
    microphone = recording(
        tmp_path / "caller.wav", 5_000, phrase("book.wav"), 3_500, phrase("that-is-right.wav"), 20_000
    )
    async with AsyncExitStack() as running:
        model = await running.enter_async_context(embedded_model())
        stored = StoredProfiles(store.numbers, tmp_path / "audio")
        numbers = await running.enter_async_context(stored.following())
        service = await start_service(model_url=model.url, store=store, numbers=numbers)
        link = await one_time_path(store, SECRET_KEY, None, dev=False)
        context = await running.enter_async_context(browser(microphone))
        walk = await Walk.start(context, service)
        await sign_in_for_the_first_time(walk, f"{service.url}{link}")
        await add_a_number(walk)
        await be_refused_and_save(walk, store)
        await try_what_is_not_saved(walk, service)
        await save_it_for_test_callers_and_look_back(walk, store)
        viewer = await add_a_viewer(walk)
        assert walk.complaints() == []
        assert context.browser is not None
        other = await context.browser.new_context(reduced_motion="reduce")
        await see_all_and_change_nothing(await Walk.start(other, service), viewer, store)
        await service.stop()
    header = service.log().header
    assert (header.kind, header.from_number, header.to_number) == ("browser", "browser:admin", NUMBER)


async def sign_in_for_the_first_time(walk: Walk, link: str) -> None:
    page = walk.page
    await page.goto(link)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_label("The same again").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Numbers", exact=True).click()
    await page.wait_for_url("**/console/numbers")


async def add_a_number(walk: Walk) -> None:
    page = walk.page
    await page.keyboard.press("/")
    assert await page.evaluate("document.activeElement.id") == "search"
    await page.keyboard.type("nobody")
    await page.get_by_text("No number has").wait_for()
    await page.get_by_label("Number", exact=True).fill("0171")
    await page.keyboard.press("Enter")
    await page.get_by_role("alert").wait_for()
    await walk.photograph("walk-numbers")
    await page.get_by_label("Number", exact=True).fill(NUMBER)
    await page.keyboard.press("Enter")
    await page.get_by_text("not saved yet", exact=True).wait_for()


async def be_refused_and_save(walk: Walk, store: Store) -> None:
    """First beside the field, as soon as he leaves it; then by the service, when he saves all the same."""
    page = walk.page
    await page.fill('[name="name"]', "Front desk")
    await page.fill('[name="greeting"]', "Good morning, {name}!")
    await page.fill('[name="max_call_s"]', "soon")
    await page.keyboard.press("Tab")
    await page.locator("#error-max_call_s", has_text="from 10 to 14400").wait_for()
    assert await page.get_attribute('[name="max_call_s"]', "aria-invalid") == "true"
    await page.keyboard.press("Control+s")
    await page.wait_for_selector("#summary")
    assert await page.input_value('[name="max_call_s"]') == "soon"
    assert await page.input_value('[name="greeting"]') == "Good morning, {name}!"
    await walk.photograph("walk-editor-refused")
    await page.get_by_role("link", name="Longest call").click()
    assert await page.evaluate("document.activeElement.name") == "max_call_s"
    await page.keyboard.press("Control+a")
    await page.keyboard.type("600")
    await page.fill('[name="greeting"]', "Good morning!")
    await page.get_by_label("Note").fill("first")
    await page.wait_for_selector("#summary", state="detached")
    await page.keyboard.press("Control+s")
    await page.get_by_text("Version 1 is saved").wait_for()
    version = await store.numbers.get(NUMBER)
    assert version.profile == {"name": "Front desk", "greeting": "Good morning!", "max_call_s": 600}
    assert (version.author, version.note) == ("admin", "first")


async def try_what_is_not_saved(walk: Walk, service: Service) -> None:
    page, shown = walk.page, walk.shown
    await page.fill('[name="greeting"]', "Ahoy from the form!")
    await shown.click("call")
    await page.wait_for_selector(".line-bot >> text=Ahoy from the form!", timeout=40_000)
    await page.wait_for_selector(".line-cut", timeout=40_000)
    await walk.photograph("walk-editor-calling")
    await shown.click("hang-up")
    await shown.state("ended")
    (witness,) = service.witnesses
    cuts = [cut for cut in witness.saw(Cut) if cut.heard_ms]
    told = await page.eval_on_selector_all(
        ".line-cut .line-heard", "each => each.map(({ dataset: cut }) => [cut.itemId, Number(cut.heardMs)])"
    )
    assert told == [[cut.item_id, cut.heard_ms] for cut in cuts]
    assert "i would like to book an appointment" in [line.text for line in witness.saw(Line)]


async def save_it_for_test_callers_and_look_back(walk: Walk, store: Store) -> None:
    page = walk.page
    asked: list[str] = []

    async def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    page.on("dialog", stay)
    await page.get_by_role("link", name="Versions").click()
    await walk.shown.until(lambda: asked == ["beforeunload"])
    assert await page.input_value('[name="greeting"]') == "Ahoy from the form!"
    await page.get_by_label("For test callers first").fill("+15550100009")
    await page.get_by_role("button", name="As TOML").click()
    text = page.locator('[name="text"]')
    assert 'greeting = "Ahoy from the form!"' in await text.input_value()
    await walk.photograph("walk-editor-toml")
    await text.fill(await text.input_value() + "record = false\n")
    await page.keyboard.press("Control+s")
    await page.get_by_text("Version 2 is saved for +15550100009").wait_for()
    await page.goto(page.url.partition("?")[0])
    await walk.photograph("walk-editor")
    await page.get_by_role("link", name="Versions").click()
    await page.get_by_role("button", name="Roll back to version 1").wait_for()
    await walk.photograph("walk-versions")
    await page.get_by_role("link", name="2", exact=True).click()
    await page.locator("dt", has_text="record").wait_for()
    await walk.photograph("walk-version")
    await page.get_by_role("link", name="Profile", exact=True).click()
    await store.numbers.save(NUMBER, {"name": "Reception"}, "three", Actor("bob"))
    await page.fill('[name="name"]', "Desk")
    await page.keyboard.press("Control+s")
    await page.get_by_text("has saved version 3 meanwhile").wait_for()
    await walk.photograph("walk-conflict")
    await page.get_by_role("button", name="Join").click()
    await page.wait_for_selector(".conflict", state="detached")
    assert await page.input_value('[name="name"]') == "Desk"
    assert await page.input_value('[name="greeting"]') == ""
    await page.keyboard.press("Control+s")
    await page.get_by_text("Version 4 is saved").wait_for()
    await page.get_by_role("link", name="Manage").click()
    await page.get_by_label("Days").fill("30")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Saved.", exact=True).wait_for()
    await walk.photograph("walk-manage")


async def add_a_viewer(walk: Walk) -> str:
    """The link that an admin gets for one."""
    page = walk.page
    await walk.go("settings")
    await page.wait_for_selector(".check")
    await page.get_by_role("button", name="Open a session").click()
    await page.locator("#session .badge-success").wait_for()
    await walk.photograph("walk-health")
    await walk.go("settings/account")
    await walk.photograph("walk-account")
    await walk.go("settings/tokens")
    await page.get_by_label("Name").fill("grafana")
    await page.keyboard.press("Enter")
    assert (await page.get_by_label("Token grafana").input_value()).startswith("phonebot_")
    await walk.photograph("walk-tokens")
    await walk.go("settings/users")
    await page.get_by_label("Name").fill("vera")
    await page.keyboard.press("Enter")
    link = await page.get_by_role("textbox", name="Link for the password of vera").input_value()
    await walk.photograph("walk-users")
    await walk.go("settings/audit")
    await walk.photograph("walk-audit")
    await page.get_by_role("link", name="What changed by profile.save").first.click()
    await walk.photograph("walk-noted")
    return link


async def see_all_and_change_nothing(walk: Walk, link: str, store: Store) -> None:
    page = walk.page
    await sign_in_for_the_first_time(walk, link)
    await page.get_by_role("link", name=NUMBER).click()
    assert await page.input_value('[name="name"]') == "Desk"
    assert await page.is_disabled('[name="name"]')
    assert await page.query_selector("phonebot-phone, [data-save-button]") is None
    await walk.photograph("walk-viewer")
    assert await page.evaluate(FORGED) == 403
    assert (await store.numbers.get(NUMBER)).sequence == 4
