"""
A caller who waits and hears nothing is told that it takes a moment; after that he hears music, or is told it again.

    waiting.look(1_500, now)         # after each input: he may hear nothing for so long; None: he does not
    actions = waiting.tick(now)      # once waiting.due_ms has come

All of it is audio of ours: it is for times when no model can say it.
"""

from phonebot.call.actions import Action
from phonebot.call.conversation import Conversation
from phonebot.call.kept_audio import KeptAudio
from phonebot.call.plan import CallPlan

AGAIN_MS = 2_500  # of silence, after the first words


class Waiting:
    """`due_ms`: when he has heard nothing for too long; None: he does not wait, or there is nothing to be heard."""

    def __init__(self, plan: CallPlan, talk: Conversation, kept: KeptAudio) -> None:
        self.due_ms: int | None = None
        self._words, self._music = plan.canned.wait, bool(plan.hold_audio)
        self._talk, self._kept = talk, kept
        # Since when nobody is heard, or will be as far as is known; None: he does not wait.
        self._quiet_ms: int | None = None
        self._fillers = 0  # that he has heard since he waits

    def look(self, patience_ms: int | None, now: int) -> None:
        """Something has happened: does he wait, and for how long may he hear nothing?"""
        # In an answer that has begun there is no room for audio of ours: it would be heard behind the answer.
        if patience_ms is None or self._talk.items.growing or not (self._words.audio or self._music):
            self._quiet_ms = self.due_ms = None
            self._fillers = 0
            return
        if not self._talk.ledger.is_over(now):
            self._quiet_ms = now + self._talk.unheard_ms(now)
        elif self._quiet_ms is None or self._kept.speaks:
            self._quiet_ms = now
        self.due_ms = self._quiet_ms + (AGAIN_MS if self._fillers else patience_ms)

    def tick(self, now: int) -> list[Action]:
        """Let him hear something, if it is time."""
        if self.due_ms is None or now < self.due_ms:
            return []
        plays_music = self._music and (self._fillers or not self._words.audio)
        self._fillers, self._quiet_ms, self.due_ms = self._fillers + 1, None, None
        return self._talk.play_music(now) if plays_music else self._talk.play_canned(self._words, now)
