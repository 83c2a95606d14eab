"""
Items, responses, usage and errors as a service writes them, and how they become ours.

Read by type, strictly; what the protocol lets a service leave out, or what older ones do, may be absent or null.
"""

from typing import Any, ClassVar, cast, get_args

from msgspec import UNSET, Struct, UnsetType, ValidationError

from phonebot.realtime import events
from phonebot.realtime.events import (
    ErrorDetail,
    Item,
    ItemStatus,
    Part,
    Response,
    ResponseStatus,
    TranscriptionUsage,
    Usage,
)

MAX_TOKENS = 10_000_000  # of one response: a hundred times what a model takes in
MAX_SECONDS = 86_400.0  # of a caller's turn


def index(value: int | str | None) -> int:
    """An index in a list; absent means the first. Some manuals show it as text."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    if value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    raise ValidationError(f"Expected `int`, got {value[:40]!r} - at an index")


def tokens(number: int | None) -> int:
    """How many; absent means none. What no response can have is the nearest that one can: it is to be paid."""
    return min(max(number or 0, 0), MAX_TOKENS)


def one_of(value: str | None, literal: Any, otherwise: Any) -> Any:
    """`value` when the Literal type allows it: enumerations of the protocol grow."""
    return value if value in get_args(literal) else otherwise


class WireError(Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None  # HTTP-minded gateways send a number
    param: str | None = None
    event_id: Any = None  # older manuals show a list

    def detail(self) -> ErrorDetail:
        return ErrorDetail(
            message=self.message or "",
            type=self.type,
            code=None if self.code is None else str(self.code)[:100],
            param=self.param,
            event_id=self.event_id if isinstance(self.event_id, str) else None,
        )


class WirePart(Struct):
    type: str
    text: str | None = None
    transcript: str | None = None
    audio: str | None = None
    image_url: str | None = None
    detail: str | None = None

    TYPES: ClassVar[dict[str, str]] = {"text": "output_text", "audio": "output_audio"}
    CALLERS: ClassVar[dict[str, str]] = {"text": "input_text", "audio": "input_audio"}

    def part(self, role: str = "assistant") -> Part | None:
        """None for a type that is newer than this code. The short names mean input or output by the role."""
        names = self.TYPES if role == "assistant" else self.CALLERS
        type_ = names.get(self.type, self.type)
        if type_ not in get_args(Part.__annotations__["type"]):
            return None
        return Part(cast("Any", type_), self.text, self.transcript, self.audio, self.image_url, self.detail)


class WireItem(Struct):
    """Any item: which fields it has depends on its type."""

    type: str
    id: str | None = None
    status: str | None = None
    role: str | None = None
    content: list[WirePart] | None = None
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None
    output: Any = UNSET
    server_label: str | UnsetType | None = UNSET
    tools: Any = UNSET
    error: Any = UNSET
    approval_request_id: str | None = None
    approve: bool | None = None
    reason: str | None = None

    ROLES: ClassVar[tuple[str, ...]] = ("system", "user", "assistant")
    MCP: ClassVar[tuple[str, ...]] = (
        "server_label",
        "tools",
        "name",
        "arguments",
        "approval_request_id",
        "output",
        "error",
    )

    def item(self) -> Item:
        match self.type:
            case "message" if self.role in self.ROLES:
                return self._message()
            case "function_call":
                name, call_id = self._need("name"), self._need("call_id")
                return events.FunctionCall(name, call_id, self.arguments or "", self.id, self._status())
            case "function_call_output":
                output = self.output if isinstance(self.output, str) else ""
                return events.FunctionCallOutput(self._need("call_id"), output, self.id, self._status())
            case "mcp_approval_response":
                request, approve = self._need("approval_request_id"), self.approve is True
                return events.McpApprovalResponse(request, approve, self.id, self.reason)
            case "mcp_list_tools" | "mcp_call" | "mcp_approval_request":
                fields = {name: getattr(self, name) for name in self.MCP}
                kept = {name: value for name, value in fields.items() if value is not None and value is not UNSET}
                return events.McpItem(self.type, self.id, kept)
        return events.UnknownItem(self.type, self.id)

    def _message(self) -> events.Message:
        role = cast("Any", self.role)
        parts = (part.part(role) for part in self.content or ())
        return events.Message(role, tuple(part for part in parts if part), self.id, self._status())

    def _status(self) -> ItemStatus | None:
        return cast("ItemStatus | None", one_of(self.status, ItemStatus, None))

    def _need(self, field: str) -> str:
        value = getattr(self, field)
        if not isinstance(value, str):
            raise ValidationError(f"{self.type} item misses required field `{field}`")
        return value


class _CachedTokens(Struct):
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _InputTokens(Struct):
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    cached_tokens_details: _CachedTokens | None = None


class _OutputTokens(Struct):
    text_tokens: int | None = None
    audio_tokens: int | None = None


class _Usage(Struct):
    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _InputTokens | None = None
    output_token_details: _OutputTokens | None = None

    def usage(self) -> Usage:
        input_, output = self.input_token_details or _InputTokens(), self.output_token_details or _OutputTokens()
        cached = input_.cached_tokens_details or _CachedTokens()
        return Usage(
            total=tokens(self.total_tokens),
            input=tokens(self.input_tokens),
            output=tokens(self.output_tokens),
            input_text=tokens(input_.text_tokens),
            input_audio=tokens(input_.audio_tokens),
            input_image=tokens(input_.image_tokens),
            cached=tokens(input_.cached_tokens),
            cached_text=tokens(cached.text_tokens),
            cached_audio=tokens(cached.audio_tokens),
            cached_image=tokens(cached.image_tokens),
            output_text=tokens(output.text_tokens),
            output_audio=tokens(output.audio_tokens),
        )


class WireTranscriptionUsage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None

    def usage(self) -> TranscriptionUsage:
        seconds = min(max(self.seconds or 0, 0), MAX_SECONDS)
        return TranscriptionUsage(tokens(self.input_tokens), tokens(self.output_tokens), seconds)


class _StatusDetails(Struct):
    reason: str | None = None
    error: WireError | None = None


class WireResponse(Struct):
    id: str
    status: str | None = None
    status_details: _StatusDetails | None = None
    output: list[WireItem] | None = None
    conversation_id: str | None = None
    usage: _Usage | None = None
    metadata: dict[str, str] | None = None

    def response(self, otherwise: ResponseStatus, unknown: ResponseStatus) -> Response:
        """`otherwise` is the status when none is given, `unknown` when it is newer than this code."""
        details = self.status_details or _StatusDetails()
        return Response(
            id=self.id,
            status=one_of(self.status, ResponseStatus, unknown) if self.status else otherwise,
            reason=details.reason,
            error=details.error.detail() if details.error else None,
            output=tuple(item.item() for item in self.output or ()),
            conversation_id=self.conversation_id,
            usage=self.usage.usage() if self.usage else None,
            metadata=self.metadata,
        )
