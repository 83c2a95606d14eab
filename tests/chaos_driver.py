"""
Many calls at once while what carries them fails, and afterwards the account of each.

    chaos = Chaos(service, model_relay, seed=7)
    calls = await chaos.run(30)                     # each with its own trouble, drawn from the seed
    for call in calls: problems(call, log)          # what is wrong with what is known of it

All that is said can be told by its sound. A caller's words are tones, each of its own pitch, which the model's ear
tells apart. The bot's answers are even levels, each of its own, so the carrier knows how much of each was heard.
"""

import asyncio
import itertools
import struct
from binascii import a2b_base64
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from random import Random
from typing import Literal, TypeAlias, get_args

from faulty_relay import Link, Relay, Weather, relaying
from service_driver import TOKEN, Service

from phonebot.audio.base64 import base64_length
from phonebot.audio.g711 import pcm_to_ulaw, ulaw_to_pcm
from phonebot.call.actions import Cut, Line, PlayAudio
from phonebot.realtime.events import AudioDelta
from phonebot.replay.reader import CallLog
from phonebot.simulator.caller import Caller, HangUp, Interrupt, WaitForQuiet
from phonebot.simulator.caller import Say as Utter
from phonebot.simulator.mind import Call as FunctionCall
from phonebot.simulator.mind import Context, Say, Speech, Word
from phonebot.simulator.network import Network
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord

RATE_HZ = 8_000
BYTES_PER_MS = 8
PITCHES_HZ = {"north": 400, "east": 650, "south": 1_000, "west": 1_600}
WORDS = tuple(PITCHES_HZ)
WORD_MS = 300
PIECE = 400  # samples: 50 ms, of which a word has six
ANSWER_MS = 1_200
GIVES_UP_MS = 2_000  # whoever waits to interrupt: longer than anything stands still
# Loud enough to be heard, and the same after a round through PCM: one for each answer.
LEVELS = bytes(code for code in range(0x80, 0xC0) if pcm_to_ulaw(ulaw_to_pcm(bytes([code]))) == bytes([code]))
FAR_MS = 80  # how long, and by how much unevenly, messages take at most
RUN_BYTES = 40  # so much of one level is no accident

Trouble: TypeAlias = Literal[
    "none",
    "the stream is cut",
    "the stream stands still for a second",
    "the stream is half open",
    "the stream is spoilt",
    "the stream is slow",
    "the stream is shredded",
    "the network is far away",
]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)
LOSES_THE_STREAM: frozenset[Trouble] = frozenset(
    {"the stream is cut", "the stream is half open", "the stream is spoilt"}
)

ModelTrouble: TypeAlias = Literal["none", "is cut", "stands still for a second", "is spoilt", "is slow"]
MODEL_TROUBLES: tuple[ModelTrouble, ...] = get_args(ModelTrouble)


def word(name: str) -> bytes:
    """A caller's word, as mu-law."""
    pitch_hz = PITCHES_HZ[name]
    samples = (8_000 if (2 * pitch_hz * n // RATE_HZ) % 2 else -8_000 for n in range(WORD_MS * BYTES_PER_MS))
    return pcm_to_ulaw(struct.pack(f"<{WORD_MS * BYTES_PER_MS}h", *samples))


class PitchEar:
    """Understands the words of these callers: also two in one turn, as where one follows the other at once."""

    async def recognise(self, pcm8k: bytes) -> str:
        signs = [sample > 0 for (sample,) in struct.iter_unpack("<h", pcm8k) if abs(sample) > 2_000]
        pieces = [signs[at : at + PIECE] for at in range(0, len(signs) - PIECE + 1, PIECE)]
        heard = [(name, len(list(same))) for name, same in itertools.groupby(map(_named, pieces))]
        # A piece on the border of two words sounds like a third.
        words = [name for name, count in heard if count > 1] or [name for name, _ in heard][:1]
        return " ".join(name for name, _ in itertools.groupby(words))


def _named(signs: Sequence[bool]) -> str:
    """The word that sounds most like this."""
    crossings = sum(one != other for one, other in itertools.pairwise(signs))
    pitch_hz = crossings * RATE_HZ / 2 / len(signs)
    return min(WORDS, key=lambda name: abs(PITCHES_HZ[name] - pitch_hz))


class Numberer:
    """Makes minds whose answers are numbered throughout, so that none sounds or reads like another of its call."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def mind(self) -> "NumberedMind":
        return NumberedMind(self._numbers)


class NumberedMind:
    def __init__(self, numbers: "itertools.count[int]") -> None:
        self._numbers = numbers

    def answer(self, context: Context) -> tuple[Say | FunctionCall, ...]:
        return (Say(f"answer {next(self._numbers)}"),)


class LevelVoice:
    """Speaks an answer as a level; every other text as the level of the number 0."""

    async def speak(self, text: str) -> Speech:
        code = LEVELS[level_of(text)]
        pcm = ulaw_to_pcm(bytes([code]) * (ANSWER_MS * BYTES_PER_MS))
        return Speech(pcm, RATE_HZ, (Word(0, 0), Word(text.find(" ") + 1, ANSWER_MS // 2)))


def level_of(text: str) -> int:
    """Which of LEVELS a text sounds like."""
    number = text.rpartition(" ")[2]
    return 1 + int(number) % (len(LEVELS) - 1) if number.isdecimal() else 0


@dataclass
class ChaosCall:
    """One call: what it went through, and what the carrier knows of it."""

    number: str
    trouble: Trouble
    words: tuple[str, ...]
    record: CallRecord
    logs: list[CallLog] = field(default_factory=list)

    def __str__(self) -> str:
        outcomes = [log.header.outcome for log in self.logs]
        return f"{self.number} ({self.trouble}): {self.record.outcome}, {outcomes}"


class Chaos:
    """All of it, around one service. `to_model` is the relay between that and its model."""

    def __init__(self, service: Service, to_model: Relay, seed: int, at_once: int) -> None:
        self._service = service
        self._rng = Random(seed)
        self._port = int(service.url.rpartition(":")[2])
        self._to_model = to_model
        self._room = asyncio.Semaphore(at_once)
        self.model_troubles: Counter[ModelTrouble] = Counter()

    async def run(self, calls: int, *, model_troubles: float) -> list[ChaosCall]:
        """
        So many calls; back when all are over.

        `model_troubles` is the probability that a connection to the model gets into trouble, each time.
        """
        async with asyncio.TaskGroup() as group:
            self._to_model.opened = lambda link: self._trouble_model(link, model_troubles, group)
            tasks = [group.create_task(self._call(index, Random(self._rng.random()))) for index in range(calls)]
            done = await asyncio.gather(*tasks)
            self._to_model.opened = lambda link: None
        return done

    async def _call(self, index: int, rng: Random) -> ChaosCall:
        trouble: Trouble = rng.choice(TROUBLES)
        words = tuple(rng.sample(WORDS, 3))
        number = f"+1555020{index:04}"
        steps = (
            WaitForQuiet(300, within_ms=20_000),
            Utter(word(words[0]), words[0]),
            WaitForQuiet(400, within_ms=20_000),
            Utter(word(words[1]), words[1]),
            # An answer of which the model stands still in the middle comes in two parts, neither long enough.
            Interrupt(rng.randrange(100, 900), word(words[2]), words[2], within_ms=20_000, or_quiet_ms=GIVES_UP_MS),
            WaitForQuiet(400, within_ms=20_000),
            HangUp(),
        )
        async with self._room, relaying(self._port) as relay:
            relay.weather = _weather(trouble)
            meddling = asyncio.create_task(_meddle(relay, trouble, rng.uniform(0.3, 5)))
            try:
                record = await dial(
                    f"http://127.0.0.1:{relay.port}/twilio/voice",
                    Caller(*steps),
                    from_number=number,
                    auth_token=TOKEN,
                    public_url=self._service.public_url,
                    network=Network(*(rng.choice((0, 20, FAR_MS)) for _ in range(4))),
                    max_call_s=40.0,
                    seed=rng.randrange(2**32),
                )
            finally:
                meddling.cancel()
                await asyncio.gather(meddling, return_exceptions=True)
        return ChaosCall(number, trouble, words, record)

    def _trouble_model(self, link: Link, probability: float, group: asyncio.TaskGroup) -> None:
        """A connection to the model was made."""
        if self._rng.random() < probability:
            trouble = self._rng.choice(MODEL_TROUBLES[1:])
            self.model_troubles[trouble] += 1
            group.create_task(_meddle_with_model(link, trouble, self._rng.uniform(0.05, 6)))


def _weather(trouble: Trouble) -> Weather:
    match trouble:
        case "the stream is slow":
            return Weather(bytes_per_s=60_000)
        case "the stream is shredded":
            return Weather(shred=100)
        case "the network is far away":
            return Weather(delay_s=0.25)
    return Weather()


async def _meddle(relay: Relay, trouble: Trouble, after_s: float) -> None:
    """What happens to a call's connections, some time into it."""
    await asyncio.sleep(after_s)
    links = [link for link in relay.links if link.is_open]
    for link in links:
        match trouble:
            case "the stream is cut":
                link.cut()
            case "the stream is half open" | "the stream stands still for a second":
                link.hold()
            case "the stream is spoilt" if link is links[-1]:  # and not the webhooks' connection
                link.garble(to_far=True)
    if trouble == "the stream stands still for a second":
        await asyncio.sleep(1)
        for link in links:
            link.release()
    if trouble == "the stream is half open":
        await asyncio.sleep(6)  # by then we have found it dead, and the carrier finds it broken
        for link in links:
            link.cut()


async def _meddle_with_model(link: Link, trouble: ModelTrouble, after_s: float) -> None:
    await asyncio.sleep(after_s)
    match trouble:
        case "is cut":
            link.cut()
        case "is spoilt":
            link.garble(to_far=False)
        case "is slow":
            link.weather = Weather(bytes_per_s=40_000)
        case "stands still for a second":
            link.hold()
            await asyncio.sleep(1)
            link.release()


# ---------------------------------------------------------------------------------- the account of a call


def heard_ms(record: CallRecord) -> Counter[int]:
    """How much of each level reached the caller, as the carrier knows."""
    heard: Counter[int] = Counter()
    for code, run in groupby(bytes(record.heard)):
        length = sum(1 for _ in run)
        if length >= RUN_BYTES and code in LEVELS:
            heard[LEVELS.index(code)] += length
    return Counter({level: length // BYTES_PER_MS for level, length in heard.items()})


def believed_ms(logs: Iterable[CallLog]) -> Counter[int]:
    """How much of each level was heard, as the logs of the call have it."""
    believed: Counter[int] = Counter()
    for log in logs:
        openings = {clip.clip_id: clip.audio for clip in log.plan.opening if clip.clip_id}
        received = Counter({item_id: base64_length(audio) for item_id, audio in openings.items()})
        cuts: dict[str, Cut] = {}
        lines: dict[str, Line] = {}
        for step in log.steps:
            if isinstance(step.input, AudioDelta):
                received[step.input.item_id] += base64_length(step.input.audio)
            for action in step.actions:
                if isinstance(action, Cut):
                    cuts[action.item_id] = action
                elif isinstance(action, Line) and action.role == "bot":
                    lines[action.item_id] = action
        levels, sent = _levels(log), _sent(log)
        # Of a kept greeting there is a line if any of it was heard, and none if the stream has ended before.
        for item_id in openings.keys() - lines.keys() - cuts.keys():
            del received[item_id]
        for item_id, length in received.items():
            level = levels.get(item_id)
            if level is not None:
                played_ms = min(length, sent[item_id]) // BYTES_PER_MS
                believed[level] += cuts[item_id].heard_ms if item_id in cuts else played_ms
    return believed


def _sent(log: CallLog) -> Counter[str]:
    """Bytes of each item that were sent: what comes of a response that was cancelled already is thrown away."""
    sent: Counter[str] = Counter()
    for step in log.steps:
        for action in step.actions:
            if isinstance(action, PlayAudio):
                sent[action.item_id] += base64_length(action.payload)
    return sent


def _levels(log: CallLog) -> dict[str, int]:
    """The level of each item, by its first sound."""
    levels: dict[str, int] = {}
    spoken = [(step.input.item_id, step.input.audio) for step in log.steps if isinstance(step.input, AudioDelta)]
    for item_id, audio in [*((clip.clip_id, clip.audio) for clip in log.plan.opening), *spoken]:
        code = a2b_base64(audio)[:1]
        if item_id and item_id not in levels and code and code[0] in LEVELS:
            levels[item_id] = LEVELS.index(code[0])
    return levels


def caller_words(logs: Iterable[CallLog]) -> list[str]:
    """What the caller is said to have said, in order."""
    return [
        said
        for log in logs
        for step in log.steps
        for action in step.actions
        if isinstance(action, Line) and action.role == "caller"
        for said in action.text.split()
    ]
