"""The account at the carrier, against the emulated one: each answer that its check may give."""

from collections.abc import AsyncIterator

import pytest

from phonebot.checkup.account import MOST_SHOWN, PAGE_NUMBERS, of_clock, of_numbers, twilio
from phonebot.checkup.account import Number as ListedNumber
from phonebot.checkup.check import Check, run
from phonebot.simulator.rest import Number, RestFault, RestServer
from phonebot.simulator.rest import serve as serve_rest

ACCOUNT, TOKEN, URL = "AC" + "1" * 32, "secret-token", "https://bot.example.com"
DESK = "+15550100000"
LINKED = {
    "VoiceUrl": f"{URL}/twilio/voice",
    "VoiceFallbackUrl": f"{URL}/twilio/voice",
    "StatusCallback": f"{URL}/twilio/status",
}


@pytest.fixture
async def account() -> AsyncIterator[RestServer]:
    async with serve_rest(ACCOUNT, TOKEN) as server:
        yield server


async def found(
    account: RestServer, *ours: str, sid: str | None = ACCOUNT, token: str = TOKEN, url: str | None = URL
) -> list[Check]:
    async def wanted() -> list[str]:
        return list(ours)

    checks = await run([twilio(sid, token, account.url, url, wanted)])
    assert all(TOKEN not in check.sentence + check.remedy for check in checks)
    return checks


def states(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.state) for check in checks]


async def test_an_account_whose_numbers_call_us_is_well(account: RestServer) -> None:
    account.numbers += [Number(DESK, dict(LINKED)), Number("+15550100001")]
    checks = await found(account, DESK, "default")
    assert states(checks) == [("Twilio account", "ok"), ("Clock", "ok"), (DESK, "ok")]
    assert checks[0].sentence == f"{ACCOUNT} lets us in and has 2 numbers"
    assert {method for method, *_ in account.requests} == {"GET"}


async def test_numbers_that_nobody_linked_are_warned_of(account: RestServer) -> None:
    account.numbers.append(Number(DESK))
    *_, number, none = await found(account, DESK)
    assert (number.sentence, number.remedy) == (
        "has a profile, but its calls go elsewhere",
        f"Run `phonebot numbers link {DESK}`.",
    )
    assert (none.state, "none of the account's numbers" in none.sentence) == ("warning", True)
    assert none.remedy == "Run `phonebot numbers link NUMBER` for one that is to be answered here."


@pytest.mark.parametrize(
    ("changed", "state", "sentence"),
    [
        ({"VoiceMethod": "GET"}, "failed", "VoiceMethod is GET, not POST"),
        ({"VoiceApplicationSid": "AP1"}, "failed", "an application is on it, so that its webhook is not asked"),
        ({"TrunkSid": "TK1"}, "failed", "belongs to the SIP trunk TK1, so that no webhook is asked"),
        ({"StatusCallback": ""}, "warning", "StatusCallback is not set"),
        ({"StatusCallback": "https://other.example.com"}, "warning", "StatusCallback leads elsewhere"),
        ({"VoiceFallbackUrl": "", "StatusCallbackMethod": "GET"}, "warning", "VoiceFallbackUrl is not set; Status"),
    ],
)
async def test_a_number_that_is_half_linked_says_what_is_not(
    account: RestServer, changed: dict[str, str], state: str, sentence: str
) -> None:
    account.numbers.append(Number(DESK, LINKED | changed))
    check = (await found(account))[2]
    assert (check.name, check.state, check.sentence.startswith(sentence)) == (DESK, state, True)
    assert check.remedy


async def test_a_profile_for_a_number_that_the_account_has_not_is_warned_of(account: RestServer) -> None:
    account.numbers.append(Number("+15550100001", dict(LINKED)))
    check = (await found(account, DESK))[2]
    assert (check.name, check.state) == (DESK, "warning")
    assert check.sentence == "has a profile, but the account has no such number"


def test_a_number_that_the_first_page_of_the_account_does_not_have_is_not_judged() -> None:
    first = [ListedNumber(f"+1555020{number:04}") for number in range(PAGE_NUMBERS)]
    (check,) = of_numbers(first, [DESK], URL)
    assert (check.name, check.state) == (DESK, "skipped")
    assert check.sentence == "not looked at: it is not among the first 1,000 numbers of the account"


async def test_of_many_numbers_the_wrong_ones_are_shown_first(account: RestServer) -> None:
    account.numbers += [Number(f"+1555010{n:04}", dict(LINKED)) for n in range(MOST_SHOWN + 4)]
    account.numbers[-1].set["VoiceMethod"] = "GET"
    _, _, first, *_, more = await found(account)
    assert (first.name, first.state) == (account.numbers[-1].phone_number, "failed")
    assert (more.name, more.state, more.sentence) == ("More numbers", "ok", "4 more, 0 of them not right")
    for number in account.numbers:
        number.set["VoiceMethod"] = "GET"
    more = (await found(account))[-1]
    assert (more.state, more.sentence) == ("warning", "4 more, 4 of them not right")


async def test_wrong_credentials_are_refused_with_what_to_check(account: RestServer) -> None:
    refused, clock = await found(account, token="wrong")
    assert (refused.state, refused.sentence) == ("failed", f"{ACCOUNT} is refused (error 20003)")
    assert refused.remedy == "Check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN."
    assert clock.state == "ok"


@pytest.mark.parametrize(
    ("status", "kind", "state", "sentence"),
    [
        ("suspended", "Full", "failed", "is suspended: it takes and makes no calls"),
        ("active", "Trial", "warning", "is a trial account"),
    ],
)
async def test_an_account_that_is_not_a_full_and_active_one_says_so(
    account: RestServer, status: str, kind: str, state: str, sentence: str
) -> None:
    account.status, account.type = status, kind
    check = (await found(account))[0]
    assert (check.state, check.sentence) == (state, f"{ACCOUNT} {sentence}")
    assert check.remedy


@pytest.mark.parametrize(("ahead_s", "state"), [(0, "ok"), (-20, "warning"), (200, "failed")])
async def test_the_machines_clock_is_compared_with_twilios(account: RestServer, ahead_s: float, state: str) -> None:
    account.ahead_s = ahead_s
    clock = (await found(account))[1]
    assert (clock.name, clock.state) == ("Clock", state)


def test_a_clock_that_is_wrong_says_by_how_much() -> None:
    assert of_clock(-90.2).sentence == "this machine's is 90 s behind Twilio's"
    assert "NTP" in of_clock(-90).remedy
    assert of_clock(7).sentence == "this machine's is 7 s ahead of Twilio's"
    assert of_clock(None).state == "skipped"


async def test_what_is_no_api_of_twilios_is_told(account: RestServer) -> None:
    account.faults.append(RestFault("GET", f"{ACCOUNT}.json", 500))
    check = (await found(account))[0]
    assert (check.state, check.remedy) == ("failed", "Check TWILIO_API_URL.")
    assert "answered 500, not as Twilio does" in check.sentence


async def test_an_api_that_is_away_is_told() -> None:
    away = RestServer(ACCOUNT, TOKEN)
    away.url = "http://127.0.0.1:1"
    check = (await found(away))[0]
    assert (check.state, "connection refused" in check.sentence) == ("failed", True)
    assert check.remedy == "Check the network, the firewall and the name."


async def test_what_is_not_set_up_is_skipped_with_what_to_do(account: RestServer) -> None:
    (check,) = await found(account, sid=None)
    assert (check.state, check.sentence) == ("skipped", "not set up: TWILIO_ACCOUNT_SID is not set")
    assert "Twilio's console" in check.remedy
    numbers = (await found(account, url=None))[2]
    assert (numbers.state, numbers.sentence) == ("skipped", "not looked at: PHONEBOT_PUBLIC_URL is not known")
