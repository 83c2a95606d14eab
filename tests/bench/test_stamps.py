"""Stamps come through whatever a server may do to audio on its way, and only a window's own are counted."""

from base64 import b64decode, b64encode

import pytest

from phonebot.bench.stamps import Tally, stamped, stamps


@pytest.mark.parametrize("size_bytes", [12, 160, 1600])
def test_stamped_audio_has_the_size_asked_for_and_tells_its_time(size_bytes: int) -> None:
    payload = stamped(size_bytes, 123_456_789)

    assert len(b64decode(payload)) == size_bytes
    assert list(stamps(payload)) == [123_456_789]


def test_stamps_of_joined_frames_are_all_found() -> None:
    joined = b64decode(stamped(160, 1)) + b"\xff" * 7 + b64decode(stamped(160, 2))

    assert list(stamps(b64encode(joined).decode())) == [1, 2]


def test_audio_without_a_whole_stamp_tells_nothing() -> None:
    cut = b64decode(stamped(160, 1))[:11]

    assert list(stamps(b64encode(cut).decode())) == []
    assert list(stamps("//////8=")) == []


@pytest.mark.parametrize("payload", ["****", "/w=", "/w==/w=="])
def test_what_is_not_base64_is_refused(payload: str) -> None:
    with pytest.raises(ValueError, match="not base64"):
        list(stamps(payload))


def test_a_tally_counts_what_was_sent_while_it_was_open_whenever_it_arrives() -> None:
    tally = Tally()
    before = tally.send(160)
    tally.open()
    during = tally.send(160)
    lost = tally.send(160)
    tally.close()
    after = tally.send(160)

    for payload in (before, during, after):
        tally.arrive(payload)

    assert lost != during
    assert (tally.sent, len(tally.delays_ms), tally.lost) == (2, 1, 1)
    assert tally.delays_ms[0] >= 0
