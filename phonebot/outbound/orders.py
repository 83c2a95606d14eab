"""
Who wants somebody called says so here: the console, the API and the command line.

    orders = Orders(store.outbound, dialler)
    call = await orders.place("+15550100009", "+15550100000", actor, reason="Confirm Friday's table.")
    await orders.cancel(call.id, actor)
"""

from phonebot.outbound.dialler import Dialler
from phonebot.store.audit import Actor
from phonebot.store.opt_outs import E164
from phonebot.store.outbound import MAX_REASON_CHARACTERS, DialRefused, OutboundCall, OutboundStore

NO_ACCOUNT = "phonebot has no Twilio account to call with: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"


class Orders:
    """`dialler` None: it runs elsewhere, if `has_account`, and else nowhere."""

    def __init__(self, store: OutboundStore, dialler: Dialler | None, *, has_account: bool) -> None:
        self._store, self._dialler = store, dialler
        self.has_account = has_account

    async def place(self, to_number: str, from_number: str, actor: Actor, reason: str = "") -> OutboundCall:
        """
        Want a call made, as soon as may be: see OutboundStore.add.

        Raises DialRefused, with a sentence, for numbers that are none, that have opted out, and without an account.
        """
        if not self.has_account:
            raise DialRefused(NO_ACCOUNT)
        for name, number in (("the number to call", to_number), ("the number to call from", from_number)):
            if not E164.fullmatch(number):
                raise DialRefused(f'{name} must be in E.164 form, "+" and 7 to 15 digits: correct it')
        if to_number == from_number:
            raise DialRefused("a number cannot call itself: choose another one")
        if len(reason) > MAX_REASON_CHARACTERS:
            raise DialRefused(f"a reason has {MAX_REASON_CHARACTERS} characters at most: shorten it")
        call = await self._store.add(to_number, from_number, actor, reason)
        if self._dialler:
            self._dialler.wake()
        return call

    async def cancel(self, call_id: int, actor: Actor) -> OutboundCall:
        """
        Make no further attempt; what rings or talks is hung up within seconds.

        Raises NotStored, and NothingToCancel when it has ended.
        """
        call = await self._store.cancel(call_id, actor)
        if self._dialler:
            self._dialler.wake()
        return call
