"""
What a process has to run the functions of its calls: the Python functions, secrets, an HTTP client, threads.

    async with Workshop(functions, secrets) as workshop:
        equipment = workshop.equip(profile)
        plan = plan_for(profile, ..., offer=equipment.offer)
        toolbox = equipment.toolbox(ToolContext(call_sid))
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from phonebot.agents.profile import Profile
from phonebot.agents.tools import HttpTool, Known, McpServer, name_of
from phonebot.call.plan import Offer
from phonebot.realtime.events import McpTool
from phonebot.tools.addresses import Hosts
from phonebot.tools.client import HttpClient
from phonebot.tools.functions import Tool
from phonebot.tools.http import HttpFunction, headers_of
from phonebot.tools.running import Blocking, Runnable, ToolContext
from phonebot.tools.threads import Threads
from phonebot.tools.toolbox import Toolbox
from phonebot.tools.wording import Formatter, Wording

NEEDS_GA = "the model's service speaks the beta dialect, in which it cannot call MCP servers"


@dataclass(frozen=True, slots=True)
class Equipment:
    """The functions of a profile: what the call offers to its model, and what runs them."""

    offer: Offer
    functions: Mapping[str, Runnable]
    wording: Wording
    blocking: Blocking

    def toolbox(self, context: ToolContext) -> Toolbox:
        """For one call, which closes it."""
        return Toolbox(self.functions, context, self.wording, self.blocking)


class Workshop:
    """
    `secrets` by the names that profiles call them by; `hosts` are let off the rules of addresses.py.

    Requests are sent while it is entered.
    """

    def __init__(
        self,
        functions: Mapping[str, Tool] | None = None,
        secrets: Mapping[str, str] | None = None,
        hosts: Collection[str] = (),
        formatter: Formatter | None = None,
    ) -> None:
        self._functions = functions or {}
        self._secrets = secrets or {}
        self._client = HttpClient(Hosts(hosts))
        self._wording = Wording(formatter)
        self._threads = Threads()
        self.known = Known(frozenset(self._functions), frozenset(self._secrets), frozenset(hosts))

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    def equip(self, profile: Profile, *, calls_servers: bool = True) -> Equipment:
        """
        The functions that the profile names, as far as this deployment has them: a call has to be answered.

        `calls_servers`: the model's service can call functions of MCP servers.
        """
        lacking = dict(self.known.problems(profile.tools))
        problems = list(lacking.values())
        functions: dict[str, Runnable] = {}
        servers: list[McpTool] = []
        for entry in profile.tools:
            if name_of(entry) in lacking:
                continue
            match entry:
                case McpServer() if calls_servers:
                    servers.append(self._server(entry))
                case McpServer():
                    problems.append(f"the MCP server {entry.mcp} is left out: {NEEDS_GA}")
                case HttpTool():
                    functions[entry.name] = HttpFunction(entry, self._secrets, self._client)
                case _ if profile.transcription is None and self._waits_for_words(entry):
                    problems.append(
                        f"{entry} is left out: it waits for words of the caller, which needs transcription"
                    )
                case _:
                    functions[entry] = self._functions[entry]
        offer = Offer(
            tuple(each.function for each in functions.values()),
            tuple(each.rule for each in functions.values()),
            tuple(servers),
            tuple(problems),
        )
        return Equipment(offer, functions, self._wording, self._threads.run)

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
            config["headers"] = headers_of(entry.headers, self._secrets)
        return McpTool(entry.mcp, config)
