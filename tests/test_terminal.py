"""What a call looks like in a terminal of 80 columns."""

from io import StringIO

from rich.console import Console

from phonebot.call.actions import GuardrailTripped, HandOff, RunTool, Tell
from phonebot.call.inputs import Tick
from phonebot.realtime.events import (
    CreateItem,
    FunctionCall,
    FunctionCallOutput,
    Item,
    ItemStatus,
    OutputItemDone,
)
from phonebot.terminal import LiveTranscript


def done(item: Item) -> OutputItemDone:
    return OutputItemDone("resp_1", 0, item)


def call(arguments: str, status: ItemStatus = "completed") -> FunctionCall:
    return FunctionCall("book", "call_1", arguments, status=status)


def told(output: str) -> Tell:
    return Tell(CreateItem(FunctionCallOutput("call_1", output)))


def shown() -> tuple[StringIO, LiveTranscript]:
    screen = StringIO()
    return screen, LiveTranscript(Console(file=screen, width=80))


def test_a_function_is_shown_as_it_is_called_and_what_came_of_it() -> None:
    screen, transcript = shown()
    transcript.happened(61_540, done(call('{"at": 7}')), [RunTool("call_1", "book", '{"at": 7}')])
    transcript.happened(62_000, Tick(), [told("Booked.")])
    assert screen.getvalue().splitlines() == [
        ' 1:01.5      ⚙ book {"at": 7}',
        " 1:02.0      ↳ Booked.",
    ]
    assert transcript.conversation.called == ["book"]


def test_a_function_that_was_cut_off_was_not_called() -> None:
    screen, transcript = shown()
    transcript.happened(0, done(call('{"at', "incomplete")), [])
    assert (screen.getvalue(), transcript.conversation.called) == ("", [])


def test_of_what_a_function_is_given_and_gives_the_beginning_is_shown_without_control_characters() -> None:
    screen, transcript = shown()
    transcript.happened(0, done(call("\x1b[2J" + "a" * 30_000)), [told("b\n\r\x07c [bold]" + "d" * 30_000)])
    lines = screen.getvalue().splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in screen.getvalue()
    assert "b   c" in screen.getvalue()
    assert "[bold]d" in screen.getvalue()
    assert lines[2].endswith("…")
    assert lines[5].endswith("…")


def test_a_hand_over_is_shown_with_its_note() -> None:
    screen, transcript = shown()
    transcript.happened(0, Tick(), [HandOff("main", "billing"), HandOff("billing", "main", "He owes\n40 dollars.")])
    assert screen.getvalue().splitlines() == [
        " 0:00.0      ⇄ main hands over to billing",
        ' 0:00.0      ⇄ billing hands over to main: "He owes 40 dollars."',
    ]
    assert transcript.conversation.handed_over == ["billing", "main"]


def test_a_guardrail_that_trips_is_shown_with_what_is_done_about_it() -> None:
    screen, transcript = shown()
    transcript.happened(0, Tick(), [GuardrailTripped("no_advice", "bot", "say")])
    assert screen.getvalue() == " 0:00.0      ⊘ the guardrail no_advice has tripped: other words are said\n"
    assert transcript.conversation.guarded == ["no_advice"]
