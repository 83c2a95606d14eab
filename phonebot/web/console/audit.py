"""
Settings, Audit: who changed what, and who logged in. For admins.

    GET /console/settings/audit           the newest first; `before` the one of this id, `who`, `target`
    GET /console/settings/audit/{id}      one, with what changed
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.agents.changes import changes
from phonebot.store.audit import PAGE_ROWS, AuditStore
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.queries import text_in, whole_number

AUDIT = "console/settings/audit"


class AuditPages:
    """Shows what was noted."""

    def __init__(self, audit: AuditStore, guard: Guard, frame: Frame) -> None:
        self._audit = audit
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        may = self._guard.require
        return [
            Route(f"/{AUDIT}", may("admin", self._list), methods=["GET"]),
            Route(f"/{AUDIT}/{{id:row}}", may("admin", self._show), methods=["GET"]),
        ]

    async def _list(self, request: Request, visitor: Visitor) -> Response:
        who, target = (text_in(request.query_params, name, 200) for name in ("who", "target"))
        before = whole_number(request.query_params.get("before", ""))
        rows = await self._audit.page(who=who or None, target=target or None, before_id=before, limit=PAGE_ROWS + 1)
        return self._frame.page(
            request,
            "settings_audit.html",
            visitor=visitor,
            here="settings",
            tab="audit",
            rows=rows[:PAGE_ROWS],
            more=len(rows) > PAGE_ROWS,
            first=before is None,
            who=who,
            target=target,
        )

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        asked = request.path_params["id"]
        found = [row for row in await self._audit.page(before_id=asked + 1, limit=1) if row.id == asked]
        if not found:
            said = "Nothing was noted under this number. Go back to the list."
            return self._frame.refused(request, 404, "Not there", said, visitor=visitor)
        (row,) = found
        return self._frame.page(
            request,
            "settings_noted.html",
            visitor=visitor,
            here="settings",
            tab="audit",
            row=row,
            # Beside the calls: comparing long texts takes a while.
            changes=await asyncio.to_thread(changes, row.before or {}, row.after or {}),
        )
