"""The pages of calls that we make and of numbers that are not called, without a browser and in one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from browser_driver import OVERFLOW, WATCH_POLICY, PhonePage, browser, phrase, recording
from console_driver import Visit
from outbound_driver import ADA, Desk, staged
from playwright.async_api import ViewportSize
from service_driver import SPEECH, leaving_nothing
from sign_in import PASSWORD
from switchboard_driver import COLLEAGUE, LINE

from phonebot.simulator.callees import Busy, Human
from phonebot.simulator.caller import HangUp, Say, WaitForBot, WaitForQuiet
from phonebot.store.database import Database

TALKS = Human((WaitForQuiet(200), Say(SPEECH, "a question"), WaitForBot(), HangUp()), after_s=1)
REASON = "The table for four on Friday at 19:00 is free again: ask whether they still want it."
WIDE, NARROW = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
HER, HIM = "+15550100123", "+15550100124"


@pytest.fixture
async def desk(sqlite: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    async with leaving_nothing():
        async with staged(sqlite, tmp_path, retries=1) as desk:
            yield desk
        await sqlite.close()


@pytest.fixture
async def visit(desk: Desk) -> AsyncIterator[Visit]:
    async with Visit(desk.service) as visit:
        await visit.sign_in("operator")
        yield visit


async def test_a_call_is_ordered_and_seen_to_its_end(desk: Desk, visit: Visit) -> None:
    desk.carrier.callees[COLLEAGUE] = TALKS
    csrf = (await visit.get("/console/outbound")).field("csrf")
    order = {"csrf": csrf, "to": "+1 (555) 010-0009", "from": LINE, "reason": REASON}
    ordered = await visit.post("/console/outbound", order)
    assert (ordered.status, ordered.to) == (303, "../console/outbound/1")
    call = await desk.over(await desk.store.outbound.get(1))
    assert (call.to_number, call.asked_by, call.result) == (COLLEAGUE, "operator", "answered")
    shown = await visit.get("/console/outbound/1")
    assert "Answered" in shown.text
    assert f"console/calls/{call.call_sid}" in shown.text
    assert REASON in shown.text
    listed = await visit.get("/console/outbound?state=done")
    assert "console/outbound/1" in listed.text
    assert "console/outbound/1" not in (await visit.get("/console/outbound?state=failed")).text


async def test_what_cannot_be_called_is_said_beside_what_was_typed(desk: Desk, visit: Visit) -> None:
    csrf = (await visit.get("/console/outbound")).field("csrf")
    wrong = await visit.post("/console/outbound", {"csrf": csrf, "to": "0171", "from": LINE, "reason": "<b>"})
    assert wrong.status == 422
    assert "The number to call must be in E.164 form" in wrong.text
    assert "&lt;b&gt;" in wrong.text
    await desk.store.opt_outs.add(COLLEAGUE, ADA)
    refused = await visit.post("/console/outbound", {"csrf": csrf, "to": COLLEAGUE, "from": LINE})
    assert f"{COLLEAGUE} does not want to be called" in refused.text
    assert (await visit.get("/console/outbound/99")).status == 404


async def test_a_call_that_waits_is_cancelled_once(desk: Desk, visit: Visit) -> None:
    desk.carrier.callees[COLLEAGUE] = Busy()
    call = await desk.until(await desk.order(), lambda now: now.attempts == 1)
    csrf = (await visit.get(f"/console/outbound/{call.id}")).field("csrf")
    assert (await visit.post(f"/console/outbound/{call.id}/cancel", {"csrf": csrf})).status == 303
    assert (await desk.over(call)).state == "cancelled"
    again = await visit.post(f"/console/outbound/{call.id}/cancel", {"csrf": csrf})
    assert (again.status, "there is nothing to cancel" in again.text) == (409, True)


async def test_a_viewer_sees_all_and_changes_nothing(desk: Desk) -> None:
    await desk.store.opt_outs.add(HER, ADA)
    async with Visit(desk.service) as visit:
        await visit.sign_in("viewer")
        for path in ("/console/outbound", "/console/outbound/opt-outs"):
            page = await visit.get(path)
            assert page.status == 200
            assert 'method="post"' not in page.text.partition("<main")[2]
            assert (await visit.post(path, {"number": HIM})).status == 403


@pytest.mark.browser
@pytest.mark.timeout(120)
async def test_in_a_browser_a_call_is_followed_and_a_number_opts_out(desk: Desk, tmp_path: Path) -> None:
    desk.carrier.callees.update({COLLEAGUE: TALKS, HER: Busy()})
    await desk.over(await desk.order(HER, reason="She asked us to."))
    microphone = recording(tmp_path / "silence.wav", 1_000, phrase("book.wav"))
    async with browser(microphone) as context:
        await context.add_init_script(WATCH_POLICY)
        shown = PhonePage(await context.new_page())
        page = shown.page

        async def photograph(name: str) -> None:
            for size in (NARROW, WIDE):
                await page.set_viewport_size(size)
                assert await page.evaluate(OVERFLOW) == 0, name
            await shown.photograph(name, WIDE, NARROW)
            await page.set_viewport_size(WIDE)

        await page.goto(f"{desk.service.url}/login")
        await page.get_by_label("Name").fill("operator")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="Outbound", exact=True).click()
        await page.get_by_label("To", exact=True).fill("0171")
        await page.get_by_label("From").fill(LINE)
        await page.get_by_label("Reason").fill(REASON)
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.get_by_role("alert").wait_for()
        await photograph("outbound-refused")
        await page.get_by_label("To", exact=True).fill(COLLEAGUE)
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.get_by_text("Answered", exact=True).first.wait_for()  # the page asks by itself
        await photograph("outbound-call")
        await page.get_by_role("link", name="Outbound", exact=True).first.click()
        await photograph("outbound-calls")
        await page.get_by_label("Show").select_option("failed")
        await page.locator(f"#list tr:has-text('{COLLEAGUE}')").wait_for(state="detached")
        assert await page.locator("#list tbody tr").count() == 1

        await page.get_by_role("link", name="Opt-outs").click()
        for number, why in ((HER, "asked for it in a letter of 24 November"), (HIM, "")):
            await page.get_by_label("Number", exact=True).fill(number)
            await page.get_by_label("Why").fill(why)
            await page.get_by_role("button", name="Add").click()
            await page.get_by_text(f"{number} is not called any more.").wait_for()
        await photograph("outbound-opt-outs")
        await page.get_by_label("Find a number").fill("124")
        await page.locator(f"#list tr:has-text('{HER}')").wait_for(state="detached")
        page.once("dialog", lambda dialog: dialog.accept())
        await page.get_by_role("button", name=f"Remove {HIM}").click()
        await page.get_by_text(f"{HIM} may be called again.").wait_for()
        assert [each.number for each in await desk.store.opt_outs.page()] == [HER]
        assert await shown.violations() == []
        assert [text for text in shown.complaints if "422" not in text] == []
