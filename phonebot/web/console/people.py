"""
Settings, Users: who may log in, and as what. For admins.

    GET  /console/settings/users
    POST /console/settings/users              another one, and the link by which he chooses his password
    POST /console/settings/users/{name}       `do`: role, disable, enable, or link: a new link for his password
"""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.errors import NotStored
from phonebot.store.links import OneTimeLinks
from phonebot.store.users import ROLES, User, UserRefused, UserStore
from phonebot.web.console.frame import Frame, sentence
from phonebot.web.console.guard import Guard, Visitor

USERS = "console/settings/users"


class PeoplePages:
    """`urls` are those by which the service is reached: links begin with the first."""

    def __init__(
        self, users: UserStore, links: OneTimeLinks, guard: Guard, frame: Frame, urls: Iterable[str]
    ) -> None:
        self._users = users
        self._links = links
        self._guard = guard
        self._frame = frame
        self._url = next(iter(urls))

    def routes(self) -> list[BaseRoute]:
        path, may = f"/{USERS}", self._guard.require
        return [
            Route(path, may("admin", self._show), methods=["GET"]),
            Route(path, may("admin", self._add), methods=["POST"]),
            Route(f"{path}/{{name}}", may("admin", self._change), methods=["POST"]),
        ]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor)

    async def _add(self, request: Request, visitor: Visitor) -> Response:
        name, role = visitor.form.get("name", "").strip(), _role(visitor)
        try:
            user = await self._users.create(name, None, role, visitor.actor)
        except UserRefused as error:
            return await self._page(request, visitor, 422, added=name, role=role, problem=sentence(error))
        return await self._page(request, visitor, link=await self._link(user.name), linked=user.name)

    async def _change(self, request: Request, visitor: Visitor) -> Response:
        name = request.path_params["name"]
        try:
            match visitor.form.get("do"):
                case "role":
                    await self._users.change_role(name, _role(visitor), visitor.actor)
                case "disable" | "enable" as do:
                    await self._users.disable(name, visitor.actor, disabled=do == "disable")
                case "link":
                    return await self._page(request, visitor, link=await self._link(name), linked=name)
        except UserRefused as error:
            return await self._page(request, visitor, 409, refused=sentence(error))
        except NotStored as error:
            return await self._page(request, visitor, 404, refused=sentence(error))
        return self._frame.moved(request, USERS)

    async def _link(self, name: str) -> str:
        token = self._links.make("password", name, await self._users.state(name))
        return f"{self._url}/setup?token={token}"

    async def _page(self, request: Request, visitor: Visitor, status: int = 200, **values: object) -> Response:
        users: list[User] = await self._users.all()
        return self._frame.page(
            request,
            "settings_users.html",
            status,
            visitor=visitor,
            here="settings",
            tab="users",
            users=users,
            roles=ROLES,
            **values,
        )


def _role(visitor: Visitor) -> Any:
    """The one that was chosen; the least, if it is none that there is."""
    role = visitor.form.get("role", "")
    return role if role in ROLES else ROLES[0]
