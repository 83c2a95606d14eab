"""
Who may use which route: every route of the app, with every kind of caller.

The routes are the app's own (routes.py), so one that is added is tested too, or found to be declared nowhere.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from console_driver import Visit
from routes import Found, routes_of
from service_driver import Service, StartService
from sqlalchemy import update
from starlette.responses import Response
from starlette.routing import Route

from phonebot.store import bearer
from phonebot.store.audit import Actor
from phonebot.store.sessions import SessionStore
from phonebot.store.store import Store
from phonebot.store.tables import SessionRow
from phonebot.store.tokens import SCOPES
from phonebot.store.users import ROLES
from phonebot.web.api.bearer import MAX_FAILURES, Bearers
from phonebot.web.attempts import Attempts
from phonebot.web.headers import headers

PATIENCE = aiohttp.ClientTimeout(total=15)


@dataclass(frozen=True, slots=True)
class Asked:
    status: int
    to: str
    headers: dict[str, str]


async def ask(http: aiohttp.ClientSession, method: str, url: str, **terms: object) -> Asked:
    """The head of an answer: some go on for as long as somebody listens."""
    async with http.request(method, url, allow_redirects=False, timeout=PATIENCE, **terms) as answer:  # type: ignore[arg-type]
        given = {name.lower(): value for name, value in answer.headers.items()}
        answer.close()
        return Asked(answer.status, given.get("location", ""), given)


async def test_nobody_forgets_to_say_who_may_use_a_route(service: Service) -> None:
    kinds = {route.kind for route in routes_of(service.app)}
    assert kinds == {"open", "carrier", "machine", "link", "page", "role", "scope", "any token"}

    async def forgotten(request: object) -> Response:
        return Response()

    service.app.router.routes.append(Route("/console/forgotten", forgotten))
    with pytest.raises(LookupError, match="/console/forgotten"):
        routes_of(service.app)


# ---------------------------------------------------------------------------------- the console


@pytest.fixture
async def visits(service: Service) -> AsyncIterator[dict[str, Visit]]:
    """A browser for each role, signed in, by the role's name."""
    async with AsyncExitStack() as stack:
        found: dict[str, Visit] = {}
        for role in ROLES:
            found[role] = await stack.enter_async_context(Visit(service))
            assert (await found[role].sign_in(role)).status == 303
        yield found


async def session_that_expired(store: Store) -> str:
    secret = await SessionStore(store.database).begin(await store.users.get("admin"))
    ended = datetime.now(UTC) - timedelta(seconds=1)
    async with store.database.begin() as session:
        row = SessionRow.id_hash == bearer.hash_of(secret)
        await session.execute(update(SessionRow).where(row).values(expires_at=ended))
    return secret


def pages(service: Service) -> list[tuple[Found, str]]:
    """Each route of the console with each method; that which ends the session is the last."""
    routes = [route for route in routes_of(service.app) if route.kind == "role"]
    found = [(route, method) for route in routes for method in route.methods]
    return sorted(found, key=lambda each: each[0].path == "/logout")


async def test_a_page_is_for_nobody_who_is_not_signed_in(service: Service, store: Store) -> None:
    cookies = {"nobody": "", "a stranger": "made up", "too late": await session_that_expired(store)}
    origin = {"Origin": service.url}
    async with aiohttp.ClientSession() as http:
        for route, method in pages(service):
            for who, cookie in cookies.items():
                sent = origin | ({"Cookie": f"phonebot={cookie}"} if cookie else {})
                answer = await ask(http, method, service.url + route.filled, headers=sent)
                if method == "GET":
                    assert (answer.status, "login?next=" in answer.to) == (303, True), (route, who)
                else:
                    assert answer.status == 401, (route, who)


async def test_a_page_is_for_its_role_and_those_above(service: Service, visits: dict[str, Visit]) -> None:
    for route, method in pages(service):
        for role in ROLES:
            visit, may = visits[role], ROLES.index(role) >= ROLES.index(route.needs)
            csrf = (await visit.get("/console/settings/account")).field("csrf")
            terms = {"data": {"csrf": csrf}, "headers": {"Origin": service.url}} if method == "POST" else {}
            answer = await ask(visit.http, method, service.url + route.filled, **terms)
            assert (answer.status not in (401, 403), "login?next" in answer.to) == (may, False), (route, role)
            assert answer.status < 500, (route, role)
            if route.path == "/logout":
                await visit.sign_in(role)


async def test_what_changes_something_comes_from_a_page_of_ours_with_its_token(
    service: Service, visits: dict[str, Visit]
) -> None:
    admin, csrf = visits["admin"], {}
    for role, visit in visits.items():
        csrf[role] = (await visit.get("/console/settings/account")).field("csrf")
    ours, theirs = {"Origin": service.url}, {"Origin": "https://evil.example"}
    forged = {
        "without a token": ({}, ours),
        "with a token that is none": ({"csrf": "0" * 64}, ours),
        "with the token of another session": ({"csrf": csrf["operator"]}, ours),
        "from another site": ({"csrf": csrf["admin"]}, theirs),
        "from nowhere": ({"csrf": csrf["admin"]}, {}),
        "from a page without an origin": ({"csrf": csrf["admin"]}, {"Origin": "null"}),
    }
    changing = [(route, method) for route, method in pages(service) if method != "GET"]
    assert len(changing) > 20
    for route, method in changing:
        for how, (fields, sent) in forged.items():
            answer = await ask(admin.http, method, service.url + route.filled, data=fields, headers=sent)
            assert answer.status == 403, (route, how)
    assert (await admin.get("/console/settings/account")).status == 200  # nobody was signed out


# ---------------------------------------------------------------------------------- the API


async def test_the_api_takes_a_token_with_the_routes_scope_and_no_other(service: Service, store: Store) -> None:
    boss = Actor("boss")
    tokens: dict[str, str] = {scope: (await store.tokens.create(scope, [scope], boss)).secret for scope in SCOPES}
    past = datetime.now(UTC) + timedelta(seconds=0.2)
    expired = (await store.tokens.create("old", list(SCOPES), boss, expires_at=past)).secret
    removed = await store.tokens.create("removed", list(SCOPES), boss)
    await store.tokens.revoke(removed.token.id, boss)
    wrong = {"made up": "phonebot_wrong", "expired": expired, "removed": removed.secret}
    _count_no_failures(service, store)
    async with aiohttp.ClientSession() as http:
        while await store.tokens.verify(expired):
            pass
        for route in routes_of(service.app):
            if route.kind not in ("scope", "any token"):
                continue
            for method in route.methods:
                url = service.url + route.filled
                assert (await ask(http, method, url)).status == 401, (route, "without a token")
                for who, secret in wrong.items():
                    answer = await ask(http, method, url, headers={"Authorization": f"Bearer {secret}"})
                    assert answer.status == 401, (route, who)
                for scope, secret in tokens.items():
                    # A body that cannot be read: who may send one is told so, and nothing is done.
                    sent = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
                    answer = await ask(http, method, url, headers=sent, data=b"{" if method != "GET" else None)
                    assert (answer.status != 403) == (route.needs in ("", scope)), (route, method, scope)
                    assert answer.status not in (401, 500), (route, method, scope)


def _count_no_failures(service: Service, store: Store) -> None:
    """So many wrong tokens from one address are refused otherwise."""
    (api,) = (route.app for route in service.app.routes if getattr(route, "path", "") == "/api/v1")  # type: ignore[attr-defined]
    api.state.bearers = Bearers(store.tokens, Attempts(1_000 * MAX_FAILURES, 300.0))


async def test_the_consoles_cookie_opens_nothing_of_the_api_and_a_token_no_page(
    service: Service, store: Store, visits: dict[str, Visit]
) -> None:
    secret = (await store.tokens.create("all", list(SCOPES), Actor("boss"))).secret
    assert (await visits["admin"].get("/api/v1/numbers")).status == 401
    async with aiohttp.ClientSession() as http:
        answer = await ask(
            http, "GET", f"{service.url}/console/numbers", headers={"Authorization": f"Bearer {secret}"}
        )
        assert answer.status == 303


async def test_the_figures_are_for_this_machine_and_for_who_has_a_token_to_read(
    service: Service, store: Store
) -> None:
    boss = Actor("boss")
    secrets = {scope: (await store.tokens.create(scope, [scope], boss)).secret for scope in SCOPES}
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}
    async with aiohttp.ClientSession() as http:
        url = f"{service.url}/metrics"
        assert (await ask(http, "GET", url)).status == 200
        assert (await ask(http, "GET", url, headers=elsewhere)).status == 403
        for secret, status in ((secrets["read"], 200), (secrets["admin"], 403), ("made up", 401), ("", 401)):
            sent = elsewhere | {"Authorization": f"Bearer {secret}"}
            assert (await ask(http, "GET", url, headers=sent)).status == status, status


# ---------------------------------------------------------------------------------- every answer


async def test_every_answer_tells_browsers_what_they_may_not_do(service: Service, visits: dict[str, Visit]) -> None:
    """Pages, files, answers of the API, redirects, refusals, and what there is not."""
    wanted = headers(secure=False)
    asked = [(route.filled, method) for route in routes_of(service.app) for method in route.methods]
    for path, method in [*asked, ("/console/static/phonebot.css", "GET"), ("/nothing", "GET"), ("/login", "PATCH")]:
        if path == "/logout":
            continue
        answer = await ask(visits["admin"].http, method, service.url + path)
        assert not [name for name in wanted if name not in answer.headers], (path, method, answer)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


async def test_a_mistake_of_ours_is_told_without_what_it_was_and_with_the_headers(
    service: Service, visits: dict[str, Visit], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mistake(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is 1234")

    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", True)  # what it would say is meant here
    monkeypatch.setattr(type(store.numbers), "entries", mistake)
    answer = await visits["admin"].get("/console/numbers")
    assert (answer.status, "1234" in answer.text) == (500, False)
    assert headers(secure=False).items() <= answer.headers.items()


async def test_a_browser_that_came_by_https_is_told_to_come_back_by_it(
    start_service: StartService, store: Store
) -> None:
    """TLS ends at a proxy: what counts is the public URL."""
    service = await start_service(model_url="wss://127.0.0.1:1", public_url="https://bot.example.com", store=store)
    async with aiohttp.ClientSession() as http:
        for path in ("/login", "/healthz", "/nothing", "/console/static/phonebot.css"):
            answer = await ask(http, "GET", service.url + path)
            assert headers(secure=True).keys() <= answer.headers.keys()
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
