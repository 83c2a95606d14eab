"""The REST API's recordings: begun, paused, stopped, fetched, deleted (Twilio, "Recordings resource")."""

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web

from phonebot.simulator.account import Account
from phonebot.simulator.recording import Recording
from phonebot.simulator.rest import Handler, Refused, know, not_found, page
from phonebot.simulator.rest_calls import RECORDING, check_values, find, recording_order

CURRENT = "Twilio.CURRENT"  # names the recording that runs


class RecordingResources:
    """Recordings of an account's calls."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return (
            ("POST", "/Calls/{call}/Recordings.json", self._create),
            ("GET", "/Calls/{call}/Recordings.json", self._list),
            ("POST", "/Calls/{call}/Recordings/{recording}.json", self._update),
            ("GET", "/Recordings/{recording}.json", self._get),
            ("GET", "/Recordings/{recording}.wav", self._download),
            ("DELETE", "/Recordings/{recording}.json", self._delete),
        )

    async def _create(self, request: web.Request, given: dict[str, str]) -> web.Response:
        leg = find(self._account, request)
        know(given, RECORDING)
        check_values(given)
        if leg.is_over or not leg.is_answered:
            raise Refused(400, 21220, "Call is not in-progress. Cannot record.")
        recording = self._account.record(leg, recording_order(given, "StartCallRecordingAPI"))
        return web.json_response(self._show(recording), status=201)

    async def _list(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset({"PageSize", "Page", "PageToken"}))
        leg = find(self._account, request)
        return page(request, "recordings", [self._show(each) for each in self._account.recordings_of(leg)])

    async def _update(self, request: web.Request, given: dict[str, str]) -> web.Response:
        leg = find(self._account, request)
        know(given, frozenset({"Status", "PauseBehavior"}))
        sid = request.match_info["recording"]
        found = self._account.recordings_of(leg)
        recording = next((each for each in found if each.sid == sid or (sid == CURRENT and each.is_running)), None)
        if recording is None:
            raise not_found(request)
        if not recording.is_running:
            raise Refused(400, 21220, "The recording is over")
        behaviour = given.get("PauseBehavior", "silence")
        match given.get("Status"), behaviour:
            case "paused", "silence" | "skip":
                recording.pause(skips=behaviour == "skip")
            case "in-progress", _:
                recording.resume()
            case "stopped", _:
                recording.stop()
            case status, _:
                raise Refused(400, 20001, f"Status or PauseBehavior is not valid: {status}, {behaviour}")
        return web.json_response(self._show(recording))

    async def _get(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset())
        return web.json_response(self._show(self._find(request)))

    async def _download(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset({"RequestedChannels"}))
        recording = self._find(request)
        if recording.status != "completed":
            raise not_found(request)
        return web.Response(body=recording.wav(), content_type="audio/x-wav")

    async def _delete(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, frozenset())
        del self._account.recordings[self._find(request).sid]
        return web.Response(status=204)

    def _find(self, request: web.Request) -> Recording:
        recording = self._account.recordings.get(request.match_info["recording"])
        if recording is None:
            raise not_found(request)
        return recording

    def _show(self, recording: Recording) -> dict[str, object]:
        account_sid = self._account.terms.account_sid
        return {
            "sid": recording.sid,
            "account_sid": account_sid,
            "api_version": "2010-04-01",
            "call_sid": recording.leg.sid,
            "channels": recording.order.channels,
            "conference_sid": None,
            "date_created": format_datetime(recording.started),
            "date_updated": format_datetime(datetime.now(UTC)),
            "duration": None if recording.is_running else str(round(recording.duration_ms / 1000)),
            "error_code": None,
            "media_url": recording.url,
            "price": None,
            "price_unit": "USD",
            "source": recording.order.source,
            "start_time": format_datetime(recording.started),
            "status": recording.status,
            "uri": f"/2010-04-01/Accounts/{account_sid}/Recordings/{recording.sid}.json",
        }
