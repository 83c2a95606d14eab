"""
The list of numbers.

    GET  /console/numbers          who answers which number; `q` finds some          (viewer)
    POST /console/numbers          to the editor of another one                      (operator)
    GET  /console/numbers/export   all profiles, or that of `number`, as TOML        (viewer)
    POST /console/numbers/import   saves the profiles of a TOML file                 (operator)
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.agents.faults import shown
from phonebot.agents.numbers import DEFAULT, MAX_FILE_BYTES, is_number
from phonebot.agents.profile import Profile
from phonebot.errors import NotStored, ProfileError
from phonebot.store.numbers import Entry, NumberStore, Saved
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Handler, Visitor
from phonebot.web.editing import ProfileEditor

MAX_IMPORT_BYTES = MAX_FILE_BYTES + 4096  # the form around the file
NO_FILE = "no file was chosen: choose a TOML file of profiles, as Export writes it"


@dataclass(frozen=True, slots=True)
class Line:
    """
    A number in the list. `sequence` is that of its newest version; None: nothing is saved.

    `answering`: that of the version that answers everyone; None: nothing of its own does.
    """

    number: str
    name: str
    greeting: str
    sequence: int | None
    answering: int | None
    saved: datetime | None
    author: str
    page: str
    phone: str


class NumbersPages:
    """Lists what is there, and takes it in and out as TOML."""

    def __init__(self, numbers: NumberStore, editor: ProfileEditor, guard: Guard, frame: Frame) -> None:
        self._numbers = numbers
        self._editor = editor
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        may = self._guard.require
        return [
            Route("/console/numbers", may("viewer", self._list), methods=["GET"]),
            Route("/console/numbers", may("operator", self._add), methods=["POST"]),
            Route("/console/numbers/export", may("viewer", self._export), methods=["GET"]),
            Route(
                "/console/numbers/import",
                may("operator", self._import, max_form_bytes=MAX_IMPORT_BYTES),
                methods=["POST"],
            ),
        ]

    async def _list(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor, gone=request.query_params.get("gone", ""))

    async def _add(self, request: Request, visitor: Visitor) -> Response:
        number, like = "".join(visitor.form.get("number", "").split()), visitor.form.get("like", "")
        if not is_number(number):
            problem = f'{shown(number)} is not a number in E.164 form, "+" and 7 to 15 digits: correct it'
            return await self._page(request, visitor, 422, added=number, problem=problem)
        query = f"?{urlencode({'like': like})}" if like else ""
        return self._frame.moved(request, page_of(number) + query)

    async def _export(self, request: Request, visitor: Visitor) -> Response:
        chosen = request.query_params.get("number", "")
        try:
            text = await self._editor.export([chosen] if chosen else [])
        except NotStored:
            return self._frame.refused(request, 404, "Not there", no_number(chosen), visitor=visitor)
        name = f"{chosen.removeprefix('+') or 'profiles'}.toml"
        headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
        return Response(text, media_type="application/toml", headers=headers)

    async def _import(self, request: Request, visitor: Visitor) -> Response:
        content = visitor.files.get("file")
        if content is None:
            return await self._page(request, visitor, 422, faults=(NO_FILE,))
        try:
            saved = await self._editor.import_text(content, "the file", visitor.actor)
        except ProfileError as error:
            return await self._page(request, visitor, 422, faults=error.problems)
        return await self._page(request, visitor, imported=saved)

    async def _page(
        self,
        request: Request,
        visitor: Visitor,
        status: int = 200,
        *,
        added: str = "",
        problem: str = "",
        faults: tuple[str, ...] = (),
        imported: list[Saved] | None = None,
        gone: str = "",
    ) -> Response:
        wanted = request.query_params.get("q", "")[:100]
        lines = await self._lines()
        return self._frame.page(
            request,
            "numbers.html",
            status,
            visitor=visitor,
            here="numbers",
            wanted=wanted,
            lines=[line for line in lines if _matches(line, wanted)],
            known=[line.number for line in lines],
            added=added,
            problem=problem,
            faults=faults,
            imported=imported,
            gone=gone if is_number(gone) else "",
        )

    async def _lines(self) -> list[Line]:
        entries = await self._numbers.entries()
        lines = [_line(entry) for entry in entries]
        if DEFAULT not in {entry.number for entry in entries}:
            lines.insert(0, _built_in())
        return lines


def page_of(number: str, *further: str) -> str:
    """The path of a number's page, or of one below it, for `Frame.moved`."""
    return "/".join(("console/numbers", quote(number, safe=""), *further))


def no_number(number: str) -> str:
    return f"There is no number {shown(number)}. Go back to the list of numbers."


def found(handler: Handler, frame: Frame) -> Handler:
    """The handler, with a page for a number or version that there is not."""

    async def answer(request: Request, visitor: Visitor) -> Response:
        try:
            return await handler(request, visitor)
        except NotStored:
            number = request.path_params["number"]
            return frame.refused(request, 404, "Not there", no_number(number), visitor=visitor)

    return answer


def phone_path(number: str) -> str:
    return "console/phone" + ("" if number == DEFAULT else f"?number={quote(number, safe='')}")


def _line(entry: Entry) -> Line:
    profile = entry.newest.profile
    return Line(
        entry.number,
        str(profile.get("name", Profile().name)),
        str(profile.get("greeting", Profile().greeting) or ""),
        entry.newest.sequence,
        entry.released.sequence if entry.released else None,
        entry.newest.created_at,
        entry.newest.author,
        page_of(entry.number),
        phone_path(entry.number),
    )


def _built_in() -> Line:
    profile = Profile()
    page, phone = page_of(DEFAULT), phone_path(DEFAULT)
    return Line(DEFAULT, profile.name, profile.greeting or "", None, None, None, "", page, phone)


def _matches(line: Line, wanted: str) -> bool:
    text = f"{line.number}\n{line.name}\n{line.greeting}".casefold()
    return all(word in text for word in wanted.casefold().split())
