"""Whole frames are made of audio that comes in pieces of any length."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.audio.g711 import FRAME_BYTES
from phonebot.call.framing import PIECE_CHARACTERS, Framer, Frames


def b64(audio: bytes) -> str:
    return b64encode(audio).decode()


def decoded(frames: Frames | None) -> bytes:
    return b64decode(frames.payload) if frames else b""


def test_whole_frames_pass_as_they_are() -> None:
    payload = b64(bytes(2 * FRAME_BYTES))
    frames = Framer().feed("a", 320, payload)
    assert frames == Frames("a", 320, payload, 320)
    assert frames is not None
    assert frames.payload is payload


def test_what_is_left_over_goes_before_what_comes_next() -> None:
    framer = Framer()
    assert framer.feed("a", 0, b64(b"a" * 100)) is None
    assert framer.feed("a", 100, b64(b"b" * 100)) == Frames("a", 0, b64(b"a" * 100 + b"b" * 60), 160)
    assert framer.feed("a", 200, b64(b"c" * 120)) == Frames("a", 160, b64(b"b" * 40 + b"c" * 120), 160)
    assert framer.finish() is None


def test_the_last_frame_of_an_item_is_filled_with_silence() -> None:
    framer = Framer()
    framer.feed("a", 0, b64(b"a" * 170))
    assert framer.finish() == Frames("a", 160, b64(b"a" * 10 + b"\xff" * 150), 10)
    assert framer.finish() is None


def test_of_an_item_that_was_cancelled_nothing_is_left() -> None:
    framer = Framer()
    framer.feed("a", 0, b64(b"a" * 10))
    assert framer.feed("b", 0, b64(b"b" * 160)) == Frames("b", 0, b64(b"b" * 160), 160)
    framer.feed("b", 160, b64(b"b" * 10))
    framer.drop()
    assert framer.finish() is None


@given(st.lists(st.integers(0, 1_000), max_size=20))
def test_nothing_is_lost_and_nothing_twice_whatever_the_lengths(lengths: list[int]) -> None:
    framer, start, audio, made, positions = Framer(), 0, b"", b"", []
    for number, length in enumerate(lengths):
        piece = bytes([number]) * length
        frames = framer.feed("a", start, b64(piece))
        start, audio, made = start + length, audio + piece, made + decoded(frames)
        positions += [frames.item_start] if frames else []
        assert frames is None or not frames.size % FRAME_BYTES
    last = framer.finish()
    made += decoded(last)
    assert made == audio + b"\xff" * (-len(audio) % FRAME_BYTES)
    assert positions == sorted(set(positions))


def test_an_item_by_the_same_name_that_begins_anew_has_nothing_of_the_one_before() -> None:
    framer = Framer()
    assert framer.feed("a", 0, b64(b"a" * 10)) is None
    assert framer.feed("a", 0, b64(b"b" * 170)) == Frames("a", 0, b64(b"b" * 160), 160)


@pytest.mark.parametrize("first", [(), (160, 320, 640)])
@given(frames=st.integers(1, 60), fill=st.integers(0, 159))
def test_pieces_are_whole_frames_of_at_most_180_ms_and_together_the_whole(
    first: tuple[int, ...], frames: int, fill: int
) -> None:
    audio = bytes(range(160)) * frames
    whole = Frames("a", 480, b64(audio), len(audio) - fill)
    pieces = list(whole.pieces(first))
    assert b"".join(decoded(piece) for piece in pieces) == audio
    assert sum(piece.length for piece in pieces) == whole.length
    assert all(len(piece.payload) <= PIECE_CHARACTERS and not piece.size % FRAME_BYTES for piece in pieces)
    starts = [480 + sum(piece.size for piece in pieces[:n]) for n in range(len(pieces))]
    assert [piece.item_start for piece in pieces] == starts


def test_behind_what_was_heard_the_rest_follows_with_its_filling() -> None:
    frames = Frames("a", 320, b64(b"a" * 160 + b"b" * 10 + b"\xff" * 150), 170)
    assert frames.behind(0) is frames
    assert frames.behind(480) == Frames("a", 480, b64(b"b" * 10 + b"\xff" * 150), 10)
    assert frames.behind(490) is None
