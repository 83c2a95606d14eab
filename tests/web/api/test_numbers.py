"""Numbers, their profiles and versions, on both databases."""

from api_driver import Api

DESK = "+15550100000"
PATH = f"/numbers/{DESK}"


async def test_a_number_is_saved_read_listed_and_deleted(api: Api) -> None:
    profile = {"name": "Front desk", "greeting": "Hello", "voice": None}
    saved = await api.put(PATH, {"profile": profile, "note": "first", "expected": 0})
    assert saved.status == 200
    version = saved.json["version"]
    assert saved.json["is_new"]
    assert (version["sequence"], version["author"], version["note"]) == (1, "token operate", "first")
    assert version["profile"] == {"name": "Front desk", "greeting": "Hello"}
    assert version["created_at"].endswith("Z")

    await api.put("/numbers/default", {"profile": {}})
    first = await api.get("/numbers", limit=1)
    assert [entry["number"] for entry in first.json["items"]] == ["default"]
    second = await api.get("/numbers", limit=1, cursor=first.json["next"])
    assert second.json == {
        "items": [
            {
                "number": DESK,
                "newest": version,
                "released": 1,
                "created_at": second.json["items"][0]["created_at"],
                "retention_days": None,
            }
        ],
        "next": None,
    }
    assert (await api.get(PATH)).json == second.json["items"][0]

    assert (await api.delete(PATH)).status == 204
    gone = await api.get(PATH)
    assert (gone.status, gone.json["code"]) == (404, "not_found")
    assert gone.headers["content-type"] == "application/problem+json"


async def test_who_saves_over_a_version_that_he_has_not_seen_is_told_which(api: Api) -> None:
    for name in ("one", "two"):
        await api.put(PATH, {"profile": {"name": name}})
    late = await api.put(PATH, {"profile": {"name": "three"}, "expected": 1})
    assert (late.status, late.json["code"], late.json["newest"]) == (409, "changed_meanwhile", 2)
    await api.delete(PATH)
    gone = await api.put(PATH, {"profile": {"name": "three"}, "expected": 1})
    assert (gone.status, gone.json["code"]) == (404, "not_found")
    assert (await api.get(PATH)).status == 404


async def test_a_profile_that_is_wrong_is_refused_key_by_key(api: Api) -> None:
    wrong = {"promt": "Hi", "temperature": 9, "turn_detection": {"type": "local", "threshold": "loud"}}
    refused = await api.put(PATH, {"profile": wrong})
    assert (refused.status, refused.json["code"]) == (422, "invalid_profile")
    assert sorted(refused.json["problems"], key=lambda problem: problem["key"]) == [
        {"key": "promt", "reason": "is not a known key", "allowed": "prompt"},
        {"key": "temperature", "reason": "is 9", "allowed": "a number from 0.6 to 1.2"},
        {"key": "turn_detection.threshold", "reason": 'is "loud"', "allowed": "a number from 0 to 1"},
    ]
    checked = await api.ask("POST", f"{PATH}/check", {"profile": wrong})
    assert (checked.status, len(checked.json["problems"])) == (200, 3)
    assert (await api.ask("POST", f"{PATH}/check", {"profile": {}})).json == {"problems": []}
    assert (await api.get("/numbers")).json["items"] == []


async def test_a_profile_names_no_file_of_the_machine(api: Api) -> None:
    for name in ("/etc/passwd", "../phonebot.db"):
        refused = await api.put(PATH, {"profile": {"greeting": "Hi", "greeting_audio": name}})
        (problem,) = refused.json["problems"]
        assert problem == {
            "key": "greeting_audio",
            "reason": f'is "{name}"',
            "allowed": "a recording that is kept here",
        }


async def test_versions_are_listed_compared_and_gone_back_to(api: Api) -> None:
    for name in ("one", "two", "three"):
        await api.put(PATH, {"profile": {"name": name, "greeting": "Hello"}})
    first = await api.get(f"{PATH}/versions", limit=2)
    assert [version["sequence"] for version in first.json["items"]] == [3, 2]
    second = await api.get(f"{PATH}/versions", limit=2, cursor=first.json["next"])
    assert ([version["sequence"] for version in second.json["items"]], second.json["next"]) == ([1], None)

    compared = (await api.get(f"{PATH}/diff?from=1")).json
    assert (compared["from_sequence"], compared["to_sequence"], compared["changed"]) == (1, 3, ["name"])
    assert '-name = "one"\n+name = "three"\n' in compared["diff"]

    restored = (await api.post(f"{PATH}/versions/1/restore")).json["version"]
    assert (restored["sequence"], restored["profile"]["name"]) == (4, "one")
    assert restored["note"] == "back to version 1"
    again = (await api.post(f"{PATH}/versions/2/restore", {"note": "better"})).json["version"]
    assert (again["profile"]["name"], again["note"]) == ("two", "better")
    assert (await api.get(f"{PATH}/versions/1")).json["profile"]["name"] == "one"
    assert (await api.get(f"{PATH}/versions/9")).status == 404


async def test_a_version_for_test_callers_is_released_to_all(api: Api) -> None:
    await api.put(PATH, {"profile": {"name": "old"}})
    await api.put(PATH, {"profile": {"name": "new"}, "test_callers": ["+15550100123"]})
    entry = (await api.get(PATH)).json
    assert (entry["newest"]["test_callers"], entry["released"]) == (["+15550100123"], 1)
    await api.post(f"{PATH}/versions/2/release")
    assert (await api.get(PATH)).json["released"] == 2
    limited = await api.put(f"{PATH}/versions/2/test-callers", {"test_callers": ["+15550100124"]})
    assert limited.json["test_callers"] == ["+15550100124"]
    assert (await api.get(PATH)).json["released"] == 1


async def test_retention_is_set_and_taken_back(api: Api) -> None:
    await api.put(PATH, {"profile": {}})
    assert (await api.put(f"{PATH}/retention", {"retention_days": 90})).json["retention_days"] == 90
    assert (await api.put(f"{PATH}/retention", {"retention_days": None})).json["retention_days"] is None
    assert (await api.put(f"{PATH}/retention", {"retention_days": 0})).status == 422


async def test_a_number_that_cannot_be_is_refused(api: Api) -> None:
    for number in ("555", "+0555010000", "Default", "default%20"):
        refused = await api.put(f"/numbers/{number}", {"profile": {}})
        assert (refused.status, refused.json["code"]) == (422, "invalid_request")
        assert refused.json["problems"][0]["key"] == "number"
