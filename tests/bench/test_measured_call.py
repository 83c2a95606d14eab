"""What is read from the carrier of a measured call, and the person who listens in it."""

import asyncio
from base64 import b64decode

import pytest

from phonebot.bench.listener import SPEECH, Listener
from phonebot.bench.measured_call import ghost_ms
from phonebot.bench.tones import tone
from phonebot.simulator.carrier import SILENCE, PlayedFrame


def frame(at_ms: float, item: int, ms: int = 20) -> PlayedFrame:
    return PlayedFrame(at_ms, b64decode(tone(item, ms)))


def test_what_was_in_flight_at_the_clear_is_heard_and_what_begins_later_is_a_ghost() -> None:
    frames = [frame(1000, 0), frame(1020, 0), frame(1040, 0, ms=5)]

    assert ghost_ms(frames, [(1010.0, 1)]) == 25
    assert ghost_ms(frames, [(1025.0, 1)]) == 5
    assert ghost_ms(frames, [(1050.0, 1)]) == 0


def test_an_item_that_begins_after_the_clear_is_no_ghost() -> None:
    assert ghost_ms([frame(1000, 0), frame(2000, 1)], [(1010.0, 1)]) == 0


def test_audio_is_a_ghost_once_however_many_clears_it_outlived() -> None:
    assert ghost_ms([frame(3000, 0), frame(3020, 1)], [(1000.0, 1), (2000.0, 2)]) == 40


def test_without_a_clear_there_are_no_ghosts() -> None:
    assert ghost_ms([frame(1000, 0)], []) == 0


async def test_a_listener_counts_each_item_to_the_ms() -> None:
    listener = Listener()
    waiting = asyncio.create_task(listener.until_heard(1, 30))
    for heard in (frame(0, 0).audio, SILENCE, frame(20, 1).audio, frame(40, 1, 9).audio + SILENCE[72:]):
        listener.hear(heard)
        await asyncio.sleep(0)
    assert not waiting.done(), "29 ms were heard"

    listener.hear(frame(60, 1).audio)
    await waiting


@pytest.mark.parametrize(("ms", "frames"), [(20, 1), (60, 3)])
def test_a_listener_speaks_as_long_as_told(ms: int, frames: int) -> None:
    listener = Listener()
    assert listener.hear(SILENCE).audio == SILENCE

    listener.speak(ms)

    said = [listener.hear(SILENCE).audio for _ in range(frames + 2)]
    assert said == [SPEECH] * frames + [SILENCE] * 2


def test_a_listener_hangs_up_when_told() -> None:
    listener = Listener()
    assert not listener.hear(SILENCE).hangs_up

    listener.hang_up()

    assert listener.hear(SILENCE).hangs_up
