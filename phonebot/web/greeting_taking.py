"""
Takes the greeting out of a call in which the model speaks it, as the caller was sent it.

It is taken only where it is surely the greeting and nothing else: the first that the bot says (behind a notice, if
there is one), heard to its end, in the words of the profile. Anything else before then ends the attempt; the next
call makes another one.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable

from phonebot.audio.base64 import base64_length
from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.call.actions import Action, ClearPlayback, Ended, Line, PlayAudio
from phonebot.call.inputs import Input, ModelReady
from phonebot.call.plan import MAX_CLIP_MS, CallPlan
from phonebot.call.wording import plain, resembles


class GreetingTaker:
    """
    A bridge's journal of a call whose plan has a greeting. `provider` is whose model is to speak it.

    `take` is given the audio, base64 of mu-law in whole frames, at most once. `done` is called when no more is to
    be seen.
    """

    def __init__(
        self, plan: CallPlan, provider: str, take: Callable[[str], None], done: Callable[[], object]
    ) -> None:
        assert plan.greeting, "else there is nothing to take"
        self._greeting, self._notice = plan.greeting, plan.notice
        self._provider, self._take, self._done = provider, take, done
        self._sent: list[PlayAudio] = []
        self._bytes = 0
        self._is_ready = self._is_over = False

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if type(received) is ModelReady:
            if self._is_ready or received.provider != self._provider:
                self._end()
            self._is_ready = True
        for action in actions:
            if self._is_over:
                return
            self._see(action)

    def _see(self, action: Action) -> None:
        match action:
            case PlayAudio():
                self._sent.append(action)
                self._bytes += base64_length(action.payload)
                if self._bytes > MAX_CLIP_MS * BYTES_PER_MS:
                    self._end()
            case Line(role="bot"):
                self._said(action)
            case ClearPlayback() | Ended():
                self._end()

    def _said(self, line: Line) -> None:
        """The bot has said something, and the caller has heard it."""
        others = [piece for piece in self._sent if piece.item_id != line.item_id]
        if self._notice and not line.cut and resembles(line.text, self._notice):
            self._notice, self._sent = "", others  # of the greeting some may have been sent already
            self._bytes = sum(base64_length(piece.payload) for piece in others)
            return
        if not line.cut and not others and plain(line.text) == plain(self._greeting):
            self._take(b64encode(b"".join(b64decode(piece.payload) for piece in self._sent)).decode())
        self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over, self._sent = True, []
            self._done()
