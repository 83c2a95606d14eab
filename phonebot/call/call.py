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

from phonebot.call import turns
from phonebot.call.actions import (
    Action,
    BargeIn,
    CloseModel,
    CloseStream,
    Cut,
    Ended,
    Floor,
    Line,
    OpenModel,
    Outcome,
    Settled,
    Tell,
    Trouble,
)
from phonebot.call.audio_path import BotLeg, CallerLeg
from phonebot.call.inputs import (
    CallerAudioDropped,
    CarrierClosed,
    CarrierFault,
    Input,
    ModelFault,
    ModelLost,
    ModelReady,
    Tick,
)
from phonebot.call.plan import CallPlan
from phonebot.call.playout import BYTES_PER_MS, PlayoutLedger, Settlement, base64_length
from phonebot.call.responses import PLAIN, Responses
from phonebot.call.transcript import SpokenItem
from phonebot.call.turns import PlayoutEnded, Turn
from phonebot.carrier.messages import Mark, Media, Start, Stop
from phonebot.realtime import events
from phonebot.realtime.severity import already_shorter_ms, severity

EARLY_FRAMES = 100  # caller audio kept until the model is ready: 2 s
CARRIER_FAULTS = 20  # more refused messages than this are no accident
SILENT_CARRIER_MS = 60_000  # a stream that says nothing for so long is dead, whatever its socket says


class Call:
    """
    One call, from its start message to its end.

    After `ended` nothing more comes of any input.
    """

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self.turn = Turn.IDLE
        self.ended = False
        self._ledger = PlayoutLedger()
        self._responses = Responses()
        # Every assistant item of the call, in the order in which the model began them.
        self._items: dict[str, SpokenItem] = {}
        # The items each clear has stopped, by the fence that will settle them.
        self._stopped: dict[str, list[SpokenItem]] = {}
        # Never heard, and to be removed once their response is done: an item can't be deleted while it grows.
        self._unheard: list[SpokenItem] = []
        # Every truncation asked for, by its event id: a refusal names it.
        self._truncations: dict[str, events.TruncateItem] = {}
        # What the session turned out to be; None until the model is ready.
        self._model: ModelReady | None = None
        self._early: deque[Media] = deque(maxlen=EARLY_FRAMES)
        self._caller_leg = CallerLeg()
        self._bot_leg = BotLeg()
        self._faults = 0
        self._carrier_ms = 0  # when the carrier was last heard of

    def receive(self, received: Input, now: int) -> list[Action]:
        """What is to be done now that `received` has happened, in this order."""
        if self.ended:
            return []
        receive = _RECEIVE.get(type(received))
        return receive(self, received, now) if receive else []

    @property
    def wakeup_ms(self) -> int | None:
        """When a Tick is due."""
        if self.ended:
            return None
        due = min(self.plan.max_call_ms, self._carrier_ms + SILENT_CARRIER_MS)
        if self._ledger.give_up_ms is not None:
            due = min(due, self._ledger.give_up_ms)
        return due

    # ------------------------------------------------------------------------------ the carrier

    def _start(self, start: Start, now: int) -> list[Action]:
        return [OpenModel(self.plan.session)]

    def _media(self, media: Media, now: int) -> list[Action]:
        self._carrier_ms = now
        self._ledger.arrive(media.timestamp_ms)
        if self._model is None:
            self._early.append(media)
            return []
        return self._append(media)

    def _append(self, media: Media) -> list[Action]:
        return [
            Tell(events.AppendAudio(audio)) for audio in self._caller_leg.feed(media.payload, media.timestamp_ms)
        ]

    def _mark(self, mark: Mark, now: int) -> list[Action]:
        self._carrier_ms = now
        actions = self._settle(self._ledger.echo(mark.name, now), "timeout")
        for segment in self._ledger.played():
            item = self._items[segment.item_id]
            item.played_bytes = segment.item_start + segment.length
            actions += self._heard_in_full(item)
        actions += self._ledger.release(now)
        if self._ledger.empty:
            actions += self._floor(PlayoutEnded)
        return actions

    def _carrier_fault(self, fault: CarrierFault, now: int) -> list[Action]:
        self._faults += fault.counts
        if self._faults <= CARRIER_FAULTS:
            return [Trouble(fault.problem)]
        return [Trouble(fault.problem), *self._hang_up(1008, "carrier_faults", now)]

    def _stop(self, stop: Stop, now: int) -> list[Action]:
        return self._end("caller_hung_up", now)

    def _closed(self, closed: CarrierClosed, now: int) -> list[Action]:
        return self._end("stream_lost", now)

    # ------------------------------------------------------------------------------ the model's connection

    def _ready(self, ready: ModelReady, now: int) -> list[Action]:
        self._model = ready
        self._caller_leg = CallerLeg(ready.input_format)
        self._bot_leg = BotLeg(ready.output_format)
        early, self._early = self._early, deque()
        if self.plan.greeting is None:
            return [action for media in early for action in self._append(media)]
        # The bot greets first: what the caller said into the silence before is no answer to it.
        say = f'Say exactly these words, and nothing else: "{self.plan.greeting}"'
        options = events.ResponseOptions(instructions=say, input=(), tool_choice="none")
        return self._request(options)

    def _lost(self, lost: ModelLost, now: int) -> list[Action]:
        return [Trouble(lost.problem), *self._hang_up(1011, "model_failed", now)]

    def _model_fault(self, fault: ModelFault, now: int) -> list[Action]:
        return [Trouble(fault.problem)]

    def _audio_dropped(self, dropped: CallerAudioDropped, now: int) -> list[Action]:
        return [Trouble(f"{dropped.frames} frames of the caller were dropped: the model's connection is too slow")]

    def _error(self, event: events.ErrorEvent, now: int) -> list[Action]:
        error = event.error
        if self._responses.refused(error.event_id):
            return []
        truncation = self._truncations.get(error.event_id or "")
        if truncation and (length_ms := already_shorter_ms(error)) is not None:
            # A refusal leaves the model believing that it said everything: ask again for what it has.
            shorter = min(length_ms, truncation.audio_end_ms)
            return [
                Trouble(f"truncation refused: {error.message}"),
                Tell(events.TruncateItem(truncation.item_id, truncation.content_index, shorter)),
            ]
        if severity(error) == "fatal":
            return self._lost(ModelLost(error.message), now)
        return [] if severity(error) == "harmless" else [Trouble(f"the model reports: {error.message}")]

    # ------------------------------------------------------------------------------ the caller's turn

    def _speech_started(self, event: events.SpeechStarted, now: int) -> list[Action]:
        actions = self._interrupt(now) if self._interruptible() else []
        return actions + self._floor(events.SpeechStarted)

    def _turn_ended(self, event: events.SpeechStopped | events.AudioCommitted, now: int) -> list[Action]:
        # The model is about to answer: it must know by then what was heard.
        return self._settle(self._ledger.settle_all(), "turn_end") + self._floor(type(event))

    def _transcribed(self, event: events.TranscriptionCompleted, now: int) -> list[Action]:
        text = event.transcript.strip()
        return [Line("caller", event.item_id, text)] if text else []

    def _interruptible(self) -> bool:
        detection = self.plan.session.turn_detection
        return not isinstance(detection, events.TurnDetection) or detection.interrupt_response is not False

    def _interrupt(self, now: int) -> list[Action]:
        """
        The caller has taken the floor: stop playback, and settle every item that he has not heard in full.

        Nothing happens when nothing is left to play and nothing is being generated.
        """
        items = [item for item in self._items.values() if not (item.settled or item.stopped)]
        active = {self._responses.active} if self._responses.active else set()
        self._responses.fence(active | {item.response_id for item in items})
        actions: list[Action] = []
        if self._ledger.empty:
            for item in items:
                actions += self._settle_item(item, item.played_bytes, "at_once")
        else:
            unheard_ms = self._ledger.unheard_ms(now)
            fence, actions = self._ledger.clear(now)
            actions.append(BargeIn(unheard_ms))
            self._stopped[fence] = items
            for item in items:
                item.stopped = True
        if active and self._model and not self._model.interrupts:
            actions.append(Tell(events.CancelResponse(self._responses.active)))
        return actions

    def _settle(self, settlements: Iterable[Settlement], low: Settled) -> list[Action]:
        """Settle the items of each clear; `low` says why an estimate had to do, where one had."""
        actions: list[Action] = []
        for settlement in settlements:
            for item in self._stopped.pop(settlement.fence):
                heard = settlement.heard.get(item.item_id, item.played_bytes)
                actions += self._settle_item(item, heard, "fence" if settlement.exact else low)
        return actions

    def _settle_item(self, item: SpokenItem, played_bytes: int, settled: Settled) -> list[Action]:
        item.played_bytes = played_bytes
        if item.heard_in_full:
            return self._heard_in_full(item)
        item.settled = True
        item.heard_ms = min(played_bytes // BYTES_PER_MS, item.received_ms)
        actions: list[Action] = [Cut(item.item_id, item.heard_ms, item.received_ms, settled)]
        if item.heard_ms:
            actions.append(Line("bot", item.item_id, item.heard_text(), cut=True, heard_ms=item.heard_ms))
            return [self._truncate(item), *actions]
        return [*self._remove(item), *actions]

    def _truncate(self, item: SpokenItem) -> Tell:
        event_id = f"truncate-{len(self._truncations) + 1}"
        truncation = events.TruncateItem(item.item_id, item.content_index, item.heard_ms, event_id)
        self._truncations[event_id] = truncation
        return Tell(truncation)

    def _remove(self, item: SpokenItem) -> list[Action]:
        """Nothing of the item was heard: the model shall not believe it said it."""
        if self._model and not self._model.deletes:
            return [self._truncate(item)] if item.received_ms else []
        if item.response_id == self._responses.active:
            self._unheard.append(item)  # it can't be deleted while it grows
            return []
        return [Tell(events.DeleteItem(item.item_id))]

    def _heard_in_full(self, item: SpokenItem) -> list[Action]:
        """The line is final once all of its audio was heard and all of its text is known."""
        if item.settled or not item.heard_in_full or item.final_text is None:
            return []
        item.settled, item.heard_ms = True, item.received_ms
        return [Line("bot", item.item_id, item.final_text, heard_ms=item.heard_ms)]

    # ------------------------------------------------------------------------------ the model's answers

    def _response_created(self, event: events.ResponseCreated, now: int) -> list[Action]:
        self._responses.created(event.response.id)
        return self._floor(events.ResponseCreated)

    def _item_added(self, event: events.OutputItemAdded, now: int) -> list[Action]:
        added = event.item
        if isinstance(added, events.Message) and added.id and added.id not in self._items:
            item = self._item(added.id, event.response_id)
            if event.response_id in self._responses.fenced:  # begun before the model knew of the interruption
                item.settled = True
                self._unheard.append(item)
        return []

    def _item(self, item_id: str, response_id: str) -> SpokenItem:
        if item_id not in self._items:
            self._items[item_id] = SpokenItem(item_id, response_id)
        return self._items[item_id]

    def _audio(self, event: events.AudioDelta, now: int) -> list[Action]:
        if event.response_id in self._responses.fenced:
            return []
        if len(event.audio) % 4:
            return [Trouble(f"audio of item {event.item_id} is no base64")]
        item = self._item(event.item_id, event.response_id)
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
        if event.response_id in self._responses.fenced:
            return []
        item = self._item(event.item_id, event.response_id)
        item.complete = True
        actions = self._play(item, self._bot_leg.finish(item.item_id), now)
        return actions + self._ledger.finish(now) + self._heard_in_full(item)

    def _spoken_text(self, event: events.SpokenTextDelta, now: int) -> list[Action]:
        self._item(event.item_id, event.response_id).text_parts.append(event.delta)
        return []

    def _spoken_text_done(self, event: events.SpokenTextDone, now: int) -> list[Action]:
        item = self._item(event.item_id, event.response_id)
        item.final_text = event.transcript
        return self._heard_in_full(item)

    def _item_done(self, event: events.OutputItemDone, now: int) -> list[Action]:
        item = event.item
        if isinstance(item, events.FunctionCall) and item.status == "completed":
            # The profile gave the model no functions; it still has to be answered, or it waits for ever.
            output = events.FunctionCallOutput(item.call_id, f"There is no function {item.name}.")
            return [Tell(events.CreateItem(output)), *self._request()]
        if isinstance(item, events.Message) and item.status == "incomplete" and item.id in self._items:
            self._items[item.id].complete = False  # its audio ended, but not because all was said
        return []

    def _response_done(self, event: events.ResponseDone, now: int) -> list[Action]:
        response = event.response
        actions: list[Action] = []
        if response.reason == "turn_detected" and response.id not in self._responses.fenced:
            actions += self._interrupt(now)  # the model heard the caller; its word of it is still on the way
        if response.status == "failed":
            reason = response.error.message if response.error else "no reason given"
            actions.append(Trouble(f"the model's response failed: {reason}"))
        actions += self._tell(self._responses.done(response.id))
        unheard = [item for item in self._unheard if item.response_id == response.id]
        self._unheard = [item for item in self._unheard if item.response_id != response.id]
        actions += [Tell(events.DeleteItem(item.item_id)) for item in unheard]
        return actions + self._floor(events.ResponseDone)

    # ------------------------------------------------------------------------------ time, and the end

    def _tick(self, tick: Tick, now: int) -> list[Action]:
        if now >= self.plan.max_call_ms:
            return self._hang_up(1000, "time_limit", now)
        if now >= self._carrier_ms + SILENT_CARRIER_MS:
            return self._hang_up(1001, "stream_lost", now)
        return self._settle(self._ledger.settle_due(now), "timeout")

    def _hang_up(self, code: int, reason: Outcome, now: int) -> list[Action]:
        return [CloseStream(code, reason), *self._end(reason, now)]

    def _end(self, outcome: Outcome, now: int) -> list[Action]:
        actions = self._settle(self._ledger.settle_all(), "call_end")
        heard = self._ledger.hang_up(now)
        for item in self._items.values():
            if not item.settled:
                actions += self._settle_item(item, heard.get(item.item_id, item.played_bytes), "call_end")
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

    def _request(self, options: events.ResponseOptions = PLAIN) -> list[Action]:
        return self._tell(self._responses.request(options))

    def _tell(self, commands: Iterable[events.Command]) -> list[Action]:
        return [Tell(command) for command in commands]


_RECEIVE: dict[type, Callable[[Call, Any, int], list[Action]]] = {
    Start: Call._start,
    Media: Call._media,
    Mark: Call._mark,
    Stop: Call._stop,
    CarrierFault: Call._carrier_fault,
    CarrierClosed: Call._closed,
    ModelReady: Call._ready,
    ModelLost: Call._lost,
    ModelFault: Call._model_fault,
    CallerAudioDropped: Call._audio_dropped,
    Tick: Call._tick,
    events.ErrorEvent: Call._error,
    events.SpeechStarted: Call._speech_started,
    events.SpeechStopped: Call._turn_ended,
    events.AudioCommitted: Call._turn_ended,
    events.TranscriptionCompleted: Call._transcribed,
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
