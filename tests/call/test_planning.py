from datetime import UTC, datetime

import msgspec
import pytest
from msgspec import UNSET

from phonebot.agents.profile import Profile
from phonebot.call.limits import NOT_HEARD, TIME_IS_UP, Words
from phonebot.call.plan import CallPlan, CarrierTraits, Caution, KeyTurns, LocalTurns
from phonebot.call.planning import plan_for
from phonebot.realtime.events import Transcription, TurnDetection
from phonebot.realtime.prices import LISTED

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def plan(**keys: object) -> CallPlan:
    profile = Profile.from_table(keys, "a test")
    return plan_for(profile, caller="+15550100001", number="+15550100002", now=NOW)


def test_a_profile_that_says_nothing_leaves_the_models_defaults_alone() -> None:
    session = plan().session
    assert (session.voice, session.temperature, session.max_output_tokens) == (UNSET, UNSET, UNSET)
    assert (session.input_format, session.output_format, session.modality) == ("pcmu", "pcmu", "audio")
    assert session.turn_detection == TurnDetection(
        "server_vad",
        threshold=0.5,
        prefix_padding_ms=300,
        silence_duration_ms=500,
        create_response=True,
        interrupt_response=True,
    )


def test_prompt_and_greeting_are_filled_with_who_calls_whom_and_when() -> None:
    made = plan(prompt="{caller} calls {number}, speak {language}.", greeting="It is {now}.")
    assert made.session.instructions == "+15550100001 calls +15550100002, speak en-US."
    assert made.greeting is not None
    assert "2026" in made.greeting


def test_what_the_profile_says_reaches_the_session() -> None:
    made = plan(
        voice="marin",
        temperature=0.7,
        max_output_tokens="inf",
        noise_reduction="near_field",
        transcription={"model": "whisper-1", "language": "de"},
        turn_detection={"type": "semantic_vad", "eagerness": "low", "interrupt_response": False},
        max_call_s=60,
    )
    assert made.session.voice == "marin"
    assert made.session.temperature == 0.7
    assert made.session.max_output_tokens == "inf"
    assert made.session.noise_reduction == "near_field"
    assert made.session.transcription == Transcription("whisper-1", language="de")
    assert made.session.turn_detection == TurnDetection(
        "semantic_vad", eagerness="low", create_response=True, interrupt_response=False
    )
    assert made.max_call_ms == 60_000


def test_without_transcription_none_is_asked_for_and_without_a_greeting_the_bot_waits() -> None:
    made = plan(transcription=False)
    assert made.session.transcription is None
    assert made.greeting is None


def test_the_traits_of_the_carrier_are_those_given_or_the_plain_ones() -> None:
    assert plan().carrier == CarrierTraits(start_buffer_ms=None, mark_lag_ms=0, mark_spread_ms=0)
    odd = CarrierTraits(120, 40, 10)
    profile = Profile.from_table({}, "a test")
    assert plan_for(profile, caller="", number="", now=NOW, carrier=odd).carrier == odd


def test_a_service_that_finds_turns_is_left_to_find_them() -> None:
    assert plan().turns is None


def test_turns_that_are_found_here_are_switched_off_in_the_session() -> None:
    made = plan(turn_detection={"type": "local", "silence_duration_ms": 700, "interrupt_response": False})
    assert made.session.turn_detection is None
    assert made.turns == LocalTurns(
        threshold=0.5,
        prefix_padding_ms=300,
        silence_duration_ms=700,
        min_speech_ms=100,
        create_response=True,
    )
    assert not made.interruptible


def test_turns_that_end_by_key_are_switched_off_in_the_session() -> None:
    made = plan(turn_detection={"type": "none"})
    assert made.session.turn_detection is None
    assert made.turns == KeyTurns()


def test_a_plan_whose_turns_are_found_here_is_the_same_after_the_call_log() -> None:
    for kind in ("local", "none"):
        made = plan(turn_detection={"type": kind})
        assert msgspec.json.decode(msgspec.json.encode(made), type=CallPlan) == made


# ------------------------------------------------------------------------------------------- who decides


def test_without_rules_of_its_own_a_call_leaves_the_decision_to_the_service() -> None:
    made = plan(greeting="Hello.", barge_in={"keys": True})
    assert not made.decides
    assert not made.answers
    assert made.keys_interrupt
    assert made.session.turn_detection == plan().session.turn_detection


@pytest.mark.parametrize(
    "keys",
    [
        {"interruptible": False},
        {"greeting": "Hello.", "greeting_interruptible": False},
        {"barge_in": {"min_speech_ms": 300}},
        {"barge_in": {"hold_ms": 2000}},
        {"barge_in": {"echo_guard": True}},
    ],
)
@pytest.mark.parametrize("answers", [True, False])
def test_where_the_call_decides_the_service_neither_interrupts_nor_answers(
    keys: dict[str, object], answers: bool
) -> None:
    made = plan(**keys, turn_detection={"type": "semantic_vad", "create_response": answers})
    assert made.decides
    assert made.answers is answers
    assert made.session.turn_detection == TurnDetection(
        "semantic_vad", eagerness="auto", create_response=False, interrupt_response=False
    )
    assert msgspec.json.decode(msgspec.json.encode(made), type=CallPlan) == made


def test_a_greeting_that_there_is_not_needs_no_protection() -> None:
    assert not plan(greeting_interruptible=False).decides


def test_the_rules_of_barge_in_reach_the_plan() -> None:
    table = {"min_speech_ms": 300, "hold_ms": 2000, "backchannels": ["mhm"], "echo_guard": True}
    made = plan(barge_in=table | {"when_not_interruptible": "withheld"})
    assert made.caution == Caution(min_speech_ms=300, hold_ms=2000, backchannels=("mhm",), echo_guard=True)
    assert made.withholds
    assert not plan().withholds


# ------------------------------------------------------------------------------------------- silence and limits


def limits_of(deployments: str | None = None, **table: object) -> CallPlan:
    profile = Profile.from_table(dict(table), "test")
    return plan_for(profile, caller="+15550100001", number="", now=NOW, model=deployments)


def test_words_of_ours_are_said_in_the_profiles_language_and_an_operators_as_they_are() -> None:
    german = limits_of(language="de-DE", no_input={"say": "Sind Sie noch da, {caller}?"})
    assert german.no_input is not None
    assert german.no_input.say == Words("Sind Sie noch da, +15550100001?")
    assert german.no_input.goodbye == Words(NOT_HEARD.text, "de-DE")
    assert german.limits.goodbye == Words(TIME_IS_UP.text, "de-DE")
    assert limits_of(language="en-GB").limits.goodbye == TIME_IS_UP


@pytest.mark.parametrize("model", [None, "gpt-realtime-2.1", "my-own"])
def test_what_a_call_costs_is_watched_at_the_models_price_and_where_there_is_none_it_says_so(
    model: str | None,
) -> None:
    plan = limits_of(model, max_cost_usd=2)
    is_known = model == "gpt-realtime-2.1"
    assert plan.limits.most_usd == (2 if is_known else None)
    assert plan.tariff == LISTED.tariff(model, "gpt-4o-mini-transcribe")
    assert len(plan.problems) == (0 if is_known else 1)
    assert limits_of(model).limits.most_usd is None
    named = limits_of("my-own", max_cost_usd=2, model="gpt-realtime")
    assert (named.limits.most_usd, named.tariff.model) == (2, LISTED.models["gpt-realtime"])
