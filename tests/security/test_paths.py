"""
Paths and names that mean another place: nothing outside of what is meant is read, written or deleted by one.

Every parameter in every path of the app is tried, with each method that its route takes.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from console_driver import Visit
from routes import Found, routes_of
from service_driver import SECRET_KEY, Service, form_of_call
from sqlalchemy import func, select
from starlette.routing import compile_path
from yarl import URL

from phonebot.store.audit import Actor
from phonebot.store.links import RecordingLinks
from phonebot.store.store import Store
from phonebot.store.tables import ProfileVersion, UserRow
from phonebot.store.tokens import SCOPES

SENTINEL = "this is nobody's business"
EVIL = (
    "..",
    "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "..%5c..%5csecret.txt",
    "secret.txt%00.wav",
    "%0d%0aSet-Cookie:%20a=b",
    "*",
    "'%20OR%20'1'='1",
    "%ff%fe%3Cscript%3E",
    "9" * 18,
    "9" * 400,
)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file beside the calls, the recordings and the database."""
    path = tmp_path / "secret.txt"
    path.write_text(SENTINEL)
    return path


def tried(route: Found) -> Iterator[str]:
    """The route's path with evil in the place of each parameter."""
    _, pattern, parameters = compile_path(route.path)
    for evil in EVIL:
        yield pattern.format(**dict.fromkeys(parameters, evil))


async def counted(store: Store) -> tuple[int | None, int | None]:
    async with store.database.read() as session:
        return (
            await session.scalar(select(func.count()).select_from(UserRow)),
            await session.scalar(select(func.count()).select_from(ProfileVersion)),
        )


def files(folder: Path) -> set[str]:
    """All but those of the database."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith("phonebot.db")}


@pytest.mark.slow
async def test_no_parameter_of_a_path_leads_out_of_its_place(
    service: Service, store: Store, secret: Path, tmp_path: Path
) -> None:
    token = (await store.tokens.create("all", list(SCOPES), Actor("boss"))).secret
    before = await counted(store), files(tmp_path)
    asked = 0
    async with Visit(service) as visit:
        await visit.sign_in("admin")
        csrf = (await visit.get("/console/settings/account")).field("csrf")
        for route in routes_of(service.app):
            if "{" not in route.path:
                continue
            bearer = {"Authorization": f"Bearer {token}"} if route.kind in ("scope", "any token") else {}
            for method in route.methods:
                changes = {} if method == "GET" else {"Origin": service.url, "X-CSRF-Token": csrf}
                for path in tried(route):
                    url = URL(service.url + path, encoded=True)
                    async with visit.http.request(
                        method, url, headers=bearer | changes, allow_redirects=False
                    ) as answer:
                        body = await answer.read()
                        assert answer.status < 500, (method, path, body)
                        assert SENTINEL.encode() not in body, (method, path)
                        assert b"root:" not in body, (method, path)
                        assert answer.headers.get("Set-Cookie", "").find("a=b") < 0, (method, path)
                    asked += 1
    assert asked > 500
    assert (await counted(store), files(tmp_path)) == before
    assert secret.read_text() == SENTINEL


async def test_static_files_are_those_of_their_folder(service: Service, secret: Path) -> None:
    places = (
        *("../console.py", "%2e%2e/console.py", "..%2fconsole.py", "%2e%2e%2ftemplates%2fbase.html"),
        *("/etc/passwd", "%2fetc%2fpasswd", "..%5cconsole.py", "phonebot.css%00.py", "vendor/../../console.py"),
        *("//etc/passwd", f"{secret}", "", "vendor", "."),
    )
    async with aiohttp.ClientSession() as http:
        for place in places:
            async with http.get(URL(f"{service.url}/console/static/{place}", encoded=True)) as answer:
                body = await answer.read()
                # What a client resolves by itself leads to a page of ours, which asks who it is.
                assert answer.status in (303, 404) or b"<title>Sign in" in body, (place, answer.status)
                assert b"import " not in body, place


async def test_a_link_to_a_recording_names_a_call_and_no_file(service: Service, secret: Path) -> None:
    links = RecordingLinks(SECRET_KEY)
    async with aiohttp.ClientSession() as http:
        for call_sid in ("../secret.txt", "..", "/etc/passwd", "\0", "*", str(secret)):
            async with http.get(f"{service.url}/recordings/{links.make(call_sid, 1)}") as answer:
                assert (answer.status, SENTINEL in await answer.text()) == (404, False)


async def test_a_calls_name_for_itself_is_no_path(service: Service, secret: Path, tmp_path: Path) -> None:
    """The carrier's id becomes the name of a folder: what is no letter or digit in it stands for nothing there."""
    for call_sid in ("../../secret", "/tmp/elsewhere", "..", "a/b\\c", "CA\n1"):
        _, twiml = await service.post("/twilio/voice", form_of_call(call_sid))
        stream = await service.open_stream()
        await stream.connected()
        await stream.start(_token(twiml), call_sid)
        await stream.stop()
        await stream.closed()
    await service.stop()
    assert all(folder.parent == service.calls_dir for folder in service.calls_dir.iterdir())
    assert not Path("/tmp/elsewhere").exists()
    outside = {name for name in files(tmp_path) if not name.startswith("calls/")}
    assert [name for name in outside if "secret" in name] == ["secret.txt"]
    assert secret.read_text() == SENTINEL


async def test_a_profile_names_no_file_but_a_recording_that_is_kept(
    service: Service, store: Store, secret: Path
) -> None:
    token = (await store.tokens.create("all", list(SCOPES), Actor("boss"))).secret
    headers = {"Authorization": f"Bearer {token}"}
    names = ("../secret.txt", str(secret), "/etc/passwd", "secret.txt", "..", "a\0.wav", "//host/a.wav", "*.wav")
    async with aiohttp.ClientSession(headers=headers) as http, Visit(service) as visit:
        await visit.sign_in("operator")
        for name in names:
            profile = {"greeting": "Hi", "greeting_audio": name}
            async with http.put(f"{service.url}/api/v1/numbers/default", json={"profile": profile}) as answer:
                assert answer.status == 422, name
                assert SENTINEL not in await answer.text()
            form = {"text": f"greeting = 'Hi'\ngreeting_audio = {json.dumps(name)}"}
            shown = await visit.send("/console/numbers/default", "/console/numbers/default", form)
            assert (shown.status, SENTINEL in shown.text) == (422, False), name
    assert (await counted(store))[1] == 0


def _token(twiml: str) -> str:
    return twiml.partition('value="')[2].partition('"')[0]
