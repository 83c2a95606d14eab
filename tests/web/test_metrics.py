"""What is counted, and who may see it."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from service_driver import SPEECH, Service, StartService
from starlette.requests import Request

from phonebot import __version__
from phonebot.agents.profile import Profile
from phonebot.call.actions import (
    Action,
    BargeIn,
    ClearPlayback,
    Cut,
    Ended,
    FalseAlarm,
    GuardrailTripped,
    LimitReached,
    Line,
    OpenModel,
    Outcome,
    PlayAudio,
    RunTool,
    SendMark,
    Settled,
    StopTool,
    Tell,
    Trouble,
)
from phonebot.call.inputs import (
    AnswerSent,
    CallerAudioDropped,
    Checked,
    Input,
    ModelFault,
    ModelReady,
    Tick,
    ToolResult,
)
from phonebot.call.plan import CallPlan
from phonebot.call.planning import plan_for
from phonebot.carrier.messages import Mark, Media
from phonebot.realtime.events import (
    AppendAudio,
    AudioDelta,
    ErrorDetail,
    ErrorEvent,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TranscriptionUsage,
    TruncateItem,
    Usage,
)
from phonebot.realtime.prices import LISTED
from phonebot.realtime.severity import CODES
from phonebot.simulator.caller import HangUp, Interrupt, Say, WaitForQuiet
from phonebot.web.metrics import MAX_GUARDRAILS, NOT_LOCAL, CallMetrics, Metrics, is_local
from phonebot.web.model_figures import ModelFigures
from phonebot.web.model_use import MAX_MODELS, OTHER, PROTOCOL
from phonebot.web.process_figures import ProcessFigures

DOCUMENT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
FRAME = Media(2, 1, 20, "////")
TRUNCATE = Tell(TruncateItem("item_1", 0, 700, "truncate-1"))
ANSWER = ResponseCreated(Response("resp_2", "in_progress"))


def plan(model: str) -> CallPlan:
    return plan_for(
        Profile.from_table({"transcription": {"model": "gpt-4o-mini-transcribe"}}, "test"),
        caller="+15550100001",
        number="+15550100002",
        now=datetime(2026, 11, 27, tzinfo=UTC),
        model=model,
    )


class Counted:
    """A call's journal, and what it added to the figures since it began."""

    def __init__(self, model: str = "gpt-realtime-2.1") -> None:
        self._metrics = Metrics([])
        self.call = CallMetrics(self._metrics, plan(model), "us", model)
        self._before = self._values()

    def happened(self, received: Input, *actions: Action, now: int = 0) -> None:
        self.call.happened(now, received, list(actions))

    @property
    def added(self) -> dict[str, float]:
        """But for the histograms' buckets."""
        before = self._before
        return {
            name: value - before.get(name, 0) for name, value in self._values().items() if value != before.get(name)
        }

    def _values(self) -> dict[str, float]:
        return {
            " ".join([sample.name.removeprefix("phonebot_"), *sample.labels.values()]): sample.value
            for family in self._metrics.registry.collect()
            for sample in family.samples
            if sample.name.startswith("phonebot_") and not sample.name.endswith(("_created", "_bucket"))
        }


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_guardrails_are_counted_by_name_up_to_a_number_of_names(counted: Counted) -> None:
    names = [f"rail_{number}" for number in range(MAX_GUARDRAILS + 2)]
    for name in (*names, names[0], names[-1]):
        counted.happened(Tick(), GuardrailTripped(name, "bot", "say"))
    counted.happened(Checked("check-1", "rail_0", False, problem="no answer"))
    counted.happened(Checked("check-2", "rail_0", True))
    added = counted.added
    assert added["guardrail_trips_total rail_0 say"] == 2
    assert added["guardrail_trips_total (others) say"] == 3
    assert added["guardrail_checks_failed_total"] == 1
    assert len(added) == MAX_GUARDRAILS + 2


def test_calls_that_a_limit_ends_are_counted_by_it(counted: Counted) -> None:
    counted.happened(Tick(), LimitReached("time", 900, 900))
    counted.happened(Tick(), LimitReached("day", 50, 50))
    assert counted.added == {"limits_reached_total time": 1, "limits_reached_total day": 1}


def test_an_interruption_and_what_it_rests_on_are_counted(counted: Counted) -> None:
    counted.happened(SpeechStarted(0), ClearPlayback(), BargeIn(1_300))
    counted.happened(Tick(), TRUNCATE, Cut("item_1", 700, 2_000, "timeout"), Cut("item_2", 0, 900, "timeout"))
    counted.happened(Tick(), Cut("item_3", 100, 900, "fence"), Line("bot", "item_3", "Hello"))
    assert counted.added == {
        "interruptions_total": 1,
        "cuts_total timeout": 2,
        "cuts_total fence": 1,
        "cut_unheard_seconds_count": 3,
        "cut_unheard_seconds_sum": 1.3 + 0.9 + 0.8,
        "lines_total bot": 1,
    }


def test_a_truncation_after_the_next_answer_has_begun_is_late(counted: Counted) -> None:
    counted.happened(ANSWER)
    counted.happened(Tick(), TRUNCATE)
    assert counted.added == {}
    counted.happened(SpeechStarted(0), BargeIn(0))
    counted.happened(Tick(), TRUNCATE)
    assert counted.added == {"interruptions_total": 1}
    counted.happened(ANSWER)
    counted.happened(Tick(), TRUNCATE)
    assert counted.added == {"interruptions_total": 1, "truncations_late_total": 1}
    counted.happened(SpeechStarted(0), BargeIn(0))
    counted.happened(Tick(), TRUNCATE)
    assert counted.added == {"interruptions_total": 2, "truncations_late_total": 1}


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (ErrorDetail("Audio content of 640ms is already shorter than 700ms"), 1),
        (ErrorDetail("Only model output audio messages can be truncated", event_id="truncate-1"), 1),
        (ErrorDetail("bad input", event_id="response-1"), 0),
        (ErrorDetail("bad input"), 0),
    ],
)
def test_a_refused_truncation_is_counted_and_no_other_error(
    counted: Counted, error: ErrorDetail, refused: int
) -> None:
    counted.happened(ErrorEvent(error), Trouble("it was refused"))
    told = {"troubles_total": 1, "model_errors_total other": 1}
    assert counted.added == told | ({"truncations_refused_total": 1} if refused else {})


def test_dropped_frames_are_counted_by_number(counted: Counted) -> None:
    counted.happened(CallerAudioDropped(50), Trouble("50 frames of the caller were dropped"))
    assert counted.added == {"caller_frames_dropped_total": 50, "troubles_total": 1}


def test_a_frame_that_the_model_is_told_counts_nothing_and_one_that_does_more_does(counted: Counted) -> None:
    counted.happened(FRAME, Tell(AppendAudio("////")))
    assert counted.added == {}
    counted.happened(FRAME, Trouble("the timestamp is a minute ahead of its time"))
    counted.happened(FRAME, Tell(AppendAudio("////")), BargeIn(100))
    assert counted.added == {"troubles_total": 1, "interruptions_total": 1}


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_an_end_is_counted_by_its_outcome(counted: Counted, outcome: Outcome) -> None:
    counted.call.ended(outcome)
    assert counted.added == {f"calls_ended_total {outcome}": 1, "call_seconds_count": 1}


# ------------------------------------------------------------------------------------------- delays


def test_an_answer_is_timed_from_the_end_of_the_turn_to_its_first_frame(counted: Counted) -> None:
    """The second frame of it, and an answer that nobody asked for, are not."""
    delta = AudioDelta("resp_2", "item_1", 0, 0, "////")
    counted.happened(SpeechStarted(0), now=1_000)
    counted.happened(SpeechStopped(900), now=2_000)
    counted.happened(ANSWER, now=2_100)
    counted.happened(delta, PlayAudio("////", "item_1"), now=2_625)
    counted.happened(AnswerSent("resp_2", 250), now=2_625)
    counted.happened(delta, PlayAudio("////", "item_1"), now=2_700)
    added = counted.added
    assert added["reply_seconds_count"] == added["reply_model_seconds_count"] == added["answer_seconds_count"] == 1
    assert added["reply_seconds_sum"] == added["reply_model_seconds_sum"] == 0.625
    assert added["answer_seconds_sum"] == 0.00025


def test_a_calls_first_sound_and_its_length_are_timed(counted: Counted) -> None:
    counted.happened(Tick(), PlayAudio("////"), now=20)
    counted.happened(Tick(), PlayAudio("////"), now=200)
    counted.happened(Tick(), Ended("caller_hung_up"), now=61_500)
    counted.call.ended("caller_hung_up")
    added = counted.added
    assert (added["greeting_seconds_count"], added["greeting_seconds_sum"]) == (1, 0.02)
    assert (added["call_seconds_count"], added["call_seconds_sum"]) == (1, 61.5)


def test_a_session_is_timed_from_asking_for_it_until_it_is_ready(counted: Counted) -> None:
    counted.happened(Tick(), OpenModel(Session()), now=0)
    counted.happened(ModelReady(Session()), now=750)
    counted.happened(ModelReady(Session()), now=900)
    assert counted.added == {"model_opening_seconds_count": 1, "model_opening_seconds_sum": 0.75}


def test_the_way_of_a_fence_is_timed_and_that_of_no_other_mark(counted: Counted) -> None:
    counted.happened(SpeechStarted(0), ClearPlayback(), SendMark("fence-1"), SendMark("m2"), now=1_000)
    counted.happened(Mark(3, "m2"), now=1_050)
    counted.happened(Mark(4, "fence-1"), now=1_120)
    counted.happened(Mark(5, "fence-1"), now=1_300)
    assert counted.added == {"fence_seconds_count": 1, "fence_seconds_sum": 0.12}


def test_functions_are_timed_and_counted_by_what_came_of_them(counted: Counted) -> None:
    calls = [RunTool(f"call_{number}", "book", "{}") for number in range(3)]
    counted.happened(Tick(), *calls, now=1_000)
    counted.happened(ToolResult("call_0", "booked"), now=1_250)
    counted.happened(ToolResult("call_1", "it failed", "no such table"), now=3_000)
    counted.happened(Tick(), StopTool("call_2"), now=3_000)
    counted.happened(ToolResult("call_9", "nobody asked"), now=3_000)
    assert counted.added == {
        "tool_calls_total done": 2,
        "tool_calls_total failed": 1,
        "tool_calls_total stopped": 1,
        "tool_seconds_count": 2,
        "tool_seconds_sum": 2.25,
    }


def test_what_was_no_speech_is_counted_by_why(counted: Counted) -> None:
    counted.happened(Tick(), FalseAlarm("backchannel", "mhm"))
    assert counted.added == {"false_alarms_total backchannel": 1}


# ------------------------------------------------------------------------------------------- the model

USAGE = Usage(
    total=1_500,
    input=1_200,
    output=300,
    input_text=400,
    input_audio=800,
    cached=500,
    cached_text=200,
    cached_audio=300,
    output_text=100,
    output_audio=200,
)


def done(usage: Usage | None = None, error: ErrorDetail | None = None) -> ResponseDone:
    return ResponseDone(Response("resp_1", "failed" if error else "completed", usage=usage, error=error))


def test_tokens_are_counted_once_each_and_cost_what_the_price_says(counted: Counted) -> None:
    counted.happened(done(USAGE))
    price = LISTED.models["gpt-realtime-2.1"].of(USAGE)
    assert counted.added == {
        "responses_total completed": 1,
        "tokens_total input text": 200,
        "tokens_total input audio": 500,
        "tokens_total cached text": 200,
        "tokens_total cached audio": 300,
        "tokens_total output text": 100,
        "tokens_total output audio": 200,
        "cost_usd_total us gpt-realtime-2.1": price,
    }


def test_what_writes_the_callers_words_down_is_counted_under_its_own_name(counted: Counted) -> None:
    counted.happened(TranscriptionCompleted("item_1", 0, "lobster", TranscriptionUsage(100, 10)))
    counted.happened(TranscriptionCompleted("item_2", 0, "lobster"))
    added = counted.added
    assert added["tokens_total input transcription"] == 100
    assert added["tokens_total output transcription"] == 10
    assert added["cost_usd_total us gpt-4o-mini-transcribe"] == pytest.approx((100 * 1.25 + 10 * 5) / 1e6)
    assert not any("lobster" in name for name in added)


def test_cost_goes_to_the_provider_whose_session_it_is(counted: Counted) -> None:
    counted.happened(ModelReady(Session(), provider="azure"))
    counted.happened(done(USAGE))
    assert "cost_usd_total azure gpt-realtime-2.1" in counted.added


def test_where_a_gateway_leaves_out_the_kinds_of_tokens_they_count_as_audio(counted: Counted) -> None:
    counted.happened(done(Usage(total=150, input=100, output=50, cached=40)))
    added = counted.added
    assert added["tokens_total input audio"] == 60
    assert added["tokens_total cached audio"] == 40
    assert added["tokens_total output audio"] == 50


def test_a_response_of_a_model_without_a_price_is_counted_as_such() -> None:
    counted = Counted(model="our-own")
    counted.happened(done(USAGE))
    assert counted.added["responses_unpriced_total"] == 1
    assert not any(name.startswith("cost_usd") for name in counted.added)


def test_more_cached_tokens_than_there_are_count_as_none_beside_them(counted: Counted) -> None:
    counted.happened(done(Usage(input=10, cached=40, output=5)))
    assert counted.added["tokens_total cached audio"] == 40
    assert counted.added.get("tokens_total input audio", 0) == 0


def test_errors_of_the_model_are_counted_by_codes_that_are_known_and_no_others(counted: Counted) -> None:
    counted.happened(ErrorEvent(ErrorDetail("slow down", code="rate_limit_exceeded")))
    counted.happened(done(error=ErrorDetail("it failed", code="server_error")))
    counted.happened(ErrorEvent(ErrorDetail("he said lobster", code="lobster")))
    counted.happened(ErrorEvent(ErrorDetail("no code at all")))
    counted.happened(ModelFault("no type in it"))
    assert counted.added == {
        "responses_total failed": 1,
        "model_errors_total rate_limit_exceeded": 1,
        "model_errors_total server_error": 1,
        "model_errors_total other": 2,
        "model_errors_total protocol": 1,
    }


def test_models_beyond_a_number_are_counted_together() -> None:
    metrics = Metrics([])
    for number in range(MAX_MODELS + 2):
        metrics.use.spend("us", f"model-{number}", 0.5)
    name = "phonebot_cost_usd_total"
    value = metrics.registry.get_sample_value
    assert value(name, {"provider": "us", "model": "model-0"}) == 0.5
    assert value(name, {"provider": "us", "model": "(others)"}) == 1


# ------------------------------------------------------------------------------------------- who may see it


def request(address: str | None, **headers: str) -> Request:
    return Request(
        {
            "type": "http",
            "client": None if address is None else (address, 50_000),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_a_client_on_this_machine_is_local(host: str) -> None:
    assert is_local(request(host, host="bot.example.com"))


@pytest.mark.parametrize("host", ["10.0.0.7", "203.0.113.9", "fe80::1", "::ffff:203.0.113.9", "", None])
def test_any_other_is_not_whatever_its_headers_say(host: str | None) -> None:
    assert not is_local(request(host))
    assert not is_local(request(host, x_forwarded_for="127.0.0.1"))


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip", "via"])
@pytest.mark.parametrize("value", ["203.0.113.9", "127.0.0.1"])
def test_one_behind_a_proxy_on_this_machine_is_not(header: str, value: str) -> None:
    assert not is_local(request("127.0.0.1", **{header: value}))


# ------------------------------------------------------------------------------------------- the service


async def scrape(service: Service) -> dict[str, float]:
    status, text = await service.request("GET", "/metrics")
    assert status == 200
    return {
        name: float(value) for name, value in re.findall(r"^(phonebot_\S+|process_\S+) (\S+)$", text, re.MULTILINE)
    }


async def test_a_call_shows_in_the_figures(service: Service) -> None:
    before = await scrape(service)
    assert before["phonebot_calls_started_total"] == before["phonebot_calls_in_progress"] == 0
    assert before['phonebot_cuts_total{settled="timeout"}'] == 0
    await service.dial(
        WaitForQuiet(300), Say(SPEECH, "a question"), Interrupt(400, SPEECH, "an interruption"), HangUp()
    )
    during = await scrape(service)
    assert during["phonebot_calls_started_total"] == 1
    assert during["phonebot_interruptions_total"] == 1
    assert during['phonebot_cuts_total{settled="fence"}'] == 1
    await service.idle()
    after = await scrape(service)
    assert after['phonebot_calls_ended_total{outcome="caller_hung_up"}'] == 1
    assert after["phonebot_calls_in_progress"] == 0
    assert after["process_resident_memory_bytes"] > 1e6
    assert after["phonebot_call_seconds_count"] == after["phonebot_model_opening_seconds_count"] == 1
    assert after["phonebot_fence_seconds_count"] == 1
    assert after["phonebot_reply_seconds_count"] >= 1
    assert after[f'phonebot_build_info{{version="{__version__}"}}'] == 1
    assert after["phonebot_calls_limit"] == 1_000
    assert after["phonebot_draining"] == after["phonebot_database_away"] == after["phonebot_calls_unfiled"] == 0


async def test_a_call_in_progress_shows_as_such(service: Service) -> None:
    stream = await service.started_stream()
    assert (await scrape(service))["phonebot_calls_in_progress"] == 1
    await stream.stop()
    await stream.closed()


async def test_the_figures_are_refused_to_a_client_behind_a_proxy(service: Service) -> None:
    assert await service.request("GET", "/metrics", headers={"X-Forwarded-For": "127.0.0.1"}) == (
        403,
        NOT_LOCAL,
    )


async def test_two_services_in_a_process_count_for_themselves(start_service: StartService) -> None:
    first, second = await start_service(), await start_service()
    await first.dial(HangUp())
    assert (await scrape(first))["phonebot_calls_started_total"] == 1
    assert (await scrape(second))["phonebot_calls_started_total"] == 0


# ------------------------------------------------------------------------------------------- documentation


def test_every_metric_and_every_value_of_a_label_is_documented() -> None:
    metrics = Metrics([])
    ModelFigures(metrics.registry)
    ProcessFigures(metrics.registry)
    families = [family for family in metrics.registry.collect() if family.name.startswith("phonebot_")]
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert set(re.findall(r"^\| `(phonebot_\w+)` \|", DOCUMENT, re.MULTILINE)) == names
    for value in (*get_args(Outcome), *get_args(Settled), *CODES, PROTOCOL, OTHER):
        assert f"`{value}`" in DOCUMENT
