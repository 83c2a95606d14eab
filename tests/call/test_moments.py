"""
What a call does about an interruption, for each moment and each oddity of a carrier: the whole list of actions.

The network takes 40 ms each way. Where the fence comes back the model is told to the ms what the carrier played.
"""

import pytest
from driver import CallDriver

from phonebot.call.actions import Action, BargeIn, ClearPlayback, Cut, Floor, Line, SendMark, Tell
from phonebot.call.plan import CallPlan, CarrierTraits
from phonebot.call.turns import Turn
from phonebot.realtime.events import DeleteItem, Session, SpeechStarted, TruncateItem, TurnDetection
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

NEAR = Network(40, 0, 40, 0)
SESSION = Session(turn_detection=TurnDetection("server_vad"))


CARRIERS = {
    "doubles its echoes": (Oddities(marks_doubled=1.0), CarrierTraits()),
    "delays its echoes": (Oddities(marks_delay_ms=100), CarrierTraits()),
    "echoes no mark that it cleared": (Oddities(clear_echoes=False), CarrierTraits()),
    "sends no silence": (Oddities(silence_suppressed=True), CarrierTraits()),
    "begins its stamps early": (Oddities(first_timestamp_ms=60), CarrierTraits()),
    "begins its stamps late": (Oddities(first_timestamp_ms=180), CarrierTraits()),
    "stamps unevenly": (Oddities(timestamp_jitter_ms=3), CarrierTraits()),
    "has a fast clock": (Oddities(drift_ppm=200), CarrierTraits()),
    "has a slow clock": (Oddities(drift_ppm=-200), CarrierTraits()),
    "echoes with a lag that was measured": (Oddities(marks_lag_ms=80), CarrierTraits(mark_lag_ms=80)),
}


def interrupted(driver: CallDriver) -> list[Action]:
    """What the call does when the caller speaks now, and in the second after. Names of marks are left out."""
    actions = [*driver.feed(SpeechStarted(0)), *driver.run(1_000)]
    return [SendMark("") if isinstance(action, SendMark) else action for action in actions]


def a_call(oddities: Oddities | None = None, traits: CarrierTraits | None = None) -> CallDriver:
    return CallDriver(CallPlan(SESSION, carrier=traits or CarrierTraits()), network=NEAR, oddities=oddities)


def cut(driver: CallDriver, heard_ms: int, of_ms: int, unheard_ms: int, said: str = "") -> list[Action]:
    """All there was to do where one item is cut, which has no text or `said` is left of it."""
    assert driver.heard_ms("a") == heard_ms
    return [
        ClearPlayback(),
        SendMark(""),
        BargeIn(unheard_ms),
        Floor(Turn.CALLER),
        Tell(TruncateItem("a", 0, heard_ms, "truncate-1")),
        Cut("a", heard_ms, of_ms, "fence"),
        Line("bot", "a", said, cut=True, heard_ms=heard_ms),
    ]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_at_a_carrier_that_is_odd_the_cut_is_exact(carrier: str) -> None:
    driver = a_call(*CARRIERS[carrier])
    driver.say("a", 2_000)
    driver.run(900)
    driver.hum(True)
    driver.run(200)
    assert interrupted(driver) == cut(driver, heard_ms=1_100, of_ms=2_000, unheard_ms=900)


def test_at_a_carrier_that_begins_to_play_late_the_cut_is_exact_in_the_first_answer_already() -> None:
    driver = a_call(Oddities(start_buffer_ms=150))
    driver.say("a", 2_000)
    driver.run(1_100)
    assert interrupted(driver) == cut(driver, heard_ms=940, of_ms=2_000, unheard_ms=1_060)


def test_at_a_carrier_that_echoes_in_bursts_the_cut_is_right_to_half_the_wait() -> None:
    driver = a_call(Oddities(marks_burst_ms=60), CarrierTraits(mark_spread_ms=60))
    driver.say("a", 2_000)
    driver.run(1_100)
    (settled,) = [action for action in interrupted(driver) if isinstance(action, Cut)]
    assert abs(settled.heard_ms - driver.heard_ms("a")) <= 30


def test_at_a_carrier_that_loses_every_mark_the_cut_is_a_frame_low_after_the_timeout() -> None:
    driver = a_call(Oddities(marks_lost=1.0))
    driver.say("a", 2_000)
    driver.run(1_100)
    actions = interrupted(driver)
    assert driver.heard_ms("a") == 1_100
    assert actions[-2:] == [
        Cut("a", 1_080, 2_000, "timeout"),
        Line("bot", "a", "", cut=True, heard_ms=1_080),
    ]


def test_before_the_first_audio_there_is_nothing_to_clear() -> None:
    driver = a_call()
    driver.begin("a")
    driver.run(300)
    assert interrupted(driver) == [Cut("a", 0, 0, "at_once"), Floor(Turn.CALLER)]


def test_while_the_first_audio_is_on_its_way_what_plays_until_the_clear_arrives_counts() -> None:
    driver = a_call()
    driver.say("a", 2_000)
    driver.run(75)
    assert interrupted(driver) == cut(driver, heard_ms=80, of_ms=2_000, unheard_ms=1_920)


def test_in_the_first_frames_the_cut_is_exact() -> None:
    driver = a_call()
    driver.say("a", 2_000)
    driver.run(130)
    assert interrupted(driver) == cut(driver, heard_ms=140, of_ms=2_000, unheard_ms=1_860)


def test_in_mid_item_the_text_ends_with_the_word_that_was_heard_last() -> None:
    driver = a_call()
    driver.say("a", 2_000, text="one two three four")
    driver.run(1_000)
    actions = interrupted(driver)
    assert actions == cut(driver, heard_ms=1_000, of_ms=2_000, unheard_ms=1_000, said="one two")


def test_at_an_items_end_it_is_left_alone_when_its_last_frame_was_heard() -> None:
    driver = a_call()
    driver.say("a", 1_000, text="one two")
    driver.run(1_000)
    assert interrupted(driver) == [
        ClearPlayback(),
        SendMark(""),
        BargeIn(0),
        Floor(Turn.CALLER),
        Line("bot", "a", "one two", heard_ms=1_000),
    ]


def test_after_everything_was_played_the_model_is_told_nothing() -> None:
    driver = a_call()
    driver.say("a", 1_000)
    driver.run(3_000)
    assert interrupted(driver) == [Floor(Turn.CALLER)]


def test_of_two_responses_in_the_queue_the_one_never_heard_is_removed() -> None:
    driver = a_call()
    driver.say("a", 1_000, "resp_1")
    driver.say("b", 1_000, "resp_2")
    driver.run(500)
    assert interrupted(driver) == [
        *cut(driver, heard_ms=500, of_ms=1_000, unheard_ms=1_500),
        Tell(DeleteItem("b")),
        Cut("b", 0, 1_000, "fence"),
    ]


def test_interrupted_twice_within_the_round_trip_it_is_cut_once() -> None:
    driver = a_call()
    driver.say("a", 2_000)
    driver.run(500)
    driver.feed(SpeechStarted(0))
    driver.run(30)
    again = interrupted(driver)
    assert again == cut(driver, heard_ms=500, of_ms=2_000, unheard_ms=1_500)[-3:]


@pytest.mark.parametrize("pace_ms", [10, 2_000])
def test_deltas_of_any_length_make_the_same_cut(pace_ms: int) -> None:
    driver = a_call()
    driver.say("a", 2_000, delta_ms=pace_ms)
    driver.run(1_100)
    assert interrupted(driver) == cut(driver, heard_ms=1_100, of_ms=2_000, unheard_ms=900)


def test_a_model_that_stalls_in_mid_item_is_cut_where_it_went_on() -> None:
    driver = a_call()
    driver.begin("a")
    driver.more("a", 400)
    driver.run(1_000)
    driver.more("a", 1_600)
    driver.run(500)
    assert interrupted(driver) == cut(driver, heard_ms=900, of_ms=2_000, unheard_ms=1_100)[:-1]
