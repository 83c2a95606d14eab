"""
The spans of one stream of a call, made of what its bridge tells.

    call                                from the stream's start until both sockets are closed
      prepare                           how it is answered is looked up and decided
      model session                     from asking for it until it is ready
      caller speaks                     while the caller has the floor
      response                          from its begin to its end, with tokens and the time to its first audio
      tool                              a function that runs
      model away                        from losing a session until the next one knows what was said
      end                               from the last word until both sockets are closed

Words and numbers of callers are in none of them, nor anything that a model says: ids, names that the operator gave,
sizes and times.
"""

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from phonebot.call import actions as does
from phonebot.call import inputs as happens
from phonebot.call.actions import Action, Outcome
from phonebot.call.inputs import Input
from phonebot.call.turns import Turn
from phonebot.realtime import events as model
from phonebot.realtime.severity import CODES
from phonebot.replay.answer_times import AnswerWatch

MAX_SPANS = 2_000
"""Of one stream; what is more is counted in `phonebot.spans_left_out`. An hour of talking has some hundred."""
MAX_NAME = 64
FAILURES: frozenset[Outcome] = frozenset({"model_failed", "stream_lost", "carrier_faults"})

SESSION, SPEAKS, AWAY, END = "model session", "caller speaks", "model away", "end"
"""Spans of which a call has one at a time, by their names."""


class CallSpans:
    """It is told what a bridge tells its journals. `close` it in any case."""

    def __init__(self, tracer: Tracer, call: Span) -> None:
        self._tracer, self._call = tracer, call
        self._inside = set_span_in_context(call)
        self._begun = 0
        self._watch = AnswerWatch()
        # Those that have not ended, by what they are of.
        self._open: dict[str, Span] = {}
        self._begin("prepare", "prepare")

    def decided(self, provider: str, model_name: str, profile: str) -> None:
        """How the call is answered is known, all by the operator's names."""
        self._end("prepare")
        self._call.set_attributes(
            {"phonebot.provider": provider, "gen_ai.request.model": model_name, "phonebot.profile": profile}
        )

    def close(self, outcome: Outcome | None = None) -> None:
        """The stream is over, and all that ran for it. The first time counts. None: it never came to a call."""
        for what in list(self._open):
            self._end(what)
        if not self._call.is_recording():
            return
        if outcome:
            self._call.set_attribute("phonebot.outcome", outcome)
        if outcome in FAILURES or outcome is None:
            self._call.set_status(Status(StatusCode.ERROR, outcome or "it never came to a call"))
        if self._begun > MAX_SPANS:
            self._call.set_attribute("phonebot.spans_left_out", self._begun - MAX_SPANS)
        self._call.end()

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if note := _INPUTS.get(type(received)):
            note(self, received)
        first = self._watch.see(now, received, actions)
        if first and (span := self._open.get(_response(first.response_id))):
            span.set_attributes({"phonebot.reply_ms": first.waited_ms, "phonebot.model_ms": first.model_ms})
        for action in actions:
            if act := _ACTIONS.get(type(action)):
                act(self, action)

    # ------------------------------------------------------------------------------ spans

    def _begin(self, what: str, name: str, **attributes: str | int | bool) -> None:
        """A span of that name, until `what` ends. One that goes on already goes on."""
        if what in self._open:
            return
        self._begun += 1
        if self._begun <= MAX_SPANS:
            told = _told(attributes)
            self._open[what] = self._tracer.start_span(name, self._inside, attributes=told)

    def _end(self, what: str, failed: str = "", **attributes: str | int | bool) -> None:
        """`failed`: why, in words of ours; "": it did not. What does not go on is not ended."""
        if span := self._open.pop(what, None):
            span.set_attributes(_told(attributes))
            if failed:
                span.set_status(Status(StatusCode.ERROR, failed))
            span.end()

    def _event(self, name: str, **attributes: str | int | bool) -> None:
        self._call.add_event(name, _told(attributes))

    # ------------------------------------------------------------------------------ what happens

    def _ready(self, it: happens.ModelReady) -> None:
        self._end(SESSION, provider=it.provider)

    def _lost(self, it: happens.ModelLost) -> None:
        self._end(SESSION, "there is none", fatal=it.fatal)

    def _responds(self, it: model.ResponseCreated) -> None:
        self._begin(_response(it.response.id), "response")

    def _responded(self, it: model.ResponseDone) -> None:
        response, usage = it.response, it.response.usage or model.Usage()
        what = _response(response.id)
        if span := self._open.get(what):
            span.set_attributes(
                {"gen_ai.usage.input_tokens": usage.input, "gen_ai.usage.output_tokens": usage.output}
            )
        self._end(what, _code(response.error) if response.error else "", status=response.status)

    def _sent(self, it: happens.AnswerSent) -> None:
        if span := self._open.get(_response(it.response_id)):
            span.add_event("first audio sent", _told({"took_us": it.took_us}))

    def _ran(self, it: happens.ToolResult) -> None:
        self._end(f"tool {it.call_id}", "" if it.problem is None else "it failed")

    def _failed(self, it: model.ErrorEvent) -> None:
        self._event("model error", code=_code(it.error))

    # ------------------------------------------------------------------------------ what is done

    def _floor(self, it: does.Floor) -> None:
        if it.turn is Turn.CALLER:
            self._begin(SPEAKS, SPEAKS)
        else:
            self._end(SPEAKS)

    def _cut(self, it: does.Cut) -> None:
        self._event("cut", heard_ms=it.heard_ms, received_ms=it.received_ms, settled=it.settled)

    def _ended(self, it: does.Ended) -> None:
        self._end(SPEAKS)
        self._begin(END, END)


_INPUTS: dict[type[Input], Callable[[CallSpans, Any], None]] = {
    happens.ModelReady: CallSpans._ready,
    happens.ModelLost: CallSpans._lost,
    happens.AnswerSent: CallSpans._sent,
    happens.ToolResult: CallSpans._ran,
    model.ResponseCreated: CallSpans._responds,
    model.ResponseDone: CallSpans._responded,
    model.ErrorEvent: CallSpans._failed,
}
_ACTIONS: dict[type[Action], Callable[[CallSpans, Any], None]] = {
    does.OpenModel: lambda to, it: to._begin(SESSION, SESSION),
    does.RunTool: lambda to, it: to._begin(f"tool {it.call_id}", "tool", function=it.name),
    does.StopTool: lambda to, it: to._end(f"tool {it.call_id}", stopped=True),
    does.ModelDropped: lambda to, it: to._begin(AWAY, AWAY, planned=it.planned),
    does.Recovered: lambda to, it: to._end(AWAY, attempts=it.attempts),
    does.Floor: CallSpans._floor,
    does.Cut: CallSpans._cut,
    does.Ended: CallSpans._ended,
    does.BargeIn: lambda to, it: to._event("interrupted", unheard_ms=it.unheard_ms),
    does.HandOff: lambda to, it: to._event("hand-off", from_agent=it.from_agent, to_agent=it.to_agent),
    does.GuardrailTripped: lambda to, it: to._event("guardrail", guardrail=it.guardrail, then=it.then),
    does.LimitReached: lambda to, it: to._event("limit", limit=it.limit),
    does.StartRecording: lambda to, it: to._event("recording starts"),
    does.Trouble: lambda to, it: to._event("trouble"),  # its sentence may quote somebody
}


def _response(response_id: str) -> str:
    return f"response {response_id}"


def _told(attributes: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    """Under names of our own, and no longer than they need be."""
    return {
        f"phonebot.{key}": value[:MAX_NAME] if isinstance(value, str) else value
        for key, value in attributes.items()
    }


def _code(error: model.ErrorDetail) -> str:
    """One that is known: what a service calls its errors is its own affair."""
    return error.code if error.code in CODES else "other"
