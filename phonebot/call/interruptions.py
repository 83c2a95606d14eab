"""
Speech was detected: is it an interruption? Decided here where the profile wants care; otherwise any speech is one.

Theory of operation. Speech climbs a ladder. It begins on the lowest rung that applies to it, and when the question
of that rung is answered it goes on to the next one above that applies:

    rung       applies when                           it goes on when                when the speech ends there
    ECHO       it is the bot's own voice coming back  something else is heard        it was nothing ("echo")
    SHIELDED   the bot may not be interrupted now     the bot has finished           it is heard, and answered later
    SUSPECTED  less than the minimum was heard of it  there is enough of it          it was nothing ("short")
    HELD       the profile has a hold window          words come, or the time is up  its words are waited for
    TAKEN      always                                 -                              the caller's turn is over

Reaching HELD pauses the bot; reaching TAKEN is the interruption. Where nothing is left to be interrupted SUSPECTED
and HELD do not apply: the floor is free, and any speech takes it, as it would without all this.

In HELD the words decide: none, or backchannel words alone, are nothing, and the bot goes on where it was cut. Any
other word, a transcription that failed, and none by the end of the window are an interruption. The window counts
from the pause, so that it is the longest silence that this can make. All that is said in it is judged together.

Every rung but TAKEN has a time at which it is looked at again (`due_ms`): a detector that never reports the end of
speech, a transcription that never comes or a mark that got lost is not waited for.

What was nothing is deleted from the model's conversation once it is committed, and is not answered.
"""

from binascii import a2b_base64
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from phonebot.audio.vad import ABOVE_NOISE_DB
from phonebot.call.actions import Action, ClearPlayback, NoSpeech, PlayAudio
from phonebot.call.plan import CallPlan, LocalTurns
from phonebot.call.speech_meter import SpeechMeter
from phonebot.call.wording import consists_of, plain
from phonebot.realtime.events import TurnDetection

if TYPE_CHECKING:
    from phonebot.call.echo_guard import EchoGuard

JUDGE_AGAIN_MS = 100  # while an echo lasts: the caller may begin to speak into it
MAX_ECHO_MS = 30_000  # a detector that reports no end of it is not waited for
LOOK_AGAIN_MS = 200  # whether the bot has finished, should its last mark be lost
COMMIT_PATIENCE_MS = 1_000  # after the end of speech a service has committed it, even if it does not tell
COMMIT_FORGOTTEN_MS = 5_000  # a commit that is told of later is that of other speech
# How long a pause ends a turn, where the session does not say: semantic detection waits for 2 to 8 s.
UNKNOWN_SILENCE_MS = 2_000


class Rung(IntEnum):
    """How far the speech under way has come; see above. NONE: nobody speaks."""

    NONE = 0
    ECHO = 1
    SHIELDED = 2
    SUSPECTED = 3
    HELD = 4
    TAKEN = 5


@dataclass(frozen=True, slots=True)
class Bot:
    """What there is to interrupt. `shielded`: it may not be. `idle`: there is nothing."""

    shielded: bool
    idle: bool


# ---------------------------------------------------------------------------------------- what is to be done


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the bot."""


@dataclass(frozen=True, slots=True)
class Take:
    """Interrupt the bot: the caller has the floor."""


@dataclass(frozen=True, slots=True)
class End:
    """The caller's turn is over."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A turn of the caller is in the conversation and is to be answered."""


@dataclass(frozen=True, slots=True)
class Said:
    """The caller said this."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class GoOn:
    """The caller said nothing: what was paused goes on."""

    why: NoSpeech
    text: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """An item of the conversation is no speech."""

    item_id: str


Decision: TypeAlias = Pause | Take | End | Answer | Said | GoOn | Forget


@dataclass(slots=True)
class _Speech:
    """
    What the caller uttered between a begin and an end of speech.

    `counts` None: that is not decided yet. `text` None: no transcription came yet.
    """

    item_id: str | None
    counts: bool | None = None
    text: str | None = None
    ended_ms: int = 0
    committed: bool = False
    answered: bool = False


class Interruptions:
    """
    Decides for one call. Each method returns what is to be done, in this order.

    `bot` gives what there is to interrupt at a time.
    """

    def __init__(self, plan: CallPlan, bot: Callable[[int], Bot]) -> None:
        caution = plan.caution
        self._bot = bot
        self._rung = Rung.NONE
        self._due_ms: int | None = None
        self._hold_ms = caution.hold_ms
        self._guard = _echo_guard() if caution.echo_guard else None
        self._meter = _meter(plan) if caution.min_speech_ms else None
        # Speech of the minimum's length is known as such by then, also where the meter does not hear it.
        self._surely_enough_ms = caution.min_speech_ms + _silence_ms(plan)
        self._is_backchannel = consists_of(caution.backchannels)
        # With turns of our own the audio is committed when we say so, and never later than we are told of the end.
        self._commits = plan.turns is not None
        self._speech: _Speech | None = None  # under way
        self._begun_ms = 0  # when it began, or an echo turned out to be more
        self._held: list[_Speech] = []  # ended while the bot was held: its words are awaited
        self._uncommitted: deque[_Speech] = deque()  # ended; the service's word of the commit is awaited
        self._nothing: set[str] = set()  # items that were no speech

    @property
    def due_ms(self) -> int | None:
        """When `tick` has something to do."""
        dues = [each.ended_ms + COMMIT_PATIENCE_MS for each in self._unanswered()]
        if self._due_ms is not None:
            dues.append(self._due_ms)
        return min(dues, default=None)

    # ---------------------------------------------------------------------------------- what is heard and played

    def hear(self, payload: str, timestamp_ms: int, now: int) -> list[Decision]:
        """A frame of the caller came, base64 of mu-law. It is decoded only where somebody listens."""
        if self._guard is None and self._meter is None:
            return []
        audio = a2b_base64(payload)
        if self._guard:
            self._guard.hear(timestamp_ms, audio)
        if self._meter:
            self._meter.hear(audio, timestamp_ms)
        return self._climb(Rung.SUSPECTED, now) if self._rung is Rung.SUSPECTED else []

    @property
    def guards(self) -> bool:
        """What is played has to be known (`note_playback`)."""
        return self._guard is not None

    def note_playback(self, actions: Iterable[Action], arrives_ms: float) -> None:
        """These are done now, and take effect at the carrier at `arrives_ms`."""
        assert self._guard is not None, "only a guard has to know"
        for action in actions:
            if isinstance(action, PlayAudio):
                self._guard.play(arrives_ms, a2b_base64(action.payload))
            elif isinstance(action, ClearPlayback):
                self._guard.clear(arrives_ms)

    # ---------------------------------------------------------------------------------- what the detector says

    def began(self, item_id: str | None, now: int) -> list[Decision]:
        """Speech began."""
        if self._speech is None:
            self._speech = _Speech(item_id)
        self._begun_ms = now
        if self._rung is Rung.HELD:
            return []
        self._rung = Rung.NONE
        return self._climb(Rung.ECHO, now)

    def ended(self, now: int) -> list[Decision]:
        """Speech ended."""
        speech, self._speech = self._speech or _Speech(None, counts=True), None
        speech.ended_ms = now
        if self._meter:
            self._meter.forget()
        while self._uncommitted and now >= self._uncommitted[0].ended_ms + COMMIT_FORGOTTEN_MS:
            self._uncommitted.popleft()
        self._uncommitted.append(speech)
        if self._rung is Rung.HELD:
            self._held.append(speech)
            return self._weigh()
        decisions: list[Decision] = []
        if self._rung in (Rung.SHIELDED, Rung.SUSPECTED) and self._bot(now).idle:
            decisions += self._reach(Rung.TAKEN, now)  # the bot has finished meanwhile
        rung, self._rung, self._due_ms = self._rung, Rung.NONE, None
        if rung is Rung.ECHO:
            return self._dismiss([speech], "echo")
        if rung is Rung.SUSPECTED:
            return self._dismiss([speech], "short")
        speech.counts = True
        if rung is not Rung.SHIELDED:
            decisions.append(End())
        return decisions + (self._answer([speech]) if self._commits else [])

    def committed(self, item_id: str, now: int) -> list[Decision]:
        """A turn is in the conversation."""
        decisions: list[Decision] = []
        if self._speech and not self._commits and not self._uncommitted:
            decisions += self.ended(now)  # a gateway may leave that event out
        speech = self._speech_of(item_id)
        speech.item_id, speech.committed = item_id, True
        if speech.counts is False:
            return [*decisions, *self._forget([speech])]
        return decisions + (self._answer([speech]) if speech.counts else [])

    def _speech_of(self, item_id: str) -> _Speech:
        """The oldest that is not known to be another item; what came before it was never committed."""
        while self._uncommitted:
            speech = self._uncommitted.popleft()
            if speech.item_id in (None, item_id):
                return speech
        return _Speech(item_id, counts=True)

    def transcribed(self, item_id: str, text: str | None) -> list[Decision]:
        """The words of an item came; None: they won't, transcription has failed."""
        if item_id in self._nothing:
            return []
        for speech in self._held:
            if speech.item_id == item_id:
                speech.text = text
                return self._take_held() if text is None else self._weigh()
        return [Said(item_id, text)] if text else []

    # ---------------------------------------------------------------------------------- what else may happen

    def tick(self, now: int) -> list[Decision]:
        """Time has passed."""
        overdue = [each for each in self._unanswered() if now >= each.ended_ms + COMMIT_PATIENCE_MS]
        decisions = self._answer(overdue)
        if self._due_ms is None or now < self._due_ms:
            return decisions
        return decisions + (self._take_held() if self._rung is Rung.HELD else self._climb(self._rung, now))

    def bot_stopped(self, now: int) -> list[Decision]:
        """The bot has, perhaps, nothing more to say."""
        return self._climb(self._rung, now) if self._rung in (Rung.SHIELDED, Rung.SUSPECTED) else []

    def overruled(self) -> list[Decision]:
        """The bot was interrupted by others than us: whatever the caller says now has the floor."""
        if self._rung is Rung.HELD:
            return self._take_held()
        if self._rung is Rung.NONE or self._rung is Rung.TAKEN:
            return []
        return self._reach(Rung.TAKEN, 0)

    def lose_model(self) -> list[Decision]:
        """Nobody tells of speech any more: what was under way is heard again later, and judged anew."""
        decisions = self._take_held() if self._rung is Rung.HELD else []
        self._rung, self._due_ms, self._speech = Rung.NONE, None, None
        self._held.clear()
        self._uncommitted.clear()
        if self._meter:
            self._meter.forget()
        return decisions

    # ---------------------------------------------------------------------------------- the ladder

    def _climb(self, lowest: Rung, now: int) -> list[Decision]:
        """Go up to the first rung from `lowest` on that applies."""
        bot = self._bot(now)
        for rung in (Rung.ECHO, Rung.SHIELDED, Rung.SUSPECTED, Rung.HELD):
            if rung >= lowest and self._applies(rung, bot, now):
                return self._reach(rung, now)
        return self._reach(Rung.TAKEN, now)

    def _applies(self, rung: Rung, bot: Bot, now: int) -> bool:
        match rung:
            case Rung.ECHO:
                return self._is_echo(now)
            case Rung.SHIELDED:
                return bot.shielded
            case Rung.SUSPECTED:
                return not bot.idle and self._meter is not None and not self._is_enough(now)
            case _:
                return not bot.idle and self._hold_ms > 0

    def _reach(self, rung: Rung, now: int) -> list[Decision]:
        before, self._rung = self._rung, rung
        self._due_ms = {
            Rung.ECHO: now + JUDGE_AGAIN_MS,
            Rung.SHIELDED: now + LOOK_AGAIN_MS,
            Rung.SUSPECTED: self._begun_ms + self._surely_enough_ms,
            Rung.HELD: now + self._hold_ms,
        }.get(rung)
        if before is rung:
            return []
        if rung is Rung.HELD:
            return [Pause()]
        if rung is Rung.TAKEN:
            if self._speech:
                self._speech.counts = True
            return [Take()]
        return []

    def _is_echo(self, now: int) -> bool:
        """Whether nothing but an echo was heard. Once it was one, it is one until something else is heard."""
        if self._guard is None:
            return False
        sound = self._guard.judge(now)
        if self._rung is not Rung.ECHO:
            return sound == "echo"
        if sound != "other" and now < self._begun_ms + MAX_ECHO_MS:
            return True
        self._begun_ms = now
        return False

    def _is_enough(self, now: int) -> bool:
        assert self._meter is not None, "only a minimum asks for it"
        return self._meter.reached or now >= self._begun_ms + self._surely_enough_ms

    # ---------------------------------------------------------------------------------- words

    def _weigh(self) -> list[Decision]:
        """Do the words that came so far decide?"""
        texts = [each.text for each in self._held]
        if any(text and not self._is_backchannel(text) for text in texts):
            return self._take_held()
        if self._speech or None in texts:
            return []
        said = " ".join(text for text in texts if text and plain(text))
        held, self._held = self._held, []
        self._rung, self._due_ms = Rung.NONE, None
        return self._dismiss(held, "backchannel" if said else "empty", said)

    def _take_held(self) -> list[Decision]:
        """It is an interruption: all that was said while the bot was held is the caller's turn."""
        held, self._held = self._held, []
        self._rung, self._due_ms = (Rung.TAKEN if self._speech else Rung.NONE), None
        if self._speech:
            self._speech.counts = True
        for each in held:
            each.counts = True
        said = [Said(each.item_id, each.text) for each in held if each.text and each.item_id]
        ended = [] if self._speech else [End()]
        return [Take(), *said, *ended, *self._answer(each for each in held if each.committed or self._commits)]

    def _dismiss(self, speeches: Iterable[_Speech], why: NoSpeech, text: str = "") -> list[Decision]:
        speeches = list(speeches)
        for speech in speeches:
            speech.counts = False
        return [GoOn(why, text), *self._forget(each for each in speeches if each.committed)]

    def _forget(self, committed: Iterable[_Speech]) -> list[Decision]:
        items = [each.item_id for each in committed if each.item_id]
        self._nothing |= set(items)
        return [Forget(item_id) for item_id in items]

    # ---------------------------------------------------------------------------------- answers

    def _unanswered(self) -> list[_Speech]:
        """What counts, and is not known to be committed: it is answered after a while all the same."""
        return [each for each in self._uncommitted if each.counts and not each.answered]

    def _answer(self, speeches: Iterable[_Speech]) -> list[Decision]:
        """One answer for all of these that had none."""
        unanswered = [each for each in speeches if not each.answered]
        for each in unanswered:
            each.answered = True
        return [Answer()] if unanswered else []


def _echo_guard() -> "EchoGuard":
    from phonebot.call.echo_guard import EchoGuard  # numpy takes 60 to 100 ms to load: for calls that need it

    return EchoGuard()


def _meter(plan: CallPlan) -> SpeechMeter:
    above_noise_db = plan.turns.above_noise_db if isinstance(plan.turns, LocalTurns) else ABOVE_NOISE_DB
    return SpeechMeter(plan.caution.min_speech_ms, above_noise_db)


def _silence_ms(plan: CallPlan) -> int:
    """How long after its last sound speech is reported to have ended."""
    if isinstance(plan.turns, LocalTurns):
        return plan.turns.silence_duration_ms
    detection = plan.session.turn_detection
    if isinstance(detection, TurnDetection) and isinstance(detection.silence_duration_ms, int):
        return detection.silence_duration_ms
    return UNKNOWN_SILENCE_MS
