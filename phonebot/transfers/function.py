"""
`transfer_call`: the function by which the model hands the caller to a person.

Cold, the bot says so and leaves, and the carrier rings the destination (after.py). Warm, the caller stays with the
bot while the carrier rings a colleague, who is told why he calls and takes him by a key; then both meet.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from phonebot.agents.profile import Profile
from phonebot.agents.transfers import FUNCTION, Destination, chain
from phonebot.call.inputs import Leave
from phonebot.call.plan import ToolRule
from phonebot.realtime.events import FunctionTool
from phonebot.tools.running import Blocking, Leaving, Runnable, ToolContext, ToolError, ToolFault, rule_timeout_ms
from phonebot.transfers.continuations import Continuation, Continuations
from phonebot.transfers.legs import Answer, Leg, Legs
from phonebot.transfers.urls import Ticket
from phonebot.transfers.wording import came_to_nothing, described, whispered

MAX_SUMMARY_CHARACTERS = 600
"""About 40 s of speech: a colleague does not listen for longer."""
DECIDES_S = 40.0
"""For how long a colleague who has answered listens and decides."""
ADDED_S = 5.0  # Twilio, Call resource, Timeout: it may ring for so much longer
ANNOUNCES_MS = 200  # he waits, and should know what for
REMINDS_MS = 10_000
"""Without music, so often the caller is told that he is being put through."""

DESCRIPTION = """\
Transfers the caller to a person. Call it when he asks for somebody, or when you cannot do what he needs.

He is told that he is being put through: do not say it yourself."""
SUMMARY = "Who the caller is, if he said so, and what he wants, in one or two sentences for whoever takes the call."
NOT_HERE = "This call is a trial on the console's page: nobody can be called from it. Tell the caller so."


class Calls(Protocol):
    """What is known of a call in progress in this process."""

    def is_carriers(self, call_sid: str) -> bool:
        """Whether it came from the carrier, and not from the console's phone."""
        ...


class TransferCall:
    """The built-in function, as profiles have it (tools/builtin.py). Without what it works with nobody has it."""

    name = FUNCTION

    def __init__(
        self, legs: Legs | None = None, continuations: Continuations | None = None, calls: Calls | None = None
    ) -> None:
        self._legs, self._continuations, self._calls = legs, continuations, calls

    def made_for(self, profile: Profile) -> Runnable | str:
        """Where nobody can be asked first, since there are no credentials of the carrier's, it is cold."""
        if not profile.reachable:
            return f"{FUNCTION} is left out: the profile has neither transfer_to nor destinations"
        if self._legs is None or self._continuations is None or self._calls is None:
            return f"{FUNCTION} is left out: no carrier asks this process how its calls go on"
        if profile.transfer.warm and self._legs.account:
            return _Warm(profile, self._continuations, self._calls, self._legs)
        return _Cold(profile, self._continuations, self._calls)


class _Cold:
    """Leaves the call to the carrier."""

    def __init__(self, profile: Profile, continuations: Continuations, calls: Calls) -> None:
        self._profile, self._continuations, self._calls = profile, continuations, calls
        self._known: Mapping[str, Destination] = profile.reachable
        self.function = FunctionTool(FUNCTION, DESCRIPTION, _parameters(self._known))
        self.timeout_s = 10.0
        self.rule = ToolRule(FUNCTION, rule_timeout_ms(self.timeout_s), fillers=())

    async def run(self, arguments: str, context: ToolContext, blocking: Blocking) -> str | Leaving:
        to, summary = self._checked(arguments, context)
        await self._continuations.keep(context.call_sid, Continuation(to, summary))
        leave = Leave(self._profile.transfer.say, "transferred")
        return Leaving(f"The caller is being put through to {to}.", leave)

    def _checked(self, arguments: str, context: ToolContext) -> tuple[str, str]:
        """To whom, and the summary. Raises ToolFault, and ToolError where nobody can be called."""
        try:
            given = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise ToolFault("arguments", "they are no JSON") from None
        if not isinstance(given, dict):
            raise ToolFault("arguments", "they are no object")
        to, summary = given.get("to", next(iter(self._known))), given.get("summary", "")
        if not isinstance(to, str) or to not in self._known:
            raise ToolFault("arguments", f"to must be one of {', '.join(self._known)}")
        if not isinstance(summary, str):
            raise ToolFault("arguments", "summary must be text")
        if not self._calls.is_carriers(context.call_sid):
            raise ToolError(NOT_HERE)
        return to, "".join(filter(str.isprintable, " ".join(summary.split())))[:MAX_SUMMARY_CHARACTERS]


class _Warm(_Cold):
    """Asks colleagues, one after another, while the caller stays."""

    def __init__(self, profile: Profile, continuations: Continuations, calls: Calls, legs: Legs) -> None:
        super().__init__(profile, continuations, calls)
        self._legs = legs
        longest = max(len(list(chain(self._known, name))) for name in self._known)
        self._asks_s = profile.transfer.ring_s + ADDED_S + DECIDES_S
        self.timeout_s = self._asks_s * longest + 10
        self.rule = ToolRule(
            FUNCTION,
            rule_timeout_ms(self.timeout_s),
            fillers=(profile.transfer.say,),
            filler_ms=ANNOUNCES_MS,
            again_ms=REMINDS_MS,
            music=profile.transfer.hold_music,
        )

    async def run(self, arguments: str, context: ToolContext, blocking: Blocking) -> str | Leaving:
        first, summary = self._checked(arguments, context)
        answer: Answer = "failed"
        for to, destination in chain(self._known, first):
            ticket = Ticket(context.call_sid, context.caller, context.number, to)
            leg = self._legs.begin(ticket, "")
            leg.whisper = whispered(self._profile, leg.ticket, summary)
            answer = await self._ask(leg, destination, summary)
            if answer == "taken":
                return Leaving(f"{to} takes the call.", Leave("", "transferred"))
        await self._continuations.forget(context.call_sid)
        return came_to_nothing(first, answer, self._profile)

    async def _ask(self, leg: Leg, destination: Destination, summary: str) -> Answer:
        """Ring a colleague; whether he takes the call. Should the caller go, his phone does not ring on."""
        transfer, call_sid = self._profile.transfer, leg.ticket.call_sid
        continuation = Continuation(leg.ticket.to, summary, leg.room)
        answer: Answer = "failed"
        try:
            await self._continuations.keep(call_sid, continuation)
            self._legs.dial(leg, destination.to, leg.ticket.number, transfer.ring_s, transfer.limit_s)
            answer = await leg.answered(self._asks_s)
            if answer == "taken":
                await self._continuations.keep(
                    call_sid, Continuation(leg.ticket.to, summary, leg.room, leg.call_sid)
                )
            return answer
        finally:
            if answer != "taken":
                self._legs.end(leg)


def _parameters(known: Mapping[str, Destination]) -> dict[str, Any]:
    properties: dict[str, Any] = {"summary": {"type": "string", "description": SUMMARY}}
    required = ["summary"]
    if len(known) > 1:
        properties["to"] = {"type": "string", "enum": list(known), "description": described(known)}
        required.append("to")
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
