"""Each key of a profile: its default, what it takes, and the sentence for what it does not."""

import json
import re
import string
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from phonebot.agents.agent import MAX_PROMPT_CHARACTERS
from phonebot.agents.faults import MAX_SENTENCE
from phonebot.agents.listening import BargeIn, LocalVad, NoVad, SemanticVad, ServerVad, Transcription
from phonebot.agents.lookup import Lookup
from phonebot.agents.manners import NO_INPUT
from phonebot.agents.numbers import Numbers
from phonebot.agents.profile import UNSUPPORTED, Profile
from phonebot.agents.truncation import Truncation
from phonebot.errors import ProfileError

DOCUMENT = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text("utf-8")

EVERY_KEY: dict[str, object] = {
    "name": "Front desk",
    "language": "de-DE",
    "greeting": "Hello",
    "greeting_audio": "hello.wav",
    "greeting_cache": False,
    "prompt": "It is {now}.",
    "voice": "marin",
    "model": "gpt-realtime-2.1",
    "turn_detection": {
        "type": "server_vad",
        "threshold": 0.6,
        "prefix_padding_ms": 200,
        "silence_duration_ms": 700,
        "idle_timeout_ms": 8000,
        "interrupt_response": False,
        "create_response": False,
    },
    "temperature": 0.8,
    "max_output_tokens": 1000,
    "noise_reduction": "far_field",
    "transcription": {"model": "whisper-1", "language": "de", "prompt": "Tagliatelle"},
    "interruptible": False,
    "greeting_interruptible": False,
    "barge_in": {
        "min_speech_ms": 300,
        "hold_ms": 2000,
        "backchannels": ["mhm", "uh-huh"],
        "echo_guard": True,
        "keys": True,
        "when_not_interruptible": "withheld",
    },
    "languages": ["de-DE", "es"],
    "keys": {"terminator": "*", "timeout_s": 5.0, "max": 10, "menu": {"1": "I want a table."}, "hidden": False},
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.7, "post_instructions": 8000},
    "max_call_s": 600,
    "max_cost_usd": 1.5,
    "max_cost_per_day_usd": 20.0,
    "limits": {"warn": "Hurry up.", "goodbye": "I have to go, {caller}.", "sorry": "Call tomorrow."},
    "no_input": {"after_s": 6.0, "times": 1, "say": "Hello?", "goodbye": "Goodbye, {caller}."},
    "record": True,
    "consent": "This call is recorded.",
    "tools": ["book_table", "dish_of_the_day"],
    "agents": {
        "billing": {
            "description": "Knows about bills.",
            "prompt": "It is {now}.",
            "tools": ["bill"],
            "handoffs": ["main"],
            "guardrails": [{"name": "money", "words": ["refund"]}],
            "keep_turns": 2,
        }
    },
    "handoffs": ["billing"],
    "summary": {"prompt": "What was it about?", "model": "gpt-realtime-2.1"},
    "extract": {"schema": {"type": "object"}, "prompt": "Which day?", "model": None},
    "after_call": {
        "url": "https://crm.example.com/calls",
        "headers": {"Authorization": {"secret": "CRM"}, "X-Desk": "1"},
        "sign_with": "CRM",
        "timeout_s": 5.0,
        "recording_link_days": 0,
    },
    "messages": {
        "url": "https://crm.example.com/messages",
        "headers": {},
        "sign_with": "CRM",
        "timeout_s": 5.0,
        "people": ["Rosa"],
    },
    "history": {"calls": 5, "days": 30, "timeout_s": 0.2},
    "hours": {"time_zone": "Europe/Berlin", "monday": ["09:00-17:00"], "dates": ["2026-12-24 closed"]},
    "lookup": {
        "url": "https://crm.example.com/callers/{caller}",
        "headers": {"Accept": "application/json"},
        "timeout_s": 0.5,
        "values": {"customer": "unknown", "orders": 0, "vip": False},
    },
    "guardrails": [{"name": "advice", "words": ["pills"], "then": "say", "say": "I may not say."}],
    "transfer_to": "+15550100009",
    "destinations": {"billing": {"to": "+15550100010", "description": "Bills."}},
    "transfer": {
        "warm": False,
        "say": "One moment.",
        "ring_s": 25,
        "limit_s": 600,
        "whisper": "{caller} calls: {summary}",
        "hold_music": False,
        "caller_id": "caller",
        "when_unanswered": "say",
        "sorry": "Nobody is there.",
        "when_failed": False,
    },
    "outbound": {
        "greeting": "Hello, {caller}",
        "prompt": "You call because: {reason}",
        "machine": "leave_message",
        "message": "It is {now}.",
        "detect": True,
        "ring_s": 20,
        "retries": 1,
        "retry_after_s": 600,
        "retry_on": ["busy"],
        "quiet": ["20:00-09:00"],
        "time_zone": "Europe/Berlin",
        "at_once": 2,
    },
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from([*Profile.model_fields, *UNSUPPORTED]) | st.text(max_size=60)


def profile_of(**table: object) -> Profile:
    return Profile.from_table(table, "test")


def problems_of(**table: object) -> tuple[str, ...]:
    with pytest.raises(ProfileError) as caught:
        profile_of(**table)
    assert caught.value.source == "test"
    return caught.value.problems


# ------------------------------------------------------------------------------------------- what is taken


def test_a_profile_without_keys_is_the_built_in_one() -> None:
    profile = profile_of()
    assert profile == Profile()
    assert (profile.name, profile.language, profile.greeting) == ("", "en-US", None)
    assert (profile.voice, profile.model, profile.temperature) == (None, None, None)
    assert (profile.max_output_tokens, profile.noise_reduction) == (None, None)
    assert (profile.max_call_s, profile.record) == (900, True)
    assert profile.turn_detection == ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=500)
    assert profile.transcription == Transcription(model="gpt-4o-mini-transcribe")
    assert "{language}" in profile.prompt


def test_a_profile_with_every_key_holds_their_values() -> None:
    assert set(EVERY_KEY) == set(Profile.model_fields)
    assert profile_of(**EVERY_KEY).model_dump(by_alias=True, exclude_unset=True) == EVERY_KEY


def test_a_notice_of_a_recording_needs_one() -> None:
    with pytest.raises(ProfileError) as caught:
        profile_of(consent="This call is recorded.", record=False)
    assert caught.value.problems == ("consent needs record = true: it says that the call is recorded",)
    assert profile_of(consent=" ", record=False).consent is None


def test_turn_detection_by_meaning_has_keys_of_its_own() -> None:
    given_table = {"type": "semantic_vad", "eagerness": "low", "interrupt_response": False}
    assert profile_of(turn_detection=given_table).turn_detection == SemanticVad(
        eagerness="low", interrupt_response=False
    )


def test_turn_detection_of_our_own_has_keys_of_its_own() -> None:
    given_table = {"type": "local", "threshold": 0.8, "min_speech_ms": 120, "create_response": False}
    assert profile_of(turn_detection=given_table).turn_detection == LocalVad(
        threshold=0.8, min_speech_ms=120, create_response=False
    )
    assert LocalVad() == LocalVad(
        threshold=0.5, prefix_padding_ms=300, silence_duration_ms=500, min_speech_ms=100, interrupt_response=True
    )


def test_turn_detection_by_keys_has_none() -> None:
    assert profile_of(turn_detection={"type": "none"}).turn_detection == NoVad()


def test_turn_detection_without_a_type_is_by_loudness() -> None:
    assert profile_of(turn_detection={"threshold": 1}).turn_detection == ServerVad(threshold=1)


def test_turn_detection_is_taken_as_a_value_too() -> None:
    assert Profile(turn_detection=SemanticVad()).turn_detection == SemanticVad()


@pytest.mark.parametrize("greeting", ["", " \n"])
def test_an_empty_greeting_is_none(greeting: str) -> None:
    assert profile_of(greeting=greeting).greeting is None


def test_transcription_is_switched_off_by_false() -> None:
    assert profile_of(transcription=False).transcription is None


def test_braces_written_twice_are_no_placeholder() -> None:
    assert profile_of(prompt="{{x}}").prompt == "{{x}}"


@pytest.mark.parametrize("language", ["en", "de-DE", "zh-Hant-TW", "es-419", "yue", "sl-rozaj", "de-CH-1996"])
def test_a_language_is_a_bcp_47_tag(language: str) -> None:
    assert profile_of(language=language).language == language


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Profile().record = False


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("key", "lowest", "highest"),
    [
        ("prefix_padding_ms", 0, 1_000),
        ("silence_duration_ms", 100, 10_000),
        ("min_speech_ms", 20, 1_000),
    ],
)
def test_local_turn_detection_has_ranges_of_its_own(key: str, lowest: int, highest: int) -> None:
    for value in (lowest, highest):
        profile_of(turn_detection={"type": "local", key: value})
    allowed = f"a whole number of milliseconds from {lowest} to {highest}"
    for value in (lowest - 1, highest + 1):
        assert problems_of(turn_detection={"type": "local", key: value}) == (
            f"turn_detection.{key} is {value}; it must be {allowed}",
        )


@pytest.mark.parametrize(
    ("lowest", "highest", "step", "key"),
    [
        (0.6, 1.2, 0.001, "temperature"),
        (1, 4096, 1, "max_output_tokens"),
        (10, 14_400, 1, "max_call_s"),
        (0, 1, 0.001, "turn_detection.threshold"),
        (0, 10_000, 1, "turn_detection.prefix_padding_ms"),
        (0, 10_000, 1, "turn_detection.silence_duration_ms"),
        (5_000, 30_000, 1, "turn_detection.idle_timeout_ms"),
    ],
)
def test_a_number_is_taken_within_its_range_only(lowest: float, highest: float, step: float, key: str) -> None:
    def table(value: float | str) -> dict[str, object]:
        outer, _, inner = key.partition(".")
        return {outer: {inner: value} if inner else value}

    profile_of(**table(lowest))
    profile_of(**table(highest))
    for value in (lowest - step, highest + step, float("nan"), float("inf"), 1 << 70, True, "1"):
        (problem,) = problems_of(**table(value))
        assert problem.startswith(f"{key} is ")
        assert re.search(rf" from {lowest} to {highest}\b", problem)


@pytest.mark.parametrize(
    ("key", "limit"),
    [
        ("name", 100),
        ("greeting", 2_000),
        ("prompt", MAX_PROMPT_CHARACTERS),
        ("voice", 64),
        ("model", 128),
    ],
)
def test_a_text_is_taken_up_to_its_length(key: str, limit: int) -> None:
    profile_of(**{key: "x" * limit})
    (problem,) = problems_of(**{key: "x" * (limit + 1)})
    assert problem.startswith(f'{key} is "xxx')
    assert problem.endswith(f"{limit} characters")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"name": 3}, "name is 3; it must be text of at most 100 characters"),
        ({"language": "english"}, 'language is "english"; it must be a BCP 47 tag such as "en-US" or "de"'),
        ({"language": "en_US"}, 'language is "en_US"; it must be a BCP 47 tag such as "en-US" or "de"'),
        ({"language": "de\n"}, 'language is "de\\n"; it must be a BCP 47 tag such as "en-US" or "de"'),
        ({"voice": ""}, 'voice is ""; it must be text of 1 to 64 characters'),
        ({"model": date(2026, 1, 2)}, "model is 2026-01-02; it must be text of 1 to 128 characters"),
        ({"max_call_s": 900.0}, "max_call_s is 900.0; it must be a whole number of seconds from 10 to 14400"),
        ({"record": "yes"}, 'record is "yes"; it must be true or false'),
        ({"record": 1}, "record is 1; it must be true or false"),
        ({"record": None}, "record is null; it must be true or false"),
        (
            {"max_output_tokens": float("inf")},
            'max_output_tokens is inf; it must be a whole number from 1 to 4096 or "inf"',
        ),
        ({"noise_reduction": "near"}, 'noise_reduction is "near"; it must be "near_field" or "far_field"'),
        ({"noise_reduction": []}, 'noise_reduction is an array; it must be "near_field" or "far_field"'),
        (
            {"turn_detection": "server_vad"},
            'turn_detection is "server_vad"; '
            'it must be a table such as { type = "server_vad", silence_duration_ms = 700 }',
        ),
        (
            {"turn_detection": {"type": "vad"}},
            'turn_detection.type is "vad"; it must be "server_vad", "semantic_vad", "local" or "none"',
        ),
        (
            {"turn_detection": {"type": ["local"]}},
            'turn_detection.type is an array; it must be "server_vad", "semantic_vad", "local" or "none"',
        ),
        (
            {"turn_detection": {"type": "semantic_vad", "eagerness": "max"}},
            'turn_detection.eagerness is "max"; it must be "low", "medium", "high" or "auto"',
        ),
        (
            {"turn_detection": {"type": "semantic_vad", "idle_timeout_ms": 6000}},
            "turn_detection.idle_timeout_ms is not a known key; "
            "allowed are type, eagerness, interrupt_response, create_response",
        ),
        (
            {"turn_detection": {"type": "local", "idle_timeout_ms": 6000}},
            "turn_detection.idle_timeout_ms is not a known key; allowed are type, threshold, prefix_padding_ms, "
            "silence_duration_ms, min_speech_ms, interrupt_response, create_response, withhold_silence",
        ),
        (
            {"turn_detection": {"type": "none", "create_response": True}},
            "turn_detection.create_response is not a known key; allowed are type, withhold_silence",
        ),
        (
            {"transcription": True},
            "transcription is true; "
            'it must be a table such as { model = "gpt-4o-mini-transcribe", language = "en" }, or false',
        ),
        (
            {"transcription": {"language": "en-US"}},
            'transcription.language is "en-US"; it must be an ISO 639 code such as "en" or "de"',
        ),
        (
            {"transcription": {"langage": "en"}},
            "transcription.langage is not a known key; the nearest is language",
        ),
        (
            {"barge_in": {"hold_ms": 6000}},
            "barge_in.hold_ms is 6000; it must be a whole number of milliseconds from 0 to 5000",
        ),
        (
            {"barge_in": {"hold_ms": 2000, "backchannels": ["mhm", ""]}},
            'barge_in.backchannels is ""; it must be at most 100 texts of 1 to 40 characters '
            'such as ["mhm", "uh-huh"]',
        ),
        (
            {"barge_in": {"backchannel": ["mhm"]}},
            "barge_in.backchannel is not a known key; the nearest is backchannels",
        ),
        (
            {"barge_in": {"backchannels": ["mhm"]}},
            "barge_in.backchannels needs barge_in.hold_ms: the words come only after the speech",
        ),
        (
            {"barge_in": {"hold_ms": 2000}, "transcription": False},
            "barge_in.hold_ms needs transcription: it waits for the caller's words",
        ),
        (
            {"barge_in": {"echo_guard": True}, "turn_detection": {"type": "none"}},
            'barge_in.echo_guard needs a turn_detection.type that hears speech, not "none"',
        ),
        (
            {"no_input": {}, "turn_detection": {"type": "none"}},
            'no_input needs a turn_detection.type that hears speech, not "none"',
        ),
        (
            {"no_input": {}, "turn_detection": {"type": "server_vad", "idle_timeout_ms": 8000}},
            "no_input.after_s must be less than turn_detection.idle_timeout_ms: the model speaks before else",
        ),
        ({"no_input": {"after_s": 1}}, "no_input.after_s is 1; it must be a number of seconds from 2 to 120"),
        ({"no_input": 8}, f"no_input is 8; it must be {NO_INPUT}"),
        ({"limits": {"say": "x"}}, "limits.say is not a known key; allowed are warn, goodbye, sorry"),
        (
            {"limits": {"goodbye": "Bye, {name}"}},
            "limits.goodbye holds {name}, but only {caller}, {number}, {now}, {language} are replaced; "
            "a brace itself is written {{ or }}",
        ),
        ({"max_cost_usd": 0}, "max_cost_usd is 0; it must be a number of US dollars above 0, at most 10000"),
        ({"temprature": 0.8}, "temprature is not a known key; the nearest is temperature"),
        ({"a b\n": 1}, f'"a b\\n" is not a known key; allowed are {", ".join(Profile.model_fields)}'),
        ({"server_vad": {}}, f"server_vad is not a known key; allowed are {', '.join(Profile.model_fields)}"),
        (
            {"prompt": "{name} { {caller}"},
            "prompt holds {name}, {, but only {caller}, {number}, {now}, {language} are replaced; "
            "a brace itself is written {{ or }}",
        ),
        (
            {"greeting": "Hello {caller_name}!"},
            "greeting holds {caller_name}, but only {caller}, {number}, {now}, {language} are replaced; "
            "a brace itself is written {{ or }}",
        ),
        (
            {"prompt": '{\n  "opening": "17:00",\n  "closing": "23:00 or later"\n}'},
            'prompt holds {\\n  "opening": "17:00",\\n  "closing": "..., '
            "but only {caller}, {number}, {now}, {language} are replaced; a brace itself is written {{ or }}",
        ),
    ],
)
def test_a_wrong_key_is_refused_with_what_is_allowed(table: dict[str, object], problem: str) -> None:
    assert problems_of(**table) == (problem,)


def test_a_recorded_greeting_needs_its_words() -> None:
    assert problems_of(greeting_audio="hello.wav") == (
        "greeting_audio needs greeting: the words that are said in it",
    )
    assert problems_of(greeting="", greeting_audio="") == (
        'greeting_audio is ""; it must be the name of a WAV file, of 1 to 255 characters',
    )


def test_a_recording_says_the_same_to_everybody() -> None:
    assert problems_of(greeting="Hello {caller}, it is {now}. {{}}", greeting_audio="hello.wav") == (
        "greeting holds {caller}, {now}, which a recording (greeting_audio) cannot say",
    )


@pytest.mark.parametrize("key", sorted(UNSUPPORTED))
def test_a_key_that_is_only_planned_is_refused_as_such(key: str) -> None:
    assert problems_of(**{key: True}) == (f"{key} is not supported by this version",)


def test_each_wrong_key_has_its_sentence() -> None:
    problems = problems_of(record=1, voice=2, transcription={"model": 3, "x": 4}, tools=3, agents=[])
    assert {problem.split()[0] for problem in problems} == {
        "record",
        "voice",
        "transcription.model",
        "transcription.x",
        "tools",
        "agents",
    }


@given(st.dictionaries(keys, json_values, max_size=4))
def test_any_table_is_taken_or_refused_with_short_sentences_on_one_line(table: dict[str, object]) -> None:
    problems: tuple[str, ...] = ()
    try:
        Profile.from_table(table, "test")
    except ProfileError as error:
        problems = error.problems
    for problem in problems:
        assert problem.isprintable()
        assert len(problem) <= MAX_SENTENCE


# ------------------------------------------------------------------------------------------- versions


def test_profiles_with_the_same_content_have_the_same_version() -> None:
    reordered = dict(reversed(EVERY_KEY.items()))
    assert profile_of(**reordered).version == profile_of(**EVERY_KEY).version
    assert profile_of(greeting="").version == Profile().version


def test_a_version_is_short_and_hexadecimal() -> None:
    assert len(Profile().version) == 12
    assert set(Profile().version) <= set(string.hexdigits.lower())


@pytest.mark.parametrize("key", EVERY_KEY)
def test_each_key_counts_in_the_version(key: str) -> None:
    together = ("agents", "handoffs")  # neither is taken without the other
    changed = {each: EVERY_KEY[each] for each in (together if key in together else (key,))}
    if key == "record":  # with the notice of it among the others it is the default
        changed = {"record": False}
    without = {"greeting": "Hi"}
    assert profile_of(**without | changed).version != profile_of(**without).version


def test_a_profile_that_is_kept_is_known_by_the_version_it_was_saved_as() -> None:
    kept = Profile(name="desk").with_version("0123456789ab")
    assert kept.version == kept.with_greeting_clip("AAAA").version == "0123456789ab"
    assert Profile(name="desk").version != kept.version


def test_a_recording_counts_in_the_version() -> None:
    profile = profile_of(greeting="Hello", greeting_audio="hello.wav")
    one, other = profile.with_greeting_clip("AAAA"), profile.with_greeting_clip("BBBB")
    assert len({profile.version, one.version, other.version}) == 3
    assert (profile.greeting_clip, one.greeting_clip) == ("", "AAAA")


# ------------------------------------------------------------------------------------------- documentation


def documented() -> set[tuple[str, str, str]]:
    """Key, default and what is allowed of each row that documents a key."""
    return set(re.findall(r"^\| `([a-z_.]+)` \| .+ \| (.+) \| (.+) \|$", DOCUMENT, re.MULTILINE))


def fields() -> Iterator[tuple[str, object, str | None]]:
    """The same of the code: a key that several kinds of turn detection have comes as often."""
    tables: list[tuple[str, type[BaseModel]]] = [
        ("", Profile),
        ("turn_detection.", ServerVad),
        ("turn_detection.", SemanticVad),
        ("turn_detection.", LocalVad),
        ("turn_detection.", NoVad),
        ("transcription.", Transcription),
        ("barge_in.", BargeIn),
        ("lookup.", Lookup),
        ("truncation.", Truncation),
    ]
    for prefix, table in tables:
        for name, info in table.model_fields.items():
            yield prefix + name, info.default, info.description


def test_every_key_is_documented_with_what_is_allowed() -> None:
    assert {(key, allowed) for key, _, allowed in documented()} == {(key, allowed) for key, _, allowed in fields()}


def test_the_documented_defaults_are_those_of_the_code() -> None:
    in_words = {"prompt", "turn_detection.type"}  # each kind of turn detection has its own type
    simple = {
        (key, json.dumps(default), allowed)
        for key, default, allowed in fields()
        if isinstance(default, str | int | float) and key not in in_words
    }
    assert simple <= {(key, default.strip("`"), allowed) for key, default, allowed in documented()}


def test_every_unsupported_key_is_documented() -> None:
    section = DOCUMENT.partition("## Not supported by this version")[2]
    assert set(re.findall(r"`([a-z_]+)`", section)) == UNSUPPORTED


def test_the_documented_example_can_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "numbers.toml"
    file.write_text(DOCUMENT.partition("```toml\n")[2].partition("```")[0], "utf-8")
    numbers = Numbers.load(file)
    assert numbers.default.greeting == "Hello! How can I help?"
    assert numbers.profile_for("+15550100000").voice == "marin"
    assert numbers.profile_for("+15550100001").turn_detection == SemanticVad(eagerness="low")
    assert numbers.profile_for("+15550100002").turn_detection == LocalVad(
        threshold=0.6, silence_duration_ms=600, min_speech_ms=150
    )
