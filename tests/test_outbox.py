"""What waits to be sent: what a clear takes with it, and what happens at each bound."""

import asyncio
from base64 import b64encode

import pytest

from phonebot.outbox import MAX_CALLER_MS, MAX_COMMANDS, CarrierOutbox, ModelOutbox
from phonebot.realtime.events import BYTES_PER_MS, AppendAudio, AudioFormat, Command, DeleteItem


def audio(ms: int, number: int = 0, format_: AudioFormat = "pcmu") -> AppendAudio:
    return AppendAudio(b64encode(bytes([number]) * ms * BYTES_PER_MS[format_]).decode())


async def all_of(box: ModelOutbox) -> list[Command]:
    return [await box.get() for _ in iter(lambda: box.empty, True)]


# ---------------------------------------------------------------------------------- for the carrier


async def test_what_waits_for_the_carrier_goes_out_in_order_and_the_close_behind_it() -> None:
    box = CarrierOutbox()
    box.put_audio("audio")
    box.put("mark")
    box.close(1011)
    box.close(1000)
    assert [box.take() for _ in range(3)] == ["audio", "mark", 1011]


async def test_a_clear_takes_the_audio_that_waits_and_leaves_the_marks() -> None:
    box = CarrierOutbox()
    for number in range(3):
        box.put_audio(f"audio {number}")
        box.put(f"mark {number}")
    assert box.take() == "audio 0"
    box.put_clear("clear")
    box.put("fence")
    box.put_audio("new audio")
    assert [box.take() for _ in range(6)] == ["mark 0", "mark 1", "mark 2", "clear", "fence", "new audio"]


async def test_an_empty_box_is_waited_for() -> None:
    box = CarrierOutbox()
    assert box.take() is None
    first = asyncio.create_task(box.filled())
    await asyncio.sleep(0)
    assert not first.done()
    box.put("mark")
    await first
    assert box.take() == "mark"
    second = asyncio.create_task(box.filled())
    await asyncio.sleep(0)
    assert not second.done()
    box.close(1000)
    await second
    assert box.take() == 1000


@pytest.mark.parametrize("message", ["mark", None])
async def test_a_box_is_idle_while_its_reader_waits_until_the_next_message(
    message: str | None,
) -> None:
    box = CarrierOutbox()
    idle = [box.idle]  # nobody reads yet
    reader = asyncio.create_task(box.filled())
    await asyncio.sleep(0)
    idle.append(box.idle)
    if message:
        box.put(message)
    else:
        box.close(1000)
    idle.append(box.idle)
    await reader
    idle.append(box.idle)
    assert idle == [False, True, False, False]


# ---------------------------------------------------------------------------------- for the model


@pytest.mark.parametrize("format_", ["pcmu", "pcma", "pcm24k"])
@pytest.mark.parametrize("frame_ms", [10, 20, 100])
async def test_two_seconds_of_the_newest_audio_wait_whatever_their_format_and_length(
    format_: AudioFormat, frame_ms: int
) -> None:
    box = ModelOutbox(format_)
    fitting = MAX_CALLER_MS // frame_ms
    frames = [audio(frame_ms, number % 256, format_) for number in range(fitting + 3)]
    for number, frame in enumerate(frames):
        box.put(frame)
        assert box.dropped == max(0, number + 1 - fitting)
    assert box.take_dropped() == 3
    assert box.dropped == 0
    assert await all_of(box) == frames[3:]


async def test_audio_that_is_longer_than_the_bound_waits_alone() -> None:
    box = ModelOutbox()
    box.put(audio(20))
    long = audio(MAX_CALLER_MS + 1_000)
    box.put(long)
    assert (box.take_dropped(), await all_of(box)) == (1, [long])


async def test_what_was_kept_for_a_session_waits_whole_and_as_much_as_ever_behind_it() -> None:
    box = ModelOutbox()
    kept = [audio(1_000, number) for number in range(10)]
    with box.keeping():
        for each in kept:
            box.put(each)
    later = [audio(1_000, number) for number in range(10, 13)]
    for each in later:
        box.put(each)
    assert (box.take_dropped(), await all_of(box)) == (1, [*kept[1:], *later])
    caught_up = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    for each in later:
        box.put(each)
    assert box.take_dropped() == 1
    assert [await caught_up, *await all_of(box)] == later[1:]


async def test_dropped_audio_takes_no_command_with_it() -> None:
    box = ModelOutbox()
    commands = [DeleteItem(f"item_{number}") for number in range(3)]
    frames = [audio(1_000, number) for number in range(3)]
    for command, frame in zip(commands, frames, strict=True):
        box.put(command)
        box.put(frame)
    assert await all_of(box) == [commands[0], commands[1], frames[1], commands[2], frames[2]]


async def test_a_command_too_many_makes_the_box_overfull_and_audio_does_not_count() -> None:
    box = ModelOutbox()
    was_overfull = []
    for number in range(MAX_COMMANDS + 1):
        box.put(audio(20))
        box.put(DeleteItem(f"item_{number}"))
        was_overfull.append(box.overfull)
    assert was_overfull == [False] * MAX_COMMANDS + [True]


async def test_a_box_is_idle_while_its_reader_waits() -> None:
    box = ModelOutbox()
    was_idle = [box.idle]
    taken = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    was_idle.append(box.idle)
    box.put(DeleteItem("item_1"))
    was_idle.append(box.idle)
    assert was_idle == [False, True, False]
    assert await taken == DeleteItem("item_1")
