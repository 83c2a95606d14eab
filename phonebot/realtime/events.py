"""
What a model says and is told, in our words, free of dialect.

Commands go to the model, events come from it; `beta.py` and `ga.py` turn both into the JSON of their dialect and
back. The sections named here are those of the Realtime protocol's public API reference: client events, server
events, the session, item and response objects.

`UNSET` in a session means "leave it as it is" (an update changes only what it names) or, in an echo, "the server
did not say". `None` means null: switched off. Times are milliseconds, audio is base64 text in the session's
format, ids are the server's unless said otherwise.
"""

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

AudioFormat: TypeAlias = Literal["pcmu", "pcma", "pcm24k"]
"""G.711 mu-law or A-law at 8 kHz (8 bytes a ms), or PCM16 little-endian mono at 24 kHz (48 bytes a ms)."""

BYTES_PER_MS: dict[AudioFormat, int] = {"pcmu": 8, "pcma": 8, "pcm24k": 48}

Dialect: TypeAlias = Literal["ga", "beta"]
Modality: TypeAlias = Literal["audio", "text"]
ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]
ResponseStatus: TypeAlias = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]


class Frozen(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="is"):
    """A value: compares by content; as JSON it names its class in `is` and leaves defaults out (the call log)."""


# ------------------------------------------------------------------------------------------- the session


class TurnDetection(Frozen, frozen=True):
    """
    Who decides that the caller's turn begins and ends: the server's VAD by level, or by meaning.

    A field that is UNSET is not sent: one unknown key makes an old server refuse the whole update.
    """

    type: Literal["server_vad", "semantic_vad"]
    threshold: float | UnsetType = UNSET
    prefix_padding_ms: int | UnsetType = UNSET
    silence_duration_ms: int | UnsetType = UNSET
    idle_timeout_ms: int | None | UnsetType = UNSET
    eagerness: Literal["low", "medium", "high", "auto"] | UnsetType = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


class Transcription(Frozen, frozen=True):
    """What writes down the caller's speech, beside the model."""

    model: str
    language: str | UnsetType = UNSET
    languages: tuple[str, ...] | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    keywords: tuple[str, ...] | UnsetType = UNSET
    delay: str | UnsetType = UNSET


class FunctionTool(Frozen, frozen=True):
    """A function the model may call. `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


class McpTool(Frozen, frozen=True):
    """Tools of an MCP server, called by the service itself (GA only). `config` holds its fields as documented."""

    server_label: str
    config: dict[str, Any]


Tool: TypeAlias = FunctionTool | McpTool


class ToolChoice(Frozen, frozen=True):
    """One tool that must be called: a function's name, or an MCP server's label and perhaps a name."""

    name: str | None = None
    server_label: str | None = None


class Session(Frozen, frozen=True):
    """
    A session's configuration: the wanted one in an update, the effective one in an echo.

    `id`, `model` and `expires_at_s` (unix seconds, the server's clock) are read-only: only echoes carry them.
    `temperature` exists in the beta dialect only; the GA codec leaves it out.
    """

    kind: Literal["realtime", "transcription"] = "realtime"
    instructions: str | UnsetType = UNSET
    modality: Modality | UnsetType = UNSET
    voice: str | UnsetType = UNSET
    speed: float | UnsetType = UNSET
    input_format: AudioFormat | UnsetType = UNSET
    output_format: AudioFormat | UnsetType = UNSET
    turn_detection: TurnDetection | None | UnsetType = UNSET
    transcription: Transcription | None | UnsetType = UNSET
    noise_reduction: Literal["near_field", "far_field"] | None | UnsetType = UNSET
    tools: tuple[Tool, ...] | UnsetType = UNSET
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    truncation: Any = UNSET
    tracing: Any = UNSET
    include: tuple[str, ...] | None | UnsetType = UNSET
    prompt: Any = UNSET
    id: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    expires_at_s: int | UnsetType = UNSET


# ------------------------------------------------------------------------------------------- items


class Part(Frozen, frozen=True):
    """
    A piece of a message. The names are GA's; beta's `text` and `audio` are `output_text` and `output_audio`.

    `text` holds the text of a text part; `transcript` that of an audio part (None: not known, or not yet).
    `audio` is base64, present only where the protocol carries it (creating user audio, retrieving an item).
    """

    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio"]
    text: str | None = None
    transcript: str | None = None
    audio: str | None = None
    image_url: str | None = None
    detail: str | None = None


class Message(Frozen, frozen=True):
    """Something said or written by one of the three roles."""

    role: Literal["system", "user", "assistant"]
    content: tuple[Part, ...] = ()
    id: str | None = None
    status: ItemStatus | None = None

    @classmethod
    def written(
        cls, role: Literal["system", "user", "assistant"], text: str, item_id: str | None = None
    ) -> "Message":
        """A text, as a client creates it: what the assistant says is output, all else input."""
        return cls(role, (Part("output_text" if role == "assistant" else "input_text", text),), item_id)


class FunctionCall(Frozen, frozen=True):
    """The model asks for a function. `arguments` is JSON text, "" while it is still being written."""

    name: str
    call_id: str
    arguments: str = ""
    id: str | None = None
    status: ItemStatus | None = None


class FunctionCallOutput(Frozen, frozen=True):
    """What a function answered; text, JSON by convention."""

    call_id: str
    output: str
    id: str | None = None
    status: ItemStatus | None = None


class McpApprovalResponse(Frozen, frozen=True):
    """Yes or no to a call that an MCP server wants to make."""

    approval_request_id: str
    approve: bool
    id: str | None = None
    reason: str | None = None


class McpItem(Frozen, frozen=True):
    """An MCP item the server made (`mcp_list_tools`, `mcp_call`, `mcp_approval_request`); `fields` as sent."""

    type: str
    id: str | None = None
    fields: dict[str, Any] = {}  # msgspec copies an empty default


class UnknownItem(Frozen, frozen=True):
    """An item type that is newer than this code."""

    type: str
    id: str | None = None


Item: TypeAlias = Message | FunctionCall | FunctionCallOutput | McpApprovalResponse | McpItem | UnknownItem


class ItemReference(Frozen, frozen=True):
    """Names an item of the conversation in a response's own input."""

    id: str


# ------------------------------------------------------------------------------------------- responses


class Usage(Frozen, frozen=True):
    """Tokens of one response; what an older server leaves out is 0. Cached tokens are part of the input ones."""

    total: int = 0
    input: int = 0
    output: int = 0
    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    output_text: int = 0
    output_audio: int = 0


class ErrorDetail(Frozen, frozen=True):
    """What went wrong, in the service's words. `event_id` is our id of the command it answers, if it says so."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


class Response(Frozen, frozen=True):
    """
    One generation of the model.

    `reason` says why it did not complete: turn_detected, client_cancelled, max_output_tokens, content_filter.
    `conversation_id` None: out of band, or not said. `usage` None: not done, or not said.
    """

    id: str
    status: ResponseStatus
    reason: str | None = None
    error: ErrorDetail | None = None
    output: tuple[Item, ...] = ()
    conversation_id: str | None = None
    usage: Usage | None = None
    metadata: dict[str, str] | None = None


class ResponseOptions(Frozen, frozen=True):
    """What a single response does differently from its session; UNSET follows the session."""

    instructions: str | UnsetType = UNSET
    modality: Modality | UnsetType = UNSET
    voice: str | UnsetType = UNSET
    output_format: AudioFormat | UnsetType = UNSET
    tools: tuple[Tool, ...] | UnsetType = UNSET
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    conversation: Literal["auto", "none"] | UnsetType = UNSET
    input: tuple[Item | ItemReference, ...] | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    prompt: Any = UNSET


# ------------------------------------------------------------------------------------------- commands
# Each may carry an `event_id` of ours; an error that answers it repeats it.


class UpdateSession(Frozen, frozen=True):
    """Change the session. Answered by SessionUpdated, or by an ErrorEvent and then nothing has changed."""

    session: Session
    event_id: str | None = None


class UpdateTranscriptionSession(Frozen, frozen=True):
    """The same for a transcription session of the beta dialect."""

    session: Session
    event_id: str | None = None


class AppendAudio(Frozen, frozen=True):
    """More of the caller's audio. Never acknowledged."""

    audio: str
    event_id: str | None = None


class CommitAudio(Frozen, frozen=True):
    """Make a user item of the audio appended so far (at least 100 ms). Starts no response."""

    event_id: str | None = None


class ClearAudio(Frozen, frozen=True):
    """Forget the audio appended and not committed."""

    event_id: str | None = None


class ClearOutputAudio(Frozen, frozen=True):
    """WebRTC and SIP only: never sent by us, known so that both codecs are complete."""

    event_id: str | None = None


class CreateItem(Frozen, frozen=True):
    """Add an item. `previous_item_id` None: at the end; "root": first; an id: directly after it."""

    item: Item
    previous_item_id: str | None = None
    event_id: str | None = None


class RetrieveItem(Frozen, frozen=True):
    """Ask for an item with its audio."""

    item_id: str
    event_id: str | None = None


class TruncateItem(Frozen, frozen=True):
    """Cut an assistant's audio item. Refused, without effect, when `audio_end_ms` is beyond its audio."""

    item_id: str
    content_index: int
    audio_end_ms: int
    event_id: str | None = None


class DeleteItem(Frozen, frozen=True):
    """Remove an item from the conversation. Not while it is being generated."""

    item_id: str
    event_id: str | None = None


class CreateResponse(Frozen, frozen=True):
    """Let the model answer. Refused while a response of the default conversation is active."""

    options: ResponseOptions = ResponseOptions()
    event_id: str | None = None


class CancelResponse(Frozen, frozen=True):
    """Stop a response; `response_id` None means the active one of the default conversation."""

    response_id: str | None = None
    event_id: str | None = None


Command: TypeAlias = (
    UpdateSession
    | UpdateTranscriptionSession
    | AppendAudio
    | CommitAudio
    | ClearAudio
    | ClearOutputAudio
    | CreateItem
    | RetrieveItem
    | TruncateItem
    | DeleteItem
    | CreateResponse
    | CancelResponse
)


# ------------------------------------------------------------------------------------------- events


class SessionCreated(Frozen, frozen=True):
    """The first event of each connection: the defaults."""

    session: Session


class SessionUpdated(Frozen, frozen=True):
    """An update was accepted: the whole effective configuration."""

    session: Session


class ConversationCreated(Frozen, frozen=True):
    conversation_id: str


class ErrorEvent(Frozen, frozen=True):
    """A command was refused or the server failed. Most are harmless; see severity.py."""

    error: ErrorDetail


class RateLimit(Frozen, frozen=True):
    name: str
    limit: int
    remaining: int
    reset_s: float


class RateLimitsUpdated(Frozen, frozen=True):
    limits: tuple[RateLimit, ...]


class SpeechStarted(Frozen, frozen=True):
    """The model's VAD heard the caller. `audio_start_ms` counts the audio sent to the session, not call time."""

    audio_start_ms: int
    item_id: str | None = None


class SpeechStopped(Frozen, frozen=True):
    """The caller's turn ended. `audio_end_ms` counts the audio sent to the session."""

    audio_end_ms: int
    item_id: str | None = None


class AudioCommitted(Frozen, frozen=True):
    item_id: str
    previous_item_id: str | None = None


class AudioCleared(Frozen, frozen=True):
    pass


class IdleTimeout(Frozen, frozen=True):
    """Nobody spoke for the session's `idle_timeout_ms`; the server now makes the model speak."""

    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class DtmfReceived(Frozen, frozen=True):
    """SIP only: Twilio reports keys on its own stream."""

    digit: str
    received_at_s: int


class ItemAdded(Frozen, frozen=True):
    """An item is in the conversation (beta: created). An assistant's item is still empty."""

    item: Item
    previous_item_id: str | None = None


class ItemDone(Frozen, frozen=True):
    """An item is final (GA only)."""

    item: Item
    previous_item_id: str | None = None


class ItemRetrieved(Frozen, frozen=True):
    item: Item


class ItemTruncated(Frozen, frozen=True):
    item_id: str
    content_index: int
    audio_end_ms: int


class ItemDeleted(Frozen, frozen=True):
    item_id: str


class TranscriptionDelta(Frozen, frozen=True):
    """More of what the caller said, as the transcription model understood it."""

    item_id: str
    content_index: int
    delta: str


class TranscriptionUsage(Frozen, frozen=True):
    """What a transcription is charged for: tokens, or seconds of audio."""

    input: int = 0
    output: int = 0
    seconds: float = 0


class TranscriptionCompleted(Frozen, frozen=True):
    """`usage` None: an older server does not say."""

    item_id: str
    content_index: int
    transcript: str
    usage: TranscriptionUsage | None = None


class TranscriptionFailed(Frozen, frozen=True):
    item_id: str
    content_index: int
    error: ErrorDetail


class TranscriptionSegment(Frozen, frozen=True):
    """A speaker's share, from a diarising transcription model."""

    item_id: str
    content_index: int
    id: str
    text: str
    speaker: str
    start_s: float
    end_s: float


class ResponseCreated(Frozen, frozen=True):
    response: Response


class ResponseDone(Frozen, frozen=True):
    """A response ended, however it did. Generation is over; the caller may hear it for seconds yet."""

    response: Response


class OutputItemAdded(Frozen, frozen=True):
    response_id: str
    output_index: int
    item: Item


class OutputItemDone(Frozen, frozen=True):
    response_id: str
    output_index: int
    item: Item


class PartAdded(Frozen, frozen=True):
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    part: Part


class PartDone(Frozen, frozen=True):
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    part: Part


class TextDelta(Frozen, frozen=True):
    """More text of a text answer."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


class TextDone(Frozen, frozen=True):
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    text: str


class AudioDelta(Frozen, frozen=True):
    """More audio of an answer; arrives faster than it can be played. `audio` is base64, of any size."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    audio: str


class AudioDone(Frozen, frozen=True):
    """All audio of this part was generated; not: played."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


class SpokenTextDelta(Frozen, frozen=True):
    """More of what the answer's audio says; often ahead of the audio."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


class SpokenTextDone(Frozen, frozen=True):
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    transcript: str


class ArgumentsDelta(Frozen, frozen=True):
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str


class ArgumentsDone(Frozen, frozen=True):
    """All arguments of a call were written. `name` None: an older server leaves it to the item."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    arguments: str
    name: str | None = None


class McpArgumentsDelta(Frozen, frozen=True):
    response_id: str
    item_id: str
    output_index: int
    delta: str


class McpArgumentsDone(Frozen, frozen=True):
    response_id: str
    item_id: str
    output_index: int
    arguments: str


class McpCallChanged(Frozen, frozen=True):
    item_id: str
    output_index: int
    state: Literal["in_progress", "completed", "failed"]


class McpToolsListed(Frozen, frozen=True):
    item_id: str
    state: Literal["in_progress", "completed", "failed"]


class OutputAudioChanged(Frozen, frozen=True):
    """WebRTC and SIP only: the server's own playback."""

    response_id: str
    state: Literal["started", "stopped", "cleared"]


class UnknownEvent(Frozen, frozen=True):
    """An event type that is newer than this code: logged, otherwise ignored."""

    type: str


Event: TypeAlias = (
    SessionCreated
    | SessionUpdated
    | ConversationCreated
    | ErrorEvent
    | RateLimitsUpdated
    | SpeechStarted
    | SpeechStopped
    | AudioCommitted
    | AudioCleared
    | IdleTimeout
    | DtmfReceived
    | ItemAdded
    | ItemDone
    | ItemRetrieved
    | ItemTruncated
    | ItemDeleted
    | TranscriptionDelta
    | TranscriptionCompleted
    | TranscriptionFailed
    | TranscriptionSegment
    | ResponseCreated
    | ResponseDone
    | OutputItemAdded
    | OutputItemDone
    | PartAdded
    | PartDone
    | TextDelta
    | TextDone
    | AudioDelta
    | AudioDone
    | SpokenTextDelta
    | SpokenTextDone
    | ArgumentsDelta
    | ArgumentsDone
    | McpArgumentsDelta
    | McpArgumentsDone
    | McpCallChanged
    | McpToolsListed
    | OutputAudioChanged
    | UnknownEvent
)
