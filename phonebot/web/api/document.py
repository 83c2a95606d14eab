"""The OpenAPI document: what FastAPI finds in the routes, and what it cannot know."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from phonebot import __version__
from phonebot.agents.profile import Profile
from phonebot.hooks import events as hooks
from phonebot.web import live_events
from phonebot.web.api.problems import Problem
from phonebot.web.api.route import SECURITY_SCHEME
from phonebot.web.api.values import PROFILE

TEMPLATE, MODEL = "#/components/schemas/{name}", "#/components/schemas/{model}"
DESCRIPTION = """\
Numbers and their profiles, finished calls and those in progress, users, tokens and the audit of a phonebot.

Each request but this document's takes a token, `Authorization: Bearer TOKEN`, with the scope that its operation
names: `read`, `operate` or `admin`; none includes another. Times are RFC 3339 in UTC; a name that ends in `_ms` or
`_usd` says its unit. What goes wrong is `application/problem+json` (RFC 9457): `code` is for programs, `detail` for
people. Lists come in pages: `next` is the `cursor` of the next one.
"""
TAGS = {
    "numbers": "Which numbers are answered, and by what profile.",
    "versions": "The versions of a number's profile: compare, go back, try with test callers.",
    "profiles": "Profiles as TOML files, and the recordings of greetings.",
    "calls": "Finished calls: their transcripts, logs and recordings.",
    "messages": "What callers left, and whether it was told.",
    "live": "Calls in progress.",
    "outbound calls": "Calls that we make.",
    "opt-outs": "Numbers that are not called.",
    "health": "Whether what the service needs is there.",
    "users": "Who may log in to the console.",
    "tokens": "Who may use this API.",
    "audit": "Who changed what.",
}


def document_of(api: FastAPI, url: str) -> dict[str, Any]:
    """The document of an API that is reached at this URL."""
    document = get_openapi(
        title="phonebot",
        version=__version__,
        summary="Answers phone calls.",
        description=DESCRIPTION,
        routes=api.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        servers=[{"url": url}],
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        SECURITY_SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "A token with the scope that the operation names: read, operate or admin.",
        }
    }
    found: dict[str, Any] = components.get("schemas", {})
    further = _models(_profile()) | _events()
    assert not found.keys() & further.keys(), "one name for two schemas"
    components["schemas"] = _models(Problem.model_json_schema(ref_template=MODEL)) | found | further
    return dict(_with_profiles(document))


def _with_profiles(node: Any) -> Any:
    """The same with a reference in each place of a profile: pydantic refers to its own models alone."""
    match node:
        case dict() if PROFILE.items() <= node.items():
            return {"$ref": "#/components/schemas/Profile"}
        case dict():
            return {key: _with_profiles(value) for key, value in node.items()}
        case list():
            return [_with_profiles(value) for value in node]
    return node


def _models(schema: dict[str, Any]) -> dict[str, Any]:
    """A model's schema and those that it refers to, by name."""
    return {**schema.pop("$defs", {}), schema["title"]: schema}


def _profile() -> dict[str, Any]:
    """
    As `Profile.from_table` takes it, but for what a schema cannot say: placeholders, and keys that go together.

    Stored profiles hold the keys that were written, so none has a default here.
    """
    schema = Profile.model_json_schema(ref_template=MODEL)
    schema["description"] = (
        "How one number is answered: the keys that differ from their defaults; keys that are null are as good as "
        "left out. docs/profiles.md explains them."
    )
    schema["examples"] = [{"name": "Front desk", "greeting": "Hello, Rosa's Trattoria, how can I help?"}]
    keys = schema["properties"]
    # Without a type it is a server_vad, which may look like another one: so not exactly one of them.
    keys["turn_detection"]["anyOf"] = keys["turn_detection"].pop("oneOf")
    keys["transcription"]["anyOf"].append({"const": False})
    for key in keys.values():
        key.pop("default", None)
        if not any(kind.get("type") == "null" for kind in key.get("anyOf", ())):
            _let_be_null(key)
    return schema


def _let_be_null(key: dict[str, Any]) -> None:
    if "anyOf" in key:
        key["anyOf"].append({"type": "null"})
    elif "$ref" in key:
        key["anyOf"] = [{"$ref": key.pop("$ref")}, {"type": "null"}]
    else:
        key["type"] = [key["type"], "null"]
        if "enum" in key:
            key["enum"].append(None)


def _events() -> dict[str, Any]:
    """What the streams of events hold, as `web.live_events` and `hooks.events` have it."""
    (live, session), schemas = msgspec.json.schema_components(
        [live_events.Event, hooks.Event], ref_template=TEMPLATE
    )
    return {
        **schemas,
        "LiveEvent": {"description": "What happens in a call.", **live},
        "SessionEvent": {"description": "What happens in a call, as the OpenAI Agents SDK names it.", **session},
    }
