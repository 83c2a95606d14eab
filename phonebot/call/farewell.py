"""
The end of a call, with words: they are said, and once they were heard in full the call is hung up.

    farewell = Farewell("Goodbye.", "guardrail", listens=False, now=now)
    responses.insist(exactly(farewell.words))      # the call asks the model for them
    farewell.is_over(responses, items, silent, now)    # True: hang up

Without words of ours they are what the bot is saying. The caller does not have to wait for ever: a model that does
not say them, and marks that do not come back, are given up. While the bot `listens`, a caller who speaks calls it
off; otherwise nobody listens to him any more.
"""

from phonebot.call.actions import Outcome
from phonebot.call.items import Items
from phonebot.call.responses import Responses

PATIENCE_MS = 10_000  # for the words to begin, and for the last mark
MS_PER_CHARACTER = 100  # slow speech


class Farewell:
    """
    `outcome` is how the call ends by it; `due_ms` is when it does at the latest. `unheard_ms`: so much of what the
    bot has said is to be heard before. `language`: see Leave.
    """

    def __init__(
        self,
        words: str,
        outcome: Outcome,
        *,
        listens: bool,
        now: int,
        unheard_ms: int = 0,
        language: str = "",
    ) -> None:
        self.words, self.outcome, self.listens, self.language = words, outcome, listens, language
        self.due_ms = now + unheard_ms + PATIENCE_MS + len(words) * MS_PER_CHARACTER

    def is_over(self, responses: Responses, items: Items, silent: bool, now: int) -> bool:
        """Whether it was heard, or is not waited for any longer. `silent`: nothing is left to play."""
        if now >= self.due_ms:
            return True
        if not silent:
            return False
        if not self.words:
            return not (responses.active or responses.asked or any(items))
        begun = responses.insisted_id
        if begun is None or begun == responses.active:
            return False
        return all(item.response_id != begun for item in items)
