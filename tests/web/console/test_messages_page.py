"""The pages of messages over HTTP."""

from datetime import UTC, datetime
from typing import Any

import pytest
from console_driver import Visit

from phonebot.store.store import Store
from phonebot.store.tables import CallRow, MessageRow

PAGE = "/console/messages"
FIRST, SECOND = (f"00000000-0000-4000-8000-{nth:012}" for nth in (1, 2))
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
async def kept(roles: Store) -> Store:
    """Two messages of one call; of the first somebody is to be told."""
    given: dict[str, Any] = {
        "call_sid": "CA1",
        "taken_at": NOW,
        "number": "+15550100000",
        "from_number": "+15550100123",
    }
    text = "The <b>terrace</b>, please"
    row = MessageRow(message_id=FIRST, name="Ada", call_back="+15550100123", text=text, urgent=True, **given)
    await roles.messages.keep(row, {"message": {"url": "https://crm.invalid/x"}})
    await roles.messages.keep(MessageRow(message_id=SECOND, text="The oven", call_back="ask 'Bob' <i>", **given))
    call = CallRow(call_sid="CA1", to_number="+15550100000", started_at=NOW, number="+15550100000", from_number="x")
    await roles.calls.file(call)
    return roles


async def test_new_messages_are_listed_with_what_they_say_as_text(visit: Visit, kept: Store) -> None:
    await visit.sign_in("viewer")
    page = await visit.get(PAGE)
    assert "The &lt;b&gt;terrace&lt;/b&gt;, please" in page.text
    assert 'href="tel:+15550100123"' in page.text
    assert "ask &#39;Bob&#39; &lt;i&gt;" in page.text
    assert "crm.invalid" in page.text
    assert ">Done</button>" not in page.text  # a viewer changes nothing
    found = await visit.get(f"{PAGE}?text=OVEN")
    assert ("The oven" in found.text, "terrace" in found.text) == (True, False)
    assert "No message is like that" in (await visit.get(f"{PAGE}?text=zebra")).text
    assert (await visit.get(f"{PAGE}?cursor=x")).status == 303


async def test_a_message_is_on_the_page_of_its_call(visit: Visit, kept: Store) -> None:
    await visit.sign_in("viewer")
    assert "Message of Ada" in (await visit.get("/console/calls/CA1")).text


async def test_an_operator_deals_with_a_message_and_its_delivery(visit: Visit, kept: Store) -> None:
    await visit.sign_in("operator")
    page = f"{PAGE}/{FIRST}"
    assert (await visit.send(page, f"{page}/done")).to.endswith(f"console/messages/{FIRST}")
    assert (await kept.messages.get(FIRST)).done_by == "operator"
    listed = await visit.get(PAGE)
    assert ("The oven" in listed.text, "terrace" in listed.text) == (True, False)
    assert "terrace" in (await visit.get(f"{PAGE}?state=done")).text
    await visit.send(page, f"{page}/reopen")
    assert (await kept.messages.get(FIRST)).done_at is None
    await visit.send(page, f"{page}/give-up")
    assert "Given up" in (await visit.get(page)).text
    again = await visit.send(page, f"{page}/give-up")
    assert (again.status, "nothing waits any more" in again.text) == (409, True)
    await visit.send(page, f"{page}/deliver")
    after = (await kept.messages.get(FIRST)).after
    assert after is not None
    assert after.state == "waiting"


async def test_a_viewer_changes_nothing_and_what_is_not_there_is_said_so(visit: Visit, kept: Store) -> None:
    await visit.sign_in("viewer")
    page = f"{PAGE}/{FIRST}"
    assert (await visit.send(page, f"{page}/done")).status == 403
    for missing in (f"{PAGE}/{FIRST[:-1]}9", f"{PAGE}/x"):
        answer = await visit.get(missing)
        assert (answer.status, "No such message" in answer.text) == (404, True)
