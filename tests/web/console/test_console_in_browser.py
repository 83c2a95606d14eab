"""The console's first pages in a real browser: from the link of the first start to the phone."""

import shutil
from pathlib import Path

import pytest
from browser_driver import NARROW, OVERFLOW, PhonePage, browser
from service_driver import SECRET_KEY, StartService
from sign_in import PASSWORD

from phonebot.serving import one_time_path
from phonebot.store.audit import Actor
from phonebot.store.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

NOWHERE = "wss://127.0.0.1:1"  # no call is held here
LONG = "Rosa's Trattoria, good evening! We are open from Tuesday to Sunday. What can I do for you?"


async def test_the_first_login_leads_from_the_printed_link_to_the_phone(
    start_service: StartService, migrated_sqlite: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    store = await Store.open(f"sqlite:///{tmp_path}/phonebot.db", (tmp_path / "calls").as_uri())
    await store.numbers.save("+15550100000", {"name": "Rosa's Trattoria", "greeting": LONG}, "one", Actor("ada"))
    await store.numbers.save(
        "+15550100002", {"name": "Dentist"}, "two", Actor("ada"), test_callers=["+15550100009"]
    )
    service = await start_service(model_url=NOWHERE, store=store)
    path = await one_time_path(store, SECRET_KEY, None, dev=False)
    async with browser(tmp_path / "silence.wav") as context:
        shown = PhonePage(await context.new_page())
        page = shown.page
        await page.goto(f"{service.url}{path}")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_label("The same again").fill(PASSWORD + "?")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").wait_for()
        await shown.photograph("setup")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_label("The same again").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/console/overview")
        await page.get_by_role("link", name="Numbers", exact=True).click()
        await shown.photograph("numbers")
        await page.get_by_text("admin", exact=True).first.click()
        await shown.photograph("numbers-menu")
        await page.get_by_role("button", name="Sign out", exact=True).click()
        await page.wait_for_url("**/login")
        await page.locator("input[name=name]:focus").wait_for()
        await page.keyboard.type("admin")
        await page.keyboard.press("Tab")
        await page.keyboard.type("not the password")
        await page.keyboard.press("Enter")
        await page.get_by_text("The name or the password is wrong.").wait_for()
        await shown.photograph("login")
        await page.locator("input[name=password]:focus").wait_for()
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/console/overview")
        await page.get_by_role("link", name="Numbers", exact=True).click()
        await page.set_viewport_size(NARROW)
        assert await page.evaluate(OVERFLOW) == 0
        await page.get_by_role("link", name="Try it: +15550100000").click()
        await page.wait_for_selector('phonebot-phone[data-number="+15550100000"] [data-part="call"]:enabled')
        await shown.photograph("try")
        # What the browser says of answers that are no pages' success is not a complaint of the page's.
        assert [said for said in shown.complaints if "the server responded with a status of" not in said] == []
    await service.stop()
    await store.close()
