"""
What happens in calls, as those are told who watch them: in the console, by the API, in other processes.

They are msgspec Structs that name themselves in `type`; `msgspec.json.encode(event)` is what goes out.
"""

from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from phonebot.agents.agent import MAIN
from phonebot.agents.guardrails import On, Then
from phonebot.call.actions import Limit, LineRole, Outcome, Settled
from phonebot.call.turns import Turn
from phonebot.replay.log import Kind
from phonebot.transfers.continuations import Standing


class Happening(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event has: the call, and call time in ms."""

    call_sid: str
    at_ms: int = 0


class Said(Struct, frozen=True, kw_only=True):
    """
    A line of the transcript.

    `text` is what was said, and heard. A line that was `cut` was heard for `heard_ms` of the `of_ms` that there
    were; `rest` is how it would have gone on, as far as that was known. `typed_by`: nobody said it, but this person
    or program typed it.
    """

    role: LineRole
    item_id: str
    text: str
    at_ms: int = 0
    cut: bool = False
    heard_ms: int = 0
    of_ms: int = 0
    rest: str = ""
    typed_by: str = ""


class Snapshot(Happening, frozen=True, kw_only=True, tag="snapshot"):
    """
    A call in progress, or one that begins: its `lines` so far, oldest first.

    `texts` is what the bot is about to have said, by item: it may yet be cut. `started` is wall-clock time.
    `process` holds the call; `stale`: nothing was heard of that process for some seconds. `audible`: the profile
    lets the call be recorded, and so be listened to. Not `noticed`: the caller has yet to hear that it is recorded;
    until then who listens hears nothing. A call that came back had `earlier` lines, on other streams;
    `resumed`: so often it did since its connection had broken off. `agent` has it, and speaks `language`, a tag;
    "": as its instructions say.
    """

    kind: Kind
    started: datetime
    caller: str | None
    number: str | None
    profile: str | None
    profile_version: str | None
    turn: Turn = Turn.IDLE
    lines: tuple[Said, ...] = ()
    texts: dict[str, str] = {}
    process: str = ""
    stale: bool = False
    audible: bool = True
    noticed: bool = True
    earlier: tuple[tuple[LineRole, str], ...] = ()
    resumed: int = 0
    agent: str = MAIN
    language: str = ""


def standing_of(call: Snapshot) -> Standing:
    """How far a call has come, as its snapshot tells."""
    said = tuple((line.role, line.text) for line in call.lines)
    return Standing((*call.earlier, *said), call.agent, call.language, call.resumed, " ".join(call.texts.values()))


class TurnTaken(Happening, frozen=True, kw_only=True, tag="turn"):
    """Who has the floor now."""

    turn: Turn


class TextAdded(Happening, frozen=True, kw_only=True, tag="text"):
    """The model goes on with an answer: `text` follows what came of this item before. It may yet be cut."""

    item_id: str
    text: str


class LineSettled(Happening, frozen=True, kw_only=True, tag="line"):
    """A line is final."""

    line: Said


class ItemCut(Happening, frozen=True, kw_only=True, tag="cut"):
    """The caller stopped hearing an item after `heard_ms` of the `of_ms` that there were (actions.Cut)."""

    item_id: str
    heard_ms: int
    of_ms: int
    settled: Settled


class Interrupted(Happening, frozen=True, kw_only=True, tag="barge_in"):
    """The caller spoke while the bot did; about `unheard_ms` of what it had to say was thrown away."""

    unheard_ms: int


class Paused(Happening, frozen=True, kw_only=True, tag="held"):
    """The caller may be speaking: the bot waits."""

    unheard_ms: int


class WentOn(Happening, frozen=True, kw_only=True, tag="false_alarm"):
    """He was not, for the reason `why` (actions.FalseAlarm)."""

    why: Literal["echo", "short", "empty", "backchannel"]


class GuardrailTripped(Happening, frozen=True, kw_only=True, tag="guardrail_tripped"):
    """A guardrail has tripped, `on` whose words or what, and `then` this is done (actions.GuardrailTripped)."""

    guardrail: str
    on: On
    then: Then
    why: str


class LimitTold(Happening, frozen=True, kw_only=True, tag="limit"):
    """The call is near a limit, or has reached it and ends: `text` is a sentence (actions.LimitReached)."""

    limit: Limit
    reached: bool
    text: str


class KeyPressed(Happening, frozen=True, kw_only=True, tag="key"):
    """The caller pressed a key. Which one is not told: it may belong to a card number."""


class WentWrong(Happening, frozen=True, kw_only=True, tag="trouble"):
    """Something went wrong that did not end the call, in a sentence."""

    problem: str


class CallEnded(Happening, frozen=True, kw_only=True, tag="ended"):
    """The call is over: the last event of it."""

    outcome: Outcome


class Lost(Struct, frozen=True, tag="lost", tag_field="type"):
    """This subscriber was too slow, and events were lost to it: the last event. It may subscribe again."""


Event: TypeAlias = (
    Snapshot
    | TurnTaken
    | TextAdded
    | LineSettled
    | ItemCut
    | Interrupted
    | Paused
    | WentOn
    | GuardrailTripped
    | LimitTold
    | KeyPressed
    | WentWrong
    | CallEnded
    | Lost
)
