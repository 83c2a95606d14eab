"""
Calls that one random call in a thousand is like, and that were settled wrongly once: each against the truth.

What is asserted of a call is in random_call.py; test_heard.py makes the random ones.
"""

from dataclasses import dataclass, replace

import pytest
from random_call import Answer, Conditions, Moment, RandomCall

from phonebot.call.plan import CarrierTraits
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network


@dataclass(frozen=True)
class Interruption:
    """The caller begins to speak at that moment and goes on for so long."""

    moment: Moment
    offset_ms: int = 0
    speech_ms: int = 600


@dataclass(frozen=True)
class OwnAudio:
    """The call plays audio of ours for so long."""

    ms: int


ODDLY_EVEN = Oddities(timestamp_jitter_ms=3, drift_ppm=-200.0, silence_suppressed=True)
SLOW_TO_ECHO = Oddities(first_timestamp_ms=142, start_buffer_ms=150, marks_delay_ms=100, marks_lag_ms=80)
MUTE = Oddities(drift_ppm=-200.0, start_buffer_ms=150, marks_lost=1.0, clear_echoes=False)
LAGGING = Oddities(drift_ppm=200.0, short_frame="hold", start_buffer_ms=150, marks_lag_ms=80)
BURSTS = Oddities(start_buffer_ms=150, silence_suppressed=True, marks_burst_ms=60)
HESITANT = Oddities(timestamp_jitter_ms=3, start_buffer_ms=40, clear_echoes=False, silence_suppressed=True)
DELAYING = replace(HESITANT, start_buffer_ms=0, marks_doubled=0.3, marks_delay_ms=100)
UNHURRIED = Oddities(silence_suppressed=True, marks_delay_ms=100, clear_echoes=False)
LOSSY, IN_BURSTS = Oddities(marks_lost=0.1, marks_burst_ms=60), CarrierTraits(0, 0, 60)
FOUR_ITEMS = Answer((2_000, 2_000, 195, 2_000), delta_ms=400, late_ms=500)

CALLS: dict[str, tuple[Conditions, tuple[Answer | OwnAudio | Interruption, ...]]] = {
    "a clear within a start buffer that nobody has measured, and no echo of what it flushed": (
        Conditions(oddities=Oddities(start_buffer_ms=150, clear_echoes=False)),
        (Answer(speed=None), Interruption("in the tail", 47)),
    ),
    "two clears whose fences come back together, the second one before anything was played": (
        Conditions(Network(0, 60, 0, 60), SLOW_TO_ECHO, seed=65536, traits=CarrierTraits(mark_lag_ms=80)),
        (
            Answer(delta_ms=10),
            Interruption("in the first frame", 763, 1_500),
            Interruption("in mid-item", 123, 1_500),
            Answer(),
            Interruption("in mid-item", 88, 1_500),
        ),
    ),
    "an echo of a ping in the caller's silence, which no frame dates": (
        Conditions(Network(0, 0, 100, 0), Oddities(silence_suppressed=True, marks_delay_ms=100)),
        (Answer(), Interruption("before the first audio", 3, 100), Interruption("in mid-item", 2, 100)),
    ),
    "a clear and audio that fare differently, and no echo of anything": (
        Conditions(Network(300, 100, 200, 100), MUTE, output="pcm24k", seed=18806, traits=CarrierTraits(150)),
        (
            Answer((300, 300), delta_ms=400, late_ms=100),
            Answer((300, 300), delta_ms=400, late_ms=100),
            Interruption("in mid-item", 400),
        ),
    ),
    "a mark that was lost where the queue may have run dry": (
        Conditions(Network(200, 0, 20, 0), Oddities(marks_lost=0.1), output="pcma", seed=16685),
        (Answer((768, 229, 620, 300), speed=8.0, delta_ms=100, late_ms=100), Interruption("in mid-item", 212, 100)),
    ),
    "an estimate that is a ms short of a frame": (
        Conditions(Network(0, 0, 200, 0), ODDLY_EVEN, output="pcm24k", seed=8227),
        (Answer((2_778, 2_000, 1_000, 300), speed=1.0), Interruption("in mid-item", 0, 100)),
    ),
    "a round trip that was quick once and slow once": (
        Conditions(
            Network(40, 60, 40, 60),
            Oddities(marks_delay_ms=100),
            interrupt_response=False,
            output="pcm24k",
            seed=25279,
        ),
        (
            Answer((2_000, 3_662, 300), speed=8.0),
            Answer(delta_ms=20, stalls=((134, 500),), late_ms=500),
            Interruption("in mid-item", 568, 1_500),
            Interruption("now", 40, 1_500),
            Answer(delta_ms=20, stalls=((134, 500),)),
            Interruption("in mid-item", 1_399, 100),
        ),
    ),
    "echoes that go on when the caller's frames do not": (
        Conditions(Network(200, 0, 0, 0), Oddities(silence_suppressed=True)),
        (Answer(), Interruption("in mid-item", 1, 100), Answer(), Interruption("in mid-item", 400)),
    ),
    "audio that comes at the very end of what is played, at a carrier that would then begin late": (
        Conditions(Network(0, 60, 0, 0), Oddities(start_buffer_ms=40), traits=CarrierTraits(40)),
        (Answer((3_318, 1_635, 392), speed=1.0), Interruption("in mid-item", 251)),
    ),
    "marks that could have been back, were the network even": (
        Conditions(Network(0, 100, 200, 100), seed=11224),
        (Answer((1_000,), stalls=((1, 500),)), Interruption("in mid-item", 1, 100)),
    ),
    "echoes of a network whose jitter no frame has shown": (
        Conditions(Network(300, 100, 0, 0), Oddities(silence_suppressed=True), seed=504),
        (Answer(speed=1.0, delta_ms=100, followed=True), Interruption("in the tail", 186, 1_500)),
    ),
    "echoes in bursts, before the caller's first frame and after": (
        Conditions(Network(200, 20, 200, 0), BURSTS),
        (Answer((2_207, 312, 466, 300), delta_ms=100), Interruption("in mid-item", 117, 1_500)),
    ),
    "a clear before the first mark, at a carrier that begins late and has sent no frame": (
        Conditions(oddities=HESITANT, interrupt_response=False),
        (Answer((300,), speed=1.0, delta_ms=10, followed=True), OwnAudio(300), Interruption("in mid-item", 0, 100)),
    ),
    "a clear late in a start buffer that nobody has measured, and no echo of what it flushed": (
        Conditions(Network(downlink_delay_ms=20), Oddities(start_buffer_ms=150, clear_echoes=False)),
        (Answer((300, 300), speed=None), Interruption("in the tail", 162, 100)),
    ),
    "a clear before frames have shown where the carrier's boundaries lie": (
        Conditions(Network(uplink_delay_ms=100), DELAYING, interrupt_response=False),
        (
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Interruption("in mid-item", 0, 100),
            Interruption("now", 0, 100),
            Answer((300,), delta_ms=10, followed=True),
            Interruption("in mid-item", 67, 100),
            Interruption("now", 0, 100),
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Interruption("in mid-item", 400),
        ),
    ),
    "a lost fence behind echoes in bursts, which may be those of audio played or of the clear": (
        Conditions(
            Network(0, 20, 40, 20), LOSSY, interrupt_response=False, output="pcm24k", seed=1, traits=IN_BURSTS
        ),
        (
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Interruption("in mid-item", 400),
        ),
    ),
    "a network of which the first frames show little, before anything came back": (
        Conditions(
            Network(300, 100, 0, 100),
            Oddities(first_timestamp_ms=118, drift_ppm=200.0),
            seed=8465,
            traits=CarrierTraits(0),
        ),
        (
            Answer((1_620,), speed=None, late_ms=100, followed=True),
            Interruption("in mid-item", 2, 100),
            Interruption("now", 0, 100),
        ),
    ),
    "audio behind a stall, within a start buffer that nobody has measured": (
        Conditions(
            Network(0, 20, 40, 20),
            Oddities(drift_ppm=200.0, start_buffer_ms=150),
            interrupt_response=False,
            seed=268,
        ),
        (
            Answer((1_999, 300, 982, 300), 8.0, 200, ((1, 500), (0, 500), (1, 500)), followed=True),
            OwnAudio(300),
            Interruption("in mid-item", 400),
        ),
    ),
    "an echo of before the clear that seems to come too soon": (
        Conditions(
            Network(300, 100, 100, 100),
            Oddities(drift_ppm=200.0, short_frame="hold", silence_suppressed=True),
            "semantic_vad",
            interrupt_response=False,
            output="pcm24k",
            seed=269,
        ),
        (
            Answer((1_000, 1_000), speed=None, delta_ms=400, late_ms=500),
            OwnAudio(300),
            Interruption("before the first audio", 6, 100),
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Interruption("in mid-item", 400),
        ),
    ),
    "echoes in bursts around a clear, and an estimate below what was echoed before": (
        Conditions(
            Network(40, 0, 40, 0),
            Oddities(136, drift_ppm=-200.0, short_frame="hold", marks_burst_ms=60),
            output="pcm24k",
            seed=10749,
            traits=IN_BURSTS,
        ),
        (
            Answer((300,), speed=1.0, delta_ms=100, followed=True),
            Interruption("in mid-item", 0, 100),
            Interruption("now", 1, 100),
        ),
    ),
    "flushed echoes that come a frame before a fence with a lag": (
        Conditions(Network(0, 60, 0, 60), LAGGING, output="pcm24k", traits=CarrierTraits(150, 80)),
        (FOUR_ITEMS, Interruption("in mid-item", 400)),
    ),
    "a burst of flushed echoes before the fence, sooner than a clear seems to travel": (
        Conditions(Network(0, 20, 200, 20), Oddities(122, drift_ppm=-200.0, marks_burst_ms=60), seed=9032),
        (Answer(speed=1.0, delta_ms=10), OwnAudio(300), OwnAudio(300), Interruption("in mid-item", 400)),
    ),
    "an echo that a frame dates, behind audio whose echo none did": (
        Conditions(Network(40, 100, 200, 100), UNHURRIED, seed=566),
        (
            Answer(delta_ms=10),
            Interruption("in mid-item", 247, 100),
            Interruption("in mid-item", 30, 100),
            Interruption("now", 37, 100),
            Answer(),
            Interruption("in mid-item", 400),
        ),
    ),
    "an echo that seems slow since the begin of audio was dated too early": (
        Conditions(Network(40, 0, 0, 100), UNHURRIED, seed=566),
        (
            Answer(delta_ms=10),
            Interruption("in mid-item", 247, 100),
            Interruption("now", 37, 100),
            Answer(),
            Interruption("in mid-item", 400),
        ),
    ),
    "a lost fence, and flushed echoes the first of which comes when its audio would have played": (
        Conditions(
            Network(0, 100, 0, 100),
            Oddities(drift_ppm=200.0, marks_lost=0.1, marks_delay_ms=100),
            output="pcm24k",
            seed=65536,
            traits=CarrierTraits(0),
        ),
        (Answer((648, 2_310), speed=1.0, delta_ms=400), Interruption("in mid-item", 400)),
    ),
    "an echo in the caller's silence, after few frames, and no fence before his turn ends": (
        Conditions(
            Network(100, 0, 0, 0),
            replace(UNHURRIED, first_timestamp_ms=100, timestamp_jitter_ms=3),
            interrupt_response=False,
        ),
        (
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Interruption("in mid-item", 0, 100),
            Interruption("now", 0, 100),
            Answer((300,), delta_ms=10, followed=True),
            Interruption("in mid-item", 72, 100),
            Interruption("now", 0, 100),
        ),
    ),
    "flushed echoes that the network held up, and no fence before his turn ends": (
        Conditions(
            Network(200, 100, 300, 100),
            Oddities(first_timestamp_ms=100, start_buffer_ms=150, marks_doubled=0.3, marks_lag_ms=30),
            interrupt_response=False,
            seed=15671,
            traits=CarrierTraits(150, 30),
        ),
        (
            Answer((1_000,), speed=1.0, delta_ms=2_000),
            Interruption("in mid-item"),
            Interruption("now"),
            Answer((300,), speed=1.0, delta_ms=100, followed=True),
            Interruption("in mid-item", 400),
        ),
    ),
    "an echo that came too long before its fence to have been flushed, of audio that seemed under way": (
        Conditions(
            Network(0, 60, 40, 60),
            Oddities(
                first_timestamp_ms=100, marks_lost=0.1, marks_doubled=0.3, marks_delay_ms=100, clear_echoes=False
            ),
            interrupt_response=False,
            traits=CarrierTraits(0),
        ),
        (
            Answer((161,), speed=1.0, followed=True),
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Interruption("in mid-item", 68),
            Interruption("now"),
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Interruption("in mid-item", 400),
        ),
    ),
    "round trips that differ because echoes come in bursts, and no fence before his turn ends": (
        Conditions(
            Network(300, 0, 40, 0),
            Oddities(
                first_timestamp_ms=100,
                silence_suppressed=True,
                marks_burst_ms=60,
                clear_echoes=False,
            ),
            interrupt_response=False,
            output="pcma",
            seed=16335,
            traits=CarrierTraits(0, 0, 60),
        ),
        (
            Answer((300, 2_000, 300), None, 20, stalls=((223, 500), (1_020, 3_000), (652, 500))),
            Interruption("in the tail", 400, 100),
        ),
    ),
    "first echoes in the caller's silence, late by all of its jitter, and later ones that his frames date": (
        Conditions(
            Network(100, 20, 200, 0),
            Oddities(
                first_timestamp_ms=100,
                timestamp_jitter_ms=3,
                silence_suppressed=True,
                marks_doubled=0.3,
                marks_lost=0.1,
                clear_echoes=False,
            ),
            interrupt_response=False,
            seed=354,
            traits=CarrierTraits(0, 0, 0),
        ),
        (Answer((300,), speed=1.0, delta_ms=10, followed=True), OwnAudio(1_000), Interruption("in mid-item", 400)),
    ),
    "round trips that differ because of the carrier's lag, and no fence before his turn ends": (
        Conditions(
            Network(100, 0, 0, 0),
            Oddities(
                first_timestamp_ms=100,
                timestamp_jitter_ms=3,
                silence_suppressed=True,
                marks_delay_ms=100,
                marks_lag_ms=30,
            ),
            interrupt_response=False,
            traits=CarrierTraits(mark_lag_ms=30),
        ),
        (
            Answer((300,), delta_ms=10, followed=True),
            Interruption("in the tail", 0, 100),
            Answer((300,), speed=1.0, delta_ms=10, followed=True),
            Interruption("in mid-item", 148, 100),
        ),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_was_heard_is_known_after(name: str) -> None:
    conditions, happens = CALLS[name]
    call = RandomCall(conditions)
    for step in happens:
        if isinstance(step, Answer):
            call.answer(step)
        elif isinstance(step, OwnAudio):
            call.play(step.ms)
        else:
            call.interrupt(step.moment, step.offset_ms, step.speech_ms)
    call.finish()
