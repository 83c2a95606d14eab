"""Past calls in a real browser: found, heard, noted and deleted, and what they came to."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from browser_driver import NARROW, OVERFLOW, WATCH_POLICY, PhonePage, browser
from filed_calls import NEWEST, file_fixture, fill
from playwright.async_api import Page
from service_driver import PATIENCE_S, StartService
from sign_in import PASSWORD, QUICK

from phonebot.store.audit import Actor
from phonebot.store.store import Store
from phonebot.store.users import UserStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

NOWHERE = "wss://127.0.0.1:1"  # no call is held here
SID = "CA" + "a" * 32
PERIOD = "from=2026-10-29&to=2026-11-27"
POSITION = "Number(document.querySelector('[data-player]').dataset.positionMs)"
CURRENT = "document.querySelector('[data-part=lines] [aria-current]')?.dataset.start"


async def until(page: Page, expression: str) -> None:
    """Wait until it is true in the page, whose policy forbids Playwright's own way to wait."""
    for _ in range(round(PATIENCE_S / 0.05)):
        if await page.evaluate(expression):
            return
        await page.wait_for_timeout(50)
    raise TimeoutError(f"{expression} did not become true; it is {await page.evaluate(expression)}")


async def test_a_call_is_found_heard_noted_and_deleted(
    start_service: StartService, migrated_sqlite: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    store = await Store.open(f"sqlite:///{tmp_path}/phonebot.db", (tmp_path / "calls").as_uri())
    await UserStore(store.database, QUICK).create("ada", PASSWORD, "admin", Actor("ada"))
    await fill(store.database, 400, days=60)
    await file_fixture(store, tmp_path / "calls", "interrupted-twice", SID)
    await file_fixture(store, tmp_path / "calls", "backchannel", "CA" + "b" * 32, NEWEST - timedelta(minutes=20))
    elsewhere = {"+15550100002": 1.25, "+15550100003": 0.5}
    await store.spending.put("another process", datetime.now(UTC).date(), elsewhere)
    service = await start_service(model_url=NOWHERE, store=store, PHONEBOT_MAX_COST_PER_DAY_USD="50")
    async with browser(tmp_path / "silence.wav") as context:
        await context.add_init_script(WATCH_POLICY)
        shown = PhonePage(await context.new_page())
        page = shown.page
        await page.goto(
            f"{service.url}/login?next=%2Fconsole%2Foverview%3F{PERIOD.replace('=', '%3D').replace('&', '%26')}"
        )
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")

        # The overview: a day of a chart is reached by keys and told.
        await page.wait_for_url(f"**/console/overview?{PERIOD}")
        await shown.photograph("overview")
        spent = await page.locator(".today").inner_text()
        assert "$1.75 of $50.00 that all calls may cost, 4 %" in spent
        assert [await row.inner_text() for row in await page.locator(".today tbody th").all()] == [*elsewhere]
        await page.locator(".chart-slot[tabindex='0']").first.focus()
        await page.keyboard.press("ArrowLeft")
        told = await page.locator("[data-told]").first.inner_text()
        assert told.startswith("Thu 26 Nov: ")
        await page.get_by_label("Number", exact=True).select_option("+15550100002")
        await page.wait_for_url("**number=%2B15550100002")
        assert await page.locator(".figures-table").first.locator("tbody tr").count() == 1
        assert await shown.violations() == []

        # The list: typing finds, J and Enter open.
        await page.get_by_role("link", name="Calls", exact=True).click()
        await page.wait_for_selector(".call-link")
        await shown.photograph("calls")
        await page.keyboard.press("/")
        await page.keyboard.type('"offer you tuesday"')
        await page.wait_for_selector("mark")
        await page.wait_for_url("**/console/calls?text=%22offer+you+tuesday%22")
        await shown.photograph("calls-found")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/console/calls/{SID}")

        # The player: Space plays, a line seeks, the transcript follows.
        await page.wait_for_selector(".wave-interruption >> nth=1", state="attached")
        await page.wait_for_selector(".event-interruption")
        await page.keyboard.press("Space")
        await until(page, f"{POSITION} > 400")
        assert await page.evaluate(CURRENT) is not None
        await page.keyboard.press("Space")
        third = page.locator("[data-part=lines] > li").nth(2)
        start_ms = int(await third.get_attribute("data-start") or 0)
        await third.locator(".line-text").click()
        await until(page, f"Math.abs({POSITION} - {start_ms}) < 5 && {CURRENT} === '{start_ms}'")
        await page.keyboard.press("ArrowRight")
        await until(page, f"Math.abs({POSITION} - {start_ms} - 5000) < 5")
        await page.keyboard.press("k")
        await until(page, f"{POSITION} < {start_ms} + 5000")
        box = await page.locator(".wave-picture").bounding_box()
        assert box
        await page.locator(".wave-picture").click(position={"x": box["width"] / 2, "y": 40})
        await until(
            page, f"Math.abs({POSITION} / Number(document.querySelector('#wave').dataset.length) - 0.5) < 0.01"
        )

        # The note is kept.
        await page.get_by_label("Note", exact=True).fill("Wants Tuesday <b>morning</b>")
        await page.get_by_label("Tags, with commas between them").fill("booking, follow up")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        await shown.photograph("call")
        assert await shown.violations() == []
        await page.reload()
        assert await page.get_by_label("Note", exact=True).input_value() == "Wants Tuesday <b>morning</b>"
        await page.set_viewport_size(NARROW)
        await page.wait_for_selector(".wave-picture")
        assert await page.evaluate(OVERFLOW) == 0

        # Deleted, after it was asked for once more.
        await page.get_by_role("link", name="Delete").click()
        await shown.photograph("call-delete")
        await page.get_by_role("button", name="Delete for good").click()
        await page.wait_for_url("**/console/calls")
        assert await page.locator(f"a[href*='{SID}']").count() == 0
        for path in ("calls", "overview"):
            await page.goto(f"{service.url}/console/{path}?{PERIOD}")
            await page.set_viewport_size(NARROW)
            assert await page.evaluate(OVERFLOW) == 0
            assert await shown.violations() == []
        assert shown.complaints == []
    await service.stop()
    await store.close()
