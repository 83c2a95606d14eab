"""Frames of ours, read by the WebSocket library's server side."""

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol

from phonebot.realtime.frame import ClientFrames


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_frame_of_any_length_is_read_as_the_same_text(length: int) -> None:
    text = "é" * (length // 2) + "x" * (length % 2)
    server = Protocol(SERVER)
    server.receive_data(ClientFrames().text(text))
    assert server.events_received() == [Frame(Opcode.TEXT, text.encode(), fin=True)]


def test_no_mask_is_used_twice_in_a_row_nor_after_the_pool_was_filled_again() -> None:
    frames = ClientFrames()
    masks = [frames.text("")[2:6] for _ in range(3_000)]
    assert len(set(masks)) > 2_990  # of 2**32, chance repeats hardly one
