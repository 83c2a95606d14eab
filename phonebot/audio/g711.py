"""
G.711: mu-law and A-law to PCM16 and back, and directly from one to the other.

G.711 carries 8000 samples a second in one byte each. PCM16 here is 16-bit signed little-endian mono at the same
rate. A-law codes 13 bits and mu-law 14: the lower bits of a PCM16 sample are cut off (ITU-T G.711, Tables 1, 2).
"""

import sys
import warnings

from phonebot.errors import AudioError

with warnings.catch_warnings():
    # Python 3.11 and 3.12 announce audioop's removal; from 3.13 on audioop-lts takes its place.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

assert sys.byteorder == "little", "audioop works in the machine's byte order, PCM16 is little-endian"

SAMPLE_RATE_HZ = 8000
BYTES_PER_MS = 8
FRAME_MS = 20
FRAME_BYTES = FRAME_MS * BYTES_PER_MS

ULAW_SILENCE = 0xFF
"""Zero in mu-law. 0x00 is the loudest negative value, not silence."""

ALAW_SILENCE = 0xD5
"""The smallest positive value of A-law, which has no zero."""

_SIGN_BIT = 0x80
_PCM16_WIDTH = 2


def ulaw_to_pcm(ulaw: bytes) -> bytes:
    """Mu-law to PCM16: two bytes for each."""
    return audioop.ulaw2lin(ulaw, _PCM16_WIDTH)


def pcm_to_ulaw(pcm: bytes) -> bytes:
    """PCM16 to mu-law: one byte for each two. Raises AudioError for half a sample."""
    _check_whole_samples(pcm)
    return audioop.lin2ulaw(pcm, _PCM16_WIDTH)


def alaw_to_pcm(alaw: bytes) -> bytes:
    """A-law to PCM16: two bytes for each."""
    return audioop.alaw2lin(alaw, _PCM16_WIDTH)


def pcm_to_alaw(pcm: bytes) -> bytes:
    """PCM16 to A-law: one byte for each two. Raises AudioError for half a sample."""
    _check_whole_samples(pcm)
    return audioop.lin2alaw(pcm, _PCM16_WIDTH)


def ulaw_to_alaw(ulaw: bytes) -> bytes:
    """Mu-law to A-law, byte for byte: the code whose interval holds the decoded value; the sign is kept."""
    return ulaw.translate(_ULAW_TO_ALAW)


def alaw_to_ulaw(alaw: bytes) -> bytes:
    """A-law to mu-law, byte for byte: the code whose interval holds the decoded value; the sign is kept."""
    return alaw.translate(_ALAW_TO_ULAW)


def _check_whole_samples(pcm: bytes) -> None:
    if len(pcm) % _PCM16_WIDTH:
        raise AudioError(
            f"{len(pcm)} bytes are not whole PCM16 samples: keep the odd byte until its other half comes"
        )


def _mirrored(positive: bytes) -> bytes:
    """
    The table for all 256 codes, given the conversion of the 128 positive ones (0x80 to 0xFF).

    Both laws are symmetric and differ between the signs only in the first bit (ITU-T G.711, Tables 1a to 2b). Going
    through PCM16 for the negative half too would turn mu-law's negative zero positive and shift ties by a step.
    """
    return bytes(code ^ _SIGN_BIT for code in positive) + positive


_POSITIVE = bytes(range(_SIGN_BIT, 0x100))
_ULAW_TO_ALAW = _mirrored(pcm_to_alaw(ulaw_to_pcm(_POSITIVE)))
_ALAW_TO_ULAW = _mirrored(pcm_to_ulaw(alaw_to_pcm(_POSITIVE)))
