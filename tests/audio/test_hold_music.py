"""The hold music: what a waiting caller hears."""

from base64 import b64decode
from itertools import pairwise

from phonebot.audio.g711 import ulaw_to_pcm
from phonebot.audio.hold_music import hold_music


def samples() -> list[int]:
    pcm = ulaw_to_pcm(b64decode(hold_music()))
    return [int.from_bytes(pcm[at : at + 2], "little", signed=True) for at in range(0, len(pcm), 2)]


def test_it_is_two_seconds_that_can_be_repeated_without_a_click_and_are_softer_than_speech() -> None:
    heard = samples()
    assert len(heard) == 16_000
    assert heard[0] == heard[-1] == 0
    assert 2_000 < max(heard) < 3_000
    assert max(abs(one - other) for one, other in pairwise(heard)) < 1_000
