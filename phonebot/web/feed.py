"""
What happens in the calls of this process, as it happens, for whoever watches.

    call's bridge -> CallFeed.happened -> snapshot of the call
                                       -> Subscription (a bounded queue) -> page, SSE

    with feed.subscribe(call_sid) as events:    # or subscribe(): all calls
        async for event in events: ...          # first a Snapshot of each call in progress

A call is never delayed by who watches it: an event is put into a queue or, when the queue is full, the subscription
ends with `Lost`. A frame of the caller costs a look at its actions, and where nobody watches nothing else is made
than the snapshot, which is what a later subscriber begins with. The events are those of live_events.py.
"""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from phonebot.agents.agent import MAIN
from phonebot.call.actions import (
    Action,
    BargeIn,
    Cut,
    Ended,
    FalseAlarm,
    Floor,
    HandOff,
    Held,
    LimitNear,
    LimitReached,
    Line,
    ModelDropped,
    Outcome,
    StartRecording,
    Tell,
    Trouble,
)
from phonebot.call.actions import GuardrailTripped as Tripped
from phonebot.call.inputs import Input, PlayClip, ToolResult
from phonebot.call.plan import CallPlan
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Dtmf
from phonebot.hooks.listeners import CallEvents
from phonebot.realtime.events import Session, SpokenTextDelta, SpokenTextDone
from phonebot.replay.log import About, Kind
from phonebot.replay.words import of_limit
from phonebot.transfers.continuations import Standing
from phonebot.web.live_events import (
    CallEnded,
    Event,
    GuardrailTripped,
    Interrupted,
    ItemCut,
    KeyPressed,
    LimitTold,
    LineSettled,
    Paused,
    Said,
    Snapshot,
    TextAdded,
    TurnTaken,
    WentOn,
    WentWrong,
    standing_of,
)
from phonebot.web.sound import Unplayed
from phonebot.web.subscription import Subscription

MAX_LINES = 1_000
"""Of a call, that its snapshot keeps; the oldest are left out."""
NO_PLAN = CallPlan(Session())
MAX_TEXTS = 50
"""Answers whose text is known and whose line is not final; a call has two or three."""


class Feed:
    """The calls in progress in this process, and those who watch them. `process` is its name among others."""

    def __init__(self, process: str = "") -> None:
        self.process = process
        self._calls: dict[str, CallFeed] = {}
        self._subscriptions: list[Subscription] = []

    def begin(
        self, about: About, plan: CallPlan = NO_PLAN, stream: str = "", audible: bool = True, resumed: int = 0
    ) -> "CallFeed":
        """
        A call begins: give what is returned to its bridge as a journal, and close it when the call is over.

        `stream`: see Arrival. `audible`, `resumed`: see Snapshot.
        """
        listeners = [each for each in self._subscriptions if each.call_sid in (None, about.call_sid)]
        call = self._calls[about.call_sid] = CallFeed(self, about, plan, stream, audible, listeners, resumed)
        return call

    def end(self, call: "CallFeed") -> None:
        """A call is over."""
        if self._calls.get(call.call_sid) is call:
            del self._calls[call.call_sid]

    def calls(self) -> Iterator[Snapshot]:
        """The calls in progress, oldest first."""
        return (call.snapshot() for call in list(self._calls.values()))

    def call(self, call_sid: str) -> Snapshot | None:
        """A call in progress; None when there is none of that name here."""
        call = self._calls.get(call_sid)
        return call.snapshot() if call else None

    def is_carriers(self, call_sid: str) -> bool:
        """Whether a call of that name is in progress here, and came from the carrier."""
        call = self._calls.get(call_sid)
        return call is not None and call.kind != "browser"

    def subscribe(self, call_sid: str | None = None) -> Subscription:
        """
        Watch a call that is in progress or will come; None: all calls.

        What comes first is a Snapshot of each call that is in progress; a call that begins later has one too.
        """
        subscription = Subscription(call_sid, self.unsubscribe)
        self._subscriptions.append(subscription)
        for call in self._calls.values():
            if call_sid in (None, call.call_sid):
                call.listeners.append(subscription)
                subscription.put(call.snapshot())
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Unknown ones are ignored."""
        for listeners in (self._subscriptions, *(call.listeners for call in self._calls.values())):
            if subscription in listeners:
                listeners.remove(subscription)


class Speaker:
    """Which agent has a call, and the language that it speaks, a tag; "": as its instructions say."""

    def __init__(self, plan: CallPlan) -> None:
        self.agent, self.language = plan.agents[0].name if plan.agents else MAIN, plan.language

    def happened(self, received: Input, actions: list[Action]) -> bool:
        """Whether one of the two may have changed."""
        changed = False
        if isinstance(received, ToolResult) and received.language:
            self.language, changed = received.language, True
        for action in actions:
            if isinstance(action, HandOff):
                self.agent, changed = action.to_agent, True
        return changed


class CallFeed:
    """
    A bridge's journal that keeps a call's snapshot, and tells its listeners what changes it.

    `events` are told what happens under the names of the Agents SDK, beside it.
    """

    def __init__(
        self,
        feed: Feed,
        about: About,
        plan: CallPlan,
        stream: str,
        audible: bool,
        listeners: list[Subscription],
        resumed: int = 0,
    ) -> None:
        self.call_sid = about.call_sid
        self.stream = stream
        # Told once, as soon as it is known how the call has ended.
        self.over: Callable[[], None] = lambda: None
        self.listeners = listeners
        # Grows with all that may have changed the snapshot. That time goes on is no change: frames come all the
        # time, and in most rounds of whoever writes it nothing else does.
        self.changes = 1
        self.outcome: Outcome | None = None  # None: the call goes on
        self.unplayed = Unplayed()
        # The caller knows that he is recorded, or need not.
        self.may_be_heard = not plan.notice
        self.events = CallEvents(plan)
        self._audible = audible
        self._feed = feed
        self._about = about
        self._started = datetime.now(UTC)
        self._at_ms = 0
        self._turn = Turn.IDLE
        self._lines: deque[Said] = deque(maxlen=MAX_LINES)
        # What the model means to say, by item, until its line is final.
        self._texts = {clip.clip_id: clip.text for clip in plan.opening if clip.clip_id}
        # Whose lines are final: what comes of them later is not heard.
        self._final: set[str] = set()
        # How much there was of the items that were cut and have no line yet, in ms.
        self._of_ms: dict[str, int] = {}
        self._earlier = tuple((line.role, line.text) for line in plan.earlier)[-MAX_LINES:]
        self._resumed = resumed
        self._speaker = Speaker(plan)
        if listeners:
            self._tell(self.snapshot())

    @property
    def kind(self) -> Kind:
        return self._about.kind

    @property
    def lines(self) -> tuple[Said, ...]:
        """Those that are final so far, oldest first."""
        return tuple(self._lines)

    def snapshot(self) -> Snapshot:
        about = self._about
        return Snapshot(
            call_sid=self.call_sid,
            at_ms=self._at_ms,
            kind=about.kind,
            started=self._started,
            caller=about.caller,
            number=about.number,
            profile=about.profile,
            profile_version=about.profile_version,
            turn=self._turn,
            lines=tuple(self._lines),
            texts=dict(self._texts),
            process=self._feed.process,
            audible=self._audible,
            noticed=self.may_be_heard,
            earlier=self._earlier,
            resumed=self._resumed,
            agent=self._speaker.agent,
            language=self._speaker.language,
        )

    def standing(self) -> Standing:
        """How far the call has come, should it go on elsewhere."""
        return standing_of(self.snapshot())

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self._at_ms = now
        self.unplayed.happened(received, actions)
        self.events.happened(now, received, actions)
        if self._speaker.happened(received, actions):
            self.changes += 1
        self._note_input(received)
        for action in actions:
            match action:
                case Tell():
                    pass
                case Line():
                    self._settle(action)
                case Floor(turn):
                    self._pass_floor(turn)
                case Cut():
                    self._of_ms[action.item_id] = action.received_ms
                    self._cut(action)
                case StartRecording():
                    self._noticed()
                case Ended(outcome):
                    self.close(outcome)
                case _ if self.listeners:
                    self._tell_of(action)

    def _noticed(self) -> None:
        self.may_be_heard = True
        self.changes += 1
        if self.listeners:
            self._tell(self.snapshot())

    def _pass_floor(self, turn: Turn) -> None:
        self._turn = turn
        self.changes += 1
        if self.listeners:
            self._tell(TurnTaken(call_sid=self.call_sid, at_ms=self._at_ms, turn=turn))

    def close(self, outcome: Outcome) -> None:
        """The call is over. The first word of it counts."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self.changes += 1
        self._feed.end(self)
        self.over()
        self.events.close(outcome)
        self._tell(CallEnded(call_sid=self.call_sid, at_ms=self._at_ms, outcome=outcome))

    def _note_input(self, received: Input) -> None:
        match received:
            case SpokenTextDelta():
                self._add_text(received.item_id, received.delta)
            case SpokenTextDone() if received.item_id not in self._texts:
                self._add_text(received.item_id, received.transcript)
            case PlayClip(text, clip_id=str(clip_id)):
                self._add_text(clip_id, text)
            case Dtmf() if self.listeners:
                self._tell(KeyPressed(call_sid=self.call_sid, at_ms=self._at_ms))

    def _add_text(self, item_id: str, text: str) -> None:
        if not text or item_id in self._final:
            return
        self._texts[item_id] = self._texts.get(item_id, "") + text
        self.changes += 1
        if len(self._texts) > MAX_TEXTS:
            del self._texts[next(iter(self._texts))]
        if self.listeners:
            self._tell(TextAdded(call_sid=self.call_sid, at_ms=self._at_ms, item_id=item_id, text=text))

    def _settle(self, line: Line) -> None:
        self._final.add(line.item_id)
        said = self._texts.pop(line.item_id, "")
        of_ms = self._of_ms.pop(line.item_id, 0)
        settled = Said(
            role=line.role,
            item_id=line.item_id,
            text=line.text,
            at_ms=self._at_ms,
            cut=line.cut,
            heard_ms=line.heard_ms,
            of_ms=of_ms or line.heard_ms,
            rest=said[len(line.text) :] if line.cut and said.startswith(line.text) else "",
            typed_by=line.typed_by,
        )
        self._lines.append(settled)
        self.changes += 1
        if self.listeners:
            self._tell(LineSettled(call_sid=self.call_sid, at_ms=self._at_ms, line=settled))

    def _cut(self, cut: Cut) -> None:
        self.changes += 1
        if not cut.heard_ms:  # nothing of it was said: no line will come
            self._final.add(cut.item_id)
            self._texts.pop(cut.item_id, None)
            del self._of_ms[cut.item_id]
        if self.listeners:
            self._tell(
                ItemCut(
                    call_sid=self.call_sid,
                    at_ms=self._at_ms,
                    item_id=cut.item_id,
                    heard_ms=cut.heard_ms,
                    of_ms=cut.received_ms,
                    settled=cut.settled,
                )
            )

    def _tell_of(self, action: Action) -> None:
        """What leaves no trace in the snapshot."""
        match action:
            case BargeIn(unheard_ms):
                self._tell(Interrupted(call_sid=self.call_sid, at_ms=self._at_ms, unheard_ms=unheard_ms))
            case Held(unheard_ms):
                self._tell(Paused(call_sid=self.call_sid, at_ms=self._at_ms, unheard_ms=unheard_ms))
            case FalseAlarm(why):
                self._tell(WentOn(call_sid=self.call_sid, at_ms=self._at_ms, why=why))
            case Tripped(guardrail, on, then, why):
                self._tell(
                    GuardrailTripped(
                        call_sid=self.call_sid, at_ms=self._at_ms, guardrail=guardrail, on=on, then=then, why=why
                    )
                )
            case LimitNear(limit) | LimitReached(limit):
                self._tell(
                    LimitTold(
                        call_sid=self.call_sid,
                        at_ms=self._at_ms,
                        limit=limit,
                        reached=isinstance(action, LimitReached),
                        text=f"{of_limit(action)}.",
                    )
                )
            case Trouble(problem) | ModelDropped(problem, planned=False):
                self._tell(WentWrong(call_sid=self.call_sid, at_ms=self._at_ms, problem=problem))

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener.put(event)
