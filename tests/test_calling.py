"""The caller of a recorded call: he says and presses the same at the same moments."""

from base64 import b64encode
from pathlib import Path

import pytest

from phonebot.call.inputs import Input
from phonebot.call.plan import CallPlan
from phonebot.calling import MAX_RECORDED_MS, caller_of_log
from phonebot.carrier.messages import Dtmf, Media
from phonebot.errors import SettingsError
from phonebot.realtime.events import Session
from phonebot.replay.log import About
from phonebot.replay.recorder import Writer
from phonebot.simulator.caller import KEY_SPACING_MS
from phonebot.simulator.carrier import FRAME_MS, SILENCE

QUIET_NOISE = b"\x7d\xfd" * 80


def media(at_ms: int, audio: bytes, track: str = "inbound") -> tuple[int, Media]:
    return at_ms, Media(1, 1, at_ms, b64encode(audio).decode(), track)


def sound(at_ms: int) -> bytes:
    """A loud frame, whose samples tell its moment."""
    return bytes([0x20 + at_ms // FRAME_MS % 64]) * 160


def sounds(first_ms: int, last_ms: int) -> list[bytes]:
    return [sound(at_ms) for at_ms in range(first_ms, last_ms, FRAME_MS)]


def loud(first_ms: int, last_ms: int) -> list[tuple[int, Media]]:
    return [media(at_ms, sound(at_ms)) for at_ms in range(first_ms, last_ms, FRAME_MS)]


def pause(first_ms: int, last_ms: int) -> list[tuple[int, Media]]:
    return [media(at_ms, QUIET_NOISE) for at_ms in range(first_ms, last_ms, FRAME_MS)]


async def replayed(folder: Path, *inputs: tuple[int, Input]) -> tuple[list[bytes], dict[int, str]]:
    """What the caller of a log with these inputs says in each frame, and at which moments he presses which keys."""
    async with Writer(folder) as writer:
        recorder = writer.recorder(About(call_sid="CA1"))
        recorder.plan(CallPlan(Session()))
        for now, received in inputs:
            recorder.happened(now, received, [])
        recorder.close("caller_hung_up")
    (log,) = folder.iterdir()
    caller = caller_of_log(log)
    frames: list[bytes] = []
    keys: dict[int, str] = {}
    while not (said := caller.hear(SILENCE)).hangs_up:
        if said.key:
            keys[len(frames) * FRAME_MS] = said.key
        frames.append(said.audio)
    return frames, keys


async def test_frames_that_did_not_come_leave_a_pause_of_their_length(tmp_path: Path) -> None:
    frames, _ = await replayed(tmp_path, *loud(5_000, 5_100), *loud(6_000, 6_100))
    assert frames == [*sounds(5_000, 5_100), *[SILENCE] * 45, *sounds(6_000, 6_100)]


async def test_frames_that_came_late_are_said_in_time(tmp_path: Path) -> None:
    """The carrier's stamps count, not the moment of arrival: the gap before them is not theirs."""
    first, second, third = (received for _, received in loud(0, 60))
    frames, _ = await replayed(tmp_path, (0, first), (500, second), (500, third))
    assert frames == sounds(0, 60)


async def test_a_frame_out_of_order_is_said_at_its_place(tmp_path: Path) -> None:
    first, second, third = loud(0, 60)
    frames, _ = await replayed(tmp_path, first, third, second)
    assert frames == sounds(0, 60)


async def test_a_key_is_pressed_at_its_moment_and_the_pause_behind_it_is_shortened(tmp_path: Path) -> None:
    inputs: list[tuple[int, Input]] = [*loud(0, 400), (410, Dtmf(1, "5")), *pause(400, 1_000), *loud(1_000, 1_400)]
    frames, keys = await replayed(tmp_path, *inputs)
    assert keys == {400: "5"}
    assert frames[:20] == sounds(0, 400)
    assert frames[50:] == sounds(1_000, 1_400)


async def test_a_key_in_a_gap_is_pressed_when_it_came(tmp_path: Path) -> None:
    pressed = [(1_000, Dtmf(1, "1")), (1_500, Dtmf(2, "2"))]
    frames, keys = await replayed(tmp_path, *loud(0, 400), *pressed, *loud(2_000, 2_400))
    assert keys == {1_000: "1", 1_500: "2"}
    assert frames[100:] == sounds(2_000, 2_400)


async def test_a_key_is_never_later_than_the_frame_that_came_after_it(tmp_path: Path) -> None:
    """Call time runs ahead of the stamps of frames that are late."""
    _, keys = await replayed(tmp_path, *loud(0, 400), (460, Dtmf(1, "9")), *pause(400, 800))
    assert keys == {400: "9"}


async def test_a_key_pressed_while_he_spoke_makes_him_late_until_his_next_pause(tmp_path: Path) -> None:
    inputs: list[tuple[int, Input]] = [
        *loud(0, 200),
        (200, Dtmf(1, "#")),
        *loud(200, 600),
        *pause(600, 1_000),
        *loud(1_000, 1_200),
    ]
    frames, keys = await replayed(tmp_path, *inputs)
    assert keys == {200: "#"}
    late = KEY_SPACING_MS // FRAME_MS
    assert frames[10 + late : 30 + late] == sounds(200, 600)
    assert frames[50:] == sounds(1_000, 1_200)


async def test_keys_before_and_after_all_audio_are_pressed(tmp_path: Path) -> None:
    frames, keys = await replayed(
        tmp_path, (900, Dtmf(1, "1")), *loud(1_000, 1_400), (2_000, Dtmf(2, "2")), (2_500, Dtmf(3, "3"))
    )
    late = KEY_SPACING_MS // FRAME_MS
    assert keys == {0: "1", 1_000: "2", 1_500: "3"}
    assert frames[late : late + 20] == sounds(1_000, 1_400)


async def test_what_is_not_the_callers_is_not_said(tmp_path: Path) -> None:
    frames, _ = await replayed(tmp_path, *loud(0, 40), media(40, sound(40), "outbound"))
    assert frames == sounds(0, 40)


@pytest.mark.parametrize("late", [media(MAX_RECORDED_MS + 1, SILENCE), (MAX_RECORDED_MS + 1, Dtmf(2, "1"))])
async def test_a_log_longer_than_any_call_is_refused(tmp_path: Path, late: tuple[int, Input]) -> None:
    with pytest.raises(SettingsError, match="is heard after 14400001 ms; a call lasts 14400000 ms at most"):
        await replayed(tmp_path, media(0, SILENCE), late)
