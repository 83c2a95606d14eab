"""The benchmark as the command runs it, with two scenarios: real processes and sockets, in real time."""

from phonebot.bench.accuracy import measure_accuracy
from phonebot.bench.scenario import CUT, Heard, Pause, Reply, Scenario


def test_calls_are_held_and_compared_with_what_was_played() -> None:
    """One is cut in its second item, the other, in PCM16, plays to its end: nothing is to be told of it."""
    told: list[str] = []
    scenarios = (
        Scenario("cut", (Reply((500, 4000)), Heard(1, 300), CUT)),
        Scenario(
            "played", (Reply((500,)), Heard(0, 499), Pause(600), CUT), format="pcm24k", clears=0, untouched=True
        ),
    )

    report = measure_accuracy(scenarios, loaded_calls=0, progress=told.append)

    cut, played = report.rows
    assert [row.scenario for row in report.rows] == ["cut", "played"]
    assert cut.items[0].heard_ms == cut.items[0].said_ms == 500
    assert 0 < cut.items[1].heard_ms < cut.items[1].generated_ms <= 4000
    assert cut.items[1].said_ms < cut.items[1].generated_ms, "the model was told"
    assert (cut.ghost_ms, cut.refused, len(cut.clears_ms)) == (0, 0, 1)
    assert cut.naive_error_ms is not None
    assert (played.said_ms, played.clears_ms, played.refused) == (500, (), 0)
    assert 499 < played.heard_ms <= 500
    assert played.faults == ()
    assert told
