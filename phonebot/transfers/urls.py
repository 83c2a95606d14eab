"""
The URLs that the carrier is given for a transfer, with what they are about in a signed token.

So whichever process is asked knows it, also while the database is away; and nobody who can make the carrier ask
something else, by a form that it signs, can say it.
"""

from typing import NamedTuple
from urllib.parse import urlencode

from itsdangerous import BadData, URLSafeTimedSerializer

TOKEN = "t"  # noqa: S105  (a name)
AGE_S = 6 * 3600  # longer than a call lasts that was transferred


class Ticket(NamedTuple):
    """
    What a URL is about: the caller's call, who calls which number, and the destination's name.

    `leg` names the attempt to reach a colleague who is asked first; "": the caller is put through to him. `tried`
    are the names of those who were tried before, with commas between.
    """

    call_sid: str
    caller: str
    number: str
    to: str
    leg: str = ""
    tried: str = ""


class TransferUrls:
    """`public_url` is where the carrier reaches this service."""

    def __init__(self, public_url: str, secret_key: str) -> None:
        self._public_url = public_url
        self._serializer = URLSafeTimedSerializer(secret_key, salt="phonebot transfer")

    def after(self, ticket: Ticket) -> str:
        """Asked how the caller's call goes on, once he was put through or has left the room."""
        return self._url("after", ticket)

    def whisper(self, ticket: Ticket) -> str:
        """Asked what the colleague hears first."""
        return self._url("whisper", ticket)

    def key(self, ticket: Ticket) -> str:
        """Told which key the colleague has pressed."""
        return self._url("whisper/key", ticket)

    def status(self, ticket: Ticket) -> str:
        """Told how the call to the colleague stands."""
        return self._url("status", ticket)

    def read(self, token: str | None) -> Ticket | None:
        """What a URL's token says; None when there is none of ours."""
        try:
            return Ticket(*self._serializer.loads(token or "", max_age=AGE_S))
        except (BadData, TypeError):
            return None

    def _url(self, path: str, ticket: Ticket) -> str:
        query = urlencode({TOKEN: str(self._serializer.dumps(list(ticket)))})
        return f"{self._public_url}/twilio/{path}?{query}"
