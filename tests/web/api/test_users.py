"""Users, tokens and the audit, on both databases."""

from api_driver import BOSS, Api
from sign_in import PASSWORD


async def test_a_user_is_added_changed_and_disabled(api: Api) -> None:
    added = await api.post("/users", {"name": "Ada", "role": "viewer", "password": PASSWORD}, "admin")
    assert added.status == 201
    assert {key: added.json[key] for key in ("name", "role", "disabled", "has_password")} == {
        "name": "ada",
        "role": "viewer",
        "disabled": False,
        "has_password": True,
    }
    taken = await api.post("/users", {"name": "ada", "role": "admin"}, "admin")
    assert (taken.status, taken.json["code"]) == (409, "conflict")
    changed = await api.ask("PATCH", "/users/ada", {"role": "operator", "disabled": True}, scope="admin")
    assert (changed.json["role"], changed.json["disabled"]) == ("operator", True)
    assert (await api.ask("PATCH", "/users/ada", {"disabled": False}, scope="admin")).json["disabled"] is False
    assert (await api.get("/users/ada", "admin")).json["role"] == "operator"
    assert (await api.get("/users/bob", "admin")).status == 404


async def test_a_password_that_is_set_ends_the_sessions(api: Api) -> None:
    user = await api.store.users.create("ada", PASSWORD, "viewer", BOSS)
    session = await api.store.sessions.begin(user)
    assert (await api.put("/users/ada/password", {"password": "another one of hers"}, "admin")).status == 204
    assert await api.store.sessions.user(session) is None
    assert await api.store.users.verify("ada", "another one of hers") == user
    short = await api.put("/users/ada/password", {"password": "secret"}, "admin")
    assert (short.status, short.json["problems"][0]["key"]) == (422, "password")
    assert "secret" not in short.body.decode()


async def test_a_link_lets_a_user_choose_his_password_once(api: Api) -> None:
    await api.post("/users", {"name": "ada", "role": "viewer"}, "admin")
    made = await api.post("/users/Ada/password-link", scope="admin")
    assert made.status == 201
    path = made.json["url"].removeprefix("http://127.0.0.1:8080")
    assert path.startswith("/setup?token=")
    async with api.http.get(api.url.removesuffix("/api/v1") + path) as page:
        assert (page.status, 'name="password"' in await page.text()) == (200, True)
    await api.put("/users/ada/password", {"password": PASSWORD}, "admin")
    async with api.http.get(api.url.removesuffix("/api/v1") + path) as page:
        assert page.status == 403
    assert (await api.post("/users/bob/password-link", scope="admin")).status == 404


async def test_the_last_admin_stays_one(api: Api) -> None:
    await api.post("/users", {"name": "ada", "role": "admin", "password": PASSWORD}, "admin")
    for change in ({"role": "viewer"}, {"disabled": True}):
        refused = await api.ask("PATCH", "/users/ada", change, scope="admin")
        assert (refused.status, refused.json["code"]) == (409, "conflict")


async def test_users_and_tokens_come_in_pages(api: Api) -> None:
    for name in ("ada", "bob", "cyd"):
        await api.post("/users", {"name": name, "role": "viewer"}, "admin")
    for path, names in (("/users", ["ada", "bob", "cyd"]), ("/tokens", ["admin", "operate", "read"])):
        first = (await api.get(path, "admin", limit=2)).json
        second = (await api.get(path, "admin", limit=2, cursor=first["next"])).json
        assert [each["name"] for each in first["items"] + second["items"]] == names
        assert second["next"] is None


async def test_a_token_is_made_used_and_revoked(api: Api) -> None:
    made = await api.post(
        "/tokens",
        {"name": "export", "scopes": ["operate", "read"], "expires_at": "2999-01-01T00:00:00+01:00"},
        "admin",
    )
    assert made.status == 201
    token = made.json["token"]
    assert (token["scopes"], token["created_by"]) == (["read", "operate"], "token admin")
    assert token["expires_at"] == "2998-12-31T23:00:00.000Z"
    api.secrets["new"] = made.json["secret"]
    assert (await api.get("/me", "new")).json["name"] == "export"
    taken = await api.post("/tokens", {"name": "export", "scopes": ["read"]}, "admin")
    assert (taken.status, taken.json["code"]) == (409, "conflict")
    over = await api.post(
        "/tokens", {"name": "old", "scopes": ["read"], "expires_at": "2020-01-01T00:00Z"}, "admin"
    )
    assert over.status == 422
    assert made.json["secret"] not in (await api.get("/tokens", "admin")).body.decode()
    assert (await api.delete(f"/tokens/{token['id']}", "admin")).status == 204
    assert (await api.get("/me", "new")).status == 401
    assert (await api.delete(f"/tokens/{token['id']}", "admin")).status == 404


async def test_the_audit_tells_who_changed_what(api: Api) -> None:
    await api.put("/numbers/default", {"profile": {"name": "one"}})
    await api.put("/numbers/default", {"profile": {"name": "two"}})
    first = (await api.get("/audit", "admin", what="profile.save", limit=1)).json
    (entry,) = first["items"]
    assert (entry["who"], entry["target"], entry["address"]) == ("token operate", "default", "127.0.0.1")
    assert (entry["before"], entry["after"]) == ({"name": "one"}, {"name": "two"})
    second = (await api.get("/audit", "admin", what="profile.save", limit=1, cursor=first["next"])).json
    assert (second["items"][0]["after"], second["next"]) == ({"name": "one"}, None)
    assert (await api.get("/audit", "admin", who="token operate", target="+1")).json["items"] == []
