"""
The GA dialect: the session's audio settings are nested, formats are media types, output is speech or text.

Realtime API reference, client events, session object of type "realtime" and "transcription".
"""

from typing import Any

from msgspec import UNSET, UnsetType

from phonebot.realtime.codec import Codec, function, given, settings, some, typed
from phonebot.realtime.events import AudioFormat, FunctionTool, Part, ResponseOptions, Session, Tool, ToolChoice

FORMATS: dict[AudioFormat, dict[str, Any]] = {
    "pcmu": {"type": "audio/pcmu"},
    "pcma": {"type": "audio/pcma"},
    "pcm24k": {"type": "audio/pcm", "rate": 24_000},  # without its rate the whole update is refused
}


class GaCodec(Codec):
    """`temperature` does not exist here and is left out."""

    dialect = "ga"

    def _update(self, session: Session) -> dict[str, Any]:
        if session.kind == "transcription":
            # No `transcription_session.update` here: the session's own type tells.
            audio = some(given(input=some(_input(session))))
            fields = given(type="transcription", audio=audio, include=session.include)
        else:
            fields = _session(session)
        return {"type": "session.update", "session": fields}

    def _response(self, options: ResponseOptions) -> dict[str, Any]:
        output = given(format=_format(options.output_format), voice=options.voice)
        items = options.input
        return given(
            **_answers(options),
            audio=some(given(output=some(output))),
            conversation=options.conversation,
            input=items if items is UNSET else self._items(items),
            metadata=options.metadata,
        )

    def _part_type(self, part: Part) -> str:
        return part.type


def _session(session: Session) -> dict[str, Any]:
    output = given(format=_format(session.output_format), voice=session.voice, speed=session.speed)
    return given(
        type="realtime",
        **_answers(session),
        audio=some(given(input=some(_input(session)), output=some(output))),
        truncation=session.truncation,
        tracing=session.tracing,
        include=session.include,
    )


def _answers(wanted: Session | ResponseOptions) -> dict[str, Any]:
    """What a session and a single response say alike."""
    modality, effort = wanted.modality, wanted.reasoning_effort
    return {
        "output_modalities": modality if modality is UNSET else [modality],
        "instructions": wanted.instructions,
        "tools": wanted.tools if wanted.tools is UNSET else [_tool(tool) for tool in wanted.tools],
        "tool_choice": _tool_choice(wanted.tool_choice),
        "parallel_tool_calls": wanted.parallel_tool_calls,
        "reasoning": effort if effort is UNSET else {"effort": effort},
        "max_output_tokens": wanted.max_output_tokens,
        "prompt": wanted.prompt,
    }


def _input(session: Session) -> dict[str, Any]:
    return given(
        format=_format(session.input_format),
        transcription=settings(session.transcription),
        noise_reduction=typed(session.noise_reduction),
        turn_detection=settings(session.turn_detection),
    )


def _format(name: AudioFormat | UnsetType) -> dict[str, Any] | UnsetType:
    return UNSET if name is UNSET else FORMATS[name]


def _tool(tool: Tool) -> dict[str, Any]:
    if isinstance(tool, FunctionTool):
        return function(tool)
    return {**tool.config, "type": "mcp", "server_label": tool.server_label}


def _tool_choice(choice: str | ToolChoice | UnsetType) -> str | dict[str, Any] | UnsetType:
    match choice:
        case ToolChoice(name, None):
            return {"type": "function", "name": name}
        case ToolChoice(None, label):
            return {"type": "mcp", "server_label": label}
        case ToolChoice(name, label):
            return {"type": "mcp", "server_label": label, "name": name}
    return choice


GA = GaCodec()
