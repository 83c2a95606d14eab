"""How checks are made: side by side, each within its time."""

import asyncio

import pytest

from phonebot.checkup.check import Check, Probe, known, run, together


async def test_a_check_that_hangs_or_breaks_hides_no_other() -> None:
    async def hang() -> Check:
        await asyncio.Event().wait()
        raise AssertionError

    async def fail() -> Check:
        raise RuntimeError("secret")

    async def fine() -> list[Check]:
        return [Check("Third", "ok", "it is there"), Check("Fourth", "ok", "it is there, too")]

    checks = await run([Probe("First", hang, 0.01), Probe("Second", fail), Probe("Third", fine)])
    assert [(check.name, check.state) for check in checks] == [
        ("First", "failed"),
        ("Second", "failed"),
        ("Third", "ok"),
        ("Fourth", "ok"),
    ]
    assert "within 0.01 s" in checks[0].sentence
    assert "secret" not in checks[1].sentence


async def test_several_as_one_are_as_bad_as_the_worst() -> None:
    bad = Check("b", "failed", "is away", "Start it.")
    (one,) = await run([together("Both", [known(Check("a", "ok", "is there")), known(bad)])])
    assert one == Check("Both", "failed", "a: is there; b: is away", "Start it.")
    (alone,) = await run([together("Both", [known(bad)])])
    assert alone == Check("Both", "failed", "is away", "Start it.")


@pytest.mark.parametrize(
    ("problem", "sentence", "remedy"),
    [
        ("X is missing: set it", "X is missing", "Set it."),
        ("X is 'a: b'; it must be a number", "X is 'a: b'", "It must be a number."),
        ("X at s3://calls is away: is it there?", "X at s3://calls is away", "Is it there?"),
        ("X is away", "X is away", ""),
    ],
)
def test_a_problem_is_told_in_a_sentence_and_its_remedy(problem: str, sentence: str, remedy: str) -> None:
    assert Check.of_problem("Part", problem) == Check("Part", "failed", sentence, remedy)
