"""Profiles as TOML, and recordings of greetings."""

from pathlib import Path

from api_driver import Api

from phonebot.audio import wav

FILE = """\
[default]
name = "all"

["+15550100000"]
name = "desk"
"""
TOML = {"Content-Type": "application/toml"}


async def test_a_file_is_imported_and_exported_as_the_same_text(api: Api) -> None:
    for headers in (TOML, {"Content-Type": "text/plain; charset=utf-8"}):
        imported = await api.ask("POST", "/profiles/import", scope="operate", data=FILE, headers=headers)
        assert [each["version"]["number"] for each in imported.json["saved"]] == ["default", "+15550100000"]
    assert not any(each["is_new"] for each in imported.json["saved"])
    exported = await api.get("/profiles/export")
    assert (exported.headers["content-type"], exported.body.decode()) == ("application/toml", FILE)
    assert (await api.get("/profiles/export", number="default")).body.decode() == FILE.partition("\n\n")[0] + "\n"
    assert (await api.get("/profiles/export", number="+15550100009")).status == 404


async def test_of_a_file_with_mistakes_nothing_is_saved(api: Api) -> None:
    wrong = FILE + 'max_call_s = 1\ngreeting_audio = "/etc/passwd"\n'
    refused = await api.ask(
        "POST", "/profiles/import", scope="operate", data=FILE + "max_call_s = 1\n", headers=TOML
    )
    assert refused.json["problems"] == [
        {
            "number": "+15550100000",
            "key": "max_call_s",
            "reason": "is 1",
            "allowed": "a whole number of seconds from 10 to 14400",
        }
    ]
    for text in (wrong, "no TOML", '[default]\ngreeting_audio = "x"\n'):
        refused = await api.ask("POST", "/profiles/import", scope="operate", data=text, headers=TOML)
        assert (refused.status, refused.json["code"]) == (422, "invalid_profile")
        assert refused.json["detail"]
    assert (await api.get("/numbers")).json["items"] == []


async def test_a_greeting_is_kept_and_named_by_a_profile(api: Api, tmp_path: Path) -> None:
    wav.write(tmp_path / "hello.wav", wav.Wav("pcmu", 8000, 1, bytes(800)))
    content = (tmp_path / "hello.wav").read_bytes()
    kept = await api.ask("POST", "/greetings", scope="operate", data=content, headers={"Content-Type": "audio/wav"})
    assert kept.status == 201
    profile = {"greeting": "Hello", "greeting_audio": kept.json["name"]}
    assert (await api.put("/numbers/default", {"profile": profile})).status == 200
    again = await api.ask(
        "POST", "/greetings", scope="operate", data=content, headers={"Content-Type": "audio/wav"}
    )
    assert again.json == kept.json


async def test_what_is_no_recording_is_refused(api: Api, tmp_path: Path) -> None:
    wav.write(tmp_path / "fast.wav", wav.Wav("pcmu", 16000, 1, bytes(800)))
    for content, reason in (
        (b"no wav", "the recording: "),
        ((tmp_path / "fast.wav").read_bytes(), "16000 Hz mono"),
    ):
        refused = await api.ask(
            "POST", "/greetings", scope="operate", data=content, headers={"Content-Type": "audio/wav"}
        )
        assert refused.status == 422
        assert reason in refused.json["detail"]
        assert str(tmp_path) not in refused.json["detail"]
    assert not (tmp_path / "audio").exists()
