"""Lines of the service's log name the call they belong to, whoever writes them."""

import asyncio
import io
import json
import re
import signal
from pathlib import Path

import pytest
from process_driver import STARTS_S
from service_driver import (
    CALL_SID,
    COMMAND,
    MODEL_KEY,
    PROFILE,
    SECRET_KEY,
    SPEECH,
    TOKEN,
    StartService,
    environment,
    scripted_model,
)
from tool_driver import Waiter
from websockets.asyncio.server import ServerConnection

from phonebot.agents.profile import Profile
from phonebot.discretion import NOT_SHOWN, set_up_logging
from phonebot.simulator.caller import HangUp, Say, WaitForHangUp, WaitForQuiet
from phonebot.simulator.mind import Call

WEBHOOKS = "phonebot.web.webhooks"


@pytest.fixture
def log() -> io.StringIO:
    """What is logged, as JSON. It is left as it was by `leaves_the_log`."""
    stream = io.StringIO()
    set_up_logging("debug", stream=stream, form="json")
    return stream


def lines(log: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_functions_and_libraries_that_they_use_log_within_the_call(
    start_service: StartService, log: io.StringIO
) -> None:
    tools = ("look_into_it", "fail")
    profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | {"tools": list(tools)}, "test")
    calls = tuple(Call(name, {}) for name in tools)
    service = await start_service(profile=profile, minds=lambda: Waiter(*calls), PHONEBOT_TOOLS="call_tools")
    record = await service.dial(WaitForQuiet(300), Say(SPEECH, "a question"), WaitForQuiet(300), HangUp())
    told = {line["message"]: line for line in lines(log)}
    looked = told["it was looked into"]
    assert looked["logger"] == "of.a.library"
    failed = told[f"call {record.call_sid!r}: the function fail failed"]
    assert failed["exception"].endswith(f"builtins.KeyError: {NOT_SHOWN}")
    assert looked["call_sid"] == failed["call_sid"] == record.call_sid


async def test_a_webhook_logs_within_the_call_that_it_is_about_and_what_follows_does_not(
    start_service: StartService, log: io.StringIO
) -> None:
    service = await start_service()
    await service.post("/twilio/status", CallStatus="ringing")
    await service.refused_stream(token=None)
    told = [(line["message"], line.get("call_sid", "")) for line in lines(log) if line["logger"] == WEBHOOKS]
    assert told == [(f"call {CALL_SID!r} is 'ringing'", CALL_SID)]
    (refused,) = [line for line in lines(log) if "without a valid signature" in line["message"]]
    assert "call_sid" not in refused


@pytest.mark.parametrize(
    ("table", "told_of_it"),
    [
        ({"name": "Front desk", "voice": "mariner"}, "with the voice 'mariner', of the profile 'Front desk': "),
        ({}, "with the model's own voice, of a profile without a name: "),
    ],
)
async def test_a_refused_session_is_told_with_the_number_and_without_what_was_refused(
    table: dict[str, str], told_of_it: str, start_service: StartService, log: io.StringIO
) -> None:
    """Whoever has set up a profile with a voice that there is not looks for it in the service's log."""

    async def refuse(socket: ServerConnection) -> None:
        session = {"type": "realtime", "object": "realtime.session", "id": "sess_1"}
        await socket.send(json.dumps({"type": "session.created", "event_id": "event_1", "session": session}))
        await socket.recv()
        error = {
            "type": "invalid_request_error",
            "code": "invalid_value",
            "message": "Invalid value: 'of Bob, 7th'",
        }
        await socket.send(json.dumps({"type": "error", "event_id": "event_2", "error": error}))

    profile = Profile.from_table(table, "test")
    async with scripted_model(refuse) as url:
        service = await start_service(model_url=url, profile=profile)
        record = await service.dial(WaitForHangUp())
    (told,) = [line for line in lines(log) if "gets no model" in line["message"]]
    assert (told["level"], told["call_sid"]) == ("warning", record.call_sid)
    for known in ("'+1555***0002'", told_of_it, "invalid_value", NOT_SHOWN):
        assert known in told["message"]
    assert "Bob" not in told["message"]


async def test_all_that_a_service_says_is_json_and_the_link_to_sign_in_by_is_whole(tmp_path: Path) -> None:
    """From a process of its own: uvicorn's lines, too, and what is said before there is an app."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("serve", "--port", "0"),
        env=environment(
            PHONEBOT_LOG_FORMAT="json",
            PHONEBOT_PUBLIC_URL="http://127.0.0.1:9",
            PHONEBOT_SECRET_KEY=SECRET_KEY,
            TWILIO_AUTH_TOKEN=TOKEN,
            OPENAI_API_KEY=MODEL_KEY,
        ),
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    told: list[dict[str, str]] = []
    async with asyncio.timeout(STARTS_S):
        while not (told and "/setup?token=" in told[-1]["message"]):
            told.append(json.loads(await process.stderr.readline()))
        port = next(found[1] for line in told if (found := re.search(r"listens on .*:(\d+)$", line["message"])))
        _, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"no request at all\r\n\r\n")  # which uvicorn warns of
        told.append(json.loads(await process.stderr.readline()))
        writer.close()
        process.send_signal(signal.SIGTERM)
        rest = (await process.stderr.read()).splitlines()
    told += map(json.loads, rest)
    assert await process.wait() == 0
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in told)
    assert "uvicorn.error" in {line["logger"] for line in told}
