"""
A call: inputs in, actions out.

    call = Call(plan)
    actions = call.receive(input, now)     # for whatever happens, in the order in which it does
    call.wakeup_ms                         # give it a Tick when call time reaches this (None: no need)

`now` is call time (clock.py). Nothing here waits, and nothing is remembered but what follows from the inputs.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from phonebot.audio.base64 import base64_length, base64_silence, is_base64
from phonebot.call import turns
from phonebot.call.actions import (
    Action,
    BargeIn,
    CloseModel,
    CloseStream,
    Ended,
    FalseAlarm,
    Floor,
    GuardrailTripped,
    HandOff,
    Held,
    Line,
    OpenModel,
    Outcome,
    RunTool,
    Settled,
    Tell,
    Trouble,
)
from phonebot.call.agents import HANDED_OVER, Agents, Memory, Wanted, handed_over
from phonebot.call.audio_path import BotLeg, CallerLeg
from phonebot.call.clips import Clips
from phonebot.call.clock import WILD_STAMP_MS
from phonebot.call.farewell import Farewell
from phonebot.call.guardrails import Allowed, Guardrails, Tripped, Verdict
from phonebot.call.inputs import (
    CallerAudioDropped,
    CarrierClosed,
    CarrierFault,
    Checked,
    Input,
    ModelFault,
    ModelLost,
    ModelReady,
    OperatorHangUp,
    PlayClip,
    Tick,
    ToolResult,
    TypedText,
)
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
from phonebot.call.items import Items
from phonebot.call.listening import Ear, Heard, ear_for
from phonebot.call.plan import CallPlan, Clip
from phonebot.call.playout import PlayoutLedger, Settlement
from phonebot.call.responses import PLAIN, Responses, exactly
from phonebot.call.tools import INTERRUPTED, Tools, told
from phonebot.call.transcript import SpokenItem
from phonebot.call.turns import PlayoutEnded, Turn
from phonebot.call.typed import Typed
from phonebot.carrier.messages import Dtmf, Mark, Media, Start, Stop
from phonebot.realtime import events
from phonebot.realtime.severity import already_shorter_ms, is_busy, severity

EARLY_FRAMES = 100  # caller audio kept until the model is ready: 2 s
CARRIER_FAULTS = 20  # more refused messages than this are no accident
MODEL_FAULTS = 100  # the same of the model's events and complaints
SILENT_CARRIER_MS = 60_000  # a stream that says nothing for so long is dead, whatever its socket says
ANSWER_PATIENCE_MS = 8_000  # a turn that the model has not begun to answer by then was lost
MAX_WAITING_MS = 600_000  # audio that the model may be ahead of playout; beyond it it runs away


class Call:
    """
    One call, from its start message to its end.

    After `ended` nothing more comes of any input.
    """

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self.turn = Turn.IDLE
        self.ended = False
        # Whether what the caller utters interrupts the bot; None: any speech does.
        self._interruptions = Interruptions(plan, self._bot_now) if plan.decides else None
        self._ledger = PlayoutLedger(plan.carrier, holds=plan.caution.hold_ms > 0)
        self._responses = Responses()
        # What we play ourselves; its items are among the others. Of the opening: what was not begun yet.
        self._clips = Clips()
        self._opening = plan.opening
        self._items = Items(self._responses, self._clips)
        self._tools = Tools(plan.tools, self._responses)
        self._agents = Agents(plan)
        # None: no agent is meant to forget.
        self._memory = Memory() if any(agent.keep_turns is not None for agent in plan.agents) else None
        self._typed = Typed()
        self._guardrails = Guardrails(plan.guardrails, self._responses)
        # What the model is to be told of why it was stopped, once it knows what was heard; None: nothing.
        self._untold: str | None = None
        # The caller spoke before words of ours were said: his turn is answered after them.
        self._owed = False
        # The words with which the call ends; None: it goes on.
        self._farewell: Farewell | None = None
        # The response that is a greeting not to be interrupted; "": it has not begun, None: there is none any more.
        self._greeting: str | None = None
        # Of the pause: how much was still to be heard (None: nothing was playing), and what the positions rest on.
        self._unheard_ms: int | None = None
        self._held_settled: Settled = "at_once"
        # When the model should have begun to answer the caller's turn; None: it has, or need not.
        self._answer_due_ms: int | None = None
        self._early: deque[Media] = deque(maxlen=EARLY_FRAMES)
        self._caller_leg = CallerLeg()
        # Finds the caller's turns; None: the model does, or is not ready yet.
        self._ear: Ear | None = None
        self._bot_leg = BotLeg()
        self._carrier_faults = 0
        self._model_faults = 0
        self._carrier_ms = -1  # when the carrier was last heard of; -1: not yet

    def receive(self, received: Input, now: int) -> list[Action]:
        """What is to be done now that `received` has happened, in this order."""
        if self.ended:
            return []
        receive = _RECEIVE.get(type(received))
        actions = receive(self, received, now) if receive else []
        if self._typed.unanswered and not self.ended:
            actions += self._answer_typed(now)
        if self._guardrails.looks:
            actions += self._look_at_caller(actions, now)
        if self._farewell and self._is_over(self._farewell, now):
            actions += self._hang_up(1000, self._farewell.outcome, now)
        if self._tools.running:
            self._tools.watch(self.turn, now)
        if self._interruptions and self._interruptions.guards:
            self._interruptions.note_playback(actions, self._ledger.arrives_ms(now))
        return actions

    @property
    def wakeup_ms(self) -> int | None:
        """When a Tick is due."""
        if self.ended:
            return None
        due_ms = self._carrier_ms + SILENT_CARRIER_MS
        asks_ms = self._responses.due_ms
        if asks_ms is not None and self._must_not_ask:
            asks_ms = None  # a Tick would change nothing, and be due again
        ear_ms = self._ear.due_ms if self._ear else None
        decides_ms = self._interruptions.due_ms if self._interruptions else None
        tools_ms = self._tools.due_ms(self._may_fill) if self._tools.running else None
        dues = (
            self._farewell.due_ms if self._farewell else None,
            self._guardrails.due_ms,
            self.plan.max_call_ms,
            self._ledger.give_up_ms,
            asks_ms,
            self._answer_due_ms,
            ear_ms,
            decides_ms,
            tools_ms,
        )
        for other_ms in dues:
            if other_ms is not None and other_ms < due_ms:
                due_ms = other_ms
        return due_ms

    # ------------------------------------------------------------------------------ the carrier

    def _start(self, start: Start, now: int) -> list[Action]:
        return [*map(Trouble, self.plan.problems), OpenModel(self.plan.session)]

    def _media(self, media: Media, now: int) -> list[Action]:
        if media.timestamp_ms > now + WILD_STAMP_MS:
            return self._carrier_fault(CarrierFault("media: the timestamp is a minute ahead of its time"), now)
        first, self._carrier_ms = self._carrier_ms < 0, now
        self._ledger.arrive(media.timestamp_ms, now)
        opened = self._open(now) if first else []
        if self._farewell and self._is_deaf:
            media = _silenced(media)
        if self._interruptions:
            decided, media = self._listen(self._interruptions, media, now)
            opened = opened + decided
        if self._items.model is None:
            self._early.append(media)
            return opened
        told = self._append(media, now)
        return opened + told if opened else told

    def _append(self, media: Media, now: int) -> list[Action]:
        if self._ear:
            return self._follow(self._ear.hear(media.payload, media.timestamp_ms, now), now)
        return [
            Tell(events.AppendAudio(audio)) for audio in self._caller_leg.feed(media.payload, media.timestamp_ms)
        ]

    def _mark(self, mark: Mark, now: int) -> list[Action]:
        self._carrier_ms = now
        actions = self._settle(self._ledger.echo(mark.name, now), "timeout", now)
        for segment in self._ledger.played():
            actions += self._items.confirm(segment.item_id, segment.item_start + segment.length)
        actions += self._ledger.release(now)
        if self._ledger.empty:
            actions += self._floor(PlayoutEnded)
        return actions + self._bot_stopped(now)

    def _carrier_fault(self, fault: CarrierFault, now: int) -> list[Action]:
        self._carrier_faults += fault.counts
        if self._carrier_faults <= CARRIER_FAULTS:
            return [Trouble(fault.problem)]
        return [Trouble(fault.problem), *self._hang_up(1008, "carrier_faults", now)]

    def _stop(self, stop: Stop, now: int) -> list[Action]:
        return self._end("caller_hung_up", now)

    def _closed(self, closed: CarrierClosed, now: int) -> list[Action]:
        return self._end("stream_lost", now)

    # ------------------------------------------------------------------------------ the model's connection

    def _ready(self, ready: ModelReady, now: int) -> list[Action]:
        self._items.model = ready
        self._caller_leg = CallerLeg(ready.input_format)
        if self.plan.turns:
            self._ear = ear_for(self.plan.turns, self._caller_leg, ready.input_format)
        self._bot_leg = BotLeg(ready.output_format)
        early, self._early = self._early, deque()
        actions = self._open(now) + self._clips.model_ready() + self._typed.model_ready()
        if self.plan.greeting is None:
            for media in early:
                actions += self._append(media, now)
            return actions
        # The bot greets first: what the caller said into the silence before is no answer to it.
        self._greeting = None if self.plan.greeting_interruptible else ""
        self._responses.want(exactly(self.plan.greeting))
        return actions + self._ask(now)

    def _lost(self, lost: ModelLost, now: int) -> list[Action]:
        return [Trouble(lost.problem), *self._hang_up(1011, "model_failed", now)]

    def _model_fault(self, fault: ModelFault, now: int) -> list[Action]:
        return self._complain(fault.problem, now)

    def _complain(self, problem: str, now: int) -> list[Action]:
        """Something is wrong with the model; too much of it ends the call."""
        self._model_faults += 1
        if self._model_faults <= MODEL_FAULTS:
            return [Trouble(problem)]
        return self._lost(ModelLost(f"the model has made {MODEL_FAULTS} faults, the last: {problem}"), now)

    def _audio_dropped(self, dropped: CallerAudioDropped, now: int) -> list[Action]:
        return [Trouble(f"{dropped.frames} frames of the caller were dropped: the model's connection is too slow")]

    def _error(self, event: events.ErrorEvent, now: int) -> list[Action]:
        error = event.error
        if self._responses.refused(error.event_id, busy=is_busy(error)) and is_busy(error):
            return []
        if already_shorter_ms(error) is not None:
            return self._items.truncate_again(error)
        how = severity(error)
        if how == "fatal":
            return self._lost(ModelLost(error.message), now)
        return [] if how == "harmless" else self._complain(f"the model reports: {error.message}", now)

    # ------------------------------------------------------------------------------ what we play ourselves

    def _open(self, now: int) -> list[Action]:
        """Play what the call begins with, once the carrier's clock is known; where nothing is, measure the line."""
        opening, self._opening = self._opening, ()
        actions: list[Action] = []
        for clip in opening:
            actions += self._play_clip(clip, now)
        if opening and not self.plan.greeting_interruptible:
            self._greeting = self._items.newest_response
        return actions + self._ledger.ping(now)

    def _play_clip(self, clip: Clip, now: int) -> list[Action]:
        if objection := self._clips.objection(clip):
            return [Trouble(objection)]
        item = self._clips.begin(clip)
        self._items.add(item)
        if self.turn is Turn.CALLER and self.plan.interruptible:
            return self._items.settle(item, 0, "at_once")
        self._clips.wait(item, clip)
        return self._play_waiting(now)

    def _play_waiting(self, now: int) -> list[Action]:
        """Play the clips that wait, unless that would split an answer."""
        if self._items.growing:
            return []
        actions: list[Action] = []
        for item, clip in self._clips.take_waiting():
            actions += self._ledger.queue(item.item_id, 0, clip.audio, now) + self._ledger.finish(now)
            actions += self._floor(events.AudioDelta)
        return actions

    def _in_conversation(self, event: events.ItemAdded, now: int) -> list[Action]:
        self._clips.places.added(event.item.id)
        if self._memory:
            self._memory.added(event.item)
        self._typed.added(event.item.id)
        return []

    # ------------------------------------------------------------------------------ turns that are found here

    def _follow(self, heard: Iterable[Heard], now: int) -> list[Action]:
        """What our ear made of the caller: his turns begin and end as if the model had told of them."""
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

    def _key(self, dtmf: Dtmf, now: int) -> list[Action]:
        self._carrier_ms = now
        if self._is_deaf:
            return []
        if agreed := self._tools.pressed(dtmf.digit, now):
            return [*agreed, *self._wanted(now)]
        bot_speaks = self.turn is Turn.BOT
        if self._ear and self._ear.takes_keys:
            return self._follow(self._ear.press(dtmf.digit, bot_speaks), now)
        if not (self.plan.keys_interrupt and bot_speaks) or self._bot_now(now).shielded:
            return []
        return self._stop_bot(now)

    def _stop_bot(self, now: int) -> list[Action]:
        """Interrupt the bot without a word of the caller's."""
        overruled = self._decide(self._interruptions.overruled(), now) if self._interruptions else []
        return [*overruled, *self._interrupt(now, by_service=False), *self._floor(PlayoutEnded)]

    # ------------------------------------------------------------------------------ the caller's turn

    def _told_of_speech(self, event: events.SpeechStarted, now: int) -> list[Action]:
        return [] if self._ear or self._is_deaf else self._speech_started(event, now)

    def _told_of_end(self, event: events.SpeechStopped, now: int) -> list[Action]:
        # With an ear of ours the model's word is an echo of our commit: the caller may speak again by now.
        return [] if self._ear else self._speech_stopped(event, now)

    def _told_of_commit(self, event: events.AudioCommitted, now: int) -> list[Action]:
        self._clips.places.added(event.item_id)
        if self._interruptions:
            return self._decide(self._interruptions.committed(event.item_id, now), now)
        return [] if self._ear else self._turn_ended(now)

    def _speech_started(self, event: events.SpeechStarted, now: int) -> list[Action]:
        self._clips.places.caller_begins(event.item_id)
        if self._interruptions:
            return self._decide(self._interruptions.began(event.item_id, now), now)
        return self._take_floor(now)

    def _speech_stopped(self, event: events.SpeechStopped, now: int) -> list[Action]:
        if self._interruptions:
            return self._decide(self._interruptions.ended(now), now)
        if self._ear and self._ear.answers:
            self._responses.want()
        return self._turn_ended(now)

    def _take_floor(self, now: int) -> list[Action]:
        """The caller speaks, and whoever spoke before is interrupted."""
        if self._is_deaf:
            return []
        if self._farewell:  # he has more to say
            self._farewell = None
            self._responses.relent()
        self._owed = self._responses.owes_words
        self._answer_due_ms = None
        self._agents.caller_spoke()
        return self._interrupt(now) + self._floor(events.SpeechStarted)

    def _turn_ended(self, now: int) -> list[Action]:
        # The model is about to answer: it must know by then what was heard.
        actions = self._settle(self._ledger.settle_all(now), "turn_end", now) + self._floor(events.SpeechStopped)
        if not self._answers_by_itself():
            return actions + self._ask(now)
        self._is_answered(now)
        return actions

    def _is_answered(self, now: int) -> None:
        """The service answers by itself. What is wanted is answered with it; asked for now it would cross that."""
        self._responses.drop_wanted()
        self._answer_due_ms = now + ANSWER_PATIENCE_MS

    def _transcribed(self, event: events.TranscriptionCompleted, now: int) -> list[Action]:
        text = event.transcript.strip()
        self._tools.said(text, now)
        if self._interruptions:
            return self._decide(self._interruptions.transcribed(event.item_id, text), now)
        return [Line("caller", event.item_id, text)] if text else []

    def _not_transcribed(self, event: events.TranscriptionFailed, now: int) -> list[Action]:
        decisions = self._interruptions.transcribed(event.item_id, None) if self._interruptions else []
        return self._decide(decisions, now)

    # ------------------------------------------------------------------------------ what interrupts is decided here

    def _bot_now(self, now: int) -> Bot:
        """What there is to interrupt."""
        silent = self._ledger.is_over(now)
        idle = silent and not self._responses.active
        if self._greeting is not None and not self._is_to_be_heard(self._greeting, silent):
            self._greeting = None
        shielded = self._greeting is not None or not (self.plan.interruptible or idle)
        return Bot(shielded, idle)

    def _is_to_be_heard(self, response_id: str, silent: bool) -> bool:
        """Something of the response, or "" for one that has not begun, is still to be played."""
        if not response_id:
            return self._responses.pending
        if response_id == self._responses.active:
            return True
        return not silent and any(item.response_id == response_id for item in self._items)

    def _listen(self, interruptions: Interruptions, media: Media, now: int) -> tuple[list[Action], Media]:
        """What a frame decides, and the frame as the model may hear it."""
        decided = self._decide(interruptions.hear(media.payload, media.timestamp_ms, now), now)
        if self.plan.withholds and self._bot_now(now).shielded:
            media = _silenced(media)
        return decided, media

    def _bot_stopped(self, now: int) -> list[Action]:
        return self._decide(self._interruptions.bot_stopped(now), now) if self._interruptions else []

    def _decide(self, decisions: Iterable[Decision], now: int) -> list[Action]:
        actions: list[Action] = []
        for decision in decisions:
            match decision:
                case Pause():
                    actions += self._hold(now)
                case Take():
                    actions += self._take_floor(now)
                case End():
                    actions += self._turn_ended(now)
                case Answer():
                    actions += self._answer(now)
                case Said(item_id, text):
                    actions.append(Line("caller", item_id, text))
                case GoOn(why, text):
                    actions += [*self._resume(now), FalseAlarm(why, text)]
                case Forget(item_id):
                    actions += self._items.delete(item_id) if self._items.can("deletes") else []
        return actions

    def _hold(self, now: int) -> list[Action]:
        """Pause the bot, so that it can go on where it was."""
        if self._is_deaf:
            return []
        if self._ledger.held:  # it was to go on, and is not known yet from where
            return self._ledger.hold(now)
        unheard_ms = self._ledger.unheard_ms(now)
        actions = self._ledger.hold(now)
        self._unheard_ms = unheard_ms if actions else None
        self._held_settled = "at_once"
        return [*actions, Held(unheard_ms)]

    def _resume(self, now: int) -> list[Action]:
        """It was nothing: the bot goes on, if it was paused."""
        if not self._ledger.held:
            return []
        actions = self._ledger.resume(now)
        if self._ledger.empty:
            actions += self._floor(PlayoutEnded)
        return actions + self._ask(now)

    def _answer(self, now: int) -> list[Action]:
        """A turn of the caller is in the conversation."""
        if self._answers_by_itself():
            self._is_answered(now)
            return []
        if self._ear.answers if self._ear else self.plan.answers:
            self._responses.want()
        return self._ask(now)

    def _cancels_by_itself(self) -> bool:
        """Whether the service ends its response when the caller speaks."""
        detection = self.plan.session.turn_detection
        interrupts = isinstance(detection, events.TurnDetection) and detection.interrupt_response is not False
        return interrupts and self._items.can("interrupts")

    def _answers_by_itself(self) -> bool:
        detection = self.plan.session.turn_detection
        return isinstance(detection, events.TurnDetection) and detection.create_response is not False

    def _interrupt(self, now: int, by_service: bool = True, by_caller: bool = True) -> list[Action]:
        """
        The caller has taken the floor: stop playback, and settle every item that he has not heard in full.

        Nothing happens when nothing is left to play and nothing is being generated. `by_service`: the service knows
        of it too, and ends its response if that is its way. Not `by_caller`: it is the bot that has to stop.
        """
        items = self._items.unstopped()
        active = {self._responses.active} if self._responses.active else set()
        self._responses.fence(active | {item.response_id for item in items})
        actions: list[Action] = []
        if self._ledger.held:
            actions += self._drop_held(items, by_caller)
        elif self._ledger.empty:
            self._ledger.drop()
            for item in items:
                actions += self._items.settle(item, item.played_bytes, "at_once")
        else:
            unheard_ms = self._ledger.unheard_ms(now)
            fence, actions = self._ledger.clear(now)
            actions += [BargeIn(unheard_ms)] if by_caller else []
            self._items.stop(items, fence)
        if active and not (by_service and self._cancels_by_itself()):
            actions.append(Tell(events.CancelResponse(self._responses.active)))
        return actions

    def _drop_held(self, items: list[SpokenItem], by_caller: bool = True) -> list[Action]:
        """The bot was paused, and does not go on."""
        told = by_caller and self._unheard_ms is not None
        actions: list[Action] = [BargeIn(self._unheard_ms or 0)] if told else []
        if fence := self._ledger.abandon():
            self._items.stop(items, fence)
            return actions
        for item in items:
            actions += self._items.settle(item, item.played_bytes, self._held_settled)
        return actions

    def _settle(self, settlements: Iterable[Settlement], low: Settled, now: int) -> list[Action]:
        """Settle the items of each clear; `low` says why an estimate had to do, where one had."""
        actions: list[Action] = []
        for settlement in settlements:
            settled: Settled = "fence" if settlement.exact else low
            stopped = self._items.stopped_by(settlement.fence)
            if stopped is None:
                actions += self._settle_held(settlement, settled, now)
                continue
            for item in stopped:
                heard = settlement.heard.get(item.item_id, item.played_bytes)
                actions += self._items.settle(item, heard, settled)
        return actions + self._tell_why(now)

    def _settle_held(self, settlement: Settlement, settled: Settled, now: int) -> list[Action]:
        """It is known where the pause has cut, and the bot goes on there, if it was to go on."""
        self._held_settled = settled
        actions: list[Action] = []
        for item in self._items:
            actions += self._items.confirm(item.item_id, settlement.heard.get(item.item_id, item.played_bytes))
        if not self._ledger.held:
            actions += self._ledger.release(now)
            actions += self._floor(PlayoutEnded) if self._ledger.empty else []
        return actions + self._ask(now)

    # ------------------------------------------------------------------------------ the model's answers

    def _response_created(self, event: events.ResponseCreated, now: int) -> list[Action]:
        response_id = event.response.id
        actions = self._items.delete_unheard(lambda item: item.response_id != response_id)  # only one can be active
        self._answer_due_ms = None
        crossed = self._responses.asked and self.turn is Turn.CALLER and not self._is_deaf
        follows = self._responses.follows_conversation
        unwanted = self._responses.created(response_id, event.response.metadata)
        if follows and not unwanted:
            self._typed.response_began()
        if self._greeting == "":
            self._greeting = response_id
        if crossed:  # it was asked for before the caller began to speak: he is not talked over
            self._responses.crossed(response_id)
        elif self._owed and response_id == self._responses.insisted_id:
            self._owed = False
            self._responses.want()
        if crossed or unwanted:
            self._responses.fence({response_id})
            return [*actions, Tell(events.CancelResponse(response_id))]
        return actions + self._floor(events.ResponseCreated)

    def _item_added(self, event: events.OutputItemAdded, now: int) -> list[Action]:
        added = event.item
        self._clips.places.added(added.id)
        if not isinstance(added, events.Message) or not added.id or self._items.is_final(added.id):
            return []
        item = self._items.item(added.id, event.response_id)
        if event.response_id not in self._responses.fenced or item.received_ms:
            return []
        self._items.forget(item)  # begun before the model knew of the interruption
        return self._items.remove(item)

    def _audio(self, event: events.AudioDelta, now: int) -> list[Action]:
        if event.response_id in self._responses.fenced or self._items.is_final(event.item_id):
            return []
        if not is_base64(event.audio):
            return self._complain(f"audio of item {event.item_id} is no base64", now)
        if self._ledger.waiting_ms > MAX_WAITING_MS:
            return self._complain(f"item {event.item_id} is endless: its audio is not taken any more", now)
        item = self._items.item(event.item_id, event.response_id)
        item.content_index = event.content_index
        item.receive(base64_length(event.audio), self._bot_leg.bytes_per_ms)
        payload = self._bot_leg.feed(item.item_id, event.audio)
        return self._play(item, payload, now) + self._floor(events.AudioDelta)

    def _play(self, item: SpokenItem, payload: str, now: int) -> list[Action]:
        if not payload:
            return []
        start, item.sent_bytes = item.sent_bytes, item.sent_bytes + base64_length(payload)
        return self._ledger.queue(item.item_id, start, payload, now)

    def _audio_done(self, event: events.AudioDone, now: int) -> list[Action]:
        item = self._items.get(event.item_id)
        if item is None or event.response_id in self._responses.fenced:
            return []
        item.complete = True
        actions = self._play(item, self._bot_leg.finish(item.item_id), now)
        return actions + self._ledger.finish(now) + self._items.heard_in_full(item) + self._play_waiting(now)

    def _spoken_text(self, event: events.SpokenTextDelta, now: int) -> list[Action]:
        if not self._items.is_final(event.item_id):
            self._items.item(event.item_id, event.response_id).text_parts.append(event.delta)
            return self._guardrails.spoke(event.item_id, event.response_id, event.delta, now)
        return []

    def _spoken_text_done(self, event: events.SpokenTextDone, now: int) -> list[Action]:
        if self._items.is_final(event.item_id):
            return []
        known = self._items.text_is_known(self._items.item(event.item_id, event.response_id), event.transcript)
        return known + self._guardrails.said(event.item_id, event.response_id, event.transcript, now)

    def _item_done(self, event: events.OutputItemDone, now: int) -> list[Action]:
        item = event.item
        if isinstance(item, events.FunctionCall) and item.status == "completed":
            return self._hold_back(self._called(item, event.response_id, now), now)
        self._tools.ended_with(item, event.response_id)
        spoken = self._items.get(item.id)
        if spoken and isinstance(item, events.Message) and item.status == "incomplete":
            spoken.complete = False  # its audio ended, but not because all was said
        return []

    def _response_done(self, event: events.ResponseDone, now: int) -> list[Action]:
        response = event.response
        actions: list[Action] = []
        heard_caller = response.reason == "turn_detected" and not self._is_deaf
        if heard_caller and response.id not in self._responses.fenced:
            # The model heard the caller; its word of it is still on the way.
            overruled = self._decide(self._interruptions.overruled(), now) if self._interruptions else []
            actions += overruled or self._interrupt(now)
        was_active = self._responses.active in (response.id, None)
        if response.status == "failed":
            actions += self._failed(response, now)
            if self.ended:
                return actions
        else:
            self._responses.done(response.id)
        actions += self._guardrails.response_over(response.id, now)
        actions += self._items.complete(response.id)
        actions += self._items.delete_unheard(lambda item: item.response_id == response.id)
        if was_active and response.id not in self._responses.fenced:
            actions += self._floor(events.ResponseDone)
        if wanted := self._agents.take(response.id):
            actions += self._take_over(wanted, response.id, now)
        if self._tools.response_over(response.id):
            self._responses.want()
        return actions + self._play_waiting(now) + self._ask(now) + self._bot_stopped(now)

    def _failed(self, response: events.Response, now: int) -> list[Action]:
        """The caller shall not be met with silence: what may pass is tried again."""
        error = response.error or events.ErrorDetail("no reason given", type="server_error")
        how = severity(error)
        if how == "fatal":
            return self._lost(ModelLost(error.message), now)
        retried = how == "retry_response" and self._responses.failed(response.id, now)
        if not retried:
            self._responses.done(response.id)
        return self._complain(f"the model's response failed: {error.message}", now)

    # ------------------------------------------------------------------------------ the functions it calls

    def _called(self, call: events.FunctionCall, response_id: str, now: int) -> list[Action]:
        if not self._agents.is_handoff(call.name):
            return self._tools.called(call, response_id, now)
        told = self._tools.called_for(call, response_id, lambda: self._agents.ask(call, response_id))
        return [Trouble(self._agents.circling), *told] if self._agents.circling and told else told

    def _take_over(self, wanted: Wanted, response_id: str, now: int) -> list[Action]:
        """The response is over that has called for a hand-off."""
        if response_id in self._responses.fenced:
            return [told(wanted.call_id, INTERRUPTED)]
        from_agent = self._agents.current.name
        handed = self._hand_over(wanted.to_agent, wanted.note, now, wanted.call_id)
        return [*handed, told(wanted.call_id, handed_over(wanted, from_agent))]

    def _hand_over(self, to_agent: str, note: str, now: int, call_id: str = "") -> list[Action]:
        """Another agent has the call, and the model is that from now on. `call_id`: the function call behind it."""
        before, agent = self._agents.current.name, self._agents.switch(to_agent)
        self._tools.change(agent.rules)
        self._guardrails.change(agent.guardrails)
        session = events.Session(instructions=agent.instructions, tools=agent.tools)
        forgotten = self._forgotten(agent.keep_turns, {*self._tools.running_calls, call_id})
        return [Tell(events.UpdateSession(session)), *forgotten, HandOff(before, to_agent, note)]

    def _forgotten(self, keep_turns: int | None, awaited: set[str]) -> list[Action]:
        """All but the last turns leaves the conversation, and what is still to be settled stays."""
        if keep_turns is None or self._memory is None:
            return []
        if not self._items.can("deletes"):
            return [Trouble("the model's service deletes no items: the next agent knows all that was said before")]
        old = self._memory.before(keep_turns, awaited)
        places = self._clips.places
        gone = [item_id for item_id in old if item_id in places and self._items.get(item_id) is None]
        return [action for item_id in gone for action in self._items.delete(item_id)]

    def _tool_result(self, result: ToolResult, now: int) -> list[Action]:
        actions, answers = self._tools.finished(result, now)
        return actions + (self._wanted(now) if answers else [])

    def _tick_tools(self, now: int) -> list[Action]:
        actions, answers = self._tools.tick(now)
        if self._may_fill and (filler := self._tools.filler(now)):
            self._responses.want(filler)
        return actions + (self._wanted(now) if answers else self._ask(now))

    @property
    def _may_fill(self) -> bool:
        """Nothing is said or about to be: while a function runs, the bot may speak of that."""
        idle = not (self._responses.active or self._responses.pending or self._farewell)
        return idle and not self._must_not_ask

    def _wanted(self, now: int) -> list[Action]:
        """The model is to answer."""
        self._responses.want()
        return self._ask(now)

    # ------------------------------------------------------------------------------ what is typed into it

    def _typed_in(self, typed: TypedText, now: int) -> list[Action]:
        if typed.role == "user":
            self._agents.caller_spoke()
        stops = typed.interrupt and self.turn is not Turn.CALLER and not self._is_deaf
        stopped = self._stop_bot(now) if stops else []
        return stopped + self._typed.take(typed, ready=self._items.model is not None)

    def _answer_typed(self, now: int) -> list[Action]:
        """Ask for the answer to what was typed, unless somebody speaks or an answer is on its way."""
        speaks = self._must_not_ask or self.turn is Turn.BOT or self._farewell is not None
        if speaks or self._responses.active or self._responses.pending or self._answer_due_ms is not None:
            return []
        self._typed.asked()
        return self._wanted(now)

    # ------------------------------------------------------------------------------ guardrails

    def _look_at_caller(self, actions: list[Action], now: int) -> list[Action]:
        """What he has said, if these have a line of his, is looked at."""
        lines = [each for each in actions if isinstance(each, Line) and each.role == "caller"]
        return [check for line in lines for check in self._guardrails.heard(line.item_id, line.text, now)]

    def _hold_back(self, actions: list[Action], now: int) -> list[Action]:
        """Functions whose arguments are to be looked at do not run yet."""
        held: list[Action] = []
        for action in actions:
            checks = self._guardrails.hold(action, now) if isinstance(action, RunTool) else []
            if isinstance(action, RunTool) and checks:
                self._tools.hold(action.call_id)
            held += checks or [action]
        return held

    def _checked(self, result: Checked, now: int) -> list[Action]:
        return self._judge(*self._guardrails.checked(result, now), now)

    def _judge(self, actions: list[Action], verdicts: Iterable[Verdict], now: int) -> list[Action]:
        for verdict in verdicts:
            if isinstance(verdict, Tripped):
                actions += self._tripped(verdict, now)
            else:
                actions += self._allowed(verdict, now)
        return actions

    def _allowed(self, verdict: Allowed, now: int) -> list[Action]:
        self._tools.release(verdict.held.call_id, now)
        return [verdict.held]

    def _tripped(self, verdict: Tripped, now: int) -> list[Action]:
        """Do what a guardrail wants done."""
        rule, then, held = verdict.rule, verdict.then, verdict.held
        note = GuardrailTripped(rule.name, rule.on, then, verdict.why, verdict.item_id, held.name if held else "")
        if then == "go_on":
            return [note]
        if held and (then == "interrupt" or not verdict.known):
            return [note, *self._refuse(held, verdict.told, True, now)]
        held_ms = self._unheard_ms or 0
        unheard_ms = held_ms if self._ledger.held else 0 if self._ledger.empty else self._ledger.unheard_ms(now)
        actions = [*self._silence_bot(now), replace(note, unheard_ms=unheard_ms)]
        if held:
            actions += self._refuse(held, verdict.told, False, now)
        match then:
            case "interrupt":
                self._responses.insist(PLAIN)
                self._untold = verdict.told
                return actions + self._tell_why(now)
            case "hand_over":
                return actions + self._hand_to(rule.to, verdict, now)
            case "end" if not rule.say:
                return actions + self._hang_up(1000, "guardrail", now)
            case "end":
                return actions + self._take_leave(Farewell(rule.say, "guardrail", listens=False, now=now), now)
        self._responses.insist(exactly(verdict.words))
        # Where the bot's words have tripped, what the caller has said meanwhile is still to be answered.
        self._owed = rule.on == "bot" and (self.turn is Turn.CALLER or self._answer_due_ms is not None)
        return actions + self._ask(now)

    def _hand_to(self, to_agent: str, verdict: Tripped, now: int) -> list[Action]:
        """The agent that a guardrail names has the call from now on, and speaks; or the one that has it goes on."""
        actions: list[Action] = []
        self._untold = verdict.told
        if self._agents.circling:
            actions.append(Trouble(self._agents.circling))
        elif self._agents.current.name != to_agent:
            actions += self._hand_over(to_agent, "", now)
            self._untold = f"{HANDED_OVER.format(agent=to_agent)} {verdict.told}"
        self._responses.insist(PLAIN)
        return actions + self._tell_why(now)

    def _refuse(self, held: RunTool, told: str, answers: bool, now: int) -> list[Action]:
        actions, wanted = self._tools.refuse(held.call_id, told, answers)
        return actions + (self._wanted(now) if wanted else [])

    def _silence_bot(self, now: int) -> list[Action]:
        """It must not be heard any further, whatever it says and whoever listens."""
        stopped = self._interrupt(now, by_service=False, by_caller=False)
        return stopped + (self._floor(PlayoutEnded) if stopped else [])

    def _tell_why(self, now: int) -> list[Action]:
        """Tell the model why it was stopped, and let it speak again: once it knows what was heard."""
        if self._untold is None or self._items.settling:
            return []
        untold, self._untold = self._untold, None
        message = events.Message("system", (events.Part("input_text", text=untold),))
        return [Tell(events.CreateItem(message)), *self._ask(now)]

    # ------------------------------------------------------------------------------ the last words

    def _take_leave(self, farewell: Farewell, now: int) -> list[Action]:
        """Let these words be said, and then hang up."""
        self._farewell = farewell
        self._responses.insist(exactly(farewell.words))
        return self._ask(now)

    @property
    def _is_deaf(self) -> bool:
        """Nobody listens to the caller any more."""
        return self._farewell is not None and not self._farewell.listens

    def _is_over(self, farewell: Farewell, now: int) -> bool:
        return not self.ended and farewell.is_over(self._responses, self._items, self._ledger.empty, now)

    # ------------------------------------------------------------------------------ time, and the end

    def _tick(self, tick: Tick, now: int) -> list[Action]:
        if now >= self.plan.max_call_ms:
            return self._hang_up(1000, "time_limit", now)
        if now >= self._carrier_ms + SILENT_CARRIER_MS:
            return self._hang_up(1001, "stream_lost", now)
        if self._answer_due_ms is not None and now >= self._answer_due_ms:
            self._answer_due_ms = None
            self._responses.want()
        heard = self._follow(self._ear.tick(now), now) if self._ear else []
        decided = self._decide(self._interruptions.tick(now), now) if self._interruptions else []
        decided += self._tick_tools(now) if self._tools.running else []
        decided += self._judge(*self._guardrails.tick(now), now)
        return heard + decided + self._settle(self._ledger.settle_due(now), "timeout", now) + self._ask(now)

    def _operator(self, wish: OperatorHangUp, now: int) -> list[Action]:
        return self._hang_up(1000, "operator_hung_up", now)

    def _hang_up(self, code: int, reason: Outcome, now: int) -> list[Action]:
        return [CloseStream(code, reason), *self._end(reason, now)]

    def _end(self, outcome: Outcome, now: int) -> list[Action]:
        actions = self._drop_held(self._items.unstopped()) if self._ledger.held else []
        actions += self._settle(self._ledger.settle_all(now), "call_end", now)
        heard = self._ledger.hang_up(now)
        for item in self._items:
            if not item.cut:
                actions += self._items.settle(item, heard.get(item.item_id, item.played_bytes), "call_end")
        actions += self._items.last_lines()
        self.ended = True
        # The model is told nothing more: its conversation ends with the call.
        said: list[Action] = [action for action in actions if not isinstance(action, Tell)]
        return [*said, CloseModel(), Ended(outcome)]

    # ------------------------------------------------------------------------------ shared

    def _floor(self, happening: type) -> list[Action]:
        turn = turns.after(self.turn, happening)
        if turn is self.turn:
            return []
        self.turn = turn
        return [Floor(turn)]

    @property
    def _must_not_ask(self) -> bool:
        """The caller speaks, or it is being found out whether he does, or what he has heard."""
        he_speaks = self.turn is Turn.CALLER and not self._is_deaf
        return he_speaks or self._ledger.held or self._untold is not None

    def _ask(self, now: int) -> list[Action]:
        """Ask for the response that is wanted, if it may be asked for."""
        if self._must_not_ask:
            return []
        if self._farewell:
            self._responses.drop_wanted()
        return [Tell(command) for command in self._responses.ask(now)]


def _silenced(media: Media) -> Media:
    """Silence of a frame's length: the model's clock goes on."""
    return Media(media.sequence, media.chunk, media.timestamp_ms, base64_silence(base64_length(media.payload)))


_RECEIVE: dict[type, Callable[[Call, Any, int], list[Action]]] = {
    Start: Call._start,
    Media: Call._media,
    Dtmf: Call._key,
    Mark: Call._mark,
    Stop: Call._stop,
    CarrierFault: Call._carrier_fault,
    CarrierClosed: Call._closed,
    ModelReady: Call._ready,
    ModelLost: Call._lost,
    ModelFault: Call._model_fault,
    CallerAudioDropped: Call._audio_dropped,
    PlayClip: Call._play_clip,
    OperatorHangUp: Call._operator,
    ToolResult: Call._tool_result,
    TypedText: Call._typed_in,
    Checked: Call._checked,
    Tick: Call._tick,
    events.ErrorEvent: Call._error,
    events.SpeechStarted: Call._told_of_speech,
    events.SpeechStopped: Call._told_of_end,
    events.AudioCommitted: Call._told_of_commit,
    events.TranscriptionCompleted: Call._transcribed,
    events.ItemAdded: Call._in_conversation,
    events.TranscriptionFailed: Call._not_transcribed,
    events.ResponseCreated: Call._response_created,
    events.OutputItemAdded: Call._item_added,
    events.AudioDelta: Call._audio,
    events.AudioDone: Call._audio_done,
    events.SpokenTextDelta: Call._spoken_text,
    events.SpokenTextDone: Call._spoken_text_done,
    events.OutputItemDone: Call._item_done,
    events.ResponseDone: Call._response_done,
}
"""What a call makes of each input; it takes no notice of the others."""
