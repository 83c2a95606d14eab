"""
Dials a voice webhook as Twilio would, and lets a caller talk to whoever answers.

    record = await dial("http://127.0.0.1:8080/twilio/voice", Caller(WaitForBot(), HangUp()), auth_token=token)

The signatures, the TwiML and the JSON are read and written by this package's own code from Twilio's documents
("Webhooks security", "TwiML for Programmable Voice", "Media Streams"), none of it shared with the service.
A whole account, with a REST API and others who can be called, is a `switchboard`.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from phonebot.simulator.callees import Human
from phonebot.simulator.caller import Caller, Event, HangUp
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.clock import Clock
from phonebot.simulator.network import Network
from phonebot.simulator.record import CallRecord
from phonebot.simulator.rest import Number
from phonebot.simulator.signing import Route
from phonebot.simulator.stream import Tap
from phonebot.simulator.switchboard import come_in, running
from phonebot.simulator.terms import Terms


async def dial(
    webhook_url: str,
    caller: Caller,
    *,
    from_number: str = "+15550100001",
    to_number: str = "+15550100002",
    account_sid: str = "AC" + "2" * 32,
    auth_token: str | None = None,
    public_url: str | None = None,
    fallback_url: str | None = None,
    status_url: str | None = None,
    network: Network | None = None,
    oddities: Oddities | None = None,
    seed: int = 0,
    max_call_s: float = 900.0,
    on_event: Callable[[Event], None] | None = None,
    tap: Tap | None = None,
) -> CallRecord:
    """
    Make one call and return what happened; a server that fails makes a record that says so, never an exception.

    Say and Play are events that take no time, and whoever is dialled answers at once and hangs up.

    With `auth_token` each request is signed. `public_url` is the origin that the server believes in: requests are
    signed for it and name it in `Host`, but go to where `webhook_url` points, as through a proxy. `fallback_url` is
    asked once when the first TwiML cannot be had, `status_url` told how the call ended. `tap` sees the streams'
    messages. `seed` decides all that is random but the identifiers. Raises ValueError when `webhook_url` or
    `public_url` is no http(s) URL.
    """
    for url in filter(None, (webhook_url, public_url)):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError(f"{url!r} is no URL: it must look like https://bot.example.com/twilio/voice")
    terms = Terms(
        account_sid,
        auth_token,
        Route(webhook_url, public_url),
        Clock(),
        network or Network(),
        oddities or Oddities(),
        ms_per_character=0,
        tap=tap,
    )
    urls = {"VoiceUrl": webhook_url, "VoiceFallbackUrl": fallback_url, "StatusCallback": status_url}
    number = Number(to_number, {name: url for name, url in urls.items() if url is not None})
    async with running(terms, strict=False) as account:
        account.anybody = Human((HangUp(),), after_s=0)
        return await come_in(
            account,
            caller,
            number,
            from_number=from_number,
            max_call_s=max_call_s,
            seed=seed,
            on_event=on_event,
        )
