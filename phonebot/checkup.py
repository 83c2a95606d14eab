"""
Whether what a deployment needs is there: for the console's page, and for whoever else asks.

    checks = await run([database(store.database), storage(store.recordings)])

A probe changes nothing that stays and costs nothing, but for `model_session`, which opens a session with the model.
"""

import asyncio
import logging
import os
import secrets
import socket
import ssl
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from phonebot.errors import ModelError, SettingsError, StoreError
from phonebot.realtime.connection import connect
from phonebot.realtime.events import Session
from phonebot.realtime.line import tls
from phonebot.realtime.providers import Endpoint
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings

DEADLINE_S = 8.0
SESSION_DEADLINE_S = 15.0
MAX_ANSWER_BYTES = 1_000_000
PAGE_NUMBERS = 100  # of the account's numbers: enough to see whether any of them calls us

State: TypeAlias = Literal["ok", "warning", "failed", "off"]
_BADNESS: dict[State, int] = {"off": 0, "ok": 1, "warning": 2, "failed": 3}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """
    What was found: "off" is what this deployment does not use. `remedy`: what to do, if anything.

    Neither holds a secret.
    """

    name: str
    state: State
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """Looks at one thing, within `deadline_s`."""

    name: str
    look: Callable[[], Awaitable[Check]]
    deadline_s: float = DEADLINE_S


async def run(probes: Sequence[Probe]) -> list[Check]:
    """What they find, in their order; they look at the same time."""
    return list(await asyncio.gather(*map(_run, probes)))


async def _run(probe: Probe) -> Check:
    try:
        async with asyncio.timeout(probe.deadline_s):
            return await probe.look()
    except TimeoutError:
        sentence = f"did not answer within {probe.deadline_s:g} s"
        return Check(probe.name, "failed", sentence, "Check the network between it and this machine.")
    except Exception:  # the edge of a task: one probe must not hide what the others found
        _log.exception("the check of %s failed", probe.name)
        return Check(probe.name, "failed", "could not be checked", "The service's log says why.")


# ---------------------------------------------------------------------------------- the probes


def database(opened: Database) -> Probe:
    async def look() -> Check:
        started = time.perf_counter()
        try:
            revision = await opened.revision()
        except StoreError as error:
            return Check("Database", "failed", error.problem)
        took_ms = round((time.perf_counter() - started) * 1000)
        kind = "SQLite" if opened.is_sqlite else "PostgreSQL"
        return Check("Database", "ok", f"{kind} at {opened.name}, tables at {revision}, answered in {took_ms} ms")

    return Probe("Database", look)


def storage(recordings: Recordings) -> Probe:
    """Writes a file, reads it and deletes it."""

    async def look() -> Check:
        key, content = f"checkup-{secrets.token_hex(8)}", secrets.token_bytes(16)
        try:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "checkup").write_bytes(content)
                await recordings.put(key, Path(folder))
            try:
                read = b"".join([piece async for piece in await recordings.open(key, "checkup")])
            finally:
                await recordings.delete(key)
        except StoreError as error:
            return Check("Storage of calls", "failed", error.problem)
        if read != content:
            return Check("Storage of calls", "failed", f"{recordings.name} gave back something else than it got")
        return Check("Storage of calls", "ok", f"{recordings.name} takes files and gives them back")

    return Probe("Storage of calls", look)


def model(endpoint: Callable[[], Endpoint], name: str = "Model") -> Probe:
    """Whether the service can be reached; not whether it takes the key. `endpoint` may raise SettingsError."""

    async def look() -> Check:
        try:
            found = endpoint()
        except SettingsError as error:
            return Check(name, "failed", "; ".join(error.problems))
        parts = urlsplit(found.url)
        secure = parts.scheme == "wss"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        if _by_proxy(host, secure):
            return Check(name, "ok", f"{found.name} at {host} is behind a proxy; open a session to try it")
        try:
            _, writer = await asyncio.open_connection(host, port, ssl=tls() if secure else None)
        except OSError as error:  # TLS errors are among these
            return Check(name, "failed", f"{host} cannot be reached: {_reason(error)}", _NETWORK)
        writer.close()
        return Check(name, "ok", f"{found.name} at {host} can be reached; open a session to try the key")

    return Probe(name, look)


def model_session(
    endpoint: Callable[[], Endpoint], session: Callable[[], Session], name: str = "Model session"
) -> Probe:
    """Opens a session as a call would, and closes it. It may cost as much as a session without audio does."""

    async def look() -> Check:
        started = time.perf_counter()
        try:
            connection = await connect(endpoint(), session(), timeout_s=SESSION_DEADLINE_S - 3)
        except (ModelError, SettingsError) as error:
            return Check(name, "failed", str(error), "Check the key, the model's name and the network.")
        took_ms = round((time.perf_counter() - started) * 1000)
        formats = f"{connection.input_format} in, {connection.output_format} out"
        told = f"opened in {took_ms} ms: dialect {connection.dialect}, audio {formats}"
        left_out = connection.left_out
        await connection.close()
        if left_out:
            return Check(name, "warning", f"{told}; it does not know {', '.join(left_out)}")
        return Check(name, "ok", told)

    return Probe(name, look, SESSION_DEADLINE_S)


def together(name: str, probes: Sequence[Probe]) -> Probe:
    """Several as one, which is as bad as the worst of them."""
    if len(probes) == 1:
        return probes[0]

    async def look() -> Check:
        checks = await run(probes)
        worst = max(checks, key=lambda check: _BADNESS[check.state])
        told = "; ".join(f"{check.name}: {check.sentence}" for check in checks)
        return Check(name, worst.state, told, worst.remedy)

    return Probe(name, look, max(probe.deadline_s for probe in probes) + 1)


def twilio(account_sid: str | None, auth_token: str | None, api_url: str, public_url: str) -> Probe:
    """Whether the account lets us in, and which of its numbers call us."""
    name = "Twilio"

    async def look() -> Check:
        if not (account_sid and auth_token):
            missing = "TWILIO_ACCOUNT_SID" if auth_token else "TWILIO_AUTH_TOKEN"
            told = f"{missing} is not set: the account is not asked, and no colleague before a transfer"
            return Check(name, "off", told, "Set it to have it checked.")
        url = f"{api_url}/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers.json?PageSize={PAGE_NUMBERS}"
        credentials = b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}"}  # RFC 7617, section 2
        try:
            async with (
                aiohttp.ClientSession(headers=headers, trust_env=True) as http,
                http.get(url, allow_redirects=False) as response,
            ):
                body = await response.content.read(MAX_ANSWER_BYTES)
                if response.status in (401, 403):
                    told = f"{account_sid} is refused"
                    return Check(name, "failed", told, "Check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.")
                numbers = _numbers(body) if response.status == 200 else None
        except aiohttp.ClientError as error:
            return Check(name, "failed", f"{api_url} cannot be reached: {_reason(error)}", _NETWORK)
        if numbers is None:
            return Check(name, "failed", f"it answered {response.status}", "Check TWILIO_API_URL.")
        ours = sum(voice_url == f"{public_url}/twilio/voice" for voice_url in numbers)
        told = f"{account_sid} lets us in; {ours} of its {_counted(numbers)} call this service"
        return Check(name, "ok", told) if ours else Check(name, "warning", told, _LINK)

    return Probe(name, look)


def public_url(url: str) -> Probe:
    """Whether the service is found at the address that the carrier is told."""

    async def look() -> Check:
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"{url}/healthz", allow_redirects=False) as response,
            ):
                body = await response.content.read(64)
        except aiohttp.ClientError as error:
            return Check("Public URL", "failed", f"{url} cannot be reached: {_reason(error)}", _PROXY)
        if (response.status, body) != (200, b"ok"):
            return Check("Public URL", "failed", f"{url}/healthz answered {response.status}, not as we do", _PROXY)
        if url.startswith("http://"):
            return Check("Public URL", "warning", f"{url} leads here, from this machine alone", _ABROAD)
        return Check("Public URL", "ok", f"{url} leads here, with a certificate that is valid")

    return Probe("Public URL", look)


_NETWORK = "Check the network, the firewall and the name."
_PROXY = "Check PHONEBOT_PUBLIC_URL, its DNS entry, its certificate and the proxy in front of the service."
_ABROAD = "For calls from Twilio set PHONEBOT_PUBLIC_URL to an https:// address."
_LINK = "Run `phonebot numbers link NUMBER` for a number that is to be answered here."


class _Number(msgspec.Struct, frozen=True):
    voice_url: str | None = None


class _Page(msgspec.Struct, frozen=True):
    """Of the account's numbers (Twilio, IncomingPhoneNumber resource)."""

    incoming_phone_numbers: list[_Number]


def _numbers(body: bytes) -> list[str] | None:
    """The voice webhook of each number of the account; None: it is no such answer."""
    try:
        page = msgspec.json.decode(body, type=_Page)
    except msgspec.DecodeError:
        return None
    return [number.voice_url or "" for number in page.incoming_phone_numbers]


def _counted(numbers: list[str]) -> str:
    more = "or more " if len(numbers) == PAGE_NUMBERS else ""
    return f"{len(numbers)} {more}number{'' if len(numbers) == 1 else 's'}"


def _by_proxy(host: str, secure: bool) -> bool:
    """Whether the environment names a proxy for it."""
    return ("https" if secure else "http") in getproxies() and not proxy_bypass(host)


def _reason(error: Exception) -> str:
    """In a few words, without an address that may hold a secret."""
    cause = error.__cause__ or error
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return "its certificate is not valid"
    if isinstance(cause, socket.gaierror):
        return "its name is not known"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return type(error).__name__
