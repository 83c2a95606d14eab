"""A call's conversation, live in a terminal."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from phonebot.call.actions import (
    Action,
    BargeIn,
    CallerSilent,
    Cut,
    Ended,
    FalseAlarm,
    Floor,
    GuardrailTripped,
    HandOff,
    Held,
    LimitNear,
    LimitReached,
    Line,
    ModelDropped,
    PlayAudio,
    Recovered,
    Tell,
    Trouble,
)
from phonebot.call.inputs import Input
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Start
from phonebot.realtime.events import (
    AudioDelta,
    CreateItem,
    FunctionCall,
    FunctionCallOutput,
    OutputItemDone,
    SpokenTextDelta,
    SpokenTextDone,
)
from phonebot.replay.words import of_limit

NAMES = {
    "bot": ("bot", "bold cyan"),
    "caller": ("caller", "bold green"),
    "instruction": ("typed", "bold magenta"),
}
STATUS = {
    Turn.IDLE: "[dim]silence[/dim]",
    Turn.CALLER: "[green]the caller speaks[/green]",
    Turn.THINKING: "[dim]the model thinks[/dim]",
    Turn.BOT: "[cyan]the bot speaks[/cyan]",
}
FALSE_ALARMS = {
    "echo": "the bot's own echo",
    "short": "too short",
    "empty": "no words",
    "backchannel": "only assent",
}
THEN = {
    "interrupt": "the model is told",
    "say": "other words are said",
    "go_on": "it goes on",
    "hand_over": "another agent takes over",
    "end": "the call ends",
}
MOST_SHOWN = 120  # characters of what a function is given and gives


@dataclass(slots=True)
class Conversation:
    """
    What a call came to, as its journal sees it.

    `played` names, for each media message sent to the carrier, the item whose audio it is (None: filling). `called`
    are the functions that the model called, whether or not they then ran; `handed_over` the agents that had the
    call after the first; `guarded` the guardrails that tripped.
    """

    lines: list[Line] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    barge_ins: int = 0
    troubles: list[str] = field(default_factory=list)
    outcome: str | None = None
    played: list[str | None] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    handed_over: list[str] = field(default_factory=list)
    guarded: list[str] = field(default_factory=list)


class LiveTranscript:
    """
    A bridge's journal that prints each line as it becomes final, and notes what the call came to.

    In a terminal the last row shows who has the floor.
    """

    def __init__(self, console: Console) -> None:
        self.conversation = Conversation()
        self._console = console
        # What the model meant to say, by item.
        self._texts: dict[str, str] = {}
        self._speaking: str | None = None  # the item whose audio is being sent
        self._status = console.status(STATUS[Turn.IDLE])

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self._note_input(received)
        self._note_call(now, received)
        for action in actions:
            self._show(now, action)

    def _note_input(self, received: Input) -> None:
        self._speaking = received.item_id if isinstance(received, AudioDelta) else None
        if isinstance(received, Start) and self._console.is_terminal:
            self._status.start()
        if isinstance(received, SpokenTextDelta):
            self._texts[received.item_id] = self._texts.get(received.item_id, "") + received.delta
        elif isinstance(received, SpokenTextDone):
            self._texts.setdefault(received.item_id, received.transcript)

    def _note_call(self, now: int, received: Input) -> None:
        """The model calls a function, whatever becomes of it."""
        item = received.item if isinstance(received, OutputItemDone) else None
        if isinstance(item, FunctionCall) and item.status == "completed":
            self.conversation.called.append(item.name)
            self._note(now, "⚙", _one_line(f"{item.name} {item.arguments}"), "magenta")

    def _show(self, now: int, action: Action) -> None:
        match action:
            case PlayAudio():
                self.conversation.played.append(self._speaking)
            case Line():
                self.conversation.lines.append(action)
                self._print(now, action)
            case Cut():
                self.conversation.cuts.append(action)
            case BargeIn(unheard_ms):
                self.conversation.barge_ins += 1
                self._note(now, "⚡", f"the caller interrupts: {unheard_ms:,} ms unheard, cleared", "yellow")
            case Held():
                self._note(now, "⏸", "the caller may be speaking: the bot is paused", "dim")
            case FalseAlarm(why, text):
                said = f': "{text}"' if text else ""
                self._note(now, "▶", f"no interruption, {FALSE_ALARMS[why]}{said}", "dim")
            case Floor(turn):
                self._status.update(STATUS[turn])
            case _:
                self._show_event(now, action)

    def _show_event(self, now: int, action: Action) -> None:
        """What happens beside the talk."""
        match action:
            case Tell(CreateItem(FunctionCallOutput(_, output))):
                self._note(now, "↳", _one_line(output), "dim")
            case GuardrailTripped(guardrail, then=then):
                self.conversation.guarded.append(guardrail)
                self._note(now, "⊘", f"the guardrail {guardrail} has tripped: {THEN[then]}", "yellow")
            case CallerSilent(silent_ms):
                self._note(now, "…", f"nobody has spoken for {silent_ms / 1000:.1f} s", "dim")
            case LimitNear() | LimitReached():
                self._note(now, "⧗", of_limit(action), "yellow")
            case HandOff(from_agent, to_agent, note):
                self.conversation.handed_over.append(to_agent)
                said = f': "{_one_line(note)}"' if note else ""
                self._note(now, "⇄", f"{from_agent} hands over to {to_agent}{said}", "blue")
            case ModelDropped(problem, planned):
                self._note(now, "⇵", f"the model is {'renewed' if planned else 'gone'}: {problem}", "yellow")
            case Recovered(away_ms):
                self._note(now, "⇵", f"the model is there again after {away_ms / 1000:.1f} s", "yellow")
            case Trouble(problem):
                self.conversation.troubles.append(problem)
                self._note(now, "!", problem, "red")
            case Ended(outcome):
                self._status.stop()
                self.conversation.outcome = outcome
                self._note(now, "·", outcome.replace("_", " "), "dim")

    def _print(self, now: int, line: Line) -> None:
        name, style = NAMES[line.role]
        text = Text(line.text or "…")
        if line.cut:
            rest = self._texts.get(line.item_id, "")[len(line.text) :].rstrip()
            text.append(rest, "dim strike")
            cut = self.conversation.cuts[-1]
            text.append(f"  ✂ heard {line.heard_ms:,} of {cut.received_ms:,} ms", "yellow")
        self._row(now, Text(f"{name:>6} ", style), text)

    def _note(self, now: int, sign: str, text: str, style: str) -> None:
        self._row(now, Text(f"{sign:>6} ", style), Text(text, style))

    def _row(self, now: int, head: Text, text: Text) -> None:
        clock = Text(f"{now // 60_000:2}:{now / 1000 % 60:04.1f} ", "dim")
        head = clock + head
        indent = len(head)
        for n, part in enumerate(text.wrap(self._console, max(self._console.width - indent, 20))):
            self._console.print(head + part if n == 0 else Text(" " * indent) + part, soft_wrap=True)


def _one_line(text: str) -> str:
    """Text of a model or a function: its beginning, without what would move the cursor."""
    shown = "".join(each if each.isprintable() else " " for each in text[: MOST_SHOWN + 1])
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"
