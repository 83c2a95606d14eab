"""
Further agents of a profile, and who of them may hand over to whom. docs/agents.md explains them to operators.

The profile itself is the agent `main`, which answers the call. An agent is what the model is told to be: it has
instructions and functions of its own, in the same session and with the same voice.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, TypeAlias

from pydantic import Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents import tools as functions
from phonebot.agents.guardrails import Guardrails
from phonebot.agents.guardrails import sentence as guardrail_sentence
from phonebot.agents.table import Table

MAIN = "main"
"""What the agent is called that a profile itself is."""

MAX_AGENTS = 20
MAX_PROMPT_CHARACTERS = 65_536
"""About the 16,384 tokens that a model takes as instructions, at four characters each."""

TOOL_PREFIX = "transfer_to_"

_NAMES = "1 to 40 small letters, digits or _, beginning with a letter"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

Handoffs: TypeAlias = Annotated[
    list[Annotated[str, Field(max_length=40)]],
    Field(max_length=MAX_AGENTS, description='an array of names of agents such as ["billing"]'),
]


class Agent(Table):
    """
    An agent that others hand over to. `description` tells the model of those when to; `handoffs`, to whom it may.

    `guardrails` are its own, beside those of the profile.

    `keep_turns`: of what was said before, it knows the caller's last so many turns and what came after them; None:
    all of it.
    """

    description: Annotated[
        str, Field(min_length=1, max_length=1_000, description="text of 1 to 1000 characters, for the model")
    ]
    prompt: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_PROMPT_CHARACTERS,
            description=f"text of 1 to {MAX_PROMPT_CHARACTERS} characters",
        ),
    ]
    tools: Annotated[
        list[functions.ToolEntry], Field(max_length=functions.MAX_TOOLS, description=functions.TOOLS)
    ] = []
    handoffs: Handoffs = []
    guardrails: Guardrails = []
    keep_turns: Annotated[
        Annotated[int, Field(ge=0, le=100)] | None, Field(description="a whole number of turns from 0 to 100")
    ] = None


AGENTS = f"a table of at most {MAX_AGENTS} agents, each with description and prompt"
Agents: TypeAlias = Annotated[dict[str, Agent], Field(max_length=MAX_AGENTS, description=AGENTS)]


def tool_name(agent: str) -> str:
    """The function by which the model hands over to an agent, as in the OpenAI Agents SDK."""
    return f"{TOOL_PREFIX}{agent}"


def problems(
    agents: Mapping[str, Agent],
    handoffs: Iterable[str],
    tools: list[functions.ToolEntry],
    handed_to: Iterable[str] = (),
) -> Iterator[str]:
    """
    What does not go together in a profile with these `agents`, of which it has `handoffs` and `tools` itself.

    To those in `handed_to` guardrails hand over, whoever has the call.
    """
    targets = {MAIN: list(handoffs)} | {name: agent.handoffs for name, agent in agents.items()}
    for name in agents:
        if name == MAIN or not _NAME.fullmatch(name):
            what = "is the profile itself" if name == MAIN else f"is no name: it must be {_NAMES}"
            yield f"agents.{name[:40]} {what}"
    for name, others in targets.items():
        yield from _wrong_targets(name, others, targets)
    for name in sorted(agents.keys() - _reached(targets, handed_to)):
        yield f"agents.{name[:40]} is reached by nobody: name it in the handoffs of main or of another agent"
    yield from _wrong_tools(
        {"tools": tools} | {f"agents.{name}.tools": each.tools for name, each in agents.items()}
    )


def _wrong_targets(name: str, others: list[str], targets: Mapping[str, list[str]]) -> Iterator[str]:
    where = "handoffs" if name == MAIN else f"agents.{name[:40]}.handoffs"
    for other in others:
        if other == name or other not in targets:
            there_are = ", ".join(each for each in targets if each != name) or "none"
            yield f'{where} holds "{other}"; the others are {there_are}'
        elif others.count(other) > 1:
            yield f'{where} holds "{other}" twice'
            return


def _reached(targets: Mapping[str, list[str]], handed_to: Iterable[str]) -> set[str]:
    """The agents that a call can come to."""
    reached = {MAIN, *handed_to}
    waiting = [*reached]
    while waiting:
        for other in targets.get(waiting.pop(), ()):
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    return reached


def _wrong_tools(lists: Mapping[str, list[functions.ToolEntry]]) -> Iterator[str]:
    """Whoever calls it, a function is the same: one that still runs after a hand-off is known by its name."""
    seen: dict[str, functions.ToolEntry] = {}
    for where, entries in lists.items():
        names = [functions.name_of(entry) for entry in entries]
        for name, entry in zip(names, entries, strict=True):
            if name.startswith(TOOL_PREFIX):
                yield f"{where} holds {name}: names with {TOOL_PREFIX} are those of hand-offs"
            elif names.count(name) > 1:
                yield f"{where} holds {name} twice"
                return
            elif seen.setdefault(name, entry) != entry:
                yield f"{where} holds {name}, which another agent has too, but not the same: rename one"


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with an agent: where, why, what is allowed. `loc` is the fault's place below `agents`."""
    path = f"agents.{str(loc[0])[:40]}"
    if len(loc) > 2 and loc[1] == "tools":
        return functions.sentence(loc[2:], fault, f"{path}.tools")
    if len(loc) > 2 and loc[1] == "guardrails":
        return guardrail_sentence(loc[2:], fault, f"{path}.guardrails")
    key = str(loc[1]) if len(loc) > 1 else ""
    return faults.sentence(path, key, Agent, fault, "a table with description and prompt")
