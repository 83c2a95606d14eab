"""Profiles as TOML, in and out, and the recordings of greetings."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from phonebot.audio.recordings import MAX_S
from phonebot.errors import AudioError
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.problems import Refused
from phonebot.web.api.route import ApiRoute, terms
from phonebot.web.api.values import NUMBER_PATTERN
from phonebot.web.api.versions import SavedVersion, saved_of

TOML = "application/toml"
MAX_EXPORTED = 100

router = APIRouter(route_class=ApiRoute, tags=["profiles"])


class Imported(BaseModel):
    """What an import has saved."""

    saved: list[SavedVersion]


class Greeting(BaseModel):
    """A recording that is kept: a profile names it in `greeting_audio`."""

    name: str = Field(description="What `greeting_audio` is to be.", examples=["2cf24dba5fb0a30e.wav"])


@router.post("/profiles/import", operation_id="importProfiles", **terms("operate", body=(TOML, "text/plain")))
async def import_profiles(request: Request, parts: UsedParts, asker: Asker) -> Imported:
    """
    Save all profiles of a TOML file, or none if one is wrong.

    Recordings that they name must be kept here already: `uploadGreeting`.
    """
    saved = await parts.editor.import_text(await request.body(), "the file", asker.actor)
    return Imported(saved=[saved_of(each) for each in saved])


@router.get(
    "/profiles/export",
    operation_id="exportProfiles",
    response_class=Response,
    **terms(
        "read",
        404,
        document={
            "responses": {
                "200": {
                    "description": "A table for each number.",
                    "content": {TOML: {"schema": {"type": "string"}}},
                }
            }
        },
    ),
)
async def export_profiles(
    parts: UsedParts,
    number: Annotated[
        list[Annotated[str, Field(pattern=NUMBER_PATTERN)]],
        Query(max_length=MAX_EXPORTED, description="Of which numbers; of all if left out.", examples=[["default"]]),
    ] = [],  # noqa: B006  (FastAPI copies it)
) -> Response:
    """The newest profiles as a TOML file, which `importProfiles` takes."""
    return Response(await parts.editor.export(number), media_type=TOML)


@router.post(
    "/greetings",
    operation_id="uploadGreeting",
    status_code=201,
    **terms("operate", body=("audio/wav", "audio/x-wav", "audio/vnd.wave")),
)
async def upload_greeting(request: Request, parts: UsedParts) -> Greeting:
    """
    Keep a recording of a greeting: a WAV file of 8000 Hz, one channel, PCM16, mu-law or A-law, at most 30 s.

    The same recording has the same name, whoever sends it.
    """
    try:
        return Greeting(name=await asyncio.to_thread(parts.editor.add_recording, await request.body()))
    except AudioError as error:
        raise Refused(422, "invalid_request", f"the recording: {error}") from None


assert MAX_S == 30, "what upload_greeting says"
