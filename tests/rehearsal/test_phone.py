"""The phone of the pytest plugin: tests that read like the call, and what they say when they fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from phonebot.rehearsal.line import SORRY
from phonebot.rehearsal.phone import ExpectationFailed, Phone
from phonebot.rehearsal.service_line import ServiceLine
from phonebot.rehearsal.virtual_line import VirtualLine
from phonebot.simulator.mind import Call
from phonebot.tools import ToolContext, tool

PROFILE = {
    "greeting": "Hello, how can I help?",
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
    "transcription": {"model": "any"},
}
HOURS = {"opening hours": "We are open from eight to six.", "that is all": "Goodbye."}
FIXTURES = Path(__file__).parent.parent.parent / "fixtures"


@pytest.fixture
def phone(phone: Phone) -> Phone:
    phone.profile(**PROFILE)
    phone.model(HOURS)
    return phone


@pytest.fixture
def service_phone() -> Iterator[Phone]:
    made = Phone(ServiceLine)
    made.profile(**PROFILE)
    made.model(HOURS)
    yield made
    made.close()


def hold(phone: Phone) -> None:
    phone.dial()
    phone.expect_heard("how can I help")
    phone.say("What are your opening hours?")
    phone.interrupt("Thank you, that is all.", after_ms=700)
    phone.expect_interrupted(heard_ms=(700, 1200))
    phone.expect_heard("Goodbye")
    phone.hang_up()
    assert phone.transcript == (
        "bot: Hello, how can I help?",
        "caller: What are your opening hours?",
        "bot: We are open …",
        "caller: Thank you, that is all.",
        "bot: Goodbye.",
    )
    assert phone.outcome == "caller_hung_up"


def test_a_call_in_virtual_time(phone: Phone) -> None:
    hold(phone)


def call_a_function(phone: Phone) -> None:
    phone.model({"table": Call("book_table", {"day": "Tuesday", "guests": 4}), "that is all": "Goodbye."})
    phone.dial()
    phone.expect_heard("how can I help")
    phone.say("A table for four, please.")
    phone.expect_called("book_table", {"guests": 4})
    phone.expect_heard(SORRY)
    phone.say("Then that is all.")
    phone.expect_heard("Goodbye")
    assert phone.functions == (("book_table", {"day": "Tuesday", "guests": 4}),)


def test_a_function_that_the_model_calls_is_expected(phone: Phone) -> None:
    call_a_function(phone)


def test_a_function_that_the_model_calls_over_sockets_is_expected(service_phone: Phone) -> None:
    call_a_function(service_phone)


def test_a_function_called_with_something_else_is_not_the_expected_one(phone: Phone) -> None:
    phone.model({"table": Call("book_table", {"guests": 5})})
    phone.dial()
    phone.say("A table for five, please.")
    with pytest.raises(ExpectationFailed, match=r"the function book_table to be called with \{'guests': 4\}"):
        phone.expect_called("book_table", {"guests": 4}, within_ms=5_000)
    phone.expect_called("book_table")


def test_the_same_call_over_sockets(service_phone: Phone) -> None:
    hold(service_phone)


def test_a_call_in_virtual_time_comes_out_the_same_each_time(phone: Phone) -> None:
    other = Phone(VirtualLine)
    other.profile(**PROFILE)
    other.model(HOURS)
    for each in phone, other:
        hold(each)
    assert phone.actions == other.actions


def test_the_bot_hangs_up_when_the_limit_is_reached(phone: Phone) -> None:
    phone.profile(**PROFILE, max_call_s=10)
    phone.dial()
    phone.stay_silent(30_000)
    phone.expect_hung_up("time_limit")


def test_keys_end_a_turn_where_the_profile_says_so(phone: Phone) -> None:
    phone.profile(**PROFILE | {"turn_detection": {"type": "none"}})
    phone.dial()
    phone.expect_heard("Hello")
    phone.say("What are your opening hours?")
    phone.press("#")
    phone.expect_heard("eight to six")


def test_turns_are_found_by_our_own_ear_too(phone: Phone) -> None:
    phone.profile(**PROFILE | {"turn_detection": {"type": "local"}})
    phone.dial()
    phone.expect_heard("Hello")
    phone.say("What are your opening hours?")
    phone.expect_understood("opening hours")
    phone.expect_heard("eight to six")


def test_what_is_not_expected_to_be_said_is_answered_all_the_same(phone: Phone) -> None:
    phone.dial()
    phone.say("Good morning")
    phone.expect_heard(SORRY)


def test_a_script_of_the_embedded_model_and_recorded_speech(phone: Phone) -> None:
    phone.model(FIXTURES / "demo" / "dentist.toml")
    phone.dial()
    phone.expect_heard("how can I help")
    phone.say("i would like to book an appointment", audio=FIXTURES / "demo" / "book.wav")
    phone.expect_heard("I can offer you Tuesday morning")


# ------------------------------------------------------------------------------------------- when it fails


def test_what_was_not_heard_is_told_with_what_was(phone: Phone) -> None:
    phone.dial()
    phone.expect_heard("how can I help")
    with pytest.raises(ExpectationFailed) as failed:
        phone.expect_heard("Goodbye", within_ms=3000)
    assert str(failed.value).startswith("expected the caller to hear 'Goodbye' within 3 s; so far:\n  0:0")
    assert 'line of the bot: "Hello, how can I help?"' in str(failed.value)


def test_a_line_that_was_expected_once_is_not_found_again(phone: Phone) -> None:
    phone.dial()
    phone.expect_heard("how can I help")
    with pytest.raises(ExpectationFailed):
        phone.expect_heard("how can I help", within_ms=1000)


def test_a_cut_elsewhere_is_not_the_one_expected(phone: Phone) -> None:
    phone.dial()
    phone.interrupt("Thank you", after_ms=500)
    with pytest.raises(ExpectationFailed, match="to be interrupted with 0 to 100 ms heard within 2 s"):
        phone.expect_interrupted(heard_ms=(0, 100), within_ms=2000)


def test_a_bot_that_says_nothing_cannot_be_interrupted(phone: Phone) -> None:
    phone.profile(**PROFILE | {"greeting": ""})
    phone.dial()
    with pytest.raises(ExpectationFailed, match="the caller could not do it: interrupt: it did not happen within"):
        phone.interrupt("Thank you", after_ms=500)


def test_nothing_is_said_after_the_end(phone: Phone) -> None:
    phone.dial()
    phone.hang_up()
    with pytest.raises(ExpectationFailed, match="was to speak, but the call is over"):
        phone.say("Hello?")


def test_a_caller_who_hung_up_was_not_hung_up_on(phone: Phone) -> None:
    phone.dial()
    phone.hang_up()
    with pytest.raises(ExpectationFailed, match="the caller did"):
        phone.expect_hung_up()


def test_a_call_that_ended_is_not_waited_for(phone: Phone) -> None:
    phone.profile(**PROFILE, max_call_s=10)
    phone.dial()
    phone.stay_silent(30_000)
    with pytest.raises(ExpectationFailed, match="before the call ended"):
        phone.expect_heard("Good morning", within_ms=600_000)


def test_a_phone_holds_one_call_and_has_to_dial_first(phone: Phone) -> None:
    with pytest.raises(RuntimeError, match="dial"):
        phone.say("Hello")
    with pytest.raises(RuntimeError, match="dial first"):
        phone.expect_heard("Hello")
    phone.dial()
    with pytest.raises(RuntimeError, match="dialled already"):
        phone.dial()
    with pytest.raises(RuntimeError, match="empty"):
        phone.say("")


def test_what_the_carrier_finds_wrong_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault put into the core: a mark without a name."""
    from phonebot.call.playout import PlayoutLedger

    monkeypatch.setattr(PlayoutLedger, "_new_name", lambda *_: "")
    made = Phone(VirtualLine)
    made.profile(**PROFILE)
    made.dial()
    made.stay_silent(500)
    with pytest.raises(ExpectationFailed, match="the carrier complains:"):
        made.close()


@tool(fillers=("One moment.",))
def book_table(guests: int, call: ToolContext) -> str:
    """Books a table."""
    return f"Booked for {guests} by {call.caller}."


def books(phone: Phone) -> None:
    phone.profile(**PROFILE, tools=["book_table"])
    phone.tools(book_table, takes_ms=2_500)
    phone.model({"table": Call("book_table", {"guests": 5})}, otherwise="It is booked.")
    phone.dial()
    phone.say("A table for five, please.")
    phone.expect_called("book_table", {"guests": 5})
    phone.expect_heard("It is booked.")


def test_a_function_runs_and_takes_as_long_as_it_is_said_to(phone: Phone) -> None:
    books(phone)
    assert "bot: One moment." in phone.transcript
    assert [line for line in phone.transcript if "booked" in line] == ["bot: It is booked."]


def test_a_function_runs_over_sockets_too(service_phone: Phone) -> None:
    books(service_phone)
