"""
What the caller has to have heard before anything of his is recorded: the bot says it first, and nobody listens yet.

    notice = Notice(plan.notice)
    notice.begin(now)                                    # its words are insisted on; before, the model is not ready
    notice.outcome(responses, items, silent, now)        # None: wait; "": it was heard in full; else why it was not

As with last words, a model that does not say it is given up after a time. The call then goes on, unrecorded.
"""

from phonebot.call.farewell import MS_PER_CHARACTER, PATIENCE_MS
from phonebot.call.items import Items
from phonebot.call.responses import Responses
from phonebot.call.transcript import SpokenItem
from phonebot.call.wording import resembles

NOT_IN_TIME = "it was not heard in time"
NOT_SAID = "the model did not say it"
OTHER_WORDS = "the model said something else"


class Notice:
    """`due_ms`: then it is given up; None: it is not asked for yet."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.due_ms: int | None = None
        self._said: dict[str, SpokenItem] = {}

    def begin(self, now: int) -> None:
        self.due_ms = now + PATIENCE_MS + len(self.words) * MS_PER_CHARACTER

    def outcome(self, responses: Responses, items: Items, silent: bool, now: int) -> str | None:
        """Ask after each input. None: it is not known yet; "": it was heard in full; else why it was not.

        `silent`: nothing is left to play.
        """
        if self.due_ms is None:
            return None
        begun = responses.insisted_id
        said = [item for item in items if begun and item.response_id == begun]
        self._said |= {item.item_id: item for item in said}
        if now >= self.due_ms:
            return NOT_IN_TIME
        if begun is None or begun == responses.active or said or not silent:
            return None
        return self._verdict()

    def _verdict(self) -> str:
        """All that there is of it is settled."""
        heard = [item for item in self._said.values() if item.sent_bytes and item.heard_in_full]
        if not heard or len(heard) < len(self._said):
            return NOT_SAID
        text = " ".join(item.text for item in heard)
        # A service that writes nothing down was asked for these words, and for no others.
        return "" if not text.strip() or resembles(text, self.words) else OTHER_WORDS
