"""
Which agent has the call, and how it goes from one to another.

    agents = Agents(plan)
    refusal = agents.ask(function_call, "resp_1")      # the model wants to hand over; None: it will be
    wanted = agents.take("resp_1")                     # that response is over: now it is
    agent = agents.switch(wanted.to_agent)

Agents share the session, the voice and the conversation. A hand-off swaps what the model is told to be and what it
may call; the one who takes over is told by the function's output, and answers. It waits for the end of the response
that asked for it: until then all that the model calls is meant for the functions that it had.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass

from phonebot.agents.agent import MAIN
from phonebot.call.plan import AgentPlan, CallPlan
from phonebot.realtime.events import FunctionCall, Item, Message

MAX_IN_A_ROW = 3  # hand-offs while the caller says nothing: agents that do so send him in circles
MAX_NOTE_CHARACTERS = 2_000

HANDED_OVER = "From now on you are {agent}, as your instructions say. The caller waits for you to speak."
NOTE = ' {agent} left you this note: "{note}"'
TOO_OFTEN = (
    f"Not handed over: there were {MAX_IN_A_ROW} hand-offs and the caller has said nothing meanwhile. Answer him."
)
ONE_ALREADY = "Not done: the call is being handed over to {agent} already."

_CALLER = "caller said"  # no call id: that has no space


@dataclass(frozen=True, slots=True)
class Wanted:
    """The model called for a hand-off, by the function call `call_id`."""

    call_id: str
    to_agent: str
    note: str


class Agents:
    """The agents of one call. `current` has it."""

    def __init__(self, plan: CallPlan) -> None:
        agents = plan.agents or (AgentPlan(MAIN, plan.session.instructions or "", rules=plan.tools),)
        self.current = agents[0]
        self._agents = {agent.name: agent for agent in agents}
        # By the response that called for it.
        self._wanted: dict[str, Wanted] = {}
        self._in_a_row = 0

    def is_handoff(self, function: str) -> bool:
        """Whether a function of this name hands over."""
        return any(each.name == function for each in self.current.handoffs)

    def ask(self, call: FunctionCall, response_id: str) -> str | None:
        """The model wants to hand over. Why it may not, as it is told; None: it will, once the response is over."""
        if wanted := self._wanted.get(response_id):
            return ONE_ALREADY.format(agent=wanted.to_agent)
        if self.circling:
            return TOO_OFTEN
        to = next(each.to_agent for each in self.current.handoffs if each.name == call.name)
        self._wanted[response_id] = Wanted(call.call_id, to, _note(call.arguments))
        return None

    @property
    def circling(self) -> str:
        """That there is to be no further hand-off, in a sentence; "": there may be one."""
        if self._in_a_row < MAX_IN_A_ROW:
            return ""
        return f"{MAX_IN_A_ROW} hand-offs in a row: {self.current.name} has to answer the caller"

    def take(self, response_id: str) -> Wanted | None:
        """The hand-off that a response has called for, once."""
        return self._wanted.pop(response_id, None)

    def switch(self, to_agent: str) -> AgentPlan:
        """This one has the call now."""
        self.current = self._agents[to_agent]
        self._in_a_row += 1
        return self.current

    def caller_spoke(self) -> None:
        """What the caller says may call for another hand-off."""
        self._in_a_row = 0


def handed_over(wanted: Wanted, from_agent: str) -> str:
    """What the agent that takes over is told."""
    note = NOTE.format(agent=from_agent, note=wanted.note) if wanted.note else ""
    return HANDED_OVER.format(agent=wanted.to_agent) + note


def _note(arguments: str) -> str:
    """The note among a hand-off's arguments: whatever the model wrote, it is handed over."""
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        return ""
    note = given.get("note") if isinstance(given, dict) else None
    return note.strip()[:MAX_NOTE_CHARACTERS] if isinstance(note, str) else ""


class Memory:
    """
    What came into the model's conversation, in order: an agent may be meant to know the last turns of it only.
    """

    def __init__(self) -> None:
        # By item: the call id of a function call, _CALLER for what the caller said, else "".
        self._items: dict[str, str] = {}

    def added(self, item: Item) -> None:
        if not item.id or item.id in self._items:
            return
        if isinstance(item, FunctionCall):
            self._items[item.id] = item.call_id
        else:
            self._items[item.id] = _CALLER if isinstance(item, Message) and item.role == "user" else ""

    def before(self, turns: int, awaited: Collection[str]) -> list[str]:
        """What lies before the caller's last `turns` turns, less the function calls whose output is `awaited`."""
        ids = list(self._items)
        callers = [at for at, item_id in enumerate(ids) if self._items[item_id] == _CALLER]
        end = len(ids) if not turns else callers[-turns] if turns <= len(callers) else 0
        return [item_id for item_id in ids[:end] if self._items[item_id] not in awaited]
