"""An endpoint of the carrier's whose requests are spans of the calls that they are about."""

from collections.abc import Awaitable, Callable
from time import time_ns

from starlette.requests import Request
from starlette.responses import Response

from phonebot.log_context import current_call
from phonebot.traces.setting_up import Traces

Endpoint = Callable[[Request], Awaitable[Response]]


def traced(endpoint: Endpoint, traces: Traces | None) -> Endpoint:
    """The same endpoint. None: nobody traces calls. What the carrier did not sign is about no call."""
    if traces is None:
        return endpoint

    async def answer(request: Request) -> Response:
        began_ns = time_ns()
        response = await endpoint(request)
        if call_sid := current_call():
            traces.add("webhook", call_sid, began_ns, path=request.url.path, status=response.status_code)
        return response

    return answer
