"""
Settings, Health: whether what the service needs is there, as the service sees it.

    GET  /console/settings          the page, which asks for the next by itself     (viewer)
    GET  /console/settings/checks   all checks but the model's session              (viewer)
    POST /console/settings/model    a session with the model, which may cost money  (operator)
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.checkup.check import Check, run
from phonebot.web.checkups import Checkup
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor


class HealthPages:
    """Shows what the checks found."""

    def __init__(self, checkup: Checkup, guard: Guard, frame: Frame) -> None:
        self._checkup = checkup
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        path, may = "/console/settings", self._guard.require
        return [
            Route(path, may("viewer", self._show), methods=["GET"]),
            Route(f"{path}/checks", may("viewer", self._check), methods=["GET"]),
            Route(f"{path}/model", may("operator", self._open_session), methods=["POST"]),
        ]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        return self._page(request, visitor, "settings_health.html", None)

    async def _check(self, request: Request, visitor: Visitor) -> Response:
        checks = await run(self._checkup.probes)
        return self._page(request, visitor, _template(request), checks)

    async def _open_session(self, request: Request, visitor: Visitor) -> Response:
        return self._page(request, visitor, _template(request), await run([self._checkup.session]), session=True)

    def _page(
        self,
        request: Request,
        visitor: Visitor,
        template: str,
        checks: list[Check] | None,
        session: bool = False,
    ) -> Response:
        return self._frame.page(
            request, template, visitor=visitor, here="settings", tab="health", checks=checks, session=session
        )


def _template(request: Request) -> str:
    """A part of the page for htmx, all of it for a browser without scripts."""
    return "settings_checks.html" if request.headers.get("hx-request") == "true" else "settings_health.html"
