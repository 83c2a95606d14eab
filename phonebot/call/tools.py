"""
The functions that the model calls: which of them run, what it is told of each, and when it is asked to go on.

    tools = Tools(plan.tools, responses)
    actions = tools.called(function_call, response_id, now)    # [RunTool(...)], or what the model is told at once
    actions, answers = tools.finished(ToolResult(...))         # [Tell(CreateItem(FunctionCallOutput(...)))]

Functions run beside the call, as many as the model asks for, and neither an interruption nor a hand-off stops them:
each is told once it is there. A response is asked for when all that one response has called is told and it is over,
one for all of them (Realtime API, function calling). The model is told something of each, or it would wait for it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from phonebot.call.actions import Action, RunTool, StopTool, Tell, Trouble
from phonebot.call.inputs import MAX_OUTPUT_CHARACTERS, ToolResult
from phonebot.call.plan import ToolRule
from phonebot.call.responses import Responses, exactly
from phonebot.call.turns import Turn
from phonebot.call.wording import says_one_of
from phonebot.realtime.events import (
    CreateItem,
    FunctionCall,
    FunctionCallOutput,
    Item,
    McpItem,
    Message,
    ResponseOptions,
)

MAX_RUNNING = 16  # functions at once; a model that asks for more has run away
MAX_ARGUMENTS_CHARACTERS = 20_000

INTERRUPTED = "Not done: the caller interrupted."
TOO_MANY = f"Not done: {MAX_RUNNING} functions are running already. Wait for their results."
TOO_LONG = "Not done: the arguments are too long."
GIVEN_UP = "It took too long and was given up; whether it was done is not known. Tell the caller so."
AGREED = "The caller pressed {key}: he agrees. Call {name} again now, with the same arguments."
ASK_KEY = (
    "Not done yet: the caller has to agree first. Ask him to press {key} if you shall go on, and call {name} "
    "again, with the same arguments, once you are told that he did."
)
ASK_WORDS = (
    "Not done yet: the caller has to agree first. Say what you are about to do, ask whether you shall, and call "
    "{name} again, with the same arguments, once he has said yes."
)
OWN_FILLER = ResponseOptions(
    instructions=(
        "A function that you have called still runs. Say in one short sentence, in the caller's language, that it "
        "takes a moment. Do not guess its result."
    ),
    tool_choice="none",
)
"""What is said while a function runs that has no words for it."""

Music: TypeAlias = Literal["music"]


@dataclass(frozen=True, slots=True)
class Running:
    """
    A function that runs. `response_id` is the response that called it. `held`: whether it may run is not known yet.
    """

    rule: ToolRule
    response_id: str
    began_ms: int
    held: bool = False

    @property
    def due_ms(self) -> int | None:
        """When it is given up."""
        return None if self.held else self.began_ms + self.rule.timeout_ms


@dataclass(slots=True)
class Asked:
    """The caller was to be asked whether a function may be called so."""

    rule: ToolRule
    arguments: str
    until_ms: int
    agreed: bool = False


class Tools:
    """The functions of one call. `running`: some are. `words` makes the response that says a text."""

    def __init__(
        self,
        rules: tuple[ToolRule, ...],
        responses: Responses,
        words: Callable[[str], ResponseOptions] = exactly,
    ) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._responses = responses
        self._words = words
        self._seen: set[str] = set()
        self._running: dict[str, Running] = {}
        # By response: whether what was called is to be answered, once all of it was told. Gone when it is.
        self._called: dict[str, bool] = {}
        # The response whose last item so far is a call that the model's service ran itself; None: there is none.
        self._elsewhere: str | None = None
        # Of these responses, those that are over.
        self._over: set[str] = set()
        self._asked: dict[str, Asked] = {}
        # Since when nobody speaks; None: somebody does, or no function runs.
        self._quiet_ms: int | None = None
        self._fillers_said = 0

    def change(self, rules: tuple[ToolRule, ...]) -> None:
        """From now on these are the functions. Those that run are not stopped."""
        self._rules = {rule.name: rule for rule in rules}

    @property
    def running(self) -> bool:
        return bool(self._running)

    @property
    def running_calls(self) -> set[str]:
        """By their call ids."""
        return set(self._running)

    # ---------------------------------------------------------------------------------- the model calls

    def called(self, call: FunctionCall, response_id: str, now: int) -> list[Action]:
        """The model calls a function; the call is complete. One that is told of twice runs once."""
        if (early := self._begin(call, response_id)) is not None:
            return early
        rule = self._rules.get(call.name)
        if rule is None:
            self._called[response_id] = True
            problem = f"the model called a function {call.name[:100]!r} that there is not"
            return [Trouble(problem), told(call.call_id, f"There is no function {call.name[:100]}.")]
        if refusal := self._refusal(rule, call, now):
            self._called[response_id] = True
            return [told(call.call_id, refusal)]
        self._running[call.call_id] = Running(rule, response_id, now)
        if len(self._running) == 1:
            self._fillers_said, self._quiet_ms = 0, None
        return [RunTool(call.call_id, call.name, call.arguments)]

    def _begin(self, call: FunctionCall, response_id: str) -> list[Action] | None:
        """What there is to do about a call whatever it calls; None: it is to be seen to."""
        if call.call_id in self._seen:
            return []
        self._seen.add(call.call_id)
        if response_id in self._responses.fenced:
            return [told(call.call_id, INTERRUPTED)]
        self._called.setdefault(response_id, False)
        return None

    def called_for(self, call: FunctionCall, response_id: str, ask: Callable[[], str | None]) -> list[Action]:
        """The model calls for what is done when the response is over; `ask` says why it won't be, None: it will."""
        if (early := self._begin(call, response_id)) is not None:
            return early
        self._called[response_id] = True
        refusal = ask()
        return [] if refusal is None else [told(call.call_id, refusal)]

    def _refusal(self, rule: ToolRule, call: FunctionCall, now: int) -> str | None:
        """Why a function may not run now, as the model is told it."""
        if len(self._running) >= MAX_RUNNING:
            return TOO_MANY
        if len(call.arguments) > MAX_ARGUMENTS_CHARACTERS:
            return TOO_LONG
        if rule.consent is None:
            return None
        arguments = _canonical(call.arguments)
        asked = self._asked.pop(rule.name, None)
        if asked and asked.agreed and asked.arguments == arguments and now <= asked.until_ms:
            return None
        self._asked[rule.name] = Asked(rule, arguments, now + rule.consent.within_ms)
        how = ASK_KEY if rule.consent.key else ASK_WORDS
        return how.format(name=rule.name, key=rule.consent.key)

    def ended_with(self, item: Item, response_id: str) -> None:
        """
        An item of a response that is no function call of ours is complete.

        Whether a service goes on by itself after it has called a function of an MCP server is not documented: a
        response whose last item is such a call is answered.
        """
        if isinstance(item, McpItem) and item.type == "mcp_call":
            self._elsewhere = response_id
        elif self._elsewhere == response_id:
            self._elsewhere = None

    def response_over(self, response_id: str) -> bool:
        """Nothing more comes of a response. True if it is to be answered now."""
        if self._elsewhere == response_id:
            self._elsewhere = None
            if response_id not in self._responses.fenced:
                self._called[response_id] = True
        if response_id not in self._called:
            return False
        self._over.add(response_id)
        return self._answered(response_id)

    def _answered(self, response_id: str) -> bool:
        """All that the response has called is told, and it is over: True, once, if an answer is wanted."""
        if response_id not in self._over or any(each.response_id == response_id for each in self._running.values()):
            return False
        self._over.discard(response_id)
        return self._called.pop(response_id, False)

    # ---------------------------------------------------------------------------------- whether it may run

    def hold(self, call_id: str) -> None:
        """It does not run yet. To those who wait for it that is the same."""
        self._running[call_id] = replace(self._running[call_id], held=True)

    def release(self, call_id: str, now: int) -> None:
        """It runs from now on."""
        self._running[call_id] = replace(self._running[call_id], held=False, began_ms=now)

    def refuse(self, call_id: str, why: str, answers: bool) -> tuple[list[Action], bool]:
        """It may not run, and the model is told why; `answers`: it is to answer that. As `finished`."""
        running = self._running.pop(call_id)
        self._called[running.response_id] = answers or self._called.get(running.response_id, False)
        return [told(call_id, why)], self._answered(running.response_id)

    # ---------------------------------------------------------------------------------- results

    def response_of(self, call_id: str) -> str | None:
        """The response that called it; None: it does not run."""
        running = self._running.get(call_id)
        return running.response_id if running and not running.held else None

    def finished(self, result: ToolResult) -> tuple[list[Action], bool]:
        """A function has run. What the model is told, and whether an answer is wanted now."""
        if self.response_of(result.call_id) is None:  # given up before, or a stranger's
            return [], False
        running = self._running.pop(result.call_id)
        answers = running.rule.answers or self._called.get(running.response_id, False)
        self._called[running.response_id] = answers
        trouble = [Trouble(f"{running.rule.name}: {result.problem}")] if result.problem else []
        output = told(result.call_id, result.output[:MAX_OUTPUT_CHARACTERS])
        return [*trouble, output], self._answered(running.response_id)

    # ---------------------------------------------------------------------------------- the caller agrees

    def pressed(self, digit: str, now: int) -> list[Action]:
        """The caller presses a key: what the model is told if he agrees by it. The key is then used up."""
        agreed: list[Action] = []
        for name, asked in self._awaiting(digit, now):
            asked.agreed = True
            agreed.append(Tell(CreateItem(Message.written("system", AGREED.format(key=digit, name=name)))))
        return agreed

    def waits_for_key(self, digit: str, now: int) -> bool:
        """Whether he would agree to something by this key."""
        return bool(self._awaiting(digit, now))

    def _awaiting(self, digit: str, now: int) -> list[tuple[str, Asked]]:
        """What he was asked and has not agreed to, by name of the function."""
        return [
            (name, asked)
            for name, asked in self._asked.items()
            if (consent := asked.rule.consent)
            and consent.key == digit
            and not asked.agreed
            and now <= asked.until_ms
        ]

    def said(self, text: str, now: int) -> None:
        """The caller has said this."""
        for asked in self._asked.values():
            consent = asked.rule.consent
            if consent and consent.words and now <= asked.until_ms:
                asked.agreed = asked.agreed or says_one_of(text, consent.words)

    # ---------------------------------------------------------------------------------- time

    def watch(self, turn: Turn, now: int) -> None:
        """Who speaks now. Call it while functions run."""
        if not self._running or turn in (Turn.CALLER, Turn.BOT):
            self._quiet_ms = None
        elif self._quiet_ms is None:
            self._quiet_ms = now

    def due_ms(self, may_speak: bool) -> int | None:
        """When a Tick is wanted. `may_speak`: the bot could say something now; else no Tick would let it."""
        dues = [due_ms for running in self._running.values() if (due_ms := running.due_ms) is not None]
        if may_speak and (filler := self._filler()) and self._quiet_ms is not None:
            dues.append(self._quiet_ms + filler[0])
        return min(dues, default=None)

    @property
    def has_music(self) -> bool:
        """Music belongs to a function that runs."""
        return any(running.rule.music for running in self._running.values())

    def _filler(self) -> tuple[int, ResponseOptions | Music] | None:
        """What is to be heard while the function that has run longest runs, and after how long."""
        for running in self._running.values():
            rule, said = running.rule, self._fillers_said
            after_ms = rule.filler_ms if rule.again_ms is None or not said else rule.again_ms
            if rule.music and said >= len(rule.fillers or ()):  # again and again, without a pause
                return (0 if said else after_ms), "music"
            if rule.fillers is None:
                return after_ms, OWN_FILLER
            if rule.fillers:
                return after_ms, self._words(rule.fillers[said % len(rule.fillers)])
        return None

    def tick(self, now: int) -> tuple[list[Action], bool]:
        """Give up what has run for too long. What the model is told, and whether an answer is wanted now."""
        actions: list[Action] = []
        wanted = False
        for call_id, running in list(self._running.items()):
            if running.due_ms is not None and now >= running.due_ms:
                del self._running[call_id]
                problem = f"{running.rule.name} was given up after {running.rule.timeout_ms} ms"
                actions += [StopTool(call_id), Trouble(problem), told(call_id, GIVEN_UP)]
                self._called[running.response_id] = True
                wanted = self._answered(running.response_id) or wanted
        return actions, wanted

    def filler(self, now: int) -> ResponseOptions | Music | None:
        """What the caller is to hear now since nobody speaks and a function runs; None: nothing."""
        filler = self._filler()
        if filler is None or self._quiet_ms is None or now < self._quiet_ms + filler[0]:
            return None
        self._fillers_said += 1
        self._quiet_ms = now  # it takes its time to be heard
        return filler[1]


def told(call_id: str, output: str) -> Action:
    """The model is told what came of a function that it called."""
    return Tell(CreateItem(FunctionCallOutput(call_id, output)))


def _canonical(arguments: str) -> str:
    """The same text for arguments that mean the same."""
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except ValueError:
        return arguments
