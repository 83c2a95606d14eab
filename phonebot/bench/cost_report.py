"""What the cost benchmark measured: values, the table people read, the JSON scripts read."""

from collections.abc import Iterator

import msgspec
from rich.console import Group
from rich.table import Table


class Bill(msgspec.Struct, frozen=True):
    """
    What a call took: answers of the model, and tokens of all of them (the cached ones are part of the input).

    `sent_ms` is how much of the caller's audio the model was sent. `uncached_usd` is what the call would have cost
    had the service cached nothing, which it does not promise.
    """

    responses: int
    input_text: int
    input_audio: int
    cached: int
    output: int
    length_ms: int
    sent_ms: int
    usd: float
    uncached_usd: float


class Saving(msgspec.Struct, frozen=True):
    """The same call without a way of saving and with it."""

    name: str
    what: str
    before: Bill
    after: Bill

    @property
    def share(self) -> float:
        """What is saved of the cost."""
        return _saved(self.before.usd, self.after.usd)

    @property
    def uncached_share(self) -> float:
        """What would be saved had nothing been cached."""
        return _saved(self.before.uncached_usd, self.after.uncached_usd)


class CostReport(msgspec.Struct, frozen=True):
    """`as_of` and `source` are those of the prices, which are `model`'s."""

    model: str
    as_of: str
    source: str
    savings: tuple[Saving, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """What should have been cheaper, or as cheap, and is not."""
        return tuple(f"{each.name} costs more" for each in self.savings if each.after.usd > each.before.usd)

    def table(self) -> Group:
        """For a terminal of 80 columns."""
        shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        shown.add_column("", no_wrap=True)
        for heading in ("sent", "answers", "audio in", "text in", "cached", "out", "cents", "uncached"):
            shown.add_column(heading, justify="right", no_wrap=True)
        for number, each in enumerate(self.savings, 1):
            shown.add_row(f"{number} without", *_figures(each.before))
            shown.add_row("  with it", *_figures(each.after))
            saved = f"{each.share:.0%}", f"{each.uncached_share:.0%}"
            shown.add_row("  saved", *[""] * 6, *saved, end_section=True)
        return Group(shown, "", *self._notes(), *self.faults)

    def _notes(self) -> Iterator[str]:
        for number, each in enumerate(self.savings, 1):
            yield f"{number} {each.name}: {each.what}"
        yield "sent: s of the caller's audio, to the model; audio in to out: tokens, as the"
        yield "embedded model counts them; cents: US cents; uncached: if nothing was cached"
        yield f"prices of {self.model}, {self.as_of} ({self.source})"

    def to_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def _figures(bill: Bill) -> tuple[str, ...]:
    sent = f"{bill.sent_ms / 1000:,.0f}"
    counts = (bill.responses, bill.input_audio, bill.input_text, bill.cached, bill.output)
    cents = (f"{usd * 100:.2f}" for usd in (bill.usd, bill.uncached_usd))
    return (sent, *(f"{count:,}" for count in counts), *cents)


def _saved(before: float, after: float) -> float:
    return 1 - after / before if before else 0.0
