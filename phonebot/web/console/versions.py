"""
The versions of a number.

    GET  /console/numbers/{number}/versions               all of them, in pages           (viewer)
    GET  /console/numbers/{number}/versions/{sequence}    one, and what it changed `since` another
    POST ... /roll-back, /release                         make it the newest; let it answer everyone  (operator)
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.agents.changes import changes
from phonebot.agents.toml import text_of
from phonebot.store.numbers import NumberStore
from phonebot.store.users import Role
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Handler, Visitor
from phonebot.web.console.numbers import found, page_of
from phonebot.web.console.queries import whole_number

PAGE_VERSIONS = 50


class VersionsPages:
    """Shows the history of a number and goes back in it."""

    def __init__(self, numbers: NumberStore, guard: Guard, frame: Frame) -> None:
        self._numbers = numbers
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        path = "/console/numbers/{number}"
        version = f"{path}/versions/{{sequence:row}}"
        gets: dict[str, Handler] = {f"{path}/versions": self._list, version: self._show}
        posts: dict[str, Handler] = {
            f"{version}/roll-back": self._roll_back,
            f"{version}/release": self._release,
        }

        def route(path: str, role: Role, method: str, handler: Handler) -> Route:
            return Route(path, self._guard.require(role, found(handler, self._frame)), methods=[method])

        return [
            *(route(path, "viewer", "GET", handler) for path, handler in gets.items()),
            *(route(path, "operator", "POST", handler) for path, handler in posts.items()),
        ]

    async def _list(self, request: Request, visitor: Visitor) -> Response:
        number = request.path_params["number"]
        before = whole_number(request.query_params.get("before", ""))
        entry = await self._numbers.entry(number)
        versions = await self._numbers.versions(number, before, PAGE_VERSIONS + 1)
        return self._frame.page(
            request,
            "versions.html",
            visitor=visitor,
            here="numbers",
            number=number,
            page=page_of(number),
            entry=entry,
            versions=versions[:PAGE_VERSIONS],
            more=len(versions) > PAGE_VERSIONS,
            first=before is None,
        )

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        number, sequence = request.path_params["number"], request.path_params["sequence"]
        since = whole_number(request.query_params.get("since", ""))
        since = sequence - 1 if since is None else since
        entry = await self._numbers.entry(number)
        version = await self._numbers.get(number, sequence)
        before = (await self._numbers.get(number, since)).profile if since > 0 else {}
        return self._frame.page(
            request,
            "version.html",
            visitor=visitor,
            here="numbers",
            number=number,
            page=page_of(number),
            entry=entry,
            version=version,
            since=since,
            # Beside the calls: comparing long texts takes a while.
            changes=await asyncio.to_thread(changes, before, version.profile),
            text=text_of(version.profile),
        )

    async def _roll_back(self, request: Request, visitor: Visitor) -> Response:
        number, sequence = request.path_params["number"], request.path_params["sequence"]
        saved = await self._numbers.roll_back(number, sequence, visitor.actor)
        told = saved.version.sequence if saved.is_new else "nothing"
        return self._frame.moved(request, f"{page_of(number)}?saved={told}")

    async def _release(self, request: Request, visitor: Visitor) -> Response:
        number, sequence = request.path_params["number"], request.path_params["sequence"]
        await self._numbers.release(number, sequence, visitor.actor)
        return self._frame.moved(request, page_of(number, "versions"))
