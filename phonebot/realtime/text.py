"""
A text-only session with a model: what needs no speech costs a tenth of what speech costs.

    async with TextSession(endpoint) as session:
        answer = await session.ask("Sum up this call in two sentences.", transcript)
        answer = await session.ask("Which day was it about?", transcript, schema=SCHEMA)
        answer.data["day"]

The session is opened by the first question and stays open. Each answer is a response outside of the conversation,
with an input of its own, so that no question is charged for those before it (Realtime API, response.create,
`conversation` "none").
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from msgspec import UNSET

from phonebot.errors import ModelError, ModelProtocolError, ModelRefused, ModelUnreachable
from phonebot.realtime.connection import ModelConnection, connect
from phonebot.realtime.events import (
    ArgumentsDelta,
    CreateResponse,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionTool,
    Item,
    Message,
    OutputItemDone,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseOptions,
    Session,
    TextDelta,
    ToolChoice,
    Usage,
)
from phonebot.realtime.providers import Endpoint
from phonebot.realtime.severity import severity

ASK_TIMEOUT_S = 30.0
MAX_ANSWER_TOKENS = 2048
MAX_ANSWER_CHARACTERS = 20_000  # of a service that does not keep to the limit of tokens
MAX_FAULT_CHARACTERS = 300  # of what is wrong with an answer: it may quote all of it

_WANTED = Session(modality="text", turn_detection=None)
_FUNCTION = "give_answer"
_CORRELATION = "phonebot_ask"  # the key in a response's metadata: no event of a response carries our event_id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """
    What the model wrote, and what that cost.

    With a schema `data` is the object that fits it and `text` its JSON as it came; without one `data` is None.
    """

    text: str
    usage: Usage
    data: Any = None


class UnfitAnswer(ModelError):
    """
    The model answered, but not as it was asked to: cut off, too long, or not by the schema.

    `answer` is what it wrote: its tokens are charged all the same. Asking again may help, best with `problem` told.
    """

    def __init__(self, problem: str, answer: TextAnswer) -> None:
        super().__init__(problem)
        self.answer = answer


class TextSession:
    """
    Asks one model, one question after the other, while it is entered.

    Any task may ask; who comes while a question is being answered waits, within his own time. A session that the
    service has ended is opened anew by the next question.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._lock = asyncio.Lock()
        self._connection: ModelConnection | None = None  # None: none was opened, or it was lost
        self._left = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        async with self._lock:
            await self._drop()

    async def ask(
        self,
        instructions: str,
        text: str,
        *,
        schema: Mapping[str, Any] | None = None,
        timeout_s: float = ASK_TIMEOUT_S,
        max_tokens: int = MAX_ANSWER_TOKENS,
    ) -> TextAnswer:
        """
        What the model answers to `text`, following `instructions`; all within `timeout_s`, waiting included.

        `schema` is a JSON schema of type object that refers to nothing outside itself: the model is made to call a
        function that takes it, and what it gives is checked.

        Raises UnfitAnswer for an answer that is cut off, too long or does not fit; ModelRefused when asking again
        is no use; ModelUnreachable when there was no answer in time, or none that came to an end;
        ModelProtocolError.
        """
        try:
            async with asyncio.timeout(timeout_s), self._lock:
                return await self._answer(_Question(instructions, text, schema, max_tokens))
        except TimeoutError:
            raise ModelUnreachable(f"{self.endpoint.name} gave no answer within {timeout_s:g} s") from None

    async def _answer(self, question: "_Question") -> TextAnswer:
        """A session that was open may have ended unnoticed: then the question is put once more to a new one."""
        if self._left:
            raise ModelUnreachable("the session has been closed")
        was_open = self._connection is not None
        try:
            return await self._put(question)
        except ModelUnreachable:
            if not was_open or question.is_begun:
                raise
        _log.debug("%s had ended the session: opened anew", self.endpoint.name)
        return await self._put(question)

    async def _put(self, question: "_Question") -> TextAnswer:
        if self._connection is None:
            self._connection = await connect(self.endpoint, _WANTED)
        try:
            await self._connection.send(question.command)
            while (response := question.receive(await self._connection.receive(), self.endpoint.name)) is None:
                pass
            return question.answer(response)
        except UnfitAnswer:
            if not question.is_done:
                await self._drop()
            raise
        except BaseException:
            # Whatever is still written in there belongs to nobody: the next question has a session of its own.
            await self._drop()
            raise

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class _Question:
    """One question, and what has come of its answer so far."""

    def __init__(self, instructions: str, text: str, schema: Mapping[str, Any] | None, max_tokens: int) -> None:
        self.is_begun = False  # a response was begun: another one would be charged again
        self.is_done = False
        self._id = uuid4().hex
        self._schema = schema
        self._response_id: str | None = None
        self._length = 0
        self._items: list[Item] = []
        options = ResponseOptions(
            instructions=instructions,
            modality="text",
            max_output_tokens=max_tokens,
            conversation="none",
            input=(Message.written("user", text),),
            metadata={_CORRELATION: self._id},
            tools=UNSET if schema is None else (_function(schema),),
            tool_choice=UNSET if schema is None else ToolChoice(_FUNCTION),
        )
        self.command = CreateResponse(options, event_id=self._id)

    def receive(self, event: Event, name: str) -> Response | None:
        """
        The response, once it has ended. `name` is the service's.

        Raises ModelRefused or ModelUnreachable when there will be none, UnfitAnswer when it grows too long.
        """
        match event:
            case ResponseCreated(response) if self._is_ours(response):
                self.is_begun, self._response_id = True, response.id
            case (
                TextDelta(response_id=response_id, delta=delta)
                | ArgumentsDelta(response_id=response_id, delta=delta)
            ) if response_id == self._response_id:
                self._length += len(delta)
                self._check_length(Usage())
            case OutputItemDone(response_id=response_id, item=item) if response_id == self._response_id:
                self._items.append(item)
            case ResponseDone(response) if response.id == self._response_id or (
                self._response_id is None and self._is_ours(response)
            ):
                self.is_done = True
                _check_status(response, name)
                return response
            case ErrorEvent(error) if self._is_refused_by(error):
                raise _failure(name, error)
        return None

    def answer(self, response: Response) -> TextAnswer:
        """What a response says. Raises UnfitAnswer."""
        usage, items = response.usage or Usage(), response.output or self._items
        text = "".join(map(_text, items)) if self._schema is None else _arguments(items)
        answer = TextAnswer(text or "", usage)
        if response.status == "incomplete":
            raise UnfitAnswer(f"the answer was cut off: {response.reason or 'no reason was given'}", answer)
        if text is None:
            raise UnfitAnswer("the answer is no call of the function that takes it", answer)
        self._length = len(text)
        self._check_length(usage)
        return answer if self._schema is None else TextAnswer(text, usage, _fitting(self._schema, answer))

    def _is_ours(self, response: Response) -> bool:
        """Some gateways lose the metadata; nothing else is asked of this session."""
        return (response.metadata or {}).get(_CORRELATION, self._id) == self._id

    def _is_refused_by(self, error: ErrorDetail) -> bool:
        if severity(error) in ("reconnect", "fatal"):
            return True
        return error.event_id == self._id or (error.event_id is None and severity(error) != "harmless")

    def _check_length(self, usage: Usage) -> None:
        if self._length > MAX_ANSWER_CHARACTERS:
            problem = f"the answer has more than {MAX_ANSWER_CHARACTERS} characters"
            raise UnfitAnswer(problem, TextAnswer("", usage))


def _function(schema: Mapping[str, Any]) -> FunctionTool:
    return FunctionTool(_FUNCTION, "Takes the answer. Call it once, with all that is asked for.", dict(schema))


def _text(item: Item) -> str:
    """Of an answer without speech only text parts say anything; what was said for it has its words beside it."""
    if not isinstance(item, Message):
        return ""
    return "".join(part.text or part.transcript or "" for part in item.content)


def _arguments(items: tuple[Item, ...] | list[Item]) -> str | None:
    return next((item.arguments for item in items if isinstance(item, FunctionCall)), None)


def _fitting(schema: Mapping[str, Any], answer: TextAnswer) -> Any:
    """The answer as the schema wants it. Raises UnfitAnswer."""
    try:
        data = json.loads(answer.text)
    except (ValueError, RecursionError):
        raise UnfitAnswer("the answer is no JSON", answer) from None
    try:
        fault = best_match(Draft202012Validator(schema).iter_errors(data))
    except RecursionError:
        raise UnfitAnswer("the answer is nested too deeply to be checked", answer) from None
    if fault is not None:
        where = ".".join(map(str, fault.absolute_path))
        problem = f"{where}: {fault.message}" if where else fault.message
        raise UnfitAnswer(f"the answer does not fit: {problem[:MAX_FAULT_CHARACTERS]}", answer)
    return data


def _check_status(response: Response, name: str) -> None:
    match response.status:
        case "failed":
            raise _failure(name, response.error or ErrorDetail("it gave no reason"))
        case "cancelled":
            raise ModelUnreachable(f"{name} stopped its answer: {response.reason or 'no reason was given'}")
        case "in_progress":
            raise ModelProtocolError(f"{name} ended a response that it says is in progress")


def _failure(name: str, error: ErrorDetail) -> ModelError:
    kind = ModelUnreachable if severity(error) in ("retry_response", "reconnect") else ModelRefused
    where = f"{error.param}: " if error.param else ""
    return kind(f"{name} gave no answer: {where}{error.message or error.type}", error.code)
