"""What the service sees of what it needs."""

from api_driver import Api


async def test_each_check_is_told_with_its_remedy(api: Api) -> None:
    health = (await api.get("/health")).json
    found = {check["name"]: check for check in health["checks"]}
    assert found["Database"]["state"] == "ok"
    assert {probe.name for probe in api.parts.checkup.probes} <= found.keys()
    failed = [check for check in health["checks"] if check["state"] == "failed"]
    assert failed
    assert all(check["remedy"] for check in failed)


async def test_a_session_with_the_model_is_tried_by_those_who_may(api: Api) -> None:
    tried = await api.post("/health/model-session")
    assert (tried.status, tried.json["state"]) == (200, "failed")
    assert (await api.ask("POST", "/health/model-session")).status == 403
