"""
What happens in each call of the accuracy benchmark, as data.

A scenario is a list of steps that the model's session performs in order (scripted.py); the carrier it is performed
at, and what may come of it, stand beside them. `SCENARIOS` holds them all.
"""

from typing import TypeAlias

from phonebot.realtime.events import AudioFormat, Frozen
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

LIMIT_MS = 20.0  # one frame: what the heard position may be off by
TABOO = "forbidden words "
"""What a guardrail stops the bot for."""
MODEL_DELAY_MS = 20  # each way between the service and the model


class Reply(Frozen, frozen=True):
    """
    The model begins a response, once the one before has ended: one item after the other.

    Deltas of `delta_ms` come at `pace` times real time (None: all at once), the first `first_after_ms` after the
    response began. Once `stalls_after_ms` of audio were generated the model stalls for `stall_ms`. After its last
    item the response goes on for `tail_ms`, as if a tool call were being written. The delta of what is heard
    `says_at_ms` after the begin says `says`, all others a word.
    """

    items_ms: tuple[int, ...]
    pace: float | None = 4.0
    delta_ms: int = 200
    first_after_ms: int = 0
    stalls_after_ms: int = 0
    stall_ms: int = 0
    tail_ms: int = 0
    says: str = ""
    says_at_ms: int = 0


class Heard(Frozen, frozen=True):
    """Wait until the caller has heard `ms` of the call's item number `item`, the first being 0."""

    item: int
    ms: int


class Done(Frozen, frozen=True):
    """Wait until the response has ended."""


class Pause(Frozen, frozen=True):
    """Wait."""

    ms: int


class Speak(Frozen, frozen=True):
    """
    The caller speaks for `ms`; the model notices once it can have heard him, and cancels its response.

    It reports the same again after `again_ms` (0: it does not). Of the cancelled response, deltas of 200 ms still
    come at `late_ms`, before the response's end is told or, with `late_after_done`, after.
    """

    ms: int = 1500
    again_ms: int = 0
    late_ms: tuple[int, ...] = ()
    late_after_done: bool = False


class Freeze(Frozen, frozen=True):
    """The service's process stands still for `ms`, from now on, beside the next steps."""

    ms: int


Step: TypeAlias = Reply | Heard | Done | Pause | Speak | Freeze


class Scenario(Frozen, frozen=True):
    """
    One call.

    `clears`: how often playback is to be stopped, None: either way is right. `answered` False: no mark comes back,
    so the position can only be estimated, and must then not be too high. `untouched`: the model must be told
    nothing about its items, since each was heard in full.
    """

    name: str
    steps: tuple[Step, ...]
    network: Network = Network(uplink_delay_ms=40, downlink_delay_ms=40)
    oddities: Oddities = Oddities()
    format: AudioFormat = "pcmu"
    clears: int | None = 1
    answered: bool = True
    untouched: bool = False

    @property
    def limits_ms(self) -> tuple[float, float]:
        """How far the model may be told too little (negative) and too much."""
        if self.answered:
            return -LIMIT_MS, LIMIT_MS
        jitter_ms = self.network.uplink_jitter_ms + self.network.downlink_jitter_ms
        return -(jitter_ms + self.oddities.start_buffer_ms + LIMIT_MS), 0.0

    @property
    def freezes(self) -> bool:
        """The service stands still in this call: no other call may share it."""
        return any(isinstance(step, Freeze) for step in self.steps)


CUT = Speak()
ONE_ITEM = (Reply((8000,)), Heard(0, 3100), CUT)
# It stalls within a frame: 1950 ms are 97.5 frames.
STALLED = (Reply((8000,), delta_ms=130, stalls_after_ms=1950, stall_ms=3000), Heard(0, 3100), CUT)
START_BUFFER = Oddities(start_buffer_ms=150)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("S1 one item, being generated", (Reply((8000,), tail_ms=5000), Heard(0, 3100), CUT)),
    Scenario(
        "S2 the second reply",
        (Reply((4000,)), Heard(0, 4000), Pause(300), CUT, Reply((8000,)), Heard(1, 3100), CUT),
    ),
    Scenario("S3 two items, in the first", (Reply((3990, 6000)), Heard(0, 2100), CUT)),
    Scenario("S4 two items, in the second", (Reply((3990, 6000)), Heard(1, 2100), CUT)),
    Scenario("S5 after 0.2 s", (Reply((8000,), delta_ms=400), Heard(0, 200), CUT)),
    Scenario("S6 the model stalls for 3 s", STALLED),
    Scenario(
        "S7 next reply after 0.2 s",
        (Reply((6000,)), Heard(0, 3100), CUT, Reply((6000,)), Heard(1, 200), CUT),
        clears=2,
    ),
    Scenario(
        "S8 second reply in the queue",
        (Reply((3990,)), Done(), Pause(700), Reply((8000,)), Heard(1, 1100), CUT),
    ),
    Scenario("S9 generated, still playing", ONE_ITEM),
    Scenario(
        "S10 service frozen 400 ms",
        (Reply((8000,)), Heard(0, 1000), Freeze(400), Heard(0, 3100), CUT),
    ),
    Scenario("S10b frozen as he speaks", (Reply((8000,)), Heard(0, 3100), Freeze(400), CUT)),
    Scenario("S11 350 ms of late deltas", (Reply((8000,)), Heard(0, 1100), Speak(late_ms=(150, 350)))),
    Scenario(
        "S11b late after the response",
        (Reply((8000,)), Heard(0, 1100), Speak(late_ms=(150, 350), late_after_done=True)),
    ),
    Scenario("S12 start buffer of 150 ms", ONE_ITEM, oddities=START_BUFFER),
    Scenario("S12b start buffer and stall", STALLED, oddities=START_BUFFER),
    Scenario("S6 with short frames held", STALLED, oddities=Oddities(short_frame="hold")),
    Scenario("model all at once", (Reply((8000,), pace=None), Heard(0, 3100), CUT)),
    Scenario("model at 1x pace", (Reply((8000,), pace=1.0), Heard(0, 3100), CUT)),
    Scenario("deltas of 10 ms", (Reply((8000,), delta_ms=10), Heard(0, 3100), CUT)),
    Scenario("deltas of 2 s", (Reply((8000,), delta_ms=2000), Heard(0, 3100), CUT)),
    Scenario("300 ms away, 100 ms jitter", ONE_ITEM, network=Network(300, 100, 300, 100)),
    Scenario(
        "carrier's clock 200 ppm fast",
        (Reply((12_000,)), Heard(0, 10_000), CUT),
        oddities=Oddities(drift_ppm=200),
    ),
    Scenario("marks lost, all", ONE_ITEM, oddities=Oddities(marks_lost=1.0), answered=False),
    Scenario("marks 100 ms late", ONE_ITEM, oddities=Oddities(marks_delay_ms=100)),
    Scenario("marks doubled", ONE_ITEM, oddities=Oddities(marks_doubled=1.0)),
    Scenario("no echoes on clear", ONE_ITEM, oddities=Oddities(clear_echoes=False)),
    Scenario("before the first audio", (Reply((8000,), first_after_ms=1500), Pause(700), CUT), clears=0),
    Scenario("as the first audio comes", (Reply((8000,), first_after_ms=200), Pause(130), CUT), clears=None),
    Scenario("at an item's very end", (Reply((3000,)), Heard(0, 2760), CUT), clears=None),
    Scenario(
        "everything was played",
        (Reply((3000,)), Heard(0, 3000), Pause(300), CUT),
        clears=0,
        untouched=True,
    ),
    Scenario("twice within 50 ms", (Reply((8000,)), Heard(0, 2100), Speak(again_ms=50))),
    Scenario("PCM16 session", ONE_ITEM, format="pcm24k"),
    Scenario("A-law session", ONE_ITEM, format="pcma"),
    Scenario("no media while silent", ONE_ITEM, oddities=Oddities(silence_suppressed=True)),
)
