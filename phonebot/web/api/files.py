"""The files of a finished call: its log, zipped, and what was heard of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse

from phonebot.replay.export import export
from phonebot.replay.heard import HEARD_FILE
from phonebot.web.api.parts import Parts, UsedParts
from phonebot.web.api.problems import Refused
from phonebot.web.api.route import ApiRoute, terms
from phonebot.web.api.values import CallSidInPath
from phonebot.web.call_files import made, write_heard_of

PATIENCE_S = 30.0
"""How long a request waits for its turn among those that make files."""
ZIP, WAV = "application/zip", "audio/wav"

router = APIRouter(route_class=ApiRoute, tags=["calls"])


def _answers(media_type: str, description: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"responses": {"200": {"description": description, "content": content}}}


@router.get(
    "/calls/{call_sid}/log",
    operation_id="downloadLog",
    response_class=FileResponse,
    **terms("operate", 404, document=_answers(ZIP, "The zipped folder.")),
)
async def download_log(
    call_sid: CallSidInPath,
    parts: UsedParts,
    redact: Annotated[
        bool,
        Query(
            description="Hide numbers: those that were said, keyed or written, and whoever called.", examples=[True]
        ),
    ] = False,
) -> FileResponse:
    """
    A call's log as a zip file, with the call as it was heard: for `phonebot replay`, tests and reports of errors.

    One that is redacted can be shared.
    """
    make = partial(export, redacted=redact)
    # The sid is hidden in it, so it does not stand on it either.
    return await _made(parts, call_sid, "redacted-call.zip" if redact else f"{call_sid}.zip", ZIP, make)


@router.get(
    "/calls/{call_sid}/heard.wav",
    operation_id="downloadHeard",
    response_class=FileResponse,
    **terms("read", 404, document=_answers(WAV, "Stereo, 8000 Hz, mu-law.")),
)
async def download_heard(call_sid: CallSidInPath, parts: UsedParts) -> FileResponse:
    """
    The call as it was: the caller left, what he heard right, on one time line.

    Of a call that was not recorded it is silent.
    """
    return await _made(parts, call_sid, f"{call_sid}-{HEARD_FILE}", WAV, write_heard_of)


async def _made(
    parts: Parts, call_sid: str, name: str, media_type: str, make: Callable[[Path, Path], None]
) -> FileResponse:
    """The file that `make` makes of a call's log, in a thread; it is removed once it was sent."""
    async with _turn(parts), parts.book.log(call_sid) as log:
        return await asyncio.to_thread(made, log, name, media_type, make)


@asynccontextmanager
async def _turn(parts: Parts) -> AsyncIterator[None]:
    """Such work waits for its turn: a few at once, so that calls do not wait for it. Raises Refused 503."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await parts.heavy.acquire()
    except TimeoutError:
        raise Refused(
            503, "busy", "other downloads are being made: try again in a moment", {"retry-after": "10"}
        ) from None
    try:
        yield
    finally:
        parts.heavy.release()
