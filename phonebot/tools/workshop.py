"""
What a process has to run the functions of its calls: the Python functions, secrets, an HTTP client, threads.

    async with Workshop(functions, secrets) as workshop:
        equipment = workshop.equip(profile)
        plan = plan_for(profile, ..., offers=equipment.offers)
        toolbox = equipment.toolbox(ToolContext(call_sid))
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from phonebot.agents.agent import MAIN
from phonebot.agents.lookup import Lookup
from phonebot.agents.profile import Profile
from phonebot.agents.tools import HttpTool, Known, McpServer, ToolEntry, name_of
from phonebot.call.plan import Offer
from phonebot.realtime.events import McpTool
from phonebot.tools.addresses import Hosts
from phonebot.tools.builtin import Builtin, check_names
from phonebot.tools.client import HttpClient
from phonebot.tools.functions import Tool
from phonebot.tools.guarding import GuardrailFunction
from phonebot.tools.http import HttpFunction, headers_of
from phonebot.tools.lookup import Found, look_up
from phonebot.tools.running import Blocking, Runnable, ToolContext
from phonebot.tools.threads import Threads
from phonebot.tools.toolbox import Toolbox
from phonebot.tools.wording import Formatter, Wording

NEEDS_GA = "the model's service speaks the beta dialect, in which it cannot call MCP servers"


@dataclass(frozen=True, slots=True)
class Equipment:
    """
    The functions of a profile: what the call offers to its model, by agent, and what runs them.

    `keyless`: those of them that are not given keys which the caller hides.
    """

    offers: Mapping[str, Offer]
    functions: Mapping[str, Runnable]
    wording: Wording
    blocking: Blocking
    keyless: Collection[str] = ()

    def toolbox(self, context: ToolContext) -> Toolbox:
        """For one call, which closes it."""
        return Toolbox(self.functions, context, self.wording, self.blocking, self.keyless)


class Workshop:
    """
    `guardrails` are Python ones, `builtins` the functions that phonebot brings along. Raises SettingsError when one
    of these is among `functions` as well.

    `secrets` by the names that profiles call them by; `hosts` are let off the rules of addresses.py.

    Requests are sent while it is entered: the functions', and whatever else goes out by `client`.
    """

    def __init__(
        self,
        functions: Mapping[str, Tool] | None = None,
        secrets: Mapping[str, str] | None = None,
        hosts: Collection[str] = (),
        formatter: Formatter | None = None,
        guardrails: Mapping[str, GuardrailFunction] | None = None,
        builtins: Iterable[Builtin] = (),
    ) -> None:
        self._functions = functions or {}
        self._builtins = {each.name: each for each in builtins}
        check_names(self._builtins.values(), self._functions)
        self.guardrails = guardrails or {}
        self.secrets = secrets or {}
        self.client = HttpClient(Hosts(hosts))
        self._wording = Wording(formatter)
        self.threads = Threads()
        self.known = Known(
            frozenset({*self._functions, *self._builtins}),
            frozenset(self.secrets),
            frozenset(hosts),
            frozenset(self.guardrails),
        )

    def bring(self, *builtins: Builtin) -> None:
        """Built-in functions in place of those of their names, now that what they work with is there."""
        self._builtins |= {each.name: each for each in builtins}
        assert self._builtins.keys() <= self.known.functions, "a profile could not name it"

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.__aexit__(kind, error, trace)

    def equip(self, profile: Profile, *, calls_servers: bool = True) -> Equipment:
        """
        The functions that the profile names, as far as this deployment has them: a call has to be answered.

        `calls_servers`: the model's service can call functions of MCP servers.
        """
        functions: dict[str, Runnable] = {}
        offers = {
            agent: self._offer(profile, where, entries, calls_servers, functions)
            for agent, (where, entries) in zip((MAIN, *profile.agents), profile.tool_lists().items(), strict=True)
        }
        return Equipment(offers, functions, self._wording, self.threads.run, self._builtins.keys())

    def _offer(
        self,
        profile: Profile,
        where: str,
        entries: list[ToolEntry],
        calls_servers: bool,
        functions: dict[str, Runnable],
    ) -> Offer:
        """What the agent is offered whose `entries` stand under the key `where`; what runs it joins `functions`."""
        lacking = dict(self.known.problems({where: entries}))
        problems = list(lacking.values())
        names: list[str] = []
        servers: list[McpTool] = []
        for entry in entries:
            name = name_of(entry)
            if name in lacking:
                continue
            match entry:
                case McpServer() if calls_servers:
                    servers.append(self._server(entry))
                case McpServer():
                    problems.append(f"the MCP server {entry.mcp} is left out: {NEEDS_GA}")
                case str() if entry in self._builtins:
                    made = self._builtins[entry].made_for(profile)
                    if isinstance(made, str):
                        problems.append(f"{entry} is left out: {made}")
                    else:
                        names.append(name)
                        functions.setdefault(name, made)
                case str() if profile.transcription is None and self._waits_for_words(entry):
                    problems.append(
                        f"{entry} is left out: it waits for words of the caller, which needs transcription"
                    )
                case _:
                    names.append(name)
                    functions.setdefault(name, self._function(entry))
        offered = [functions[name] for name in names]
        return Offer(
            tuple(each.function for each in offered),
            tuple(each.rule for each in offered),
            tuple(servers),
            tuple(problems),
        )

    def _function(self, entry: str | HttpTool) -> Runnable:
        return self._functions[entry] if isinstance(entry, str) else HttpFunction(entry, self.secrets, self.client)

    async def look_up(self, entry: Lookup, *, caller: str, number: str, call_sid: str) -> Found:
        """What a profile's lookup finds about a caller; it takes `entry.timeout_s` at most."""
        return await look_up(entry, self.secrets, self.client, caller=caller, number=number, call_sid=call_sid)

    def _waits_for_words(self, name: str) -> bool:
        consent = self._functions[name].rule.consent
        return consent is not None and bool(consent.words)

    def _server(self, entry: McpServer) -> McpTool:
        # Nobody is there to approve: who may not call a function leaves it out of allowed_tools.
        config: dict[str, Any] = {"server_url": entry.server_url, "require_approval": "never"}
        if entry.description:
            config["server_description"] = entry.description
        if entry.allowed_tools is not None:
            config["allowed_tools"] = entry.allowed_tools
        if entry.headers:
            config["headers"] = headers_of(entry.headers, self.secrets)
        return McpTool(entry.mcp, config)
