"""
The guardrails of a call: what is looked at and when, and which of them have tripped.

    guardrails = Guardrails(plan.guardrails, responses)
    actions = guardrails.spoke("item_1", "resp_1", " a word", now)     # [Check(...)], when it is time to look
    actions, verdicts = guardrails.checked(Checked(...), now)          # [Tripped(...)], [Allowed(...)] or []

The bot's words are looked at while they grow: each time that the whole words so far have reached another multiple
of the guardrail's `debounce_characters`, and when the item's text is complete. Each look is at all of the text.
While one is under way for an item no other begins for it; what was said meanwhile is looked at when it is over. The
caller's words are looked at once they are transcribed, arguments before the function runs.

In a response a guardrail trips once, and of those that stop the bot only the first does. Who looks is the shell's
affair; a look that takes too long there is given up here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from phonebot.agents.guardrails import Then
from phonebot.call.actions import Action, Check, RunTool, Trouble
from phonebot.call.inputs import Checked
from phonebot.call.plan import GuardrailRule
from phonebot.call.responses import Responses

MAX_CHECKED_CHARACTERS = 20_000  # of a text that is longer the end is looked at
MAX_WORD_CHARACTERS = 40  # a text that has no blank for longer is in a script that has none
MAX_IN_A_ROW = 3  # times that the model may correct itself before words of ours are said
MAX_TROUBLES = 100  # told in a call
GRACE_MS = 1_000  # so much later than the shell a look is given up here

DEFAULT_WORDS = "I am sorry, I cannot help with that."
"""What is said when the model does not manage to correct itself, and the guardrail has no words for it."""

STOPPED = (
    "What you were saying was stopped, since it tripped the guardrail {name}{why}. The caller heard no more of it "
    "than this conversation holds. Say it so that it does not trip again."
)
HEARD = (
    "What the caller said tripped the guardrail {name}{why}. Do not go into it. Answer again, within your "
    "instructions."
)
REFUSED = "Not done: the guardrail {name} does not allow these arguments{why}."
UNKNOWN = "Not done: whether it is allowed could not be found out. Tell the caller that it did not work."


@dataclass(frozen=True, slots=True)
class Tripped:
    """
    A guardrail has tripped on what was said in `item_id`, or on the arguments of `held`.

    `then` is what is to be done: less than the rule says where that came too late, and words of ours where the
    model was stopped too often in a row. `known` False: it could not be found out, and counts as tripped.
    """

    rule: GuardrailRule
    then: Then
    why: str
    item_id: str = ""
    held: RunTool | None = None
    known: bool = True

    @property
    def words(self) -> str:
        """What is to be said."""
        return self.rule.say or DEFAULT_WORDS

    @property
    def told(self) -> str:
        """What the model is told."""
        if not self.known and self.held:
            return UNKNOWN
        text = REFUSED if self.held else STOPPED if self.rule.on == "bot" else HEARD
        return text.format(name=self.rule.name, why=f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Allowed:
    """This function may run."""

    held: RunTool


Verdict: TypeAlias = Tripped | Allowed


@dataclass(slots=True)
class _Growing:
    """The text of an item that grows."""

    item_id: str
    response_id: str
    parts: list[str] = field(default_factory=list)
    length: int = 0
    complete: bool = False
    # By guardrail: the length at which it looks next, and how much it has looked at.
    next_look: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    looking: set[str] = field(default_factory=set)  # guardrails that look at it now

    @property
    def key(self) -> str:
        return self.response_id

    def is_due(self, rule: GuardrailRule, length: int) -> bool:
        """Whether it is the rule's turn to look at so much text."""
        if rule.name in self.looking:
            return False
        if self.complete:
            return length > self.seen.get(rule.name, 0)
        return length >= self.next_look.get(rule.name, rule.debounce_characters)

    def look(self, rule: GuardrailRule, length: int) -> None:
        """The rule looks at so much text."""
        self.looking.add(rule.name)
        self.seen[rule.name] = length
        self.next_look[rule.name] = (length // rule.debounce_characters + 1) * rule.debounce_characters


@dataclass(slots=True)
class _Said:
    """Words of the caller."""

    item_id: str

    @property
    def key(self) -> str:
        return self.item_id


@dataclass(slots=True)
class _Held:
    """A function that may not run yet, and the guardrails that have not allowed it."""

    run: RunTool
    waiting: set[str]

    @property
    def key(self) -> str:
        return self.run.call_id


@dataclass(frozen=True, slots=True)
class _Look:
    """A guardrail looks at something, until `until_ms` at most."""

    rule: GuardrailRule
    until_ms: int
    subject: _Growing | _Said | _Held


class Guardrails:
    """
    Those of one call; `looks`: there are any.

    `rules` hold for whoever speaks for the bot; `change` adds the agent's own.
    """

    def __init__(self, rules: tuple[GuardrailRule, ...], responses: Responses) -> None:
        self._common, self._responses = rules, responses
        self._of_bot: tuple[GuardrailRule, ...] = ()
        self._of_caller: tuple[GuardrailRule, ...] = ()
        self._of_arguments: tuple[GuardrailRule, ...] = ()
        self.change(())
        self._growing: dict[str, _Growing] = {}
        # By check and guardrail.
        self._looks: dict[tuple[str, str], _Look] = {}
        self._count = 0
        # Responses, turns of the caller and functions that were stopped; and where others have tripped.
        self._stopped: set[str] = set()
        self._noted: set[tuple[str, str]] = set()
        self._troubles: set[str] = set()  # that were told
        # How often in a row the model was stopped, and was to correct itself.
        self._in_a_row = 0

    def change(self, own: tuple[GuardrailRule, ...]) -> None:
        """These are the agent's own guardrails from now on. Looks under way go on."""
        rules = self._common + own
        self._of_bot = tuple(rule for rule in rules if rule.on == "bot")
        self._of_caller = tuple(rule for rule in rules if rule.on == "caller")
        self._of_arguments = tuple(rule for rule in rules if rule.on == "arguments")
        self.looks = bool(rules)

    @property
    def due_ms(self) -> int | None:
        """When `tick` has something to do."""
        if not self._looks:  # fifty times a second
            return None
        return min(look.until_ms for look in self._looks.values())

    # ---------------------------------------------------------------------------------- what is said and done

    def spoke(self, item_id: str, response_id: str, delta: str, now: int) -> list[Action]:
        """The bot's text has grown."""
        if not self._is_watched(response_id):
            return []
        growing = self._growing.setdefault(item_id, _Growing(item_id, response_id))
        growing.parts.append(delta)
        growing.length += len(delta)
        return self._look_at(growing, now)

    def said(self, item_id: str, response_id: str, text: str, now: int) -> list[Action]:
        """All of an item's text is there."""
        if not self._is_watched(response_id):
            return []
        growing = self._growing.setdefault(item_id, _Growing(item_id, response_id))
        growing.parts, growing.length, growing.complete = [text], len(text), True
        return self._look_at(growing, now)

    def response_over(self, response_id: str, now: int) -> list[Action]:
        """Nothing more is said in a response: what it has said is complete."""
        actions: list[Action] = []
        for growing in list(self._growing.values()):
            if growing.response_id != response_id:
                continue
            growing.complete = True
            if self._is_watched(response_id):
                actions += self._look_at(growing, now)
            if not growing.looking:
                del self._growing[growing.item_id]
        return actions

    def heard(self, item_id: str, text: str, now: int) -> list[Action]:
        """The caller has said this."""
        self._in_a_row = 0
        return self._look(self._of_caller, _Said(item_id), now, Check("", (), item_id, text))

    def hold(self, run: RunTool, now: int) -> list[Action]:
        """A function is about to run. Nothing: it may; otherwise it has to wait for a verdict."""
        rules = [rule for rule in self._of_arguments if not rule.tools or run.name in rule.tools]
        held = _Held(run, {rule.name for rule in rules})
        return self._look(rules, held, now, Check("", (), tool=run.name, arguments=run.arguments))

    def _is_watched(self, response_id: str) -> bool:
        """Whether somebody looks at what is said in a response. Words of ours would stop themselves for ever."""
        return bool(self._of_bot) and not (
            response_id in self._stopped
            or response_id in self._responses.fenced
            or self._responses.says_exactly(response_id)
        )

    # ---------------------------------------------------------------------------------- looking

    def _look_at(self, growing: _Growing, now: int) -> list[Action]:
        """Have a text looked at by those whose turn it is."""
        if not any(growing.is_due(rule, growing.length) for rule in self._of_bot):
            return []
        text = "".join(growing.parts)
        text = text if growing.complete else whole_words(text)
        due = [rule for rule in self._of_bot if growing.is_due(rule, len(text))]
        for rule in due:
            growing.look(rule, len(text))
        return self._look(due, growing, now, Check("", (), growing.item_id, text.rstrip()))

    def _look(
        self, rules: Sequence[GuardrailRule], subject: _Growing | _Said | _Held, now: int, check: Check
    ) -> list[Action]:
        """Have these rules look at a subject. `check` says what they see of it; it lacks its id and their names."""
        names = tuple(rule.name for rule in rules)
        if not names:
            return []
        self._count += 1
        check_id = f"check-{self._count}"
        for rule in rules:
            self._looks[check_id, rule.name] = _Look(rule, now + rule.timeout_ms + GRACE_MS, subject)
        text = check.text[-MAX_CHECKED_CHARACTERS:]
        return [Check(check_id, names, check.item_id, text, check.tool, check.arguments)]

    def checked(self, result: Checked, now: int) -> tuple[list[Action], list[Verdict]]:
        """What came of a look: what else is to be looked at, and what has come out."""
        look = self._looks.pop((result.check_id, result.guardrail), None)
        if look is None:  # given up before
            return [], []
        rule, subject = look.rule, look.subject
        actions: list[Action] = []
        tripped, known = result.tripped, result.problem is None
        if not known:
            actions += self._trouble(f"guardrail {rule.name}: {result.problem}")
            tripped = not rule.passes_unknown and rule.then != "go_on"
        verdicts: list[Verdict] = self._tripped(rule, subject, result.why, known) if tripped else []
        if isinstance(subject, _Held):
            return actions, verdicts + self._allowed(rule, subject)
        if isinstance(subject, _Growing):
            actions += self._look_again(rule, subject, now)
        return actions, verdicts

    def _trouble(self, problem: str) -> list[Action]:
        """One that comes with each look is told once."""
        if problem in self._troubles or len(self._troubles) >= MAX_TROUBLES:
            return []
        self._troubles.add(problem)
        return [Trouble(problem)]

    def tick(self, now: int) -> tuple[list[Action], list[Verdict]]:
        """Give up what takes too long."""
        actions: list[Action] = []
        verdicts: list[Verdict] = []
        for (check_id, name), look in list(self._looks.items()):
            if now >= look.until_ms:
                late = Checked(check_id, name, False, problem=f"it took more than {look.rule.timeout_ms} ms")
                more, out = self.checked(late, now)
                actions, verdicts = actions + more, verdicts + out
        return actions, verdicts

    def _look_again(self, rule: GuardrailRule, growing: _Growing, now: int) -> list[Action]:
        """A look is over: perhaps more was said meanwhile."""
        growing.looking.discard(rule.name)
        actions = self._look_at(growing, now) if self._is_watched(growing.response_id) else []
        if growing.complete and not growing.looking and growing.response_id != self._responses.active:
            self._growing.pop(growing.item_id, None)
        return actions

    # ---------------------------------------------------------------------------------- what comes out

    def _tripped(
        self, rule: GuardrailRule, subject: _Growing | _Said | _Held, why: str, known: bool
    ) -> list[Verdict]:
        then = self._what_then(rule, subject)
        if then is None:
            return []
        held = subject.run if isinstance(subject, _Held) else None
        item_id = "" if isinstance(subject, _Held) else subject.item_id
        return [Tripped(rule, then, why, item_id, held, known)]

    def _what_then(self, rule: GuardrailRule, subject: _Growing | _Said | _Held) -> Then | None:
        """What is done about it; None: nothing more, something was done already."""
        key = subject.key
        if rule.then == "go_on":
            if (key, rule.name) in self._noted:
                return None
            self._noted.add((key, rule.name))
            return rule.then
        if key in self._stopped:
            return None
        self._stopped.add(key)
        if not isinstance(subject, _Growing) or rule.then not in ("interrupt", "say"):
            return rule.then
        if key in self._responses.fenced:  # the caller has interrupted it, and is answered anyway
            return "go_on"
        if rule.then == "interrupt":
            self._in_a_row += 1
            return "say" if self._in_a_row > MAX_IN_A_ROW else "interrupt"
        return rule.then

    def _allowed(self, rule: GuardrailRule, held: _Held) -> list[Verdict]:
        held.waiting.discard(rule.name)
        return [] if held.waiting or held.key in self._stopped else [Allowed(held.run)]


def whole_words(text: str) -> str:
    """A text that grows, without the word that it ends in: that may be longer yet."""
    end = len(text)
    while end > max(len(text) - MAX_WORD_CHARACTERS, 0) and not text[end - 1].isspace():
        end -= 1
    return text[:end] if end and text[end - 1].isspace() else text
