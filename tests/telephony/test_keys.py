"""Calls to the whole service in which the caller answers by keys; the profiles are those of docs/telephony.md."""

from pathlib import Path

import pytest
from documents import Document
from service_driver import PROFILE, Service, StartService

from phonebot.agents.profile import Profile
from phonebot.call.actions import BargeIn, Line, RunTool
from phonebot.call.inputs import ToolResult
from phonebot.replay.player import play
from phonebot.simulator.caller import HangUp, Press, Step, WaitForBot, WaitForQuiet
from phonebot.simulator.mind import Call, Context, Mind, Say

QUIET = WaitForQuiet(400)
PIN = "2468"


class Clerk:
    """Repeats what he is told, and checks PINs that he is not told."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        newest = context.history[-1]
        if "You are not told which" in newest.text:
            return (Call("check_pin", {"pin": "{keys}"}),)
        return (Say(f"{newest.role}: {newest.text[:40]}"),)


def with_keys(number: str, **changes: object) -> Profile:
    """The keys and functions of an example, in a profile whose bot greets shortly."""
    example = Document("telephony.md").profiles("Keys")[number].model_dump(include={"keys", "tools"})
    return Profile.from_table(PROFILE.model_dump(exclude_none=True) | example | changes, "test")


async def called(start: StartService, profile: Profile, *steps: Step, **settings: str) -> Service:
    minds: type[Mind] = Clerk
    service = await start(profile=profile, minds=minds, **settings)
    record = await service.dial(QUIET, *steps, HangUp())
    assert record.passed, record
    await service.stop()
    assert play(service.log()).differences == ()
    return service


def lines(service: Service) -> list[str]:
    return [f"{line.role}, {line.typed_by}: {line.text}" for each in service.witnesses for line in each.saw(Line)]


async def test_the_example_takes_choices_and_numbers(start_service: StartService) -> None:
    service = await called(start_service, with_keys("+15550100010"), Press("2"), QUIET, Press("345#"), QUIET)
    assert lines(service)[1:] == [
        "caller, keypad: I am calling for test results.",
        "bot, : user: I am calling for test results.",
        "caller, keypad: The caller pressed the keys 3 4 5.",
        "bot, : user: The caller pressed the keys 3 4 5.",
    ]


async def test_keys_stop_the_bot_where_the_profile_says_so(start_service: StartService) -> None:
    profile = with_keys("+15550100010", barge_in={"keys": True}, greeting="This greeting is as long as it can be")
    service = await start_service(profile=profile, minds=Clerk)
    record = await service.dial(WaitForBot(), Press("0"), QUIET, HangUp())
    assert record.passed, record
    assert [line for line in lines(service) if "person" in line] == [
        "caller, keypad: I want a person.",
        "bot, : user: I want a person.",
    ]
    (witness,) = service.witnesses
    assert len(witness.saw(BargeIn)) == 1


async def test_a_hidden_pin_reaches_the_function_and_nobody_else(
    start_service: StartService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with Document("telephony.md").modules(tmp_path, monkeypatch):
        service = await called(
            start_service,
            with_keys("+15550100011"),
            Press(f"{PIN}#"),
            QUIET,
            Press("99999999"),
            QUIET,
            PHONEBOT_TOOLS="pins",
        )
    (witness,) = service.witnesses
    assert [run.arguments for run in witness.saw(RunTool)] == ['{"pin": "{keys}"}'] * 2
    assert [result.output for result in witness.saw(ToolResult)] == ["true", "false"]
    files = [file for file in service.calls_dir.rglob("*") if file.is_file() and file.suffix in (".json", ".jsonl")]
    kept = "".join(file.read_text() for file in files) + caplog.text
    assert "You are not told which" in kept
    assert PIN not in kept
    assert "2 4 6 8" not in kept
    assert "99999999" not in kept
