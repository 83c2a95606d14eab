"""
Commands to JSON and JSON to events, in one dialect.

`GaCodec` and `BetaCodec` differ in how they write a session, a response's options and the kinds of content;
everything else is the same and written here. Both read with `wire.decode`, which takes either dialect.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from phonebot.realtime import events, wire
from phonebot.realtime.events import (
    Command,
    Dialect,
    Event,
    FunctionTool,
    Item,
    ItemReference,
    Message,
    Part,
    ResponseOptions,
    Session,
    Tool,
)

# Commands whose fields are the wire's own.
PLAIN: dict[type[Struct], str] = {
    events.CommitAudio: "input_audio_buffer.commit",
    events.ClearAudio: "input_audio_buffer.clear",
    events.ClearOutputAudio: "output_audio_buffer.clear",
    events.RetrieveItem: "conversation.item.retrieve",
    events.TruncateItem: "conversation.item.truncate",
    events.DeleteItem: "conversation.item.delete",
    events.CancelResponse: "response.cancel",
}


class Codec(ABC):
    """One dialect. Holds no state: one object serves all connections."""

    dialect: ClassVar[Dialect]

    def encode(self, command: Command) -> str:
        """
        The JSON text of a command. Only what is set is in it.

        Raises ValueError for an item that no client can create.
        """
        if isinstance(command, events.AppendAudio):
            return _append(command)
        return dumps(self._body(command))

    def decode(self, text: str | bytes) -> Event:
        """The event of a message, in either dialect's words. Raises ModelProtocolError: see `wire.decode`."""
        return wire.decode(text)

    def _body(self, command: Command) -> dict[str, Any]:
        match command:
            case events.UpdateSession(session):
                body = self._update(session)
            case events.UpdateTranscriptionSession(session):
                body = self._update(structs.replace(session, kind="transcription"))
            case events.CreateItem(item, previous_item_id):
                body = {"type": "conversation.item.create", "item": self._item(item)}
                if previous_item_id is not None:
                    body["previous_item_id"] = previous_item_id
            case events.CreateResponse(options):
                body = {"type": "response.create"}
                if response := self._response(options):
                    body["response"] = response
            case _:
                body = {"type": PLAIN[type(command)], **present(command)}
        if command.event_id is not None:
            body["event_id"] = command.event_id
        return body

    @abstractmethod
    def _update(self, session: Session) -> dict[str, Any]:
        """The update of a session of either kind, without an event id."""

    @abstractmethod
    def _response(self, options: ResponseOptions) -> dict[str, Any]:
        """The `response` object of `response.create`; empty when nothing is set."""

    @abstractmethod
    def _part_type(self, part: Part) -> str:
        """The dialect's word for a kind of content."""

    def _item(self, item: Item | ItemReference) -> dict[str, Any]:
        match item:
            case ItemReference(id_):
                return {"type": "item_reference", "id": id_}
            case Message():
                return {"type": "message", **present(item), "content": [self._part(part) for part in item.content]}
            case events.FunctionCall():
                return {"type": "function_call", **present(item)}
            case events.FunctionCallOutput():
                return {"type": "function_call_output", **present(item)}
            case events.McpApprovalResponse():
                fields = present(item)
                fields.pop("status", None)  # the one item the protocol gives none
                return {"type": "mcp_approval_response", **fields}
        raise ValueError(f"a {item.type} item is the server's to make: it cannot be sent")

    def _part(self, part: Part) -> dict[str, Any]:
        return {**present(part), "type": self._part_type(part)}

    def _items(self, items: tuple[Item | ItemReference, ...]) -> list[dict[str, Any]]:
        return [self._item(item) for item in items]


def _append(command: events.AppendAudio) -> str:
    """
    Fifty of these a second and call: joined by hand.

    The audio passes through as it came, but it came from outside: what is not base64 must not end the string.
    """
    audio = encode_basestring_ascii(command.audio)
    if command.event_id is None:
        return f'{{"type":"input_audio_buffer.append","audio":{audio}}}'
    event_id = encode_basestring_ascii(command.event_id)
    return f'{{"type":"input_audio_buffer.append","audio":{audio},"event_id":{event_id}}}'


def dumps(body: Mapping[str, Any]) -> str:
    """JSON text, always encodable: a lone surrogate, which a tool's answer may hold, becomes a question mark."""
    try:
        return msgspec.json.encode(body).decode()
    except UnicodeEncodeError:
        return json.dumps(body, ensure_ascii=False).encode(errors="replace").decode()


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are set; None stands for null."""
    return {name: value for name, value in fields.items() if value is not UNSET}


def some(fields: dict[str, Any]) -> dict[str, Any] | UnsetType:
    """An object, or UNSET when nothing would be in it."""
    return fields or UNSET


def present(value: Struct) -> dict[str, Any]:
    """The fields of a command or an item that are not None: here the protocol says nothing by leaving out."""
    fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
    return {name: field for name, field in fields if field is not None}


def settings(value: Struct | UnsetType | None) -> dict[str, Any] | UnsetType | None:
    """A part of the session that null switches off, as an object of what is set in it; UNSET and None stay."""
    if not isinstance(value, Struct):
        return value
    return given(**{name: getattr(value, name) for name in value.__struct_fields__})


def typed(value: str | UnsetType | None) -> dict[str, Any] | UnsetType | None:
    """`{"type": value}`; UNSET and None stay."""
    return {"type": value} if isinstance(value, str) else value


def function(tool: FunctionTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }


def functions(tools: tuple[Tool, ...]) -> list[dict[str, Any]]:
    """The function tools alone."""
    return [function(tool) for tool in tools if isinstance(tool, FunctionTool)]
