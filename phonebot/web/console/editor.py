"""
The page of a number: what answers it, and how to change that.

    GET  /console/numbers/{number}         the editor; `like`: begin with another number's profile     (viewer)
    POST /console/numbers/{number}         `do`: save; see it as toml or form; join it with what       (operator)
                                           somebody saved meanwhile
    POST /console/numbers/{number}/check   what is wrong with it, to be put beside the fields          (operator)
    POST /console/numbers/{number}/table   its table as JSON, for the phone beside the editor          (operator)

What was typed comes back whatever happens to it. A browser without scripts needs no more than the first two.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.agents.agent import MAX_PROMPT_CHARACTERS
from phonebot.agents.changes import Change, changes, merged
from phonebot.agents.form_fields import FIELDS, SECTIONS
from phonebot.agents.numbers import DEFAULT, is_number
from phonebot.agents.profile import Profile
from phonebot.errors import AudioError, NotStored
from phonebot.store.numbers import ChangedMeanwhile, Entry, NumberStore, Version
from phonebot.web.console.draft import CALLERS, NOTE, TEXT, Draft, Problem, View
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.numbers import no_number, page_of
from phonebot.web.console.problems import problems
from phonebot.web.console.queries import whole_number
from phonebot.web.editing import ProfileEditor

# A form is sent with up to nine bytes for a character, and a recording along with it.
MAX_RECORDING_BYTES = 1_000_000
MAX_EDITOR_BYTES = 9 * MAX_PROMPT_CHARACTERS + 64 * 1024 + MAX_RECORDING_BYTES


@dataclass(frozen=True, slots=True)
class Conflict:
    """
    Somebody has saved `newest` since version `base`; 0: there was none.

    `theirs` is what he changed, `ours` what saving now would change.
    """

    base: int
    newest: Version
    theirs: list[Change]
    ours: list[Change]


class EditorPages:
    """Shows, checks and saves drafts."""

    def __init__(self, numbers: NumberStore, editor: ProfileEditor, guard: Guard, frame: Frame) -> None:
        self._numbers = numbers
        self._editor = editor
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        may, path = self._guard.require, "/console/numbers/{number}"
        posts = {path: self._post, f"{path}/check": self._check, f"{path}/table": self._table}
        return [
            Route(path, may("viewer", self._show), methods=["GET"]),
            *(
                Route(path, may("operator", handler, max_form_bytes=MAX_EDITOR_BYTES), methods=["POST"])
                for path, handler in posts.items()
            ),
        ]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        number = request.path_params["number"]
        entry = await self._entry(number)
        if not is_number(number) or (entry is None and number != DEFAULT and not visitor.user.may("operator")):
            return self._frame.refused(request, 404, "Not there", no_number(number), visitor=visitor)
        view: View = "toml" if request.query_params.get("view") == "toml" else "form"
        if entry is not None:
            draft = Draft.of(entry.newest.profile, entry.newest.test_callers, view)
        else:
            like = await self._entry(request.query_params.get("like", ""))
            draft = Draft.of(like.newest.profile if like else {}, view=view)
        return self._page(request, visitor, draft, entry, saved=request.query_params.get("saved", ""))

    async def _post(self, request: Request, visitor: Visitor) -> Response:
        number, form = request.path_params["number"], visitor.form
        if not is_number(number):
            return self._frame.refused(request, 404, "Not there", no_number(number), visitor=visitor)
        entry, draft = await self._entry(number), await self._with_recording(Draft.sent(form), visitor)
        match form.get("do"):
            case "form" | "toml" as view:
                shown = draft.seen_as(view).checked(self._check_of(number))
                return self._page(request, visitor, shown, entry, expected=_expected(visitor), changed=True)
            case "join" if entry is not None and draft.table is not None:
                base = await self._profile(number, whole_number(form.get("base", "")) or 0)
                table = merged(base, entry.newest.profile, draft.table)
                joined = replace(Draft.of(table, view=draft.view), callers=draft.callers, note=draft.note)
                return self._page(request, visitor, joined.checked(self._check_of(number)), entry, changed=True)
        return await self._save(request, visitor, draft.checked(self._check_of(number)), entry)

    async def _save(self, request: Request, visitor: Visitor, draft: Draft, entry: Entry | None) -> Response:
        number, expected = request.path_params["number"], _expected(visitor)
        if draft.problems or draft.table is None:
            return self._page(request, visitor, draft, entry, 422, expected=expected, changed=True)
        try:
            saved = await self._editor.save(
                number,
                draft.table,
                visitor.actor,
                note=draft.note.strip(),
                test_callers=draft.test_callers,
                expected=expected,
            )
        except ChangedMeanwhile as error:
            conflict = await self._conflict(number, expected, error.newest, draft.table)
            entry = await self._entry(number)
            return self._page(request, visitor, draft, entry, 409, changed=True, conflict=conflict)
        except NotStored:
            gone = replace(
                draft, problems=(Problem("", f"{number} was deleted meanwhile: save it as a new number"),)
            )
            return self._page(request, visitor, gone, None, 409, changed=True)
        told = str(saved.version.sequence) if saved.is_new else "nothing"
        return self._frame.moved(request, f"{page_of(number)}?saved={told}&view={draft.view}")

    async def _check(self, request: Request, visitor: Visitor) -> Response:
        draft = Draft.sent(visitor.form).checked(self._check_of(request.path_params["number"]))
        fields = [TEXT] if draft.view == "toml" else [field.key for field in FIELDS]
        names = [*fields, CALLERS, NOTE]
        return self._frame.page(request, "number_check.html", draft=draft, names=names, labels=LABELS)

    async def _table(self, request: Request, visitor: Visitor) -> Response:
        draft = Draft.sent(visitor.form)
        if draft.table is None:
            return problems(422, *(problem.sentence for problem in draft.problems))
        return Response(msgspec.json.encode({"profile": draft.table}), media_type="application/json")

    async def _with_recording(self, draft: Draft, visitor: Visitor) -> Draft:
        """With the recording that was sent along as its greeting."""
        content = visitor.files.get("recording")
        if content is None or draft.view == "toml":
            return draft
        try:
            name = await asyncio.to_thread(self._editor.add_recording, content)
        except AudioError as error:
            return replace(draft, problems=(*draft.problems, Problem("greeting_audio", f"the recording: {error}")))
        return Draft.sent({**visitor.form, "greeting_audio": name})

    async def _conflict(self, number: str, base: int, newest: Version, table: dict[str, Any]) -> Conflict:
        before = await self._profile(number, base)
        # Beside the calls: comparing long texts takes a while.
        theirs = await asyncio.to_thread(changes, before, newest.profile)
        return Conflict(base, newest, theirs, await asyncio.to_thread(changes, newest.profile, table))

    async def _profile(self, number: str, sequence: int) -> dict[str, Any]:
        """That of a version; an empty one for 0, or if the number was deleted and made anew."""
        try:
            return (await self._numbers.get(number, sequence)).profile if sequence else {}
        except NotStored:
            return {}

    async def _entry(self, number: str) -> Entry | None:
        try:
            return await self._numbers.entry(number)
        except NotStored:
            return None

    def _check_of(self, number: str) -> Callable[[Mapping[str, Any]], Profile]:
        return lambda table: self._editor.check(number, table)

    def _page(
        self,
        request: Request,
        visitor: Visitor,
        draft: Draft,
        entry: Entry | None,
        status: int = 200,
        *,
        expected: int | None = None,
        changed: bool = False,
        conflict: Conflict | None = None,
        saved: str = "",
    ) -> Response:
        number = request.path_params["number"]
        return self._frame.page(
            request,
            "number.html",
            status,
            visitor=visitor,
            here="numbers",
            number=number,
            called="" if number == DEFAULT else number,
            page=page_of(number),
            draft=draft,
            entry=entry,
            expected=(entry.newest.sequence if entry else 0) if expected is None else expected,
            changed=changed,
            conflict=conflict,
            saved=saved if saved == "nothing" or saved.isdecimal() else "",
            sections=SECTIONS,
            labels=LABELS,
            may_edit=visitor.user.may("operator"),
        )


LABELS = {
    **{field.key: field.label for field in FIELDS},
    TEXT: "Profile as TOML",
    CALLERS: "Test callers",
    NOTE: "Note",
}


def _expected(visitor: Visitor) -> int:
    """The sequence that the editor began with; 0: none."""
    return whole_number(visitor.form.get("expected", "")) or 0
