"""
The built-in function take_message: a caller leaves a message, and it is kept.

    messages = TakeMessage(inbox)
    function = messages.made_for(profile)           # as the model of this profile's calls has it

What is in it the model has made of what a caller said: it is data, bounded, and only ever shown.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from pydantic import AfterValidator, Field

from phonebot.agents.profile import Profile
from phonebot.messages.inbox import MessageLost
from phonebot.messages.note import Note
from phonebot.tools.functions import Tool, tool
from phonebot.tools.running import Runnable, ToolContext, ToolError

NAME = "take_message"
TIMEOUT_S = 8.0
MAX_TEXT_CHARACTERS = 4_000
MAX_OF_CALL = 10
"""A model that goes round in circles, or a caller who wants to fill the database, leaves no more."""

NOTED = "Noted: it will be passed on. Say so to the caller, in a sentence."
NOTED_ALREADY = "It was noted already: tell the caller so."
TOO_MANY = "This call has left {most} messages already: take no more, and tell the caller."
LOST = "The message could not be noted. Tell the caller so, and ask him to call again later."

Take = Callable[[Note], Awaitable[None]]


class TakeMessage:
    """`take` keeps a message, or raises MessageLost; None: messages cannot be kept here."""

    name = NAME

    def __init__(self, take: Take | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._take, self._clock = take, clock

    def made_for(self, profile: Profile) -> Runnable | str:
        """The function as calls of this profile have it; or why they go without."""
        if self._take is None:
            return "without a database messages cannot be kept"
        return _function(profile, self._take, self._clock)


def _function(profile: Profile, take: Take, clock: Callable[[], datetime]) -> Tool:
    people, to = profile.messages.people, profile.messages.destination

    def one_of_them(person: str) -> str:
        if people and person and person not in people:
            raise ValueError(f"must be one of {', '.join(people)}, or left out")
        return person

    @tool(name=NAME, timeout_s=TIMEOUT_S, fillers=())
    async def take_message(
        call: ToolContext,
        message: Annotated[
            str,
            Field(
                min_length=1,
                max_length=MAX_TEXT_CHARACTERS,
                description="What the caller wants to be told, in whole sentences and in his language.",
            ),
        ],
        name: Annotated[str, Field(max_length=100, description="The caller's name.")] = "",
        number: Annotated[
            str,
            Field(
                max_length=40,
                description="Where he wants to be called back. Leave it out for the number that he calls from.",
            ),
        ] = "",
        for_whom: Annotated[
            str,
            AfterValidator(one_of_them),
            Field(
                max_length=100,
                description="For whom it is, if he says so.",
                json_schema_extra={"enum": list(people)} if people else None,
            ),
        ] = "",
        urgent: Annotated[bool, Field(description="Whether he says that it cannot wait.")] = False,
    ) -> str:
        """
        Takes a message of the caller's for the people he calls.

        Call it once you know what it is about, his name and where to call him back, and once he has agreed.
        """
        note = Note(
            message_id=str(uuid4()),
            call_sid=call.call_sid,
            taken_at=clock(),
            number=call.number or "unknown",
            profile_name=call.profile,
            from_number=call.caller or "unknown",
            text=_kept(message, lines=True),
            name=_kept(name),
            call_back=_kept(number) or (call.caller if _can_be_called(call.caller) else ""),
            for_whom=_kept(for_whom),
            urgent=urgent,
            tell=to.model_dump(mode="json") if to else None,
        )
        if not note.text:
            raise ToolError("The message is empty: ask the caller what it is.")
        taken: list[tuple[str, ...]] = call.state.setdefault(NAME, [])
        said = (note.text, note.name, note.call_back, note.for_whom)
        if said in taken:
            return NOTED_ALREADY
        if len(taken) >= MAX_OF_CALL:
            raise ToolError(TOO_MANY.format(most=MAX_OF_CALL))
        taken.append(said)
        try:
            await take(note)
        except MessageLost:
            taken.remove(said)
            raise ToolError(LOST) from None
        return NOTED

    return take_message


def _can_be_called(caller: str) -> bool:
    """A number that is withheld comes as a word such as anonymous."""
    return caller.startswith("+") and caller[1:].isdigit()


def _kept(text: str, lines: bool = False) -> str:
    """As databases and terminals take it: nothing that cannot be printed, no half of a character."""
    plain = "".join(each if each.isprintable() or (lines and each == "\n") else " " for each in text)
    return plain.encode(errors="replace").decode().strip()
