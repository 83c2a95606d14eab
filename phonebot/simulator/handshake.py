"""
Who may enter the embedded server, and in which dialect.

Addresses: `/v1/realtime` (OpenAI, gateways), `/openai/v1/realtime` (Azure) and `/openai/realtime?api-version=...`
(Azure before GA, beta). Beta is asked for by the header `OpenAI-Beta: realtime=v1` or the subprotocol
`openai-beta.realtime-v1`; the query `dialect=beta|ga` overrides both.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers

from phonebot.errors import PhonebotError
from phonebot.simulator.config import Dialect

SUBPROTOCOL = "realtime"
KEY_SUBPROTOCOL = "openai-insecure-api-key."
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"

PATHS: dict[str, Dialect | None] = {"/v1/realtime": None, "/openai/v1/realtime": "ga", "/openai/realtime": "beta"}
LEGACY_AZURE_PATH = "/openai/realtime"


class NotAdmitted(PhonebotError):
    """The upgrade is refused with this HTTP status; `code` and the message go into the body."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Entry:
    """
    What a client asked for by its upgrade request.

    `model` None: the URL named none. `kind` None: an intent that doesn't exist, which is told after the upgrade.
    """

    dialect: Dialect
    model: str | None
    kind: Literal["realtime", "transcription"] | None


def admit(target: str, headers: Headers, key: str | None, default: Dialect) -> Entry:
    """
    Check an upgrade request: `target` is its path and query. Raises NotAdmitted.

    `key` None lets everybody in, with any key or none.
    """
    path, query = _split(target)
    if path not in PATHS:
        raise NotAdmitted(404, "not_found", f"There is nothing at {path[:200]}; try {' or '.join(PATHS)}.")
    if path == LEGACY_AZURE_PATH and "api-version" not in query:
        raise NotAdmitted(
            404, "not_found", f"{path} needs the query parameter api-version; try /openai/v1/realtime."
        )
    subprotocols = _subprotocols(headers)
    if key is not None and not _has_key(key, _keys_offered(headers, query, subprotocols)):
        raise NotAdmitted(401, "invalid_api_key", "Incorrect API key provided.")
    intents: dict[str, Literal["realtime", "transcription"]] = {
        "": "realtime",
        "conversation": "realtime",
        "transcription": "transcription",
    }
    return Entry(
        dialect=_dialect(path, query, headers, subprotocols) or default,
        model=query.get("deployment" if path == LEGACY_AZURE_PATH else "model") or None,
        kind=intents.get(query.get("intent", "")),
    )


def _split(target: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(target)
    try:
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=50)
    except ValueError as problem:
        raise NotAdmitted(400, "invalid_request", "The query has more than 50 parameters.") from problem
    return parts.path.rstrip("/"), {name: values[-1] for name, values in query.items()}


def _subprotocols(headers: Headers) -> list[str]:
    offered = ",".join(headers.get_all("Sec-WebSocket-Protocol"))
    return [each.strip() for each in offered.split(",") if each.strip()]


def _dialect(path: str, query: dict[str, str], headers: Headers, subprotocols: list[str]) -> Dialect | None:
    named: dict[str, Dialect] = {"ga": "ga", "beta": "beta"}
    if "dialect" in query:
        if query["dialect"] in named:
            return named[query["dialect"]]
        raise NotAdmitted(400, "invalid_request", "The query parameter dialect is either ga or beta.")
    if BETA_SUBPROTOCOL in subprotocols or any("realtime=v1" in each for each in headers.get_all("OpenAI-Beta")):
        return "beta"
    return PATHS[path]


def _keys_offered(headers: Headers, query: dict[str, str], subprotocols: list[str]) -> Iterable[str]:
    """All keys of the request: whichever way a provider takes them, this server does too."""
    for value in headers.get_all("Authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            yield token.strip()
    yield from headers.get_all("api-key")
    yield from (query[name] for name in ("token", "api-key") if name in query)
    yield from (each.removeprefix(KEY_SUBPROTOCOL) for each in subprotocols if each.startswith(KEY_SUBPROTOCOL))


def _has_key(key: str, offered: Iterable[str]) -> bool:
    # Headers are bytes that were not checked to be text.
    return any(hmac.compare_digest(each.encode(errors="surrogateescape"), key.encode()) for each in offered)
