"""
Acts on calls through the carrier's REST API: places them, gives them other TwiML, hangs them up, asks how they are.

    async with CarrierAccount(account_sid, auth_token) as account:
        call_sid = await account.create_call("+15550100009", "+15550100002", url=..., status_callback=...)
        await account.hang_up(call_sid)

Everything here raises an AccountError, within DEADLINE_S, and nothing else. What is refused for now (429, 5xx, no
answer) is asked again with growing pauses wherever asking twice does no harm. Placing a call twice would: the API
knows no key by which it could tell that it is the same (Twilio, Call resource, Create a Call). So where nobody
knows whether a call was placed it is looked for among the account's calls; it is placed again only if the API
answered that it failed and there is none.
"""

import asyncio
import logging
import re
import secrets
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import aiohttp
import msgspec
from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]  # ships no types
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from phonebot.carrier.refusals import remedy_for
from phonebot.errors import AccountError, CarrierRefused, CarrierUnreachable

log = logging.getLogger(__name__)

API_URL = "https://api.twilio.com"
DEADLINE_S = 10.0
MAX_RESPONSE_BYTES = 1024 * 1024
PAUSES_S = (0.3, 0.6, 1.2, 2.4)  # between tries, each longer by up to a half at random
NOT_IN_PROGRESS, NOT_FOUND = 21220, 20404
FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""Twilio, Call resource, Status: a call of which one of these is told is over."""
CLOCKS_APART = timedelta(seconds=3)  # how much ours and the carrier's may differ
REMEMBERED = 1000  # calls that are surely not the one looked for

Event = Literal["initiated", "ringing", "answered", "completed"]
Detection = Literal["Enable", "DetectMessageEnd"]
T = TypeVar("T")

_STATUS, _CODE = re.compile(r"\bHTTP ([0-9]{3})\b"), re.compile(r'"code": ?([0-9]+)')
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_REMEDY = "check the network, TWILIO_API_URL and Twilio's status page"


class CarrierAccount:
    """
    An account at the carrier, while the block runs.

    `deadline_s` is that of each method as a whole, with all its tries and pauses.

    None of this ends a call: whoever asks tells the caller, or goes on.
    """

    def __init__(
        self, account_sid: str, auth_token: str, api_url: str = API_URL, *, deadline_s: float = DEADLINE_S
    ) -> None:
        self._credentials = account_sid, auth_token
        self._api_url = api_url
        self._deadline_s = deadline_s
        self._try_s = deadline_s * 0.4  # so that there is time to look for a call, or for another try
        self._http: _Http | None = None
        self._client: Any = None  # of Twilio's library; None outside the block
        self._placed: deque[str] = deque(maxlen=REMEMBERED)  # SIDs of calls that were placed and told of

    async def __aenter__(self) -> Self:
        self._http = _Http()
        self._client = Client(*self._credentials, http_client=self._http)
        self._client.api.base_url = self._api_url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None, "the block was entered"
        await self._http.close()

    # ------------------------------------------------------------------ what one can ask for

    async def create_call(
        self,
        to: str,
        from_: str,
        *,
        url: str,
        status_callback: str,
        status_events: Sequence[Event] = ("initiated", "ringing", "answered", "completed"),
        ring_s: int,
        limit_s: int,
        machine_detection: Detection | None = None,
        amd_callback: str | None = None,
        send_digits: str | None = None,
    ) -> str:
        """
        Call `to` from a number of the account; `url` is asked what to do once somebody answers. Return the CallSid.

        It rings for `ring_s` and lasts `limit_s` at most. With `amd_callback` the call begins at once and that URL
        is told who answered; without, `url` is asked after the detection, and told. `send_digits` rules a detection
        out (Twilio, Call resource, SendDigits).

        Raises CarrierRefused, and CarrierUnreachable: with `unsure` the call may have been placed all the same, and
        nothing is known of it: look once more (`find_call`) before it is placed again.
        """
        given: dict[str, object] = {
            "to": to,
            "from_": from_,
            "url": url,
            "method": "POST",
            "status_callback": status_callback,
            "status_callback_method": "POST",
            "status_callback_event": list(status_events),
            "timeout": ring_s,
            "time_limit": limit_s,
        }
        if send_digits is not None:
            given["send_digits"] = send_digits
        if machine_detection is not None:
            given["machine_detection"] = machine_detection
        if amd_callback is not None:
            given |= {
                "async_amd": "true",
                "async_amd_status_callback": amd_callback,
                "async_amd_status_callback_method": "POST",
            }
        began = datetime.now(UTC)

        async def place() -> str:
            try:
                created = await self._once(lambda: self._client.calls.create_async(**given))
                return str(created.sid)
            except CarrierUnreachable as error:
                if not error.unsure:
                    raise
                if found := await self._whether_placed(to, from_, began):
                    return found
                # The API answered that it failed, and shows no such call: now it is sure.
                raise CarrierUnreachable(error.problem, error.status is None, error.status) from error

        call_sid = await self._persist(place, again=_is_surely_undone)
        self._placed.append(call_sid)
        return call_sid

    async def find_call(self, to: str, from_: str, since: datetime) -> str | None:
        """
        A call between these numbers that was created since then and is none that `create_call` told of; the latest.

        What the API shows is some time behind (Twilio, Call resource: reads are eventually consistent). Raises an
        AccountError when it cannot be asked.
        """
        return await self._persist(lambda: self._once(lambda: self._look_for(to, from_, since)))

    async def update_call(self, call_sid: str, *, twiml: str) -> None:
        """
        Have the call go on with this TwiML, of at most 4000 characters; a media stream that it is on ends.

        Raises CarrierRefused with code 21220 when the call is over, or has not been answered yet.
        """
        # Right after it was answered a call may be said not to be in progress yet.
        tries = iter((True,))
        await self._persist(
            lambda: self._once(lambda: self._client.calls(call_sid).update_async(twiml=twiml)),
            again=lambda error: (
                _is_for_now(error)
                or (isinstance(error, CarrierRefused) and error.code == NOT_IN_PROGRESS and next(tries, False))
            ),
        )

    async def hang_up(self, call_sid: str) -> None:
        """End a call, be it ringing or answered. One that is over, or that nobody knows any more, is no error."""
        try:
            await self._persist(
                lambda: self._once(lambda: self._client.calls(call_sid).update_async(status="completed"))
            )
        except CarrierRefused as refused:
            if refused.code not in (NOT_IN_PROGRESS, NOT_FOUND):
                raise

    async def call_state(self, call_sid: str) -> str | None:
        """Its CallStatus (queued, ringing, in-progress, completed, ...); None when nobody knows the call."""
        try:
            found = await self._persist(lambda: self._once(lambda: self._client.calls(call_sid).fetch_async()))
            return str(found.status)
        except CarrierRefused as refused:
            if refused.code == NOT_FOUND:
                return None
            raise

    # ------------------------------------------------------------------ how it is asked

    async def _once(self, request: Callable[[], Awaitable[T]]) -> T:
        """One try. Raises an AccountError, whatever goes wrong."""
        assert self._client is not None, "an account is used within its block"
        try:
            async with asyncio.timeout(self._try_s):
                return await request()
        except TwilioException as error:
            raise _refusal(error) from error
        except aiohttp.ClientConnectorError as error:  # nothing was sent
            raise CarrierUnreachable(f"{self._api_url} cannot be reached: {_REMEDY}") from error
        except TimeoutError as error:
            raise CarrierUnreachable(f"{self._api_url} did not answer: {_REMEDY}", unsure=True) from error
        except (aiohttp.ClientError, OSError) as error:
            problem = f"{self._api_url} did not answer as it should ({type(error).__name__}): {_REMEDY}"
            raise CarrierUnreachable(problem, unsure=True) from error

    async def _persist(
        self, request: Callable[[], Awaitable[T]], again: Callable[[AccountError], bool] | None = None
    ) -> T:
        """What a request comes to; asked again, with pauses, while `again` says so and there is time."""
        again = again or _is_for_now
        unanswered = CarrierUnreachable(f"{self._api_url} did not answer in time: {_REMEDY}", unsure=True)
        last: AccountError = unanswered
        try:
            async with asyncio.timeout(self._deadline_s):
                for pause_s in (*PAUSES_S, None):
                    last = unanswered
                    try:
                        return await request()
                    except AccountError as error:
                        last = error
                    if pause_s is None or not again(last):
                        break
                    await asyncio.sleep(pause_s * (1 + secrets.randbelow(500) / 1000))
        except TimeoutError:
            pass  # `last` tells of what came of it until then
        raise last

    async def _whether_placed(self, to: str, from_: str, since: datetime) -> str | None:
        """The call that may have been placed, None if the account shows none. Raises CarrierUnreachable, unsure."""
        for wait_s in (0.0, self._deadline_s * 0.1):  # what was placed a moment ago may not be shown yet
            await asyncio.sleep(wait_s)
            try:
                found = await self._once(lambda: self._look_for(to, from_, since))
            except AccountError as error:
                raise CarrierUnreachable(f"whether {to} was called is not known: {error}", unsure=True) from error
            if found is not None:
                return found
        return None

    async def _look_for(self, to: str, from_: str, since: datetime) -> str | None:
        found = await self._client.calls.list_async(to=to, from_=from_, limit=20, page_size=20)
        for call in found:
            is_recent = call.date_created is None or call.date_created >= since - CLOCKS_APART
            if is_recent and call.sid not in self._placed:
                return str(call.sid)
        return None


def _is_for_now(error: AccountError) -> bool:
    return isinstance(error, CarrierUnreachable)


def _is_surely_undone(error: AccountError) -> bool:
    return isinstance(error, CarrierUnreachable) and not error.unsure


def _refusal(error: Any) -> AccountError:
    """What the API's answer means. Where a list is refused the library has nothing but the answer as its text."""
    text = str(error)
    status = int(getattr(error, "status", None) or next(iter(_STATUS.findall(text)), 0))
    code = int(getattr(error, "code", None) or next(iter(_CODE.findall(text)), 0))
    if status == 429 or status >= 500:
        problem = f"Twilio answers with status {status}: {_REMEDY if status != 429 else remedy_for(20429)}"
        return CarrierUnreachable(problem, unsure=status != 429, status=status)
    return CarrierRefused(code, _NOT_SHOWN.sub(" ", str(getattr(error, "msg", ""))), remedy_for(code))


class _Http(AsyncHttpClient):  # type: ignore[misc]  # ships no types
    """What Twilio's library sends its requests by. Its own has no bound on what it reads, and no deadline."""

    def __init__(self) -> None:
        super().__init__(log, is_async=True)
        self._session = aiohttp.ClientSession()

    async def close(self) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # the library's signature; `_once` has the deadline
        allow_redirects: bool = False,
    ) -> Response:
        sent = dict(headers or {})
        if auth is not None:
            sent["Authorization"] = f"Basic {b64encode(':'.join(auth).encode()).decode()}"  # RFC 7617, section 2
        async with self._session.request(
            method, uri, params=_texts(params), data=data, headers=sent, allow_redirects=allow_redirects
        ) as response:
            body = bytearray()
            async for part in response.content.iter_chunked(64 * 1024):
                body += part
                if len(body) > MAX_RESPONSE_BYTES:
                    raise aiohttp.ClientPayloadError(f"the answer has more than {MAX_RESPONSE_BYTES} bytes")
            text = body.decode(errors="replace")
            if response.ok and not _tells_of_calls(text):
                raise aiohttp.ClientPayloadError("the answer is no call and no list of calls")
            return Response(response.status, text, response.headers)


def _texts(params: dict[str, object] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (params or {}).items()}


class _Answer(msgspec.Struct):
    """A call, or a list of calls: without these fields the library fails, or has None for what was not said."""

    sid: str = ""
    status: str = ""
    date_created: str | None = None
    date_updated: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    calls: "list[_Answer] | None" = None


def _tells_of_calls(text: str) -> bool:
    try:
        answer = msgspec.json.decode(text, type=_Answer)
    except (msgspec.DecodeError, RecursionError):
        return False
    calls = [answer] if answer.calls is None else answer.calls
    return all(call.sid and call.status for call in calls)
