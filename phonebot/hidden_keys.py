"""
Keys of the caller that nobody is to know: they are taken out before the call is told of them.

    hidden = HiddenKeys(call)
    received = hidden.hide(received, now)          # each input, before the call has it
    hidden.follow(call.receive(received, now))
    hidden.keys                                    # what he keyed in last, for the functions

So neither what is told to the model nor the log has them, and the log replays: each is a 0 everywhere. While he
keys them in his audio is silence, for a carrier may let their tones be heard; that of the first may be heard still.
"""

from collections.abc import Iterable

from phonebot.audio.base64 import base64_length, base64_silence
from phonebot.call.actions import Action, KeysEntered
from phonebot.call.call import Call
from phonebot.call.inputs import Input
from phonebot.carrier.messages import Dtmf, Media


class HiddenKeys:
    """`keys` are those that were keyed in last, as one answer; "": none were."""

    def __init__(self, call: Call) -> None:
        self.keys = ""
        self._call = call
        self._gathered = ""
        self._pressed = ""  # the key that the call was told of last, until `follow`

    def hide(self, received: Input, now: int) -> Input:
        """The same, as the call may know it."""
        match received:
            case Media() if self._call.keys_in:
                silence = base64_silence(base64_length(received.payload))
                return Media(received.sequence, received.chunk, received.timestamp_ms, silence, received.track)
            case Dtmf(sequence, digit):
                self._pressed = digit
                is_known = not digit.isalnum() or self._call.waits_for_key(digit, now)
                return received if is_known else Dtmf(sequence, "0")
        return received

    def follow(self, actions: Iterable[Action]) -> None:
        """This came of it."""
        pressed, self._pressed = self._pressed, ""
        for action in actions:
            if isinstance(action, KeysEntered):
                self.keys = (self._gathered + pressed)[: len(action.keys)]
                self._gathered = ""
                return
        if self._call.keys_in > len(self._gathered):
            self._gathered += pressed
