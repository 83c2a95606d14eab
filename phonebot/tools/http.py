"""
Functions that are requests: a profile's HttpTool, with its secrets filled in.

A request is signed so (`sign_with`):

    X-Phonebot-Timestamp: 1767323045      seconds since 1970
    X-Phonebot-Signature: v1=HEX          HMAC-SHA256 with the secret over "1767323045." and the body
"""

import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from phonebot.agents.tools import METHODS_WITH_BODY, HttpTool, Secret, placeholders
from phonebot.call.plan import Consent, ToolRule
from phonebot.realtime.events import FunctionTool
from phonebot.tools.client import HttpClient, Request
from phonebot.tools.running import Blocking, ToolContext, ToolFault, filler_ms, rule_timeout_ms


class HttpFunction:
    """
    `secrets` are all that the function needs. `unix_s` is the clock of signatures.

    It is a Runnable, see there.
    """

    def __init__(
        self,
        entry: HttpTool,
        secrets: Mapping[str, str],
        client: HttpClient,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self.function = FunctionTool(entry.name, entry.description, entry.parameters)
        self.rule = rule_of(entry)
        # The client's own limit is a second shorter, so that it can say what it waited for.
        self.timeout_s = entry.timeout_s + 1
        self._entry = entry
        self._headers = headers_of(entry.headers, secrets)
        self._key = secrets[entry.sign_with] if entry.sign_with else None
        self._validator = Draft202012Validator(entry.parameters)
        self._client = client
        self._unix_s = unix_s

    async def run(self, arguments: str, context: ToolContext, blocking: Blocking) -> str:
        return await self._client.send(self.request(arguments, context))

    def request(self, arguments: str, context: ToolContext) -> Request:
        """What is sent. Raises ToolFault for arguments that do not fit."""
        given = self._checked(arguments)
        in_url = set(placeholders(self._entry.url))
        rest = {name: value for name, value in given.items() if name not in in_url}
        url, body = self._filled(given), None
        headers = {**self._headers, **call_headers(context)}
        if self._entry.method in METHODS_WITH_BODY:
            body = json.dumps(rest, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/json"
            if self._key is not None:
                headers |= signature_of(self._key, body, self._unix_s())
        elif rest:
            query = urlencode({name: _text(value) for name, value in rest.items()})
            url += f"{'&' if '?' in url else '?'}{query}"
        return Request(
            self._entry.method, url, headers, body, self._entry.timeout_s, self._entry.max_response_bytes
        )

    def _checked(self, arguments: str) -> dict[str, Any]:
        try:
            given = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise ToolFault("arguments", "they are no JSON") from None
        if fault := best_match(self._validator.iter_errors(given)):
            where = ".".join(map(str, fault.absolute_path))
            raise ToolFault("arguments", f"{where}: {fault.message}"[:300] if where else fault.message[:300])
        assert isinstance(given, dict), "the schema is an object's"
        return given

    def _filled(self, given: Mapping[str, Any]) -> str:
        url = self._entry.url
        for name in placeholders(url):
            url = url.replace(f"{{{name}}}", quote(_text(given[name]), safe=""))
        if leads_up(url):
            raise ToolFault("arguments", f"{' and '.join(placeholders(self._entry.url))} cannot be . or ..")
        return url


def leads_up(url: str) -> bool:
    """Whether a segment of its path is . or .., which a server may take for another path."""
    return any(unquote(segment) in (".", "..") for segment in urlsplit(url).path.split("/"))


def signature_of(secret: str, body: bytes, unix_s: float) -> dict[str, str]:
    """The headers that prove, to whoever has the secret too, from whom a body comes and when it was sent."""
    timestamp = str(int(unix_s))
    signed = hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hex()
    return {"X-Phonebot-Timestamp": timestamp, "X-Phonebot-Signature": f"v1={signed}"}


def rule_of(entry: HttpTool) -> ToolRule:
    """How a call runs it."""
    wanted = entry.confirm
    consent = Consent(wanted.key or "", tuple(wanted.words), wanted.within_s * 1000) if wanted else None
    return ToolRule(
        entry.name,
        rule_timeout_ms(entry.timeout_s + 1),
        None if entry.fillers is None else tuple(entry.fillers),
        filler_ms(entry.fillers, entry.filler_s),
        consent,
        entry.answers,
    )


def headers_of(headers: Mapping[str, str | Secret], secrets: Mapping[str, str]) -> dict[str, str]:
    """The headers with their secrets in place."""
    return {name: secrets[value.secret] if isinstance(value, Secret) else value for name, value in headers.items()}


def call_headers(context: ToolContext) -> dict[str, str]:
    """In which call it is asked for."""
    headers = {"Call": context.call_sid, "From": context.caller, "To": context.number}
    return {f"X-Phonebot-{name}": quote(value, safe="+:@") for name, value in headers.items() if value}


def _text(value: object) -> str:
    """A value within a URL: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
