"""
What the profile that answered a call wants done after it.

The version decides that answered, whatever became of the profile since. Versions are in the store; those of this
process's own calls are remembered besides, for a number may be deleted, and its versions with it, during a call.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from phonebot.agents.after_call import KEYS, Wishes
from phonebot.agents.profile import Profile
from phonebot.store.numbers import NumberStore
from phonebot.store.tables import CallRow

log = logging.getLogger(__name__)

MAX_REMEMBERED = 1_000


class WishBook:
    """What is wanted after calls, as a table for JSON; an empty one: nothing."""

    def __init__(self, numbers: NumberStore) -> None:
        self._numbers = numbers
        self._remembered: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def remember(self, profile: Profile) -> None:
        """A call begins that this profile answers."""
        self._remembered[profile.version] = profile.wishes.table()
        self._remembered.move_to_end(profile.version)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    async def of(self, call: CallRow) -> dict[str, Any]:
        """Raises StoreUnavailable."""
        if (known := self._remembered.get(call.profile_version)) is not None:
            return known
        profile = await self._numbers.profile(call.number, call.profile_version)
        return _wishes_in(profile, call) if profile else {}


def _wishes_in(profile: Mapping[str, Any], call: CallRow) -> dict[str, Any]:
    try:
        return Wishes.model_validate({key: profile[key] for key in KEYS & profile.keys()}).table()
    except ValidationError as error:
        log.warning("nothing is done after call %s: its profile cannot be read: %s", call.call_sid, error)
        return {}
