"""
How long it takes what happens in calls, as histograms for Prometheus. What each one means is in docs/metrics.md.

The process has a `Delays`, each call a `CallDelays`. Times are the call's own: ms of its media clock.
"""

from prometheus_client import CollectorRegistry, Histogram

from phonebot.call.actions import Action, ClearPlayback, Cut, OpenModel, PlayAudio, RunTool, SendMark, StopTool
from phonebot.call.inputs import AnswerSent, Input, ModelLost, ModelReady, ToolResult
from phonebot.carrier.messages import Mark
from phonebot.replay.answer_times import AnswerWatch

OURS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
REPLY_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8)
GREETING_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 4, 8)
OPENING_S = (0.1, 0.25, 0.5, 1, 1.5, 2.5, 4, 8)
FENCE_S = (0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2)
UNHEARD_S = (0.02, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 30)
TOOL_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)
CALL_S = (5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


class Delays:
    """The histograms of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"phonebot_{name}_seconds", text, buckets=buckets, registry=registry)

        self.reply = histogram(
            "reply", "From the end of a caller's turn to the first frame of its answer.", REPLY_S
        )
        self.model = histogram("reply_model", "Of that, for how long the model was waited for.", REPLY_S)
        self.ours = histogram(
            "answer", "From reading the first audio of a response until the carrier's socket had it.", OURS_S
        )
        self.greeting = histogram("greeting", "From a stream's start to the first frame that is heard.", GREETING_S)
        self.opening = histogram("model_opening", "From asking for a session until it was ready.", OPENING_S)
        self.fence = histogram("fence", "From clearing playback until the carrier told that it is.", FENCE_S)
        self.unheard = histogram("cut_unheard", "Of an item that was cut, how much was not heard.", UNHEARD_S)
        self.tools = histogram("tool", "From the call of a function until it had run.", TOOL_S)
        self.calls = histogram("call", "How long calls were.", CALL_S)


class CallDelays:
    """Of one call. It is told what a bridge tells (`Journal`), and once that the call has ended."""

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._watch = AnswerWatch()
        self._now = 0
        self._greeted = False
        # When a session was asked for that is not there yet; None: none is.
        self._asked_ms: int | None = None
        # The mark behind the newest clear, and when it was sent; None: it is back.
        self._fence: tuple[str, int] | None = None
        # Since when functions run, by the id of their call.
        self._running: dict[str, int] = {}

    def ended(self) -> None:
        self._delays.calls.observe(self._now / 1000)

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self._now = now
        if first := self._watch.see(now, received, actions):
            self._delays.reply.observe(first.waited_ms / 1000)
            self._delays.model.observe(first.model_ms / 1000)
        self._note_input(now, received)
        for before, action in zip((None, *actions), actions, strict=False):
            if type(action) is SendMark:
                if type(before) is ClearPlayback:
                    self._fence = action.name, now
            else:
                self._note(now, action)

    def _note_input(self, now: int, received: Input) -> None:
        match received:
            case Mark(name=name) if self._fence and name == self._fence[0]:
                self._delays.fence.observe((now - self._fence[1]) / 1000)
                self._fence = None
            case AnswerSent(took_us=took_us):
                self._delays.ours.observe(took_us / 1e6)
            case ModelReady() if self._asked_ms is not None:
                self._delays.opening.observe((now - self._asked_ms) / 1000)
                self._asked_ms = None
            case ModelLost():
                self._asked_ms = None
            case ToolResult(call_id):
                since_ms = self._running.pop(call_id, None)
                if since_ms is not None:
                    self._delays.tools.observe((now - since_ms) / 1000)

    def _note(self, now: int, action: Action) -> None:
        match action:
            case PlayAudio():
                if not self._greeted:
                    self._greeted = True
                    self._delays.greeting.observe(now / 1000)
            case Cut():
                self._delays.unheard.observe((action.received_ms - action.heard_ms) / 1000)
            case OpenModel():
                self._asked_ms = now
            case RunTool():
                self._running[action.call_id] = now
            case StopTool():
                self._running.pop(action.call_id, None)
