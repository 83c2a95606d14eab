"""The responses of a session: their events, their pace and what they cost; in virtual time."""

import base64
import json
import math
from typing import Any

import pytest
from model_driver import (
    LONG,
    Answers,
    ModelDriver,
    TimedVoice,
    audio_bytes,
    both_dialects,
    error_of,
    types,
)

from phonebot.simulator.config import Dialect
from phonebot.simulator.mind import Call, Context, Line, RateLimited, Say, Speech
from phonebot.simulator.outputs import Options


@both_dialects
def test_a_written_answer_is_told_as_text(dialect: Dialect) -> None:
    model = ModelDriver(dialect, Answers(Say(LONG)))
    modalities = {"ga": "output_modalities", "beta": "modalities"}[dialect]
    model.send("response.create", response={modalities: ["text"]})
    model.run()
    name = {"ga": "response.output_text", "beta": "response.text"}[dialect]
    assert "".join(event["delta"] for event in model.of_type(f"{name}.delta")) == LONG
    assert model.only(f"{name}.done")["text"] == LONG
    assert model.only("response.content_part.done")["part"] == {"type": "text", "text": LONG}
    (item,) = model.only("response.done")["response"]["output"]
    assert item["content"] == [{"type": {"ga": "output_text", "beta": "text"}[dialect], "text": LONG}]
    model.check()


@both_dialects
def test_a_function_call_and_its_result(dialect: Dialect) -> None:
    mind = Answers(Call("look_up", {"number": "17", "city": "Zürich"}), Say("It was shipped."))
    model = ModelDriver(dialect, mind)
    model.send("response.create")
    model.run()
    done = model.only("response.function_call_arguments.done")
    assert json.loads(done["arguments"]) == {"number": "17", "city": "Zürich"}
    assert ("name" in done) == (dialect == "ga")
    (item,) = model.only("response.done")["response"]["output"]
    assert (item["type"], item["name"], item["status"]) == ("function_call", "look_up", "completed")
    assert item["call_id"] == done["call_id"]
    output = {"type": "function_call_output", "call_id": item["call_id"], "output": "shipped"}
    model.send("conversation.item.create", item=output)
    model.send("response.create")
    model.run()
    assert mind.contexts[1].history == (Line("tool", "shipped", "look_up"),)
    assert mind.contexts[1].heard is None
    model.check()


@both_dialects
def test_parallel_calls_follow_the_spoken_words_and_interleave(dialect: Dialect) -> None:
    answer = (Say("One moment."), Call("a", {"text": "x" * 40}), Call("b", {"text": "y" * 40}))
    model = ModelDriver(dialect, Answers(answer))
    model.send("response.create")
    model.run()
    output = model.only("response.done")["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
    deltas = model.of_type("response.function_call_arguments.delta")
    assert [event["output_index"] for event in deltas] == [1, 2] * (len(deltas) // 2)
    assert len({event["call_id"] for event in deltas}) == 2
    model.check()


@both_dialects
def test_an_out_of_band_response_runs_beside_the_conversations(dialect: Dialect) -> None:
    mind = Answers(Say(LONG), Say("A summary."))
    model = ModelDriver(dialect, mind, options=Options(speed=1))
    model.use_ulaw()
    model.send("response.create")
    modalities = {"ga": "output_modalities", "beta": "modalities"}[dialect]
    begin = len(model.events)
    wish = {
        "conversation": "none",
        modalities: ["text"],
        "metadata": {"topic": "summary"},
        "instructions": "Sum up.",
    }
    model.send("response.create", response=wish)
    model.run()
    (out_of_band,) = [
        event["response"]
        for event in model.of_type("response.done")
        if event["response"]["conversation_id"] is None
    ]
    assert out_of_band["metadata"] == {"topic": "summary"}
    items = [event["item"]["id"] for event in model.events[begin:] if event["type"].startswith("conversation.item")]
    assert out_of_band["output"][0]["id"] not in items
    assert (mind.contexts[1].instructions, mind.contexts[1].request) == ("Sum up.", "Sum up.")
    assert [line.text for line in model.session.lines] == [LONG]
    model.check()


def test_speech_leaves_an_out_of_band_response_alone() -> None:
    model = ModelDriver(mind=Answers(Say(LONG)), options=Options(speed=1))
    model.use_ulaw(create_response=False)
    model.send("response.create", response={"conversation": "none"})
    model.hear(400, 300)
    model.run()
    assert model.only("response.done")["response"]["status"] == "completed"


def test_a_response_reads_its_own_input_instead_of_the_conversation() -> None:
    mind = Answers(Say("ok"), Say("ok"))
    model = ModelDriver(mind=mind)
    for text in ("first", "second"):
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, "id": f"item_{text}"}
        model.send("conversation.item.create", item=item)
    extra = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "extra"}]}
    reference = {"type": "item_reference", "id": "item_first"}
    model.send("response.create", response={"input": [reference, extra]})
    model.run()
    model.send("response.create", response={"input": []})
    assert mind.contexts[0].history == (Line("user", "first"), Line("user", "extra"))
    assert mind.contexts[0].heard == "extra"
    assert (mind.contexts[1].history, mind.contexts[1].heard) == ((), None)


@both_dialects
def test_a_sentence_asked_for_exactly_is_said_whatever_the_mind(dialect: Dialect) -> None:
    mind = Answers()
    model = ModelDriver(dialect, mind)
    model.send(
        "response.create", response={"input": [], "instructions": 'Say exactly: "Hello, this is \\"Rosa\\"."'}
    )
    model.run()
    (item,) = model.only("response.done")["response"]["output"]
    assert item["content"][0]["transcript"] == 'Hello, this is "Rosa".'
    assert mind.contexts == []


def test_an_answer_without_content_is_a_completed_response_without_items() -> None:
    model = ModelDriver(mind=Answers())
    model.send("response.create")
    response = model.only("response.done")["response"]
    assert (response["status"], response["output"]) == ("completed", [])
    model.check()


@both_dialects
def test_a_cancelled_response_keeps_what_was_sent(dialect: Dialect) -> None:
    mind = Answers(Say(LONG), Say("ok"))
    model = ModelDriver(dialect, mind, voice=TimedVoice(6000), options=Options(speed=1, seed=1))
    model.use_ulaw()
    model.send("response.create")
    model.run(2000)
    events = model.send("response.cancel", event_id="c1")
    response = model.only("response.done")["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert "error" not in types(events)
    (item,) = response["output"]
    assert item["status"] == "incomplete"
    (retrieved,) = model.send("conversation.item.retrieve", item_id=item["id"])
    sent = audio_bytes(model.events)
    assert base64.b64decode(retrieved["item"]["content"][0]["audio"]) == sent
    heard_words = -(-len(sent) // 8 // 500)
    model.send("response.create")
    assert mind.contexts[1].history == (Line("assistant", " ".join(LONG.split()[:heard_words])),)
    model.run()
    model.check()


@both_dialects
def test_a_response_cancelled_before_its_first_item_ends_without_any(dialect: Dialect) -> None:
    model = ModelDriver(dialect, hold=True)
    model.send("response.create")
    events = model.send("response.cancel")
    assert types(events)[0] == "response.done"
    assert events[0]["response"]["output"] == []
    assert model.release() == []
    model.check()


def test_cancelling_names_an_out_of_band_response() -> None:
    model = ModelDriver(options=Options(speed=1))
    model.send("response.create", response={"conversation": "none"})
    response_id = model.only("response.created")["response"]["id"]
    assert error_of(model.send("response.cancel"))["code"] == "response_cancel_not_active"
    assert model.send("response.cancel", response_id=response_id)
    assert model.only("response.done")["response"]["id"] == response_id
    model.check()


def test_a_second_response_is_refused_while_one_is_active() -> None:
    model = ModelDriver(options=Options(speed=1))
    model.send("response.create")
    error = error_of(model.send("response.create", event_id="r2"))
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "r2")


@both_dialects
@pytest.mark.parametrize("limit", [1, 2, 7, 40])
def test_a_response_ends_incomplete_at_its_token_limit(dialect: Dialect, limit: int) -> None:
    model = ModelDriver(dialect, Answers(Say(LONG)), voice=TimedVoice(6000))
    model.use_ulaw()
    model.send("response.create", response={"max_output_tokens": limit})
    model.run()
    response = model.only("response.done")["response"]
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert 0 < response["usage"]["output_tokens"] <= limit
    model.check()


@pytest.mark.parametrize("limit", [1, 5])
def test_a_call_cut_by_the_token_limit_has_broken_arguments(limit: int) -> None:
    model = ModelDriver(mind=Answers(Call("note", {"text": "x" * 100})))
    model.send("response.create", response={"max_output_tokens": limit})
    model.run()
    (item,) = model.only("response.done")["response"]["output"]
    assert item["status"] == "incomplete"
    assert len(item["arguments"]) == 4 * limit
    model.check()


class Broken:
    """A mind and a voice that fail."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        raise RuntimeError("no idea")

    async def speak(self, text: str) -> Speech:
        raise AssertionError("not reached")


@both_dialects
def test_a_response_whose_mind_fails_is_failed_and_free(dialect: Dialect) -> None:
    model = ModelDriver(dialect, Broken())
    model.send("response.create")
    response = model.only("response.done")["response"]
    assert response["status"] == "failed"
    assert response["status_details"]["error"]["type"] == "server_error"
    assert response["usage"]["total_tokens"] == 0
    model.check()


class Limited:
    """A mind that may answer nothing for now."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        raise RateLimited(2.5)


@both_dialects
def test_a_response_that_the_rate_limit_does_not_allow_is_failed_and_says_when_it_does(dialect: Dialect) -> None:
    model = ModelDriver(dialect, Limited())
    model.send("response.create")
    response = model.only("response.done")["response"]
    assert response["status"] == "failed"
    assert response["status_details"]["error"]["code"] == "rate_limit_exceeded"
    limits = [event["rate_limits"][0] for event in model.events if event["type"] == "rate_limits.updated"]
    assert (limits[-1]["remaining"], limits[-1]["reset_seconds"]) == (0, 2.5)
    model.check()


@both_dialects
def test_a_response_whose_voice_fails_is_failed(dialect: Dialect) -> None:
    model = ModelDriver(dialect, hold=True)
    model.send("response.create")
    job = model.held.pop()
    model.fail(job, RuntimeError("hoarse"))
    response = model.only("response.done")["response"]
    assert (response["status"], response["output"]) == ("failed", [])
    model.check()


@both_dialects
def test_burst_audio_comes_at_least_five_times_faster_than_it_plays(dialect: Dialect) -> None:
    model = ModelDriver(dialect, voice=TimedVoice(10_000), options=Options())
    model.send("response.create")
    begin_ms = model.now_ms
    model.run(until="response.done")
    assert 500 < model.now_ms - begin_ms <= 2000


@pytest.mark.parametrize("speed", [1.0, 0.5])
def test_audio_at_or_below_real_time_takes_as_long_as_it_plays(speed: float) -> None:
    model = ModelDriver(voice=TimedVoice(10_000), options=Options(speed=speed))
    model.send("response.create")
    begin_ms = model.now_ms
    model.run(until="response.done")
    assert 9000 / speed < model.now_ms - begin_ms <= 10_000 / speed


def test_all_at_once_comes_in_one_step() -> None:
    model = ModelDriver(options=Options(speed=math.inf))
    assert types(model.send("response.create"))[-2] == "response.done"


def test_audio_is_not_made_up_for_when_the_voice_was_slow() -> None:
    model = ModelDriver(voice=TimedVoice(4000), options=Options(speed=1), hold=True)
    model.use_ulaw()
    model.send("response.create")
    model.run(3000)
    model.release()
    sent_ms = len(audio_bytes(model.events)) / 8
    assert 100 <= sent_ms <= 800


@pytest.mark.parametrize("audio_format", ["audio/pcmu", "audio/pcma", "audio/pcm"])
def test_deltas_vary_in_length_and_add_up_to_the_speech(audio_format: str) -> None:
    model = ModelDriver(voice=TimedVoice(20_000))
    shape = {"type": audio_format} | ({"rate": 24000} if audio_format == "audio/pcm" else {})
    model.configure(audio={"output": {"format": shape}})
    model.send("response.create")
    model.run()
    deltas = [base64.b64decode(event["delta"]) for event in model.of_type("response.output_audio.delta")]
    per_ms, sample = (48, 2) if audio_format == "audio/pcm" else (8, 1)
    assert sum(map(len, deltas)) == 20_000 * per_ms
    assert all(100 * per_ms <= len(delta) <= 800 * per_ms for delta in deltas[:-1])
    assert all(len(delta) % sample == 0 for delta in deltas)
    assert any(len(delta) // sample % 2 for delta in deltas)
    assert len({len(delta) for delta in deltas}) > 10


def test_the_transcript_is_ahead_of_the_audio_and_never_far() -> None:
    model = ModelDriver(mind=Answers(Say(LONG)), voice=TimedVoice(12_000))  # a word per second
    model.use_ulaw()
    model.send("response.create")
    model.run()
    told, sent_ms, leads = "", 0.0, []
    for event in model.events:
        if event["type"] == "response.output_audio_transcript.delta":
            told += event["delta"]
        elif event["type"] == "response.output_audio.delta":
            sent_ms += len(base64.b64decode(event["delta"])) / 8
            leads.append(len(told.split()) * 1000 - sent_ms)
    assert all(0 <= lead <= 1200 for lead in leads)
    assert told == LONG


def test_words_that_the_voice_puts_after_the_end_of_its_audio_are_told_all_the_same() -> None:
    model = ModelDriver(mind=Answers(Say("all of it")), voice=TimedVoice(0))
    model.send("response.create")
    model.run()
    assert audio_bytes(model.events) == b""
    assert model.only("response.output_audio_transcript.done")["transcript"] == "all of it"
    model.check()


def test_every_item_of_a_response_is_audio_of_its_own() -> None:
    model = ModelDriver(mind=Answers((Say("First."), Say("And second."))))
    model.use_ulaw()
    model.send("response.create")
    model.run()
    first, second = model.only("response.done")["response"]["output"]
    lengths = {}
    for item in (first, second):
        deltas = [event for event in model.of_type("response.output_audio.delta") if event["item_id"] == item["id"]]
        lengths[item["content"][0]["transcript"]] = len(audio_bytes(deltas)) / 8
    assert lengths == {"First.": 360, "And second.": 660}
    model.check()


def test_usage_of_two_turns_as_the_service_counts_it() -> None:
    """600 tokens of instructions, 4 s of speech, an answer of 6 s with 120 characters; then 3 s of speech."""
    model = ModelDriver(mind=Answers(Say("x" * 120), Say("y")), voice=TimedVoice(6000))
    model.use_ulaw(type=None)
    model.configure(instructions="i" * 2400)
    for seconds in (4, 3):
        model.hear(seconds * 1000)
        model.send("input_audio_buffer.commit")
        model.send("response.create")
        model.run()
    first, second = (event["response"]["usage"] for event in model.of_type("response.done"))
    assert first == {
        "total_tokens": 790,
        "input_tokens": 640,
        "output_tokens": 150,
        "input_token_details": {
            "text_tokens": 600,
            "audio_tokens": 40,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 30, "audio_tokens": 120},
    }
    assert second["input_tokens"] == 820
    assert second["input_token_details"] == {
        "text_tokens": 630,
        "audio_tokens": 190,
        "image_tokens": 0,
        "cached_tokens": 640,
        "cached_tokens_details": {"text_tokens": 600, "audio_tokens": 40, "image_tokens": 0},
    }


def test_changed_instructions_leave_nothing_cached() -> None:
    model = ModelDriver()
    for instructions in ("i" * 2400, "j" * 2400):
        model.configure(instructions=instructions)
        model.send("response.create")
        model.run()
    usage = model.of_type("response.done")[1]["response"]["usage"]
    assert usage["input_token_details"]["cached_tokens"] == 0


@both_dialects
@pytest.mark.parametrize("when", ["start", "end", "never"])
def test_rate_limits_are_told_when_the_options_say(dialect: Dialect, when: Any) -> None:
    model = ModelDriver(dialect, options=Options(rate_limits=when))
    model.send("response.create")
    model.run()
    names = types(model.events)
    places = [index for index, name in enumerate(names) if name == "rate_limits.updated"]
    expected = {"start": [names.index("response.created") + 1], "end": [len(names) - 1], "never": []}
    assert places == expected[when]
