"""
The caller's side of a call: his audio on its way to the model, his keys, and his turns.

Turns are found by the model's service or by an ear of ours, and either anything that is taken for speech interrupts
the bot, or it is decided here what does (interruptions.py).
"""

from collections.abc import Iterable

from phonebot.agents.listening import END_KEY
from phonebot.audio.base64 import base64_length, base64_silence
from phonebot.call.actions import Action, FalseAlarm, Line, Tell
from phonebot.call.agents import Agents
from phonebot.call.audio_path import CallerLeg
from phonebot.call.conversation import Conversation
from phonebot.call.inputs import ModelReady
from phonebot.call.interruptions import (
    Answer,
    Bot,
    Decision,
    End,
    Forget,
    GoOn,
    Interruptions,
    Pause,
    Said,
    Take,
)
from phonebot.call.kept_audio import KeptAudio
from phonebot.call.keypad import Keystrokes
from phonebot.call.listening import Ear, Heard, ear_for
from phonebot.call.plan import CallPlan, KeyTurns
from phonebot.call.tools import Tools
from phonebot.call.turns import PlayoutEnded, Turn
from phonebot.call.typed import Typed
from phonebot.carrier.messages import Dtmf, Media
from phonebot.realtime import events

ANSWER_PATIENCE_MS = 5_000  # a turn that the model has not begun to answer by then was lost


class Caller:
    """
    `greeting` is the response that is a greeting not to be interrupted; "": it has not begun, None: there is none.
    `kept` is what the model may have to hear again, or for the first time.
    """

    def __init__(self, plan: CallPlan, talk: Conversation, tools: Tools, agents: Agents, typed: Typed) -> None:
        self.greeting: str | None = None
        # The caller spoke before words of ours were said: his turn is answered after them.
        self.is_owed = False
        self._plan, self._talk, self._tools, self._agents = plan, talk, tools, agents
        # Whether what the caller utters interrupts the bot; None: any speech does.
        self._interruptions = Interruptions(plan, self._bot_now) if plan.decides else None
        # None: what he keys in is no answer.
        self._keystrokes = Keystrokes(plan.keypad, typed) if plan.keypad else None
        self.kept = KeptAudio(between=isinstance(plan.turns, KeyTurns))
        # The response that answers him now, and the newest turn that it knows of; None: none does.
        self._answered: tuple[str, str] | None = None
        self._leg = CallerLeg()
        # Finds the caller's turns; None: the model does, or is not ready yet.
        self._ear: Ear | None = None

    # ------------------------------------------------------------------------------ his audio

    def hear(self, media: Media, now: int) -> list[Action]:
        """A frame of his."""
        if self._talk.is_deaf:
            media = _silenced(media)
        if self._interruptions is None:
            return self._pass_on(media, now)
        decided, media = self._listen(self._interruptions, media, now)
        return decided + self._pass_on(media, now)

    def _pass_on(self, media: Media, now: int) -> list[Action]:
        self.kept.hear(media)
        return self._append(media.payload, media.timestamp_ms, now) if self._talk.items.model else []

    @property
    def passes_on(self) -> bool:
        """The model hears his frames as they are, and nobody looks at them here."""
        looks = self._ear is not None or self._interruptions is not None or self._talk.is_deaf
        return self._talk.items.model is not None and self._leg.is_plain and not looks

    def was_heard(self, media: Media) -> None:
        """The model was told of a frame, as it is, while `passes_on`."""
        self.kept.hear(media)
        self._leg.passed(media.payload, media.timestamp_ms)

    def _append(self, payload: str, stamp_ms: int, now: int) -> list[Action]:
        if self._ear:
            return self._follow(self._ear.hear(payload, stamp_ms, now), now)
        return [Tell(events.AppendAudio(audio)) for audio in self._leg.feed(payload, stamp_ms)]

    def _listen(self, interruptions: Interruptions, media: Media, now: int) -> tuple[list[Action], Media]:
        """What a frame decides, and the frame as the model may hear it."""
        decided = self._decide(interruptions.hear(media.payload, media.timestamp_ms, now), now)
        if self._plan.withholds and self._bot_now(now).shielded:
            media = _silenced(media)
        return decided, media

    def model_ready(self, ready: ModelReady) -> None:
        """From now on the model hears him. What he said before is `hear_again`'s, or to be dropped."""
        self._leg = CallerLeg(ready.input_format)
        if self._plan.turns:
            self._ear = ear_for(self._plan.turns, self._leg, ready.input_format)

    def hear_again(self, now: int) -> list[Action]:
        """The model hears what was kept for it."""
        return [action for frame in self.kept.take() for action in self._append(*frame, now)]

    def lose_model(self, now: int, unheard_ms: int) -> list[Action]:
        """Nobody hears him any more: what he is saying is kept, and nobody finds his turns."""
        self.kept.lose(unheard_ms)
        self._ear = self._answered = None
        return self._decide(self._interruptions.lose_model(), now) if self._interruptions else []

    # ------------------------------------------------------------------------------ his keys

    def press(self, dtmf: Dtmf, now: int) -> list[Action]:
        """A key of his."""
        if self._talk.is_deaf:
            return []
        if agreed := self._tools.pressed(dtmf.digit, now):
            return [*agreed, *self._talk.wanted(now)]
        bot_speaks = self._talk.turn is Turn.BOT
        ends_turn = self._ear is not None and self._ear.takes_keys
        if self._ear and ends_turn and (self._keystrokes is None or dtmf.digit == END_KEY):
            keyed = self._keystrokes.finish(now, self._is_heard) if self._keystrokes else []
            return keyed + self._follow(self._ear.press(dtmf.digit, bot_speaks), now)
        interrupts = bot_speaks and (self._plan.keys_interrupt or ends_turn)
        stopped = self.stop_bot(now) if interrupts and not self._bot_now(now).shielded else []
        return stopped + self._answer_by_key(dtmf.digit, now)

    def _answer_by_key(self, digit: str, now: int) -> list[Action]:
        """A key that may be an answer of his, or the begin of one."""
        if self._keystrokes is None:
            return []
        if self._talk.farewell:  # he has more to say
            self._talk.stay()
        self._agents.caller_spoke()
        return self._keystrokes.press(digit, now, self._is_heard)

    @property
    def _is_heard(self) -> bool:
        """The model is there."""
        return self._talk.items.model is not None

    @property
    def keys_in(self) -> int:
        """So many keys are the begin of an answer."""
        return self._keystrokes.gathered if self._keystrokes else 0

    def stop_bot(self, now: int) -> list[Action]:
        """Interrupt the bot without a word of the caller's."""
        if self._talk.farewell:  # he has more to say
            self._talk.stay()
        overruled = self._overrule(now)
        return [*overruled, *self._talk.interrupt(now, by_service=False), *self._talk.floor(PlayoutEnded)]

    # ------------------------------------------------------------------------------ what the model tells of him

    def told_of_speech(self, event: events.SpeechStarted, now: int) -> list[Action]:
        return [] if self._ear or self._talk.is_deaf else self._speech_started(event, now)

    def told_of_end(self, event: events.SpeechStopped, now: int) -> list[Action]:
        # With an ear of ours the model's word is an echo of our commit: the caller may speak again by now.
        return [] if self._ear else self._speech_stopped(event, now)

    def told_of_commit(self, event: events.AudioCommitted, now: int) -> list[Action]:
        self._talk.dialogue.added(event.item_id, by_caller=True)
        self.kept.is_committed(event.item_id)
        if self._interruptions:
            return self._decide(self._interruptions.committed(event.item_id, now), now)
        return [] if self._ear else self._turn_ended(now)

    def told_of_interruption(self, now: int) -> list[Action]:
        """The model has heard him, and stopped by itself; its word of it is still on the way."""
        return self._overrule(now) or self._talk.interrupt(now)

    def transcribed(self, event: events.TranscriptionCompleted, now: int) -> list[Action]:
        text = event.transcript.strip()
        self.kept.is_done(event.item_id)
        if not text:
            self._talk.dialogue.silent(event.item_id)
        self._tools.said(text, now)
        if self._interruptions:
            return self._decide(self._interruptions.transcribed(event.item_id, text), now)
        return [Line("caller", event.item_id, text)] if text else []

    def not_transcribed(self, event: events.TranscriptionFailed, now: int) -> list[Action]:
        decisions = self._interruptions.transcribed(event.item_id, None) if self._interruptions else []
        was_turn = self._talk.dialogue.is_turn(event.item_id)
        lost: list[Action] = [Line("caller", event.item_id, "")] if was_turn else []
        return self._decide(decisions, now) + lost

    # ------------------------------------------------------------------------------ his turns

    def _follow(self, heard: Iterable[Heard], now: int) -> list[Action]:
        """What our ear made of him: his turns begin and end as if the model had told of them."""
        assert self._ear is not None, "only an ear hears"
        actions: list[Action] = []
        for each in heard:
            if isinstance(each, events.SpeechStarted):
                actions += self._speech_started(each, now)
            elif isinstance(each, events.SpeechStopped):
                actions += self._speech_stopped(each, now)
            else:
                actions.append(Tell(each))
        return actions

    def _speech_started(self, event: events.SpeechStarted, now: int) -> list[Action]:
        self._talk.dialogue.caller_begins(event.item_id)
        self.kept.begins(event.item_id)
        if self._interruptions:
            return self._decide(self._interruptions.began(event.item_id, now), now)
        return self._take_floor(now)

    def _speech_stopped(self, event: events.SpeechStopped, now: int) -> list[Action]:
        self.kept.ends()
        if self._interruptions:
            return self._decide(self._interruptions.ended(now), now)
        if self._ear and self._ear.answers:
            self._talk.responses.want()
        return self._turn_ended(now)

    def _take_floor(self, now: int) -> list[Action]:
        """The caller speaks, and whoever spoke before is interrupted."""
        if self._talk.is_deaf:
            return []
        if self._talk.farewell:  # he has more to say
            self._talk.stay()
        self.is_owed = self._talk.responses.owes_words
        self._talk.answer_due_ms = None
        self._agents.caller_spoke()
        return self._talk.interrupt(now) + self._talk.floor(events.SpeechStarted)

    def _turn_ended(self, now: int) -> list[Action]:
        # The model is about to answer: it must know by then what was heard.
        actions = self._talk.settle(self._talk.ledger.settle_all(now), "turn_end", now)
        actions += self._talk.floor(events.SpeechStopped)
        if not self._answers_by_itself():
            return actions + self._talk.ask(now)
        self._await_answer(now)
        return actions

    @property
    def is_answered(self) -> bool:
        """Whether what he says is answered, by the service itself or because we ask for it."""
        return self._answers_by_itself() or self._asks_for_answers

    def is_being_answered(self, response_id: str) -> None:
        """A response has begun."""
        newest = self.kept.newest_committed
        self._answered = (response_id, newest) if newest else None

    def was_answered(self, response_id: str) -> None:
        """A response is complete: what it has answered need not be heard again."""
        if self._answered and self._answered[0] == response_id:
            self.kept.is_done(self._answered[1])

    def _answers_by_itself(self) -> bool:
        detection = self._plan.session.turn_detection
        return isinstance(detection, events.TurnDetection) and detection.create_response is not False

    @property
    def _asks_for_answers(self) -> bool:
        """A turn of his is answered because we ask for it."""
        return self._ear.answers if self._ear else self._plan.answers

    def _await_answer(self, now: int) -> None:
        """The service answers by itself. What is wanted is answered with it; asked for now it would cross that."""
        self._talk.responses.drop_wanted()
        self._talk.answer_due_ms = now + ANSWER_PATIENCE_MS

    # ------------------------------------------------------------------------------ what interrupts is decided here

    def _bot_now(self, now: int) -> Bot:
        """What there is to interrupt."""
        silent = self._talk.ledger.is_over(now)
        idle = silent and not self._talk.responses.active
        if self.greeting is not None and not self._is_to_be_heard(self.greeting, silent):
            self.greeting = None
        shielded = self.greeting is not None or not (self._plan.interruptible or idle)
        return Bot(shielded, idle)

    def _is_to_be_heard(self, response_id: str, silent: bool) -> bool:
        """Something of the response, or "" for one that has not begun, is still to be played."""
        if not response_id:
            return self._talk.responses.pending
        if response_id == self._talk.responses.active:
            return True
        return not silent and any(item.response_id == response_id for item in self._talk.items)

    def bot_stopped(self, now: int) -> list[Action]:
        """The bot may have nothing more to say."""
        return self._decide(self._interruptions.bot_stopped(now), now) if self._interruptions else []

    def _overrule(self, now: int) -> list[Action]:
        """The bot is interrupted, whatever was still to be found out."""
        return self._decide(self._interruptions.overruled(), now) if self._interruptions else []

    def _decide(self, decisions: Iterable[Decision], now: int) -> list[Action]:
        actions: list[Action] = []
        for decision in decisions:
            match decision:
                case Pause():
                    actions += self._talk.hold(now)
                case Take():
                    actions += self._take_floor(now)
                case End():
                    actions += self._turn_ended(now)
                case Answer():
                    actions += self._answer(now)
                case Said(item_id, text):
                    actions.append(Line("caller", item_id, text))
                case GoOn(why, text):
                    actions += [*self._talk.resume(now), FalseAlarm(why, text)]
                case Forget(item_id):
                    self._talk.dialogue.silent(item_id)
                    actions += self._talk.items.delete(item_id) if self._talk.items.can("deletes") else []
        return actions

    def _answer(self, now: int) -> list[Action]:
        """A turn of the caller is in the conversation."""
        if self._answers_by_itself():
            self._await_answer(now)
            return []
        if self._asks_for_answers:
            self._talk.responses.want()
        return self._talk.ask(now)

    @property
    def guards(self) -> bool:
        """The bot's own voice coming back is to be told from the caller's."""
        return self._interruptions is not None and self._interruptions.guards

    def note_playback(self, actions: list[Action], now: int) -> None:
        """These are about to be done: what they play may come back as an echo."""
        if self._interruptions:
            self._interruptions.note_playback(actions, self._talk.ledger.arrives_ms(now))

    # ------------------------------------------------------------------------------ time

    @property
    def due_ms(self) -> int | None:
        """When a Tick is due."""
        parts = (self._ear, self._interruptions, self._keystrokes)
        dues = [part.due_ms for part in parts if part and part.due_ms is not None]
        return min(dues) if dues else None

    def tick(self, now: int) -> list[Action]:
        heard = self._follow(self._ear.tick(now), now) if self._ear else []
        heard += self._keystrokes.tick(now, self._is_heard) if self._keystrokes else []
        return heard + (self._decide(self._interruptions.tick(now), now) if self._interruptions else [])


def _silenced(media: Media) -> Media:
    """Silence of a frame's length: the model's clock goes on."""
    return Media(media.sequence, media.chunk, media.timestamp_ms, base64_silence(base64_length(media.payload)))
