"""
A phone for tests that read like the call.

    def test_opening_hours(phone):
        phone.profile(greeting="Hello, how can I help?")
        phone.model({"opening hours": "We are open from eight to six."})
        phone.dial()
        phone.expect_heard("how can I help")
        phone.say("What are your opening hours?")
        phone.interrupt("Thank you, that is all.", after_ms=700)
        phone.expect_interrupted(heard_ms=(700, 1200))
        phone.hang_up()

Each line lets time pass until it is done. Nothing sleeps in virtual time; over sockets it takes as long as a call
takes. The caller speaks in vowels and the bot in tones, one for each word: what they say is known, and need not be
recognised.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from phonebot.agents.numbers import Numbers
from phonebot.agents.profile import Profile
from phonebot.call.actions import Action, BargeIn, Cut, Ended, GuardrailTripped, HandOff, Outcome
from phonebot.call.actions import Line as Spoken
from phonebot.realtime.events import FunctionCall, OutputItemDone
from phonebot.rehearsal.line import DEFAULT_CALLER, DEFAULT_NUMBER, Answers, Dialled, Line, ToldEar
from phonebot.rehearsal.voice import spoken
from phonebot.replay.reader import outcome_of
from phonebot.replay.words import clock, of_action
from phonebot.simulator.caller import HangUp, Interrupt, Pause, Press, Say, Step
from phonebot.simulator.dialogue import ScriptedMind
from phonebot.simulator.mind import Call, Mind
from phonebot.simulator.scenario import load_audio
from phonebot.simulator.script import load_script
from phonebot.tools.functions import Tool
from phonebot.tools.guarding import GuardrailFunction

PATIENCE_MS = 20_000  # how long a line of a test waits for what it expects
SHOWN = (Spoken, BargeIn, Cut, GuardrailTripped, HandOff, Ended)

OpenLine = Callable[[Dialled], Line]


class ExpectationFailed(AssertionError):
    """What was expected of a call did not happen. The text tells what did."""


class Phone:
    """
    One call. `open_line` decides whether it is held in virtual time or by the service.

    Before `dial`: `profile` and `model`. During the call: what the caller does, and what is expected. Raises
    ExpectationFailed, and RuntimeError for what makes no sense at that moment.
    """

    def __init__(self, open_line: OpenLine, numbers: Numbers | None = None) -> None:
        self._open_line = open_line
        self._numbers = numbers or Numbers()
        self._ear = ToldEar()
        self._mind: Callable[[], Mind] = lambda: Answers({})
        self._functions: dict[str, Tool] = {}
        self._takes_ms = 0.0
        self._guardrails: dict[str, GuardrailFunction] = {}
        self._line: Line | None = None  # None: nobody was called yet
        self._seen = 0  # how many of the actions an expectation has looked at
        self._seen_functions = 0  # how many of the calls of functions

    # ------------------------------------------------------------------------------ who is there

    def profile(self, **keys: Any) -> None:
        """Let a profile with these keys answer all numbers, in place of the deployment's."""
        self._numbers = Numbers.single(Profile.from_table({"name": "test", **keys}, "phone.profile"))

    def model(self, answers: Mapping[str, str | Call] | Path, otherwise: str | None = None) -> None:
        """
        What the model says to what it hears: for a part of what the caller says, the answer; else `otherwise`.

        An answer may be a Call(name, arguments) of phonebot/simulator/mind.py: the model calls this function. Or a
        file with a script of the embedded model (phonebot/simulator/script.py).
        """
        if isinstance(answers, Path):
            self._mind = partial(ScriptedMind, load_script(answers))
            return
        given = dict(answers)
        self._mind = lambda: Answers(given) if otherwise is None else Answers(given, otherwise)

    def tools(self, *functions: Tool, takes_ms: float = 0) -> None:
        """
        Functions that profiles may name, made by phonebot.tools.tool. In virtual time each takes `takes_ms`.

        They run, over sockets and in virtual time alike; requests that a profile describes only over sockets.
        """
        self._functions = {function.name: function for function in functions}
        self._takes_ms = takes_ms

    def guardrails(self, *functions: GuardrailFunction) -> None:
        """Functions that the guardrails of profiles may name, made by phonebot.tools.guardrail."""
        self._guardrails = {function.name: function for function in functions}

    # ------------------------------------------------------------------------------ the caller

    def dial(self, number: str = DEFAULT_NUMBER, caller: str = DEFAULT_CALLER) -> None:
        """Call; the bot answers."""
        if self._line is not None:
            raise RuntimeError("this phone has dialled already: a test holds one call")
        self._line = self._open_line(
            Dialled(
                self._numbers,
                self._mind,
                self._ear,
                caller,
                number,
                self._functions,
                self._takes_ms,
                self._guardrails,
            )
        )

    def say(self, text: str, audio: Path | None = None) -> None:
        """Speak, whoever else speaks: in vowels, or what a WAV file (8 kHz, mono) holds."""
        self._speak(text, lambda sound: Say(sound, text), audio)

    def interrupt(self, text: str, after_ms: int, audio: Path | None = None) -> None:
        """Speak when the bot has been heard for so long."""
        self._speak(text, lambda sound: Interrupt(after_ms, sound, text), audio)

    def press(self, keys: str) -> None:
        """Press keys, 200 ms apart: 0-9, * and #."""
        self._do(Press(keys))

    def stay_silent(self, ms: int) -> None:
        """Say nothing for so long."""
        self._do(Pause(ms))

    def hang_up(self) -> None:
        """End the call."""
        line = self._under_way("hang up")
        line.caller.do(HangUp())
        self._wait(lambda: line.over, PATIENCE_MS, "the call to be over after the caller hung up")

    # ------------------------------------------------------------------------------ what is expected

    def expect_heard(self, text: str, within_ms: int = PATIENCE_MS) -> None:
        """The caller hears this, as part of a line of the bot; what follows is looked for behind that line."""

        def found(action: Action) -> bool:
            return isinstance(action, Spoken) and action.role == "bot" and text in action.text

        self._expect(found, within_ms, f"the caller to hear {text!r}")

    def expect_understood(self, text: str, within_ms: int = PATIENCE_MS) -> None:
        """The transcript has this, as part of a line of the caller."""

        def found(action: Action) -> bool:
            return isinstance(action, Spoken) and action.role == "caller" and text in action.text

        self._expect(found, within_ms, f"the caller to be understood to say {text!r}")

    def expect_interrupted(self, heard_ms: tuple[int, int] | None = None, within_ms: int = PATIENCE_MS) -> None:
        """The bot was cut short; the caller has heard between so many ms of what it was saying."""
        first_ms, last_ms = heard_ms or (0, 3_600_000)

        def found(action: Action) -> bool:
            return isinstance(action, Cut) and first_ms <= action.heard_ms <= last_ms

        heard = f" with {first_ms} to {last_ms} ms heard" if heard_ms else ""
        self._expect(found, within_ms, f"the bot to be interrupted{heard}")

    def expect_called(
        self, name: str, arguments: Mapping[str, Any] | None = None, within_ms: int = PATIENCE_MS
    ) -> None:
        """The model calls this function, with these arguments and perhaps others."""

        def found() -> bool:
            functions = self.functions
            for number in range(self._seen_functions, len(functions)):
                called, given = functions[number]
                if called == name and given | dict(arguments or {}) == given:
                    self._seen_functions = number + 1
                    return True
            return False

        if self._line is None:
            raise RuntimeError("nobody was called yet: dial first")
        with_these = f" with {dict(arguments)}" if arguments else ""
        self._wait(found, within_ms, f"the function {name} to be called{with_these}")

    def expect_agent(self, name: str, within_ms: int = PATIENCE_MS) -> None:
        """The agent of this name takes over."""
        self._expect(
            lambda action: isinstance(action, HandOff) and action.to_agent == name,
            within_ms,
            f"the agent {name} to take over",
        )

    def expect_tripped(self, guardrail: str, within_ms: int = PATIENCE_MS) -> None:
        """The guardrail of this name trips."""
        self._expect(
            lambda action: isinstance(action, GuardrailTripped) and action.guardrail == guardrail,
            within_ms,
            f"the guardrail {guardrail} to trip",
        )

    def expect_hung_up(self, outcome: Outcome | None = None, within_ms: int = PATIENCE_MS) -> None:
        """The call ends without the caller's doing; `outcome` says why."""

        def found(action: Action) -> bool:
            return isinstance(action, Ended) and outcome in (None, action.outcome)

        why = f" ({outcome})" if outcome else ""
        self._expect(found, within_ms, f"the bot to hang up{why}")
        if self.outcome == "caller_hung_up":
            raise ExpectationFailed(self._so_far("expected the bot to hang up; the caller did"))

    # ------------------------------------------------------------------------------ what happened

    @property
    def actions(self) -> tuple[tuple[int, Action], ...]:
        """All that phonebot did so far, each with its call time in ms."""
        happened = list(self._line.happened) if self._line else []
        return tuple((step.now_ms, action) for step in happened for action in step.actions)

    @property
    def functions(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The functions that the model has called so far, each with its arguments (JSON, or none)."""
        items = (
            step.input.item
            for step in (self._line.happened if self._line else ())
            if isinstance(step.input, OutputItemDone)
        )
        return tuple((item.name, _object(item.arguments)) for item in items if isinstance(item, FunctionCall))

    @property
    def transcript(self) -> tuple[str, ...]:
        """The lines so far, as "bot: Hello"; a line that was cut ends with "…"."""
        lines = [action for _, action in self.actions if isinstance(action, Spoken)]
        return tuple(f"{line.role}: {line.text}{' …' if line.cut else ''}" for line in lines)

    @property
    def outcome(self) -> Outcome | None:
        """How the call ended; None while it goes on."""
        return outcome_of(action for _, action in self.actions)

    def close(self) -> None:
        """End the call. Raises ExpectationFailed for what the carrier found to be against its documentation."""
        if self._line is None:
            return
        problems = self._line.close()
        if problems:
            raise ExpectationFailed(self._so_far("\n".join(["the carrier complains:", *problems])))

    # ------------------------------------------------------------------------------ how

    def _under_way(self, what: str) -> Line:
        if self._line is None:
            raise RuntimeError(f"nobody was called yet: dial before you {what}")
        if self._line.over or self._line.caller.gone:
            raise ExpectationFailed(self._so_far(f"the caller was to {what}, but the call is over"))
        return self._line

    def _speak(self, text: str, step: Callable[[bytes], Step], audio: Path | None) -> None:
        __tracebackhide__ = True
        sound = load_audio(audio) if audio else spoken(text)
        if not sound:
            raise RuntimeError("there is nothing to say in an empty text")
        self._under_way("speak")
        self._do(step(sound))

    def _do(self, step: Step) -> None:
        """Let him do it, to its end or that of the call."""
        __tracebackhide__ = True
        line = self._under_way("go on")
        failures = len(line.caller.failures)
        line.caller.do(step)
        line.wait(lambda: not line.caller.busy, 600_000)
        if line.caller.failures[failures:]:
            raise ExpectationFailed(self._so_far(f"the caller could not do it: {line.caller.failures[-1]}"))

    def _expect(self, is_it: Callable[[Action], bool], within_ms: int, what: str) -> None:
        __tracebackhide__ = True
        if self._line is None:
            raise RuntimeError("nobody was called yet: dial first")
        self._wait(lambda: self._find(is_it), within_ms, what)

    def _find(self, is_it: Callable[[Action], bool]) -> bool:
        """Look for it behind what was found last."""
        actions = self.actions
        for number in range(self._seen, len(actions)):
            if is_it(actions[number][1]):
                self._seen = number + 1
                return True
        return False

    def _wait(self, is_so: Callable[[], bool], within_ms: int, what: str) -> None:
        __tracebackhide__ = True
        assert self._line is not None, "only a call under way is waited for"
        if not self._line.wait(is_so, within_ms):
            until = "before the call ended" if self._line.over else f"within {within_ms / 1000:g} s"
            raise ExpectationFailed(self._so_far(f"expected {what} {until}"))

    def _so_far(self, problem: str) -> str:
        told = [f"  {clock(now)}  {of_action(action)}" for now, action in self.actions if isinstance(action, SHOWN)]
        return "\n".join([f"{problem}; so far:", *(told or ["  nothing"])])


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
