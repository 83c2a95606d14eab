"""
Text that is typed into a call: what the model is told of it, and when it is to answer.

    told = typed.take(TypedText("The table is free.", "ada", "system"), ready)
    if typed.unanswered: ...                    # an answer is wanted, once nobody speaks

It enters the model's conversation at once, so whatever the model says next takes account of it. Only the answer
waits for its turn. A response that began when the text was in the conversation has answered it.
"""

from typing import Final

from phonebot.call.actions import Action, Line, LineRole, Tell, Trouble
from phonebot.call.inputs import MAX_TYPED_CHARACTERS, TypedText
from phonebot.realtime.events import CreateItem, Message

MAX_EARLY = 20
"""Texts that wait for the model to be ready."""
ROLES: Final[dict[str, LineRole]] = {"user": "caller", "system": "instruction"}
"""As the transcript has it."""


class Typed:
    """The typed texts of one call."""

    def __init__(self) -> None:
        self._early: list[TypedText] = []
        self._count = 0
        # Told and not answered, and whether the service has said that they are in the conversation.
        self._open: dict[str, bool] = {}

    @property
    def unanswered(self) -> bool:
        """An answer is wanted."""
        return bool(self._open)

    def take(self, typed: TypedText, ready: bool) -> list[Action]:
        """What the model is told, and people; nothing while the model is not `ready`: then `model_ready` does."""
        if not typed.text.strip() or len(typed.text) > MAX_TYPED_CHARACTERS:
            return [Trouble(f"typed text is left out: it must have 1 to {MAX_TYPED_CHARACTERS} characters")]
        if ready:
            return self._told(typed)
        if len(self._early) >= MAX_EARLY:
            return [Trouble(f"typed text is left out: {MAX_EARLY} wait for the model already")]
        self._early.append(typed)
        return []

    def model_ready(self) -> list[Action]:
        """The model is there: what it is told that was typed while it was not."""
        early, self._early = self._early, []
        return [action for typed in early for action in self._told(typed)]

    def _told(self, typed: TypedText) -> list[Action]:
        self._count += 1
        item_id = f"typed-{self._count}"
        self._open[item_id] = False
        message = Message.written(typed.role, typed.text, item_id)
        line = Line(ROLES[typed.role], item_id, typed.text, typed_by=typed.by)
        return [Tell(CreateItem(message)), line]

    def added(self, item_id: str | None) -> None:
        """The service has an item in the conversation."""
        if item_id in self._open:
            self._open[item_id] = True

    def response_began(self) -> None:
        """A response that follows the conversation has begun: it answers what is in it."""
        self._open = {item_id: there for item_id, there in self._open.items() if not there}

    def asked(self) -> None:
        """An answer was asked for, behind all that was told."""
        self._open.clear()
