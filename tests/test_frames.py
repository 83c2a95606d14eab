"""Text messages on the wire, beside what the WebSocket library makes and reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from phonebot.frames import WholeTexts, client_text, server_text

MAX_BYTES = 100_000
LENGTHS = (0, 1, 125, 126, 127, 65_535, 65_536, 100_000)


def text_of(length: int) -> str:
    return "é" * (length // 2) + "x" * (length % 2)


def as_sent(frame: Frame, masked: bool) -> bytes:
    if frame.rsv1:  # as it would be with an extension
        data = as_sent(Frame(frame.opcode, frame.data), masked)
        return bytes((data[0] | 0x40,)) + data[1:]
    return frame.serialize(mask=masked)


class Socket:
    """What is heard of a socket's bytes, and what the library is given of them, in order."""

    def __init__(self, masked: bool = True) -> None:
        self.masked = masked
        self.came: list[str | bytes] = []
        self._texts = WholeTexts(self.came.append, self.came.append, masked=masked, max_bytes=MAX_BYTES)

    def receive(self, data: bytes, *, pieces: int = 1) -> list[str | bytes]:
        size = max(len(data) // pieces, 1)
        for at in range(0, len(data), size):
            self._texts.receive(data[at : at + size])
        return self.came


# ------------------------------------------------------------------------------------------- made


@pytest.mark.parametrize("length", LENGTHS)
def test_a_frame_of_any_length_is_read_as_the_same_text(length: int) -> None:
    server, client = Protocol(SERVER), Protocol(CLIENT)
    server.receive_data(client_text(text_of(length)))
    client.receive_data(server_text(text_of(length)))
    expected = [Frame(Opcode.TEXT, text_of(length).encode(), fin=True)]
    assert server.events_received() == client.events_received() == expected


def test_no_mask_is_used_twice_in_a_row_nor_after_the_pool_was_filled_again() -> None:
    masks = [client_text("")[2:6] for _ in range(3_000)]
    assert len(set(masks)) > 2_990  # of 2**32, chance repeats hardly one


# ------------------------------------------------------------------------------------------- found


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("pieces", [1, 2, 7, 100_000])
@pytest.mark.parametrize("length", [each for each in LENGTHS if each])
def test_a_text_of_any_length_is_heard_however_it_is_cut(length: int, pieces: int, masked: bool) -> None:
    text = text_of(length)
    sent = as_sent(Frame(Opcode.TEXT, text.encode()), masked)
    if length > 1_000 and pieces == 100_000:
        pieces = 977
    assert Socket(masked).receive(sent + sent, pieces=pieces) == [text, text]


def test_an_empty_text_is_one() -> None:
    assert Socket().receive(as_sent(Frame(Opcode.TEXT, b""), True)) == [""]


def test_a_ping_goes_to_the_library_and_texts_are_heard_on() -> None:
    text, ping = as_sent(Frame(Opcode.TEXT, b"a"), True), as_sent(Frame(Opcode.PING, b"p"), True)
    assert Socket().receive(text + ping + text, pieces=5) == ["a", ping, "a"]


OTHERS = {
    "a close": Frame(Opcode.CLOSE, Close(1000, "").serialize()),
    "bytes": Frame(Opcode.BINARY, b"abc"),
    "the begin of a message in fragments": Frame(Opcode.TEXT, b"abc", fin=False),
    "the end of one": Frame(Opcode.CONT, b"abc"),
    "a compressed text": Frame(Opcode.TEXT, b"abc", rsv1=True),
    "what is not UTF-8": Frame(Opcode.TEXT, b"\xff\xfe"),
    "a long text": Frame(Opcode.TEXT, b"a" * (MAX_BYTES + 1)),
}


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("name", OTHERS)
def test_from_there_on_all_goes_to_the_library_with(name: str, masked: bool) -> None:
    text, other = as_sent(Frame(Opcode.TEXT, b"a"), masked), as_sent(OTHERS[name], masked)
    came = Socket(masked).receive(text + other + text)
    assert came == ["a", other + text]
    socket = Socket(masked)
    socket.receive(text + other + text, pieces=11)
    assert socket.came[0] == "a"
    assert b"".join(each for each in socket.came[1:] if isinstance(each, bytes)) == other + text


@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_that_is_masked_as_it_must_not_be_goes_to_the_library(masked: bool) -> None:
    wrong = as_sent(Frame(Opcode.TEXT, b"a"), not masked)
    assert Socket(masked).receive(wrong) == [wrong]


def test_a_control_frame_longer_than_they_may_be_goes_to_the_library() -> None:
    wrong = bytes((0x89, 0xFE, 0, 200)) + bytes(204)
    assert Socket().receive(wrong) == [wrong]


frames = st.lists(
    st.one_of(
        st.text(max_size=200).map(lambda text: Frame(Opcode.TEXT, text.encode())),
        st.binary(max_size=125).map(lambda data: Frame(Opcode.PING, data)),
        st.sampled_from(list(OTHERS.values())),
    ),
    max_size=8,
)


@given(frames, st.lists(st.integers(1, 400), max_size=30), st.booleans())
def test_what_is_heard_and_what_the_library_makes_of_the_rest_is_all_there_was(
    sent: list[Frame], cuts: list[int], masked: bool
) -> None:
    """However the bytes are cut: the same as a library that gets all of them makes of them."""
    data = b"".join(as_sent(frame, masked) for frame in sent)
    whole, rest = Protocol(SERVER if masked else CLIENT), Protocol(SERVER if masked else CLIENT)
    whole.receive_data(data)
    expected = [event for event in whole.events_received() if isinstance(event, Frame)]
    got: list[Frame] = []

    def library(part: bytes) -> None:
        rest.receive_data(part)
        got.extend(event for event in rest.events_received() if isinstance(event, Frame))

    texts = WholeTexts(
        lambda text: got.append(Frame(Opcode.TEXT, text.encode())), library, masked=masked, max_bytes=MAX_BYTES
    )
    at = 0
    for cut in (*cuts, len(data)):
        if data[at : at + cut]:
            texts.receive(data[at : at + cut])
        at += cut
    assert got == expected
    assert (rest.close_sent and rest.close_sent.code) == (whole.close_sent and whole.close_sent.code)


def test_what_the_listener_raises_is_raised_and_the_rest_of_that_piece_is_gone() -> None:
    def fails(text: str) -> None:
        raise ValueError(text)

    texts = WholeTexts(fails, fails, masked=False, max_bytes=MAX_BYTES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one"):
        texts.receive(server_text("one") + server_text("two"))
    with pytest.raises(ValueError, match="three"):
        texts.receive(server_text("three"))
