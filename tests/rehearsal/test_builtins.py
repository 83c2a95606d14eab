"""The built-in functions in rehearsals: the call ends, or goes on, as it would."""

from collections.abc import Iterator

import pytest

from phonebot.rehearsal.phone import Phone
from phonebot.rehearsal.service_line import ServiceLine
from phonebot.rehearsal.virtual_line import VirtualLine
from phonebot.simulator.mind import Call

PROFILE = {
    "greeting": "Hello, how can I help?",
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
    "transcription": {"model": "any"},
    "transfer_to": "+15550100009",
    "transfer": {"warm": True, "say": "One moment."},
    "languages": ["de-DE"],
    "tools": ["end_call", "opt_out", "set_language", "take_message", "transfer_call"],
}


@pytest.fixture(params=[VirtualLine, ServiceLine], ids=["virtual", "sockets"])
def phone(request: pytest.FixtureRequest) -> Iterator[Phone]:
    made = Phone(request.param)
    made.profile(**PROFILE)
    yield made
    made.close()


def ask(phone: Phone, name: str, **arguments: str) -> None:
    phone.model({"please": Call(name, arguments)}, otherwise="Well, it is done.")
    phone.dial()
    phone.expect_heard("how can I help")
    phone.say("Please.")
    phone.expect_called(name)


def test_who_is_transferred_hears_so_and_leaves(phone: Phone) -> None:
    ask(phone, "transfer_call", summary="He wants a table.")
    phone.expect_heard("One moment.")
    phone.expect_hung_up("transferred")


def test_the_bot_hangs_up_after_its_farewell(phone: Phone) -> None:
    ask(phone, "end_call", farewell="Goodbye, then.")
    phone.expect_heard("Goodbye, then.")
    phone.expect_hung_up("bot_hung_up")


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("take_message", {"message": "Please call me back."}, "Noted: it will be passed on"),
        ("opt_out", {}, "will not be called again"),
        ("set_language", {"language": "de-DE"}, "de-DE"),
    ],
)
def test_what_else_is_done_is_told_to_the_model(name: str, arguments: dict[str, str], told: str) -> None:
    phone = Phone(VirtualLine)
    phone.profile(**PROFILE)
    ask(phone, name, **arguments)
    phone.expect_heard("it is done")
    assert told in "\n".join(str(action) for _, action in phone.actions)
    phone.close()
