"""What is counted, and who may see it."""

import re
from pathlib import Path
from typing import get_args

import pytest
from service_driver import SPEECH, Service, StartService
from starlette.requests import Request

from phonebot.call.actions import (
    Action,
    BargeIn,
    ClearPlayback,
    Cut,
    GuardrailTripped,
    LimitReached,
    Line,
    Outcome,
    Settled,
    Tell,
    Trouble,
)
from phonebot.call.inputs import CallerAudioDropped, Checked, Input, Tick
from phonebot.carrier.messages import Media
from phonebot.realtime.events import (
    AppendAudio,
    ErrorDetail,
    ErrorEvent,
    Response,
    ResponseCreated,
    SpeechStarted,
    TruncateItem,
)
from phonebot.simulator.caller import HangUp, Interrupt, Say, WaitForQuiet
from phonebot.web.metrics import MAX_GUARDRAILS, NOT_LOCAL, CallMetrics, Metrics, is_local
from phonebot.web.model_figures import ModelFigures

DOCUMENT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
FRAME = Media(2, 1, 20, "////")
TRUNCATE = Tell(TruncateItem("item_1", 0, 700, "truncate-1"))
ANSWER = ResponseCreated(Response("resp_2", "in_progress"))


class Counted:
    """A call's journal, and what it added to the figures since it began."""

    def __init__(self) -> None:
        self._metrics = Metrics([])
        self.call = CallMetrics(self._metrics)
        self._before = self._values()

    def happened(self, received: Input, *actions: Action) -> None:
        self.call.happened(0, received, list(actions))

    @property
    def added(self) -> dict[str, float]:
        before = self._before
        return {
            name: value - before.get(name, 0) for name, value in self._values().items() if value != before.get(name)
        }

    def _values(self) -> dict[str, float]:
        return {
            " ".join([sample.name.removeprefix("phonebot_"), *sample.labels.values()]): sample.value
            for family in self._metrics.registry.collect()
            for sample in family.samples
            if sample.name.startswith("phonebot_") and not sample.name.endswith("_created")
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
    assert counted.added == {"interruptions_total": 1, "cuts_total timeout": 2, "cuts_total fence": 1}


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
    assert counted.added == {"troubles_total": 1} | ({"truncations_refused_total": 1} if refused else {})


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
    assert counted.added == {f"calls_ended_total {outcome}": 1}


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
    families = [family for family in metrics.registry.collect() if family.name.startswith("phonebot_")]
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert set(re.findall(r"^\| `(phonebot_\w+)` \|", DOCUMENT, re.MULTILINE)) == names
    for value in (*get_args(Outcome), *get_args(Settled)):
        assert f"`{value}`" in DOCUMENT
