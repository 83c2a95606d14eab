"""What the fault benchmark makes of what it measured."""

import io
import json

import pytest
from rich.console import Console

from phonebot.bench.faults_report import Begun, Drained, FaultsReport, Kept, Line, Recovered
from phonebot.bench.report import Delays, Machine

SAID: tuple[Line, ...] = (
    ("bot", "Hello"),
    ("caller", "the first question"),
    ("bot", "It goes on"),
    ("caller", "the second question"),
)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (SAID, Kept(4)),
        (SAID[:3], Kept(4, lost=1)),
        ((*SAID, SAID[1]), Kept(4, twice=1)),
        ((*SAID[:2], ("bot", "It goes"), SAID[3]), Kept(4)),  # it was cut, and is there as far as it was heard
        ((*SAID[:3], ("caller", "the second")), Kept(4, lost=1, twice=1)),
        ((*SAID, ("bot", "What nobody said")), Kept(4, twice=1)),
        ((SAID[0], SAID[3], SAID[2], SAID[1]), Kept(4, displaced=1)),
        ((), Kept(4, lost=4)),
    ],
)
def test_a_transcript_is_compared_with_what_was_said(found: tuple[Line, ...], kept: Kept) -> None:
    assert Kept.of(SAID, found) == kept
    assert kept.is_exact == (kept == Kept(4))


def report(**changed: object) -> FaultsReport:
    heard, quiet = Delays.of([1_250.0, 1_300.0]), Delays.of([900.0])
    recovered = Recovered("in mid-answer", heard, quiet, Kept(120))
    fields = {
        "recovered": (recovered,),
        "begun": (Begun("hangs", Delays.of([3_800.0])), Begun("hangs, known", heard)),
        "drained": (Drained("with 60 s to end", 20, 12.5, 20, 0, 1_310.0, 0, Kept(60)),),
        **changed,
    }
    return FaultsReport(Machine(2, "3.11.7", "0.1.0"), 20, 600, 600, Delays.of([7.0]), **fields)  # type: ignore[arg-type]


def shown(of: FaultsReport) -> str:
    output = io.StringIO()
    Console(file=output, width=80).print(of.table())
    return output.getvalue()


def test_the_table_fits_a_terminal_and_holds_every_figure() -> None:
    text = shown(report())
    assert max(map(len, text.splitlines())) <= 80
    for part in ("1250 / 1300", "900", "120", "hangs, known", "3800 / 3800", "exit code 0", "1310 ms", "7 ms late"):
        assert part in text


@pytest.mark.parametrize(
    ("recovered", "fault"),
    [
        ({"heard": Delays.of([2_501.0])}, "in silence: the bot was heard after 2501 ms at p99"),
        ({"heard": Delays.of([1.0], lost=1)}, "in silence: 1 callers did not hear the bot again"),
        ({"quiet": Delays.of([3_020.0])}, "in silence: nobody was heard for 3020 ms"),
        ({"kept": Kept(5, lost=1)}, "in silence: transcripts do not say what was said"),
        ({"problems": ("a call ended: failed",)}, "in silence: a call ended: failed"),
    ],
)
def test_what_is_not_as_promised_is_a_fault(recovered: dict[str, object], fault: str) -> None:
    fields = {"heard": Delays.of([1.0]), "quiet": Delays(), "kept": Kept(5)} | recovered
    found = report(recovered=(Recovered("in silence", **fields),))  # type: ignore[arg-type]
    assert found.faults == (fault,)
    assert fault in " ".join(shown(found).split())


def test_a_service_that_stops_is_to_end_by_itself_and_without_a_call_that_is_cut_off() -> None:
    cut_off = Drained("with 1 s to end", 20, 12.5, 0, 19, 1_310.0, -9, Kept(20))
    assert report(drained=(cut_off,)).faults == (
        "with 1 s to end: exit code -9",
        "with 1 s to end: 1 calls were cut off",
    )


def test_scripts_read_the_same() -> None:
    read = json.loads(report().to_json())
    assert read["recovered"][0]["heard"]["p99_ms"] == 1_300
    assert read["drained"][0]["kept"]["said"] == 60
