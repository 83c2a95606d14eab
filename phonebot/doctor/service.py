"""
Whether the service runs on this machine; and, while it does not, something that answers in its place.

The way from the public URL to the service cannot be tried while nothing listens there. So the doctor listens
itself, as long as it looks: it proves whose it is and lets a signed stream in, as the service would, and closes it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from phonebot.checkup.check import Check
from phonebot.checkup.network import reason
from phonebot.deployment import local_url
from phonebot.errors import SettingsError
from phonebot.recognition import HEADER, PARAMETER, is_proved, new_challenge
from phonebot.serving import listen, running
from phonebot.settings import Settings
from phonebot.web.health import liveness
from phonebot.web.webhooks import Door

NAME = "Service"
DEADLINE_S = 4.0

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (where a service listens that listens anywhere)
_TAKEN = "End that program, or set another PHONEBOT_PORT."


@asynccontextmanager
async def service(settings: Settings, stand_in: bool) -> AsyncIterator[Check]:
    """Whether it runs here. With `stand_in`, something answers in its place while the block runs if it does not."""
    found = await _look(settings)
    async with AsyncExitStack() as resources:
        if found is None:
            found = await _away(settings, resources, stand_in)
        yield found


async def _look(settings: Settings) -> Check | None:
    """None: nothing listens."""
    host = _EVERYWHERE.get(settings.host, settings.host)
    url, challenge = local_url(host, settings.port), new_challenge()
    at = url.removeprefix("http://")
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http:
            async with http.get(f"{url}/healthz?{PARAMETER}={challenge}", allow_redirects=False) as alive:
                body, told = await alive.content.read(64), alive.headers.get(HEADER, "")
            if (alive.status, body) != (200, b"ok") or not told:
                return Check(NAME, "failed", f"another program listens at {at}", _TAKEN)
            async with http.get(f"{url}/readyz") as ready:
                is_ready = ready.status == 200
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, ConnectionRefusedError):
            return None
        return Check(NAME, "failed", f"{at} cannot be reached: {reason(error)}", "Correct PHONEBOT_HOST.")
    except (aiohttp.ClientError, TimeoutError):
        return Check(NAME, "failed", f"what listens at {at} does not answer", "Look at the service's log.")
    key = settings.secret_key
    if key is not None and not is_proved(key.get_secret_value(), challenge, told):
        told = f"the phonebot at {at} has another secret key than these settings"
        return Check(NAME, "failed", told, "Restart the service, or look with the settings that it has.")
    if not is_ready:
        return Check(NAME, "warning", f"runs at {at} and is stopping: it takes no new calls", "Wait, or start it.")
    return Check(NAME, "ok", f"runs at {at} and takes calls")


async def _away(settings: Settings, resources: AsyncExitStack, stand_in: bool) -> Check:
    at = local_url(settings.host, settings.port).removeprefix("http://")
    remedy = "Start it: `phonebot serve`."
    if not stand_in:
        return Check(NAME, "warning", f"does not run on this machine, at {at}", remedy)
    try:
        listener = listen(settings.host, settings.port)
    except SettingsError as error:
        return Check.of_problem(NAME, str(error).replace("; ", ": ", 1))
    await resources.enter_async_context(running(_stand_in(settings), listener))
    told = f"does not run at {at}; doctor answers there meanwhile"
    return Check(NAME, "warning", told, remedy)


def _stand_in(settings: Settings) -> Starlette:
    key, token = settings.secret_key, settings.twilio_auth_token
    assert settings.public_url, "nobody comes by a URL that is not known"
    door = Door(settings.public_url, [token.get_secret_value()] if token else [], settings.twilio_account_sid)

    async def media(stream: WebSocket) -> None:
        if door.lets_stream_in(stream.scope):
            await stream.accept()
        await stream.close()

    return Starlette(
        routes=[
            Route("/healthz", liveness(key.get_secret_value() if key else "")),
            WebSocketRoute("/twilio/media", media),
        ]
    )
