"""
The built-in functions as a rehearsal has them: the call goes as it would, and nobody outside is told.

Whoever is transferred leaves the bot, and no telephone rings; messages and opt-outs are noted nowhere.
"""

from phonebot.messages.note import Note
from phonebot.messages.taking import TakeMessage
from phonebot.outbound.opting_out import OptOut
from phonebot.tools.builtin import Builtin, EndCall, PressKeys, SetLanguage
from phonebot.transfers.continuations import Continuations
from phonebot.transfers.function import TransferCall
from phonebot.transfers.legs import Legs
from phonebot.transfers.urls import TransferUrls

PUBLIC_URL = "https://bot.example.com"


class _Nowhere:
    """Where a rehearsal keeps what callers leave."""

    async def add(self, number: str, why: str) -> None:
        pass

    async def take(self, note: Note) -> None:
        pass


class _Carrier:
    """All calls of a rehearsal came from the carrier."""

    def is_carriers(self, call_sid: str) -> bool:
        return True


def builtins() -> tuple[Builtin, ...]:
    """Those of a deployment with a database, and without credentials of a carrier: so transfers are not warm."""
    nowhere, legs = _Nowhere(), Legs(None, TransferUrls(PUBLIC_URL, "rehearsal"))
    return (
        EndCall(),
        PressKeys(),
        SetLanguage(),
        TakeMessage(nowhere.take),
        OptOut(nowhere),
        TransferCall(legs, Continuations(None), _Carrier()),
    )
