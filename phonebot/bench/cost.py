"""
What each way of saving saves: the same call without it and with it, as the embedded model counts their tokens.

    report = measure_cost()

The calls are whole ones, in virtual time: a caller with a voice, the emulated carrier, the core and the embedded
model's session, so the figures are the same in each run. Prices are those of MODEL.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from phonebot.agents.agent import MAIN
from phonebot.agents.profile import Profile
from phonebot.audio.base64 import base64_length
from phonebot.audio.g711 import pcm_to_ulaw
from phonebot.bench.cost_report import Bill, CostReport, Saving
from phonebot.call.actions import RunTool, Tell
from phonebot.call.inputs import ToolResult
from phonebot.call.plan import Offer, ToolRule
from phonebot.call.planning import plan_for
from phonebot.errors import PhonebotError
from phonebot.realtime.events import BYTES_PER_MS, AppendAudio, FunctionTool, ResponseDone
from phonebot.realtime.prices import LISTED
from phonebot.rehearsal.virtual import VirtualCall
from phonebot.rehearsal.virtual_model import VirtualModel, at_once
from phonebot.rehearsal.voice import spoken
from phonebot.replay.account import summed
from phonebot.simulator.caller import Caller, HangUp, Pause, Press, Say, Step, WaitForQuiet
from phonebot.simulator.mind import Call, Context, Mind, ToneVoice
from phonebot.simulator.mind import Say as Says

MODEL = "gpt-realtime-2.1"
GREETING = "Hello, this is Northwind Dental. How can I help you today?"
PROMPT = "You answer the phone of Northwind Dental, a dentist's practice. Be friendly and brief. " * 8
ASKED = "When are you open on Friday afternoon please"
ANSWER = "On Friday we are open from eight in the morning until two in the afternoon."
LONG_QUESTION = " ".join([ASKED] * 4)
LONG_ANSWER = " ".join([ANSWER] * 3)
DONE = "You are booked, the receipt is on its way, and we will remind you."
FUNCTIONS = ("book", "send_receipt", "remind")
FUNCTION_MS = 400.0
LONGEST_MS = 3_600_000
QUIET = WaitForQuiet(700)


@dataclass(frozen=True, slots=True)
class OneAnswer:
    """Answers whatever is asked with the same words."""

    text: str = ANSWER

    def answer(self, context: Context) -> tuple[Says | Call, ...]:
        return (Says(self.text),)


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls all functions at once, or one in each response; then says that it is done."""

    at_once: bool

    def answer(self, context: Context) -> tuple[Says | Call, ...]:
        if not context.tools:
            return (Says(ANSWER),)
        done = sum(line.role == "tool" for line in context.history)
        left = FUNCTIONS[done:]
        if not left:
            return (Says(DONE),)
        return tuple(Call(name, {"day": "Friday"}) for name in (left if self.at_once else left[:1]))


@dataclass(frozen=True, slots=True)
class Held:
    """A call as it is to be held: what its profile has beside the rest, and what its caller does."""

    steps: tuple[Step, ...]
    mind: Callable[[], Mind] = OneAnswer
    profile: dict[str, Any] | None = None
    functions: tuple[str, ...] = ()
    plays_greeting: bool = False

    def with_profile(self, **keys: Any) -> "Held":
        return replace(self, profile={**(self.profile or {}), **keys})


def asks(turns: int, *between: Step, ends_by: str = "", text: str = ASKED) -> tuple[Step, ...]:
    """He asks so many times; before each, `between` passes; a key ends his turn where there is one."""
    keyed: tuple[Step, ...] = (Pause(600), Press(ends_by)) if ends_by else ()
    once: tuple[Step, ...] = (QUIET, *between, Say(spoken(text)), *keyed)
    return (*once * turns, QUIET, HangUp())


def local(**keys: Any) -> dict[str, Any]:
    return {"type": "local", **keys}


TALK = Held(asks(8, Pause(1_500)))
BY_KEY = Held(asks(8, Pause(1_500), ends_by="#"), profile={"turn_detection": {"type": "none"}})
LONG = Held(asks(90, text=LONG_QUESTION), mind=lambda: OneAnswer(LONG_ANSWER))
SHARE = {"retention_ratio": 0.5}
BOOKS = Held(asks(1), functions=FUNCTIONS)
GREETED = Held((QUIET, HangUp()))

COMPARED: tuple[tuple[str, str, Held, Held], ...] = (
    (
        "turns found here",
        "8 questions, server_vad, then local",
        TALK,
        TALK.with_profile(turn_detection=local()),
    ),
    (
        "silence withheld, local",
        "8 questions, local; withhold_silence",
        TALK.with_profile(turn_detection=local()),
        TALK.with_profile(turn_detection=local(withhold_silence=True)),
    ),
    (
        "silence withheld, key",
        "8 questions ended by #; withhold_silence",
        BY_KEY,
        BY_KEY.with_profile(turn_detection={"type": "none", "withhold_silence": True}),
    ),
    (
        "context cut when full",
        "90 long ones; retention_ratio = 0.5",
        LONG,
        LONG.with_profile(truncation=SHARE),
    ),
    (
        "context cut at 8,000",
        "the same; post_instructions = 8000, too",
        LONG,
        LONG.with_profile(truncation=SHARE | {"post_instructions": 8_000}),
    ),
    (
        "functions in one response",
        "3, after one another, then at once",
        replace(BOOKS, mind=lambda: Calls(at_once=False)),
        replace(BOOKS, mind=lambda: Calls(at_once=True)),
    ),
    (
        "recorded greeting",
        "a call that ends after it",
        GREETED,
        replace(GREETED, plays_greeting=True),
    ),
)


def measure_cost() -> CostReport:
    """
    Hold all calls. Raises PhonebotError for one that does not go as it should.

    A minute of them takes some 0.3 s of CPU.
    """
    long = _bill(LONG)  # it is compared twice, and takes longest
    savings = [
        Saving(name, what, long if before is LONG else _bill(before), _bill(after))
        for name, what, before, after in COMPARED
    ]
    return CostReport(MODEL, str(LISTED.as_of), LISTED.source, tuple(savings))


def _bill(held: Held) -> Bill:
    call = hold(held)
    faults = [*call.caller.failures, *map(str, call.carrier.violations)]
    if faults:
        raise PhonebotError(f"a call of the benchmark did not go as it should: {faults[0]}")
    return bill_of(call)


def bill_of(call: VirtualCall) -> Bill:
    """What a call has cost, the writing down of the caller's words left out."""
    usages = [
        step.input.response.usage
        for step in call.steps
        if isinstance(step.input, ResponseDone) and step.input.response.usage
    ]
    tokens = summed(usages)
    tariff = LISTED.tariff(MODEL)
    usd, uncached_usd = tariff.of(tokens), tariff.of(msgspec.structs.replace(tokens, cached_text=0, cached_audio=0))
    assert usd is not None, "MODEL has a price"
    assert uncached_usd is not None
    return Bill(
        len(usages),
        tokens.input_text,
        tokens.input_audio,
        tokens.cached,
        tokens.output_text + tokens.output_audio,
        call.now_ms,
        _sent_ms(call),
        round(usd, 6),
        round(uncached_usd, 6),
    )


def _sent_ms(call: VirtualCall) -> int:
    """Of the caller's audio, to the model."""
    told = (action.command for step in call.steps for action in step.actions if isinstance(action, Tell))
    return sum(base64_length(each.audio) for each in told if isinstance(each, AppendAudio)) // BYTES_PER_MS["pcmu"]


def hold(held: Held) -> VirtualCall:
    """A call that has ended."""
    table = {
        "prompt": PROMPT,
        "greeting": GREETING,
        "model": MODEL,
        "transcription": False,
        "max_call_s": 7_200,
    } | (held.profile or {})
    profile = Profile.from_table(table, "the benchmark")
    if held.plays_greeting:
        speech = at_once(ToneVoice().speak(GREETING))
        profile = profile.with_greeting_clip(b64encode(pcm_to_ulaw(speech.pcm)).decode())
    plan = plan_for(
        profile,
        caller="+15550100001",
        number="+15550100002",
        now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        offers={MAIN: _offer(held.functions)},
    )
    call = VirtualCall(plan, Caller(*held.steps), VirtualModel(held.mind()), run_function=_run)
    if not call.run_until(lambda: call.ended, within_ms=LONGEST_MS):
        raise PhonebotError("a call of the benchmark does not end")
    return call


def _offer(names: Iterable[str]) -> Offer:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}}
    names = tuple(names)
    functions = tuple(FunctionTool(name, "Does what it is called.", schema) for name in names)
    return Offer(functions, tuple(ToolRule(name) for name in names))


def _run(asked: RunTool) -> tuple[float, ToolResult]:
    return FUNCTION_MS, ToolResult(asked.call_id, "done")
