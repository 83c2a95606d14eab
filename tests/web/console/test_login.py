"""Signing in and out, and all that is refused, through the whole service."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from console_driver import Visit
from pydantic import SecretStr
from service_driver import SECRET_KEY, Service, StartService
from sign_in import PASSWORD, QUICK, Clock
from sqlalchemy import select

from phonebot.errors import StoreUnavailable
from phonebot.serving import one_time_path
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.links import OneTimeLinks
from phonebot.store.recordings import Recordings
from phonebot.store.sessions import SessionStore
from phonebot.store.store import Store
from phonebot.store.tables import UserRow
from phonebot.store.users import UserStore
from phonebot.web.attempts import Attempts, network
from phonebot.web.console.frame import HOME, local_path
from phonebot.web.console.login import ATTEMPTS_FOR_A_NAME, ATTEMPTS_OF_AN_ADDRESS

ADA = Actor("ada")
OTHER = "another password of his"
NOWHERE = "wss://127.0.0.1:1"  # no model is asked here


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(migrated_sqlite: Path, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """With a user of each role, named after it."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    database = Database(f"sqlite:///{tmp_path}/phonebot.db")
    users, sessions = UserStore(database, QUICK), SessionStore(database, clock)
    recordings = Recordings((tmp_path / "calls").as_uri())
    opened = Store.of(database, recordings, users, sessions)
    for role in ("viewer", "operator", "admin"):
        await users.create(role, PASSWORD, role, ADA)
    yield opened
    await opened.close()


@pytest.fixture
async def service(start_service: StartService, store: Store) -> Service:
    return await start_service(model_url=NOWHERE, store=store)


@pytest.fixture
async def visit(service: Service) -> AsyncIterator[Visit]:
    async with Visit(service) as visit:
        yield visit


async def test_who_is_not_signed_in_is_asked_to_and_comes_back(visit: Visit) -> None:
    asked = await visit.get("/console/phone?number=%2B15550100000")
    assert (asked.status, asked.to) == (303, "../login?next=%2Fconsole%2Fphone%3Fnumber%3D%252B15550100000")
    page = await visit.get(asked.to.removeprefix(".."))
    wanted = page.field("next")
    signed_in = await visit.sign_in("operator", wanted=wanted)
    assert (signed_in.status, signed_in.to) == (303, "./console/phone?number=%2B15550100000")
    phone = await visit.get("/console/phone?number=%2B15550100000")
    assert (phone.status, 'data-number="+15550100000"' in phone.text) == (200, True)


def test_a_page_below_a_page_is_come_back_to() -> None:
    assert local_path("/console/calls/CA1?log=yes") == "console/calls/CA1?log=yes"


async def test_the_numbers_are_listed_with_their_greetings(visit: Visit, store: Store) -> None:
    greeting = "Hello <b>& welcome</b>"
    await store.numbers.save("+15550100000", {"name": "Front desk", "greeting": greeting}, "hash", ADA)
    await visit.sign_in("operator")
    home = await visit.get("/")
    assert (home.status, home.to) == (303, "./console/overview")
    page = await visit.get("/console/numbers")
    assert page.status == 200
    for shown in ("+15550100000", "Front desk", "Hello &lt;b&gt;&amp; welcome&lt;/b&gt;", ">default<", "built in"):
        assert shown in page.text
    assert 'href="../console/phone?number=%2B15550100000"' in page.text


@pytest.mark.parametrize(
    ("public_url", "name", "flags"),
    [
        (None, "phonebot", "HttpOnly; Max-Age=604800; Path=/; SameSite=lax"),
        ("https://bot.example.com/p", "__Host-phonebot", "HttpOnly; Max-Age=604800; Path=/; SameSite=lax; Secure"),
    ],
)
async def test_the_cookie_is_for_us_alone(
    start_service: StartService, store: Store, public_url: str | None, name: str, flags: str
) -> None:
    service = await start_service(model_url=NOWHERE, store=store, public_url=public_url)
    async with Visit(service) as visit:
        page = await visit.get("/login")
        cookie = page.cookies[0].partition(";")[0]
        (given,) = (
            await visit.post(
                "/login",
                {"csrf": page.field("csrf"), "name": "viewer", "password": PASSWORD},
                origin=service.public_url.removesuffix("/p"),
                Cookie=cookie,
            )
        ).cookies
    assert given.partition("=")[0] == name
    assert given.partition("; ")[2] == flags
    assert len(given.partition("=")[2].partition(";")[0]) == 43


@pytest.mark.parametrize("path", ["/login", "/console/numbers", "/setup?token=x", "/"])
async def test_no_page_is_kept_by_a_cache(visit: Visit, path: str) -> None:
    assert (await visit.get(path)).headers["cache-control"] == "no-store"
    await visit.sign_in("viewer")
    assert (await visit.get(path)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/login", "/setup?token=x"])
async def test_each_page_has_the_strict_policy(visit: Visit, path: str) -> None:
    headers = (await visit.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_whoever_it_is_the_refusal_is_the_same(visit: Visit, store: Store) -> None:
    await store.users.create("off", PASSWORD, "viewer", ADA)
    await store.users.disable("off", ADA)
    answers = [await visit.sign_in("off"), await visit.sign_in("eve"), await visit.sign_in("viewer", OTHER)]
    assert [answer.status for answer in answers] == [401] * 3
    texts = {re.sub(r'value="(off|eve|viewer)"', "", answer.text) for answer in answers}
    assert len(texts) == 1
    assert "The name or the password is wrong." in texts.pop()


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1"])
@pytest.mark.parametrize("path", ["/login", "/logout", "/setup"])
async def test_another_sites_page_does_nothing(
    visit: Visit, service: Service, path: str, origin: str | None
) -> None:
    await visit.sign_in("viewer")
    page = await visit.get("/console/numbers")
    fields = {"csrf": page.field("csrf"), "name": "viewer", "password": PASSWORD, "token": "x"}
    answer = await visit.post(path, fields, origin=origin)
    assert (answer.status, answer.cookies) == (403, ())
    assert (await visit.get("/console/numbers")).status == 200


@pytest.mark.parametrize("csrf", ["", "0" * 64, "é"])
async def test_a_form_without_our_token_does_nothing(visit: Visit, csrf: str) -> None:
    await visit.get("/login")
    answer = await visit.post("/login", {"csrf": csrf, "name": "viewer", "password": PASSWORD})
    assert (answer.status, "out of date" in answer.text) == (403, True)
    assert not any(cookie.startswith("phonebot=") for cookie in answer.cookies)
    await visit.sign_in("viewer")
    assert (await visit.post("/logout", {"csrf": csrf})).status == 403
    assert (await visit.get("/console/numbers")).status == 200


async def test_a_token_of_another_session_does_nothing(visit: Visit, service: Service) -> None:
    await visit.sign_in("viewer")
    async with Visit(service) as other:
        await other.sign_in("viewer")
        stolen = (await other.get("/console/numbers")).field("csrf")
    assert (await visit.post("/logout", {"csrf": stolen})).status == 403


async def test_a_form_without_its_cookie_does_nothing(visit: Visit, service: Service) -> None:
    page = await visit.get("/login")
    async with Visit(service) as other:
        fields = {"csrf": page.field("csrf"), "name": "viewer", "password": PASSWORD}
        assert (await other.post("/login", fields)).status == 403


async def test_signing_out_ends_this_session_alone(visit: Visit, service: Service) -> None:
    async with Visit(service) as other:
        await visit.sign_in("viewer")
        await other.sign_in("viewer")
        page = await visit.get("/console/numbers")
        answer = await visit.post("/logout", {"csrf": page.field("csrf")})
        assert (answer.status, answer.to) == (303, "./login")
        assert (await visit.get("/console/numbers")).status == 303
        assert (await other.get("/console/numbers")).status == 200


async def test_signing_out_everywhere_ends_all(visit: Visit, service: Service) -> None:
    async with Visit(service) as other:
        await visit.sign_in("viewer")
        await other.sign_in("viewer")
        page = await visit.get("/console/numbers")
        await visit.post("/logout", {"csrf": page.field("csrf"), "everywhere": "yes"})
        assert (await other.get("/console/numbers")).status == 303


async def test_a_session_that_expired_opens_nothing(visit: Visit, clock: Clock) -> None:
    await visit.sign_in("operator")
    clock.advance(hours=12)
    assert (await visit.get("/console/numbers")).status == 303
    assert (await visit.post("/console/try", {})).status == 401
    assert (await visit.post("/logout", {})).status == 401


async def test_who_is_disabled_is_out_at_once(visit: Visit, store: Store) -> None:
    await visit.sign_in("operator")
    await store.users.disable("operator", ADA)
    assert (await visit.get("/console/numbers")).status == 303


async def test_a_viewer_may_not_do_what_an_operator_may(visit: Visit, service: Service) -> None:
    await visit.sign_in("viewer")
    page = await visit.get("/console/phone")
    assert (page.status, "This takes the role operator, and you are viewer." in page.text) == (403, True)
    assert "console/phone" not in (await visit.get("/console/numbers")).text
    refused = await visit.post("/console/try", {})
    assert (refused.status, "takes the role operator" in refused.text) == (403, True)


async def test_a_call_takes_the_token_of_the_page(visit: Visit) -> None:
    await visit.sign_in("operator")
    for token in ("", "0" * 64):
        refused = await visit.post("/console/try", {}, **{"X-CSRF-Token": token})
        assert (refused.status, "this page is out of date" in refused.text) == (403, True)
    csrf = (await visit.get("/console/numbers")).field("csrf")
    headers = {"X-CSRF-Token": csrf, "Origin": visit.url}
    assert (await visit.ask("POST", "/console/try", json={}, headers=headers)).status == 200


async def test_a_session_before_is_replaced(visit: Visit, service: Service) -> None:
    page = await visit.get("/login")
    fields = {"csrf": page.field("csrf"), "password": PASSWORD}
    first = await visit.post("/login", fields | {"name": "viewer"})
    await visit.post("/login", fields | {"name": "operator"})
    assert "Signed in as <strong>operator</strong>" in (await visit.get("/console/numbers")).text
    async with Visit(service) as other:
        before = first.cookies[0].partition(";")[0]
        assert (await other.get("/console/numbers", Cookie=before)).status == 303


async def test_a_name_is_tried_so_often_and_no_more(visit: Visit) -> None:
    for _ in range(ATTEMPTS_FOR_A_NAME):
        assert (await visit.sign_in("viewer", OTHER)).status == 401
    refused = await visit.sign_in("Viewer", PASSWORD)
    assert (refused.status, "Too many attempts. Try again in 5 minutes." in refused.text) == (429, True)
    assert 290 <= int(refused.headers["retry-after"]) <= 300
    assert (await visit.sign_in("operator")).status == 303


async def test_an_address_tries_so_often_and_no_more(visit: Visit) -> None:
    for n in range(ATTEMPTS_OF_AN_ADDRESS):
        assert (await visit.sign_in(f"nobody{n}", OTHER)).status == 401
    assert (await visit.sign_in("viewer")).status == 429


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "https://evil.example/console/numbers",
        "/\\evil.example",
        "/console/../\\evil.example",
        "/console//evil.example",
        "/console/calls//evil.example",
        "/console/calls/../../evil",
        "/console/numbers\r\nSet-Cookie: a=b",
        "/console/numbers\n",
        "javascript:alert(1)",
        "console/numbers",
        "/logout",
        "/console/numbers?" + "a" * 500,
        "",
    ],
)
def test_what_is_no_path_of_ours_leads_to_the_first_page(wanted: str) -> None:
    assert local_path(wanted) == HOME


def test_attempts_are_forgotten_in_time_and_when_there_are_too_many() -> None:
    now = [0.0]
    attempts = Attempts(2, 60, lambda: now[0], max_keys=3)
    for _ in range(2):
        assert attempts.wait_s("a") == 0
        attempts.count("a")
    now[0] = 0.5
    assert attempts.wait_s("a") == 60
    now[0] = 60
    assert attempts.wait_s("a") == 0
    attempts.count("a")
    attempts.count("a")
    assert attempts.wait_s("a") == 60
    for key in "bcd":
        attempts.count(key)
    assert attempts.wait_s("a") == 0


@pytest.mark.parametrize(
    ("address", "stands_for"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8::1:2:3:4", "2001:db8::/64"), ("", "")],
)
def test_an_ipv6_network_counts_as_one_address(address: str, stands_for: str) -> None:
    assert network(address) == stands_for


# ---------------------------------------------------------------------------------------- the first start


@pytest.fixture
async def empty(store: Store) -> Store:
    """Nobody can log in as an admin."""
    async with store.database.begin() as session:
        for row in await session.scalars(select(UserRow)):
            await session.delete(row)
    return store


async def test_the_link_lets_the_admin_choose_his_password_once(
    empty: Store, visit: Visit, service: Service
) -> None:
    path = await one_time_path(empty, SECRET_KEY, None, dev=False)
    assert path is not None
    assert "phonebot printed a one-time link" in (await visit.get("/login")).text
    page = await visit.get(path)
    fields = {"csrf": page.field("csrf"), "token": page.field("token")}
    short = await visit.post("/setup", fields | {"password": "short", "again": "short"})
    assert (short.status, "The password has 5 characters" in short.text) == (422, True)
    unlike = await visit.post("/setup", fields | {"password": PASSWORD, "again": OTHER})
    assert (unlike.status, "not the same" in unlike.text) == (422, True)
    done = await visit.post("/setup", fields | {"password": PASSWORD, "again": PASSWORD})
    assert (done.status, done.to) == (303, "./console/overview")
    assert (await visit.get("/console/numbers")).status == 200
    again = await visit.post("/setup", fields | {"password": OTHER, "again": OTHER})
    assert again.status == 403
    assert (await visit.get(path)).status == 403
    async with Visit(service) as other:
        assert (await other.sign_in("admin")).status == 303
    assert await one_time_path(empty, SECRET_KEY, None, dev=False) is None


async def test_a_second_link_is_void_once_there_is_an_admin(empty: Store, visit: Visit) -> None:
    links = OneTimeLinks(empty.database, SECRET_KEY)
    page = await visit.get(f"/setup?token={links.make('setup')}")
    await empty.users.first_admin(PASSWORD, ADA)
    fields = {"csrf": page.field("csrf"), "token": page.field("token"), "password": OTHER, "again": OTHER}
    answer = await visit.post("/setup", fields)
    assert (answer.status, "There is an admin already." in answer.text) == (403, True)


async def test_a_forged_link_opens_nothing(empty: Store, visit: Visit) -> None:
    forged = OneTimeLinks(empty.database, "another key").make("setup")
    answer = await visit.get(f"/setup?token={forged}")
    assert (answer.status, "used already, or is older than an hour" in answer.text) == (403, True)


async def test_a_form_of_the_link_without_our_token_does_nothing(empty: Store, visit: Visit) -> None:
    token = OneTimeLinks(empty.database, SECRET_KEY).make("setup")
    answer = await visit.post("/setup", {"token": token, "password": PASSWORD, "again": PASSWORD})
    assert answer.status == 403
    assert await empty.users.lacks_admin()


async def test_the_password_of_the_settings_is_the_admins(empty: Store, visit: Visit) -> None:
    assert await one_time_path(empty, SECRET_KEY, SecretStr(PASSWORD), dev=False) is None
    assert await one_time_path(empty, SECRET_KEY, SecretStr(OTHER), dev=False) is None
    assert (await visit.sign_in("admin", OTHER)).status == 401
    assert (await visit.sign_in("admin")).status == 303


async def test_in_development_the_link_signs_in_once(empty: Store, visit: Visit) -> None:
    path = await one_time_path(empty, SECRET_KEY, None, dev=True)
    assert path is not None
    page = await visit.get(path)
    fields = {"csrf": page.field("csrf"), "token": page.field("token")}
    assert (await visit.post("/setup", fields)).to == "./console/overview"
    assert "Signed in as <strong>admin</strong>, admin" in (await visit.get("/console/numbers")).text
    assert (await visit.post("/setup", fields)).status == 403


async def test_a_database_that_is_away_is_said_in_a_sentence(
    visit: Visit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> bool:
        raise StoreUnavailable("the database at secret.example is away")

    monkeypatch.setattr(UserStore, "lacks_admin", lambda self: away())
    answer = await visit.get("/login")
    assert (answer.status, "The database cannot be used right now." in answer.text) == (503, True)
    assert "secret.example" not in answer.text
