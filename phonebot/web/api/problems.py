"""
What goes wrong, as problem details for HTTP APIs (RFC 9457): `application/problem+json`, a sentence and its remedy.

`code` is what a program decides by; `detail` is for people and may be worded otherwise tomorrow. An error that
nobody foresaw is told as such, and no more: what it was is in the service's log.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Literal, TypeAlias, get_args

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from phonebot.errors import NotStored, ProfileError, StoreError, StoreUnavailable
from phonebot.replay.log import LogError
from phonebot.store.after import NothingToDo
from phonebot.store.numbers import ChangedMeanwhile
from phonebot.web.api.key_problems import KeyProblem, read_sentence

MEDIA_TYPE = "application/problem+json"
RETRY_STORE_S = 5
MAX_PROBLEMS = 100
MAX_REASON_CHARACTERS = 500

Code: TypeAlias = Literal[
    "bad_request",
    "no_token",
    "invalid_token",
    "missing_scope",
    "not_found",
    "method_not_allowed",
    "too_slow",
    "conflict",
    "changed_meanwhile",
    "too_large",
    "unsupported_media_type",
    "invalid_request",
    "invalid_profile",
    "too_many_attempts",
    "unreadable_log",
    "internal_error",
    "store_unavailable",
    "too_many_streams",
    "busy",
]

log = logging.getLogger(__name__)


class Problem(BaseModel):
    """Why a request was not done (RFC 9457)."""

    type: str = Field(default="about:blank", description="Always about:blank: `code` tells problems apart.")
    title: str = Field(description="The status code's name.", examples=["Conflict"])
    status: int = Field(description="The status code.", ge=400, le=599, examples=[409])
    detail: str = Field(
        description="One sentence and its remedy, for people.",
        examples=["ada has saved version 4 of +15550100000 meanwhile: look at what it changed, and save again"],
    )
    code: Code = Field(description="What went wrong, for programs.", examples=["changed_meanwhile"])
    problems: list[KeyProblem] | None = Field(
        default=None,
        description="Of invalid_profile and invalid_request: each key that is wrong.",
        max_length=MAX_PROBLEMS,
    )
    scope: str | None = Field(default=None, description="Of missing_scope: the scope that the token lacks.")
    newest: int | None = Field(
        default=None, description="Of changed_meanwhile: the sequence of the newest version."
    )


class Refused(HTTPException):
    """A problem that we found ourselves."""

    def __init__(
        self,
        status: int,
        code: Code,
        detail: str,
        headers: Mapping[str, str] | None = None,
        scope: str | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.code, self.scope = code, scope


@contextmanager
def refusing_cursor() -> Iterator[None]:
    """What a store says of a cursor that is none of its own is the asker's fault."""
    try:
        yield
    except (StoreUnavailable, NotStored):
        raise
    except StoreError as error:
        raise Refused(422, "invalid_request", error.problem) from None


@contextmanager
def refusing_nothing() -> Iterator[None]:
    """There is nothing that could be told, or given up: it stands otherwise than the asker believes."""
    try:
        yield
    except NothingToDo as error:
        raise Refused(409, "conflict", error.problem) from None


_CODES: dict[int, Code] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}


def install(app: FastAPI) -> None:
    """Let the app answer so, whatever is raised in it."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(ProfileError, _invalid_profile)
    app.add_exception_handler(StoreError, _store)
    app.add_exception_handler(LogError, _unreadable_log)
    app.add_exception_handler(Exception, _unforeseen)


def answer(
    status: int, code: Code, detail: str, headers: Mapping[str, str] | None = None, **further: Any
) -> Response:
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, **further)
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status,
        headers={"cache-control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Refused):
        further = {"scope": error.scope} if error.scope else {}
        return answer(error.status_code, error.code, error.detail, error.headers, **further)
    headers, detail = dict(error.headers or {}), error.detail
    if error.status_code == 404 and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = "there is nothing at this path: see openapi.json for what there is"
    if error.status_code == 405:
        allowed = _allowed(request)
        headers["allow"] = ", ".join(allowed)
        detail = f"this path takes {' and '.join(allowed)}, not {request.method[:20]}"
    return answer(error.status_code, _CODES.get(error.status_code, "bad_request"), detail, headers)


def _allowed(request: Request) -> list[str]:
    """The methods of all routes of the request's path: the router names those of the first one alone."""
    routes: Iterable[Route] = request.app.state.routes
    return sorted(
        {
            method
            for route in routes
            if route.matches(request.scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
    )


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    problems = [_request_problem(fault) for fault in faults[:MAX_PROBLEMS]]
    if faults and faults[0]["type"] == "json_invalid":
        return answer(400, "bad_request", "the body is no JSON: correct it and send it again", problems=problems)
    return _with_problems("invalid_request", problems)


def _request_problem(fault: Mapping[str, Any]) -> KeyProblem:
    """What was sent is not repeated: it may be a secret."""
    place, *path = fault["loc"]
    key = ".".join(str(part)[:100] for part in path) or str(place)
    return KeyProblem(key=key[:200], reason=str(fault["msg"])[:MAX_REASON_CHARACTERS])


async def _invalid_profile(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProfileError)
    return _with_problems("invalid_profile", key_problems(error.problems))


def key_problems(sentences: Iterable[str]) -> list[KeyProblem]:
    """The sentences of a ProfileError, MAX_PROBLEMS of them at most."""
    return [read_sentence(sentence) for sentence in list(sentences)[:MAX_PROBLEMS]]


def _with_problems(code: Code, problems: list[KeyProblem]) -> Response:
    detail = "; ".join(problem.sentence() for problem in problems[:3])
    more = len(problems) - 3
    return answer(422, code, f"{detail}; and {more} more" if more > 0 else detail, problems=problems)


async def _store(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)
    match error:
        case NotStored():
            return answer(404, "not_found", error.problem)
        case ChangedMeanwhile():
            return answer(409, "changed_meanwhile", error.problem, newest=error.newest.sequence)
        case StoreUnavailable():
            log.error("a request to the API cannot be answered: %s", error)
            sentence = "the database or the storage cannot be used right now: try again in a moment"
            return answer(503, "store_unavailable", sentence, {"retry-after": str(RETRY_STORE_S)})
    # A name is taken, a call is in progress: what was asked for was right, but cannot be done as things stand.
    return answer(409, "conflict", error.problem)


async def _unreadable_log(request: Request, error: Exception) -> Response:
    log.error("a call's log cannot be read: %s", error)
    sentence = (
        "the call is there, but its log is damaged and cannot be read: see the service's log for what is wrong"
    )
    return answer(500, "unreadable_log", sentence)


async def _unforeseen(request: Request, error: Exception) -> Response:
    return answer(500, "internal_error", "something went wrong here: the service's log says what")


assert set(_CODES.values()) <= set(get_args(Code))
