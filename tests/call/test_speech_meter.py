"""How much speech there was lately."""

from driver import BYTES_PER_MS, recorded

from phonebot.audio.vad import ABOVE_NOISE_DB
from phonebot.call.speech_meter import SpeechMeter

SILENCE = b"\xff" * 160
WORDS = recorded("demo/hours")[473 * BYTES_PER_MS :]  # from the first word on


def hear(meter: SpeechMeter, audio: bytes, from_ms: int) -> int:
    """Frame by frame; the ms of it that were heard when there was enough, or all."""
    for at in range(0, len(audio), 160):
        meter.hear(audio[at : at + 160], from_ms + at // BYTES_PER_MS)
        if meter.reached:
            return at // BYTES_PER_MS + 20
    return len(audio) // BYTES_PER_MS


def meter_of(min_speech_ms: int) -> SpeechMeter:
    meter = SpeechMeter(min_speech_ms, ABOVE_NOISE_DB)
    hear(meter, SILENCE * 50, 0)
    return meter


def test_silence_is_no_speech() -> None:
    assert not meter_of(20).reached


def test_speech_is_enough_when_it_has_lasted_for_the_minimum() -> None:
    assert 300 <= hear(meter_of(300), WORDS, 1_000) <= 400


def test_frames_of_any_length_are_counted_by_their_length() -> None:
    meter = meter_of(300)
    meter.hear(WORDS[: 500 * BYTES_PER_MS], 1_000)
    assert meter.reached


def test_speech_on_both_sides_of_a_gap_does_not_add_up() -> None:
    meter = meter_of(300)
    hear(meter, WORDS[: 200 * BYTES_PER_MS], 1_000)
    hear(meter, WORDS[200 * BYTES_PER_MS : 400 * BYTES_PER_MS], 1_400)
    assert not meter.reached


def test_what_has_been_judged_does_not_count_again() -> None:
    meter = meter_of(300)
    hear(meter, WORDS[: 280 * BYTES_PER_MS], 1_000)
    meter.forget()
    hear(meter, WORDS[280 * BYTES_PER_MS : 480 * BYTES_PER_MS], 1_280)
    assert not meter.reached
