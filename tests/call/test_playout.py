"""The ledger against a carrier that knows what was heard: the cases in which it is easy to be wrong."""

from base64 import b64decode
from random import Random

import pytest
from driver import CallDriver
from hypothesis import given
from hypothesis import strategies as st

from phonebot.audio.base64 import base64_length, base64_silence
from phonebot.call.actions import ClearPlayback, Cut, PlayAudio, SendMark
from phonebot.call.inputs import CarrierClosed
from phonebot.call.playout import PlayoutLedger
from phonebot.carrier.messages import Mark, Stop
from phonebot.realtime.events import SpeechStarted, SpeechStopped
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

NEAR = Network(40, 0, 40, 0)


def check(driver: CallDriver, **lengths_ms: int) -> None:
    """The model believes what was heard, to one frame."""
    for item_id, believed in driver.believed_ms(**lengths_ms).items():
        assert believed == pytest.approx(driver.heard_ms(item_id), abs=20), item_id
    assert not driver.carrier.violations


def interrupt(driver: CallDriver) -> None:
    driver.feed(SpeechStarted(0))
    driver.run(1_000)


def test_one_long_item_cut_in_the_middle() -> None:
    driver = CallDriver(network=NEAR)
    driver.say("a", 8_000)
    driver.run(3_100)
    interrupt(driver)
    check(driver, a=8_000)


def test_the_second_answer_is_counted_from_its_own_begin() -> None:
    driver = CallDriver(network=NEAR)
    driver.say("a", 2_000, "resp_1")
    driver.run(3_500)
    driver.say("b", 8_000, "resp_2")
    driver.run(3_100)
    interrupt(driver)
    check(driver, a=2_000, b=8_000)


@pytest.mark.parametrize("after_ms", [2_100, 6_100])
def test_two_items_of_one_response_cut_in_either(after_ms: int) -> None:
    driver = CallDriver(network=NEAR)
    driver.begin("a")
    driver.more("a", 4_000)
    driver.end("a")
    driver.say("b", 4_000)
    driver.run(after_ms)
    interrupt(driver)
    check(driver, a=4_000, b=4_000)


def test_an_answer_cut_in_its_first_fifth_of_a_second() -> None:
    driver = CallDriver(network=NEAR)
    driver.say("a", 4_000)
    driver.run(200)
    interrupt(driver)
    check(driver, a=4_000)


def test_a_model_that_stalls_in_the_middle_of_an_item() -> None:
    driver = CallDriver(network=NEAR)
    driver.begin("a")
    driver.more("a", 1_500)
    driver.run(3_000)
    driver.more("a", 4_000)
    driver.run(1_600)
    interrupt(driver)
    check(driver, a=5_500)


def test_an_interruption_right_after_another() -> None:
    driver = CallDriver(network=NEAR)
    driver.say("a", 4_000, "resp_1")
    driver.run(1_000)
    driver.feed(SpeechStarted(0))
    driver.run(50)
    driver.say("b", 4_000, "resp_2")
    driver.run(200)
    interrupt(driver)
    check(driver, a=4_000, b=4_000)


def test_a_model_that_speaks_at_the_pace_of_speech() -> None:
    driver = CallDriver(network=NEAR)
    driver.begin("a")
    for _ in range(40):
        driver.more("a", 100)
        driver.run(100)
    interrupt(driver)
    check(driver, a=4_000)


def test_a_process_that_was_frozen_for_a_while() -> None:
    """Marks and frames of 400 ms come in one burst: the carrier's stamps date them, not their arrival."""
    driver = CallDriver(network=NEAR)
    driver.say("a", 6_000)
    driver.run(1_000)
    driver.freeze(400)
    driver.run(700)
    interrupt(driver)
    check(driver, a=6_000)


def test_a_carrier_that_begins_to_play_late() -> None:
    driver = CallDriver(network=NEAR, oddities=Oddities(start_buffer_ms=150))
    driver.say("a", 4_000)
    driver.run(1_500)
    interrupt(driver)
    check(driver, a=4_000)


def test_a_carrier_that_doubles_every_echo() -> None:
    driver = CallDriver(network=NEAR, oddities=Oddities(marks_doubled=1.0))
    driver.say("a", 4_000)
    driver.run(1_500)
    interrupt(driver)
    check(driver, a=4_000)


def test_a_carrier_that_echoes_nothing_on_clear() -> None:
    driver = CallDriver(network=NEAR, oddities=Oddities(clear_echoes=False))
    driver.say("a", 4_000)
    driver.run(1_500)
    interrupt(driver)
    check(driver, a=4_000)


def test_a_carrier_that_loses_every_echo_never_makes_the_position_too_high() -> None:
    driver = CallDriver(network=NEAR, oddities=Oddities(marks_lost=1.0))
    driver.say("a", 4_000)
    driver.run(1_500)
    interrupt(driver)
    (cut,) = driver.did(Cut)
    assert isinstance(cut, Cut)
    assert cut.settled == "timeout"
    assert driver.heard_ms("a") - 400 <= cut.heard_ms <= driver.heard_ms("a")


def test_a_strangers_echo_changes_nothing() -> None:
    driver = CallDriver(network=NEAR)
    driver.say("a", 4_000)
    driver.run(1_000)
    assert driver.feed(Mark(10_000, "7:99")) == []
    driver.run(500)
    interrupt(driver)
    check(driver, a=4_000)


@pytest.mark.parametrize("seed", range(12))
def test_any_jitter_leaves_the_position_within_a_frame(seed: int) -> None:
    driver = CallDriver(network=Network(60, 60, 60, 60), seed=seed)
    driver.say("a", 2_000, "resp_1")
    driver.say("b", 2_000, "resp_2")
    driver.run(700 + 230 * seed)
    interrupt(driver)
    check(driver, a=2_000, b=2_000)


def test_the_clear_comes_first_and_the_fence_right_behind_it() -> None:
    ledger = PlayoutLedger()
    ledger.queue("a", 0, base64_silence(16_000), 0)
    fence, actions = ledger.clear(500)
    assert actions == [ClearPlayback(), SendMark(fence)]
    assert ledger.empty


def test_no_mark_has_the_name_of_another_in_a_whole_call() -> None:
    driver = CallDriver()
    for n in range(5):
        driver.say(f"item_{n}", 500, f"resp_{n}")
        driver.run(200)
        driver.feed(SpeechStarted(0))
        driver.run(200)
    names = [action.name for action in driver.did(SendMark) if isinstance(action, SendMark)]
    assert len(set(names)) == len(names)


def test_audio_cut_into_pieces_is_still_the_same_audio() -> None:
    payload = base64_silence(4_800)
    sent = [each.payload for each in PlayoutLedger().queue("a", 0, payload, 0) if isinstance(each, PlayAudio)]
    assert b"".join(b64decode(piece) for piece in sent) == b64decode(payload)


@pytest.mark.parametrize("seed", range(30))
def test_what_was_heard_is_exact_after_our_process_stood_still(seed: int) -> None:
    """What arrives meanwhile waits, and a mark may be read before the frame that tells how late it is."""
    rng = Random(seed)
    oddities = Oddities(first_timestamp_ms=rng.randint(60, 180))
    driver = CallDriver(network=Network(0.3, 1.0, 0.3, 1.0), oddities=oddities, seed=seed)
    driver.hum(True)
    driver.begin("a")
    for number in range(40):
        driver.later(number * 25 + rng.random() * 3, lambda: driver.more("a", 200))
    driver.run(rng.randint(1_000, 1_040))
    driver.freeze(400)
    driver.run(rng.randint(1_900, 2_000))
    driver.feed(SpeechStarted(0))
    driver.run(800)
    assert abs(driver.believed_ms(a=8_000)["a"] - driver.heard_ms("a")) <= 20


@pytest.mark.parametrize(
    ("begun_ms", "after_ms"), [(1_000, 200), (1_000, 900), (1_000, 1_900), (1_000, 30_000), (0, 1_900), (0, 30_000)]
)
def test_audio_that_a_dead_network_holds_is_not_taken_for_heard(begun_ms: int, after_ms: int) -> None:
    """It was sent, and would have been played by now: nothing shows that it has arrived."""
    driver = CallDriver(network=NEAR)
    driver.run(begun_ms)
    driver.say("a", 400, "resp_1")
    driver.run(300)
    driver.hold_network(60_000)
    driver.say("b", 1_000, "resp_2")
    driver.run(after_ms)
    driver.feed(CarrierClosed(1006))
    heard_ms = {cut.item_id: cut.heard_ms for cut in driver.did(Cut) if isinstance(cut, Cut)}
    assert heard_ms["b"] == driver.heard_ms("b") == 0
    assert 0 <= driver.heard_ms("a") - heard_ms.get("a", 400) <= 200


@pytest.mark.parametrize("after_ms", [100, 400, 700])
def test_what_is_on_its_way_over_a_long_line_when_the_caller_hangs_up_was_not_heard(after_ms: int) -> None:
    """No echo has told yet how long it is."""
    driver = CallDriver(network=Network(300, 0, 300, 0))
    driver.say("a", 1_000)
    driver.run(after_ms)
    driver.feed(CarrierClosed(1000))
    heard_ms = {cut.item_id: cut.heard_ms for cut in driver.did(Cut) if isinstance(cut, Cut)}
    assert heard_ms["a"] <= driver.heard_ms("a")


def test_audio_that_a_network_held_for_a_second_is_not_taken_for_heard_before_it_was() -> None:
    driver = CallDriver(network=NEAR)
    driver.run(1_000)
    driver.hold_network(1_000)
    driver.say("a", 1_000)
    driver.run(1_100)
    driver.feed(SpeechStarted(0))
    driver.run(100)
    driver.feed(SpeechStopped(1_300))
    assert driver.believed_ms(a=1_000)["a"] <= driver.heard_ms("a") + 20


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("held_ms", [200, 400, 1_000])
@pytest.mark.parametrize("begun_ms", [50, 150, 200, 250])
@pytest.mark.parametrize("after_ms", [0, 40, 100, 200, 300])
def test_audio_that_a_network_held_in_mid_answer_is_known_by_when_it_got_through_again(
    after_ms: int, begun_ms: int, held_ms: int, seed: int
) -> None:
    """The queue ran dry. When the rest came is known to its way down, and soon, by its echoes, to a frame."""
    driver = CallDriver(network=Network(80, 20, 80, 40), seed=seed)
    driver.say("before", 600, "resp_0")
    driver.run(1_500)
    driver.begin("a")
    driver.more("a", 400)
    driver.run(begun_ms)
    driver.hold_network(held_ms)
    driver.more("a", 200)
    driver.run(60)
    driver.more("a", 600)
    driver.end("a")
    driver.run(held_ms - 60 + after_ms)
    interrupt(driver)
    too_much_ms = driver.believed_ms(a=1_200)["a"] - driver.heard_ms("a")
    assert -100 <= too_much_ms <= (80 if after_ms < 100 else 20)


@pytest.mark.parametrize("late_ms", [0, 100, 300, 900])
def test_a_stop_that_comes_late_is_dated_by_the_frames_before_it(late_ms: int) -> None:
    driver = CallDriver(network=NEAR)
    driver.run(1_000)
    driver.say("a", 4_000)
    driver.run(900)
    truth_ms = driver.heard_ms("a")
    driver.local_ms += late_ms  # he has hung up: nothing but the news of that is on its way
    driver.feed(Stop(999, "AC" + "2" * 32, "CA" + "1" * 32))
    (cut,) = (cut for cut in driver.did(Cut) if isinstance(cut, Cut))
    assert truth_ms - 100 <= cut.heard_ms <= truth_ms


@given(st.integers(0, 5_000))
def test_the_length_of_base64_is_told_without_decoding_it(length: int) -> None:
    assert base64_length(base64_silence(length)) == length


@pytest.mark.parametrize("seed", range(20))
def test_jitter_on_the_way_down_alone_does_not_pass_flushed_echoes_for_played_ones(seed: int) -> None:
    """Nothing shows it: the caller's frames come evenly, and the first few round trips happen to be alike."""
    rng = Random(seed)
    driver = CallDriver(network=Network(60, 5, 0, 30), oddities=Oddities(marks_delay_ms=50), seed=seed)
    for number in range(1, 4):
        driver.say(f"item_{number}", 3_000, f"resp_{number}")
        driver.run(rng.randint(600, 2_500))
        driver.feed(SpeechStarted(0))
        driver.run(700)
    for item_id, believed in driver.believed_ms(item_1=3_000, item_2=3_000, item_3=3_000).items():
        assert believed == pytest.approx(driver.heard_ms(item_id), abs=30 + 20 + 10), item_id
