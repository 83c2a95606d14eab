"""Finished calls: found, read, downloaded and deleted, on both databases."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest
from after_rows import taken
from api_driver import DESK, Api
from filed_calls import NEWEST

from phonebot.audio import wav
from phonebot.replay.archive import opened
from phonebot.replay.reader import read
from phonebot.replay.spool import hold
from phonebot.store.tables import CallRow
from phonebot.web import call_files
from phonebot.web.api import files
from phonebot.web.api.parts import HEAVY_AT_ONCE

FIXTURE = Path(__file__).parents[3] / "fixtures/calls/interrupted-twice"


async def test_calls_are_found_by_what_they_are_and_what_was_said(api: Api) -> None:
    await api.file_call("CA0", 0)
    await api.file_call("CA1", 1, said="opening hours")
    await api.file_call("CA2", 2)

    async def found(**filters: str) -> list[str]:
        return [call["call_sid"] for call in (await api.get("/calls", **filters)).json["items"]]

    assert await found() == ["CA2", "CA1", "CA0"]
    assert await found(text="TABLE") == ["CA2", "CA0"]
    assert await found(caller="+15550100121") == ["CA1"]
    assert await found(caller_part="00122") == ["CA2"]
    assert await found(outcome="time_limit", number=DESK) == ["CA2", "CA0"]
    assert await found(since="2026-11-27T13:01:00+01:00", until="2026-11-27T12:02:00Z") == ["CA1"]
    assert await found(number="+1") == []

    first = (await api.get("/calls", limit=2)).json
    second = (await api.get("/calls", limit=2, cursor=first["next"])).json
    assert [call["call_sid"] for call in second["items"]] == ["CA0"]
    assert second["next"] is None
    assert second["items"][0]["started_at"] == "2026-11-27T12:00:00.000Z"
    wrong = await api.get("/calls", cursor="yesterday")
    assert (wrong.status, wrong.json["code"]) == (422, "invalid_request")


async def test_a_call_has_its_turns_tool_calls_and_usage(api: Api) -> None:
    await api.file_call("CA0")
    call = (await api.get("/calls/CA0")).json
    assert (call["duration_ms"], call["cost_usd"], call["tags"]) == (30_000, 0.05, ["vip"])
    assert call["cost_per_minute_usd"] == 0.1
    assert [(turn["text"], turn["unheard_text"], turn["heard_ms"]) for turn in call["turns"]] == [
        ("Hel", "lo", 300),
        ("a table for four", "", None),
    ]
    assert (call["tool_calls"][0]["name"], call["usage"][0]["input_audio"]) == ("book", 70)
    assert (await api.get("/calls/CA0/turns")).json == {"call_sid": "CA0", "turns": call["turns"]}
    assert (await api.get("/calls/CA9")).status == 404
    assert call["parts"] == []
    await api.file_call("CA0-2", 1)
    assert (await api.get("/calls/CA0")).json["parts"] == ["CA0", "CA0-2"]


async def test_what_was_done_after_a_call_is_told_sent_again_and_given_up(api: Api) -> None:
    await api.file_call("CA0")
    assert (await api.get("/calls/CA0")).json["after"] is None
    assert (await api.post("/calls/CA0/deliver")).json["code"] == "conflict"
    call = CallRow(call_sid="CA1", from_number=DESK, to_number=DESK, number=DESK, started_at=NEWEST, after=taken())
    await api.store.calls.file(call)
    after = (await api.get("/calls/CA1")).json["after"]
    assert (after["state"], after["extracted"]["guests"], after["attempts"]) == ("done", 4, 2)
    assert "wishes" not in after
    again = await api.post("/calls/CA1/deliver")
    assert (again.status, again.json["after"]["state"]) == (200, "waiting")
    over = await api.post("/calls/CA1/give-up")
    assert (over.status, over.json["after"]["state"]) == (200, "given_up")
    assert (await api.post("/calls/CA1/give-up")).status == 409
    assert (await api.post("/calls/CA9/deliver")).status == 404
    assert (await api.post("/calls/CA1/deliver", scope="read")).status == 403
    noted = (await api.get("/audit", "admin", target="CA1")).json["items"]
    assert [each["what"] for each in noted] == ["call.give_up", "call.deliver"]


async def test_a_log_is_downloaded_whole_or_redacted(api: Api, tmp_path: Path) -> None:
    await api.file_call("CA0", log=FIXTURE)
    whole = await api.get("/calls/CA0/log", "operate")
    assert (whole.status, whole.headers["content-type"]) == (200, "application/zip")
    assert whole.headers["content-disposition"] == 'attachment; filename="CA0.zip"'
    (tmp_path / "CA0.zip").write_bytes(whole.body)
    with opened(tmp_path / "CA0.zip") as folder:
        assert read(folder).header == read(FIXTURE).header
    assert "CA0/heard.wav" in zipfile.ZipFile(io.BytesIO(whole.body)).namelist()

    redacted = await api.get("/calls/CA0/log", "operate", redact="true")
    names = zipfile.ZipFile(io.BytesIO(redacted.body)).namelist()
    assert "redacted-call/call.json" in names
    assert "CA0" not in redacted.headers["content-disposition"] + "".join(names)
    assert b"Redacted" in zipfile.ZipFile(io.BytesIO(redacted.body)).read("redacted-call/call.json")


async def test_what_was_heard_is_downloaded_in_stereo(api: Api, tmp_path: Path) -> None:
    await api.file_call("CA0", log=FIXTURE)
    heard = await api.get("/calls/CA0/heard.wav")
    assert (heard.status, heard.headers["content-type"]) == (200, "audio/wav")
    (tmp_path / "heard.wav").write_bytes(heard.body)
    sound = wav.read(tmp_path / "heard.wav", 10_000_000)
    assert (sound.channels, sound.rate_hz) == (2, 8000)
    assert sound.duration_ms > 1_000


async def test_nothing_is_left_of_a_download(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def folder(**terms: str) -> str:
        made.append(tmp_path / f"made-{len(made)}")
        made[-1].mkdir()
        return str(made[-1])

    monkeypatch.setattr(call_files, "mkdtemp", folder)
    damaged = tmp_path / "damaged"
    shutil.copytree(FIXTURE, damaged)
    (damaged / "events.jsonl").write_text("no log")
    await api.file_call("CA0", log=FIXTURE)
    await api.file_call("CA1", log=damaged)
    assert (await api.get("/calls/CA0/heard.wav")).status == 200
    unreadable = await api.get("/calls/CA1/heard.wav")
    assert (unreadable.status, unreadable.json["code"]) == (500, "unreadable_log")
    assert len(made) == 2
    assert not any(each.exists() for each in made)


async def test_a_call_without_a_log_has_nothing_to_download(api: Api) -> None:
    await api.file_call("CA0")
    assert (await api.get("/calls/CA0/heard.wav")).status == 404
    for path in ("/calls/CA0/log", "/calls/CA9/log"):
        assert (await api.get(path, "operate")).status == 404


async def test_who_waits_too_long_for_others_downloads_is_told_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.file_call("CA0", log=FIXTURE)
    monkeypatch.setattr(files, "PATIENCE_S", 0.01)
    parts = api.parts
    for _ in range(HEAVY_AT_ONCE):
        await parts.heavy.acquire()
    busy = await api.get("/calls/CA0/log", "operate")
    assert (busy.status, busy.json["code"], busy.headers["retry-after"]) == (503, "busy", "10")


async def test_notes_and_tags_are_kept_and_found(api: Api) -> None:
    await api.file_call("CA0")
    noted = await api.ask("PATCH", "/calls/CA0", {"note": "Call back on Monday", "tags": ["lead"]}, scope="operate")
    assert (noted.json["note"], noted.json["tags"]) == ("Call back on Monday", ["lead"])
    tagged = await api.ask("PATCH", "/calls/CA0", {"tags": ["done"]}, scope="operate")
    assert (tagged.json["note"], tagged.json["tags"]) == ("Call back on Monday", ["done"])
    assert [call["call_sid"] for call in (await api.get("/calls", text="monday")).json["items"]] == ["CA0"]
    assert (await api.get("/calls", text="lead")).json["items"] == []
    refused = await api.ask("PATCH", "/calls/CA0", {"tags": ["a" * 99]}, scope="operate")
    assert refused.status == 422
    assert (await api.ask("PATCH", "/calls/CA9", {"note": ""}, scope="operate")).status == 404


async def test_the_overview_adds_up_days_and_numbers(api: Api) -> None:
    for minute in range(2):
        await api.file_call(f"CA{minute}", minute)
    span = {"since": "2026-11-27T00:00:00Z", "until": "2026-11-28T00:00:00Z"}
    told = (await api.get("/overview", **span)).json
    assert (told["total"]["calls"], told["total"]["duration_ms"], told["total"]["cost_usd"]) == (2, 60_000, 0.1)
    assert (told["total"]["priced_ms"], told["total"]["cost_per_minute_usd"]) == (60_000, 0.1)
    today = (await api.get("/overview/today")).json
    assert (today["spent_usd"], today["most_usd"], today["numbers"]) == (0, None, [])
    assert [(day["day"], day["number"], day["figures"]["calls"]) for day in told["days"]] == [
        ("2026-11-27", DESK, 2)
    ]
    assert (await api.get("/overview", number="+1", **span)).json["total"]["calls"] == 0
    for since, until in (
        ("2026-11-28T00:00:00Z", "2026-11-27T00:00:00Z"),
        ("2024-01-01T00:00:00Z", "2026-01-01T00:00Z"),
    ):
        assert (await api.get("/overview", since=since, until=until)).status == 422


async def test_a_call_in_progress_is_not_deleted(api: Api, tmp_path: Path) -> None:
    sid = read(FIXTURE).header.call_sid
    log = tmp_path / "calls" / f"20261127T120000Z-{sid}"
    shutil.copytree(FIXTURE, log)
    header = (log / "call.json").read_text()
    (log / "call.json").write_text(header.replace('"ended": "', '"ended": null, "was": "'))
    with (log / "events.jsonl").open("ab") as events:
        hold(events)
        refused = await api.delete(f"/calls/{sid}")
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    assert log.exists()


async def test_a_call_is_deleted_with_its_log(api: Api) -> None:
    await api.file_call("CA0", log=FIXTURE)
    assert (await api.delete("/calls/CA0")).status == 204
    assert (await api.get("/calls/CA0")).status == 404
    assert [key async for key in api.store.recordings.all_keys()] == []
    (entry,) = (await api.get("/audit", "admin", what="call.delete")).json["items"]
    assert (entry["who"], entry["target"]) == ("token operate", "CA0")
