"""
The beta dialect of 2024: a flat session, formats as words, speech always with its text.

OpenAI has switched it off; Azure's preview address, gateways and other services still speak it (Azure OpenAI,
Realtime API preview reference).
"""

from typing import Any

from msgspec import UNSET, UnsetType

from phonebot.realtime.codec import Codec, functions, given, settings, typed
from phonebot.realtime.events import AudioFormat, Modality, Part, ResponseOptions, Session, ToolChoice

FORMATS: dict[AudioFormat, str] = {"pcmu": "g711_ulaw", "pcma": "g711_alaw", "pcm24k": "pcm16"}
PART_TYPES = {"output_text": "text", "output_audio": "audio"}
TEMPERATURES = 0.6, 1.2  # the allowed range; beyond it the whole update is refused


class BetaCodec(Codec):
    """
    MCP tools, reasoning and `parallel_tool_calls` do not exist here and are left out. So is `truncation`, which
    late servers alone know: one unknown key makes others refuse the whole update.
    """

    dialect = "beta"

    def _update(self, session: Session) -> dict[str, Any]:
        if session.kind == "transcription":
            fields = given(**_input(session), include=session.include)
            return {"type": "transcription_session.update", "session": fields}
        fields = given(
            **_answers(session),
            **_input(session),
            speed=session.speed,
            max_response_output_tokens=session.max_output_tokens,
            tracing=session.tracing,
            include=session.include,
        )
        return {"type": "session.update", "session": fields}

    def _response(self, options: ResponseOptions) -> dict[str, Any]:
        items = options.input
        return given(
            **_answers(options),
            max_response_output_tokens=options.max_output_tokens,
            conversation=options.conversation,
            input=items if items is UNSET else self._items(items),
            metadata=options.metadata,
        )

    def _part_type(self, part: Part) -> str:
        return PART_TYPES.get(part.type, part.type)


def _answers(wanted: Session | ResponseOptions) -> dict[str, Any]:
    """What a session and a single response say alike."""
    return {
        "modalities": _modalities(wanted.modality),
        "instructions": wanted.instructions,
        "voice": wanted.voice,
        "output_audio_format": _format(wanted.output_format),
        "tools": wanted.tools if wanted.tools is UNSET else functions(wanted.tools),
        "tool_choice": _tool_choice(wanted.tool_choice),
        "temperature": _temperature(wanted.temperature),
        "prompt": wanted.prompt,
    }


def _input(session: Session) -> dict[str, Any]:
    return {
        "input_audio_format": _format(session.input_format),
        "input_audio_transcription": settings(session.transcription),
        "input_audio_noise_reduction": typed(session.noise_reduction),
        "turn_detection": settings(session.turn_detection),
    }


def _modalities(modality: Modality | UnsetType) -> list[str] | UnsetType:
    """Speech without text is refused (Azure OpenAI, Realtime API preview reference)."""
    if modality is UNSET:
        return UNSET
    return ["audio", "text"] if modality == "audio" else ["text"]


def _format(name: AudioFormat | UnsetType) -> str | UnsetType:
    return UNSET if name is UNSET else FORMATS[name]


def _temperature(temperature: float | UnsetType) -> float | UnsetType:
    low, high = TEMPERATURES
    return temperature if temperature is UNSET else min(max(temperature, low), high)


def _tool_choice(choice: str | ToolChoice | UnsetType) -> str | dict[str, Any] | UnsetType:
    """A function in the nested form, which Azure documents; MCP servers are unknown here."""
    if not isinstance(choice, ToolChoice):
        return choice
    return UNSET if choice.server_label else {"type": "function", "function": {"name": choice.name}}


BETA = BetaCodec()
