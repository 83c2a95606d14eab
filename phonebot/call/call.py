"""
A call: inputs in, actions out.

    call = Call(plan)
    actions = call.receive(input, now)     # for whatever happens, in the order in which it does
    call.wakeup_ms                         # give it a Tick when call time reaches this (None: no need)

`now` is call time (clock.py). Nothing here waits, and nothing is remembered but what follows from the inputs.

Here inputs find their way. What is made of them is decided by

    Conversation    the floor, the playout, what was heard: all others act on it
    Recovery        the model's session: asked for, lost, asked for again
    Caller          the caller's audio, keys and turns; what of them interrupts the bot
    Answers         the model's responses: what they say, call and complain of
    Errands         functions and hand-offs
    Enforcement     guardrails that trip
    Manners         a caller who says nothing
    WindingUp       limits of time and money
"""

from collections.abc import Callable
from typing import Any

from phonebot.call.actions import Action, Tell, Trouble, is_audio_for_model
from phonebot.call.agents import Agents
from phonebot.call.answers import Answers
from phonebot.call.audio_path import MIN_GAP_MS
from phonebot.call.caller import Caller
from phonebot.call.clock import LATE_START_MS, WILD_STAMP_MS, ahead_ms
from phonebot.call.conversation import Conversation
from phonebot.call.enforcement import Enforcement
from phonebot.call.errands import Errands
from phonebot.call.guardrails import Guardrails
from phonebot.call.inputs import (
    AnsweredBy,
    CallerAudioDropped,
    CapReached,
    CarrierClosed,
    CarrierFault,
    Checked,
    Input,
    ModelFault,
    ModelLost,
    ModelReady,
    OperatorHangUp,
    PlayClip,
    ServiceStops,
    Tick,
    ToolResult,
    TypedText,
)
from phonebot.call.lines import Lines
from phonebot.call.manners import Manners
from phonebot.call.plan import CallPlan
from phonebot.call.recovery import Recovery
from phonebot.call.tools import Tools
from phonebot.call.turns import Turn
from phonebot.call.typed import Typed
from phonebot.call.winding_up import WindingUp
from phonebot.carrier.messages import Dtmf, Mark, Media, Start, Stop
from phonebot.realtime import events
from phonebot.realtime.events import AppendAudio

CLOCKLESS_TICK_MS = 5  # what was sent before the carrier's clock was known is dated to so much: see `_set_clock`
MOST_ASIDE = 16  # frames: 5 kB of a call
CARRIER_FAULTS = 20  # more refused messages than this are no accident
SILENT_CARRIER_MS = 60_000  # a stream that says nothing for so long is dead, whatever its socket says


class Call:
    """
    One call, from its start message to its end.

    After `ended` nothing more comes of any input.
    """

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self._talk = Conversation(plan)
        self._tools = Tools(plan.tools, self._talk.responses, self._talk.words)
        self._agents = Agents(plan)
        self._typed = Typed()
        self._guardrails = Guardrails(plan.guardrails, self._talk.responses)
        self._guardrails.change(self._agents.current.guardrails)
        self._caller = Caller(plan, self._talk, self._tools, self._agents, self._typed)
        self._errands = Errands(plan, self._talk, self._tools, self._agents, self._guardrails)
        self._enforcement = Enforcement(
            self._guardrails, self._talk, self._caller, self._tools, self._agents, self._errands
        )
        self._recovery = Recovery(plan, self._talk, self._caller, self._errands, self._guardrails)
        self._answers = Answers(
            self._talk,
            self._caller,
            self._errands,
            self._guardrails,
            self._enforcement,
            self._typed,
            self._recovery,
        )
        self._lines = Lines(self._talk.dialogue, bool(plan.session.transcription))
        self._manners = Manners(plan.no_input, self._talk, self._tools, self._typed)
        self._winding_up = WindingUp(plan, self._talk)
        # Of what is played first: what was not begun yet.
        self._opening = plan.opening
        # It was begun before the carrier's clock was known, and call time has come so far since; None: it was not.
        self._early_ms: int | None = None
        self._carrier_faults = 0
        self._carrier_ms = -1  # when the carrier was last heard of; -1: not yet
        self._receive = self._receivers()
        # A frame of the caller's is passed on, and decides nothing; and when a Tick is due while such frames come.
        self._is_plain, self._due_ms = False, self._next_due_ms()
        # Such frames, and when they came, that have yet to be taken down: all but the passing on can wait until
        # something is decided, and costs less for some together.
        self._aside: list[tuple[Media, int]] = []
        self._stamp_ms = 0  # of the newest frame

    def receive(self, received: Input, now: int) -> list[Action]:
        """What is to be done now that `received` has happened, in this order."""
        if self._is_plain and type(received) is Media and self._follows(received, now):
            return self._pass_on(received, now)  # fifty times a second
        self._take_down()
        if self._talk.ended:
            return []
        receive = self._receive.get(type(received))
        actions = receive(received, now) if receive else []
        actions = self._finish(self._follow_up(actions, now), now)
        self._is_plain, self._due_ms = self._will_pass_on(), self._next_due_ms()
        return actions

    def _follows(self, media: Media, now: int) -> bool:
        """Nothing is missing before this frame, nor is its time none."""
        return 0 <= media.timestamp_ms - self._stamp_ms < MIN_GAP_MS and media.timestamp_ms <= now + WILD_STAMP_MS

    def _pass_on(self, media: Media, now: int) -> list[Action]:
        self._stamp_ms, self._carrier_ms = media.timestamp_ms, now
        self._aside.append((media, now))
        if len(self._aside) == MOST_ASIDE:
            self._take_down()
        return [Tell(AppendAudio(media.payload))]

    def _take_down(self) -> None:
        """The frames that were put aside."""
        if self._aside:
            aside, self._aside = self._aside, []
            for media, at_ms in aside:
                self._talk.ledger.arrive(media.timestamp_ms, at_ms)
                self._caller.was_heard(media)

    def _follow_up(self, actions: list[Action], now: int) -> list[Action]:
        """The same, with what else comes of it, whatever it was."""
        if self._talk.notice:
            actions += self._heed_notice(now)
        if self._typed.unanswered and not self._talk.ended:
            actions += self._answer_typed(now)
        if self._guardrails.looks:
            actions += self._enforcement.look_at_caller(actions, now)
        if self._talk.farewell:
            actions += self._talk.part(now)
        if self._tools.running:
            self._errands.watch(now)
        if self._caller.keys_in:
            self._manners.caller_is_there()
        elif self._manners.watches:
            self._manners.watch(now)
        if self._caller.guards:
            self._caller.note_playback(actions, now)
        return actions

    def _will_pass_on(self) -> bool:
        """Nobody looks at the caller's frames, nor at the time that passes with each, but for `wakeup_ms`."""
        waits = self._talk.notice or self._typed.unanswered or self._talk.farewell or self._tools.running
        looks = self._guardrails.looks or self._caller.keys_in or self._manners.watches
        return self._caller.passes_on and not (waits or looks or self._talk.ended)

    def _finish(self, actions: list[Action], now: int) -> list[Action]:
        """The same as the model can be told it: nothing while there is none, and later what that was."""
        if is_audio_for_model(actions):
            return actions
        actions += self._recovery.watch(now)
        dialogue = self._talk.dialogue
        dialogue.note(actions)
        actions = self._lines.order(actions, now)
        if self._talk.items.model is None:
            return [action for action in actions if not isinstance(action, Tell)]
        return dialogue.complete(actions)

    @property
    def ended(self) -> bool:
        return self._talk.ended

    @property
    def turn(self) -> Turn:
        """Who has the floor."""
        return self._talk.turn

    @property
    def keys_in(self) -> int:
        """The caller has keyed in so much of an answer, and may go on."""
        return self._caller.keys_in

    def waits_for_key(self, digit: str, now: int) -> bool:
        """Whether the caller would agree to something by this key."""
        return self._tools.waits_for_key(digit, now)

    @property
    def wakeup_ms(self) -> int | None:
        """When a Tick is due."""
        if self._talk.ended:
            return None
        silent_ms = self._carrier_ms + SILENT_CARRIER_MS if self._carrier_ms >= 0 else self._unheard_due_ms
        return silent_ms if self._due_ms is None or silent_ms < self._due_ms else self._due_ms

    def _next_due_ms(self) -> int | None:
        """When a Tick is due, should the carrier not fall silent."""
        talk = self._talk
        dues = (
            talk.notice.due_ms if talk.notice else None,
            talk.farewell.due_ms if talk.farewell else None,
            self._recovery.due_ms,
            self._lines.due_ms,
            self._guardrails.due_ms,
            self._winding_up.due_ms,
            self._manners.due_ms,
            talk.ledger.give_up_ms,
            talk.due_ms,
            talk.answer_due_ms,
            self._caller.due_ms,
            self._errands.due_ms if self._tools.running else None,
        )
        return min((due_ms for due_ms in dues if due_ms is not None), default=None)

    # ------------------------------------------------------------------------------ the carrier

    def _start(self, start: Start, now: int) -> list[Action]:
        opened: list[Action] = []
        if self._opening and not self._talk.notice:
            opened, self._early_ms = self._open(now), now
        return [*opened, *map(Trouble, self.plan.problems), *self._recovery.start(now)]

    def _media(self, media: Media, now: int) -> list[Action]:
        if media.timestamp_ms > now + WILD_STAMP_MS:
            return self._carrier_fault(CarrierFault("media: the timestamp is a minute ahead of its time"), now)
        first, self._carrier_ms = self._carrier_ms < 0, now
        if first:
            self._set_clock(media, now)
        self._stamp_ms = media.timestamp_ms
        self._talk.ledger.arrive(media.timestamp_ms, now)
        opened = self._open(now) if first else []
        heard = self._caller.hear(media, now)
        return opened + heard if opened else heard

    def _mark(self, mark: Mark, now: int) -> list[Action]:
        self._carrier_ms = now
        return self._talk.marked(mark.name, now) + self._caller.bot_stopped(now)

    def _key(self, dtmf: Dtmf, now: int) -> list[Action]:
        self._carrier_ms = now
        self._manners.caller_is_there()
        return self._caller.press(dtmf, now)

    def _carrier_fault(self, fault: CarrierFault, now: int) -> list[Action]:
        self._carrier_faults += fault.counts
        if self._carrier_faults <= CARRIER_FAULTS:
            return [Trouble(fault.problem)]
        return [Trouble(fault.problem), *self._talk.hang_up(1008, "carrier_faults", now)]

    def _stop(self, stop: Stop, now: int) -> list[Action]:
        return self._talk.end("caller_hung_up", now, by_carrier=True)

    def _closed(self, closed: CarrierClosed, now: int) -> list[Action]:
        return self._talk.end("stream_lost", now)

    def _open(self, now: int) -> list[Action]:
        """Play what the call begins with, where it is not played yet; where nothing is, measure the line."""
        if self._talk.notice:
            return self._talk.ledger.ping(now)
        opening, self._opening = self._opening, ()
        actions: list[Action] = []
        for clip in opening:
            actions += self._talk.play_clip(clip, now)
        if opening and not self.plan.greeting_interruptible:
            newest = self._talk.items.newest
            self._caller.greeting = newest.response_id if newest else None
        return actions + self._talk.ledger.ping(now)

    @property
    def _unheard_due_ms(self) -> int:
        """When a Tick is due to a carrier that has sent no frame yet."""
        if self._early_ms is not None and self._early_ms < LATE_START_MS:
            return self._early_ms + CLOCKLESS_TICK_MS
        return self._carrier_ms + SILENT_CARRIER_MS

    def _set_clock(self, media: Media, now: int) -> None:
        """
        The first frame tells the carrier's clock, to which call time jumps, unless that frame came late (clock.py).

        What was sent before then was sent later than it seemed, by all of the jump. Of that some ms may really have
        passed, up to the next Tick; they are taken to be none: the line is better taken for quick than for slow.
        """
        if self._early_ms is not None and not ahead_ms(media.timestamp_ms, now):
            self._talk.ledger.postpone(now - self._early_ms)

    # ------------------------------------------------------------------------------ the model's connection

    def _ready(self, ready: ModelReady, now: int) -> list[Action]:
        self._answers.model_ready(ready)
        self._caller.model_ready(ready)
        actions = self._recovery.ready(ready, now) + self._open(now) + self._typed.model_ready()
        if self._talk.notice:  # what was said before it is heard by nobody
            self._caller.kept.drop()
            return actions if self._talk.responses.insisted_id else actions + self._talk.give_notice(now)
        speaks_first = self.plan.greeting is not None or self.plan.earlier
        if speaks_first and not self._answers.begun:
            self._caller.kept.drop()
            return actions + self._greet(now)
        return actions + self._recovery.go_on(now)

    def _heed_notice(self, now: int) -> list[Action]:
        """The call begins for the caller once he was told that it is recorded."""
        noticed = self._talk.noticed(now)
        return [*noticed, *self._open(now), *self._greet(now)] if noticed else []

    def _greet(self, now: int) -> list[Action]:
        """The bot speaks first, if it is to."""
        if self.plan.earlier:  # the caller waits for it to go on
            return self._talk.wanted(now)
        if self.plan.greeting is None:
            return self._talk.ask(now)
        # What the caller said into the silence before is no answer to it.
        self._caller.greeting = None if self.plan.greeting_interruptible else ""
        self._talk.responses.want(self._talk.words(self.plan.greeting))
        return self._talk.ask(now)

    def _lost(self, lost: ModelLost, now: int) -> list[Action]:
        return self._recovery.lost(lost, now)

    def _model_fault(self, fault: ModelFault, now: int) -> list[Action]:
        return self._recovery.complain(fault.problem, now)

    def _audio_dropped(self, dropped: CallerAudioDropped, now: int) -> list[Action]:
        return [Trouble(f"{dropped.frames} frames of the caller were dropped: the model's connection is too slow")]

    def _transcribed(self, event: events.TranscriptionCompleted, now: int) -> list[Action]:
        return self._caller.transcribed(event, now) + self._winding_up.transcribed(event, now)

    def _response_done(self, event: events.ResponseDone, now: int) -> list[Action]:
        actions = self._answers.response_done(event, now)
        return actions if self._talk.ended else actions + self._winding_up.responded(event, now)

    # ------------------------------------------------------------------------------ what others do with it

    def _typed_in(self, typed: TypedText, now: int) -> list[Action]:
        if typed.role == "user":
            self._agents.caller_spoke()
            self._manners.caller_is_there()
        stops = typed.interrupt and self.turn is not Turn.CALLER and not self._talk.is_deaf
        stopped = self._caller.stop_bot(now) if stops else []
        return stopped + self._typed.take(typed, ready=self._talk.items.model is not None)

    def _answer_typed(self, now: int) -> list[Action]:
        """Ask for the answer to what was typed, unless somebody speaks or an answer is on its way."""
        speaks = self.turn is Turn.BOT and not self._talk.plays_music
        if not self._talk.is_quiet or speaks or self._talk.answer_due_ms is not None:
            return []
        self._typed.asked()
        return self._talk.wanted(now)

    def _play_clip(self, clip: PlayClip, now: int) -> list[Action]:
        return self._talk.play_clip(clip, now)

    def _answered_by(self, answered: AnsweredBy, now: int) -> list[Action]:
        return self._talk.leave_at_once(answered.leave, now) if answered.leave else []

    def _operator(self, wish: OperatorHangUp, now: int) -> list[Action]:
        return self._talk.hang_up(1000, "operator_hung_up", now)

    # ------------------------------------------------------------------------------ time

    def _tick(self, tick: Tick, now: int) -> list[Action]:
        if now >= self._carrier_ms + SILENT_CARRIER_MS:
            return self._talk.hang_up(1001, "stream_lost", now)
        if self._early_ms is not None and self._carrier_ms < 0:
            self._early_ms = now
        wound_up = self._winding_up.tick(now) if now >= self._winding_up.due_ms else []
        return wound_up if self._talk.ended else wound_up + self._pass_time(now)

    def _pass_time(self, now: int) -> list[Action]:
        if self._talk.answer_due_ms is not None and now >= self._talk.answer_due_ms:
            self._talk.answer_due_ms = None
            self._talk.responses.want()
        actions = self._recovery.tick(now)
        if self._talk.ended:
            return actions
        actions += self._caller.tick(now) + self._errands.tick(now) + self._enforcement.tick(now)
        actions += self._manners.tick(now)
        settled = self._talk.settle(self._talk.ledger.settle_due(now), "timeout", now)
        return actions + settled + self._talk.ask(now)

    # ------------------------------------------------------------------------------ the way of each input

    def _receivers(self) -> dict[type, Callable[[Any, int], list[Action]]]:
        """What is made of each input; of the others the call takes no notice."""
        return {
            Start: self._start,
            Media: self._media,
            Dtmf: self._key,
            Mark: self._mark,
            Stop: self._stop,
            CarrierFault: self._carrier_fault,
            CarrierClosed: self._closed,
            ModelReady: self._ready,
            ModelLost: self._lost,
            ModelFault: self._model_fault,
            CallerAudioDropped: self._audio_dropped,
            PlayClip: self._play_clip,
            OperatorHangUp: self._operator,
            ToolResult: self._errands.finished,
            AnsweredBy: self._answered_by,
            CapReached: self._winding_up.capped,
            ServiceStops: self._winding_up.stopped,
            TypedText: self._typed_in,
            Checked: self._enforcement.checked,
            Tick: self._tick,
            events.ErrorEvent: self._answers.error,
            events.SpeechStarted: self._caller.told_of_speech,
            events.SpeechStopped: self._caller.told_of_end,
            events.AudioCommitted: self._caller.told_of_commit,
            events.TranscriptionCompleted: self._transcribed,
            events.TranscriptionFailed: self._caller.not_transcribed,
            events.ItemAdded: self._answers.in_conversation,
            events.RateLimitsUpdated: self._answers.limited,
            events.ArgumentsDelta: self._answers.makes_call,
            events.McpArgumentsDelta: self._answers.makes_call,
            events.McpCallChanged: self._answers.makes_call,
            events.ResponseCreated: self._answers.response_created,
            events.OutputItemAdded: self._answers.item_added,
            events.AudioDelta: self._answers.audio,
            events.AudioDone: self._answers.audio_done,
            events.SpokenTextDelta: self._answers.text,
            events.SpokenTextDone: self._answers.text_done,
            events.OutputItemDone: self._answers.item_done,
            events.ResponseDone: self._response_done,
        }
