"""
From what a bridge's journal is told to events, and to the history of the call.

    translator = Translator(plan)
    events = translator.happened(now, received, actions)        # in order
    translator.history                                          # what was said and done so far

It is as pure as the call itself: the same inputs and actions give the same events, so those of a past call come
from its log (`events_of`).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, get_args

import msgspec

from phonebot.agents.agent import MAIN
from phonebot.call.actions import (
    Action,
    BargeIn,
    CallerSilent,
    Cut,
    Ended,
    GuardrailTripped,
    HandOff,
    LimitNear,
    LimitReached,
    Line,
    ModelDropped,
    RunTool,
    Tell,
    Trouble,
)
from phonebot.call.inputs import Input, ModelReady, PlayClip, ToolResult
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Media, Start
from phonebot.hooks import events as told
from phonebot.hooks.events import Event, HistoryItem, MessageItem, ToolCallItem
from phonebot.hooks.history import History
from phonebot.realtime import events as model
from phonebot.replay.reader import CallLog

_MODEL_EVENTS = frozenset(get_args(model.Event))


def events_of(log: CallLog, on_request: Collection[str] = ()) -> Iterator[Event]:
    """The events of a past call, in order. `on_request`: of ON_REQUEST, those that are wanted, too."""
    translator = Translator(log.plan, on_request)
    for step in log.steps:
        yield from translator.happened(step.now_ms, step.input, step.actions)


class Translator:
    """Of one call. `on_request` may change at any time: which events of ON_REQUEST are made."""

    def __init__(self, plan: CallPlan, on_request: Collection[str] = ()) -> None:
        self.on_request = frozenset(on_request)
        self.agent = plan.agents[0].name if plan.agents else MAIN
        self._plan = plan
        self._history = History()
        self._format: model.AudioFormat = "pcmu"
        self._now = 0
        # What comes of this input: events, and how the history changed.
        self._events: list[Event] = []
        self._added: list[str] = []
        self._changed = self._forgets = False
        # By response, the agent that gives it; and by item of the bot's, its response.
        self._agents: dict[str, str] = {}
        self._responses: dict[str, str] = {}
        self._active: str | None = None
        # Interrupted: what still comes of them is not heard.
        self._stopped: set[str] = set()
        # Of items that have no line yet: whether audio of them came, and their text as far as it is known.
        self._texts: dict[str, str] = {}
        self._sounding: set[str] = set()
        # Functions that run, by call id, and why they failed.
        self._running: dict[str, told.ToolStart] = {}
        self._problems: dict[str, str] = {}
        self._calls: dict[str, str] = {}  # items of functions, by call id
        self._untitled = 0

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        return self._history.items

    def happened(self, now: int, received: Input, actions: Sequence[Action]) -> list[Event]:
        """`received` happened at call time `now`, and `actions` came of it."""
        if type(received) is Media and len(actions) == 1 and type(actions[0]) is Tell:
            return []  # fifty times a second
        self._now = now
        if self.on_request and type(received) in _MODEL_EVENTS:
            self._tell_raw(received)
        if take := _INPUTS.get(type(received)):
            take(self, received)
        # What an agent that takes over is to forget was said all the same.
        self._forgets = any(type(action) is HandOff for action in actions)
        for action in actions:
            if take := _ACTIONS.get(type(action)):
                take(self, action)
        if self._added or self._changed:
            self._tell_history()
        events, self._events = self._events, []
        return events

    def _tell_history(self) -> None:
        """What is new comes before the end of the call, which is the last event."""
        end = self._events.pop() if self._events and isinstance(self._events[-1], told.CallEnd) else None
        for item_id in self._added:
            if item := self._history.get(item_id):
                self._events.append(told.HistoryAdded(t_ms=self._now, item=item))
        self._events.append(told.HistoryUpdated(t_ms=self._now, history=self._history.items))
        if end:
            self._events.append(end)
        self._added, self._changed = [], False

    def _tell_raw(self, received: Any) -> None:
        if "raw_model_event" not in self.on_request:
            return
        fields = msgspec.to_builtins(received)
        name = fields.pop("is")
        if "audio" not in self.on_request:
            fields.pop("audio", None)
        self._events.append(told.RawModelEvent(t_ms=self._now, event=name, fields=fields))

    # ------------------------------------------------------------------------------ the history

    def _add(self, item: HistoryItem) -> None:
        if self._history.add(item):
            self._added.append(item.item_id)

    def _change(self, item_id: str, **fields: Any) -> None:
        self._changed = self._history.change(item_id, **fields) or self._changed

    def _remove(self, item_id: str) -> None:
        self._changed = self._history.remove(item_id) or self._changed
        self._texts.pop(item_id, None)

    def _add_user(self, item_id: str) -> None:
        """A turn of the caller; it is complete once it was written down, if it is."""
        status: told.Status = "in_progress" if self._plan.session.transcription else "completed"
        self._add(MessageItem(item_id=item_id, role="user", status=status))

    def _add_bot(self, item_id: str, response_id: str, text: str = "") -> None:
        agent = self._agents.get(response_id, self.agent)
        self._add(MessageItem(item_id=item_id, role="assistant", status="in_progress", text=text, agent=agent))

    # ------------------------------------------------------------------------------ what happens

    def _start(self, start: Start) -> None:
        self._events.append(told.CallStart(t_ms=self._now))
        for clip in self._plan.opening:
            if clip.clip_id:
                self._texts[clip.clip_id] = clip.text
                self._add_bot(clip.clip_id, "", clip.text)

    def _clip(self, clip: PlayClip) -> None:
        if clip.clip_id:
            self._texts.setdefault(clip.clip_id, clip.text)

    def _ready(self, ready: ModelReady) -> None:
        self._format = ready.output_format

    def _response_created(self, event: model.ResponseCreated) -> None:
        self._active = event.response.id
        self._agents[event.response.id] = self.agent
        self._events.append(
            told.AgentStart(t_ms=self._now, agent=self.agent, response_id=event.response.id),
        )

    def _response_done(self, event: model.ResponseDone) -> None:
        response = event.response
        agent = self._agents.get(response.id, self.agent)
        if self._active == response.id:
            self._active = None
        for item_id, response_id in self._responses.items():
            item = self._history.get(item_id) if response_id == response.id else None
            if item and item.status == "in_progress" and item_id not in self._sounding:
                self._change(item_id, status="completed" if response.status == "completed" else "incomplete")
        self._events.append(
            told.AgentEnd(t_ms=self._now, agent=agent, response_id=response.id, status=response.status)
        )

    def _item_added(self, event: model.ItemAdded) -> None:
        item = event.item
        if isinstance(item, model.Message) and item.id and item.role == "user":
            self._add_user(item.id)

    def _committed(self, event: model.AudioCommitted) -> None:
        self._add_user(event.item_id)

    def _output_added(self, event: model.OutputItemAdded) -> None:
        item = event.item
        if isinstance(item, model.Message) and item.id and event.response_id not in self._stopped:
            self._responses[item.id] = event.response_id
            self._add_bot(item.id, event.response_id)

    def _output_done(self, event: model.OutputItemDone) -> None:
        item = event.item
        if not isinstance(item, model.FunctionCall) or item.status != "completed" or item.call_id in self._calls:
            return
        item_id = self._calls[item.call_id] = item.id or item.call_id
        agent = self._agents.get(event.response_id, self.agent)
        self._add(
            ToolCallItem(
                item_id=item_id,
                call_id=item.call_id,
                tool=item.name,
                arguments=item.arguments,
                agent=agent,
                status="in_progress",
            )
        )

    def _audio(self, event: model.AudioDelta) -> None:
        self._sounding.add(event.item_id)
        self._responses.setdefault(event.item_id, event.response_id)
        if "audio" in self.on_request and event.response_id not in self._stopped:
            self._events.append(
                told.Audio(
                    t_ms=self._now,
                    response_id=event.response_id,
                    item_id=event.item_id,
                    content_index=event.content_index,
                    format=self._format,
                    audio=event.audio,
                )
            )

    def _audio_done(self, event: model.AudioDone) -> None:
        if event.response_id not in self._stopped:
            self._events.append(
                told.AudioEnd(t_ms=self._now, item_id=event.item_id, content_index=event.content_index)
            )

    def _text(self, event: model.SpokenTextDelta) -> None:
        self._texts[event.item_id] = self._texts.get(event.item_id, "") + event.delta

    def _text_done(self, event: model.SpokenTextDone) -> None:
        item = self._history.get(event.item_id)
        if isinstance(item, MessageItem) and item.status == "in_progress":
            self._texts[event.item_id] = event.transcript
            self._change(event.item_id, text=event.transcript)

    def _transcribed(self, event: model.TranscriptionCompleted) -> None:
        self._change(event.item_id, text=event.transcript.strip(), status="completed")

    def _not_transcribed(self, event: model.TranscriptionFailed) -> None:
        self._change(event.item_id, status="completed")

    def _idle(self, event: model.IdleTimeout) -> None:
        self._events.append(told.InputAudioTimeout(t_ms=self._now))

    def _result(self, result: ToolResult) -> None:
        if result.problem and result.call_id in self._running:
            self._problems[result.call_id] = result.problem

    # ------------------------------------------------------------------------------ what is done about it

    def _told_model(self, action: Tell) -> None:
        match action.command:
            case model.CreateItem(model.FunctionCallOutput(call_id, output)):
                self._tool_told(call_id, output)
            case model.CreateItem(model.Message() as message):
                self._message_told(message)
            case model.DeleteItem(item_id) if not self._forgets:
                self._remove(item_id)
            case model.CancelResponse(response_id=str(response_id)):
                self._stopped.add(response_id)

    def _message_told(self, message: model.Message) -> None:
        if not (item_id := message.id):
            self._untitled += 1
            item_id = f"told-{self._untitled}"
        text = " ".join(part.text or "" for part in message.content)
        self._add(MessageItem(item_id=item_id, role=message.role, status="completed", text=text))

    def _run(self, action: RunTool) -> None:
        item = self._history.get(self._calls.get(action.call_id, ""))
        start = told.ToolStart(
            t_ms=self._now,
            agent=item.agent if item else self.agent,
            tool=action.name,
            call_id=action.call_id,
            arguments=action.arguments,
        )
        self._running[action.call_id] = start
        self._events.append(start)

    def _tool_told(self, call_id: str, output: str) -> None:
        if call_id in self._calls:
            self._change(self._calls[call_id], output=output, status="completed")
        start = self._running.pop(call_id, None)
        if start:
            self._events.append(
                told.ToolEnd(
                    t_ms=self._now,
                    agent=start.agent,
                    tool=start.tool,
                    call_id=call_id,
                    arguments=start.arguments,
                    output=output,
                    problem=self._problems.pop(call_id, None),
                )
            )

    def _barge_in(self, action: BargeIn) -> None:
        self._interrupted(action.unheard_ms)

    def _interrupted(self, unheard_ms: int) -> None:
        """Playback was cleared."""
        items = self._unheard()
        self._stopped |= {self._responses[item] for item in items if item in self._responses}
        if self._active:
            self._stopped.add(self._active)
        item_id = next(iter(items), "")
        self._events.append(
            told.AudioInterrupted(t_ms=self._now, item_id=item_id, unheard_ms=unheard_ms),
        )

    def _unheard(self) -> list[str]:
        """The bot's items that have not been heard to their ends, in order: the first is the one that plays."""
        return [
            item.item_id
            for item in self._history.items
            if isinstance(item, MessageItem) and item.role == "assistant" and item.status == "in_progress"
        ]

    def _cut(self, cut: Cut) -> None:
        if not cut.heard_ms:  # nothing of it was said
            self._remove(cut.item_id)
            return
        self._change(cut.item_id, status="incomplete", heard_ms=cut.heard_ms, of_ms=cut.received_ms)

    def _line(self, line: Line) -> None:
        """It is final what was said, and heard."""
        said = self._texts.pop(line.item_id, "")
        if line.role != "bot":
            self._change(line.item_id, text=line.text, status="completed", typed_by=line.typed_by)
            return
        if self._history.get(line.item_id) is None:
            self._add_bot(line.item_id, self._responses.get(line.item_id, ""))
        self._change(
            line.item_id,
            status="incomplete" if line.cut else "completed",
            text=line.text,
            rest=said[len(line.text) :].strip() if line.cut and said.startswith(line.text) else "",
            heard_ms=line.heard_ms,
            **({} if line.cut else {"of_ms": line.heard_ms}),
        )

    def _handed_off(self, action: HandOff) -> None:
        self.agent = action.to_agent
        self._events.append(
            told.HandOff(t_ms=self._now, from_agent=action.from_agent, to_agent=action.to_agent, note=action.note)
        )

    def _tripped(self, tripped: GuardrailTripped) -> None:
        if tripped.unheard_ms:
            self._interrupted(tripped.unheard_ms)
        self._events.append(
            told.GuardrailTripped(
                t_ms=self._now,
                guardrail=tripped.guardrail,
                on=tripped.on,
                then=tripped.then,
                why=tripped.why,
                item_id=tripped.item_id,
                tool=tripped.tool,
            )
        )

    def _silent(self, silent: CallerSilent) -> None:
        self._events.append(told.InputAudioTimeout(t_ms=self._now))

    def _limit(self, limit: LimitNear | LimitReached) -> None:
        self._events.append(
            told.LimitTold(
                t_ms=self._now,
                limit=limit.limit,
                used=limit.used,
                most=limit.most,
                reached=isinstance(limit, LimitReached),
            )
        )

    def _dropped(self, dropped: ModelDropped) -> None:
        if not dropped.planned:
            self._events.append(told.Error(t_ms=self._now, error=dropped.problem))

    def _trouble(self, trouble: Trouble) -> None:
        self._events.append(told.Error(t_ms=self._now, error=trouble.problem))

    def _ended(self, ended: Ended) -> None:
        self._events.append(told.CallEnd(t_ms=self._now, outcome=ended.outcome))


_INPUTS: dict[type, Callable[[Translator, Any], None]] = {
    Start: Translator._start,
    PlayClip: Translator._clip,
    ModelReady: Translator._ready,
    ToolResult: Translator._result,
    model.ResponseCreated: Translator._response_created,
    model.ResponseDone: Translator._response_done,
    model.ItemAdded: Translator._item_added,
    model.AudioCommitted: Translator._committed,
    model.OutputItemAdded: Translator._output_added,
    model.OutputItemDone: Translator._output_done,
    model.AudioDelta: Translator._audio,
    model.AudioDone: Translator._audio_done,
    model.SpokenTextDelta: Translator._text,
    model.SpokenTextDone: Translator._text_done,
    model.TranscriptionCompleted: Translator._transcribed,
    model.TranscriptionFailed: Translator._not_transcribed,
    model.IdleTimeout: Translator._idle,
}
_ACTIONS: dict[type, Callable[[Translator, Any], None]] = {
    Tell: Translator._told_model,
    RunTool: Translator._run,
    BargeIn: Translator._barge_in,
    Cut: Translator._cut,
    Line: Translator._line,
    GuardrailTripped: Translator._tripped,
    CallerSilent: Translator._silent,
    LimitNear: Translator._limit,
    LimitReached: Translator._limit,
    HandOff: Translator._handed_off,
    ModelDropped: Translator._dropped,
    Trouble: Translator._trouble,
    Ended: Translator._ended,
}
