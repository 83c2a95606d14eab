"""
What the model has done for it: functions that run beside the call, and hand-offs to another agent.

tools.py knows which functions run, agents.py who has the call; here is what comes of either in the conversation.
"""

from typing import Any

from msgspec.structs import replace

from phonebot.call.actions import Action, HandOff, Tell, Trouble
from phonebot.call.agents import Agents, Memory, handed_over
from phonebot.call.conversation import Conversation
from phonebot.call.guardrails import Guardrails
from phonebot.call.inputs import ToolResult
from phonebot.call.language import expecting, instructed
from phonebot.call.plan import CallPlan
from phonebot.call.tools import INTERRUPTED, Tools, told
from phonebot.call.transcript import SpokenItem
from phonebot.realtime import events


class Errands:
    """`session` is the one that the call needs now: that of whoever has it, in the language that is spoken."""

    def __init__(
        self, plan: CallPlan, talk: Conversation, tools: Tools, agents: Agents, guardrails: Guardrails
    ) -> None:
        self._talk, self._tools, self._agents, self._guardrails = talk, tools, agents, guardrails
        self.session = plan.session
        self._music: SpokenItem | None = None  # the last that played for a function
        # None: no agent is meant to forget.
        self._memory = Memory() if any(agent.keep_turns is not None for agent in plan.agents) else None

    def in_conversation(self, item: events.Item) -> None:
        """The model's service has it in the conversation."""
        if self._memory:
            self._memory.added(item)

    # ------------------------------------------------------------------------------ functions

    def called(self, call: events.FunctionCall, response_id: str, now: int) -> list[Action]:
        """The model calls a function; the call is complete."""
        self._talk.dialogue.called(call)
        if not self._agents.is_handoff(call.name):
            return self._tools.called(call, response_id, now)
        told = self._tools.called_for(call, response_id, lambda: self._agents.ask(call, response_id))
        return [Trouble(self._agents.circling), *told] if self._agents.circling and told else told

    def ended_with(self, item: events.Item, response_id: str) -> None:
        """An item of a response that is no function call of ours is complete."""
        self._tools.ended_with(item, response_id)

    def finished(self, result: ToolResult, now: int) -> list[Action]:
        """A function has run."""
        response_id = self._tools.response_of(result.call_id)
        actions, answers = self._tools.finished(result)
        actions += self._stop_music(now)
        if response_id and result.language:
            actions += self._speak(result.language)
        if response_id and (leave := result.leave):
            # Called before the caller interrupted: whoever listens to him stays.
            kept = leave.listens and response_id in self._talk.responses.fenced
            return actions + ([] if kept else self._talk.leave(leave, now))
        return actions + (self._talk.wanted(now) if answers else [])

    def _stop_music(self, now: int) -> list[Action]:
        """There is none any more if the function has run to which it belonged; other music plays on."""
        if self._tools.has_music or self._talk.music is not self._music:
            return []
        return self._talk.stop_music(now)

    def response_over(self, response_id: str, now: int) -> list[Action]:
        """The response has called all that it calls."""
        actions = self._take_over(response_id, now)
        if self._tools.response_over(response_id):
            self._talk.responses.want()
        return actions

    # ------------------------------------------------------------------------------ hand-offs

    def _take_over(self, response_id: str, now: int) -> list[Action]:
        """Do the hand-off that the response has called for, if it has."""
        wanted = self._agents.take(response_id)
        if wanted is None:
            return []
        if response_id in self._talk.responses.fenced:
            return [told(wanted.call_id, INTERRUPTED)]
        from_agent = self._agents.current.name
        handed = self.hand_over(wanted.to_agent, wanted.note, wanted.call_id)
        return [*handed, told(wanted.call_id, handed_over(wanted, from_agent))]

    def hand_over(self, to_agent: str, note: str, call_id: str = "") -> list[Action]:
        """Another agent has the call, and the model is that from now on. `call_id`: the function call behind it."""
        before, agent = self._agents.current.name, self._agents.switch(to_agent)
        self._tools.change(agent.rules)
        self._guardrails.change(agent.guardrails)
        changed = self._change(instructions=self._instructions(agent.instructions), tools=agent.tools)
        forgotten = self._forgotten(agent.keep_turns, {*self._tools.running_calls, call_id})
        return [Tell(events.UpdateSession(changed)), *forgotten, HandOff(before, to_agent, note)]

    def _speak(self, language: str) -> list[Action]:
        """This is spoken from now on, whoever has the call."""
        self._talk.language = language
        given = self._talk.plan.session
        changes: dict[str, Any] = {"instructions": self._instructions(self._agents.current.instructions)}
        if isinstance(given.transcription, events.Transcription):
            changes["transcription"] = expecting(given.transcription, language)
        return [Tell(events.UpdateSession(self._change(**changes)))]

    def _change(self, **changes: Any) -> events.Session:
        """The session is changed so: what an update of it says."""
        self.session = replace(self.session, **changes)
        return events.Session(**changes)

    def _instructions(self, own: str) -> str:
        """What an agent is told, whose `own` instructions these are."""
        return instructed(own, self._talk.language)

    def _forgotten(self, keep_turns: int | None, awaited: set[str]) -> list[Action]:
        """All but the last turns leaves the conversation, and what is still to be settled stays."""
        if keep_turns is None or self._memory is None:
            return []
        items, dialogue = self._talk.items, self._talk.dialogue
        if not items.can("deletes"):
            return [Trouble("the model's service deletes no items: the next agent knows all that was said before")]
        old = self._memory.before(keep_turns, awaited)
        gone = [item_id for item_id in old if item_id in dialogue and items.get(item_id) is None]
        return [action for item_id in gone for action in items.delete(item_id)]

    # ------------------------------------------------------------------------------ time

    @property
    def waits(self) -> bool:
        """A function runs."""
        return self._tools.running

    @property
    def due_ms(self) -> int | None:
        """When a Tick is due, while functions run."""
        return self._tools.due_ms(self._talk.is_quiet)

    def watch(self, now: int) -> None:
        """Something has happened while functions run: who speaks now?"""
        self._tools.watch(self._talk.turn, now)

    def tick(self, now: int) -> list[Action]:
        if not self._tools.running:
            return []
        actions, answers = self._tools.tick(now)
        if self._talk.is_quiet and (filler := self._tools.filler(now)):
            if filler == "music":
                actions += self._talk.play_music(now)
                self._music = self._talk.music
            else:
                self._talk.responses.want(filler)
        actions += self._stop_music(now)
        return actions + (self._talk.wanted(now) if answers else self._talk.ask(now))
