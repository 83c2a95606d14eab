"""
The REST API's calls: created, looked at, given other TwiML, hung up, recorded (Twilio, "Call resource").

Parameters that Twilio has and this carrier does not act upon are refused, so that nobody relies on them in vain.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from math import ceil
from typing import Literal

from aiohttp import web

from phonebot.simulator.account import Account
from phonebot.simulator.detection import DetectionOrder
from phonebot.simulator.leg import Leg
from phonebot.simulator.outgoing import call
from phonebot.simulator.recording import EVENTS, RecordingOrder
from phonebot.simulator.rest import Handler, Refused, is_url, know, not_found, page
from phonebot.simulator.ringing import Ring, party_of
from phonebot.simulator.terms import Over, Replaced, Source, StatusCallback

MAX_TWIML_CHARACTERS = 4000
PROGRESS = frozenset({"initiated", "ringing", "answered", "completed"})
URLS = ("Url", "FallbackUrl", "StatusCallback", "AsyncAmdStatusCallback", "RecordingStatusCallback")
DETECTION = frozenset(
    {
        "MachineDetection",
        "MachineDetectionTimeout",
        "MachineDetectionSpeechThreshold",
        "MachineDetectionSpeechEndThreshold",
        "MachineDetectionSilenceTimeout",
        "AsyncAmd",
        "AsyncAmdStatusCallback",
        "AsyncAmdStatusCallbackMethod",
    }
)
RECORDING = frozenset(
    {
        "RecordingChannels",
        "RecordingTrack",
        "RecordingStatusCallback",
        "RecordingStatusCallbackMethod",
        "RecordingStatusCallbackEvent",
        "Trim",
    }
)
CHANGEABLE = frozenset(
    {
        "Url",
        "Method",
        "Twiml",
        "FallbackUrl",
        "FallbackMethod",
        "StatusCallback",
        "StatusCallbackMethod",
        "TimeLimit",
    }
)
UPDATABLE = CHANGEABLE | {"Status"}
CREATABLE = (
    CHANGEABLE
    | DETECTION
    | RECORDING
    | {"To", "From", "StatusCallbackEvent", "Timeout", "SendDigits", "Record", "CallReason", "CallToken"}
)
READABLE = frozenset({"To", "From", "Status", "ParentCallSid", "PageSize", "Page", "PageToken"})
# Twilio, Call resource and Answering Machine Detection: the least and the most of each.
RANGES = {
    "Timeout": (1, 600),
    "TimeLimit": (1, 86_400),
    "MachineDetectionTimeout": (3, 59),
    "MachineDetectionSpeechThreshold": (1000, 6000),
    "MachineDetectionSpeechEndThreshold": (500, 5000),
    "MachineDetectionSilenceTimeout": (2000, 10_000),
}
NUMBER = re.compile(r"\+[1-9]\d{6,14}")
DIGITS = re.compile(r"[0-9A-D#*wW]{1,32}")


class CallResources:
    """Calls of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return (
            ("POST", "/Calls.json", self._create),
            ("GET", "/Calls.json", self._list),
            ("GET", "/Calls/{call}.json", self._get),
            ("POST", "/Calls/{call}.json", self._update),
        )

    async def _create(self, _request: web.Request, given: dict[str, str]) -> web.Response:
        account = self._account
        know(given, CREATABLE)
        check_numbers(account, given)
        check_values(given)
        source = _source("outbound voice", given)
        if source is None:
            raise Refused(400, 21205, "Url parameter is required")
        callee = account.callee(given["To"])
        ringing = Ring(callee, float(given.get("Timeout", 60)), given.get("SendDigits", ""), _detection(given))
        leg = place(account, ringing, given)
        if given.get("Record") == "true":
            order = recording_order(given, "OutboundAPI")
            leg.on_answer = partial(account.record, leg, order)
        account.adopt(leg, partial(call, account, leg, ringing, source))
        return web.json_response(show(account, leg), status=201)

    async def _list(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, READABLE)
        shown = (show(self._account, leg) for leg in reversed(self._account.legs.values()))
        fields = {"To": "to", "From": "from", "Status": "status", "ParentCallSid": "parent_call_sid"}
        wanted = {fields[name]: value for name, value in given.items() if name in fields}
        found = [each for each in shown if all(each[name] == value for name, value in wanted.items())]
        return page(request, "calls", found)

    async def _get(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset())
        return web.json_response(show(self._account, find(self._account, request)))

    async def _update(self, request: web.Request, given: dict[str, str]) -> web.Response:
        leg = find(self._account, request)
        know(given, UPDATABLE)
        check_values(given)
        if "Twiml" in given and "Url" in given:
            raise Refused(400, 20001, "Twiml and Url exclude each other")
        status = given.get("Status")
        if status not in (None, "completed", "canceled"):
            raise Refused(400, 20001, f"Status is not valid: {status}")
        if leg.is_over or (not leg.is_answered and status is None):
            raise Refused(400, 21220, "Call is not in-progress. Cannot redirect.")
        if "StatusCallback" in given:
            leg.status_callback = StatusCallback(given["StatusCallback"], given.get("StatusCallbackMethod", "POST"))
        if "TimeLimit" in given:
            leg.limit_ms = float(given["TimeLimit"]) * 1000
        source = _source("update", given)
        if status == "completed" or (status == "canceled" and not leg.is_answered):
            final = "completed" if leg.is_answered else "canceled"
            leg.interrupt(Over("ended by request", f"Status={status}", final))
        elif status is None and source is not None:
            leg.interrupt(Replaced(source))
        return web.json_response(show(self._account, leg))


def find(account: Account, request: web.Request) -> Leg:
    """The leg that a path names."""
    leg = account.legs.get(request.match_info["call"])
    if leg is None:
        raise not_found(request)
    return leg


def place(account: Account, ringing: Ring, given: dict[str, str]) -> Leg:
    """A leg that is to be rung, as a request ordered it."""
    leg = Leg(
        party_of(ringing.callee),
        account.terms,
        from_number=given["From"],
        to_number=given["To"],
        direction="outbound-api",
        limit_s=float(given.get("TimeLimit", 14_400)),
    )
    leg.record.status = "queued"
    if given.get("StatusCallback"):
        events = frozenset(given.get("StatusCallbackEvent", "completed").split())
        if not events <= PROGRESS:
            raise Refused(400, 20001, f"StatusCallbackEvent is not valid: {given['StatusCallbackEvent']}")
        method = given.get("StatusCallbackMethod", "POST")
        leg.status_callback = StatusCallback(given["StatusCallback"], method, events)
    return leg


def check_numbers(account: Account, given: dict[str, str]) -> None:
    """Refuse numbers that cannot be called, or called from."""
    to_number, from_number = given.get("To", ""), given.get("From", "")
    if not to_number:
        raise Refused(400, 21201, "No 'To' number is specified")
    if not from_number:
        raise Refused(400, 21213, "'From' phone number is required")
    if not NUMBER.fullmatch(to_number):
        raise Refused(400, 21211, f"The phone number you are attempting to call, {to_number}, is not valid.")
    if not NUMBER.fullmatch(from_number):
        raise Refused(400, 21212, f"The source phone number provided, {from_number}, is not valid.")
    if not account.owns(from_number):
        raise Refused(400, 21210, f"The source phone number provided, {from_number}, is not yet verified.")


def check_values(given: dict[str, str]) -> None:
    """Refuse values that Twilio's documents rule out."""
    for name in URLS:
        if name in given and not is_url(given[name]):
            raise Refused(400, 21205, f"{name} is not a valid URL: {given[name]}")
    for name, value in given.items():
        if name.endswith("Method") and value not in ("GET", "POST"):
            raise Refused(400, 21403, f"{name} is not valid: {value}")
    _check_ranges(given)
    if len(given.get("Twiml", "")) > MAX_TWIML_CHARACTERS:
        raise Refused(400, 20001, f"Twiml is longer than {MAX_TWIML_CHARACTERS} characters")
    if "SendDigits" in given and not DIGITS.fullmatch(given["SendDigits"]):
        raise Refused(400, 20001, f"SendDigits is not valid: {given['SendDigits']}")
    for name in ("Record", "AsyncAmd"):
        if given.get(name, "true") not in ("true", "false"):
            raise Refused(400, 20001, f"{name} is not valid: {given[name]}")


def _check_ranges(given: dict[str, str]) -> None:
    for name, (least, most) in RANGES.items():
        value = given.get(name, str(least))
        if not value.isdecimal() or not least <= int(value) <= most:
            raise Refused(400, 20001, f"{name} must be {least} to {most}: {value}")


def recording_order(given: dict[str, str], source: str) -> RecordingOrder:
    """How a request wants a leg to be recorded."""
    channels, track = given.get("RecordingChannels", "mono"), given.get("RecordingTrack", "both")
    events = given.get("RecordingStatusCallbackEvent", "completed").split()
    if channels not in ("mono", "dual") or track not in ("inbound", "outbound", "both"):
        raise Refused(400, 20001, f"RecordingChannels or RecordingTrack is not valid: {channels}, {track}")
    if not EVENTS.issuperset(events):
        raise Refused(400, 13621, f"RecordingStatusCallbackEvent is not valid: {' '.join(events)}")
    return RecordingOrder(
        source,
        2 if channels == "dual" else 1,
        track,
        given.get("RecordingStatusCallback"),
        given.get("RecordingStatusCallbackMethod", "POST"),
        frozenset(events),
    )


def show(account: Account, leg: Leg) -> dict[str, object]:
    """A call as the API shows it."""
    record = leg.record
    path = f"/2010-04-01/Accounts/{account.terms.account_sid}/Calls/{leg.sid}"
    began = leg.created if leg.is_answered else None
    seconds = ceil(leg.lasted_ms / 1000)
    return {
        "sid": leg.sid,
        "account_sid": account.terms.account_sid,
        "api_version": "2010-04-01",
        "answered_by": record.answered_by,
        "date_created": format_datetime(leg.created),
        "date_updated": format_datetime(datetime.now(UTC)),
        "direction": record.direction,
        "duration": str(seconds) if leg.is_over else None,
        "end_time": format_datetime(leg.created + timedelta(seconds=seconds)) if leg.is_over else None,
        "from": record.from_number,
        "parent_call_sid": record.parent_sid,
        "price": None,
        "price_unit": "USD",
        "queue_time": "0",
        "start_time": None if began is None else format_datetime(began),
        "status": record.status if record.status != "initiated" else "queued",
        "subresource_uris": {"recordings": f"{path}/Recordings.json"},
        "to": record.to_number,
        "uri": f"{path}.json",
    }


def _source(purpose: str, given: dict[str, str]) -> Source | None:
    """The TwiML that a request gives, or tells where to ask for; None when it does not."""
    fallback = None
    if "FallbackUrl" in given:
        fallback = Source("fallback", given["FallbackUrl"], given.get("FallbackMethod", "POST"))
    if "Url" in given:
        return Source(purpose, given["Url"].partition("#")[0], given.get("Method", "POST"), fallback=fallback)
    return Source(purpose, twiml=given["Twiml"]) if "Twiml" in given else None


def _detection(given: dict[str, str]) -> DetectionOrder | None:
    mode = given.get("MachineDetection")
    modes: dict[str, Literal["Enable", "DetectMessageEnd"]] = {
        "Enable": "Enable",
        "DetectMessageEnd": "DetectMessageEnd",
    }
    if mode is None:
        return None
    if mode not in modes:
        raise Refused(400, 20001, f"MachineDetection is not valid: {mode}")
    return DetectionOrder(
        modes[mode],
        int(given.get("MachineDetectionTimeout", 30)) * 1000,
        int(given.get("MachineDetectionSpeechThreshold", 2400)),
        int(given.get("MachineDetectionSpeechEndThreshold", 1200)),
        int(given.get("MachineDetectionSilenceTimeout", 5000)),
        given.get("AsyncAmd") == "true",
        given.get("AsyncAmdStatusCallback"),
        given.get("AsyncAmdStatusCallbackMethod", "POST"),
    )
