"""Questions in writing, over real sockets: to the embedded model in both dialects, and to odd services."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from model_driver import Answers, both_dialects
from service_driver import confirm_session, leaving_nothing, scripted_model
from websockets.asyncio.server import ServerConnection

from phonebot.errors import ModelError, ModelRefused, ModelUnreachable
from phonebot.realtime import text as text_module
from phonebot.realtime.events import Dialect
from phonebot.realtime.providers import gateway
from phonebot.realtime.text import TextSession, UnfitAnswer
from phonebot.simulator.mind import Call, Line, Mind, Say
from phonebot.simulator.outputs import Faults, Options
from phonebot.simulator.server import ModelServer, serve

SCHEMA = {
    "type": "object",
    "properties": {"topic": {"enum": ["hours", "prices"]}, "again": {"type": "boolean"}},
    "required": ["topic"],
}
FAST = Options(speed=float("inf"))

Json = dict[str, Any]


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    async with leaving_nothing():
        yield


def taking_turns(*minds: Mind) -> Callable[[], Mind]:
    """The mind of the first session, of the second, and so on."""
    waiting: Iterator[Mind] = iter(minds)
    return lambda: next(waiting)


@asynccontextmanager
async def model(
    *minds: Mind, dialect: Dialect = "ga", options: Options = FAST, faults: Faults | None = None
) -> AsyncIterator[tuple[TextSession, ModelServer]]:
    """A session with an embedded model that has one of these minds for each of its own."""
    async with (
        serve(minds=taking_turns(*minds), options=options, faults=faults) as server,
        TextSession(gateway(server.url, "m", dialect=dialect)) as session,
    ):
        yield session, server


@both_dialects
async def test_a_question_is_answered_in_text(dialect: Dialect) -> None:
    mind = Answers(Say("A caller asked for the opening hours."))
    async with model(mind, dialect=dialect) as (session, _):
        answer = await session.ask("Sum up the call.", "Caller: When do you open?")
    assert answer.text == "A caller asked for the opening hours."
    assert answer.data is None
    (context,) = mind.contexts
    assert (context.instructions, context.in_writing, context.forced) == ("Sum up the call.", True, False)
    assert context.history == (Line("user", "Caller: When do you open?"),)
    assert (answer.usage.input_text, answer.usage.output_text, answer.usage.output_audio) == (11, 10, 0)


@both_dialects
async def test_a_question_with_a_schema_is_answered_by_an_object(dialect: Dialect) -> None:
    mind = Answers(Call("give_answer", {"topic": "hours"}))
    async with model(mind, dialect=dialect) as (session, _):
        answer = await session.ask("What was it about?", "When do you open?", schema=SCHEMA)
    assert answer.data == {"topic": "hours"}
    assert json.loads(answer.text) == answer.data
    (context,) = mind.contexts
    assert (context.tools, context.forced) == (("give_answer",), True)
    assert answer.usage.output > 0


async def test_nothing_is_opened_before_the_first_question_and_one_session_serves_all() -> None:
    mind = Answers(Say("One."), Say("Two."))
    async with model(mind) as (session, server):
        assert not server.sessions
        answers = await asyncio.gather(session.ask("First?", "a"), session.ask("Second?", "b"))
        (opened,) = server.sessions
        assert [answer.text for answer in answers] == ["One.", "Two."]
        assert opened.lines == ()  # they are in no conversation, so neither pays for the other
        assert (opened.config.speaks, opened.config.turn_detection) == (False, None)
    assert [context.history for context in mind.contexts] == [(Line("user", "a"),), (Line("user", "b"),)]


async def test_a_session_that_was_lost_meanwhile_is_opened_anew() -> None:
    asked_on: list[ServerConnection] = []

    async def converse(socket: ServerConnection) -> None:
        await confirm_session(socket)
        question = json.loads(await socket.recv())
        asked_on.append(socket)
        done = response(metadata=question["response"]["metadata"], output=[message(f"{len(asked_on)}.")])
        await socket.send(json.dumps({"type": "response.done", "response": done}))
        await socket.close(1001)

    async with scripted_model(converse) as url, TextSession(gateway(url, "m")) as session:
        assert (await session.ask("First?", "a")).text == "1."
        await asked_on[0].wait_closed()
        assert (await session.ask("Second?", "b")).text == "2."


async def test_an_answer_that_does_not_fit_the_schema_says_where() -> None:
    async with model(Answers(Call("give_answer", {"topic": "tea"}), Say("Tea."), Say("Fine."))) as (
        session,
        server,
    ):
        with pytest.raises(UnfitAnswer, match="the answer does not fit: topic: 'tea' is not one of") as unfit:
            await session.ask("What was it about?", "Tea", schema=SCHEMA)
        assert unfit.value.answer.text == '{"topic": "tea"}'
        assert unfit.value.answer.usage.output > 0
        with pytest.raises(UnfitAnswer, match="the answer is no call"):
            await session.ask("What was it about?", "Tea", schema=SCHEMA)
        assert len(server.sessions) == 1
        assert (await session.ask("How are you?", "Well?")).text == "Fine."


async def test_an_answer_that_is_cut_off_is_none() -> None:
    async with model(Answers(Say("a" * 400))) as (session, _):
        with pytest.raises(UnfitAnswer, match="the answer was cut off: max_output_tokens") as unfit:
            await session.ask("Write!", "long", max_tokens=10)
    assert unfit.value.answer.text == "a" * 40


async def test_an_answer_without_end_is_given_up_at_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MAX_ANSWER_CHARACTERS", 100)
    async with model(Answers(Say("a" * 200)), Answers(Say("Hello."))) as (session, _):
        with pytest.raises(UnfitAnswer, match="more than 100 characters"):
            await session.ask("Write!", "long")
        assert (await session.ask("And now?", "b")).text == "Hello."


async def test_a_model_that_falls_silent_is_given_up_in_time_and_asked_anew() -> None:
    minds = Answers(Say("One.")), Answers(Say("Two."))
    async with model(*minds, faults=Faults(stall_after_ms=0)) as (session, _):
        for mind in minds:
            with pytest.raises(ModelUnreachable, match="gateway gave no answer within 1 s"):
                await session.ask("Well?", "a", timeout_s=1)
            assert len(mind.contexts) == 1


async def test_a_model_that_fails_may_be_asked_again() -> None:
    class Broken:
        def answer(self, context: object) -> tuple[Say, ...]:
            raise RuntimeError("no idea")

    async with model(Broken(), Answers(Say("Two."))) as (session, _):
        with pytest.raises(ModelUnreachable, match="gateway gave no answer: The server had an error"):
            await session.ask("First?", "a")
        assert (await session.ask("Second?", "b")).text == "Two."


async def test_a_key_that_is_refused_is_no_use_asking_with_again() -> None:
    async with model(Answers(), faults=Faults(refuse_key=True)) as (session, _):
        with pytest.raises(ModelRefused):
            await session.ask("First?", "a")


async def test_after_the_end_nobody_is_asked() -> None:
    async with model(Answers()) as (session, server):
        pass
    with pytest.raises(ModelUnreachable, match="closed"):
        await session.ask("First?", "a")
    assert server.sessions == ()


# ------------------------------------------------------------------------------------------- odd services


async def asked(*events: Json, schema: Json | None = None) -> Any:
    """What `ask` gives of a service that answers the question by these events."""

    async def converse(socket: ServerConnection) -> None:
        await confirm_session(socket)
        question = json.loads(await socket.recv())
        for event in events:
            filled = json.dumps(event).replace('"OURS"', json.dumps(question["response"]["metadata"]))
            await socket.send(filled.replace("OUR-EVENT", question["event_id"]))

    async with scripted_model(converse) as url, TextSession(gateway(url, "m")) as session:
        return await session.ask("Well?", "text", schema=schema, timeout_s=5)


def response(status: str = "completed", **fields: Any) -> Json:
    return {"id": "resp_1", "object": "realtime.response", "status": status, "output": [], **fields}


def message(text: str) -> Json:
    content = [{"type": "output_text", "text": text}]
    return {"id": "item_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


async def test_a_response_to_somebody_else_is_not_ours() -> None:
    other = {**response(), "id": "resp_0", "metadata": {"phonebot_ask": "another"}, "output": [message("No.")]}
    ours = response(metadata="OURS", output=[message("Yes.")])
    answer = await asked(
        {"type": "response.created", "response": {**other, "status": "in_progress"}},
        {"type": "response.created", "response": {**ours, "status": "in_progress"}},
        {"type": "response.done", "response": other},
        {"type": "response.done", "response": ours},
    )
    assert answer.text == "Yes."


async def test_a_gateway_that_loses_metadata_and_output_is_understood() -> None:
    created = {"type": "response.created", "response": response("in_progress")}
    item = {"type": "response.output_item.done", "response_id": "resp_1", "output_index": 0}
    answer = await asked(
        created, {**item, "item": message("Yes.")}, {"type": "response.done", "response": response()}
    )
    assert answer.text == "Yes."


async def test_a_failure_without_a_beginning_is_one() -> None:
    error = {"type": "server_error", "code": "rate_limit_exceeded", "message": "Slow down."}
    done = response("failed", metadata="OURS", status_details={"type": "failed", "error": error})
    with pytest.raises(ModelUnreachable, match="Slow down"):
        await asked({"type": "response.done", "response": done})


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ({"code": "invalid_value", "message": "No.", "event_id": "OUR-EVENT", "param": "response"}, ModelRefused),
        ({"code": "insufficient_quota", "message": "Pay.", "event_id": None}, ModelRefused),
        ({"code": "rate_limit_exceeded", "message": "Slow down.", "event_id": "OUR-EVENT"}, ModelUnreachable),
    ],
)
async def test_a_refusal_tells_whether_to_ask_again(error: Json, raised: type[ModelError]) -> None:
    harmless = {"code": "response_cancel_not_active", "message": "None.", "event_id": None}
    with pytest.raises(raised, match="gateway gave no answer: ") as refused:
        await asked(
            {"type": "error", "error": {"type": "invalid_request_error", **harmless}},
            {"type": "error", "error": {"type": "invalid_request_error", **error}},
        )
    assert refused.value.code == error["code"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [('{"topic": ', "is no JSON"), ("[" * 100_000, "is no JSON"), ("[]", r"\[\] is not of type 'object'")],
)
async def test_arguments_that_are_no_object_do_not_fit(arguments: str, problem: str) -> None:
    call = {"id": "item_1", "type": "function_call", "name": "give_answer", "call_id": "c", "arguments": arguments}
    with pytest.raises(UnfitAnswer, match=problem if len(arguments) < 100 else "more than 20000 characters"):
        await asked({"type": "response.done", "response": response(metadata="OURS", output=[call])}, schema=SCHEMA)
