"""
The REST API's conferences and those who take part (Twilio, "Conference resource", "Conference Participant
resource").
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial

from aiohttp import web

from phonebot.simulator.account import Account
from phonebot.simulator.conference import EVENTS, Conference, Participant, Seat
from phonebot.simulator.outgoing import participate
from phonebot.simulator.rest import Handler, Refused, is_url, know, not_found, page
from phonebot.simulator.rest_calls import check_numbers, check_values, place
from phonebot.simulator.ringing import Ring

READABLE = frozenset({"FriendlyName", "Status", "PageSize", "Page", "PageToken"})
UPDATABLE = frozenset({"Status", "AnnounceUrl", "AnnounceMethod"})
PARTICIPANT_UPDATABLE = frozenset(
    {"Muted", "Hold", "HoldUrl", "HoldMethod", "AnnounceUrl", "AnnounceMethod", "EndConferenceOnExit"}
)
CREATABLE = frozenset(
    {
        "From",
        "To",
        "StatusCallback",
        "StatusCallbackMethod",
        "StatusCallbackEvent",
        "Label",
        "Timeout",
        "TimeLimit",
        "Muted",
        "Beep",
        "StartConferenceOnEnter",
        "EndConferenceOnExit",
        "WaitUrl",
        "WaitMethod",
        "MaxParticipants",
        "ConferenceStatusCallback",
        "ConferenceStatusCallbackMethod",
        "ConferenceStatusCallbackEvent",
    }
)
BUFFER_S = 5  # Twilio, Conference Participant resource, Timeout: always added


class ConferenceResources:
    """Conferences of an account, and who takes part in them."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        participants = "/Conferences/{conference}/Participants"
        return (
            ("GET", "/Conferences.json", self._list),
            ("GET", "/Conferences/{conference}.json", self._get),
            ("POST", "/Conferences/{conference}.json", self._update),
            ("GET", f"{participants}.json", self._list_participants),
            ("POST", f"{participants}.json", self._create_participant),
            ("GET", f"{participants}/{{participant}}.json", self._get_participant),
            ("POST", f"{participants}/{{participant}}.json", self._update_participant),
            ("DELETE", f"{participants}/{{participant}}.json", self._delete_participant),
        )

    # ------------------------------------------------------------------ conferences

    async def _list(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, READABLE)
        found = [
            self._show(each)
            for each in reversed(self._account.conferences)
            if given.get("FriendlyName", each.name) == each.name and given.get("Status", each.status) == each.status
        ]
        return page(request, "conferences", found)

    async def _get(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset())
        return web.json_response(self._show(self._find(request)))

    async def _update(self, request: web.Request, given: dict[str, str]) -> web.Response:
        conference = self._find(request)
        know(given, UPDATABLE)
        if given.get("Status", "completed") != "completed":
            raise Refused(400, 20001, f"Status is not valid: {given['Status']}")
        if conference.status == "completed":
            raise not_found(request)
        if "AnnounceUrl" in given:
            _check_url(given, "AnnounceUrl")
            conference.announce(given["AnnounceUrl"], given.get("AnnounceMethod", "POST"))
        if "Status" in given:
            conference.end("conference-ended-via-api")
        return web.json_response(self._show(conference))

    # ------------------------------------------------------------------ participants

    async def _list_participants(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset({"Muted", "Hold", "PageSize", "Page", "PageToken"}))
        conference = self._find(request)
        return page(
            request, "participants", [self._show_participant(conference, p) for p in conference.participants]
        )

    async def _create_participant(self, request: web.Request, given: dict[str, str]) -> web.Response:
        """The path names a conference by its SID or by its friendly name; that one need not exist yet."""
        account = self._account
        know(given, CREATABLE)
        check_numbers(account, given)
        check_values(given)
        name = request.match_info["conference"]
        conference = self._find(request) if name.startswith("CF") else account.conference(name)
        seat = _seat(given)
        ringing = Ring(account.callee(given["To"]), float(given.get("Timeout", 60)) + BUFFER_S)
        leg = place(account, ringing, given)
        account.adopt(leg, partial(participate, account, leg, ringing, conference, seat))
        coming = Participant(leg, seat, seat.muted, seat.ends)
        return web.json_response(self._show_participant(conference, coming), status=201)

    async def _get_participant(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset())
        return web.json_response(self._show_participant(*self._find_participant(request)))

    async def _update_participant(self, request: web.Request, given: dict[str, str]) -> web.Response:
        conference, participant = self._find_participant(request)
        know(given, PARTICIPANT_UPDATABLE)
        for name in ("HoldUrl", "AnnounceUrl"):
            _check_url(given, name)
        if "Hold" in given:
            participant.hold_music = (given.get("HoldUrl"), given.get("HoldMethod", "GET"))
        conference.change(participant, muted=_flag(given, "Muted"), hold=_flag(given, "Hold"))
        if "EndConferenceOnExit" in given:
            participant.ends = given["EndConferenceOnExit"] == "true"
            conference.modified(participant)
        if "AnnounceUrl" in given:
            conference.announce(given["AnnounceUrl"], given.get("AnnounceMethod", "POST"), participant)
        return web.json_response(self._show_participant(conference, participant))

    async def _delete_participant(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset())
        conference, participant = self._find_participant(request)
        conference.remove(participant)
        return web.Response(status=204)

    # ------------------------------------------------------------------

    def _find(self, request: web.Request) -> Conference:
        sid = request.match_info["conference"]
        conference = next((each for each in self._account.conferences if each.sid == sid), None)
        if conference is None:
            raise not_found(request)
        return conference

    def _find_participant(self, request: web.Request) -> tuple[Conference, Participant]:
        conference = self._find(request)
        participant = conference.find(request.match_info["participant"])
        if participant is None:
            raise not_found(request)
        return conference, participant

    def _show(self, conference: Conference) -> dict[str, object]:
        account_sid = self._account.terms.account_sid
        path = f"/2010-04-01/Accounts/{account_sid}/Conferences/{conference.sid}"
        return {
            "sid": conference.sid,
            "account_sid": account_sid,
            "api_version": "2010-04-01",
            "call_sid_ending_conference": conference.ended_by,
            "date_created": format_datetime(conference.created),
            "date_updated": format_datetime(datetime.now(UTC)),
            "friendly_name": conference.name,
            "reason_conference_ended": conference.ended_reason,
            "region": "us1",
            "status": conference.status,
            "subresource_uris": {"participants": f"{path}/Participants.json"},
            "uri": f"{path}.json",
        }

    def _show_participant(self, conference: Conference, participant: Participant) -> dict[str, object]:
        account_sid, leg = self._account.terms.account_sid, participant.leg
        return {
            "account_sid": account_sid,
            "call_sid": leg.sid,
            "call_sid_to_coach": None,
            "coaching": False,
            "conference_sid": conference.sid,
            "date_created": format_datetime(leg.created),
            "date_updated": format_datetime(datetime.now(UTC)),
            "end_conference_on_exit": participant.ends,
            "hold": participant.hold,
            "label": participant.seat.label or None,
            "muted": participant.muted,
            "queue_time": "0",
            "start_conference_on_enter": participant.seat.starts,
            "status": "connected" if leg.is_answered else "queued",
            "uri": f"/2010-04-01/Accounts/{account_sid}/Conferences/{conference.sid}/Participants/{leg.sid}.json",
        }


def _check_url(given: dict[str, str], name: str) -> None:
    if given.get(name) and not is_url(given[name]):
        raise Refused(400, 21205, f"{name} is not a valid URL: {given[name]}")


def _flag(given: dict[str, str], name: str) -> bool | None:
    return None if name not in given else given[name] == "true"


def _seat(given: dict[str, str]) -> Seat:
    events = frozenset(given.get("ConferenceStatusCallbackEvent", "start end").split())
    if not events <= EVENTS:
        raise Refused(400, 20001, f"ConferenceStatusCallbackEvent is not valid: {' '.join(sorted(events))}")
    most = given.get("MaxParticipants", "250")
    if not most.isdecimal() or not 2 <= int(most) <= 250:
        raise Refused(400, 20001, f"MaxParticipants must be 2 to 250: {most}")
    return Seat(
        given.get("Label", ""),
        given.get("Muted") == "true",
        given.get("Beep", "true"),
        given.get("StartConferenceOnEnter", "true") == "true",
        given.get("EndConferenceOnExit") == "true",
        given.get("WaitUrl"),
        given.get("WaitMethod", "POST"),
        given.get("ConferenceStatusCallback"),
        given.get("ConferenceStatusCallbackMethod", "POST"),
        events,
        int(most),
    )
