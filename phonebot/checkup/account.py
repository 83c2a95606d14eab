"""
The account at the carrier: whether it lets us in and is active, and whether its numbers call this service.

The carrier's clock is read off the Date of its answer: signatures of requests to storage and tokens of streams
depend on ours.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import aiohttp
import msgspec

from phonebot.carrier.linkage import ATTRIBUTES, linkage
from phonebot.carrier.refusals import remedy_for
from phonebot.checkup.check import Check, Probe, State, sentence_of, skipped
from phonebot.checkup.keeping import CLOCKS_APART_S, apart
from phonebot.checkup.network import NETWORK, reason

MAX_ANSWER_BYTES = 8_000_000
PAGE_NUMBERS = 1000  # as many as the API gives at once (Twilio, "Twilio's response", paging)
WRONG_CREDENTIALS = 20003
MOST_SHOWN = 20  # numbers that each have a line
CLOCK_WRONG_S = 60.0  # a stream's token holds for so long

_RIGHT: tuple[State, ...] = ("ok", "skipped")

NAME, CLOCK = "Twilio account", "Clock"
LINK = "Run `phonebot numbers link {number}`."

T = TypeVar("T")


class _Account(msgspec.Struct, frozen=True):
    """Twilio, Account resource."""

    status: str
    type: str = ""


class Number(msgspec.Struct, frozen=True):
    """Of the account's (Twilio, IncomingPhoneNumber resource)."""

    phone_number: str
    voice_url: str | None = None
    voice_method: str | None = None
    voice_fallback_url: str | None = None
    voice_fallback_method: str | None = None
    status_callback: str | None = None
    status_callback_method: str | None = None
    voice_application_sid: str | None = None
    trunk_sid: str | None = None


class _Page(msgspec.Struct, frozen=True):
    incoming_phone_numbers: list[Number]


class _Refusal(msgspec.Struct, frozen=True):
    code: int = 0


class _NoAnswer(Exception):
    """Raised when the API did not do as asked."""

    def __init__(self, told: str, remedy: str) -> None:
        super().__init__(told, remedy)
        self.told, self.remedy = told, remedy


def twilio(
    account_sid: str | None,
    auth_token: str | None,
    api_url: str,
    public_url: str | None,
    ours: Callable[[], Awaitable[Collection[str]]],
) -> Probe:
    """Whether the account lets us in, and its numbers call us. `ours`: the numbers that have a profile."""

    async def look() -> list[Check]:
        if not (account_sid and auth_token):
            missing = "TWILIO_ACCOUNT_SID" if auth_token else "TWILIO_AUTH_TOKEN"
            told = f"not set up: {missing} is not set"
            return [skipped(NAME, told, f"Copy {missing} from Twilio's console, to have the account checked.")]
        api = _Api(account_sid, auth_token, api_url)
        try:
            account = await api.ask("", _Account)
            page = await api.ask(f"/IncomingPhoneNumbers.json?PageSize={PAGE_NUMBERS}", _Page)
        except _NoAnswer as error:
            return [Check(NAME, "failed", error.told, error.remedy), of_clock(api.ahead_s)]
        numbers = page.incoming_phone_numbers
        found = [_of_account(account_sid, account, len(numbers)), of_clock(api.ahead_s)]
        if public_url is None:
            return [*found, skipped("Its numbers", "not looked at: PHONEBOT_PUBLIC_URL is not known")]
        return found + list(of_numbers(numbers, await ours(), public_url))

    return Probe(NAME, look)


class _Api:
    """`ahead_s`: by how much our clock is ahead of the API's, once it has answered."""

    def __init__(self, account_sid: str, auth_token: str, api_url: str) -> None:
        self._sid, self._url = account_sid, api_url
        credentials = b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}"}  # RFC 7617, section 2
        self.ahead_s: float | None = None

    async def ask(self, path: str, kind: type[T]) -> T:
        """A resource of the account. Raises _NoAnswer."""
        url = f"{self._url}/2010-04-01/Accounts/{self._sid}{path or '.json'}"
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, trust_env=True) as http,
                http.get(url, allow_redirects=False) as response,
            ):
                body = await _read(response)
                self._note_date(response.headers.get("Date", ""))
        except aiohttp.ClientError as error:
            raise _NoAnswer(f"{self._url} cannot be reached: {reason(error)}", NETWORK) from None
        if response.status in (401, 403):
            code = _code(body)
            told = f"{self._sid} is refused" + (f" (error {code})" if code else "")
            raise _NoAnswer(told, sentence_of(remedy_for(code or WRONG_CREDENTIALS)))
        try:
            if response.status == 200:
                return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError:
            pass
        raise _NoAnswer(f"{self._url} answered {response.status}, not as Twilio does", "Check TWILIO_API_URL.")

    def _note_date(self, date: str) -> None:
        try:
            theirs = parsedate_to_datetime(date)
        except ValueError:
            return
        self.ahead_s = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_chunked(64 * 1024):
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _code(body: bytes) -> int:
    try:
        return msgspec.json.decode(body, type=_Refusal).code
    except msgspec.DecodeError:
        return 0


def _of_account(account_sid: str, account: _Account, numbers: int) -> Check:
    if account.status != "active":
        told = f"{account_sid} is {account.status:.20}: it takes and makes no calls"
        return Check(NAME, "failed", told, "See Twilio's console for why, or mail its support.")
    more = "or more " if numbers == PAGE_NUMBERS else ""
    told = f"{account_sid} lets us in and has {numbers} {more}number{'' if numbers == 1 else 's'}"
    if account.type == "Trial":
        remedy = "Upgrade it: until then callers hear Twilio's notice, and only verified numbers can be called."
        return Check(NAME, "warning", f"{account_sid} is a trial account", remedy)
    return Check(NAME, "ok", told)


def of_clock(ahead_s: float | None) -> Check:
    """What our clock's being so far ahead of the carrier's means; None: the carrier did not tell its time."""
    if ahead_s is None:
        return skipped(CLOCK, "not compared: Twilio did not tell its time")
    if abs(ahead_s) <= CLOCKS_APART_S:
        return Check(CLOCK, "ok", f"agrees with Twilio's to {CLOCKS_APART_S:g} s")
    told = f"this machine's is {apart(ahead_s)} Twilio's"
    remedy = "Let this machine take its time from NTP (`timedatectl set-ntp true`): tokens of calls depend on it."
    return Check(CLOCK, "failed" if abs(ahead_s) >= CLOCK_WRONG_S else "warning", told, remedy)


# ------------------------------------------------------------------------------------------- numbers


def of_numbers(numbers: Collection[Number], ours: Collection[str], public_url: str) -> Iterator[Check]:
    """
    A check for each number that has a profile or calls us, for `MOST_SHOWN` of them at most.

    `numbers`: what the API gives at once. Of an account with more of them the others are not judged.
    """
    are_all = len(numbers) < PAGE_NUMBERS
    voice = linkage(public_url)["VoiceUrl"]
    owned = {each.phone_number: each for each in numbers}
    wanted = sorted({*ours} - {"default"} | {each.phone_number for each in numbers if each.voice_url == voice})
    checks = [_of_number(owned.get(number), number, public_url, are_all) for number in wanted]
    # What is wrong first: it must not be among those that are left out.
    checks.sort(key=lambda check: check.state in _RIGHT)
    yield from checks[:MOST_SHOWN]
    if len(checks) > MOST_SHOWN:
        wrong = sum(check.state not in _RIGHT for check in checks[MOST_SHOWN:])
        told = f"{len(checks) - MOST_SHOWN} more, {wrong} of them not right"
        remedy = "Mend those above, and look again." if wrong else ""
        yield Check("More numbers", "warning" if wrong else "ok", told, remedy)
    if are_all and not any(each.voice_url == voice for each in numbers):
        yield Check(
            "Calls to us",
            "warning",
            "none of the account's numbers calls this service",
            LINK.format(number="NUMBER").replace(".", " for one that is to be answered here."),
        )


def _of_number(found: Number | None, number: str, public_url: str, are_all: bool) -> Check:
    if found is None and not are_all:
        return skipped(number, f"not looked at: it is not among the first {PAGE_NUMBERS:,} numbers of the account")
    if found is None:
        told, remedy = (
            "has a profile, but the account has no such number",
            "Correct the number, or buy it at Twilio.",
        )
        return Check(number, "warning", told, remedy)
    if found.trunk_sid:
        told = f"belongs to the SIP trunk {found.trunk_sid}, so that no webhook is asked"
        return Check(number, "failed", told, "Take it off the trunk, in Twilio's console.")
    wanted, remedy = linkage(public_url), LINK.format(number=number)
    wrong = [name for name, value in wanted.items() if (getattr(found, ATTRIBUTES[name]) or "") != value]
    if "VoiceUrl" in wrong:
        return Check(number, "warning", "has a profile, but its calls go elsewhere", remedy)
    if not wrong:
        return Check(number, "ok", "its voice, fallback and status webhooks are ours")
    # Without these, calls do not come here; without the others they are less safe.
    fatal = {"VoiceMethod", "VoiceApplicationSid"} & set(wrong)
    told = "; ".join(_deviation(name, getattr(found, ATTRIBUTES[name]) or "", wanted[name]) for name in wrong)
    return Check(number, "failed" if fatal else "warning", told, remedy)


def _deviation(name: str, value: str, wanted: str) -> str:
    if name == "VoiceApplicationSid":
        return "an application is on it, so that its webhook is not asked"
    if not value:
        return f"{name} is not set"
    return f"{name} is {value:.8}, not {wanted}" if name.endswith("Method") else f"{name} leads elsewhere"
