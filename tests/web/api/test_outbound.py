"""Calls that are ordered by the API, without an account that could make them, and opt-outs, on both databases."""

from api_driver import BOSS, Api

DESK, HER, HIM = "+15550100000", "+15550100123", "+15550100124"


async def test_without_an_account_nobody_is_called(api: Api) -> None:
    refused = await api.ask("POST", "/outbound-calls", {"to": HER, "from": DESK}, scope="operate")
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    assert refused.json["detail"].endswith("set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
    wrong = await api.ask("POST", "/outbound-calls", {"to": "0555", "from": DESK}, scope="operate")
    assert (wrong.status, wrong.json["problems"][0]["key"]) == (422, "to")


async def test_calls_are_listed_shown_and_cancelled(api: Api) -> None:
    first, second = [await api.store.outbound.add(to, DESK, BOSS, reason="news") for to in (HER, HIM)]
    page = await api.get("/outbound-calls", limit=1)
    assert ([call["id"] for call in page.json["items"]], page.json["next"]) == ([second.id], str(second.id))
    page = await api.get("/outbound-calls", limit=1, cursor=page.json["next"])
    assert ([call["to"] for call in page.json["items"]], page.json["next"]) == ([HER], None)
    shown = await api.get(f"/outbound-calls/{first.id}")
    assert (shown.json["state"], shown.json["reason"], shown.json["tries"]) == ("queued", "news", [])
    cancelled = await api.delete(f"/outbound-calls/{first.id}")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    assert cancelled.json["cancelled_by"] == "token operate"
    assert (await api.delete(f"/outbound-calls/{first.id}")).status == 409
    assert (await api.delete("/outbound-calls/99")).status == 404
    assert [call["to"] for call in (await api.get("/outbound-calls", state="open")).json["items"]] == [HIM]
    assert (await api.get("/outbound-calls", to=HER, **{"from": DESK})).json["items"][0]["id"] == first.id


async def test_numbers_opt_out_and_may_be_called_again(api: Api) -> None:
    for number in (HER, HIM):
        assert (await api.put(f"/opt-outs/{number}", {"why": "by mail"})).status == 204
    page = await api.get("/opt-outs", limit=1)
    (entry,) = page.json["items"]
    assert (entry["number"], entry["by"], entry["why"], page.json["next"]) == (HER, "token operate", "by mail", HER)
    assert [each["number"] for each in (await api.get("/opt-outs", cursor=HER)).json["items"]] == [HIM]
    assert [each["number"] for each in (await api.get("/opt-outs", number="124")).json["items"]] == [HIM]
    assert (await api.delete(f"/opt-outs/{HER}")).status == 204
    assert (await api.delete(f"/opt-outs/{HER}")).status == 404
    assert (await api.put("/opt-outs/0555", {})).status == 422
