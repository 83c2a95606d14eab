"""
Records fixtures/calls anew: `make fixtures`.

Each call is held in virtual time, by the emulated carrier and the embedded model with its voice and its ear, and
written down as the service would. What is recorded is the same each time as long as the code is; so after a change
of the core one sees in the diff what it changed. `expected.toml` in each folder is written by hand and stays.
"""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import UNSET

from phonebot import __version__
from phonebot.agents.answering import Answered, answer
from phonebot.agents.history import PLACEHOLDER as HISTORY
from phonebot.agents.numbers import DEFAULT, read_file
from phonebot.agents.profile import Profile
from phonebot.audio.melody import melody
from phonebot.call.actions import StartRecording
from phonebot.call.inputs import AnsweredBy, CapReached, Input, Leave, ModelLost, PlayClip, TypedText
from phonebot.call.plan import EarlierLine
from phonebot.call.planning import plan_for
from phonebot.carrier.account import CarrierAccount
from phonebot.carrier.messages import Dtmf
from phonebot.clinic.appointments import appointment_tools
from phonebot.clinic.bills import Bills, billing_tools
from phonebot.clinic.diary import Diary
from phonebot.demo.clinic import start_over
from phonebot.demo.scene import CALLER, NUMBER
from phonebot.guardrails.guardroom import Guardroom
from phonebot.messages.note import Note
from phonebot.messages.taking import TakeMessage
from phonebot.outbound.briefing import briefed
from phonebot.rehearsal.virtual import CALL_SID, STREAM_SID, VirtualCall
from phonebot.rehearsal.virtual_line import functions_of, look_of
from phonebot.rehearsal.virtual_model import VirtualModel, Work
from phonebot.replay.archive import EXPECTED_FILE
from phonebot.replay.log import Header, Kind
from phonebot.replay.reader import CallLog, outcome_of
from phonebot.replay.update import write
from phonebot.replay.verdict import judge
from phonebot.simulator.caller import (
    Caller,
    HangUp,
    Interrupt,
    Pause,
    Press,
    Say,
    Step,
    WaitForHangUp,
    WaitForQuiet,
)
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.dialogue import ScriptedMind
from phonebot.simulator.ear import PhraseEar
from phonebot.simulator.network import Network
from phonebot.simulator.outputs import Faults, Options
from phonebot.simulator.scenario import load_audio, load_scenario
from phonebot.simulator.script import load_script
from phonebot.simulator.speech import EspeakVoice
from phonebot.simulator.vad import SpeechDetector
from phonebot.tools import Tool, ToolContext, tool
from phonebot.tools.builtin import Builtin, EndCall, PressKeys, SetLanguage
from phonebot.tools.workshop import Workshop
from phonebot.transfers.continuations import Continuations
from phonebot.transfers.function import TransferCall
from phonebot.transfers.legs import Leg, Legs
from phonebot.transfers.urls import TransferUrls

FIXTURES = Path(__file__).parent.parent / "fixtures"
CALLS = FIXTURES / "calls"
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)  # made up, so that a recording does not differ by its day
DENTIST, CLINIC = FIXTURES / "demo" / "dentist.toml", FIXTURES / "demo" / "clinic"
TELEPHONY = FIXTURES / "telephony.toml"
LIMIT_MS = 180_000

NEAR = Network(uplink_delay_ms=30, uplink_jitter_ms=4, downlink_delay_ms=30, downlink_jitter_ms=4)
FAR = Network(uplink_delay_ms=110, uplink_jitter_ms=60, downlink_delay_ms=110, downlink_jitter_ms=60)
PROFILE: dict[str, Any] = {
    "name": "Northwind Dental",
    "greeting": "Hello, and thank you for calling Northwind Dental. How can I help?",
    "prompt": "You answer the phone of Northwind Dental, a dentist's practice. Be friendly and brief.",
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
    "transcription": {"model": "gpt-4o-mini-transcribe"},
}
KEY_TURNS = {"turn_detection": {"type": "none"}}
OWN_TURNS = {"turn_detection": {"type": "local"}}
QUIET = WaitForQuiet(900)


def say(name: str) -> Say:
    return Say(load_audio(FIXTURES / f"{name}.wav"), name)


def interrupt(after_ms: int, name: str) -> Interrupt:
    return Interrupt(after_ms, load_audio(FIXTURES / f"{name}.wav"), name)


BOOK, HOURS, RIGHT, BYE = "demo/book", "demo/hours", "demo/that-is-right", "demo/goodbye"
HUMAN = "audio/caller-human-rms"


@dataclass(frozen=True)
class Recording:
    """
    A call to record: what the caller does, on which line, with which model.

    `functions` makes those that the profile names, in a folder of their own. `answered` is how the profile answers,
    and `earlier` what was said before the call came back.
    """

    note: str
    steps: tuple[Step, ...]
    network: Network = NEAR
    oddities: Oddities = field(default_factory=Oddities)
    faults: Faults = field(default_factory=Faults)
    options: Options = field(default_factory=Options)
    expires_in_ms: int | None = None  # what the first session says of its end
    profile: dict[str, Any] = field(default_factory=dict)
    functions: Callable[[Path], tuple[Tool, ...]] = lambda folder: ()
    takes_ms: float = 0  # each of them
    script: Path = DENTIST
    happens: tuple[tuple[int, Input], ...] = ()  # besides, each at this call time, in ms
    answered: Callable[[Profile], Answered] = lambda profile: answer(profile, STARTED)
    earlier: tuple[EarlierLine, ...] = ()
    kind: Kind = "twilio"


@tool(fillers=("One moment please.",))
def book_appointment(day: str, time: str) -> str:
    """Books an appointment."""
    return f"Booked: {day}, {time}."


def clinic_functions(folder: Path) -> tuple[Tool, ...]:
    """Those of the clinic's demo, on the day of the recording."""
    diary, bills, now = Diary(folder / "clinic.db"), Bills(folder / "clinic.db"), STARTED.replace(tzinfo=None)
    start_over(diary, bills, now)
    return (*appointment_tools(diary, lambda: now), *billing_tools(bills))


async def _noted(note: Note) -> None:
    """Nobody reads it."""


class NobodyAnswers(Legs):
    """Rings at colleagues who are not there."""

    def dial(self, leg: Leg, to: str, from_: str, ring_s: int, limit_s: int) -> None:
        leg.settle("no-answer")


class FromTheCarrier:
    """All calls are."""

    def is_carriers(self, call_sid: str) -> bool:
        return True


LEGS = NobodyAnswers(
    CarrierAccount("AC" + "2" * 32, "nobody asks"), TransferUrls("https://phonebot.example", "key")
)
BUILTINS: tuple[Builtin, ...] = (
    EndCall(),
    PressKeys(),
    SetLanguage(),
    TransferCall(LEGS, Continuations(None), FromTheCarrier()),
    TakeMessage(_noted),
)

RECORDINGS = {
    "clean": Recording(
        "Asks for the opening hours and says goodbye; nobody interrupts.",
        (QUIET, say(HOURS), QUIET, say(BYE), QUIET, HangUp()),
    ),
    "interrupted-twice": Recording(
        "Interrupts the offer of an appointment, and then the answer to that.",
        (QUIET, say(BOOK), interrupt(2500, HOURS), interrupt(1500, BYE), QUIET, HangUp()),
    ),
    "interrupted-at-the-greeting": Recording(
        "Does not wait for the end of the greeting.",
        (interrupt(700, HOURS), QUIET, HangUp()),
    ),
    "keys": Recording(
        "The caller's turns end with the key #; any key stops the bot.",
        (QUIET, say(HOURS), Press("#"), Pause(3000), Press("1"), Pause(400), say(BYE), Press("#"), QUIET, HangUp()),
        profile=KEY_TURNS,
    ),
    "silent-caller": Recording(
        "Never says a word, and hangs up after 15 seconds.",
        (Pause(15_000), HangUp()),
    ),
    "model-stall": Recording(
        "The model says nothing more in the middle of each answer. The caller asks again, then gives up.",
        (QUIET, say(HOURS), Pause(6000), say(BYE), Pause(5000), HangUp()),
        faults=Faults(stall_after_ms=2400),
    ),
    "model-lost": Recording(
        "The model's connection breaks in the middle of an answer: the next session goes on with it.",
        (QUIET, say(HOURS), QUIET, WaitForQuiet(2_000), say(BYE), QUIET, HangUp()),
        options=Options(speed=1.2),
        happens=((11_000, ModelLost("the model closed the session: the connection broke (1006)")),),
    ),
    "model-renewed": Recording(
        "The session says that it ends: it is left for another one while nobody speaks.",
        (QUIET, say(HOURS), QUIET, WaitForQuiet(3_000), say(BYE), QUIET, HangUp()),
        expires_in_ms=20_000,
    ),
    "long": Recording(
        "Over a minute: a booking, two questions, one interruption.",
        (
            *(QUIET, say(BOOK), interrupt(4000, RIGHT), QUIET, say(HOURS)),
            *(QUIET, Pause(2000), say("audio/caller-emergency-rms")),
            *(QUIET, Pause(2000), say(HOURS), QUIET, say(BYE), QUIET, HangUp()),
        ),
    ),
    "noisy-line": Recording(
        "Noise behind the caller, a round trip of 220 to 340 ms, stamps off by 5 ms, a clock that drifts.",
        (QUIET, say("audio/caller-hours-rms-noise"), interrupt(1200, BOOK), QUIET, HangUp()),
        network=FAR,
        oddities=Oddities(timestamp_jitter_ms=5, drift_ppm=80.0),
    ),
    "own-turns": Recording(
        "The caller's turns are found by phonebot; he interrupts once. The carrier has a start buffer.",
        (QUIET, say(BOOK), interrupt(2000, HOURS), QUIET, HangUp()),
        oddities=Oddities(start_buffer_ms=100),
        profile=OWN_TURNS,
    ),
    "backchannel": Recording(
        "Agrees in the middle of a sentence: the bot pauses until his words are known, and goes on.",
        (QUIET, say(BOOK), interrupt(2500, RIGHT), QUIET, HangUp()),
        profile={"barge_in": {"hold_ms": 3000, "backchannels": ["that is right"]}},
    ),
    "typed": Recording(
        "An operator types into the call: first while the bot speaks, then to interrupt it.",
        (QUIET, say(BOOK), QUIET, WaitForQuiet(1_500), say(BYE), QUIET, HangUp()),
        happens=(
            (3_000, TypedText("What are your opening hours?", "ada")),
            (16_000, TypedText("The caller is in a hurry: be brief.", "ada", "system", interrupt=True)),
        ),
    ),
    "function": Recording(
        "Books an appointment: the function takes 4 seconds, in which the bot says that it is at it.",
        (QUIET, say(BOOK), QUIET, say(RIGHT), QUIET, Pause(1500), QUIET, say(BYE), QUIET, HangUp()),
        profile={"tools": ["book_appointment"]},
        functions=lambda folder: (book_appointment,),
        takes_ms=4000,
    ),
    "guardrail": Recording(
        "The bot names the doctor, and is stopped for that; what it books is looked at, and allowed.",
        (QUIET, say(BOOK), QUIET, say(RIGHT), QUIET, say(BYE), QUIET, HangUp()),
        profile={
            "tools": ["book_appointment"],
            "guardrails": [
                {
                    "name": "names",
                    "words": ["Doctor Rivera"],
                    "then": "say",
                    "say": "I can offer you Tuesday morning. Is that right for you?",
                    "debounce_characters": 40,
                },
                {"name": "days", "on": "arguments", "pattern": "(?i)(sun|satur)day"},
            ],
        },
        functions=lambda folder: (book_appointment,),
    ),
    "clinic": Recording(
        "Books an appointment, moves it, asks for a remedy and for the bill, cancels: the demo of the clinic.",
        load_scenario(CLINIC / "caller.toml"),
        profile=read_file(CLINIC / "numbers.toml")[DEFAULT].table,
        functions=clinic_functions,
        takes_ms=20,
        script=CLINIC / "script.toml",
    ),
    "ends-the-call": Recording(
        "Says goodbye, and once more into the bot's farewell, which then is said anew and heard to its end.",
        (QUIET, say(BYE), interrupt(1_200, BYE), WaitForHangUp()),
        profile={"tools": ["end_call"]},
        script=TELEPHONY,
    ),
    "transferred": Recording(
        "Asks for a human and speaks while he is told that he is put through: he is all the same.",
        (QUIET, say(HUMAN), interrupt(800, BYE), WaitForHangUp()),
        profile={
            "tools": ["transfer_call"],
            "transfer_to": "+15550100009",
            "transfer": {"say": "I am putting you through to a colleague who can help you. One moment, please."},
        },
        script=TELEPHONY,
    ),
    "nobody-takes-it": Recording(
        "Asks for a human. It rings for 5 seconds, with music, and nobody takes the call; he leaves a message.",
        (QUIET, say(HUMAN), QUIET, say(RIGHT), QUIET, say(BYE), WaitForHangUp()),
        profile={
            "tools": ["transfer_call", "take_message", "end_call"],
            "transfer_to": "+15550100009",
            "transfer": {"warm": True},
        },
        takes_ms=5_000,
        script=TELEPHONY,
    ),
    "presses-keys": Recording(
        "The bot presses keys, which the other end hears as tones.",
        (QUIET, say(BOOK), QUIET, HangUp()),
        profile={"tools": ["press_keys"]},
        script=TELEPHONY,
    ),
    "another-language": Recording(
        "The bot changes the language; what is said after that by its profile's words is to be translated.",
        (QUIET, say(HOURS), QUIET, say(BYE), WaitForHangUp()),
        profile={"tools": ["set_language", "end_call"], "languages": ["de-DE"]},
        script=TELEPHONY,
    ),
    "menu": Recording(
        "Chooses by a key while the greeting plays, then gives a number that ends with #.",
        (Pause(1_500), Press("1"), QUIET, *map(Press, "4711#"), Pause(600), QUIET, HangUp()),
        profile={"keys": {"menu": {"1": "What are your opening hours?"}}},
    ),
    "consent": Recording(
        "Is told of the recording first, talks into that, and is recorded from its end on.",
        (interrupt(700, HOURS), QUIET, say(HOURS), QUIET, HangUp()),
        profile={"consent": "This call is recorded."},
    ),
    "answering-machine": Recording(
        "A call of ours is answered by a machine: the greeting is broken off, and the message left.",
        (Pause(400), say("audio/caller-offtopic-awb"), WaitForHangUp()),
        happens=((4_500, AnsweredBy("machine", Leave("This is Northwind Dental. Please call us back."))),),
        script=TELEPHONY,
    ),
    "calls-a-human": Recording(
        "A call of ours is answered by a human, who is told why he is called, and asks something.",
        (Pause(600), say("audio/caller-offtopic-awb"), QUIET, say(HOURS), QUIET, say(BYE), QUIET, HangUp()),
        profile={"outbound": {"greeting": "Hello, this is Northwind Dental, about your appointment."}},
        happens=((2_500, AnsweredBy("human")),),
        answered=lambda profile: briefed(profile, STARTED, "Remind him of Tuesday at nine."),
        kind="outbound",
    ),
    "comes-back": Recording(
        "Comes back from a colleague who did not answer: the bot knows what was said, and speaks first.",
        (QUIET, say(RIGHT), QUIET, say(BYE), WaitForHangUp()),
        profile={"tools": ["take_message", "end_call"]},
        earlier=(
            EarlierLine("bot", "Hello, and thank you for calling Northwind Dental. How can I help?"),
            EarlierLine("caller", "I want to talk to a human."),
            EarlierLine("instruction", "The colleague did not answer. Say so, and offer to take a message."),
        ),
        script=TELEPHONY,
    ),
    "closed": Recording(
        "Calls on a Friday after hours: the bot says that nobody is there, and still answers.",
        (QUIET, say(HOURS), QUIET, say(BYE), QUIET, HangUp()),
        profile={
            "hours": {
                "time_zone": "America/New_York",
                "friday": ["08:00-18:00"],
                "closed": {"greeting": "Northwind Dental is closed until Friday at eight. How can I help?"},
            }
        },
    ),
    "known-caller": Recording(
        "Has called before: the prompt says when, and what for.",
        (QUIET, say(BOOK), QUIET, say(RIGHT), QUIET, say(BYE), QUIET, HangUp()),
        profile={"history": {"calls": 1}, "prompt": "You answer a dentist's phone. Earlier calls: {history}"},
        answered=lambda profile: replace(
            answer(profile, STARTED), values={HISTORY: "On 2025-12-30 he asked for the opening hours."}
        ),
    ),
    "day-is-spent": Recording(
        "What the number may cost in a day is spent while the bot talks: it takes leave.",
        (QUIET, say(BOOK), WaitForHangUp()),
        profile={"max_cost_per_day_usd": 10.0, "model": "gpt-realtime-2.1"},
        happens=((9_000, CapReached("number_day", 10.02, 10.0)),),
    ),
    "time-limit": Recording(
        "The caller hangs on until the number's limit is reached in the middle of an answer: the bot takes leave.",
        (QUIET, say(BOOK), WaitForHangUp()),
        profile={"max_call_s": 10},
    ),
    "no-input": Recording(
        "The caller is silent: he is asked whether he is there, says so, is silent again, and is left.",
        (QUIET, Pause(5_000), QUIET, say(HOURS), WaitForHangUp()),
        profile={"no_input": {"after_s": 4, "times": 1}},
    ),
}


@contextmanager
def working() -> Iterator[Work]:
    """Runs what the ear and the voice do, in a loop of its own, while virtual time stands still."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def work(job: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(job, loop).result(60)

    try:
        yield work
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _is_later(call: VirtualCall, at_ms: int) -> bool:
    return call.now_ms >= at_ms


def models_of(recording: Recording, ear: PhraseEar, work: Work) -> list[VirtualModel]:
    """Of the call's sessions: the first, and the one that takes its place."""
    script = load_script(recording.script)
    return [
        VirtualModel(
            ScriptedMind(script),
            ear=ear,
            voice=EspeakVoice(),
            detector=SpeechDetector(),
            options=replace(recording.options, seed=session),
            faults=recording.faults,
            work=work,
            seed=session,
            expires_in_ms=None if session else recording.expires_in_ms,
        )
        for session in range(2)
    ]


def header_of(recording: Recording, profile: Profile, call: VirtualCall) -> Header:
    return Header(
        call_sid=CALL_SID,
        kind=recording.kind,
        stream_sid=STREAM_SID,
        from_number=NUMBER if recording.kind == "outbound" else CALLER,
        to_number=CALLER if recording.kind == "outbound" else NUMBER,
        profile=profile.name,
        profile_version=profile.version,
        provider="embedded",
        model="embedded",
        software=f"phonebot {__version__}",
        started=STARTED,
        ended=STARTED + timedelta(milliseconds=call.now_ms),
        outcome=outcome_of(call.steps[-1].actions),
        note=recording.note,
        recorded_from_ms=next(
            (step.now_ms for step in call.steps if any(isinstance(each, StartRecording) for each in step.actions)),
            UNSET,
        ),
    )


def hold(recording: Recording, ear: PhraseEar, work: Work, folder: Path) -> tuple[VirtualCall, CallLog]:
    """Hold the call; it, and its log. `folder` is for what its functions write."""
    written = Profile.from_table(PROFILE | recording.profile, "fixtures")
    answered = recording.answered(written)
    profile = answered.profile
    workshop = Workshop({each.name: each for each in recording.functions(folder)}, builtins=BUILTINS)
    equipment = workshop.equip(profile)
    plan = plan_for(
        profile,
        caller=CALLER,
        number=NUMBER,
        now=answered.now,
        offers=equipment.offers,
        looked_up=answered.values,
        earlier=recording.earlier,
        hold_audio=melody(),
    )
    context = ToolContext(
        CALL_SID,
        CALLER,
        NUMBER,
        profile.name,
        play=lambda clip: call.happens(PlayClip(clip.text, clip.audio, clip.clip_id, clip.over_speech)),
    )
    toolbox, guard = equipment.toolbox(context), Guardroom(workshop).guard(profile, context)
    first, *further = models_of(recording, ear, work)
    call = VirtualCall(
        plan,
        Caller(*recording.steps),
        first,
        network=recording.network,
        oddities=recording.oddities,
        run_function=functions_of(toolbox, recording.takes_ms),
        look=look_of(guard),
        further=further,
    )
    for at_ms, received in recording.happens:
        call.run_until(partial(_is_later, call, at_ms), LIMIT_MS)
        call.happens(received)
    if not call.run_until(lambda: call.ended, LIMIT_MS):
        raise SystemExit(f"the call did not end within {LIMIT_MS} ms")
    problems = [*call.caller.failures, *map(str, call.carrier.violations)]
    if problems:
        raise SystemExit("\n".join(problems))
    return call, CallLog(header_of(recording, profile, call), plan, tuple(call.steps))


def record(name: str, ear: PhraseEar, work: Work) -> None:
    """Record one call into its folder, and say how it compares with what is expected of it."""
    folder = CALLS / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        if file.name != EXPECTED_FILE:
            file.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        call, log = hold(RECORDINGS[name], ear, work, Path(scratch))
    write(folder, log.header, log)
    size = sum(file.stat().st_size for file in folder.iterdir())
    keys = sum(isinstance(step.input, Dtmf) for step in call.steps)
    print(f"{name:30} {call.now_ms / 1000:5.1f} s  {size / 1000:4.0f} kB  {keys} keys")  # noqa: T201
    verdict = judge(folder)
    if not verdict.holds:
        print(verdict)  # noqa: T201


def main() -> None:
    names = sys.argv[1:] or list(RECORDINGS)
    with working() as work:
        for script in (load_script(path) for path in (DENTIST, CLINIC / "script.toml", TELEPHONY)):
            ear = PhraseEar(script.phrases, pronounce=script.pronounce, source=script.source)
            work(ear.__aenter__())
            try:
                for name in names:
                    if RECORDINGS[name].script == Path(script.source):
                        record(name, ear, work)
            finally:
                work(ear.close())


if __name__ == "__main__":
    main()
