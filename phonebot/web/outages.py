"""
Work on a store that comes again and again: what it cannot do in one round it does in a later one.

    outages = Outages(log, "profiles stay as they are", "profiles are followed again")
    while True:
        await outages.endure(refresh())
        await asyncio.sleep(1)
"""

import logging
from collections.abc import Awaitable

from phonebot.errors import StoreError


class Outages:
    """
    Tells `log` when the work cannot be done, by `begins` and why, and when it can again, by `over`: each once,
    however many rounds it lasts.
    """

    def __init__(self, log: logging.Logger, begins: str, over: str) -> None:
        self._log, self._begins, self._over = log, begins, over
        self.is_away = False  # the last round failed

    async def endure(self, work: Awaitable[object]) -> bool:
        """One round; whether it was done."""
        try:
            await work
        except StoreError as error:
            if not self.is_away:
                self._log.warning("%s: %s", self._begins, error)
            self.is_away = True
        except Exception:
            # A fault of ours in one round must not end those to come.
            if not self.is_away:
                self._log.exception("%s", self._begins)
            self.is_away = True
        else:
            if self.is_away:
                self._log.info("%s", self._over)
            self.is_away = False
        return not self.is_away
