"""The pages under Settings over HTTP."""

import re
from html import unescape

import pytest
from console_driver import Visit
from service_driver import Service
from sign_in import PASSWORD

from phonebot.store.audit import Actor, AuditStore
from phonebot.store.store import Store

SETTINGS = "/console/settings"
USERS, TOKENS, ACCOUNT, AUDIT = (f"{SETTINGS}/{name}" for name in ("users", "tokens", "account", "audit"))
OTHER = "another password of his"


@pytest.fixture
async def admin(visit: Visit) -> Visit:
    await visit.sign_in("admin")
    return visit


def secret_in(text: str) -> str:
    (found,) = re.findall(r'value="([^"]*)" readonly', text)
    return unescape(found)


async def test_a_new_user_chooses_his_password_by_a_link_that_works_once(
    admin: Visit, console: Service, roles: Store
) -> None:
    page = await admin.send(USERS, USERS, {"name": "Carol", "role": "operator"})
    link = secret_in(page.text).removeprefix(console.public_url)
    async with Visit(console) as carol:
        shown = await carol.get(link)
        assert "You sign in as <strong>carol</strong>" in shown.text
        fields = {"csrf": shown.field("csrf"), "token": shown.field("token")}
        unlike = await carol.post("/setup", fields | {"password": OTHER, "again": PASSWORD})
        assert (unlike.status, "not the same" in unlike.text) == (422, True)
        assert (await carol.post("/setup", fields | {"password": OTHER, "again": OTHER})).status == 303
        assert "carol</strong>, operator" in (await carol.get(ACCOUNT)).text
    async with Visit(console) as late:
        again = await late.get(link)
        assert (again.status, "Ask an admin for a new one" in again.text) == (403, True)
        assert (await late.sign_in("carol", OTHER)).status == 303
    taken = await admin.send(USERS, USERS, {"name": "carol", "role": "viewer"})
    assert (taken.status, "there is a user carol already" in taken.text.lower()) == (422, True)


async def test_a_link_is_void_once_there_is_a_newer_password_or_no_user(
    admin: Visit, console: Service, roles: Store
) -> None:
    links = [secret_in((await admin.send(USERS, f"{USERS}/viewer", {"do": "link"})).text) for _ in range(2)]
    links = [link.removeprefix(console.public_url) for link in links]
    async with Visit(console) as viewer:
        shown = await viewer.get(links[1])
        fields = {"csrf": shown.field("csrf"), "token": shown.field("token"), "password": OTHER, "again": OTHER}
        assert (await viewer.post("/setup", fields)).status == 303
    async with Visit(console) as other:
        assert (await other.get(links[0])).status == 403
        link = secret_in((await admin.send(USERS, f"{USERS}/viewer", {"do": "link"})).text)
        await roles.users.disable("viewer", Actor("ada"))
        assert (await other.get(link.removeprefix(console.public_url))).status == 403


async def test_users_are_changed_but_the_last_admin_stays(admin: Visit, roles: Store) -> None:
    assert (await admin.send(USERS, f"{USERS}/viewer", {"do": "role", "role": "operator"})).status == 303
    assert (await roles.users.get("viewer")).role == "operator"
    for do, disabled in (("disable", True), ("enable", False)):
        assert (await admin.send(USERS, f"{USERS}/viewer", {"do": do})).status == 303
        assert (await roles.users.get("viewer")).disabled == disabled
    for change in ({"do": "disable"}, {"do": "role", "role": "viewer"}):
        refused = await admin.send(USERS, f"{USERS}/admin", change)
        assert (refused.status, "Admin is the only admin" in refused.text) == (409, True)
    assert (await roles.users.get("admin")).role == "admin"
    assert (await admin.send(USERS, f"{USERS}/nobody", {"do": "link"})).status == 404


async def test_a_tokens_secret_is_shown_once(admin: Visit, roles: Store) -> None:
    fields = {"name": "grafana", "scope-read": "yes", "days": "30"}
    made = await admin.send(TOKENS, TOKENS, fields)
    token = await roles.tokens.verify(secret_in(made.text))
    assert token is not None
    assert (token.name, sorted(token.scopes), token.expires_at is not None) == ("grafana", ["read"], True)
    shown = await admin.get(TOKENS)
    assert "grafana" in shown.text
    assert secret_in(made.text) not in shown.text
    for wrong in ({"name": "grafana", "scope-read": "yes"}, {"name": "none"}):
        assert (await admin.send(TOKENS, TOKENS, wrong)).status == 422
    assert (await admin.send(TOKENS, f"{TOKENS}/{token.id}")).status == 303
    assert await roles.tokens.all() == []
    assert (await admin.send(TOKENS, f"{TOKENS}/{token.id}")).status == 404


async def test_a_new_password_takes_the_old_one_and_ends_the_other_sessions(visit: Visit, console: Service) -> None:
    await visit.sign_in("viewer")
    async with Visit(console) as other:
        await other.sign_in("viewer")
        fields = {"current": OTHER, "password": OTHER, "again": OTHER}
        wrong = await visit.send(ACCOUNT, f"{ACCOUNT}/password", fields)
        assert (wrong.status, "It is another password." in wrong.text) == (422, True)
        fields["current"] = PASSWORD
        short = await visit.send(ACCOUNT, f"{ACCOUNT}/password", fields | {"password": "short"})
        assert (short.status, "has 5 characters" in short.text) == (422, True)
        assert (await visit.send(ACCOUNT, f"{ACCOUNT}/password", fields)).status == 303
        assert (await visit.get(f"{ACCOUNT}?changed=yes")).status == 200
        assert (await other.get(ACCOUNT)).status == 303
        assert (await other.sign_in("viewer", OTHER)).status == 303


async def test_the_old_password_is_tried_so_often_and_no_more(visit: Visit) -> None:
    await visit.sign_in("viewer")
    fields = {"current": OTHER, "password": OTHER, "again": OTHER}
    answers = [(await visit.send(ACCOUNT, f"{ACCOUNT}/password", fields)).status for _ in range(11)]
    assert answers == [422] * 10 + [429]


async def test_one_of_his_sessions_is_ended_and_no_other_users(
    visit: Visit, console: Service, roles: Store
) -> None:
    await visit.sign_in("viewer")
    async with Visit(console) as other, Visit(console) as admin:
        await other.sign_in("viewer")
        await admin.sign_in("admin")
        page = await visit.get(ACCOUNT)
        assert page.text.count("this one") == 1
        (elsewhere,) = re.findall(r'name="session" value="(\w+)"', page.text)
        (admins,) = [session.id for session in await roles.sessions.all_of(await roles.users.get("admin"))]
        assert (await visit.send(ACCOUNT, f"{ACCOUNT}/session", {"session": admins})).status == 404
        assert (await visit.send(ACCOUNT, f"{ACCOUNT}/session", {"session": elsewhere})).status == 303
        assert [(await each.get(ACCOUNT)).status for each in (visit, other, admin)] == [200, 303, 200]


async def test_the_audit_tells_who_changed_what_in_pages(admin: Visit, roles: Store) -> None:
    ada = Actor("ada", "192.0.2.7")
    await roles.numbers.save("+15550100000", {"prompt": "You answer for Rosa."}, "one", ada)
    await roles.numbers.save("+15550100000", {"prompt": "You answer for Mario."}, "two", ada)
    for n in range(50):
        await roles.numbers.set_retention("+15550100000", n + 1, ada)
    first = await admin.get(AUDIT)
    assert first.text.count("number.retention") == 100  # its name, and that of the link beside it
    assert "profile.save" not in first.text
    (older,) = re.findall(r'href="[^"]*(/console/settings/audit\?[^"]*before=\d+)"', first.text)
    second = await admin.get(unescape(older))
    assert "session.begin" in second.text
    newest = (await AuditStore(roles.database).page(what="profile.save", limit=1))[0]
    shown = await admin.get(f"{AUDIT}/{newest.id}")
    assert "<del>You answer for Rosa.</del>" in shown.text
    assert "192.0.2.7" in shown.text
    by_ada = await admin.get(f"{AUDIT}?who=ada&target=viewer")
    assert (by_ada.text.count("<code>user.create</code>"), "retention" in by_ada.text) == (1, False)
    assert (await admin.get(f"{AUDIT}/999999")).status == 404


async def test_the_health_is_checked_when_the_page_asks_for_it(visit: Visit) -> None:
    await visit.sign_in("viewer")
    page = await visit.get(SETTINGS)
    assert 'hx-trigger="load"' in page.text
    assert "Open a session" not in page.text
    headers = {"HX-Request": "true"}
    part = await visit.get(f"{SETTINGS}/checks", **headers)
    states = re.findall(r"<strong>([^<]*)</strong>\s*<span><span class=\"badge[^>]*>([^<]*)<", part.text)
    assert states == [
        ("Database", "OK"),
        ("Storage of calls", "OK"),
        ("Data folder", "OK"),
        ("Disk", "OK"),
        ("Model", "Failed"),
        ("Twilio account", "Skipped"),
        ("Public URL", "Warning"),
        ("Media stream", "OK"),
    ]
    assert "<html" not in part.text
    assert "<html" in (await visit.get(f"{SETTINGS}/checks")).text
    assert (await visit.send(SETTINGS, f"{SETTINGS}/model")).status == 403


@pytest.mark.parametrize("path", [USERS, TOKENS, AUDIT])
async def test_what_is_the_admins_is_nobody_elses(visit: Visit, path: str) -> None:
    await visit.sign_in("operator")
    assert (await visit.get(path)).status == 403
    assert path.rpartition("/")[2] not in re.findall(r'settings/(\w+)"', (await visit.get(SETTINGS)).text)
    assert (await visit.send(SETTINGS, f"{SETTINGS}/model")).status == 200
