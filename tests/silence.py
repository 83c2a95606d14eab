"""How long a caller heard nothing, and nobody spoke."""

from itertools import groupby

from phonebot.simulator.record import CallRecord

FRAME_BYTES = 160
FRAME_MS = 20
SILENCE = b"\xff" * FRAME_BYTES


def longest_silence_ms(record: CallRecord) -> int:
    """The longest silence of both sides on the streams of a call, until the bot was heard for the last time."""
    starts = range(0, len(record.heard), FRAME_BYTES)
    heard = [bytes(record.heard[at : at + FRAME_BYTES]) != SILENCE for at in starts]
    said = [bytes(record.said[at : at + FRAME_BYTES]) != SILENCE for at in starts]
    last = max(at for at, sounds in enumerate(heard) if sounds)
    sounding = [any(both) for both in zip(heard[:last], said[:last], strict=True)]
    return FRAME_MS * max(sum(1 for _ in run) for sounds, run in groupby(sounding) if not sounds)
