"""Messages that callers left, over the API."""

from datetime import timedelta

from api_driver import MESSAGE_ID, NOON, Api

OTHER = "00000000-0000-4000-8000-000000000002"


async def test_messages_are_listed_in_pages_and_by_state_and_words(api: Api) -> None:
    await api.keep_message()
    await api.keep_message(OTHER, taken_at=NOON + timedelta(minutes=1), text="The oven", urgent=True)
    first = (await api.ask("GET", "/messages", limit=1)).json
    assert [each["message_id"] for each in first["items"]] == [OTHER]
    second = (await api.ask("GET", "/messages", limit=1, cursor=first["next"])).json
    assert [each["message_id"] for each in second["items"]] == [MESSAGE_ID]
    assert second["next"] is None
    await api.ask("PATCH", f"/messages/{OTHER}", {"state": "done"}, scope="operate")
    for query, found in (("state=new", MESSAGE_ID), ("state=done", OTHER), ("text=OVEN", OTHER)):
        items = (await api.ask("GET", f"/messages?{query}")).json["items"]
        assert [each["message_id"] for each in items] == [found]
    assert (await api.ask("GET", "/messages", cursor="x")).status == 422


async def test_a_message_is_marked_told_again_and_given_up(api: Api) -> None:
    await api.keep_message()
    path = f"/messages/{MESSAGE_ID}"
    given_up = await api.ask("POST", f"{path}/give-up", scope="operate")
    assert (given_up.status, given_up.json["told"]["state"]) == (200, "given_up")
    assert (await api.ask("POST", f"{path}/give-up", scope="operate")).status == 409
    again = await api.ask("POST", f"{path}/deliver", scope="operate")
    assert again.json["told"]["state"] == "waiting"
    done = await api.ask("PATCH", path, {"state": "done"}, scope="operate")
    assert (done.json["state"], done.json["done_by"]) == ("done", "token operate")
    reopened = await api.ask("PATCH", path, {"state": "new"}, scope="operate")
    assert (reopened.json["state"], reopened.json["done_at"]) == ("new", None)
    assert (await api.ask("GET", f"/messages/{OTHER}")).status == 404
    assert (await api.ask("PATCH", path, {"state": "read"}, scope="operate")).status == 422
