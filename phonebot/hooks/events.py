"""
What happens in a call, under the names that the OpenAI Agents SDK has for a realtime session.

    match event:
        case ToolEnd(tool=name, output=output): ...

Each names itself in `type`, also as JSON. `t_ms` is call time. Those that the SDK does not have are `call_start`,
`call_end` and `dropped`.
"""

from typing import Any, Literal, TypeAlias, get_args

from msgspec import Struct

from phonebot.call.actions import Outcome
from phonebot.realtime.events import AudioFormat

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]

# ------------------------------------------------------------------------------------------- the history


class MessageItem(Struct, frozen=True, kw_only=True, tag="message", tag_field="type"):
    """
    Something said, or typed.

    The bot's is `in_progress` until the caller has heard it; where he stopped hearing it, it is `incomplete`:
    `text` is what he heard, in `heard_ms` of the `of_ms` that there were, and `rest` how it would have gone on, as
    far as that is known. `agent`: of the bot's, who said it. `typed_by`: who typed it; "": it was said.
    """

    item_id: str
    role: Literal["user", "assistant", "system"]
    status: Status
    text: str = ""
    rest: str = ""
    heard_ms: int = 0
    of_ms: int = 0
    agent: str = ""
    typed_by: str = ""


class ToolCallItem(Struct, frozen=True, kw_only=True, tag="tool_call", tag_field="type"):
    """A function that the model called. `arguments` is JSON text, `output` what it was told; None: nothing yet."""

    item_id: str
    call_id: str
    tool: str
    arguments: str
    agent: str
    status: Status
    output: str | None = None


HistoryItem: TypeAlias = MessageItem | ToolCallItem

# ------------------------------------------------------------------------------------------- the events


class Happening(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event has."""

    t_ms: int

    @property
    def type(self) -> str:
        """Its name, as `tool_end`."""
        return str(self.__struct_config__.tag)


class CallStart(Happening, frozen=True, kw_only=True, tag="call_start"):
    """The call's audio runs."""


class AgentStart(Happening, frozen=True, kw_only=True, tag="agent_start"):
    """The model begins a response, as this agent."""

    agent: str
    response_id: str


class AgentEnd(Happening, frozen=True, kw_only=True, tag="agent_end"):
    """The model has ended a response, however it ended. The caller may hear it for seconds yet."""

    agent: str
    response_id: str
    status: str


class HandOff(Happening, frozen=True, kw_only=True, tag="handoff"):
    """Another agent goes on. `note` is what the first one tells it."""

    from_agent: str
    to_agent: str
    note: str = ""


class ToolStart(Happening, frozen=True, kw_only=True, tag="tool_start"):
    """A function begins to run. `arguments` is JSON text, as the model wrote it."""

    agent: str
    tool: str
    call_id: str
    arguments: str


class ToolEnd(Happening, frozen=True, kw_only=True, tag="tool_end"):
    """It has run, and the model is told `output`. `problem` is a sentence where it failed; None: it did not."""

    agent: str
    tool: str
    call_id: str
    arguments: str
    output: str
    problem: str | None = None


class Audio(Happening, frozen=True, kw_only=True, tag="audio"):
    """More of what the bot will say, as the model sent it: base64 in `format`. Made for those who ask for it."""

    response_id: str
    item_id: str
    content_index: int
    format: AudioFormat
    audio: str


class AudioEnd(Happening, frozen=True, kw_only=True, tag="audio_end"):
    """All audio of an item was generated; not: played."""

    item_id: str
    content_index: int


class AudioInterrupted(Happening, frozen=True, kw_only=True, tag="audio_interrupted"):
    """Playback was stopped in this item, with about `unheard_ms` still to be heard, of later ones too."""

    item_id: str
    unheard_ms: int


class HistoryAdded(Happening, frozen=True, kw_only=True, tag="history_added"):
    """The history has a new item."""

    item: HistoryItem


class HistoryUpdated(Happening, frozen=True, kw_only=True, tag="history_updated"):
    """The history has changed, and is so now. That an answer's text grows is not told."""

    history: tuple[HistoryItem, ...]


class GuardrailTripped(Happening, frozen=True, kw_only=True, tag="guardrail_tripped"):
    """
    A guardrail has tripped: on what the bot or the caller said in an item, or on the arguments of a function.

    `then` is what is done about it, `why` what the check told of it.
    """

    guardrail: str
    on: str
    then: str
    why: str = ""
    item_id: str = ""
    tool: str = ""


class InputAudioTimeout(Happening, frozen=True, kw_only=True, tag="input_audio_timeout_triggered"):
    """The caller said nothing for as long as the profile's `idle_timeout_ms`, or its `no_input.after_s`."""


class LimitTold(Happening, frozen=True, kw_only=True, tag="limit"):
    """
    The call is near a limit, or has `reached` it and ends: `used` of `most`.

    `limit` is "time", in seconds; or in US dollars "cost", of this call, "number_day" or "day".
    """

    limit: str
    used: float
    most: float
    reached: bool = False


class Error(Happening, frozen=True, kw_only=True, tag="error"):
    """Something went wrong, in a sentence. `call_end` follows if it ended the call."""

    error: str


class RawModelEvent(Happening, frozen=True, kw_only=True, tag="raw_model_event"):
    """
    The model's event, as phonebot read it: a class of realtime/events.py, and its fields. Made for those who ask.

    Audio in it is left out, unless they ask for audio, too.
    """

    event: str
    fields: dict[str, Any]


class CallEnd(Happening, frozen=True, kw_only=True, tag="call_end"):
    """The call is over: the last event."""

    outcome: Outcome


class Dropped(Happening, frozen=True, kw_only=True, tag="dropped"):
    """So many events before the next one were lost to this listener, since it was too slow for them."""

    count: int


Event: TypeAlias = (
    CallStart
    | AgentStart
    | AgentEnd
    | HandOff
    | ToolStart
    | ToolEnd
    | Audio
    | AudioEnd
    | AudioInterrupted
    | HistoryAdded
    | HistoryUpdated
    | GuardrailTripped
    | InputAudioTimeout
    | LimitTold
    | Error
    | RawModelEvent
    | CallEnd
    | Dropped
)

KINDS: dict[str, type[Event]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Event)}
"""All events, by name."""
ON_REQUEST = frozenset({"audio", "raw_model_event"})
"""Those that are made only for those who ask for them by name."""
USUAL = frozenset(KINDS) - ON_REQUEST
