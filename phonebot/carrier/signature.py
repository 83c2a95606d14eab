"""
The signature that proves that a request comes from the carrier (Twilio, Webhooks security).

`X-Twilio-Signature` is the base64 of an HMAC-SHA1 over the URL as the carrier requested it, followed by the fields
of a form. What is signed differs by request:

    form POST                    the URL, then each field's name and value, sorted, nothing between them
    GET                          the URL alone
    upgrade to a media stream    the wss URL of the TwiML

The signature has no time in it: a request can be sent again. Whoever acts on one must see to it that twice does
no harm.

The URL must not be taken from Host or X-Forwarded headers, nor in decoded form: `signed_url` builds it.

RequestValidator of Twilio's library is not used: it raises when the header is missing, keeps a user name in the URL
and takes 80 for the default port of wss.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from typing import Literal

Form = Sequence[tuple[str, str]]
"""All fields of a form in any order: repeated ones, empty ones and unknown ones too, with blanks kept."""

_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
# Split by hand, since urlsplit() and geturl() change some URLs and the signature is over the very characters.
# There is no fragment: none is ever requested, and what follows a stray "#" must not go unsigned.
_URL = re.compile(
    r"(?P<scheme>https?|wss?)://"
    r"(?:[^/?#]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?"
    r"(?P<query>\?[^#]*)?"
)


def sign(token: str, url: str, form: Form = ()) -> str:
    """The signature made with the auth token `token` over exactly `url` and the fields of `form`."""
    # A field that is repeated with the same value counts once.
    text = url + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def form_is_signed(tokens: Sequence[str], url: str, form: Form, signature: str | None) -> bool:
    """
    Whether one of the auth tokens signed this request to an http or https URL; for a GET, `form` is empty.

    `signature` is the header, None if it is missing. Whatever a stranger may send makes this False, never an error.
    The carrier drops the port from some URLs and adds the default one to others: each is accepted.
    """
    return _is_signed(tokens, _spellings(url, ("http", "https")), form, signature)


def stream_is_signed(tokens: Sequence[str], url: str, signature: str | None) -> bool:
    """
    Whether one of the auth tokens signed this upgrade to the media stream at a wss URL (ws on loopback).

    Accepted are the URL as the TwiML has it, with a slash at the end, without the port or with the default one.
    """
    urls = [*_spellings(url, ("ws", "wss")), *_spellings(url, ("ws", "wss"), closing_slash=True)]
    return _is_signed(tokens, urls, (), signature)


def signed_url(public_url: str, raw_path: bytes, query_string: bytes, scheme: Literal["http", "ws"]) -> str:
    """
    The URL that the carrier requested, from what the deployment says and the bytes of the request.

    `public_url` is the http or https URL under which the service is reached from outside. If it has a path, that
    is a prefix which the proxy removes. `raw_path` and `query_string` are those of the ASGI scope, percent-encoded
    as they came. With the scheme "ws" the result is the ws or wss URL of the same place.

    Raises ValueError if `public_url` is not an http or https URL or has a query or fragment.
    """
    parts = _URL.fullmatch(public_url)
    if not parts or not parts["scheme"].startswith("http") or parts["query"] is not None:
        raise ValueError("the public URL must be like https://bot.example.com, without query and fragment")
    origin = public_url.rstrip("/")
    if scheme == "ws":
        origin = "ws" + origin.removeprefix("http")
    # A slash between them in any case: no path may become part of the host. Each byte becomes one character: a
    # request that is not ASCII is nothing that the carrier signs, and is for the check to refuse.
    url = f"{origin}/{raw_path.removeprefix(b'/').decode('latin-1')}"
    return f"{url}?{query_string.decode('latin-1')}" if query_string else url


def _is_signed(tokens: Sequence[str], urls: Sequence[str], form: Form, signature: str | None) -> bool:
    if isinstance(tokens, str):
        raise TypeError("tokens must be a sequence of auth tokens: of a single str each character would be one")
    if signature is None or not signature.isascii():
        return False
    try:
        # Anyone can sign with an empty token.
        expected = [sign(token, url, form).encode() for token in tokens if token for url in urls]
    except (TypeError, UnicodeEncodeError):
        # A field that is an upload, or text that has no UTF-8: the carrier sends neither.
        return False
    # Each is compared, so that the time taken does not say which token or spelling it was.
    return sum(hmac.compare_digest(candidate, signature.encode()) for candidate in expected) > 0


def _spellings(url: str, schemes: tuple[str, str], closing_slash: bool = False) -> list[str]:
    """The URLs that the carrier may have signed in place of `url`: none if it is no URL of these schemes."""
    parts = _URL.fullmatch(url)
    if not parts or parts["scheme"] not in schemes:
        return []
    scheme, host, port, path = parts["scheme"], parts["host"], parts["port"], parts["path"] or ""
    if closing_slash and not path.endswith("/"):
        path += "/"
    # User and password are for the request's Authorization header. They are not signed.
    return [
        f"{scheme}://{host}{path}{parts['query'] or ''}",
        f"{scheme}://{host}:{port or _DEFAULT_PORTS[scheme]}{path}{parts['query'] or ''}",
    ]
