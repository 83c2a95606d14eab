"""
Where a model is found, how one shows who one is, and what it can do: one function per provider, all of it data.

OpenAI and Azure OpenAI: Realtime API reference, connecting over WebSocket; Azure OpenAI Realtime API reference.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from phonebot.errors import SettingsError

DialectChoice: TypeAlias = Literal["ga", "beta", "auto"]
"""The dialect to speak; "auto" goes by what the service's first message shows."""

Auth: TypeAlias = Literal["bearer", "api-key", "query", "subprotocol"]

OPENAI_URL = "wss://api.openai.com/v1/realtime"
AZURE_BETA_VERSION = "2025-04-01-preview"  # the last api-version of the preview address
AZURE_BETA_PATH = "/openai/realtime"  # the preview address names a deployment where all others name a model

BETA_HEADER = ("OpenAI-Beta", "realtime=v1")
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
KEY_SUBPROTOCOL = "openai-insecure-api-key."

SECRET_QUERY_KEYS = frozenset({"token", "key", "api-key", "api_key", "apikey", "access_token", "secret"})
MASK = "***"

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_SUBPROTOCOL_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 7230 section 3.2.6


@dataclass(frozen=True, slots=True)
class Capabilities:
    """
    What a model does by itself and what can be done to its conversation.

    `interrupts`: it stops its response when the caller speaks. `truncates`, `deletes`: items can be cut to what was
    heard, and removed. `session_limit_s`: how long a session lasts at most; None: only the session itself says
    (`expires_at_s`).
    """

    interrupts: bool = True
    truncates: bool = True
    deletes: bool = True
    session_limit_s: int | None = None


OPENAI = Capabilities(session_limit_s=3600)
AZURE = Capabilities(session_limit_s=1800)
GATEWAY = Capabilities()


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """One place to connect to. Its repr shows no secret."""

    name: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    dialect: DialectChoice = "ga"
    capabilities: Capabilities = GATEWAY
    secret: str = ""  # so that it can be taken out of what the service says

    def __repr__(self) -> str:
        return f"Endpoint({self.name}, {masked(self.url)}, {self.dialect})"

    def scrubbed(self, text: str) -> str:
        """A text from outside, without our key in it."""
        for secret in {self.secret, quote(self.secret, safe="")} - {""}:
            text = text.replace(secret, MASK)
        return text


def openai(model: str, key: str) -> Endpoint:
    """OpenAI itself. It speaks GA only and refuses whoever sends the beta header."""
    return Endpoint(
        name="openai",
        url=f"{OPENAI_URL}?{urlencode({'model': model})}",
        headers=(("Authorization", f"Bearer {_secret(key, 'OpenAI key')}"),),
        dialect="ga",
        capabilities=OPENAI,
        secret=key,
    )


def azure(
    endpoint: str,
    deployment: str,
    key: str | None = None,
    token: str | None = None,
    dialect: Literal["ga", "beta"] = "ga",
) -> Endpoint:
    """
    Azure OpenAI: `endpoint` is the resource's address (https://NAME.openai.azure.com).

    Give the resource's `key`, or an Entra ID `token`; tokens last about an hour, so make a new Endpoint for each
    connection. "beta" is the preview address. Raises SettingsError.
    """
    if (key is None) == (token is None):
        raise SettingsError("Azure OpenAI needs either a key or an Entra ID token, and not both")
    secret = _secret(key or token or "", "Azure OpenAI key")
    host = _parsed(endpoint)
    prefix = host.path.partition("/openai")[0].rstrip("/")  # an API gateway before it may have a path of its own
    if dialect == "beta":
        path, query = AZURE_BETA_PATH, {"api-version": AZURE_BETA_VERSION, "deployment": deployment}
    else:
        path, query = "/openai/v1/realtime", {"model": deployment}
    auth = ("api-key", secret) if key else ("Authorization", f"Bearer {secret}")
    return Endpoint(
        name="azure",
        url=urlunsplit((host.scheme, host.netloc, prefix + path, urlencode(query), "")),
        headers=(auth, *_beta_header(dialect)),
        dialect=dialect,
        capabilities=AZURE,
        secret=secret,
    )


def gateway(
    url: str,
    model: str,
    token: str = "",
    auth: Auth = "bearer",
    dialect: DialectChoice = "auto",
) -> Endpoint:
    """
    Any service that speaks the protocol: a gateway, the embedded server, a provider at an address of its own.

    `url` may be http(s) or ws(s) and may lack `/realtime` at its end. The model joins the query (as `deployment` on
    Azure's preview path) unless the URL names one. An empty `token` sends none. Raises SettingsError.
    """
    address = _parsed(url)
    path = address.path.rstrip("/")
    path = path if path.endswith("/realtime") else f"{path}/realtime"
    wanted = (
        {"api-version": AZURE_BETA_VERSION, "deployment": model} if path == AZURE_BETA_PATH else {"model": model}
    )
    secret = _secret(token, "model token") if token else ""
    if auth == "query":
        wanted["token"] = secret
    return Endpoint(
        name="gateway",
        url=urlunsplit((address.scheme, address.netloc, path, _completed(address.query, wanted), "")),
        headers=(*_auth_header(secret, auth), *_beta_header(dialect)),
        subprotocols=_subprotocols(secret, dialect) if secret and auth == "subprotocol" else (),
        dialect=dialect,
        secret=secret,
    )


def masked(url: str) -> str:
    """A URL as it may stand in a log: keys in its query and the user's part are masked."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable URL)"
    query = "&".join(_masked_pair(pair) for pair in parts.query.split("&"))
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{MASK}@{host}" if host != parts.netloc else host
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


def _masked_pair(pair: str) -> str:
    name, separator, _ = pair.partition("=")
    return f"{name}={MASK}" if separator and name.lower() in SECRET_QUERY_KEYS else pair


def _parsed(url: str) -> SplitResult:
    """The address with a WebSocket scheme. Raises SettingsError, showing no secret."""
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018  (reading it is what checks it)
    except ValueError:
        raise SettingsError(f"the model URL {masked(url)} cannot be read: give wss://HOST[:PORT]/PATH") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise SettingsError(
            f"the model URL {masked(url)} must begin with wss://, ws://, https:// or http:// and a host"
        )
    if "@" in parts.netloc:
        raise SettingsError(
            f"the model URL {masked(url)} holds a user or password: give the key as the model token"
        )
    return parts._replace(scheme=scheme)


def _completed(query: str, wanted: dict[str, str]) -> str:
    """The query as it is, and after it the wanted pairs whose names it lacks and whose values are not empty."""
    present = dict(parse_qsl(query, keep_blank_values=True))
    missing = {name: value for name, value in wanted.items() if value and name not in present}
    return "&".join(part for part in (query, urlencode(missing)) if part)


def _secret(value: str, what: str) -> str:
    """A secret that can stand in a header. Raises SettingsError, which does not show it."""
    if not value:
        raise SettingsError(f"the {what} is empty")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise SettingsError(
            f"the {what} holds a space, a line break or a character that is not ASCII: paste it again"
        )
    return value


def _auth_header(secret: str, auth: Auth) -> tuple[tuple[str, str], ...]:
    if secret and auth == "bearer":
        return (("Authorization", f"Bearer {secret}"),)
    if secret and auth == "api-key":
        return (("api-key", secret),)
    return ()


def _beta_header(dialect: DialectChoice) -> tuple[tuple[str, str], ...]:
    return (BETA_HEADER,) if dialect == "beta" else ()


def _subprotocols(secret: str, dialect: DialectChoice) -> tuple[str, ...]:
    """The service answers `realtime`; the key rides along for clients that cannot set headers."""
    if not _SUBPROTOCOL_TOKEN.fullmatch(secret):
        raise SettingsError("the model token cannot be sent as a subprotocol: use bearer or api-key")
    beta = (BETA_SUBPROTOCOL,) if dialect == "beta" else ()
    return ("realtime", f"{KEY_SUBPROTOCOL}{secret}", *beta)
