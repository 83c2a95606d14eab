"""
From a typed Python function to one that the model may call: its schema, its arguments checked, its result as text.

    @tool(timeout_s=5, fillers=("One moment.",))
    async def book_table(
        guests: Annotated[int, Field(ge=1, le=12, description="how many come")], at: datetime, call: ToolContext
    ) -> str:
        "Books a table."

The model sees the function's name, its docstring and the JSON schema of its parameters; a parameter of the type
ToolContext is not among them: it is the call. What is no `async def` runs in a thread.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, to_jsonable_python

from phonebot.agents.tools import NAME
from phonebot.call.inputs import MAX_OUTPUT_CHARACTERS
from phonebot.call.plan import Consent, ToolRule
from phonebot.realtime.events import FunctionTool
from phonebot.tools.running import Blocking, Leaving, Speaking, ToolContext, ToolFault, filler_ms, rule_timeout_ms

MAX_PROBLEMS = 5  # of arguments that do not fit: enough to correct them
DONE = "Done."
"""What the model is told of a function that returns nothing."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Tool:
    """
    A Python function that the model may call, made by `tool`. Called, it is the function itself.

    `context` is the parameter that gets the ToolContext; None: it wants none.
    """

    function: FunctionTool
    rule: ToolRule
    timeout_s: float
    code: Callable[..., Any]
    arguments: type[BaseModel]
    context: str | None

    @property
    def name(self) -> str:
        return self.function.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.code(*args, **kwargs)

    async def run(self, arguments: str, context: ToolContext, blocking: Blocking) -> str | Leaving | Speaking:
        """See `Runnable.run`."""
        given = self._checked(arguments)
        if self.context:
            given[self.context] = context
        if inspect.iscoroutinefunction(self.code):
            result = await self.code(**given)
        else:
            result = await blocking(lambda: self.code(**given))
        return result if isinstance(result, Leaving | Speaking) else as_text(result)

    def _checked(self, arguments: str) -> dict[str, Any]:
        try:
            model = self.arguments.model_validate_json(arguments or "{}")
        except ValidationError as error:
            raise ToolFault("arguments", "; ".join(_problems(error))) from None
        return {
            info.alias or name: getattr(model, name)
            for name, info in self.arguments.model_fields.items()
            # What the model left out has the function's own default.
            if name in model.model_fields_set
        }


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    timeout_s: float = 20,
    fillers: Sequence[str] | None = None,
    filler_s: float | None = None,
    confirm_key: str | None = None,
    confirm_words: Sequence[str] = (),
    answers: bool = True,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """
    Make a function one that the model may call.

    `name` None: that of the function. It is given up after `timeout_s`. While it runs and nobody speaks, the bot
    says each of `fillers` in turn, the first after `filler_s` (1.5 s); None: in words of its own (after 3 s); ():
    nothing. With `confirm_key` or `confirm_words` the caller must have agreed, by this key or by one of these
    phrases, before it runs. `answers` False: the model is told the result and does not speak of it by itself.
    Raises TypeError or ValueError for what a model cannot call.
    """
    return _made(function) if function is not None else lambda each: _made(each, **options)


def _made(
    code: Callable[..., Any],
    name: str | None = None,
    timeout_s: float = 20,
    fillers: Sequence[str] | None = None,
    filler_s: float | None = None,
    confirm_key: str | None = None,
    confirm_words: Sequence[str] = (),
    answers: bool = True,
) -> Tool:
    name = name or code.__name__
    description = inspect.getdoc(code)
    if not NAME.fullmatch(name):
        raise ValueError(f"a model cannot call a function {name!r}: letters, digits, _ and -, at most 64")
    if not description:
        raise TypeError(f"{name} has no docstring: it tells the model what the function does, and when to call it")
    if confirm_key and (confirm_words or len(confirm_key) != 1 or confirm_key not in "0123456789*#"):
        raise ValueError(f"{name}: confirm_key is one of 0 to 9, * and #, and stands without confirm_words")
    if not (timeout_s > 0 and (filler_s is None or filler_s > 0)):
        raise ValueError(f"{name}: timeout_s and filler_s must be more than 0")
    if isinstance(fillers, str) or isinstance(confirm_words, str):
        raise TypeError(f"{name}: fillers and confirm_words are sequences of texts, not a text")
    model, context = _parameters(name, code)
    consent = Consent(confirm_key or "", tuple(confirm_words)) if confirm_key or confirm_words else None
    schema = model.model_json_schema(schema_generator=_Schema)
    return Tool(
        FunctionTool(name, description, {"type": "object", "properties": {}} | schema),
        ToolRule(
            name,
            rule_timeout_ms(timeout_s),
            None if fillers is None else tuple(fillers),
            filler_ms(fillers, filler_s),
            consent,
            answers,
        ),
        timeout_s,
        code,
        model,
        context,
    )


def _parameters(name: str, code: Callable[..., Any]) -> tuple[type[BaseModel], str | None]:
    """A model of the function's arguments, and the parameter that is the call."""
    hints = get_type_hints(code, include_extras=True)
    fields: dict[str, Any] = {}
    context: str | None = None
    for parameter in inspect.signature(code).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{name}: a model gives arguments by their names, which {parameter} does not take")
        if parameter.name not in hints:
            raise TypeError(f"{name}: {parameter.name} has no type, so the model cannot know what it may be")
        if hints[parameter.name] is ToolContext:
            context = parameter.name
            continue
        if isinstance(parameter.default, FieldInfo):
            raise TypeError(f"{name}: write {parameter.name}: Annotated[..., Field(...)], so that it can be called")
        default = ... if parameter.default is parameter.empty else parameter.default
        # Its own name would be refused where pydantic has an attribute of that name, such as copy.
        fields[f"argument_{len(fields)}"] = (hints[parameter.name], Field(default, alias=parameter.name))
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    return create_model("Arguments", __config__=config, **fields), context


class _Schema(GenerateJsonSchema):
    """Without titles: each costs the model tokens, and says no more than the name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def generate(self, schema: CoreSchema, mode: Any = "validation") -> Any:
        made = super().generate(schema, mode)
        for each in (made, *made.get("$defs", {}).values()):
            each.pop("title", None)
        return made


def _problems(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False)[:MAX_PROBLEMS]:
        where = ".".join(map(str, fault["loc"]))
        yield f"{where[:100]}: {fault['msg'][:200]}" if where else fault["msg"][:200]


# ------------------------------------------------------------------------------------------- results


def as_text(result: object) -> str:
    """
    A result as the model is told it: text as it is, nothing as `DONE`, anything else as JSON.

    Not much more of it is made than the model can be told. Raises ToolFault for what is no JSON.
    """
    if result is None:
        return DONE
    if isinstance(result, str):
        return result
    pieces, length = list[str](), 0
    try:
        # In pieces: a result may be of any size, and the calls of a process wait for what is made here.
        for piece in json.JSONEncoder(ensure_ascii=False, default=_plain).iterencode(result):
            pieces.append(piece)
            length += len(piece)
            if length > MAX_OUTPUT_CHARACTERS:
                break
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolFault("failed", "its result cannot be told", f"its result is no JSON: {error}") from None
    return "".join(pieces)


def _plain(value: object) -> object:
    if isinstance(value, Iterator):
        raise TypeError(f"{type(value).__name__} may have no end")
    return to_jsonable_python(value)
