"""What callers hear while they wait."""

from base64 import b64decode
from itertools import pairwise

from phonebot.audio.g711 import ulaw_to_pcm
from phonebot.audio.melody import melody


def test_it_lasts_eight_seconds_is_quiet_and_can_be_repeated() -> None:
    pcm = ulaw_to_pcm(b64decode(melody()))
    samples = [int.from_bytes(pcm[at : at + 2], "little", signed=True) for at in range(0, len(pcm), 2)]
    assert len(samples) == 64_000
    assert 2_000 < max(map(abs, samples)) < 8_000  # 12 dB below full scale, at the loudest
    seam = [*samples[-400:], *samples[:400]]
    steps = [abs(after - before) for before, after in pairwise(samples)]
    assert max(abs(after - before) for before, after in pairwise(seam)) <= max(steps)
