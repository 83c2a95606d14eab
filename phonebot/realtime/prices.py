"""
What models cost, in US dollars: the table in prices.toml, and an operator's own beside it.

    LISTED.tariff("gpt-realtime-2.1", "gpt-4o-mini-transcribe")     # what a call is reckoned at
    LISTED.with_own(read_prices(text, "prices.toml"))               # an operator's prices before the listed ones

Each response is charged for the whole conversation again; the part that was cached costs less. What writes down the
caller's speech is charged by its tokens or by the minute (Realtime, managing costs).
"""

from datetime import date
from importlib.resources import files
from math import isfinite
from typing import Self

import msgspec
from msgspec import Struct

from phonebot.errors import PhonebotError
from phonebot.realtime.events import Frozen, TranscriptionUsage, Usage

MILLION = 1_000_000
MINUTE_S = 60


class PricesError(PhonebotError):
    """Raised for a file of prices that is none; `problem` says where and why."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source, self.problem = source, problem

    def __str__(self) -> str:
        return f"the prices in {self.source} cannot be used: {self.problem}; their form is in docs/cost.md"


class Rates(Frozen, frozen=True):
    """Of one kind of tokens, per million: in, in from the cache, and out."""

    input: float = 0.0
    cached: float = 0.0
    output: float = 0.0

    def of(self, given: int, cached: int, out: int) -> float:
        """`cached` are among the `given`; a gateway that says there are more of them is owed for no fewer."""
        return (max(given - cached, 0) * self.input + cached * self.cached + out * self.output) / MILLION


class Price(Frozen, frozen=True):
    """Of a model that speaks."""

    text: Rates = Rates()
    audio: Rates = Rates()
    image: Rates = Rates()

    def of(self, tokens: Usage) -> float:
        """
        What these tokens cost.

        A gateway may leave out of which kind they are (Realtime API, response.usage): then they count as audio, so
        that whoever watches the sum does not take them for nothing.
        """
        text = self.text.of(tokens.input_text, tokens.cached_text, tokens.output_text)
        image = self.image.of(tokens.input_image, tokens.cached_image, 0)
        given, cached = tokens.input_audio, tokens.cached_audio
        if not (tokens.input_text or given or tokens.input_image):
            given, cached = tokens.input, tokens.cached
        is_told = tokens.output_text or tokens.output_audio
        out = tokens.output_audio if is_told else tokens.output
        return text + image + self.audio.of(given, cached, out)


class TranscriptionPrice(Frozen, frozen=True):
    """Of a model that writes down speech: per million tokens in and out, or per minute."""

    input: float = 0.0
    output: float = 0.0
    per_minute: float = 0.0

    def of(self, usage: TranscriptionUsage) -> float:
        tokens = usage.input * self.input + usage.output * self.output
        return tokens / MILLION + usage.seconds / MINUTE_S * self.per_minute


class Tariff(Frozen, frozen=True):
    """
    What the models of one call cost. None: of `model`, no price is known; `transcription`, it is not charged.

    It is part of the call's plan, and so of its log: what a call has cost does not change with the table.
    """

    model: Price | None = None
    transcription: TranscriptionPrice | None = None

    def of(self, tokens: Usage) -> float | None:
        """What a response costs; None: no price is known."""
        return None if self.model is None else self.model.of(tokens)

    def of_transcription(self, usage: TranscriptionUsage) -> float:
        return self.transcription.of(usage) if self.transcription else 0.0


class PriceTable(Frozen, frozen=True):
    """The prices of models and of what writes down speech, by name. `source` told them on the day `as_of`."""

    as_of: date
    source: str
    models: dict[str, Price]
    transcription: dict[str, TranscriptionPrice]

    def tariff(self, model: str | None, transcription: str | None = None) -> Tariff:
        """At which a call of these models is reckoned. Where that of `model` is not known, nothing is."""
        price = self.models.get(model or "")
        return Tariff() if price is None else Tariff(price, self.transcription.get(transcription or ""))

    def with_own(self, own: "PriceTable") -> Self:
        """The same, with these before it. Its day and source stay: they are those of what most calls are."""
        return msgspec.structs.replace(
            self, models=self.models | own.models, transcription=self.transcription | own.transcription
        )


# ------------------------------------------------------------------------------------------- the file


class _Rates(Struct, forbid_unknown_fields=True):
    """As the file has them. `cached` None: what is cached costs as much as what is not."""

    input: float
    cached: float | None = None
    output: float = 0.0

    def checked(self) -> Rates:
        return Rates(
            _amount(self.input), _amount(self.input if self.cached is None else self.cached), _amount(self.output)
        )


class _Model(Struct, forbid_unknown_fields=True):
    text: _Rates
    audio: _Rates
    image: _Rates | None = None

    def checked(self) -> Price:
        return Price(self.text.checked(), self.audio.checked(), self.image.checked() if self.image else Rates())


class _Transcription(Struct, forbid_unknown_fields=True):
    input: float = 0.0
    output: float = 0.0
    per_minute: float = 0.0

    def checked(self) -> TranscriptionPrice:
        return TranscriptionPrice(_amount(self.input), _amount(self.output), _amount(self.per_minute))


class _File(Struct, forbid_unknown_fields=True):
    as_of: date
    source: str = ""
    models: dict[str, _Model] = {}
    transcription: dict[str, _Transcription] = {}


def read_prices(text: str, source: str) -> PriceTable:
    """The table of a TOML file's text, which came from `source`. Raises PricesError."""
    try:
        file = msgspec.toml.decode(text, type=_File)
        models = {name: model.checked() for name, model in file.models.items()}
        written = {name: price.checked() for name, price in file.transcription.items()}
    except ValueError as error:  # msgspec's and TOML's faults are such
        raise PricesError(source, str(error)) from None
    return PriceTable(file.as_of, file.source or source, models, written)


def _amount(usd: float) -> float:
    if not (isfinite(usd) and usd >= 0):
        raise ValueError(f"{usd} is no price: one is 0 or more US dollars")
    return usd


LISTED = read_prices(files(__package__).joinpath("prices.toml").read_text("utf-8"), "prices.toml")
"""What comes with phonebot."""
