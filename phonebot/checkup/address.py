"""
The public URL: its name, its certificate, whether it leads to this service, and whether WebSockets get through.

This service is recognised by its secret key (`phonebot.recognition`). A stream is asked for as the carrier would,
signed, and given up before it has started: that costs nothing, and no call comes of it.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from phonebot.carrier.signature import sign
from phonebot.checkup.check import Check, Probe, skipped
from phonebot.checkup.network import by_proxy, reason
from phonebot.recognition import HEADER, PARAMETER, is_proved, new_challenge

URL, CERTIFICATE, STREAM = "Public URL", "TLS certificate", "Media stream"
MEDIA_PATH = "/twilio/media"
SOON_DAYS = 14  # who renews by himself does so a month before; who has not by now will not
STEP_S = 6.0
DEADLINE_S = 4 * STEP_S  # its name, then its certificate, the service, the stream

_PROXY = "Check PHONEBOT_PUBLIC_URL, and the proxy in front of the service."
_NAME = "Make a DNS entry for it, or correct PHONEBOT_PUBLIC_URL."
_ABROAD = "For calls from Twilio set PHONEBOT_PUBLIC_URL to an https:// address."
_PRIVATE = "Let its DNS entry lead to a public address: Twilio cannot reach this one."
_START = "Start the service, or correct the address that the proxy has of it."
_UPGRADE = "Let the proxy pass on Upgrade and Connection, with HTTP/1.1, for /twilio/media."
_SIGNATURE = (
    "Give the service this TWILIO_AUTH_TOKEN and PHONEBOT_PUBLIC_URL, and let the proxy leave paths as they are."
)
_CERTIFICATE = "Renew it, or have the whole chain served (fullchain.pem); then reload the proxy."
_WAIT = "Wait for their calls to end, and start the service again."
_OTHER = "Correct PHONEBOT_PUBLIC_URL, or give all processes the same PHONEBOT_SECRET_KEY."


@dataclass(frozen=True, slots=True)
class Address:
    """The public URL, and what the service there must know. None: it is not known here."""

    url: str
    secret_key: str | None
    auth_token: str | None


def public_url(address: Address) -> Probe:
    """Whether the service is found at the address that the carrier is told."""

    async def look() -> list[Check]:
        try:
            async with asyncio.timeout(STEP_S):
                private = await _private_address(address.url)
        except (OSError, TimeoutError):
            host = urlsplit(address.url).hostname
            return _cut_off(Check(URL, "failed", f"the name {host} is not known", _NAME), address)
        certificate = await _certificate(address.url)
        if certificate is not None and certificate.state == "failed":
            return [
                skipped(URL, f"not asked: {certificate.name} failed"),
                certificate,
                skipped(STREAM, f"not asked: {certificate.name} failed"),
            ]
        here = await _in_time(URL, _leads_here(address, private))
        found = [here] if certificate is None else [here, certificate]
        if here.state == "failed":
            return [*found, skipped(STREAM, f"not asked: {URL} failed")]
        return [*found, await _in_time(STREAM, _stream(address))]

    return Probe(URL, look, DEADLINE_S)


def _cut_off(here: Check, address: Address) -> list[Check]:
    others = [CERTIFICATE, STREAM] if address.url.startswith("https") else [STREAM]
    return [here, *(skipped(name, f"not asked: {URL} failed") for name in others)]


async def _private_address(url: str) -> str | None:
    """One of its addresses that nobody can reach from outside; None: there is none. Raises OSError."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]).partition("%")[0] for each in found]
    return next((each for each in addresses if not ipaddress.ip_address(each).is_global), None)


async def _in_time(name: str, looking: Coroutine[Any, Any, Check]) -> Check:
    try:
        async with asyncio.timeout(STEP_S):
            return await looking
    except TimeoutError:
        return Check(name, "failed", f"did not answer within {STEP_S:g} s", _PROXY)


# ------------------------------------------------------------------------------------------- certificate


async def _certificate(url: str) -> Check | None:
    """None: the address needs none, or a proxy of this machine's stands between."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or by_proxy(host, secure=True):
        return None
    return await _in_time(CERTIFICATE, _served(host, parts.port or 443))


async def _served(host: str, port: int) -> Check:
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except ssl.SSLError as error:
        return Check(CERTIFICATE, "failed", f"of {host}: {reason(error)}", _CERTIFICATE)
    except OSError as error:
        return Check(CERTIFICATE, "failed", f"{host}, port {port}: {reason(error)}", _PROXY)
    shown = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    return of_certificate(ssl.cert_time_to_seconds(str(shown["notAfter"])) - time.time())


def of_certificate(left_s: float) -> Check:
    """What it means that a certificate, whose chain and name are right, is valid for so long."""
    days = int(left_s // 86_400)
    told = f"its chain and name are right; valid for {days} day{'' if days == 1 else 's'}"
    if days < SOON_DAYS:
        return Check(CERTIFICATE, "warning", told, "Renew it, and see why that was not done by itself.")
    return Check(CERTIFICATE, "ok", told)


# ------------------------------------------------------------------------------------------- the service


async def _leads_here(address: Address, private: str | None) -> Check:
    challenge = new_challenge()
    url = f"{address.url}/healthz?{PARAMETER}={challenge}"
    try:
        async with (
            aiohttp.ClientSession(trust_env=True) as http,
            http.get(url, allow_redirects=False, ssl=ssl.create_default_context()) as response,
        ):
            body, told = await response.content.read(64), response.headers.get(HEADER, "")
    except aiohttp.ClientError as error:
        return Check(URL, "failed", f"{address.url} cannot be reached: {reason(error)}", _PROXY)
    if (response.status, body) != (200, b"ok"):
        return _elsewhere(address.url, response.status)
    if address.secret_key is not None and not is_proved(address.secret_key, challenge, told):
        return Check(URL, "failed", f"{address.url} leads to another phonebot: its secret key differs", _OTHER)
    if address.url.startswith("http://"):
        return Check(URL, "warning", f"{address.url} leads here, from this machine alone", _ABROAD)
    if private is not None:
        return Check(URL, "warning", f"{address.url} leads here, but to {private}", _PRIVATE)
    return Check(URL, "ok", f"{address.url} leads here")


def _elsewhere(url: str, status: int) -> Check:
    if status in (502, 503, 504):
        return Check(URL, "failed", f"{url} answers {status}: its proxy does not reach the service", _START)
    if status // 100 == 3:
        told = f"{url} redirects (status {status}), which signatures do not survive"
        return Check(URL, "failed", told, "Set PHONEBOT_PUBLIC_URL to where it leads.")
    return Check(URL, "failed", f"{url}/healthz answers {status}, not as phonebot does", _PROXY)


async def _stream(address: Address) -> Check:
    if address.auth_token is None:
        return skipped(STREAM, "not set up: TWILIO_AUTH_TOKEN is not set, so that none can be asked for")
    url = f"ws{address.url.removeprefix('http')}{MEDIA_PATH}"
    headers = {"X-Twilio-Signature": sign(address.auth_token, url)}
    secure = ssl.create_default_context() if url.startswith("wss") else None
    try:
        socket_ = await connect(url, additional_headers=headers, close_timeout=1, ssl=secure)
    except InvalidStatus as refusal:
        return _of_refusal(refusal.response.status_code)
    except (InvalidHandshake, OSError, EOFError) as error:
        return Check(STREAM, "failed", f"{MEDIA_PATH} is cut off: {reason(error)}", _UPGRADE)
    await socket_.close()
    return Check(STREAM, "ok", "a WebSocket gets through, and our signature is accepted")


def _of_refusal(status: int) -> Check:
    if status == 403:
        return Check(STREAM, "failed", f"{MEDIA_PATH} refuses our signature", _SIGNATURE)
    if status == 503:
        return Check(STREAM, "failed", f"{MEDIA_PATH} answers 503: every process is stopping", _WAIT)
    told = f"{MEDIA_PATH} answers {status}: no WebSocket gets through"
    return Check(STREAM, "failed", told, _UPGRADE)
