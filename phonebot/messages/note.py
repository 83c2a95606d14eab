"""A message as it was taken, and as it waits on the disk until it is in the store."""

from datetime import datetime
from typing import Any

import msgspec

from phonebot.store.tables import MessageRow


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a caller leaves, as MessageRow has it. `message_id` is its own, and none of a file's beside it: hexadecimal
    digits and dashes. `tell`: whom to tell, as agents/destination.py has it; None: nobody.
    """

    message_id: str
    call_sid: str
    taken_at: datetime
    number: str
    profile_name: str
    from_number: str
    text: str
    name: str = ""
    call_back: str = ""
    for_whom: str = ""
    urgent: bool = False
    tell: dict[str, Any] | None = None

    def row(self) -> MessageRow:
        return MessageRow(**{name: value for name, value in msgspec.structs.asdict(self).items() if name != "tell"})

    @property
    def wishes(self) -> dict[str, Any] | None:
        """As the queue has them."""
        return None if self.tell is None else {"message": self.tell}
