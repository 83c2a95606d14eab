"""Which sessions are tried, and which prices are asked for."""

from pathlib import Path
from typing import Any

from phonebot.agents.profile import Profile
from phonebot.checkup.check import run
from phonebot.deployment import providers_of
from phonebot.doctor import models
from phonebot.realtime.prices import LISTED
from phonebot.settings import Settings, load
from phonebot.simulator.server import serve as serve_model

DESK = "+15550100000"


def settings_for(url: str, **given: str) -> Settings:
    return load({"PHONEBOT_MODEL_URL": url, "PHONEBOT_MODEL": "gpt-realtime-2.1"} | given, None)


def profile(**keys: Any) -> Profile:
    return Profile.from_table(keys, "test")


async def test_each_kind_of_session_is_opened_once_and_told_by_its_number() -> None:
    profiles = {DESK: profile(model="another"), "+15550100001": profile(model="another")}
    async with serve_model() as server:
        settings = settings_for(server.url)
        checks = await run(models.session_probes(settings, profiles, providers_of(settings)))
    assert [(check.name, check.state) for check in checks] == [("Model gateway", "ok")] * 2
    assert [check.sentence.partition(":")[0] for check in checks] == [
        "gpt-realtime-2.1 of default",
        f"another of {DESK}",
    ]
    assert all("pcmu in, pcmu out" in check.sentence for check in checks)


async def test_each_provider_is_tried_and_one_that_fails_hides_no_other(tmp_path: Path) -> None:
    async with serve_model(key="sk-east") as east:
        file = tmp_path / "numbers.toml"
        file.write_text(
            f'[provider.west]\nkind = "gateway"\nurl = "ws://127.0.0.1:1"\n'
            f'[provider.east]\nkind = "gateway"\nurl = "{east.url}"\nkey = "EAST"\n'
        )
        settings = settings_for(
            "ws://127.0.0.1:1",
            PHONEBOT_PROFILES=str(file),
            PHONEBOT_MODEL_PROVIDERS="west, east",
            PHONEBOT_SECRET_EAST="sk-east",
        )
        west, reached = await run(models.session_probes(settings, {}, providers_of(settings)))
    assert (west.name, west.state, "cannot be reached" in west.sentence) == ("Model west", "failed", True)
    assert (reached.name, reached.state) == ("Model east", "ok")


async def test_what_a_provider_calls_a_model_is_what_is_tried_and_told_and_once(tmp_path: Path) -> None:
    async with serve_model() as server:
        file = tmp_path / "numbers.toml"
        file.write_text(f'[provider.east]\nkind = "gateway"\nurl = "{server.url}"\nmodel = "our-deployment"\n')
        settings = settings_for("ws://127.0.0.1:1", PHONEBOT_PROFILES=str(file), PHONEBOT_MODEL_PROVIDERS="east")
        profiles = {DESK: profile(model="another", summary=True)}
        providers = providers_of(settings)
        probes = models.session_probes(settings, profiles, providers)
        checks = await run([*probes, *models.text_probes(settings, profiles, providers)])
    assert [(check.name, check.state, check.sentence.partition(":")[0]) for check in checks] == [
        ("Model east", "ok", "our-deployment"),
        ("Text model", "ok", "our-deployment"),
    ]


async def test_no_more_than_some_sessions_are_opened() -> None:
    profiles = {f"+1555010{n:04}": profile(model=f"model-{n}") for n in range(8)}
    async with serve_model() as server:
        settings = settings_for(server.url)
        checks = await run(models.session_probes(settings, profiles, providers_of(settings)))
        opened = len(server.sessions)
    assert (len(checks), opened) == (models.MOST_SESSIONS + 1, models.MOST_SESSIONS)
    assert (checks[-1].state, checks[-1].sentence.startswith("not tried: 3 more")) == ("skipped", True)


async def test_a_text_model_is_tried_where_a_profile_wants_texts() -> None:
    async with serve_model() as server:
        settings = settings_for(server.url)
        providers = providers_of(settings)
        (unused,) = await run(models.text_probes(settings, {DESK: profile()}, providers))
        (used,) = await run(models.text_probes(settings, {DESK: profile(summary=True)}, providers))
    assert (unused.state, unused.sentence.startswith("not used: no profile")) == ("skipped", True)
    assert (used.state, used.sentence.startswith("gpt-realtime-2.1: opened in")) == ("ok", True)


def test_prices_are_asked_for_what_profiles_use() -> None:
    settings = settings_for("ws://127.0.0.1:1")
    providers = providers_of(settings)
    assert models.prices(settings, {}, providers, LISTED).state == "ok"
    mine = {DESK: profile(model="mine")}
    unknown = models.prices(settings, mine, providers, LISTED)
    assert (unknown.state, unknown.sentence) == ("warning", "not known for mine: its calls have no cost")
    assert (
        models.prices(settings, {DESK: profile(model="mine", max_cost_usd=2)}, providers, LISTED).state == "failed"
    )
    capped = settings_for("ws://127.0.0.1:1", PHONEBOT_MAX_COST_PER_DAY_USD="5")
    assert models.prices(capped, mine, providers, LISTED).state == "failed"
