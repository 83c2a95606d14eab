"""
What a process has to look at its calls for their guardrails: its workshop, and models that answer in writing.

    guardroom = Guardroom(workshop)
    guard = guardroom.guard(profile, ToolContext(call_sid))
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Protocol

from phonebot.agents.guardrails import Guardrail, lacks
from phonebot.agents.profile import Profile
from phonebot.guardrails.asking import Asked, looks_by_function, looks_by_model, looks_by_server
from phonebot.guardrails.guard import Guard
from phonebot.guardrails.looking import Finds, Looks
from phonebot.guardrails.patterns import finds_pattern, finds_words
from phonebot.tools.running import ToolContext
from phonebot.tools.workshop import Workshop


class AskedInCall(Asked, AbstractAsyncContextManager[Any], Protocol):
    """A model that answers in writing, from its first question until it is left."""


class Guardroom:
    """Makes the guards of calls. `workshop` has the functions, the secrets and the client."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def guard(
        self, profile: Profile, context: ToolContext, asked: Callable[[], AskedInCall] | None = None
    ) -> Guard | None:
        """
        For one call, which closes it; None: it has no guardrails.

        What this deployment does not have for a guardrail of the profile is told when that is to look. `asked`
        makes the second model's session; None: there is none.
        """
        entries = {each.name: each for entries in profile.guardrail_lists().values() for each in entries}
        if not entries:
            return None
        finds: dict[str, Finds] = {}
        looks: dict[str, Looks] = {}
        lacking: dict[str, str] = {}
        session = asked() if asked and any(entry.ask for entry in entries.values()) else None
        for name, entry in entries.items():
            if lack := next(lacks(entry, self._workshop.known), None):
                lacking[name] = "its {} {}".format(*lack)
            elif entry.words:
                finds[name] = finds_words(entry.words)
            elif entry.pattern:
                finds[name] = finds_pattern(entry.pattern)
            elif look := self._look(entry, session):
                looks[name] = look
            else:
                lacking[name] = "there is no model that answers in text"
        resources = AsyncExitStack()
        if session:
            resources.push_async_exit(session)
        return Guard(entries, finds, looks, lacking, context, resources)

    def _look(self, entry: Guardrail, session: Asked | None) -> Looks | None:
        workshop = self._workshop
        if entry.function:
            return looks_by_function(workshop.guardrails[entry.function], workshop.threads.run)
        if entry.url:
            return looks_by_server(entry, workshop.secrets, workshop.client)
        assert entry.ask is not None, "a guardrail has one of these keys"
        return looks_by_model(entry.ask, session, entry.timeout_s) if session else None
