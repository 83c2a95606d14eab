"""The body of a request, within bounds."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

BODY_TIMEOUT_S = 10.0


async def read_body(request: Request, max_bytes: int) -> bytes:
    """All of it. Raises HTTPException 400 when it breaks off, 408 when it is slow, 413 when it is too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise HTTPException(413, f"the body is longer than {max_bytes} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "the body broke off") from None
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {BODY_TIMEOUT_S:g} s") from None
    return bytes(body)
