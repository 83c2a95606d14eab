"""`POST /console/try`: an operator wants to hear a profile before it answers anyone. It is checked; he may call."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from phonebot.agents.profile import Profile
from phonebot.errors import ProfileError
from phonebot.web.body import read_body
from phonebot.web.console.access import AuthoriseTry, Origins
from phonebot.web.console.problems import problems
from phonebot.web.console.trials import Trials

MAX_BODY_BYTES = 512 * 1024
"""The longest prompt has 65,536 characters; as JSON most of them take one byte or two, some six."""


class Wanted(msgspec.Struct, frozen=True):
    """
    The request's body, as JSON. `profile` is a table as in a file of profiles.

    Without it the profile that is saved for `number` answers.
    """

    number: Annotated[str, Meta(max_length=100)] = ""
    profile: dict[str, Any] | None = None


class TryIt:
    """
    The route's handler: answers `{"token", "call_sid", "url"}`, `url` being the WebSocket's.

    Anything else is `{"problems": [...]}`, a sentence each: 400 for what is no such body, 401 for who is not signed
    in, 403 for who may not call, for another site's page and for one that is out of date, 413, 422 for a profile
    that breaks rules, key by key.
    """

    def __init__(
        self,
        authorise: AuthoriseTry,
        trials: Trials,
        origins: Origins,
        saved: Callable[[str], Profile],
        unknown: Callable[[Profile], Iterable[str]],
        socket_path: str,
    ) -> None:
        self._authorise = authorise
        self._trials = trials
        self._origins = origins
        self._saved = saved
        self._unknown = unknown
        self._socket_path = socket_path

    async def answer(self, request: Request) -> Response:
        url = self._origins.socket_url(request, self._socket_path)
        if url is None:
            return problems(403, "this page is not the console's: open the console by its own address")
        try:
            user = await self._authorise(request)
            wanted = _decode(await read_body(request, MAX_BODY_BYTES))
            profile = self._profile(wanted)
        except HTTPException as error:
            return problems(error.status_code, error.detail)
        except ProfileError as error:
            return problems(422, *error.problems)
        ticket = self._trials.issue(user, wanted.number, profile)
        return JSONResponse({"token": ticket.token, "call_sid": ticket.call_sid, "url": url})

    def _profile(self, wanted: Wanted) -> Profile | None:
        if wanted.profile is None:
            return None
        profile = Profile.from_table(wanted.profile, "the profile")
        if unknown := tuple(self._unknown(profile)):
            raise ProfileError("the profile", *unknown)
        if profile.greeting_audio is None:
            return profile
        saved = self._saved(wanted.number)
        if profile.greeting_audio != saved.greeting_audio:
            raise ProfileError("the profile", "greeting_audio can be tried once it is saved: save, then call")
        return profile.with_greeting_clip(saved.greeting_clip)


def _decode(body: bytes) -> Wanted:
    try:
        return msgspec.json.decode(body, type=Wanted)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"the request's body cannot be used: {str(error)[:200]}") from None
