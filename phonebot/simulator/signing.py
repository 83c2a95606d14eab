"""
How the carrier signs a request, and which address it dials for it.

Written from Twilio, "Webhooks security", and sharing nothing with the service that checks the signatures.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

Fields: TypeAlias = Sequence[tuple[str, str]]


def signature(token: str, url: str, fields: Fields = ()) -> str:
    """
    The X-Twilio-Signature of a form POST to `url`, or without `fields` of a GET or a WebSocket upgrade.

    Twilio, "Webhooks security": base64 of the HMAC-SHA1 of the URL, then each field's name and value in the order
    of the names; a value that is repeated counts once. An https URL is signed without its port.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.port is not None:
        url = parts._replace(netloc=parts.netloc.rpartition(":")[0]).geturl()
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1)
    return base64.b64encode(digest.digest()).decode("ascii")


def why_refused(auth_token: str | None) -> str:
    """What to look at when the server answers a request of ours with 403."""
    if auth_token is None:
        return "it wants a signature, and this caller was given no auth token to sign with"
    return "it refuses the signature; do the auth token and the public URL match the server's?"


class Route:
    """Where a URL is really dialled: what is named and signed by the public origin goes to the local one."""

    def __init__(self, webhook_url: str, public_url: str | None) -> None:
        parts = urlsplit(webhook_url)
        self._local = f"{parts.scheme}://{parts.netloc}"
        self._public = (public_url or self._local).rstrip("/")

    def public(self, url: str) -> str:
        """The URL as it is named and signed."""
        return _moved(url, self._local, self._public)

    def dialled(self, url: str) -> str:
        """The URL as it is connected to."""
        return _moved(url, self._public, self._local)


def _moved(url: str, source: str, target: str) -> str:
    """The URL with the origin `source` replaced by `target`; ws counts as http. Any other URL stays as it is."""
    is_socket = url.startswith("ws")
    web_url = "http" + url.removeprefix("ws") if is_socket else url
    rest = web_url.removeprefix(source)
    if rest == web_url or rest[:1] not in ("", "/", "?"):
        return url
    moved = target + rest
    return "ws" + moved.removeprefix("http") if is_socket else moved
