"""
`GET /healthz`: the process is alive. Asked with a challenge it also proves whose it is (`phonebot.recognition`).
`GET /readyz`: it takes calls.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from phonebot.recognition import HEADER, PARAMETER, is_challenge, proof

ALIVE = "ok"


def liveness(secret_key: str) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a process that has this key."""

    async def healthz(request: Request) -> Response:
        challenge = request.query_params.get(PARAMETER, "")
        proved = {HEADER: proof(secret_key, challenge)} if is_challenge(challenge) else {}
        return PlainTextResponse(ALIVE, headers=proved)

    return healthz


def readiness(takes_calls: Callable[[], bool]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a process that takes calls while this says so."""

    async def readyz(request: Request) -> Response:
        return PlainTextResponse("ready") if takes_calls() else PlainTextResponse("draining", 503)

    return readyz
