"""The items of a session and what the model knows of them; in virtual time."""

import base64
from typing import Any

import pytest
from model_driver import (
    LONG,
    Answers,
    Event,
    ModelDriver,
    TimedVoice,
    audio_bytes,
    both_dialects,
    error_of,
    types,
)

from phonebot.simulator.config import Dialect
from phonebot.simulator.mind import Context, Line, Say
from phonebot.simulator.outputs import Options


@both_dialects
def test_items_go_where_the_client_wants_them(dialect: Dialect) -> None:
    model = ModelDriver(dialect)

    def create(text: str, **fields: Any) -> list[Event]:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, "id": f"item_{text}"}
        return model.send("conversation.item.create", item=item, **fields)

    assert create("a")[0]["previous_item_id"] is None
    assert create("b")[0]["previous_item_id"] == "item_a"
    assert create("c", previous_item_id="root")[0]["previous_item_id"] is None
    assert create("d", previous_item_id="item_a")[0]["previous_item_id"] == "item_a"
    assert [line.text for line in model.session.lines] == ["c", "a", "d", "b"]
    model.check()


@both_dialects
def test_an_item_is_shown_as_it_was_created(dialect: Dialect) -> None:
    model = ModelDriver(dialect)
    text = {"ga": "output_text", "beta": "text"}[dialect]
    for item in (
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "It is late."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "message", "role": "assistant", "content": [{"type": text, "text": "Hi"}]},
        {"type": "function_call", "name": "look", "call_id": "call_1", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "it rains"},
    ):
        events = model.send("conversation.item.create", item=item)
        shown = events[0]["item"]
        assert {key: shown[key] for key in item} == item
        assert shown["status"] == "completed"
        assert shown["object"] == "realtime.item"
    model.check()


def test_the_mind_is_told_the_conversation_as_text() -> None:
    mind = Answers(Say("ok"))
    model = ModelDriver(mind=mind)
    model.configure(
        instructions="Be kind.", tools=[{"type": "function", "name": "look", "parameters": {"type": "object"}}]
    )
    for item in (
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is the weather?"}]},
        {"type": "function_call", "name": "look", "call_id": "call_1", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "it rains"},
    ):
        model.send("conversation.item.create", item=item)
    model.send("response.create")
    assert mind.contexts == [
        Context(
            instructions="Be kind.",
            history=(Line("user", "What is the weather?"), Line("tool", "it rains", "look")),
            tools=("look",),
            heard=None,
        )
    ]


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        ("auto", ("a", "b")),
        ("required", ("a", "b")),
        ("none", ()),
        ({"type": "function", "name": "b"}, ("b",)),
    ],
)
def test_tool_choice_decides_which_functions_the_mind_may_call(choice: Any, tools: tuple[str, ...]) -> None:
    mind = Answers(Say("ok"))
    model = ModelDriver(mind=mind)
    model.configure(tools=[{"type": "function", "name": name} for name in ("a", "b")], tool_choice=choice)
    model.send("response.create")
    assert mind.contexts[0].tools == tools


@pytest.mark.parametrize(
    "choice", ["b", {"type": "function", "name": "b"}, {"type": "function", "function": {"name": "b"}}]
)
def test_a_beta_session_takes_all_forms_of_a_forced_tool(choice: Any) -> None:
    mind = Answers(Say("ok"))
    model = ModelDriver("beta", mind)
    model.configure(tools=[{"type": "function", "name": name} for name in ("a", "b")], tool_choice=choice)
    model.send("response.create")
    assert mind.contexts[0].tools == ("b",)


@both_dialects
def test_a_users_audio_item_is_understood_before_the_answer(dialect: Dialect) -> None:
    mind = Answers(Say("ok"))
    model = ModelDriver(dialect, mind, ear=lambda pcm8k: f"{len(pcm8k) // 16} ms", hold=True)
    model.use_ulaw(type=None)
    audio = base64.b64encode(bytes(8 * 700)).decode()
    content = [{"type": "input_audio", "audio": audio}]
    model.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    model.send("response.create")
    assert mind.contexts == []
    model.release()
    assert mind.contexts[0].heard == "700 ms"


@both_dialects
def test_a_truncated_item_loses_its_transcript_and_the_words_after(dialect: Dialect) -> None:
    mind = Answers(Say(LONG), Say("ok"))
    model = ModelDriver(dialect, mind, voice=TimedVoice(6000))  # twelve words, 500 ms each
    model.use_ulaw()
    model.send("response.create")
    model.run()
    item_id = model.of_type("response.done")[0]["response"]["output"][0]["id"]
    where = {"item_id": item_id, "content_index": 0, "audio_end_ms": 1700}
    (truncated,) = model.send("conversation.item.truncate", **where)
    assert {key: truncated[key] for key in where} == where
    (retrieved,) = model.send("conversation.item.retrieve", item_id=item_id)
    part = retrieved["item"]["content"][0]
    assert part["transcript"] == ""
    assert len(base64.b64decode(part["audio"])) == 1700 * 8
    model.send("response.create")
    assert mind.contexts[1].history == (Line("assistant", "one two three four"),)


@both_dialects
def test_a_truncation_beyond_the_audio_is_refused_with_both_lengths(dialect: Dialect) -> None:
    model = ModelDriver(dialect, voice=TimedVoice(3700))
    model.use_ulaw()
    model.send("response.create")
    model.run()
    item_id = model.of_type("response.done")[0]["response"]["output"][0]["id"]
    where = {"item_id": item_id, "content_index": 0}
    error = error_of(model.send("conversation.item.truncate", **where, audio_end_ms=3760, event_id="t1"))
    assert error["code"] == "invalid_value"
    assert error["message"] == "Audio content of 3700ms is already shorter than 3760ms"
    assert error["event_id"] == "t1"
    assert model.session.lines == (Line("assistant", "Good morning, how can I help you today?"),)
    assert types(model.send("conversation.item.truncate", **where, audio_end_ms=3700)) == [
        "conversation.item.truncated"
    ]


def test_a_second_truncation_cannot_lengthen_an_item() -> None:
    model = ModelDriver(voice=TimedVoice(3000))
    model.send("response.create")
    model.run()
    item_id = model.of_type("response.done")[0]["response"]["output"][0]["id"]
    where = {"item_id": item_id, "content_index": 0}
    model.send("conversation.item.truncate", **where, audio_end_ms=1000)
    error = error_of(model.send("conversation.item.truncate", **where, audio_end_ms=2000))
    assert error["message"] == "Audio content of 1000ms is already shorter than 2000ms"


@both_dialects
def test_no_audio_follows_the_truncation_of_an_item_that_is_being_spoken(dialect: Dialect) -> None:
    model = ModelDriver(dialect, options=Options(speed=1, seed=1), voice=TimedVoice(6000))
    model.use_ulaw()
    model.send("response.create")
    model.run(2000)
    item_id = model.of_type("response.output_item.added")[0]["item"]["id"]
    begin = len(model.events)
    model.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1000)
    model.run()
    assert audio_bytes(model.events[begin:]) == b""
    assert model.only("response.done")["response"]["status"] == "completed"
    model.check()


@pytest.mark.parametrize(("delete", "left"), [("item_a", ["b"]), ("item_b", ["a"])])
def test_a_deleted_item_is_gone(delete: str, left: list[str]) -> None:
    model = ModelDriver()
    for text in "ab":
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, "id": f"item_{text}"}
        model.send("conversation.item.create", item=item)
    (deleted,) = model.send("conversation.item.delete", item_id=delete)
    assert (deleted["type"], deleted["item_id"]) == ("conversation.item.deleted", delete)
    assert [line.text for line in model.session.lines] == left
    error = error_of(model.send("conversation.item.delete", item_id=delete))
    assert (error["code"], error["param"]) == ("item_delete_invalid_item_id", "item_id")


def test_an_item_being_generated_cannot_be_deleted() -> None:
    model = ModelDriver(options=Options(speed=1))
    model.send("response.create")
    item_id = model.of_type("response.output_item.added")[0]["item"]["id"]
    error = error_of(model.send("conversation.item.delete", item_id=item_id))
    assert (error["code"], error["param"]) == ("invalid_value", "item_id")
    assert types(model.send("response.cancel"))[-2] == "response.done"
    assert types(model.send("conversation.item.delete", item_id=item_id)) == ["conversation.item.deleted"]


def test_an_answer_is_retrieved_in_the_sessions_present_format() -> None:
    model = ModelDriver(voice=TimedVoice(1000))
    model.use_ulaw(type=None)
    model.send("response.create")
    model.run()
    item_id = model.of_type("response.done")[0]["response"]["output"][0]["id"]
    for audio_format, length in (({"type": "audio/pcma"}, 8000), ({"type": "audio/pcm", "rate": 24000}, 48000)):
        model.configure(audio={"output": {"format": audio_format}})
        (retrieved,) = model.send("conversation.item.retrieve", item_id=item_id)
        assert len(base64.b64decode(retrieved["item"]["content"][0]["audio"])) == length


def test_a_full_conversation_takes_no_more_items_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonebot.simulator.conversation.MAX_ITEMS", 1)
    model = ModelDriver()
    model.use_ulaw()
    text = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}
    model.send("conversation.item.create", item=text)
    assert error_of(model.send("conversation.item.create", item=text))["code"] == "invalid_value"
    events = model.hear(400, 300)
    assert types(events) == ["input_audio_buffer.speech_started", "error"]
    model.check()


def test_the_oldest_audio_is_forgotten_but_not_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonebot.simulator.conversation.MAX_AUDIO_BYTES", 8 * 500)
    model = ModelDriver()
    model.use_ulaw(type=None)
    for _ in range(2):
        model.hear(400)
        model.send("input_audio_buffer.commit")
    lengths = [(len(item.parts[0].audio), item.parts[0].audio_ms) for item in model.session.conversation]
    assert lengths == [(0, 400), (3200, 400)]
