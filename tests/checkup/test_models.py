"""The models, against the embedded one: each answer that their checks may give."""

from collections.abc import Callable
from datetime import date

from phonebot.checkup.check import Check, Probe, run
from phonebot.checkup.models import model, model_session, of_prices
from phonebot.errors import SettingsError
from phonebot.realtime.events import Session
from phonebot.realtime.prices import Price, PriceTable
from phonebot.realtime.providers import Endpoint, gateway
from phonebot.simulator.outputs import Faults
from phonebot.simulator.server import serve as serve_model

PCMU = Session(input_format="pcmu", output_format="pcmu")


async def found(probe: Probe) -> Check:
    (check,) = await run([probe])
    return check


async def test_a_model_is_reached_and_its_session_opened() -> None:
    async with serve_model(key="sk-key-of-ours") as server:

        def endpoint(key: str = "sk-key-of-ours") -> Endpoint:
            return gateway(server.url, "gpt-realtime", token=key)

        assert (await found(model(endpoint))).state == "ok"
        opened = await found(model_session(endpoint, lambda: PCMU))
        assert (opened.state, "opened in" in opened.sentence) == ("ok", True)
        assert opened.sentence.endswith("ga, pcmu in, pcmu out")
        refused = await found(model_session(lambda: endpoint("sk-wrong"), lambda: PCMU))
        assert (refused.state, "sk-wrong" in refused.sentence) == ("failed", False)
        assert refused.remedy.startswith("Check the key, the address")
    gone = await found(model(endpoint))
    assert (gone.state, "connection refused" in gone.sentence) == ("failed", True)
    lost = await found(model_session(endpoint, lambda: PCMU))
    assert (lost.state, lost.remedy) == ("failed", "Check the network, the firewall and the name.")


async def test_a_text_session_is_opened_without_formats() -> None:
    async with serve_model() as server:
        wanted = Session(modality="text", turn_detection=None)
        opened = await found(model_session(lambda: gateway(server.url, "any"), lambda: wanted))
    assert (opened.state, opened.sentence.endswith("ga, text")) == ("ok", True)


async def test_what_is_not_set_is_told_by_its_settings() -> None:
    def endpoint() -> Endpoint:
        raise SettingsError("no model is set: set OPENAI_API_KEY")

    probes: list[Callable[[], Probe]] = [lambda: model(endpoint), lambda: model_session(endpoint, lambda: PCMU)]
    for probe in probes:
        check = await found(probe())
        assert (check.state, check.sentence, check.remedy) == ("failed", "no model is set", "Set OPENAI_API_KEY.")


async def test_another_format_than_the_carriers_is_warned_of() -> None:
    async with serve_model(faults=Faults(keep_pcm=True)) as server:
        check = await found(model_session(lambda: gateway(server.url, "any"), lambda: PCMU))
    assert (check.state, check.sentence.endswith("pcm24k in, pcm24k out; pcmu was asked for")) == ("warning", True)
    assert "transcoded" in check.remedy


def test_a_model_without_a_price_is_warned_of_and_fails_where_a_limit_needs_one() -> None:
    table = PriceTable(date(2026, 11, 1), "test", {"dear": Price()}, {})
    assert of_prices(table, ["dear"], capped=True) == Check(
        "Prices", "ok", "known for dear; list prices of 2026-11-01"
    )
    check = of_prices(table, ["dear", "mine"], capped=False)
    assert (check.state, check.sentence) == ("warning", "not known for mine: its calls have no cost")
    assert "PHONEBOT_PRICES" in check.remedy
    assert of_prices(table, ["mine"], capped=True).state == "failed"
