"""
The carrier's requests: what to do with a call, what to do after its stream, how it stands.

Each is checked first: the signature over the configured public URL (never over what Host or a proxy's headers say),
then the account (Twilio, Webhooks security). What does not pass is answered 403 and costs nothing; what is no form
at all is answered 400, 408 or 413 without being checked.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from phonebot.agents.profile import Profile
from phonebot.caps.watch import DayCaps
from phonebot.carrier import twiml
from phonebot.carrier.account import FINAL
from phonebot.carrier.signature import form_is_signed, signed_url, stream_is_signed
from phonebot.log_context import belongs_to_call
from phonebot.replay.log import Kind
from phonebot.traces.setting_up import Traces
from phonebot.transfers.after import Returned, Transfers
from phonebot.transfers.urls import TOKEN, Ticket
from phonebot.web.admission import TOKEN_PARAMETER, Admission, Gate
from phonebot.web.board import Board
from phonebot.web.body import read_body
from phonebot.web.closed import ClosedNumbers
from phonebot.web.crowds import CrowdedNumbers, Party, Reason
from phonebot.web.live import LiveCalls
from phonebot.web.lookups import Lookups
from phonebot.web.outgoing import Outgoing
from phonebot.web.profiles import Answering
from phonebot.web.spent import APOLOGY, SpentNumbers
from phonebot.web.traced import Endpoint, traced

log = logging.getLogger(__name__)

MAX_FIELDS = 200
STREAM = "stream"
"""The parameter of the URL that is asked after a stream: the name that the stream's token gave it."""
ATTEMPT = "outbound"
"""The parameter of URLs that names the attempt of ours at a call: see outbound/dialler.py."""
MAX_BODY_BYTES = 64 * 1024
MAX_ADDRESS_CHARACTERS = 100  # a SIP address may have more, but a token has to fit into a <Parameter>
_NOT_PLAIN = re.compile(r"[^ !#-\[\]-~]")
TurnedAway: TypeAlias = Reason | Literal["closed", "spent", "stopping"]
"""Why the bot does not answer a call: its number is closed, the money of the day spent, or the process stops."""


@dataclass(frozen=True, slots=True)
class Door:
    """
    How a request shows that it comes from the carrier.

    No tokens: every request passes (development) but those of pages in a browser, which name their origin. A page
    of anybody's reaches this machine, too, and would have calls held at the developer's expense.
    """

    public_url: str
    auth_tokens: Sequence[str]
    account_sid: str | None = None

    def lets_in(self, request: Request, fields: list[tuple[str, str]]) -> bool:
        """Whether the carrier signed a form with these fields, in the order sent, for our account."""
        if not self.is_for(dict(fields).get("AccountSid")):
            return False
        if not self.auth_tokens:
            return "origin" not in request.headers
        url = signed_url(self.public_url, request.scope["raw_path"], request.scope["query_string"], "http")
        return form_is_signed(self.auth_tokens, url, fields, request.headers.get("x-twilio-signature"))

    def is_for(self, account_sid: str | None) -> bool:
        """Whether this account's calls are answered; without an account of our own, any account's are."""
        return self.account_sid in (None, account_sid)

    def lets_stream_in(self, scope: Scope) -> bool:
        """Whether the carrier signed the request that opens a stream."""
        headers = Headers(scope=scope)
        if not self.auth_tokens:
            return "origin" not in headers
        url = signed_url(self.public_url, scope["raw_path"], scope["query_string"], "ws")
        return stream_is_signed(self.auth_tokens, url, headers.get("x-twilio-signature"))


class Webhooks:
    """
    The endpoints under /twilio that speak HTTP. `lookups` None: nothing is asked about callers.

    `transfers`: how calls go on that leave the bot; None: they end. `told_of_status` are given the fields of each
    status callback; what they do is done before it is answered. `outgoing` is told of the calls that we make, which
    the query of their URLs names; None: we make none. `caps` say whose calls are not answered any more today,
    `crowded` which are one too many, and tell of them themselves; `forged` is told of each request that is not the
    carrier's, `turned_away` of each other call that the bot does not answer. `board` knows of the other processes;
    None: there are none.
    """

    def __init__(
        self,
        door: Door,
        numbers: Answering,
        gate: Gate,
        live: LiveCalls,
        transfers: Transfers | None = None,
        lookups: Lookups | None = None,
        told_of_status: Sequence[Callable[[dict[str, str]], Awaitable[None]]] = (),
        outgoing: Outgoing | None = None,
        caps: DayCaps | None = None,
        crowded: CrowdedNumbers | None = None,
        forged: Callable[[], None] = lambda: None,
        turned_away: Callable[[TurnedAway], None] = lambda why: None,
        board: Board | None = None,
    ) -> None:
        self._crowded, self._forged, self._turned_away = crowded, forged, turned_away
        self._outgoing = outgoing
        self._board = board
        self._transfers = transfers
        self._told_of_status = told_of_status
        self._door = door
        self._numbers = numbers
        self._gate = gate
        self._live = live
        self._lookups = lookups
        self._closed = ClosedNumbers(f"{door.public_url}/twilio/closed")
        self._spent = SpentNumbers(caps, f"{door.public_url}/twilio/closed") if caps else None
        scheme, _, rest = door.public_url.partition("://")
        self._stream_url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/twilio/media"
        self._after_url = f"{door.public_url}/twilio/after"

    def routes(self, traces: Traces | None = None) -> list[BaseRoute]:
        """All of them. `traces` are told of those that say how a call goes on; None: nobody is."""
        answers: dict[str, Endpoint] = {
            "voice": traced(self.voice, traces),
            "after": traced(self.after, traces),
            "closed": self.closed,
            "status": self.status,
            "amd": self.answered_by,
            "whisper": self.whisper,
            "whisper/key": self.whisper_key,
        }
        return [Route(f"/twilio/{path}", answer, methods=["POST"]) for path, answer in answers.items()]

    async def voice(self, request: Request) -> Response:
        """A call comes in: connect it to the media stream."""
        form = await self._form(request)
        if form is None:
            return FORBIDDEN
        if self._gate.is_over(form.get("CallSid", "")):
            log.warning("the webhook of call %.40r came again after the call's end", form.get("CallSid", ""))
            return FORBIDDEN
        if not await self._is_taken():
            self._turned_away("stopping")
            return _twiml(twiml.hang_up(APOLOGY))
        outbound, profile, call = self._call_of(form)
        if document := self._without_bot(outbound, profile, call):
            return _twiml(document)
        if self._outgoing and (attempt := request.query_params.get(ATTEMPT)):
            self._outgoing.expect(call.call_sid, attempt)
        return self._to_bot(call, profile, outbound)

    def _without_bot(self, outbound: bool, profile: Profile, call: Ticket) -> str | None:
        """How a call is answered for which no stream is to be opened; None: one is."""
        if not outbound and (document := self._closed.document(profile, call.caller, call.number)):
            self._turned_away("closed")
            return document
        if self._spent and (document := self._spent.document(profile, call.caller, call.number, outbound)):
            self._turned_away("spent")
            return document
        if self._crowded and not outbound:
            return self._crowded.document(profile, _party(call))
        return None

    def _call_of(self, form: Mapping[str, str]) -> tuple[bool, Profile, Ticket]:
        """Whether a call was made by us, the profile that answers it, and who calls whom in it."""
        outbound = form.get("Direction", "").startswith("outbound")
        number, caller = ("From", "To") if outbound else ("To", "From")
        profile = self._numbers.profile_for(form.get(number, ""), form.get(caller, ""))
        sid, caller, number = (_shown(form.get(name, "")) for name in ("CallSid", caller, number))
        return outbound, profile, Ticket(sid, caller, number, "")

    def _to_bot(
        self,
        call: Ticket,
        profile: Profile,
        outbound: bool,
        returned: str = "",
        say: tuple[str, str | None] | None = None,
    ) -> Response:
        """Connect a call to the media stream. `say`: words that the caller hears before, and their language."""
        if self._crowded:
            self._crowded.expect(_party(call))
        if self._lookups:
            self._lookups.begin(call.call_sid, profile, call.caller, call.number)
        kind: Kind = "outbound" if outbound else "twilio"
        token, stream = self._gate.issue(
            Admission(call.call_sid, call.caller, call.number, profile.version, kind, returned)
        )
        after_url = f"{self._after_url}?{urlencode({STREAM: stream})}"
        return _twiml(twiml.connect_stream(self._stream_url, after_url, {TOKEN_PARAMETER: token}, say=say))

    async def after(self, request: Request) -> Response:
        """
        The stream has ended, or the caller was put through and is back: go on as was decided, or hang up.

        A caller whose connection broke off, here or in another process, comes back to the bot. One for whom nothing
        can be done is told so.
        """
        form = await self._form(request)
        if form is None:
            return FORBIDDEN
        if self._gate.is_over(form.get("CallSid", "")):  # the carrier asks once more, and does nothing any more
            return _twiml(twiml.hang_up())
        step, call, profile = await self._next_step(request, form)
        if not isinstance(step, Returned):
            return _twiml(step or twiml.hang_up())
        if self._transfers and not await self._is_taken():
            return _twiml(self._transfers.fails(call, profile))
        say = self._transfers.hold_on(profile) if self._transfers and step.held_up else None
        return self._to_bot(call, profile, form.get("Direction", "").startswith("outbound"), step.text, say)

    async def _next_step(
        self, request: Request, form: Mapping[str, str]
    ) -> tuple[str | Returned | None, Ticket, Profile]:
        """How a call goes on, who calls whom in it, and the profile that answers."""
        _, profile, call = self._call_of(form)
        if self._transfers is None:
            return None, call, profile
        if ticket := self._ticket(request):
            profile = self._numbers.profile_for(ticket.number, ticket.caller)
            return await self._transfers.came_back(ticket, profile, form), ticket, profile
        if form.get("CallStatus") in FINAL:  # the caller has gone: nobody waits for an answer
            return None, call, profile
        if self._board:
            self._board.lose(form.get("CallSid", ""))
        stream = request.query_params.get(STREAM, "")
        return await self._transfers.go_on(call, stream, profile), call, profile

    async def _is_taken(self) -> bool:
        """Whether a stream that is asked for now is let in: here, or in another process while this one stops."""
        return not self._live.draining or (self._board is not None and await self._board.others_take_calls())

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
        if self._transfers and (ticket := self._ticket(request)):
            await self._transfers.colleagues.leg_told(ticket, form)
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

    async def whisper(self, request: Request) -> Response:
        """A colleague to whom a call is transferred has answered: what he hears before he is connected."""
        form, ticket = await self._form(request), self._ticket(request)
        if form is None or ticket is None or self._transfers is None:
            return FORBIDDEN
        profile = self._numbers.profile_for(ticket.number, ticket.caller)
        return _twiml(await self._transfers.colleagues.whisper(ticket, profile))

    async def whisper_key(self, request: Request) -> Response:
        """He has pressed a key."""
        form, ticket = await self._form(request), self._ticket(request)
        if form is None or ticket is None or self._transfers is None:
            return FORBIDDEN
        return _twiml(await self._transfers.colleagues.key_pressed(ticket, form))

    def _ticket(self, request: Request) -> Ticket | None:
        """What the URL says that it is about; None: nothing, or it is none of ours."""
        return self._transfers.urls.read(request.query_params.get(TOKEN)) if self._transfers else None

    async def _form(self, request: Request) -> dict[str, str] | None:
        """The fields of a request that the carrier signed; None for any other."""
        fields = await _fields(request)
        if self._door.lets_in(request, fields):
            form = dict(fields)
            belongs_to_call(form.get("CallSid", ""))  # each request has a task of its own
            return form
        self._forged()
        return None


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


def _party(call: Ticket) -> Party:
    return Party(call.call_sid, call.caller, call.number)


def _twiml(document: str) -> Response:
    return Response(document, media_type=twiml.CONTENT_TYPE)


FORBIDDEN = Response("forbidden", 403, media_type="text/plain")
