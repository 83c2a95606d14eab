"""Spans of a call, made of what happens to it."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased
from opentelemetry.trace import StatusCode
from spans import Kept, events, ids, told

from phonebot.call.actions import (
    Action,
    BargeIn,
    Cut,
    Ended,
    Floor,
    GuardrailTripped,
    HandOff,
    LimitReached,
    Line,
    ModelDropped,
    OpenModel,
    PlayAudio,
    Recovered,
    RunTool,
    StopTool,
    Trouble,
)
from phonebot.call.inputs import AnswerSent, Input, ModelLost, ModelReady, Tick, ToolResult
from phonebot.call.turns import Turn
from phonebot.realtime.events import (
    AudioDelta,
    ErrorDetail,
    ErrorEvent,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    Usage,
)
from phonebot.traces import call_spans
from phonebot.traces.call_spans import CallSpans
from phonebot.traces.tracing import ids_of

SID = "CA" + "1" * 32


class Traced:
    """A call whose journal is told what happens, at a clock of its own."""

    def __init__(self) -> None:
        self.kept = Kept()
        spans = self.kept.tracing.call(SID, "twilio", again=False)
        assert spans
        self.spans: CallSpans = spans
        self.spans.decided("openai", "gpt-realtime-2.1", "Front desk")

    def happens(self, received: Input, *actions: Action, now: int = 0) -> None:
        self.spans.happened(now, received, list(actions))


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.spans.close()


def test_a_call_is_a_trace_whose_phases_are_below_it(traced: Traced) -> None:
    traced.happens(Tick(), OpenModel(Session()))
    traced.happens(ModelReady(Session(), provider="azure"))
    traced.happens(SpeechStarted(0), Floor(Turn.CALLER))
    traced.happens(SpeechStopped(0), Floor(Turn.THINKING))
    traced.happens(ResponseCreated(Response("resp_1", "in_progress")))
    traced.happens(ResponseDone(Response("resp_1", "completed", usage=Usage(input=120, output=30))))
    traced.happens(Tick(), Ended("caller_hung_up"))
    traced.spans.close("caller_hung_up")
    names = [span.name for span in traced.kept.spans]
    assert names == ["prepare", "model session", "caller speaks", "response", "end", "call"]
    call = traced.kept.one("call")
    assert ids(call) == (*ids_of(SID), None)
    assert all(ids(span)[0] == ids_of(SID)[0] and ids(span)[2] == ids_of(SID)[1] for span in traced.kept.spans[:-1])
    assert told(call) == {
        "phonebot.call_sid": SID,
        "phonebot.kind": "twilio",
        "phonebot.again": False,
        "phonebot.provider": "openai",
        "gen_ai.request.model": "gpt-realtime-2.1",
        "phonebot.profile": "Front desk",
        "phonebot.outcome": "caller_hung_up",
    }
    assert call.status.status_code is StatusCode.UNSET
    assert told(traced.kept.one("model session")) == {"phonebot.provider": "azure"}
    assert told(traced.kept.one("response")) == {
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 30,
        "phonebot.status": "completed",
    }


def test_a_response_has_what_the_caller_waited_for_it(traced: Traced) -> None:
    traced.happens(SpeechStarted(0), now=1_000)
    traced.happens(SpeechStopped(0), now=2_000)
    traced.happens(ResponseCreated(Response("resp_1", "in_progress")), now=2_100)
    traced.happens(AudioDelta("resp_1", "item_1", 0, 0, "////"), PlayAudio("////", "item_1"), now=2_600)
    traced.happens(AnswerSent("resp_1", 250), now=2_600)
    traced.happens(ResponseDone(Response("resp_1", "completed")), now=3_000)
    response = traced.kept.one("response")
    assert (told(response)["phonebot.reply_ms"], told(response)["phonebot.model_ms"]) == (600, 600)
    assert events(response) == [("first audio sent", {"phonebot.took_us": 250})]


def test_functions_have_a_span_each_and_say_whether_they_failed(traced: Traced) -> None:
    traced.happens(Tick(), *(RunTool(f"call_{number}", "book", '{"name": "Ada"}') for number in range(3)))
    traced.happens(ToolResult("call_0", "booked for Ada"))
    traced.happens(ToolResult("call_1", "it did not work", problem="no table for Ada"))
    traced.happens(Tick(), StopTool("call_2"))
    done, failed, stopped = traced.kept.named("tool")
    assert done.status.status_code is stopped.status.status_code is StatusCode.UNSET
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "it failed")
    assert told(stopped) == {"phonebot.function": "book", "phonebot.stopped": True}


def test_a_session_that_does_not_come_and_one_that_is_lost_are_seen(traced: Traced) -> None:
    traced.happens(Tick(), OpenModel(Session()))
    traced.happens(ModelLost("the key sk-123 is wrong", fatal=True), ModelDropped("the key sk-123 is wrong"))
    traced.happens(Tick(), OpenModel(Session()))
    traced.happens(ModelReady(Session(), provider="azure"), Recovered(1_500, 2))
    refused, granted = traced.kept.named("model session")
    assert (refused.status.status_code, granted.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert told(traced.kept.one("model away")) == {"phonebot.planned": False, "phonebot.attempts": 2}


def test_what_happens_at_once_is_an_event_of_the_call(traced: Traced) -> None:
    traced.happens(SpeechStarted(0), BargeIn(700))
    traced.happens(Tick(), Cut("item_1", 300, 1_000, "fence"), HandOff("main", "billing", "she owes 3 dollars"))
    traced.happens(Tick(), GuardrailTripped("no_advice", "bot", "say", "she asked"), LimitReached("time", 9, 9))
    traced.spans.close("time_limit")
    assert events(traced.kept.one("call")) == [
        ("interrupted", {"phonebot.unheard_ms": 700}),
        ("cut", {"phonebot.heard_ms": 300, "phonebot.received_ms": 1_000, "phonebot.settled": "fence"}),
        ("hand-off", {"phonebot.from_agent": "main", "phonebot.to_agent": "billing"}),
        ("guardrail", {"phonebot.guardrail": "no_advice", "phonebot.then": "say"}),
        ("limit", {"phonebot.limit": "time"}),
    ]


def test_nothing_that_anybody_said_is_in_a_span(traced: Traced) -> None:
    """Each of these may quote a caller, or name what only he knows."""
    said = "lobster"
    error = ErrorDetail(said, type=said, code=said, param=said)
    traced.happens(Tick(), OpenModel(Session(instructions=said)), RunTool("call_1", "book", said))
    traced.happens(ErrorEvent(error), Trouble(said), Line("caller", "item_1", said))
    traced.happens(ToolResult("call_1", said, problem=said), HandOff("main", "billing", said))
    traced.happens(ResponseCreated(Response("resp_1", "in_progress")))
    traced.happens(ResponseDone(Response("resp_1", "failed", reason=said, error=error)))
    traced.happens(ModelLost(said), ModelDropped(said), GuardrailTripped("no_advice", "bot", "say", said))
    traced.happens(Tick(), Ended("model_failed"))
    traced.spans.close("model_failed")
    assert "response" in {span.name for span in traced.kept.spans}
    assert said not in "".join(span.to_json() for span in traced.kept.spans)


@pytest.mark.parametrize(("outcome", "code"), [("stream_lost", StatusCode.ERROR), (None, StatusCode.ERROR)])
def test_a_call_that_fails_is_an_error_and_ends_all_that_went_on_in_it(
    traced: Traced, outcome: str | None, code: StatusCode
) -> None:
    traced.happens(Tick(), OpenModel(Session()), Floor(Turn.CALLER), RunTool("call_1", "book", "{}"))
    traced.spans.close("stream_lost" if outcome else None)
    traced.spans.close("caller_hung_up")
    assert [span.name for span in traced.kept.spans][1:] == ["model session", "caller speaks", "tool", "call"]
    assert traced.kept.one("call").status.status_code is code


def test_a_call_has_no_more_spans_than_a_number_and_tells_how_many_it_left_out(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_spans, "MAX_SPANS", 3)
    for number in range(5):
        traced.happens(ResponseCreated(Response(f"resp_{number}", "in_progress")))
        traced.happens(ResponseDone(Response(f"resp_{number}", "completed")))
    traced.spans.close("caller_hung_up")
    assert [span.name for span in traced.kept.spans] == ["prepare", "response", "response", "call"]
    assert told(traced.kept.one("call"))["phonebot.spans_left_out"] == 3


# ------------------------------------------------------------------------------------------- several processes


def test_what_other_processes_do_for_a_call_is_in_its_trace() -> None:
    first, second = Kept(), Kept()
    second.tracing.add("webhook", SID, 1_000_000, path="/twilio/voice", status=200)
    first_stream = first.tracing.call(SID, "twilio", again=False)
    second_stream = second.tracing.call(SID, "twilio", again=True)
    assert first_stream
    assert second_stream
    first_stream.close("stream_lost")
    second_stream.close("caller_hung_up")
    trace_id, span_id = ids_of(SID)
    webhook, again = second.one("webhook"), second.one("call")
    assert ids(first.one("call")) == (trace_id, span_id, None)
    assert (ids(webhook)[0], ids(webhook)[2]) == (ids(again)[0], ids(again)[2]) == (trace_id, span_id)
    assert ids(again)[1] != span_id
    assert webhook.start_time == 1_000_000
    assert told(webhook) == {"phonebot.path": "/twilio/voice", "phonebot.status": 200}


def test_a_call_that_is_not_sampled_costs_no_journal_and_has_no_span_anywhere() -> None:
    kept = Kept(ALWAYS_OFF)
    assert kept.tracing.call(SID, "twilio", again=False) is None
    kept.tracing.add("webhook", SID, 1)
    assert kept.spans == ()


def test_all_processes_sample_the_same_calls() -> None:
    """A share of them, by the trace's id alone."""
    kept, sampled = Kept(TraceIdRatioBased(0.5)), 0
    for number in range(200):
        sid = f"CA{number:032}"
        before = len(kept.spans)
        kept.tracing.add("webhook", sid, 1)
        spans = kept.tracing.call(sid, "twilio", again=False)
        assert (len(kept.spans) > before) == (spans is not None)
        if spans:
            sampled += 1
            spans.close("caller_hung_up")
    assert 50 < sampled < 150
