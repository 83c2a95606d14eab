"""A caller asks for somebody who is not there, is with the bot all the while, and leaves a message."""

import shutil
from pathlib import Path

import pytest
from service_driver import SPEECH, StartService
from switchboard_driver import CALLER, COLLEAGUE
from tool_driver import check_replay
from transfer_driver import SUMMARY, Receptionist, answered_by, staged

from phonebot.simulator.callees import NoAnswer
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.store.messages import MessageFilters
from phonebot.store.store import Store

pytestmark = pytest.mark.slow

MESSAGE = {"message": "Please call me about my bill.", "name": "Ada"}


class Secretary(Receptionist):
    """One that offers to take a message, and takes it."""

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        newest = context.history[-1] if context.history else None
        if context.heard is None and newest and newest.role == "tool" and "Noted" in newest.text:
            return (Speak("I have written it down"),)
        if context.heard is not None and self._called:
            return (Call("take_message", MESSAGE),)
        return super().answer(context)


async def test_a_caller_whom_nobody_takes_leaves_a_message(
    start_service: StartService, migrated_sqlite: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    store = await Store.open(f"sqlite:///{tmp_path}/phonebot.db", (tmp_path / "calls").as_uri())
    profile = answered_by(transfer={"warm": True}, tools=["transfer_call", "take_message"])
    try:
        async with staged(start_service, profile, Secretary, callees={COLLEAGUE: NoAnswer()}, store=store) as stage:
            calling = stage.begin(
                WaitForQuiet(300),
                Say(SPEECH, "I want to talk to somebody"),
                WaitForQuiet(2_000),
                Say(SPEECH, "please tell him to call me"),
                WaitForQuiet(2_000),
                HangUp(),
            )
            record = await calling
            await stage.carrier.settled()
            said = [text for role, text in stage.lines() if role == "bot"]
            (message,) = (await store.messages.page(MessageFilters())).messages
            await stage.service.stop()
            (log,) = stage.service.logs()
    finally:
        await store.close()
    assert record.passed, record.reason
    assert len(record.streams) == 1  # he has never left the bot
    assert said[-2:] == ["Sorry nobody answered", "I have written it down"]
    (asked,) = stage.carrier.calls_to(COLLEAGUE)
    assert (asked.status, asked.told("heard")) == ("no-answer", [])
    assert (message.from_number, message.text, message.call_sid) == (CALLER, MESSAGE["message"], record.call_sid)
    assert SUMMARY not in message.text
    check_replay(log)
