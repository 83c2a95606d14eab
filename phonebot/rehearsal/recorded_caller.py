"""
The caller of a recorded call, calling again: he says and presses the same, and waits for the bot as he did.

Where he waited until the bot had finished, he waits so long again after its end, however long it speaks now. Where
he interrupted, he does so when the bot has spoken for as long as it had then. Where he spoke into silence, he lets
the same time pass.
"""

from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.carrier.messages import Dtmf
from phonebot.replay.heard import Legs, legs
from phonebot.replay.reader import CallLog, outcome_of
from phonebot.replay.utterances import Utterance, of_bot, of_caller
from phonebot.simulator.caller import HangUp, Interrupt, Pause, Press, Say, Step, WaitForHangUp, WaitForQuiet

BEFORE_MS, AFTER_MS = 200, 300  # said with each utterance: a detector of speech needs to hear it begin and end
LEAST_QUIET_MS = 300  # a bot is not done in each of its pauses
MOST_QUIET_MS = 10_000
IN_TURN_MS = 1_500  # a bot that said less than it was interrupted after is answered when it was silent for so long
PATIENCE_MS = 20_000  # with a bot that does not say what he waits for


def steps_of(log: CallLog) -> tuple[Step, ...]:
    """His script. Raises LogError for a log that is longer than a call may be."""
    both = legs(log)
    script = _Script(both)
    done: list[tuple[int, Utterance | str]] = [(each.begin_ms, each) for each in of_caller(both)]
    done += [(step.now_ms, step.input.digit) for step in log.steps if isinstance(step.input, Dtmf)]
    for at_ms, what in sorted(done, key=lambda each: each[0]):
        if isinstance(what, Utterance):
            script.say(what)
        else:
            script.press(at_ms, what)
    outcome = outcome_of(action for step in log.steps for action in step.actions)
    script.end(len(both.caller) // BYTES_PER_MS, by_caller=outcome in (None, "caller_hung_up", "stream_lost"))
    return tuple(script.steps)


class _Script:
    """Grows step by step, in the order of the call."""

    def __init__(self, both: Legs) -> None:
        self.steps: list[Step] = []
        self._legs = both
        self._bot = of_bot(both)
        self._done_ms = 0  # when he was done with what he did last

    def say(self, utterance: Utterance) -> None:
        start_ms = max(utterance.begin_ms - BEFORE_MS, self._done_ms)
        audio = self._legs.caller[start_ms * BYTES_PER_MS : (utterance.end_ms + AFTER_MS) * BYTES_PER_MS]
        name = f"what he said at {utterance.begin_ms / 1000:.1f} s"
        heard = self._being_heard(utterance.begin_ms)
        if heard is not None:
            after_ms = max(start_ms - heard.begin_ms, 0)
            self.steps.append(Interrupt(after_ms, audio, name, PATIENCE_MS, IN_TURN_MS))
        else:
            self._wait(start_ms)
            self.steps.append(Say(audio, name))
        self._done_ms = utterance.end_ms + AFTER_MS

    def press(self, at_ms: int, digit: str) -> None:
        self._wait(at_ms)
        self.steps.append(Press(digit))
        self._done_ms = max(at_ms, self._done_ms)

    def end(self, at_ms: int, by_caller: bool) -> None:
        if by_caller:
            self._wait(at_ms)
        else:
            self.steps.append(WaitForHangUp(PATIENCE_MS))
        self.steps.append(HangUp())

    def _being_heard(self, at_ms: int) -> Utterance | None:
        """What the bot was saying at that moment."""
        return next((each for each in self._bot if each.begin_ms <= at_ms < each.end_ms), None)

    def _wait(self, until_ms: int) -> None:
        """As he waited: for the bot to finish, if it spoke since he was done; otherwise so long."""
        ends = [each.end_ms for each in self._bot if self._done_ms <= each.end_ms <= until_ms]
        if ends:
            quiet_ms = min(max(until_ms - ends[-1], LEAST_QUIET_MS), MOST_QUIET_MS)
            self.steps.append(WaitForQuiet(quiet_ms, within_ms=PATIENCE_MS))
        elif until_ms > self._done_ms:
            self.steps.append(Pause(until_ms - self._done_ms))
