"""
The configuration of a session of the embedded server, free of dialect.

`merged` applies the body of a `session.update` or of a `response.create` that `validation` has accepted: only keys
that are present change; `audio.input` and `audio.output` merge key by key, other values are replaced as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

Dialect: TypeAlias = Literal["ga", "beta"]
Format: TypeAlias = Literal["pcmu", "pcma", "pcm24k"]

BYTES_PER_MS: dict[Format, int] = {"pcmu": 8, "pcma": 8, "pcm24k": 48}

GA_FORMATS: dict[str, Format] = {"audio/pcmu": "pcmu", "audio/pcma": "pcma", "audio/pcm": "pcm24k"}
BETA_FORMATS: dict[str, Format] = {"g711_ulaw": "pcmu", "g711_alaw": "pcma", "pcm16": "pcm24k"}

# How long a semantic VAD waits: this server takes the eagerness for a silence, it doesn't judge the sentence.
SEMANTIC_SILENCE_MS = {"low": 1200, "medium": 800, "auto": 800, "high": 500}


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """Who decides where a turn begins and ends. The defaults are those of an update that names only the type."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True

    @property
    def silence_ms(self) -> int:
        """How much silence ends a turn."""
        if self.type == "semantic_vad":
            return SEMANTIC_SILENCE_MS[self.eagerness]
        return self.silence_duration_ms


@dataclass(frozen=True, slots=True)
class Config:
    """
    What a session or a single response does.

    `speaks` is false for text only. `tools`, `tool_choice`, `voice`, `transcription`, `noise_reduction`,
    `truncation`, `tracing`, `include` and `prompt` are the client's own JSON, returned as it came.
    `reasoning` and `parallel_tool_calls` are None unless the client set them. `speed` and `temperature` are
    returned and have no effect on what the server says.
    """

    model: str
    kind: Literal["realtime", "transcription"] = "realtime"
    instructions: str = "You are a helpful assistant on the telephone. Be brief."
    speaks: bool = True
    voice: Any = "marin"
    speed: float = 1.0
    input_format: Format = "pcm24k"
    output_format: Format = "pcm24k"
    # Sessions begin with a shorter silence than an update without one asks for: seen so in `session.created`.
    turn_detection: TurnDetection | None = TurnDetection(silence_duration_ms=200)
    transcription: Mapping[str, Any] | None = None
    noise_reduction: Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = "auto"
    max_output_tokens: int | Literal["inf"] = "inf"
    temperature: float = 0.8
    truncation: Any = "auto"
    tracing: Any = None
    include: Any = None
    prompt: Any = None
    reasoning: Any = None
    parallel_tool_calls: bool | None = None

    @property
    def callable_tools(self) -> tuple[str, ...]:
        """The names of the functions that `tool_choice` leaves to the model."""
        names = tuple(str(tool["name"]) for tool in self.tools)
        forced = forced_tool(self.tool_choice)
        if self.tool_choice == "none":
            return ()
        return names if forced is None else tuple(name for name in names if name == forced)

    @property
    def must_call(self) -> bool:
        """Whether the answer has to be a function's call."""
        return self.tool_choice == "required" or forced_tool(self.tool_choice) is not None


def forced_tool(tool_choice: Any) -> str | None:
    """
    The one function that a `tool_choice` names, or None.

    The beta dialect writes it as {"type": "function", "name": N}, as {"type": "function", "function": {"name": N}}
    or as a bare N.
    """
    if isinstance(tool_choice, str):
        return None if tool_choice in ("auto", "none", "required") else tool_choice
    return str(tool_choice["name"] if "name" in tool_choice else tool_choice["function"]["name"])


def merged(config: Config, body: Mapping[str, Any], dialect: Dialect) -> Config:
    """Return the configuration changed by an accepted session or response object of this dialect."""
    changes = _ga_changes(body) if dialect == "ga" else _beta_changes(body)
    if "turn_detection" in changes:
        changes["turn_detection"] = _turn_detection(changes["turn_detection"])
    if "tools" in changes:
        changes["tools"] = tuple(changes["tools"])
    return replace(config, **changes)


_SAME_NAME = (
    "model",
    "instructions",
    "tools",
    "tool_choice",
    "max_output_tokens",
    "truncation",
    "tracing",
    "include",
    "prompt",
    "reasoning",
    "parallel_tool_calls",
)


def _ga_changes(body: Mapping[str, Any]) -> dict[str, Any]:
    changes = {key: body[key] for key in _SAME_NAME if key in body}
    if "type" in body:
        changes["kind"] = body["type"]
    if "output_modalities" in body:
        changes["speaks"] = body["output_modalities"] == ["audio"]
    audio = body.get("audio", {})
    heard, spoken = audio.get("input", {}), audio.get("output", {})
    changes |= {key: heard[key] for key in ("transcription", "noise_reduction", "turn_detection") if key in heard}
    changes |= {key: spoken[key] for key in ("voice", "speed") if key in spoken}
    if "format" in heard:
        changes["input_format"] = GA_FORMATS[heard["format"]["type"]]
    if "format" in spoken:
        changes["output_format"] = GA_FORMATS[spoken["format"]["type"]]
    return changes


def _beta_changes(body: Mapping[str, Any]) -> dict[str, Any]:
    names = {key: key for key in (*_SAME_NAME, "voice", "speed", "temperature", "turn_detection")} | {
        "input_audio_transcription": "transcription",
        "input_audio_noise_reduction": "noise_reduction",
        "max_response_output_tokens": "max_output_tokens",
    }
    changes = {name: body[key] for key, name in names.items() if key in body}
    if "modalities" in body:
        changes["speaks"] = "audio" in body["modalities"]
    if "input_audio_format" in body:
        changes["input_format"] = BETA_FORMATS[body["input_audio_format"]]
    if "output_audio_format" in body:
        changes["output_format"] = BETA_FORMATS[body["output_audio_format"]]
    return changes


def _turn_detection(body: Mapping[str, Any] | None) -> TurnDetection | None:
    if body is None:
        return None
    return TurnDetection(**{key: value for key, value in body.items() if value is not None})
