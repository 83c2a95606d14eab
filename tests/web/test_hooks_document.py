"""The example of docs/hooks.md does what it says, and its table has all events."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import Document
from service_driver import PROFILE, SHORT_ANSWER, SPEECH, StartService, until

from phonebot.agents.profile import Profile
from phonebot.call.inputs import TypedText
from phonebot.hooks.events import KINDS
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak

pytestmark = pytest.mark.slow

PAGE = Document("hooks.md")


class Helpless:
    """A mind that calls a function which fails, once."""

    def __init__(self) -> None:
        self._calls = [Call("fail", {})]

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        return (self._calls.pop(),) if context.heard and self._calls else (Speak(SHORT_ANSWER),)


@pytest.fixture
def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module of the document can be imported; its name."""
    with PAGE.modules(tmp_path, monkeypatch) as names:
        (name,) = names
        yield name


async def test_the_example_types_when_a_function_fails_and_tells_who_booked_nothing(
    start_service: StartService, watching: str
) -> None:
    profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | {"tools": ["fail"]}, "test")
    service = await start_service(
        profile=profile,
        minds=Helpless,
        PHONEBOT_TOOLS="call_tools",
        PHONEBOT_HOOKS=watching,
    )
    await service.dial(WaitForQuiet(300), Say(SPEECH), WaitForQuiet(600), HangUp())
    (witness,) = service.witnesses
    (typed,) = witness.saw(TypedText)
    assert (typed.by, typed.role) == ("watch", "system")
    assert typed.text.startswith("The function failed. Offer that a colleague calls back.")
    sent: list[str] = sys.modules[watching].SENT
    await until(lambda: len(sent) == 2)
    assert re.fullmatch(r"CA[0-9a-f]{32}: fail: it failed: KeyError: .*", sent[0])
    assert sent[1] == "+15550100001 booked nothing, and said: something"


def test_every_event_is_documented_with_its_class_and_fields() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| `([A-Za-z]+)` \| .* \| (.*?) ?\|$", PAGE.text, re.MULTILINE)
    assert {(name, kind) for name, kind, _ in rows} == {(name, kind.__name__) for name, kind in KINDS.items()}
    for name, _, has in rows:
        told = set(re.findall(r"`([a-z_]+)`", has))
        assert told <= set(KINDS[name].__struct_fields__) - {"t_ms"}, name
        assert name == "tool_end" or told == set(KINDS[name].__struct_fields__) - {"t_ms"}, name
