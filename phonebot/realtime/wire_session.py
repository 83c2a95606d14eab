"""
A session as a service reports it, in `session.created` and `session.updated`.

An echo is read leniently: what it does not say, or says in words newer than this code, is UNSET. The dialects'
fields do not collide, so one shape reads both.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

from msgspec import UNSET, Struct, UnsetType

from phonebot.realtime.events import (
    AudioFormat,
    FunctionTool,
    McpTool,
    Modality,
    Session,
    Tool,
    ToolChoice,
    Transcription,
    TurnDetection,
)
from phonebot.realtime.wire_items import one_of

FORMATS: dict[str, AudioFormat] = {
    "audio/pcmu": "pcmu",
    "audio/pcma": "pcma",
    "audio/pcm": "pcm24k",
    "g711_ulaw": "pcmu",
    "g711_alaw": "pcma",
    "pcm16": "pcm24k",
}
"""Every name of an audio format: GA's media types, then beta's words."""

PCM_RATE_HZ = 24_000  # the only rate of PCM16 that the protocol has


class _Format(Struct):
    type: str | None = None
    rate: int | None = None

    def format(self) -> AudioFormat | UnsetType:
        """UNSET for a format, or a rate of PCM, that phonebot does not speak."""
        name = FORMATS.get(self.type or "", UNSET)
        return UNSET if name == "pcm24k" and self.rate not in (None, PCM_RATE_HZ) else name


class _TurnDetection(Struct):
    type: str | None = None
    threshold: float | None = None
    prefix_padding_ms: float | None = None
    silence_duration_ms: float | None = None
    idle_timeout_ms: float | UnsetType | None = UNSET
    eagerness: str | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None

    def turn_detection(self) -> TurnDetection | UnsetType:
        if self.type not in ("server_vad", "semantic_vad"):
            return UNSET
        idle = self.idle_timeout_ms
        return TurnDetection(
            type=cast("Any", self.type),
            threshold=_said(self.threshold),
            prefix_padding_ms=_whole(self.prefix_padding_ms),
            silence_duration_ms=_whole(self.silence_duration_ms),
            idle_timeout_ms=None if idle is None else _whole(idle),
            eagerness=one_of(self.eagerness, Literal["low", "medium", "high", "auto"], UNSET),
            create_response=_said(self.create_response),
            interrupt_response=_said(self.interrupt_response),
        )


class _Transcription(Struct):
    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    prompt: str | None = None
    keywords: tuple[str, ...] | None = None
    delay: str | None = None

    def transcription(self) -> Transcription:
        return Transcription(
            model=self.model or "",
            language=_said(self.language),
            languages=_said(self.languages),
            prompt=_said(self.prompt),
            keywords=_said(self.keywords),
            delay=_said(self.delay),
        )


class _Typed(Struct):
    type: str | None = None


class _Voice(Struct):
    id: str | None = None


class _Effort(Struct):
    effort: str | None = None


class _Input(Struct):
    format: _Format | str | None = None
    transcription: _Transcription | UnsetType | None = UNSET
    noise_reduction: _Typed | UnsetType | None = UNSET
    turn_detection: _TurnDetection | UnsetType | None = UNSET


class _Output(Struct):
    format: _Format | str | None = None
    voice: _Voice | str | None = None
    speed: float | None = None


class _Audio(Struct):
    input: _Input | None = None
    output: _Output | None = None


class WireSession(Struct):
    """A session's echo: GA's fields, then those that only beta has at the top."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    expires_at: float | None = None
    object: str | None = None
    instructions: str | None = None
    output_modalities: list[str] | None = None
    audio: _Audio | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: _Effort | None = None
    max_output_tokens: int | str | None = None
    truncation: Any = UNSET
    tracing: Any = UNSET
    include: tuple[str, ...] | UnsetType | None = UNSET
    prompt: Any = UNSET

    modalities: list[str] | None = None
    voice: _Voice | str | None = None
    speed: float | None = None
    input_audio_format: str | None = None
    output_audio_format: str | None = None
    input_audio_transcription: _Transcription | UnsetType | None = UNSET
    input_audio_noise_reduction: _Typed | UnsetType | None = UNSET
    turn_detection: _TurnDetection | UnsetType | None = UNSET
    max_response_output_tokens: int | str | None = None
    temperature: float | None = None

    def session(self) -> Session:
        input_, output = self._input(), self._output()
        return Session(
            kind="transcription" if self._transcribes() else "realtime",
            instructions=_said(self.instructions),
            modality=_modality(self.output_modalities or self.modalities),
            voice=_voice(output.voice),
            speed=_said(output.speed),
            input_format=_format(input_.format),
            output_format=_format(output.format),
            turn_detection=_each(input_.turn_detection, _TurnDetection.turn_detection),
            transcription=_each(input_.transcription, _Transcription.transcription),
            noise_reduction=_each(input_.noise_reduction, _noise_reduction),
            tools=UNSET if self.tools is None else _tools(self.tools),
            tool_choice=_tool_choice(self.tool_choice),
            parallel_tool_calls=_said(self.parallel_tool_calls),
            reasoning_effort=_said(self.reasoning.effort) if self.reasoning else UNSET,
            max_output_tokens=_limit(self.max_output_tokens, self.max_response_output_tokens),
            temperature=_said(self.temperature),
            truncation=self.truncation,
            tracing=self.tracing,
            include=self.include,
            prompt=self.prompt,
            id=_said(self.id),
            model=_said(self.model),
            expires_at_s=_whole(self.expires_at),
        )

    def _transcribes(self) -> bool:
        return self.type == "transcription" or self.object == "realtime.transcription_session"

    def _input(self) -> _Input:
        if self.audio and self.audio.input:
            return self.audio.input
        return _Input(
            self.input_audio_format,
            self.input_audio_transcription,
            self.input_audio_noise_reduction,
            self.turn_detection,
        )

    def _output(self) -> _Output:
        if self.audio and self.audio.output:
            return self.audio.output
        return _Output(self.output_audio_format, self.voice, self.speed)


_T = TypeVar("_T")
_U = TypeVar("_U")


def _said(value: _T | None) -> _T | UnsetType:
    """What the server did not say, or said as null where null means nothing, is UNSET."""
    return UNSET if value is None else value


def _whole(value: float | UnsetType | None) -> int | UnsetType:
    return UNSET if value is None or value is UNSET else int(value)


def _each(value: _T | UnsetType | None, read: Callable[[_T], _U]) -> _U | UnsetType | None:
    """Read a part of the session for which null means off."""
    return value if value is None or value is UNSET else read(value)


def _format(value: _Format | str | None) -> AudioFormat | UnsetType:
    return (value if isinstance(value, _Format) else _Format(value)).format()


def _modality(modalities: list[str] | None) -> Modality | UnsetType:
    """Beta lists both when the model speaks, since speech brings its text."""
    if not modalities:
        return UNSET
    return "audio" if "audio" in modalities else "text"


def _voice(value: _Voice | str | None) -> str | UnsetType:
    return _said(value.id if isinstance(value, _Voice) else value)


def _noise_reduction(value: _Typed) -> Literal["near_field", "far_field"] | UnsetType:
    match value.type:
        case "near_field" | "far_field":
            return value.type
    return UNSET


def _limit(*values: int | str | None) -> int | Literal["inf"] | UnsetType:
    for value in values:
        if isinstance(value, int):
            return value
        if value == "inf":
            return "inf"
    return UNSET


def _tools(tools: list[dict[str, Any]]) -> tuple[Tool, ...]:
    """The functions and MCP servers; a kind that is newer than this code is left out."""
    read = (_tool(tool) for tool in tools)
    return tuple(tool for tool in read if tool)


def _tool(tool: dict[str, Any]) -> Tool | None:
    match tool:
        case {"type": "function", "name": str(name)}:
            parameters = tool.get("parameters")
            return FunctionTool(
                name,
                description=str(tool.get("description") or ""),
                parameters=parameters if isinstance(parameters, dict) else {},
            )
        case {"type": "mcp", "server_label": str(label)}:
            rest = {key: value for key, value in tool.items() if key not in ("type", "server_label")}
            return McpTool(label, rest)
    return None


def _tool_choice(
    value: str | dict[str, Any] | None,
) -> Literal["auto", "none", "required"] | ToolChoice | UnsetType:
    """A word, a function's bare name (some gateways), or an object in one of the three shapes in circulation."""
    match value:
        case "auto" | "none" | "required":
            return value
        case str(name) | {"function": {"name": str(name)}} if name:
            return ToolChoice(name=name)
        case {"type": "mcp", "server_label": str(label), "name": str(name)}:
            return ToolChoice(name=name, server_label=label)
        case {"type": "mcp", "server_label": str(label)}:
            return ToolChoice(server_label=label)
        case {"name": str(name)}:
            return ToolChoice(name=name)
    return UNSET
