"""
Replays a recorded call live: its caller calls the service again, as it is configured today.

    recorded caller -> carrier emulator -> service (loopback) -> the configured model
"""

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from phonebot.agents.numbers import Numbers
from phonebot.rehearsal.recorded_caller import steps_of
from phonebot.replay.account import Account, account_of
from phonebot.replay.reader import CallLog, read
from phonebot.replay.spool import Spool
from phonebot.serving import EMBEDDED, embedded_model, listen, running
from phonebot.settings import Settings
from phonebot.simulator.caller import Caller, Event
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallFailed
from phonebot.web.app import create_app

CALLER, NUMBER = "+15550100001", "+15550100002"  # of a log that does not say, or must not
MAX_CALL_S = 900.0


@dataclass(frozen=True, slots=True)
class LiveReplay:
    """Then and now. `folder` is the new call's log; `faults` are the carrier's complaints and steps not done."""

    before: Account
    after: Account
    folder: Path
    faults: tuple[str, ...]


async def replay_live(
    log: CallLog, settings: Settings, numbers: Numbers, on_event: Callable[[Event], None] | None = None
) -> LiveReplay:
    """
    Hold the call, in real time. Without a model in `settings` the embedded one answers.

    The new log is kept beside those of real calls, under `replays`. Raises CallFailed when there is none,
    LogError for a log whose caller cannot be played, SettingsError as the service does.
    """
    caller = Caller(*steps_of(log))
    token = secrets.token_hex(16)
    calls = settings.data_dir / "replays"
    async with AsyncExitStack() as resources:
        listener = listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        changes = {
            "public_url": url,
            "twilio_auth_token": SecretStr(token),
            "twilio_account_sid": None,
            "data_dir": calls,
        }
        if not settings.has_model:
            changes["model"] = EMBEDDED
            changes["model_url"] = (await resources.enter_async_context(embedded_model())).url
        app = create_app(settings.model_copy(update=changes), numbers)
        async with running(app, listener):
            record = await dial(
                f"{url}/twilio/voice",
                caller,
                from_number=_shown(log.header.caller) or CALLER,
                to_number=_shown(log.header.number) or NUMBER,
                auth_token=token,
                max_call_s=MAX_CALL_S,
                on_event=on_event,
            )
    logs = Spool(calls / "calls").of(record.call_sid)
    if not logs:
        raise CallFailed(record)
    faults = (*map(str, record.violations), *record.failed_steps)
    return LiveReplay(account_of(log), account_of(read(logs[-1])), logs[-1], faults)


def _shown(number: str | None) -> str | None:
    """A number that was not masked for sharing."""
    return None if number is None or "#" in number else number
