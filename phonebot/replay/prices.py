"""
What models cost: list prices, in US dollars per million tokens.

OpenAI, model and pricing pages, November 2026. Each response is charged for the whole conversation again; the part
that was cached costs less.
"""

from dataclasses import dataclass

from phonebot.realtime.events import Usage

AS_OF = "November 2026"
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """In, in from the cache, and out."""

    text: tuple[float, float, float]
    audio: tuple[float, float, float]


_LARGE = Price((4.00, 0.40, 16.00), (32.00, 0.40, 64.00))
_LARGE_2 = Price((4.00, 0.40, 24.00), (32.00, 0.40, 64.00))
_MINI = Price((0.60, 0.06, 2.40), (10.00, 0.30, 20.00))
PRICES = {
    "gpt-realtime-2.1": _LARGE_2,
    "gpt-realtime-2": _LARGE_2,
    "gpt-realtime-1.5": _LARGE,
    "gpt-realtime": _LARGE,
    "gpt-realtime-2.1-mini": _MINI,
    "gpt-realtime-mini": _MINI,
}


def cost_usd(model: str | None, tokens: Usage) -> float | None:
    """What these tokens cost at list price; None for a model that has none here."""
    price = PRICES.get(model or "")
    if price is None:
        return None
    text = _cost(price.text, tokens.input_text, tokens.cached_text, tokens.output_text)
    return text + _cost(price.audio, tokens.input_audio, tokens.cached_audio, tokens.output_audio)


def _cost(price: tuple[float, float, float], given: int, cached: int, out: int) -> float:
    per_input, per_cached, per_output = price
    return ((given - cached) * per_input + cached * per_cached + out * per_output) / MILLION
