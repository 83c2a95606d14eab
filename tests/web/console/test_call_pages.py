"""The pages of past calls over HTTP, on both databases: found, shown, heard, noted, deleted."""

import io
import re
import shutil
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from zipfile import ZipFile

import pytest
from after_rows import after_of, taken
from console_driver import Answer, Visit
from filed_calls import DESK, NEWEST, SHOP, file_fixture, fill
from service_driver import Service, StartService
from sign_in import PASSWORD, QUICK

from phonebot.audio import wav
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store
from phonebot.store.tables import CallRow, ToolCallRow, TurnRow, UsageRow
from phonebot.store.users import UserStore

pytestmark = pytest.mark.slow

ADA = Actor("ada")
NOWHERE = "wss://127.0.0.1:1"  # no model is asked here
SID = "CA" + "a" * 32
HOSTILE = "<script>alert('x')</script>"


async def opened(database_url: str, folder: Path) -> Store:
    """With a user of each role, named after it."""
    database = Database(database_url)
    users = UserStore(database, QUICK)
    for role in ("viewer", "operator", "admin"):
        await users.create(role, PASSWORD, role, ADA)
    return Store.of(database, Recordings((folder / "calls").as_uri()), users)


@pytest.fixture
async def any_store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """On each kind of database."""
    store = await opened(database_url, tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def store(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Store]:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    store = await opened(f"sqlite:///{tmp_path}/phonebot.db", tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def service(start_service: StartService, store: Store) -> Service:
    return await start_service(model_url=NOWHERE, store=store)


@pytest.fixture
async def visit(service: Service) -> AsyncIterator[Visit]:
    """Signed in as an admin."""
    async with Visit(service) as visit:
        await visit.sign_in("admin")
        yield visit


async def file(store: Store, sid: str = SID, text: str = "Hello", **terms: object) -> None:
    values = {"from_number": "+15550100009", "to_number": DESK, "number": DESK, "started_at": NEWEST, **terms}
    call = CallRow(call_sid=sid, duration_ms=61_000, outcome="caller_hung_up", **values)
    await store.calls.file(call, [TurnRow(sequence=1, who="caller", text=text, start_ms=700)], text=[text])


def sids(page: Answer) -> list[str]:
    return re.findall(r'class="call-link" id="(\w+)"', page.text)


# ------------------------------------------------------------------------------------------- the list


async def test_of_ten_thousand_calls_a_page_is_shown_and_some_are_found(
    start_service: StartService, any_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(any_store.database, 10_000, usage=False)
    service = await start_service(model_url=NOWHERE, store=any_store)
    took_ms: dict[str, float] = {}
    async with Visit(service) as visit:
        await visit.sign_in("viewer")

        async def get(name: str, path: str) -> Answer:
            begun = time.perf_counter()
            page = await visit.get(path)
            took_ms[name] = (time.perf_counter() - begun) * 1000
            assert page.status == 200
            return page

        newest = await get("list", "/console/calls")
        older = re.search(r'href="\.\./(console/calls\?cursor=[^"]*)" rel="next"', newest.text)
        assert older
        second = await get("older", "/" + unescape(older[1]))
        assert len(sids(newest)) == len(sids(second)) == 50
        assert not set(sids(newest)) & set(sids(second))

        found = await get("words", "/console/calls?text=GARAGE+parking")
        assert len(sids(found)) == 50
        assert found.text.count("<mark>parking</mark>") + found.text.count("<mark>garage</mark>") >= 50
        none = await get("no such word", "/console/calls?text=xylophone")
        assert (sids(none), "No call is like that" in none.text) == ([], True)
        narrow = await get(
            "filters", f"/console/calls?number=%2B{SHOP[1:]}&caller=0012&outcome=stream_lost&to=2026-11-26"
        )
        assert re.findall(r'badge-warning"[^>]*>([^<]*)<', narrow.text) == ["Connection lost"] * 7
        await get("overview", "/console/overview?from=2026-10-28&to=2026-11-27")
    with capsys.disabled():
        figures = ", ".join(f"{name} {ms:.0f} ms" for name, ms in took_ms.items())
        print(f"\n10,000 calls, {any_store.database.name}: {figures}")  # noqa: T201


async def test_an_empty_list_says_what_to_do(visit: Visit) -> None:
    page = await visit.get("/console/calls")
    assert "No calls yet" in page.text
    assert 'href="../console/phone"' in page.text


async def test_a_day_is_that_of_the_time_zone(visit: Visit, store: Store) -> None:
    await file(store, "CA1", started_at=NEWEST.replace(hour=23, minute=30))
    for query, found in (
        ("from=2026-11-27&to=2026-11-27", ["CA1"]),
        ("from=2026-11-28&zone=Europe/Berlin", ["CA1"]),
        ("to=2026-11-27&zone=Europe/Berlin", []),
        ("from=2026-11-28&zone=../../etc/passwd", []),
        ("from=0001-01-01&to=9999-12-31&zone=Asia/Tokyo", ["CA1"]),
    ):
        assert sids(await visit.get(f"/console/calls?{query}")) == found


async def test_what_cannot_be_asked_is_said_and_left_out(visit: Visit, store: Store) -> None:
    await file(store, "CA1")
    page = await visit.get("/console/calls?from=yesterday&text=%00&cursor=")
    assert (sids(page), "From is no date" in page.text) == (["CA1"], True)
    assert "exchange the two" in (await visit.get("/console/calls?from=2026-11-02&to=2026-11-01")).text
    moved = await visit.get("/console/calls?text=a&cursor=nonsense")
    assert (moved.status, moved.to) == (303, "../console/calls?text=a")


async def test_the_address_is_that_of_what_is_shown(visit: Visit) -> None:
    page = await visit.get(
        "/console/calls?text=two+tables&caller=&number=&from=&zone=UTC", **{"HX-Request": "true"}
    )
    assert page.headers["hx-replace-url"] == "calls?text=two+tables"


# ------------------------------------------------------------------------------------------- a call


async def test_a_call_is_shown_with_its_log_and_what_was_cut(
    start_service: StartService, any_store: Store, tmp_path: Path
) -> None:
    await file_fixture(any_store, tmp_path / "calls", "interrupted-twice", SID)
    service = await start_service(model_url=NOWHERE, store=any_store)
    async with Visit(service) as visit:
        await visit.sign_in("viewer")
        page = await visit.get(f"/console/calls/{SID}")
        assert 'hx-get="../../console/calls/' in page.text
        assert '<del class="line-rest">with Doctor Rivera.' in page.text
        assert "heard 3.2 s of 8.0 s" in page.text
        assert "log.zip" not in page.text
        with_log = await visit.get(f"/console/calls/{SID}?log=yes")
        assert with_log.text.count('class="wave-mark wave-interruption"') == 2
        assert "The caller heard 3.20 s of 7.96 s. Exact" in with_log.text


async def test_what_others_wrote_is_text(visit: Visit, store: Store) -> None:
    call = CallRow(call_sid=SID, from_number=HOSTILE, to_number=HOSTILE, number=HOSTILE, started_at=NEWEST)
    call.profile_name = call.model = call.note = HOSTILE
    call.tags, call.outcome, call.provider = [HOSTILE], HOSTILE[:40], HOSTILE
    turns = [TurnRow(sequence=1, who="bot", text=HOSTILE, unheard_text=HOSTILE, cut=True, heard_ms=1, of_ms=2)]
    tool = ToolCallRow(sequence=1, name=HOSTILE, arguments=HOSTILE, error=HOSTILE, start_ms=0)
    await store.calls.file(call, turns, [tool], text=[HOSTILE])
    for path in ("calls", "calls?text=alert", f"calls/{SID}", f"calls/{SID}/delete", "overview?from=2026-11-27"):
        page = await visit.get(f"/console/{path}")
        assert page.status == 200
        assert "&lt;script&gt;" in page.text
        assert "<script>" not in page.text


async def test_what_was_done_after_a_call_is_shown_sent_again_and_given_up(visit: Visit, store: Store) -> None:
    path = f"/console/calls/{SID}"
    await file(store, after=taken(extracted={HOSTILE: HOSTILE, "again": True, "when": None}, summary=HOSTILE))
    page = await visit.get(path)
    assert page.text.count("&lt;script&gt;") == 3
    assert "<dt>again</dt><dd>yes</dd>" in page.text
    assert '<span class="badge badge-success">Taken</span> <span class="after-host">crm.invalid</span>' in page.text
    assert 'hx-trigger="every 3s"' not in page.text

    moved = await visit.send(path, f"{path}/deliver")
    assert (moved.status, moved.to) == (303, f"../../..{path}")
    page = await visit.get(path)
    assert "Not taken yet" in page.text
    assert 'hx-trigger="every 3s"' in page.text
    assert (await visit.send(path, f"{path}/give-up")).status == 303
    page = await visit.send(path, f"{path}/give-up")
    assert f"After call {SID} nothing waits any more." in page.text
    assert '<span class="badge badge-danger">Given up</span>' in page.text
    whats = [each.what for each in await AuditStore(store.database).page(target=SID)]
    assert whats == ["call.give_up", "call.deliver"]


async def test_what_is_missing_after_a_call_says_why(visit: Visit, store: Store) -> None:
    await file(store, "CA1", after=after_of(attempts=3, attempted_at=NEWEST, problem="status 500"))
    page = await visit.get("/console/calls/CA1")
    for told in (
        "Summary: being made.",
        "Data: being made.",
        "Not taken yet",
        "attempt 3",
        "next one",
        "status 500",
    ):
        assert told in page.text
    failed = after_of("done", {"summary": {}}, summary_problem="nothing was said in this call")
    await file(store, "CA2", after=failed)
    page = await visit.get("/console/calls/CA2")
    assert "Summary: nothing was said in this call." in page.text
    assert ("Try again" in page.text, "Give up" in page.text) == (True, False)
    await file(store, "CA3")
    assert "After the call" not in (await visit.get("/console/calls/CA3")).text
    refused = await visit.send("/console/calls/CA3", "/console/calls/CA3/deliver")
    assert "After the call" not in refused.text
    assert (await visit.send("/console/calls/CA3", "/console/calls/CA9/deliver")).status == 404


async def test_a_call_whose_summary_has_no_price_shows_what_its_answers_cost(visit: Visit, store: Store) -> None:
    """Then nobody knows what the call has cost in all; the model's own price is known all the same."""
    priced = UsageRow(sequence=1, response_id="resp_1", at_ms=900, output_audio=500, cost_usd=0.0321)
    unpriced = UsageRow(sequence=2, response_id="summary", at_ms=0, output_text=40, cost_usd=None)
    call = {"from_number": "+15550100009", "to_number": DESK, "number": DESK, "started_at": NEWEST}
    await store.calls.file(CallRow(call_sid=SID, model="gpt-realtime-2.1", **call), usage=[priced, unpriced])
    page = await visit.get(f"/console/calls/{SID}")
    assert "1 answer of the model, $0.0321." in page.text
    assert "The summary: no price is known" in page.text
    assert "no price of gpt-realtime-2.1" not in page.text


async def test_viewers_see_what_was_done_and_change_nothing(service: Service, store: Store) -> None:
    await file(store, after=taken())
    async with Visit(service) as visit:
        await visit.sign_in("viewer")
        page = await visit.get(f"/console/calls/{SID}")
        assert ("quiet corner" in page.text, "Send again" in page.text) == (True, False)
        for what in ("deliver", "give-up"):
            answer = await visit.post(f"/console/calls/{SID}/{what}", {"csrf": "x"})
            assert answer.status == 403


async def test_a_call_without_audio_has_no_player_and_says_why(visit: Visit, store: Store) -> None:
    await file(store)
    page = await visit.get(f"/console/calls/{SID}")
    assert "data-player" not in page.text
    assert "The audio of this call was not recorded" in page.text
    with_log = await visit.get(f"/console/calls/{SID}?log=yes")
    assert "The log and the recording of this call are not kept any more." in with_log.text
    assert (await visit.get(f"/console/calls/{SID}/heard.wav")).status == 404


async def test_the_version_that_answered_leads_to_its_number(visit: Visit, store: Store) -> None:
    await store.numbers.save(DESK, {"name": "Front desk"}, "abc", ADA)
    await file(store, profile_version="abc", profile_name="Front desk")
    page = await visit.get(f"/console/calls/{SID}")
    assert '<a href="../../console/numbers/+15550100000">Front desk</a>' in page.text
    assert 'href="../../console/numbers/+15550100000/versions/1"' in page.text


@pytest.mark.parametrize("sid", ["CA1", "%00", "x" * 65, "..%2f..%2fetc"])
async def test_a_call_that_is_not_there_is_said_not_to_be(visit: Visit, sid: str) -> None:
    for path in ("", "/delete", "/heard.wav", "/log.zip"):
        assert (await visit.get(f"/console/calls/{sid}{path}")).status == 404


async def test_a_recording_is_sent_whole_or_in_part_and_leaves_no_file(
    visit: Visit, store: Store, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing = tmp_path / "passing"
    passing.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(passing))
    await file_fixture(store, tmp_path / "calls", "interrupted-twice", SID)
    url = f"{service.url}/console/calls/{SID}/heard.wav"
    async with visit.http.get(url) as whole:
        audio = await whole.read()
    (tmp_path / "heard.wav").write_bytes(audio)
    assert (wav.read(tmp_path / "heard.wav").channels, whole.headers["accept-ranges"]) == (2, "bytes")
    async with visit.http.get(url, headers={"Range": "bytes=1000-1099"}) as part:
        assert (part.status, await part.read()) == (206, audio[1000:1100])
        assert part.headers["content-range"] == f"bytes 1000-1099/{len(audio)}"
    async with visit.http.get(url, headers={"Range": f"bytes={len(audio)}-"}) as beyond:
        assert beyond.status == 416
    for query, members in (("", "bot.wav"), ("?redacted=yes", "events.jsonl")):
        async with visit.http.get(f"{service.url}/console/calls/{SID}/log.zip{query}") as zipped:
            names = ZipFile(io.BytesIO(await zipped.read())).namelist()
        assert {name.rpartition("/")[2] for name in names} >= {"call.json", "heard.wav", members}
        is_named = SID in zipped.headers["content-disposition"] + "".join(names)
        assert is_named == (not query), "what is redacted does not name the call"
    assert list(passing.iterdir()) == []


async def test_a_note_is_kept_with_and_without_a_script(visit: Visit, store: Store) -> None:
    await file(store)
    page = await visit.get(f"/console/calls/{SID}")
    fields = {"csrf": page.field("csrf"), "note": "Call back", "tags": "lead, big party"}
    done = await visit.post(f"/console/calls/{SID}/note", fields)
    assert (done.status, done.to) == (303, f"../../../console/calls/{SID}")
    call = await store.calls.get(SID)
    assert (call.note, call.tags) == ("Call back", ["lead", "big party"])
    assert sids(await visit.get("/console/calls?text=back+%22big+party%22")) == [SID]
    in_place = await visit.post(f"/console/calls/{SID}/note", fields | {"tags": ""}, **{"HX-Request": "true"})
    assert (in_place.status, "Saved." in in_place.text) == (200, True)
    refused = await visit.post(f"/console/calls/{SID}/note", fields | {"tags": "x" * 50}, **{"HX-Request": "true"})
    assert "A tag has 40 characters at most" in refused.text
    assert "x" * 50 in refused.text


async def test_a_deleted_call_leaves_nothing_but_who_deleted_it(visit: Visit, store: Store, tmp_path: Path) -> None:
    await file_fixture(store, tmp_path / "calls", "keys", SID)
    asked = await visit.get(f"/console/calls/{SID}/delete")
    assert "Delete this call?" in asked.text
    assert (await visit.get(f"/console/calls/{SID}")).status == 200
    done = await visit.post(f"/console/calls/{SID}/delete", {"csrf": asked.field("csrf")})
    assert (done.status, done.to) == (303, "../../../console/calls")
    assert (await visit.get(f"/console/calls/{SID}")).status == 404
    assert [path for path in (tmp_path / "calls").rglob("*") if SID in str(path)] == []
    again = await visit.post(f"/console/calls/{SID}/delete", {"csrf": asked.field("csrf")})
    assert again.status == 303


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("viewer", {"", "/heard.wav"}), ("operator", {"", "/heard.wav", "/log.zip"})],
)
async def test_who_may_do_what(
    service: Service, store: Store, tmp_path: Path, role: str, allowed: set[str]
) -> None:
    await file_fixture(store, tmp_path / "calls", "keys", SID, NEWEST + timedelta(hours=1))
    async with Visit(service) as visit:
        await visit.sign_in(role)
        page = await visit.get(f"/console/calls/{SID}?log=yes")
        assert ("The caller pressed 1" in page.text) == (role == "operator")
        for path in ("", "/heard.wav", "/log.zip", "/delete"):
            async with visit.http.get(f"{service.url}/console/calls/{SID}{path}") as answer:
                assert answer.status == (200 if path in allowed else 403)
        fields = {"csrf": page.field("csrf"), "note": "x", "tags": ""}
        noted = await visit.post(f"/console/calls/{SID}/note", fields)
        assert noted.status == (303 if role == "operator" else 403)
        assert (await visit.post(f"/console/calls/{SID}/delete", fields)).status == 403


# ------------------------------------------------------------------------------------------- the overview


async def test_the_overview_without_calls_says_what_to_do(visit: Visit) -> None:
    page = await visit.get("/console/overview")
    assert "No calls yet" in page.text
    assert "<svg" not in page.text


async def test_the_overview_adds_up_a_period_and_leads_to_its_calls(visit: Visit, store: Store) -> None:
    await fill(store.database, 60)
    page = await visit.get("/console/overview?from=2026-11-20&to=2026-11-26")
    link = re.search(r'href="\.\./(console/calls\?number=[^"]*)">(\d+)</a>', page.text)
    assert link
    assert len(sids(await visit.get("/" + unescape(link[1])))) == int(link[2])
    assert page.text.count('class="chart-slot"') == 8 * 7
    assert page.headers["hx-push-url"] == "overview?from=2026-11-20&to=2026-11-26"
    empty = await visit.get("/console/overview?from=2020-01-01&number=%2B1")
    assert "+1 had none from 2020-01-01 to 2020-01-01." in empty.text


async def test_the_parts_of_a_call_lead_to_each_other(store: Store, visit: Visit) -> None:
    await file(store, SID)
    assert "parts:" not in (await visit.get(f"/console/calls/{SID}")).text
    await file(store, f"{SID}-2", started_at=NEWEST + timedelta(minutes=1))
    page = await visit.get(f"/console/calls/{SID}-2")
    assert "The caller's call had 2 parts:" in page.text
    assert re.search(rf'console/calls/{SID}"[^>]*>part 1</a>', page.text)
    assert re.search(rf'console/calls/{SID}-2" aria-current="page">part 2</a>', page.text)
