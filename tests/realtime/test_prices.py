"""What tokens and minutes cost, and where the prices come from."""

from datetime import date

import pytest

from phonebot.realtime.events import TranscriptionUsage, Usage
from phonebot.realtime.prices import LISTED, PricesError, Rates, Tariff, TranscriptionPrice, read_prices

OWN = """
as_of = 2026-12-01
source = "our contract"

[models."front-desk"]
text = { input = 5, output = 20 }
audio = { input = 30.0, cached = 3.0, output = 60.0 }

[models."gpt-realtime"]
text = { input = 1, output = 1 }
audio = { input = 1, output = 1 }

[transcription."listener"]
per_minute = 0.01
"""


def test_a_conversation_is_charged_again_with_each_response_and_less_for_what_was_cached() -> None:
    """600 text tokens of instructions, 4 s of speech, an answer of 6 s: then all of it again, and 3 s more."""
    tariff = LISTED.tariff("gpt-realtime-2.1")
    first = Usage(790, 640, 150, input_text=600, input_audio=40, output_text=30, output_audio=120)
    second = Usage(
        970,
        820,
        150,
        input_text=630,
        input_audio=190,
        cached=640,
        cached_text=600,
        cached_audio=40,
        output_text=30,
        output_audio=120,
    )
    assert tariff.of(first) == pytest.approx((600 * 4 + 40 * 32 + 30 * 24 + 120 * 64) / 1e6)
    assert tariff.of(second) == pytest.approx((30 * 4 + 600 * 0.4 + 150 * 32 + 40 * 0.4 + 30 * 24 + 120 * 64) / 1e6)


def test_pictures_have_a_price_of_their_own() -> None:
    shown = Usage(input=100, input_image=100, cached=60, cached_image=60)
    assert LISTED.tariff("gpt-realtime-2.1").of(shown) == pytest.approx((40 * 5 + 60 * 0.5) / 1e6)


def test_more_cached_tokens_than_there_were_in_all_earn_nothing() -> None:
    """A gateway that counts so would lower what a call has cost, and with it raise what it may."""
    counted = Usage(input=100, input_audio=10, cached=100, cached_audio=90)
    assert LISTED.tariff("gpt-realtime-2.1").of(counted) == pytest.approx(90 * 0.4 / 1e6)


def test_speech_is_written_down_by_tokens_or_by_the_minute() -> None:
    by_tokens = LISTED.tariff("gpt-realtime", "gpt-4o-mini-transcribe")
    by_minute = LISTED.tariff("gpt-realtime", "whisper-1")
    assert by_tokens.of_transcription(TranscriptionUsage(input=100, output=20)) == pytest.approx(225e-6)
    assert by_minute.of_transcription(TranscriptionUsage(seconds=30)) == pytest.approx(0.003)
    assert LISTED.tariff("gpt-realtime").of_transcription(TranscriptionUsage(seconds=30)) == 0


@pytest.mark.parametrize("model", [None, "", "of my own"])
def test_of_a_model_without_a_price_nothing_is_reckoned(model: str | None) -> None:
    tariff = LISTED.tariff(model, "whisper-1")
    assert tariff == Tariff()
    assert tariff.of(Usage(input=1)) is None
    assert tariff.of_transcription(TranscriptionUsage(seconds=60)) == 0


def test_each_listed_model_has_a_price_for_what_it_reads_hears_and_says() -> None:
    assert LISTED.as_of > date(2026, 11, 1)
    for price in LISTED.models.values():
        for rates in (price.text, price.audio):
            assert rates.output > rates.input > rates.cached > 0
    assert all(price != TranscriptionPrice() for price in LISTED.transcription.values())


def test_own_prices_stand_before_the_listed_ones_and_without_a_cached_price_caching_saves_nothing() -> None:
    table = LISTED.with_own(read_prices(OWN, "own.toml"))
    desk = table.tariff("front-desk", "listener")
    assert desk.model is not None
    assert (desk.model.text, desk.model.audio) == (Rates(5, 5, 20), Rates(30, 3, 60))
    assert desk.transcription == TranscriptionPrice(per_minute=0.01)
    assert table.models["gpt-realtime"].audio == Rates(1, 1, 1)
    assert table.models["gpt-realtime-2.1"] == LISTED.models["gpt-realtime-2.1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("models = {}", "missing required field `as_of`"),
        (OWN.replace("input = 5", "input = -5"), "-5.0 is no price"),
        (OWN.replace("input = 5", "input = nan"), "nan is no price"),
        (OWN.replace("input = 5", "inputs = 5"), "unknown field `inputs`"),
        (OWN.replace("audio", "video"), "unknown field `video`"),
        ("as_of = ", "Invalid value"),
    ],
)
def test_a_file_that_is_no_table_of_prices_is_refused_with_the_place(text: str, problem: str) -> None:
    with pytest.raises(PricesError) as caught:
        read_prices(text, "own.toml")
    assert problem in str(caught.value)
    assert str(caught.value).startswith("the prices in own.toml cannot be used: ")
