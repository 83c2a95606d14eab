"""
After any interruption the model believes what the caller heard: random calls, in virtual time, against the truth.

    make test                           300 calls, the same each time
    make nightly                        10,000, from a seed that is printed; then how many fell into each case
    make nightly SEED=7 CALLS=2000

A failing call leaves a call log, whose path is printed: `phonebot.replay.reader.read` reads it, and a fresh Call
given its inputs does the same again. What is asserted of a call, and how well each position can be known, is in
random_call.py.
"""

import asyncio
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from random_call import CASES, Answer, Conditions, Moment, RandomCall

from phonebot.call.call import Call
from phonebot.call.plan import CarrierTraits
from phonebot.replay.log import About
from phonebot.replay.reader import agrees, read
from phonebot.replay.recorder import Writer
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

CALLS = int(os.environ.get("PHONEBOT_RANDOM_CALLS", "300"))
IS_NIGHTLY = CALLS > 1_000
LEAST_SHARE = 0.02  # of the nightly calls fall into each case
FAILED = Path(__file__).parents[2] / "artifacts" / "heard"
PROGRESS_CALLS = 250

MOMENTS: tuple[Moment, ...] = (
    "before the first audio",
    "in the first frame",
    "in mid-item",
    "at an item's end",
    "in the tail",
    "after everything",
)


# ---------------------------------------------------------------------------------------- what calls there are


def mostly(usual: object, *others: object, of: int = 6) -> st.SearchStrategy[object]:
    """One of the others in every `of`-th call."""
    return st.integers(0, of - 1).flatmap(lambda n: st.just(usual) if n else st.sampled_from(others))


delays, jitters = st.sampled_from([0, 20, 40, 100, 200, 300]), st.sampled_from([0, 0, 20, 60, 100])
networks = st.one_of(
    st.builds(lambda up_ms, down_ms, both_ms: Network(up_ms, both_ms, down_ms, both_ms), delays, delays, jitters),
    st.builds(Network, delays, jitters, delays, jitters),
)
oddities = st.builds(
    Oddities,
    first_timestamp_ms=st.one_of(st.just(100), st.integers(60, 180)),
    drift_ppm=st.sampled_from([0.0, 0.0, 200.0, -200.0]),
    short_frame=st.sampled_from(["pad", "hold"]),
    marks_doubled=mostly(0.0, 0.3, 1.0),
    clear_echoes=mostly(True, False),
    timestamp_jitter_ms=mostly(0, 3),
    start_buffer_ms=mostly(0, 40, 150),
    marks_lost=mostly(0.0, 0.1, 1.0),
    marks_delay_ms=mostly(0, 100),
    marks_lag_ms=mostly(0, 30, 80, of=8),
    marks_burst_ms=mostly(0, 60, of=8),
    silence_suppressed=mostly(False, True),
)


def traits_of(carrier: Oddities, is_measured: bool) -> CarrierTraits:
    """What `phonebot calibrate` finds out; a start buffer shows by itself where marks come back."""
    knows_buffer = is_measured or carrier.marks_lost > 0
    return CarrierTraits(
        start_buffer_ms=carrier.start_buffer_ms if knows_buffer else None,
        mark_lag_ms=carrier.marks_lag_ms,
        mark_spread_ms=carrier.marks_burst_ms if is_measured else 0,
    )


@st.composite
def conditions(draw: st.DrawFn) -> Conditions:
    carrier = draw(oddities)
    if carrier.marks_lag_ms:  # a measured carrier, whose echoes are otherwise sound
        carrier = replace(carrier, marks_lost=0.0, marks_burst_ms=0, clear_echoes=True)
    return Conditions(
        draw(networks),
        carrier,
        draw(st.sampled_from(["server_vad", "semantic_vad"])),
        draw(st.booleans()),
        draw(st.sampled_from(["pcmu", "pcmu", "pcma", "pcm24k"])),
        draw(st.integers(0, 2**16)),
        traits_of(carrier, draw(st.booleans())),
    )


item_lengths = st.one_of(st.sampled_from([300, 1_000, 2_000]), st.integers(100, 4_000))
stalls = st.lists(st.tuples(st.integers(0, 6_000), st.sampled_from([500, 1_500, 3_000])), max_size=3)
answers = st.builds(
    Answer,
    st.lists(item_lengths, min_size=1, max_size=4).map(tuple),
    st.sampled_from([1.0, 4.0, 8.0, None]),
    st.sampled_from([10, 20, 100, 200, 400, 2_000]),
    st.one_of(st.just(()), stalls.map(tuple)),
    st.sampled_from([0, 100, 500]),
    mostly(False, True, of=4),
)
speeches = st.sampled_from([100, 600, 1_500])


# ---------------------------------------------------------------------------------------- what happens in them


class Calls(RuleBasedStateMachine):
    """One call after the other. `counted` is how many there were, `cases` what happened in how many of them."""

    counted = 0
    cases: ClassVar[Counter[str]] = Counter()
    began_s = 0.0

    @initialize(conditions=conditions(), answer=answers)
    def begin(self, conditions: Conditions, answer: Answer) -> None:
        self.call = RandomCall(conditions)
        self.interrupted = False
        self.call.answer(answer)

    @precondition(lambda self: self.interrupted)
    @rule(answer=answers)
    def the_model_answers(self, answer: Answer) -> None:
        self.interrupted = False
        self.call.answer(answer)

    @precondition(lambda self: not self.interrupted)
    @rule(answer=answers)
    def another_answer_is_queued(self, answer: Answer) -> None:
        self.call.answer(answer)

    @precondition(lambda self: not self.interrupted)
    @rule(ms=item_lengths)
    def our_own_audio_is_played(self, ms: int) -> None:
        self.call.play(ms)

    @precondition(lambda self: not self.interrupted)
    @rule(moment=st.sampled_from(MOMENTS), offset_ms=st.integers(0, 1_500), speech_ms=speeches)
    def the_caller_interrupts(self, moment: Moment, offset_ms: int, speech_ms: int) -> None:
        self.interrupted = True
        self.call.interrupt(moment, offset_ms, speech_ms)

    @precondition(lambda self: not self.interrupted)
    @rule(offset_ms=st.integers(0, 1_500), then_ms=st.integers(0, 49), speech_ms=speeches)
    def the_caller_interrupts_twice(self, offset_ms: int, then_ms: int, speech_ms: int) -> None:
        self.interrupted = True
        self.call.interrupt("in mid-item", offset_ms, speech_ms)
        self.call.interrupt("now", then_ms, speech_ms)

    @rule(ms=st.integers(1, 1_500))
    def time_passes(self, ms: int) -> None:
        self.call.driver.run(ms)

    def teardown(self) -> None:
        if not hasattr(self, "call"):
            return
        try:
            if not self.interrupted:
                self.call.interrupt("in mid-item", 400)
            self.call.finish()
        except AssertionError as error:
            error.add_note(f"The call's log: {kept(self.call, FAILED)}")
            raise
        Calls.counted += 1
        Calls.cases.update(self.call.cases)
        if IS_NIGHTLY and not Calls.counted % PROGRESS_CALLS:
            say(f"{Calls.counted:,} of {CALLS:,} calls, {monotonic() - Calls.began_s:.0f} s")


def kept(call: RandomCall, folder: Path) -> Path:
    """Write the call's log, in place of the one that was there; return its folder."""

    async def write() -> None:
        async with Writer(folder) as writer:
            recorder = writer.recorder(About(call_sid="CA" + "1" * 32, provider="random"))
            recorder.plan(call.driver.call.plan)
            for now, received, actions in call.driver.happened:
                recorder.happened(now, received, actions)
            recorder.close("caller_hung_up")

    shutil.rmtree(folder, ignore_errors=True)
    asyncio.run(write())
    (written,) = folder.iterdir()
    return written


def say(line: str) -> None:
    print(line, file=sys.__stderr__, flush=True)


def table(cases: Counter[str], calls: int) -> Iterator[str]:
    """How many calls fell into each case."""
    for case in CASES:
        yield f"  {case:32} {cases[case]:6,}  {cases[case] / calls:6.1%}"


# ---------------------------------------------------------------------------------------- the tests


@pytest.mark.slow
@pytest.mark.timeout(0 if IS_NIGHTLY else 600)  # it takes 20 s of a core, which others may want, too
def test_the_model_believes_what_the_caller_heard() -> None:
    Calls.counted, Calls.cases, Calls.began_s = 0, Counter(), monotonic()
    run_state_machine_as_test(
        Calls,
        settings=settings(
            max_examples=CALLS,
            stateful_step_count=6,
            deadline=None,
            database=None,
            derandomize=not IS_NIGHTLY,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Calls.cases.keys() <= set(CASES)
    if IS_NIGHTLY:
        say(f"{Calls.counted:,} calls in {monotonic() - Calls.began_s:.0f} s:")
        for line in table(Calls.cases, Calls.counted):
            say(line)
        rare = [case for case in CASES if Calls.cases[case] < LEAST_SHARE * Calls.counted]
        assert not rare, f"fewer than {LEAST_SHARE:.0%} of the calls fell into: {', '.join(rare)}"


def test_a_call_that_is_kept_replays_to_the_same_actions(tmp_path: Path) -> None:
    call = RandomCall(Conditions(Network(40, 20, 40, 20), output="pcm24k", seed=3))
    call.answer(Answer((1_000, 2_000)))
    call.interrupt("in mid-item", 300)
    call.finish()
    log = read(kept(call, tmp_path / "log"))
    again = Call(log.plan)
    for step in log.steps:
        actions = again.receive(step.input, step.now_ms)
        assert len(actions) == len(step.actions)
        assert all(agrees(then, now) for then, now in zip(step.actions, actions, strict=True))
    assert len(log.steps) == len(call.driver.happened)
