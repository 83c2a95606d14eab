"""
What models cost: list prices, in US dollars.

OpenAI, model and pricing pages, November 2026. Each response is charged for the whole conversation again; the part
that was cached costs less. What writes down the caller's speech is charged by its tokens or by the minute.
"""

from phonebot.realtime.events import Frozen, TranscriptionUsage, Usage

AS_OF = "November 2026"
MILLION = 1_000_000
MINUTE_S = 60


class Price(Frozen, frozen=True):
    """Of a model that speaks, per million tokens: in, in from the cache, and out."""

    text: tuple[float, float, float]
    audio: tuple[float, float, float]

    def of(self, tokens: Usage) -> float:
        """
        What these tokens cost.

        A gateway may leave out of which kind they are (Realtime API, response.usage): then they count as audio, so
        that whoever watches the sum does not take them for nothing.
        """
        text = _cost(self.text, tokens.input_text, tokens.cached_text, tokens.output_text)
        given, cached = tokens.input_audio, tokens.cached_audio
        if not (tokens.input_text or given or tokens.input_image):
            given, cached = tokens.input, tokens.cached
        is_told = tokens.output_text or tokens.output_audio
        out = tokens.output_audio if is_told else tokens.output
        return text + _cost(self.audio, given, cached, out)


class TranscriptionPrice(Frozen, frozen=True):
    """Of a model that writes down speech: per million tokens in and out, or per minute."""

    given: float = 0
    out: float = 0
    per_minute: float = 0

    def of(self, usage: TranscriptionUsage) -> float:
        tokens = usage.input * self.given + usage.output * self.out
        return tokens / MILLION + usage.seconds / MINUTE_S * self.per_minute


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
TRANSCRIPTION_PRICES = {
    "gpt-live-transcribe": TranscriptionPrice(per_minute=0.017),
    "gpt-realtime-whisper": TranscriptionPrice(per_minute=0.017),
    "gpt-transcribe": TranscriptionPrice(per_minute=0.0045),
    "gpt-4o-transcribe": TranscriptionPrice(2.50, 10.00),
    "gpt-4o-mini-transcribe": TranscriptionPrice(1.25, 5.00),
    "whisper-1": TranscriptionPrice(per_minute=0.006),
}


def cost_usd(model: str | None, tokens: Usage) -> float | None:
    """What these tokens cost at list price; None for a model that has none here."""
    price = PRICES.get(model or "")
    return None if price is None else price.of(tokens)


def _cost(price: tuple[float, float, float], given: int, cached: int, out: int) -> float:
    per_input, per_cached, per_output = price
    return ((given - cached) * per_input + cached * per_cached + out * per_output) / MILLION
