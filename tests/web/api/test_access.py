"""Who is let in, and what is said to the others."""

import logging
import shutil
from io import BytesIO
from pathlib import Path

import pytest
from api_driver import MESSAGE_ID, Api
from service_driver import leaving_nothing
from sign_in import PASSWORD
from starlette.routing import compile_path

from phonebot.errors import StoreUnavailable
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.web.api.api import api_routes
from phonebot.web.api.bearer import MAX_FAILURES
from phonebot.web.api.route import MAX_BODY_BYTES

FILL = {
    "call_id": "99",
    "message_id": MESSAGE_ID,
    "number": "default",
    "sequence": "1",
    "call_sid": "CA1",
    "name": "ada",
    "token_id": "99",
}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """One kind will do: nothing here depends on it."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    return f"sqlite:///{tmp_path}/phonebot.db"


async def test_each_route_takes_a_token_with_its_scope(api: Api) -> None:
    seen = set()
    for route in api_routes():
        path = route.path.format(**{name: FILL[name] for name in compile_path(route.path)[2]})
        for method in route.methods or ():
            for scope in (None, *api.secrets):
                if scope == route.required_scope or (route.required_scope is None and scope is not None):
                    continue
                # A body that cannot be read is not looked at before it is known who sends it.
                answer = await api.ask(method, path, scope=scope, data=b"{", headers=JSON)
                assert answer.status == (401 if scope is None else 403), (method, path, scope)
                assert answer.headers["www-authenticate"].startswith('Bearer realm="phonebot"')
                assert answer.headers["content-type"] == "application/problem+json"
                if scope is not None:
                    assert (answer.json["code"], answer.json["scope"]) == ("missing_scope", route.required_scope)
            seen.add((method, route.required_scope))
    assert seen >= {("GET", "read"), ("PUT", "operate"), ("DELETE", "operate"), ("POST", "admin"), ("GET", None)}
    assert not [
        (route.path, route.required_scope)
        for route in api_routes()
        if route.required_scope == "read"
        and (route.methods or set()) - {"GET"}
        and not route.path.endswith("/check")
    ]


async def test_the_document_is_open_to_all_and_names_the_scopes(api: Api) -> None:
    document = await api.get("/openapi.json", None)
    assert document.status == 200
    described = {
        (operation["operationId"], scope)
        for path in document.json["paths"].values()
        for operation in path.values()
        for scope in operation["security"][0]["token"] or [None]
    }
    assert described == {(route.operation_id, route.required_scope) for route in api_routes()}
    assert document.json["servers"] == [{"url": "http://127.0.0.1:8080/api/v1"}]
    for path in ("/docs", "/redoc"):
        assert (await api.get(path)).status == 404


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "phonebot_x", "Bearer " + "x" * 201])
async def test_what_is_no_token_is_asked_for_one(api: Api, header: str) -> None:
    answer = await api.ask("GET", "/me", scope=None, headers={"Authorization": header})
    assert (answer.status, answer.json["code"]) == (401, "no_token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="phonebot"'


async def test_the_consoles_cookie_opens_nothing(api: Api) -> None:
    user = await api.store.users.create("ada", PASSWORD, "admin", Actor("boss"))
    session = await api.store.sessions.begin(user)
    answer = await api.ask("GET", "/numbers", scope=None, headers={"Cookie": f"phonebot={session}"})
    assert answer.status == 401


async def test_wrong_tokens_are_counted_and_those_that_were_right_go_on(api: Api) -> None:
    assert (await api.get("/me")).status == 200
    wrong = {"Authorization": "Bearer phonebot_wrong"}
    for _ in range(MAX_FAILURES):
        answer = await api.ask("GET", "/me", headers=wrong)
        assert (answer.status, answer.json["code"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    answer = await api.ask("GET", "/me", headers=wrong)
    assert (answer.status, answer.json["code"]) == (429, "too_many_attempts")
    assert 1 <= int(answer.headers["retry-after"]) <= 300
    assert (await api.get("/me", "admin")).status == 429
    assert (await api.get("/me")).status == 200


async def test_bodies_are_bounded_and_must_say_what_they_are(api: Api) -> None:
    path = "/numbers/default"
    long = await api.ask("PUT", path, scope="operate", data=BytesIO(b" " * (MAX_BODY_BYTES + 1)), headers=JSON)
    assert (long.status, long.json["code"]) == (413, "too_large")
    form = await api.ask("PUT", path, scope="operate", data={"profile": "x"})
    assert (form.status, form.json["code"]) == (415, "unsupported_media_type")
    for body in (b"{", b"\xff", b'{"a": ' + b"[" * 100_000):
        broken = await api.ask("PUT", path, scope="operate", data=body, headers=JSON)
        assert (broken.status, broken.json["code"]) == (400, "bad_request")
    unknown = await api.put(path, {"profile": {}, "profil": {}})
    assert (unknown.status, unknown.json["problems"][0]["key"]) == (422, "profil")
    assert (await api.put(path, {"profile": {}, "note": "a\0b"})).status == 422


async def test_unknown_paths_and_methods_are_problems(api: Api) -> None:
    missing = await api.get("/nothing")
    assert (missing.status, missing.json["code"]) == (404, "not_found")
    wrong = await api.ask("PATCH", "/numbers/default", scope="operate")
    assert (wrong.status, wrong.json["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "DELETE, GET, PUT"


async def test_an_answer_is_kept_by_no_cache(api: Api) -> None:
    for path in ("/numbers", "/numbers/+15550100009"):
        assert (await api.get(path)).headers["cache-control"] == "no-store"


async def test_a_store_that_is_away_is_a_503_that_says_when_to_try_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("the database at db.example.com is away: start it")

    monkeypatch.setattr(type(api.store.database), "read", away)
    answer = await api.get("/numbers")
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "store_unavailable", "5")
    assert "db.example.com" not in answer.body.decode()


async def test_a_mistake_of_ours_is_told_without_what_it_was(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", True)  # what it would say is meant here
    async with leaving_nothing():
        async with Api.serving(database, tmp_path) as api:

            async def mistake(*_: object) -> None:
                raise RuntimeError("the secret is 1234")

            monkeypatch.setattr(type(api.store.numbers), "entries", mistake)
            answer = await api.get("/numbers")
            assert (answer.status, answer.json["code"]) == (500, "internal_error")
            assert "1234" not in answer.body.decode()
        await database.close()
