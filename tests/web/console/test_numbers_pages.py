"""The pages of numbers over HTTP: what is saved, what is refused, and that nothing typed is lost."""

import json
import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest
from console_driver import Answer, Visit
from yarl import URL

from phonebot.agents.form_fields import FIELDS
from phonebot.audio import wav
from phonebot.errors import NotStored
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.greetings import Kept
from phonebot.store.store import Store
from phonebot.web.console.guard import MAX_FORM_FIELDS

NUMBER = "+15550100000"
LIST, PAGE = "/console/numbers", "/console/numbers/%2B15550100000"
ADA = Actor("ada")
TABLE = {"name": "Rosa's", "prompt": "You answer for Rosa.\nBe brief.\n", "max_call_s": 600}


@pytest.fixture
async def operator(visit: Visit, roles: Store) -> Visit:
    """An operator; there is one number, with one version."""
    await roles.numbers.save(NUMBER, TABLE, "one", ADA)
    await visit.sign_in("operator")
    return visit


def value_of(answer: Answer, name: str) -> str:
    found = re.search(rf'name="{re.escape(name)}"[^>]*? value="([^"]*)"', answer.text)
    return unescape(found[1]) if found else ""


def text_in(answer: Answer, name: str) -> str:
    found = re.search(rf'<textarea[^>]* name="{name}"[^>]*>\n(.*?)</textarea>', answer.text, re.DOTALL)
    assert found, answer.text
    return unescape(found[1])


def error_of(answer: Answer, name: str) -> str:
    found = re.search(rf'id="error-{re.escape(name)}"[^>]*>([^<]*)<', answer.text)
    assert found, answer.text
    return unescape(found[1])


async def test_a_new_number_is_added_as_a_copy_and_saved(operator: Visit, roles: Store) -> None:
    added = await operator.send(LIST, LIST, {"number": " +1 5550100001", "like": NUMBER})
    assert (added.status, added.to) == (303, "../console/numbers/%2B15550100001?like=%2B15550100000")
    page = await operator.get(added.to.removeprefix(".."))
    assert (page.status, "not saved yet" in page.text, page.field("expected")) == (200, True, "0")
    assert text_in(page, "prompt") == TABLE["prompt"]
    fields = {"expected": "0", "name": "Bar", "prompt": "Two\r\nlines", "max_call_s": "60", "note": "opened"}
    saved = await operator.send(LIST, "/console/numbers/%2B15550100001", fields)
    assert (saved.status, saved.to) == (303, "../../console/numbers/%2B15550100001?saved=1&view=form")
    version = await roles.numbers.get("+15550100001")
    assert version.profile == {"name": "Bar", "prompt": "Two\nlines", "max_call_s": 60}
    assert (version.author, version.note, version.test_callers) == ("operator", "opened", None)


async def test_what_is_wrong_is_told_beside_its_field_and_nothing_typed_is_lost(
    operator: Visit, roles: Store
) -> None:
    typed = {
        "expected": "1",
        "name": "Front & <desk>",
        "prompt": "Hi {name}",
        "max_call_s": "soon",
        "turn_detection.type": "local",
        "turn_detection.silence_duration_ms": "99",
        "test_callers": "+15550100009, 0171",
        "note": "n" * 501,
    }
    answer = await operator.send(PAGE, PAGE, typed)
    assert answer.status == 422
    assert error_of(answer, "max_call_s") == (
        'max_call_s is "soon"; it must be a whole number of seconds from 10 to 14400'
    )
    assert "must be a whole number of milliseconds from 100" in error_of(
        answer, "turn_detection.silence_duration_ms"
    )
    assert error_of(answer, "prompt").startswith("prompt holds {name}, but only {caller}")
    assert '"0171" is not a number' in error_of(answer, "test_callers")
    assert "at most 500" in error_of(answer, "note")
    assert 'href="#field-max_call_s"' in answer.text
    for name in ("name", "max_call_s", "turn_detection.silence_duration_ms", "test_callers"):
        assert value_of(answer, name) == typed[name]
    assert text_in(answer, "prompt") == typed["prompt"]
    assert 'value="local" data-type="local" checked' in answer.text
    assert len(await roles.numbers.versions(NUMBER)) == 1
    checked = await operator.send(PAGE, f"{PAGE}/check", typed)
    assert checked.status == 200
    assert 'hx-swap-oob="true">max_call_s is' in checked.text
    assert 'id="error-name" hx-swap-oob="true"></p>' in checked.text


async def test_who_saves_over_another_is_told_and_may_join_both(operator: Visit, roles: Store) -> None:
    form = {"expected": "1", "name": "Mine", "prompt": TABLE["prompt"], "max_call_s": "600", "note": "mine"}
    await roles.numbers.save(NUMBER, TABLE | {"max_call_s": 900}, "two", Actor("bob"), note="longer")
    answer = await operator.send(PAGE, PAGE, {key: str(value) for key, value in form.items()})
    assert (answer.status, "bob has saved version 2 meanwhile" in answer.text) == (409, True)
    assert (answer.field("expected"), answer.field("base")) == ("2", "1")
    assert (value_of(answer, "name"), value_of(answer, "max_call_s")) == ("Mine", "600")
    assert "<del>600</del>" in answer.text
    fields = {key: str(value) for key, value in form.items()} | {"expected": "2", "base": "1"}
    joined = await operator.send(PAGE, PAGE, fields | {"do": "join"})
    assert (value_of(joined, "name"), value_of(joined, "max_call_s")) == ("Mine", "900")
    assert (joined.field("expected"), value_of(joined, "note")) == ("2", "mine")
    saved = await operator.send(PAGE, PAGE, fields | {"max_call_s": "900"})
    assert saved.status == 303
    assert (await roles.numbers.get(NUMBER)).profile == TABLE | {"name": "Mine", "max_call_s": 900}


async def test_a_number_that_was_deleted_meanwhile_is_not_made_anew_by_the_way(
    operator: Visit, roles: Store
) -> None:
    await roles.numbers.delete(NUMBER, ADA)
    answer = await operator.send(LIST, PAGE, {"expected": "1", "name": "Mine"})
    assert (answer.status, "was deleted meanwhile" in answer.text, answer.field("expected")) == (409, True, "0")
    with pytest.raises(NotStored):
        await roles.numbers.get(NUMBER)


async def test_any_key_is_edited_as_toml_and_the_same_is_checked(operator: Visit, roles: Store) -> None:
    seen = await operator.send(PAGE, PAGE, {"expected": "1", "name": "Rosa", "max_call_s": "soon", "do": "toml"})
    assert (seen.status, text_in(seen, "text")) == (200, 'name = "Rosa"\nmax_call_s = "soon"\n')
    assert "max_call_s is" in error_of(seen, "text")
    broken = await operator.send(PAGE, PAGE, {"expected": "1", "text": "name = oops", "do": "form"})
    assert (broken.status, text_in(broken, "text")) == (200, "name = oops")
    assert error_of(broken, "text") == "the text is not TOML: Invalid value (at line 1, column 8)"
    unknown = await operator.send(PAGE, PAGE, {"expected": "1", "text": "vioce = 'marin'\n"})
    assert (unknown.status, "the nearest is voice" in error_of(unknown, "text")) == (422, True)
    text = 'name = "Rosa"\r\nturn_detection = { type = "none" }\r\n'
    form = await operator.send(PAGE, PAGE, {"expected": "1", "text": text, "do": "form"})
    assert value_of(form, "name") == "Rosa"
    assert 'value="none" data-type="none" checked' in form.text
    saved = await operator.send(PAGE, PAGE, {"expected": "1", "text": text})
    assert saved.to.endswith("?saved=2&view=toml")
    assert (await roles.numbers.get(NUMBER)).profile == {"name": "Rosa", "turn_detection": {"type": "none"}}


async def test_the_phone_gets_what_stands_in_the_form(operator: Visit) -> None:
    answer = await operator.send(PAGE, f"{PAGE}/table", {"greeting": "Hi", "max_call_s": "soon", "note": "x"})
    assert json.loads(answer.text) == {"profile": {"greeting": "Hi", "max_call_s": "soon"}}
    wrong = await operator.send(PAGE, f"{PAGE}/table", {"text": "oops"})
    assert (wrong.status, "is not TOML" in json.loads(wrong.text)["problems"][0]) == (422, True)


async def test_a_version_for_test_callers_is_released_and_an_old_one_comes_back(
    operator: Visit, roles: Store
) -> None:
    fields = {"expected": "1", "name": "New", "test_callers": "+15550100009 +15550100008"}
    await operator.send(PAGE, PAGE, fields)
    entry = await roles.numbers.entry(NUMBER)
    assert entry.newest.test_callers == ("+15550100008", "+15550100009")
    assert entry.released is not None
    assert entry.released.sequence == 1
    page = await operator.get(PAGE)
    assert value_of(page, "test_callers") == "+15550100008, +15550100009"
    assert (await operator.send(PAGE, f"{PAGE}/versions/2/release")).status == 303
    assert (await roles.numbers.entry(NUMBER)).newest.test_callers is None
    back = await operator.send(PAGE, f"{PAGE}/versions/1/roll-back")
    assert back.to.endswith("?saved=3")
    listed = await operator.get(f"{PAGE}/versions")
    assert "back to version 1" in listed.text
    shown = await operator.get(f"{PAGE}/versions/3?since=2")
    assert re.search(r"<code>name</code>.*?<del>New</del>.*?<ins>Rosa&#39;s</ins>", shown.text, re.DOTALL)
    assert (await operator.get(f"{PAGE}/versions/9")).status == 404


async def test_profiles_go_out_and_in_as_one_file(operator: Visit, roles: Store) -> None:
    out = await operator.get(f"{LIST}/export")
    assert out.headers["content-disposition"] == 'attachment; filename="profiles.toml"'
    assert out.text.startswith('["+15550100000"]\nname = "Rosa\'s"\n')
    text = out.text.replace("600", "700") + '\n[default]\nname = "All"\n'
    answer = await operator.send(LIST, f"{LIST}/import", file=text.encode())
    assert (answer.status, "2 saved, 0 as they were" in answer.text) == (200, True)
    assert (await roles.numbers.get(NUMBER)).profile["max_call_s"] == 700
    wrong = await operator.send(LIST, f"{LIST}/import", file=b"[default]\nmax_call_s = 1\n\n[x]\n")
    assert (wrong.status, "[default] max_call_s is 1" in wrong.text) == (422, True)
    assert "Nothing was imported" in wrong.text
    assert (await operator.send(LIST, f"{LIST}/import", {"file": ""})).status == 422
    assert (await operator.get(f"{LIST}/export?number=%2B19")).status == 404


async def test_a_recording_is_uploaded_with_the_form(operator: Visit, roles: Store, tmp_path: Path) -> None:
    wav.write(tmp_path / "hello.wav", wav.Wav("pcmu", 8000, 1, bytes(800)))
    fields = {"expected": "1", "greeting": "Hello", "do": "save"}
    wrong = await operator.send(PAGE, PAGE, fields, recording=b"no audio")
    assert (wrong.status, error_of(wrong, "greeting_audio").startswith("the recording: ")) == (422, True)
    sent = (tmp_path / "hello.wav").read_bytes()
    assert (await operator.send(PAGE, PAGE, fields, recording=sent)).status == 303
    name = (await roles.numbers.get(NUMBER)).profile["greeting_audio"]
    assert (tmp_path / "audio" / name).read_bytes() == sent


async def test_retention_is_set_and_a_number_is_deleted_once_it_was_typed(operator: Visit, roles: Store) -> None:
    for wrong in ("0", "a week", "1.5", "99999999999"):
        answer = await operator.send(PAGE, f"{PAGE}/retention", {"days": wrong})
        assert (answer.status, value_of(answer, "days")) == (422, wrong)
    for days, kept in (("30", 30), ("", None)):
        assert (await operator.send(PAGE, f"{PAGE}/retention", {"days": days})).status == 303
        assert (await roles.numbers.entry(NUMBER)).retention_days == kept
    assert (await operator.send(PAGE, f"{PAGE}/delete", {"typed": "+1555"})).status == 422
    gone = await operator.send(PAGE, f"{PAGE}/delete", {"typed": NUMBER})
    assert "is deleted" in (await operator.get(f"/console/{gone.to.rpartition('/')[2]}")).text
    with pytest.raises(NotStored):
        await roles.numbers.get(NUMBER)
    noted = await AuditStore(roles.database).page(what="number.delete")
    assert [row.who for row in noted] == ["operator"]


async def test_a_kept_greeting_is_heard_and_dropped(operator: Visit, roles: Store) -> None:
    await roles.numbers.save(NUMBER, TABLE, "one", ADA)
    at = datetime(2026, 11, 27, tzinfo=UTC)
    for key, version in (("aa", "one"), ("bb", "of another number")):
        kept = Kept(key, version, "openai", "gpt-realtime-2.1", None, "Hello & welcome", b"\x51" * 16_000, at)
        await roles.greetings.keep(kept)
    page = await operator.get(f"{PAGE}/manage")
    assert "“Hello &amp; welcome”" in page.text
    assert "2.0 s, the model's own voice" in unescape(page.text)
    async with operator.http.get(URL(f"{operator.url}{PAGE}/greetings/aa.wav", encoded=True)) as heard:
        assert (heard.status, heard.headers["content-type"]) == (200, "audio/wav")
        assert wav.parse(await heard.read(), "it").duration_ms == 2_000
    assert (await operator.get(f"{PAGE}/greetings/bb.wav")).status == 404
    gone = await operator.send(f"{PAGE}/manage", f"{PAGE}/greetings/drop", {})
    assert gone.status == 303
    assert "Dropped" in (await operator.get(f"{PAGE}/manage?dropped=yes")).text
    assert await roles.greetings.keys() == ["bb"]


async def test_a_viewer_sees_all_and_changes_nothing(visit: Visit, roles: Store) -> None:
    await roles.numbers.save(NUMBER, TABLE, "one", ADA)
    await visit.sign_in("viewer")
    page = await visit.get(PAGE)
    assert (page.status, '<fieldset class="plain" disabled>' in page.text) == (200, True)
    for absent in ("phonebot-phone", "data-save-button", "number.js"):
        assert absent not in page.text
    for path in (
        "",
        "/check",
        "/table",
        "/versions/1/roll-back",
        "/versions/1/release",
        "/retention",
        "/delete",
        "/greetings/drop",
    ):
        assert (await visit.send(PAGE, PAGE + path, {"name": "x", "typed": NUMBER})).status == 403
    for path in (LIST, f"{LIST}/import"):
        assert (await visit.send(LIST, path, {"number": NUMBER})).status == 403
    for path in ("/versions", "/versions/1", "/manage"):
        assert (await visit.get(PAGE + path)).status == 200
    assert (await visit.get("/console/numbers/%2B15550100077")).status == 404
    assert [version.sequence for version in await roles.numbers.versions(NUMBER)] == [1]


@pytest.mark.parametrize("wanted", ["rosa", "55501000", "ROSA 100"])
async def test_a_number_is_found_by_any_of_its_words(operator: Visit, wanted: str) -> None:
    assert ">+15550100000</a>" in (await operator.get(f"{LIST}?q={wanted}")).text
    assert ">+15550100000</a>" not in (await operator.get(f"{LIST}?q=luigi")).text


async def test_what_is_no_number_has_no_page(operator: Visit) -> None:
    for path in ("/console/numbers/0171", "/console/numbers/0171/versions"):
        assert (await operator.get(path)).status == 404
    refused = await operator.send(LIST, LIST, {"number": "0171"})
    assert (refused.status, refused.field("number")) == (422, "0171")


def test_all_fields_of_a_profile_fit_into_a_form() -> None:
    assert 2 * len(FIELDS) < MAX_FORM_FIELDS
