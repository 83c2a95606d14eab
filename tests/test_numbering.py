"""`phonebot numbers ...` and `phonebot db ...`, as one would type them."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import terminal_driver
from service_driver import is_setting

from phonebot import numbering
from phonebot.linking import LinkFailed, link
from phonebot.simulator.rest import Number, RestServer, serve
from phonebot.store.database import Database
from phonebot.store.greetings import GreetingStore, Kept
from phonebot.store.numbers import NumberStore
from phonebot.store.tokens import Token, TokenStore

DESK, TESTER = "+15550100000", "+15550100009"
ACCOUNT, TOKEN = "AC" + "2" * 32, "0123456789abcdef0123456789abcdef"
URL = "https://bot.example.com"


@pytest.fixture(autouse=True)
def _clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in filter(is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(numbering.console, "width", 80)


class Terminal(terminal_driver.Terminal):
    def numbers(self, *arguments: str) -> str:
        return self.says("numbers", *arguments)


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def test_without_numbers_the_list_says_how_to_make_one(terminal: Terminal) -> None:
    assert "no numbers yet" in terminal.numbers("list")
    assert json.loads(terminal.numbers("list", "--json")) == []


def test_what_is_set_is_shown_as_toml(terminal: Terminal) -> None:
    said = terminal.numbers(
        "set", DESK, "greeting=Hello, it's us!", "max_call_s=600", "name=42", "turn_detection.type=local"
    )
    assert said == f"{DESK} version 1 answers from the next call on\n"
    assert terminal.numbers("show", DESK) == (
        f'["{DESK}"]\ngreeting = "Hello, it\'s us!"\nmax_call_s = 600\nname = "42"\n'
        'turn_detection = { type = "local" }\n'
    )


def test_keys_are_changed_one_by_one_and_taken_away_by_an_empty_value(terminal: Terminal) -> None:
    terminal.numbers("set", DESK, "name=desk", "max_call_s=600")
    terminal.numbers("set", DESK, "max_call_s=", "record=false", "barge_in={ hold_ms = 500 }", "voice=")
    assert terminal.numbers("show", DESK) == (
        f'["{DESK}"]\nname = "desk"\nrecord = false\nbarge_in = {{ hold_ms = 500 }}\n'
    )
    assert "nothing changed" in terminal.numbers("set", DESK, "record=false")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("temperature=9",), f"{DESK}: temperature is 9; it must be a number from 0.6 to 1.2"),
        (("temperature=warm",), f'{DESK}: temperature is "warm"; it must be a number from 0.6 to 1.2'),
        (("prompt=Hi {you}",), "prompt holds {you}, but only {caller}, {number}, {now}, {language} are replaced"),
        (("name",), "'name' is not KEY=VALUE"),
        ((), "give KEY=VALUE, --from, --back-to, --release,"),
        (("name=x", "--release"), "give KEY=VALUE, --from, --back-to, --release,"),
        (("--release", "--test-caller", TESTER), "--test-caller goes with KEY=VALUE or --from, or alone"),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence(
    terminal: Terminal, arguments: tuple[str, ...], problem: str
) -> None:
    code, said = terminal.type("numbers", "set", DESK, *arguments)
    assert code == 2
    assert problem in " ".join(said.replace("│", "").split())
    assert json.loads(terminal.numbers("list", "--json")) == []


def test_a_kept_greeting_is_shown_and_dropped(terminal: Terminal, tmp_path: Path) -> None:
    terminal.numbers("set", DESK, "greeting=Hello")
    assert "none is kept" in terminal.numbers("greeting", DESK)

    async def keep() -> None:
        database = Database(f"sqlite:///{tmp_path / 'data' / 'phonebot.db'}")
        version = (await NumberStore(database).get(DESK)).version
        at = datetime(2026, 11, 27, 12, tzinfo=UTC)
        kept = Kept("key", version, "openai", "gpt-realtime-2.1", "marin", "Hello", b"\x51" * 12_000, at)
        await GreetingStore(database).keep(kept)
        await database.close()

    asyncio.run(keep())
    shown = terminal.numbers("greeting", DESK, "--drop")
    assert shown.startswith("Hello\n  1.5 s, marin, gpt-realtime-2.1, kept 2026-11-27 ")
    assert shown.endswith("dropped: the next call gives another one\n")
    assert "none is kept" in terminal.numbers("greeting", DESK)


def test_a_trial_is_listed_released_and_rolled_back(terminal: Terminal) -> None:
    terminal.numbers("set", DESK, "name=old", "--note", "the first")
    assert terminal.numbers("set", DESK, "name=new", "--test-caller", TESTER) == (
        f"{DESK} version 2 for {TESTER} only answers from the next call on\n"
    )
    assert "1, 2 for test callers" in terminal.numbers("list")
    assert "the first" in terminal.numbers("show", DESK, "--versions")
    assert terminal.numbers("show", DESK, "--diff", "1").splitlines() == [
        f"--- {DESK} version 1",
        f"+++ {DESK} version 2",
        "@@ -1 +1 @@",
        '-name = "old"',
        '+name = "new"',
    ]
    terminal.numbers("set", DESK, "--release")
    (entry,) = json.loads(terminal.numbers("list", "--json"))
    assert (entry["released"], entry["newest"]["test_callers"]) == (2, None)
    terminal.numbers("set", DESK, "--test-caller", TESTER)
    assert json.loads(terminal.numbers("show", DESK, "--json"))["test_callers"] == [TESTER]
    terminal.numbers("set", DESK, "--back-to", "1")
    versions = json.loads(terminal.numbers("show", DESK, "--versions", "--json"))
    assert [(each["sequence"], each["profile"]["name"]) for each in versions] == [
        (3, "old"),
        (2, "new"),
        (1, "old"),
    ]


def test_lists_fit_into_80_columns(terminal: Terminal) -> None:
    terminal.numbers(
        "set", DESK, f"name={'A long name ' * 8}", "--note", "for a reason that takes a while to tell " * 3
    )
    for said in (terminal.numbers("list"), terminal.numbers("show", DESK, "--versions")):
        assert max(map(len, said.splitlines())) <= 80


def test_a_file_is_imported_and_exported(terminal: Terminal, tmp_path: Path) -> None:
    text = '[default]\nname = "all"\n\n["+15550100000"]\nname = "desk"\n'
    (tmp_path / "numbers.toml").write_text(text)
    assert terminal.numbers("import", "numbers.toml") == (
        f"default version 1 answers from the next call on\n{DESK} version 1 answers from the next call on\n"
    )
    assert terminal.numbers("export") == text
    terminal.numbers("export", "default", "--out", "default.toml")
    assert (tmp_path / "default.toml").read_text() == '[default]\nname = "all"\n'
    (tmp_path / "desk.toml").write_text('name = "from a file"\n')
    terminal.numbers("set", DESK, "--from", "desk.toml")
    assert terminal.numbers("show", DESK) == f'["{DESK}"]\nname = "from a file"\n'


def test_a_number_that_is_not_there_is_told_as_such(terminal: Terminal) -> None:
    code, said = terminal.type("numbers", "show", "+15550100001")
    assert (code, said) == (
        1,
        "phonebot: there is no number +15550100001: `phonebot numbers list` shows which there are\n",
    )


def test_an_upgrade_says_what_it_did(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "data" / "phonebot.db"
    assert terminal.type("db", "upgrade") == (0, f"the database {path} was brought from nothing to 0001\n")
    assert terminal.type("db", "upgrade") == (0, f"the database {path} is at 0001 already\n")


def test_a_token_is_made_for_the_api_and_only_its_secret_is_printed(terminal: Terminal) -> None:
    code, said = terminal.type("db", "token", "laptop", "--scope", "read", "--scope", "admin", "--days", "2")
    assert (code, said.startswith("phonebot_"), said.count("\n")) == (0, True, 1)
    (token,) = asyncio.run(_tokens())
    assert (token.name, sorted(token.scopes), token.created_by) == ("laptop", ["admin", "read"], "command line")
    assert token.expires_at is not None
    assert round((token.expires_at - token.created_at).total_seconds() / 3600) == 48
    code, said = terminal.type("db", "token", "other", "--scope", "all")
    assert (code, said) == (
        1,
        "phonebot: a token has one or more of the scopes read, operate, admin: choose from them\n",
    )


async def _tokens() -> list[Token]:
    database = Database(f"sqlite:///{Path.cwd()}/data/phonebot.db")
    try:
        return await TokenStore(database).all()
    finally:
        await database.close()


def test_a_database_that_is_away_is_told_without_its_password(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONEBOT_DATABASE_URL", "postgresql://phonebot:hidden@127.0.0.1:1/calls")
    for command in (("numbers", "list"), ("db", "upgrade")):
        code, said = terminal.type(*command)
        assert (code, said.startswith("phonebot: the database 127.0.0.1:1/calls cannot be reached: check")) == (
            1,
            True,
        )
        assert "hidden" not in said


# ------------------------------------------------------------------------------------------- link


@pytest.fixture
async def twilio() -> AsyncIterator[RestServer]:
    async with serve(ACCOUNT, TOKEN) as server:
        server.numbers += [Number("+155501000001"), Number(DESK, {"VoiceUrl": "https://demo.twilio.com/welcome"})]
        yield server


async def linked(twilio: RestServer, number: str = DESK, url: str = URL, token: str = TOKEN) -> dict[str, str]:

    changes = await asyncio.to_thread(link, number, url, ACCOUNT, token, twilio.url)
    return {change.name: change.after for change in changes}


async def test_a_linked_number_calls_the_service(twilio: RestServer) -> None:
    assert await linked(twilio) == {
        "VoiceUrl": f"{URL}/twilio/voice",
        "VoiceFallbackUrl": f"{URL}/twilio/voice",
        "StatusCallback": f"{URL}/twilio/status",
    }
    assert twilio.numbers[1].set["VoiceUrl"] == f"{URL}/twilio/voice"
    assert twilio.numbers[0].set == {}
    assert await linked(twilio) == {}
    assert [method for method, _, _ in twilio.requests] == ["GET", "POST", "GET"]


async def test_an_application_that_would_answer_instead_is_taken_off(twilio: RestServer) -> None:
    twilio.numbers[1].set["VoiceApplicationSid"] = "AP1"
    assert (await linked(twilio))["VoiceApplicationSid"] == ""
    assert await linked(twilio) == {}


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        (
            {"number": "+15550100007"},
            f"the Twilio account {ACCOUNT} has no number +15550100007: buy it, or correct it",
        ),
        ({"token": "wrong"}, "Twilio refuses it with error 20003: check TWILIO_ACCOUNT_SID and"),
        (
            {"url": "https://under_score.example"},
            "Twilio refuses it with error 21402, Unable to update record: ",
        ),
    ],
)
async def test_what_twilio_refuses_is_told_with_its_remedy(
    twilio: RestServer, terms: dict[str, str], problem: str
) -> None:
    with pytest.raises(LinkFailed) as caught:
        await linked(twilio, **terms)
    assert problem in str(caught.value)


async def test_a_number_of_a_trunk_is_left_alone(twilio: RestServer) -> None:
    twilio.numbers[1].set["TrunkSid"] = "TK1"
    with pytest.raises(LinkFailed, match="belongs to the SIP trunk TK1"):
        await linked(twilio)


def test_an_api_that_is_away_is_told_as_such() -> None:
    with pytest.raises(LinkFailed, match=r"^http://127\.0\.0\.1:1 cannot be reached: check the"):
        link(DESK, URL, ACCOUNT, TOKEN, "http://127.0.0.1:1")


async def test_the_command_shows_what_it_set(
    twilio: RestServer, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:

    code, said = terminal.type("numbers", "link", DESK)
    assert (code, "TWILIO_ACCOUNT_SID is missing" in said, "PHONEBOT_PUBLIC_URL is missing" in said) == (
        2,
        True,
        True,
    )
    for name, value in {
        "PHONEBOT_PUBLIC_URL": URL,
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_API_URL": twilio.url,
    }.items():
        monkeypatch.setenv(name, value)
    said = await asyncio.to_thread(terminal.numbers, "link", DESK)
    assert f"VoiceUrl             {URL}/twilio/voice was https://demo.twilio.com/welcome\n" in said
    assert said.endswith(f"{DESK} calls {URL}/twilio/voice\n")
    assert (await asyncio.to_thread(terminal.numbers, "link", DESK)) == f"{DESK} calls {URL}/twilio/voice already\n"


def test_how_long_calls_are_kept_is_set_and_listed(terminal: Terminal) -> None:
    terminal.numbers("set", DESK, "name=desk")
    assert "calls kept" not in terminal.numbers("list")
    assert terminal.numbers("set", DESK, "--retention-days", "30") == (
        f"calls of {DESK} are kept for 30 days after they ended\n"
    )
    assert "30 days" in terminal.numbers("list")
    assert json.loads(terminal.numbers("list", "--json"))[0]["retention_days"] == 30
    assert "until somebody deletes them" in terminal.numbers("set", DESK, "--retention-days", "0")


@pytest.mark.parametrize("arguments", [("name=x",), ("--release",), ("--test-caller", TESTER)])
def test_how_long_calls_are_kept_is_no_part_of_a_profile(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    code, said = terminal.type("numbers", "set", DESK, "--retention-days", "30", *arguments)
    assert code == 2
    assert "give --retention-days alone" in said


def test_model_providers_stay_in_their_file_and_are_exported_with_all_numbers(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "with-providers.toml"
    providers = '[provider.backup]\nkind = "gateway"\nurl = "wss://x.example.com"\nvoices = { marin = "alloy" }\n'
    file.write_text(f'["{DESK}"]\nname = "desk"\n\n{providers}')
    assert terminal.numbers("import", str(file)).endswith(
        "model providers are read from the file that PHONEBOT_PROFILES names, and stay in this one: backup\n"
    )
    assert "provider" not in terminal.numbers("export")
    monkeypatch.setenv("PHONEBOT_PROFILES", str(file))
    assert terminal.numbers("export") == file.read_text()
    assert "provider" not in terminal.numbers("export", DESK)
    terminal.numbers("export", "--out", str(tmp_path / "out.toml"))
    assert (tmp_path / "out.toml").read_text() == file.read_text()
