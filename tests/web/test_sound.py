"""What a call sounds like for whoever listens in: both sides in step, and what was not heard left out."""

from base64 import b64encode

from phonebot.call.actions import ClearPlayback, PlayAudio, SendMark, StartRecording
from phonebot.call.inputs import Tick
from phonebot.carrier.messages import Mark, Media
from phonebot.web import sound as sounds
from phonebot.web.sound import SILENCE, Sound, Tap, Unplayed

FRAME = 160


def media(n: int, byte: bytes = b"c", timestamp_ms: int | None = None) -> Media:
    at_ms = 20 * n if timestamp_ms is None else timestamp_ms
    return Media(n + 1, n, at_ms, b64encode(byte * FRAME).decode())


def play(byte: bytes, frames: int) -> PlayAudio:
    return PlayAudio(b64encode(byte * FRAME * frames).decode())


async def blocks(tap: Tap) -> list[Sound]:
    tap.close()
    return [block async for block in tap]


async def test_with_each_frame_of_the_caller_one_of_the_bots_is_heard() -> None:
    tap = Tap(b"", 40)
    tap.happened(20, media(1), [])
    tap.happened(25, Tick(), [play(b"b", 2), SendMark("0:1")])
    for n in (2, 3, 4):
        tap.happened(20 * n, media(n), [])
    assert await blocks(tap) == [
        Sound(b"c" * 2 * FRAME, SILENCE * FRAME + b"b" * FRAME),
        Sound(b"c" * 2 * FRAME, b"b" * FRAME + SILENCE * FRAME),
    ]


async def test_what_is_cleared_is_not_heard() -> None:
    tap = Tap(b"", 20)
    tap.happened(5, Tick(), [play(b"b", 50)])
    tap.happened(20, media(1), [])
    tap.happened(30, Tick(), [ClearPlayback(), play(b"d", 1)])
    for n in (2, 3):
        tap.happened(20 * n, media(n), [])
    assert [block.bot[:1] for block in await blocks(tap)] == [b"b", b"d", SILENCE]


async def test_the_bot_was_heard_while_frames_of_the_caller_were_lost() -> None:
    tap = Tap(b"a" * FRAME + b"b" * FRAME + b"d" * FRAME, 20)
    tap.happened(20, media(1), [])
    tap.happened(60, media(3), [])
    first, then = await blocks(tap)
    assert first == Sound(b"c" * FRAME, b"a" * FRAME)
    assert then == Sound(SILENCE * FRAME + b"c" * FRAME, b"b" * FRAME + b"d" * FRAME)


async def test_a_carriers_nonsense_changes_nothing() -> None:
    tap = Tap(b"", 20)
    tap.happened(20, Media(2, 1, 20, "AAA"), [])
    tap.happened(40, media(2, timestamp_ms=10**9), [])
    assert [len(block.caller) for block in await blocks(tap)] == [FRAME]


async def test_of_what_a_listener_does_not_take_the_oldest_is_left_out() -> None:
    tap = Tap(b"", 20)
    count = sounds.MAX_WAITING_MS // 20
    for n in range(count + 5):
        tap.happened(20 * n, media(n, bytes([n % 250])), [])
    waiting = await blocks(tap)
    assert len(waiting) == count
    assert waiting[0].caller[:1] == bytes([5])


def test_who_comes_late_hears_what_is_still_to_be_played() -> None:
    unplayed = Unplayed()
    unplayed.happened(Tick(), [play(b"a", 1), SendMark("0:1"), play(b"b", 1), SendMark("0:2")])
    assert unplayed.audio() == b"a" * FRAME + b"b" * FRAME
    unplayed.happened(Mark(9, "0:1"), [])
    unplayed.happened(Mark(9, "another"), [])
    assert unplayed.audio() == b"b" * FRAME
    unplayed.happened(Tick(), [ClearPlayback(), SendMark("fence"), play(b"d", 1)])
    assert unplayed.audio() == b"d" * FRAME


async def test_before_the_caller_was_told_that_he_is_recorded_it_is_silence() -> None:
    tap = Tap(b"n" * FRAME, 20, may_be_heard=False)
    tap.happened(15, Tick(), [play(b"n", 1)])
    tap.happened(20, media(1), [])
    tap.happened(30, Tick(), [StartRecording(), play(b"g", 1)])
    tap.happened(40, media(2), [])
    assert await blocks(tap) == [
        Sound(SILENCE * FRAME, SILENCE * FRAME),
        Sound(b"c" * FRAME, b"g" * FRAME),
    ]
