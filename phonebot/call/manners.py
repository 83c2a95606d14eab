"""
A caller who says nothing is asked whether he is there, and left in the end.

    manners = Manners(plan.no_input, talk, tools, typed)
    manners.watch(now)                 # after each input: does anybody speak, or is about to?
    actions = manners.tick(now)        # once manners.due_ms has come

Silence is when nobody has the floor and nothing is on its way: no answer, no function, no text that waits.
"""

from phonebot.call.actions import Action, CallerSilent
from phonebot.call.conversation import Conversation
from phonebot.call.inputs import Leave
from phonebot.call.limits import NoInput
from phonebot.call.tools import Tools
from phonebot.call.turns import Turn
from phonebot.call.typed import Typed


class Manners:
    """`wish` None: he may be silent for as long as he likes."""

    def __init__(self, wish: NoInput | None, talk: Conversation, tools: Tools, typed: Typed) -> None:
        self._wish, self._talk, self._tools, self._typed = wish, talk, tools, typed
        # Since when it is silent; None: it is not.
        self._silent_ms: int | None = None
        self._asked = 0  # times in a row

    @property
    def watches(self) -> bool:
        return self._wish is not None

    @property
    def due_ms(self) -> int | None:
        """When a Tick is due."""
        if self._wish is None or self._silent_ms is None:
            return None
        return self._silent_ms + self._wish.after_ms

    def caller_is_there(self) -> None:
        """He has shown that he is: by a key, or by what is typed in his place."""
        self._silent_ms, self._asked = None, 0

    def watch(self, now: int) -> None:
        """Something has happened: is it silent now?"""
        if self._talk.turn is Turn.CALLER:
            self._asked = 0
        if not self._is_silent(now):
            self._silent_ms = None
        elif self._silent_ms is None:
            self._silent_ms = now

    def _is_silent(self, now: int) -> bool:
        talk = self._talk
        if talk.turn in (Turn.CALLER, Turn.THINKING) or talk.items.model is None or talk.ended:
            return False
        if not talk.ledger.is_over(now) or talk.answer_due_ms is not None:
            return False
        return talk.is_quiet and not (talk.items.growing or self._tools.running or self._typed.unanswered)

    def tick(self, now: int) -> list[Action]:
        if self._wish is None or self.due_ms is None or now < self.due_ms:
            return []
        assert self._silent_ms is not None, "else nothing is due"
        silent_ms, self._silent_ms = now - self._silent_ms, None
        if self._asked >= self._wish.times:
            goodbye = self._wish.goodbye
            wish = Leave(goodbye.text, "no_input", listens=True, language=goodbye.language)
            return [CallerSilent(silent_ms, 0), *self._talk.leave(wish, now)]
        self._asked += 1
        self._talk.responses.want(self._talk.words(self._wish.say.text, self._wish.say.language))
        return [CallerSilent(silent_ms, self._asked), *self._talk.ask(now)]
