"""Where the time of answers goes, in real time: each answer is counted once, and its parts are told apart."""

import pytest

from phonebot.bench import answers
from phonebot.bench.answers import THINKS_MS, measure_answers
from phonebot.bench.load import pinned, run


@pytest.mark.slow
def test_of_each_answer_that_counts_the_parts_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "TURNS", 2)
    with pinned() as cores:
        found = run(measure_answers(2, cores))
    assert (found.faults, found.lost) == ((), 0)
    assert found.model.count == found.ours.count == found.network.count == 2
    assert found.model.p50_ms > THINKS_MS / 2
    assert found.ours.p50_ms > 0
    assert "2 calls at once" in str(found)
