"""
The carrier's requests: what to do with a call, what to do after its stream, how it stands.

Each is checked first: the signature over the configured public URL (never over what Host or a proxy's headers say),
then the account (Twilio, Webhooks security). What does not pass is answered 403 and costs nothing; what is no form
at all is answered 400, 408 or 413 without being checked.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from phonebot.carrier import twiml
from phonebot.carrier.signature import form_is_signed, signed_url, stream_is_signed
from phonebot.web.admission import TOKEN_PARAMETER, Admission, Gate
from phonebot.web.body import read_body
from phonebot.web.closed import ClosedNumbers
from phonebot.web.live import LiveCalls
from phonebot.web.lookups import Lookups
from phonebot.web.outgoing import Outgoing
from phonebot.web.profiles import Answering

log = logging.getLogger(__name__)

MAX_FIELDS = 200
ATTEMPT = "outbound"
"""The parameter of URLs that names the attempt of ours at a call: see outbound/dialler.py."""
MAX_BODY_BYTES = 64 * 1024
MAX_ADDRESS_CHARACTERS = 100  # a SIP address may have more, but a token has to fit into a <Parameter>
_NOT_PLAIN = re.compile(r"[^ !#-\[\]-~]")
APOLOGY = "We are sorry, we cannot take your call at the moment. Please try again later."


@dataclass(frozen=True, slots=True)
class Door:
    """How a request shows that it comes from the carrier. No tokens: every request passes (development)."""

    public_url: str
    auth_tokens: Sequence[str]
    account_sid: str | None = None

    def lets_in(self, request: Request, fields: list[tuple[str, str]]) -> bool:
        """Whether the carrier signed a form with these fields, in the order sent, for our account."""
        if not self.is_for(dict(fields).get("AccountSid")):
            return False
        if not self.auth_tokens:
            return True
        url = signed_url(self.public_url, request.scope["raw_path"], request.scope["query_string"], "http")
        return form_is_signed(self.auth_tokens, url, fields, request.headers.get("x-twilio-signature"))

    def is_for(self, account_sid: str | None) -> bool:
        """Whether this account's calls are answered; without an account of our own, any account's are."""
        return self.account_sid in (None, account_sid)

    def lets_stream_in(self, scope: Scope) -> bool:
        """Whether the carrier signed the request that opens a stream."""
        if not self.auth_tokens:
            return True
        url = signed_url(self.public_url, scope["raw_path"], scope["query_string"], "ws")
        signature = Headers(scope=scope).get("x-twilio-signature")
        return stream_is_signed(self.auth_tokens, url, signature)


class Webhooks:
    """
    The endpoints under /twilio that speak HTTP. `lookups` None: nothing is asked about callers.

    `told_of_status` are given the fields of each status callback; what they do is done before it is answered.
    `outgoing` is told of the calls that we make, which the query of their URLs names; None: we make none.
    """

    def __init__(
        self,
        door: Door,
        numbers: Answering,
        gate: Gate,
        live: LiveCalls,
        lookups: Lookups | None = None,
        told_of_status: Sequence[Callable[[dict[str, str]], Awaitable[None]]] = (),
        outgoing: Outgoing | None = None,
    ) -> None:
        self._outgoing = outgoing
        self._told_of_status = told_of_status
        self._door = door
        self._numbers = numbers
        self._gate = gate
        self._live = live
        self._lookups = lookups
        self._closed = ClosedNumbers(f"{door.public_url}/twilio/closed")
        scheme, _, rest = door.public_url.partition("://")
        self._stream_url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/twilio/media"
        self._after_url = f"{door.public_url}/twilio/after"

    async def voice(self, request: Request) -> Response:
        """A call comes in: connect it to the media stream."""
        form = await self._form(request)
        if form is None:
            return FORBIDDEN
        if self._live.draining:
            return _twiml(twiml.hang_up(APOLOGY))
        outbound = form.get("Direction", "").startswith("outbound")
        number, caller = ("From", "To") if outbound else ("To", "From")
        profile = self._numbers.profile_for(form.get(number, ""), form.get(caller, ""))
        admission = Admission(
            call_sid=_shown(form.get("CallSid", "")),
            caller=_shown(form.get(caller, "")),
            number=_shown(form.get(number, "")),
            profile_version=profile.version,
            kind="outbound" if outbound else "twilio",
        )
        if not outbound and (document := self._closed.document(profile, admission.caller, admission.number)):
            return _twiml(document)
        if self._outgoing and (attempt := request.query_params.get(ATTEMPT)):
            self._outgoing.expect(admission.call_sid, attempt)
        if self._lookups:
            self._lookups.begin(admission.call_sid, profile, admission.caller, admission.number)
        token = self._gate.issue(admission)
        return _twiml(twiml.connect_stream(self._stream_url, self._after_url, {TOKEN_PARAMETER: token}))

    async def after(self, request: Request) -> Response:
        """
        The stream has ended: say so if it failed and the caller is still there, and hang up.

        While the service stops, a call that is not known here is one whose stream was refused.
        """
        form = await self._form(request)
        if form is None:
            return FORBIDDEN
        outcome = self._live.outcome(form.get("CallSid", ""))
        failed = outcome == "model_failed" or (outcome is None and self._live.draining)
        return _twiml(twiml.hang_up(APOLOGY if failed else None))

    async def closed(self, request: Request) -> Response:
        """A call that came while it was closed was put through, or was not answered there."""
        form = await self._form(request)
        if form is None:
            return FORBIDDEN
        number, caller = form.get("To", ""), form.get("From", "")
        profile = self._numbers.profile_for(number, caller)
        was_answered = form.get("DialCallStatus") in ("completed", "answered")
        return _twiml(self._closed.after(profile, _shown(caller), _shown(number), was_answered))

    async def status(self, request: Request) -> Response:
        """How a call stands, as the carrier sees it."""
        form = await self._form(request)
        if form is None:
            return FORBIDDEN
        log.info("call %.40r is %.20r", form.get("CallSid", ""), form.get("CallStatus", ""))
        for tell in self._told_of_status:
            await tell(form)
        if self._outgoing and (attempt := request.query_params.get(ATTEMPT)):
            await self._outgoing.status(attempt, form)
        return Response(status_code=204)

    async def answered_by(self, request: Request) -> Response:
        """Who answered a call that we make, as the carrier's detection of answering machines found out."""
        form = await self._form(request)
        if form is None:
            return FORBIDDEN
        if self._outgoing and (attempt := request.query_params.get(ATTEMPT)):
            await self._outgoing.detected(attempt, form)
        return Response(status_code=204)

    async def _form(self, request: Request) -> dict[str, str] | None:
        """The fields of a request that the carrier signed; None for any other."""
        fields = await _fields(request)
        return dict(fields) if self._door.lets_in(request, fields) else None


async def _fields(request: Request) -> list[tuple[str, str]]:
    """The form in the body, blank fields and all, since they are signed too. Raises HTTPException if it is none."""
    body = await read_body(request, MAX_BODY_BYTES)
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise HTTPException(400, f"the body is no form of at most {MAX_FIELDS} fields in UTF-8") from None


def _shown(text: str) -> str:
    """An identifier or address as a token can hold it: its characters take one byte of JSON each."""
    return _NOT_PLAIN.sub("?", text[:MAX_ADDRESS_CHARACTERS])


def _twiml(document: str) -> Response:
    return Response(document, media_type=twiml.CONTENT_TYPE)


FORBIDDEN = Response("forbidden", 403, media_type="text/plain")
