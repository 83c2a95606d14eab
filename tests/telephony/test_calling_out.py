"""What docs/telephony.md says of calling out, typed and called; `opt_out`; and a service of two processes."""

import asyncio
import json
import os
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from documents import Document
from outbound_driver import ADA, Desk, staged
from service_driver import (
    COMMAND,
    PROFILE,
    SPEECH,
    Service,
    environment,
    form_of_call,
    leaving_nothing,
    until,
)
from switchboard_driver import COLLEAGUE, LINE

from phonebot.agents.numbers import read_tables
from phonebot.agents.profile import Profile
from phonebot.agents.toml import parse
from phonebot.simulator.callees import Human, Machine
from phonebot.simulator.caller import HangUp, Say, WaitForBot, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.simulator.switchboard import ACCOUNT_SID
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store

PAGE = Document("telephony.md")
SECTION = PAGE.text.partition("\n## Calling out\n")[2].partition("\n## ")[0]
EXAMPLE = re.findall(r"^```toml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
TYPED = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
REMINDERS = "+15550100003"


@pytest.fixture
async def stage(sqlite: Database, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Desk]]]:
    async with leaving_nothing(), AsyncExitStack() as running:

        async def start(**terms: Any) -> Desk:
            return await running.enter_async_context(staged(sqlite, tmp_path, **terms))

        yield start
        await running.aclose()
        await sqlite.close()


async def type_in(desk: Desk, folder: Path, line: str) -> tuple[int | None, str]:
    """The exit code of a command, and what it says."""
    program, *arguments = shlex.split(line)
    assert program == "phonebot"
    settings = {
        "PHONEBOT_DATA_DIR": str(folder),
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": "secret",
        "PHONEBOT_DATABASE_URL": f"sqlite:///{folder}/phonebot.db",
        "COLUMNS": "80",
    }
    command = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=environment(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await command.communicate()
    return command.returncode, said.decode()


def example() -> Profile:
    """The profile of the page, as a machine's test can wait for it: its quiet hours may be now."""
    (written,) = read_tables(parse("\n".join(EXAMPLE).encode(), PAGE.name), PAGE.name, Path()).values()
    assert written.profile.outbound.is_quiet(6, 12 * 60)
    outbound = written.table["outbound"] | {"quiet": []}
    kept = {key: PROFILE.model_dump(exclude_none=True)[key] for key in ("turn_detection", "transcription")}
    return Profile.from_table({**written.table, **kept, "outbound": outbound}, PAGE.name)


@pytest.mark.slow
async def test_the_calls_of_the_examples_are_made_and_the_message_left(stage: Any, tmp_path: Path) -> None:
    desk = await stage(line=REMINDERS, service={"profile": example()})
    desk.carrier.callees[COLLEAGUE] = Machine(after_s=1, greeting_ms=2500)
    code, said = await type_in(desk, tmp_path, TYPED[0])
    assert (code, "a message was left on a machine" in said) == (0, True), said
    filed = await desk.filed()
    why = "Table for four on Friday at 19:00"
    assert filed.turns[-1].text == f"This is Rosa's Trattoria about your reservation: {why}. Please call us back."

    secret = (await desk.store.tokens.create("orders", ["operate"], ADA)).secret
    variables = {**os.environ, "API": f"{desk.service.url}/api/v1", "TOKEN": secret, "no_proxy": "*"}
    shell = await asyncio.create_subprocess_exec(
        "sh", "-ec", TYPED[1], env=variables, stdout=asyncio.subprocess.PIPE
    )
    told = json.loads((await shell.communicate())[0])
    assert (told["to"], told["from"], told["reason"], told["state"]) == (COLLEAGUE, REMINDERS, why, "queued")
    desk.carrier.callees[COLLEAGUE] = Human((WaitForBot(), HangUp()), after_s=1)
    call = await desk.over(await desk.store.outbound.get(told["id"]))
    assert (call.result, call.asked_by) == ("answered", "token orders")


@pytest.mark.slow
async def test_the_commands_for_opting_out_do_what_they_say(stage: Any, tmp_path: Path) -> None:
    desk = await stage(retries=0)
    add, listed, remove = TYPED[2].splitlines()
    assert await type_in(desk, tmp_path, add) == (0, "+15550100010 is not called any more\n")
    code, said = await type_in(desk, tmp_path, listed)
    assert (code, "asked for it in a letter" in said) == (0, True)
    code, said = await type_in(desk, tmp_path, f"phonebot dial +15550100077 --from {LINE} --wait --json")
    told = json.loads(said)
    assert (code, told["state"], told["result"], told["attempts"]) == (1, "failed", "failed", 1)
    code, said = await type_in(desk, tmp_path, f"phonebot dial +15550100010 --from {LINE}")
    assert (code, said) == (1, "phonebot: +15550100010 does not want to be called: it is among the opt-outs\n")
    assert await type_in(desk, tmp_path, remove) == (0, "+15550100010 may be called again\n")
    assert (await type_in(desk, tmp_path, listed))[1] == "no number has opted out\n"


class Polite:
    """A mind that notes whoever speaks as one who does not want to be called."""

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if context.heard and "opt_out" in context.tools:
            return (Call("opt_out", {"reason": "no time for this"}),)
        return (Speak("Goodbye"),)


async def test_whoever_asks_the_bot_is_not_called_again(stage: Any) -> None:
    desk = await stage(profile={"tools": ["opt_out"]}, service={"minds": Polite})
    says = (WaitForQuiet(200), Say(SPEECH, "do not call me again"), WaitForBot(), WaitForQuiet(200), HangUp())
    call = await desk.call(Human(says, after_s=1))
    assert call.result == "answered"
    (kept,) = await desk.store.opt_outs.page()
    assert (kept.number, kept.by, kept.why) == (COLLEAGUE, "caller", "no time for this")
    (ran,) = (await desk.filed()).tool_calls
    assert ran.result is not None
    assert ran.result.startswith(f"Noted: {COLLEAGUE} will not be called again")


@pytest.mark.parametrize("told_first", [False, True])
async def test_who_answered_reaches_the_process_that_holds_the_call(
    sqlite: Database, tmp_path: Path, told_first: bool
) -> None:
    """The carrier's requests come to one process, and the stream to another, as behind a load balancer."""
    async with leaving_nothing():
        store = Store.of(sqlite, Recordings((tmp_path / "calls").as_uri()))
        call = await store.outbound.add(COLLEAGUE, LINE, ADA)
        (job,) = await store.outbound.claim("a third one", 1)
        await store.outbound.begin(job, at_once=1, look_s=600)
        one = await Service.start(tmp_path / "one", store=store)
        other = await Service.start(tmp_path / "other", store=store, public_url=one.url)
        form = form_of_call(From=LINE, To=COLLEAGUE, Direction="outbound-api")
        _, twiml = await one.post(f"/twilio/voice?outbound={call.id}-1", form)
        token = ElementTree.fromstring(twiml).find("./Connect/Stream/Parameter")
        assert token is not None
        answered = {"AccountSid": form["AccountSid"], "CallSid": form["CallSid"], "AnsweredBy": "fax"}
        if told_first:
            await one.post(f"/twilio/amd?outbound={call.id}-1", answered)
        stream = await other.open_stream()
        await stream.connected()
        await stream.start(token.attrib["value"])
        if not told_first:
            await until(lambda: len(other.live))
            await one.post(f"/twilio/amd?outbound={call.id}-1", answered)
        assert await stream.closed() == 1000
        await one.stop()
        await other.stop()
        assert (await store.outbound.get(call.id)).answered_by == "fax"
        filed = await store.calls.get(form["CallSid"])
        assert (filed.kind, filed.outcome, filed.caller) == ("outbound", "bot_hung_up", COLLEAGUE)
        await sqlite.close()


async def test_callbacks_that_nobody_signed_or_that_name_no_attempt_do_nothing(stage: Any) -> None:
    desk = await stage(retries=0)
    call = await desk.order("+15550100077")
    form = {"AccountSid": ACCOUNT_SID, "CallSid": "CA1", "AnsweredBy": "fax", "CallStatus": "completed"}
    for path in ("/twilio/amd", "/twilio/status"):
        assert (await desk.service.post(f"{path}?outbound={call.id}-1", form, token=None))[0] == 403
        for attempt in ("", "x", "0-0", f"{call.id}-9", "99-1", f"{10**30}-1"):
            assert (await desk.service.post(f"{path}?outbound={attempt}", form))[0] == 204
    assert (await desk.over(call)).result == "failed"
