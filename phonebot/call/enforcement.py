"""
What is done about guardrails that trip: the bot is stopped, says something else, hands over, or ends the call.

guardrails.py decides what is looked at, and what came of it.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from phonebot.call.actions import Action, GuardrailTripped, Line, RunTool, Trouble
from phonebot.call.agents import HANDED_OVER, Agents
from phonebot.call.caller import Caller
from phonebot.call.conversation import Conversation
from phonebot.call.errands import Errands
from phonebot.call.farewell import Farewell
from phonebot.call.guardrails import Allowed, Guardrails, Tripped, Verdict
from phonebot.call.inputs import Checked
from phonebot.call.responses import PLAIN
from phonebot.call.tools import Tools
from phonebot.call.turns import Turn


class Enforcement:
    """What the guardrails of one call bring about."""

    def __init__(
        self,
        guardrails: Guardrails,
        talk: Conversation,
        caller: Caller,
        tools: Tools,
        agents: Agents,
        errands: Errands,
    ) -> None:
        self._guardrails, self._talk, self._caller = guardrails, talk, caller
        self._tools, self._agents, self._errands = tools, agents, errands

    def look_at_caller(self, actions: list[Action], now: int) -> list[Action]:
        """What he has said, if these have a line of his, is looked at."""
        lines = [each for each in actions if isinstance(each, Line) and each.role == "caller"]
        return [check for line in lines for check in self._guardrails.heard(line.item_id, line.text, now)]

    def hold_back(self, actions: list[Action], now: int) -> list[Action]:
        """Functions whose arguments are to be looked at do not run yet."""
        held: list[Action] = []
        for action in actions:
            checks = self._guardrails.hold(action, now) if isinstance(action, RunTool) else []
            if isinstance(action, RunTool) and checks:
                self._tools.hold(action.call_id)
            held += checks or [action]
        return held

    def checked(self, result: Checked, now: int) -> list[Action]:
        """It was looked at."""
        return self._judge(*self._guardrails.checked(result, now), now)

    def tick(self, now: int) -> list[Action]:
        return self._judge(*self._guardrails.tick(now), now)

    def _judge(self, actions: list[Action], verdicts: Iterable[Verdict], now: int) -> list[Action]:
        for verdict in verdicts:
            if isinstance(verdict, Tripped):
                actions += self._tripped(verdict, now)
            else:
                actions += self._allowed(verdict, now)
        return actions

    def _allowed(self, verdict: Allowed, now: int) -> list[Action]:
        self._tools.release(verdict.held.call_id, now)
        return [verdict.held]

    def _tripped(self, verdict: Tripped, now: int) -> list[Action]:
        """Do what a guardrail wants done."""
        rule, then, held, talk = verdict.rule, verdict.then, verdict.held, self._talk
        note = GuardrailTripped(rule.name, rule.on, then, verdict.why, verdict.item_id, held.name if held else "")
        if then == "go_on":
            return [note]
        if held and (then == "interrupt" or not verdict.known):
            return [note, *self._refuse(held, verdict.told, True, now)]
        unheard_ms = talk.unheard_ms(now)
        actions = [*talk.silence_bot(now), replace(note, unheard_ms=unheard_ms)]
        if held:
            actions += self._refuse(held, verdict.told, False, now)
        match then:
            case "interrupt":
                talk.responses.insist(PLAIN)
                talk.untold = verdict.told
                return actions + talk.tell_why(now)
            case "hand_over":
                return actions + self._hand_to(rule.to, verdict, now)
            case "end" if not rule.say:
                return actions + talk.hang_up(1000, "guardrail", now)
            case "end":
                return actions + talk.take_leave(Farewell(rule.say, "guardrail", listens=False, now=now), now)
        talk.responses.insist(talk.words(verdict.words))
        # Where the bot's words have tripped, what the caller has said meanwhile is still to be answered.
        self._caller.is_owed = rule.on == "bot" and (talk.turn is Turn.CALLER or talk.answer_due_ms is not None)
        return actions + talk.ask(now)

    def _hand_to(self, to_agent: str, verdict: Tripped, now: int) -> list[Action]:
        """The agent that a guardrail names has the call from now on, and speaks; or the one that has it goes on."""
        actions: list[Action] = []
        self._talk.untold = verdict.told
        if self._agents.circling:
            actions.append(Trouble(self._agents.circling))
        elif self._agents.current.name != to_agent:
            actions += self._errands.hand_over(to_agent, "")
            self._talk.untold = f"{HANDED_OVER.format(agent=to_agent)} {verdict.told}"
        self._talk.responses.insist(PLAIN)
        return actions + self._talk.tell_why(now)

    def _refuse(self, held: RunTool, told: str, answers: bool, now: int) -> list[Action]:
        actions, wanted = self._tools.refuse(held.call_id, told, answers)
        return actions + (self._talk.wanted(now) if wanted else [])
