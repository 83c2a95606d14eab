"""
Call time: ms on the stream's media clock.

The carrier stamps each frame with the ms since the stream began (Twilio, Media Streams, media.timestamp). Our own
clock says when the frame arrived. The smallest difference of the two seen lately belongs to the frame that
travelled fastest, so local time minus that difference is the newest carrier instant we can know about: bursts and
jitter only make other frames later, and a drifting clock is followed as old differences leave the window.

A carrier may send no frame while the caller is silent. Where the first one comes late, call time has been in use
for a while, and goes on without a step: from then on it is the stream's, ahead by what it was (`ahead_ms`).
"""

from collections import deque

LATE_START_MS = 200  # a first frame after that comes late: as a rule it follows `start` within 20 ms
WILD_STAMP_MS = 60_000  # a timestamp so far ahead of call time is none
BUCKET_MS = 1_000
BUCKETS = 10  # the window is ten seconds with frames: long enough to meet a fast one, short enough for 200 ppm


def ahead_ms(first_timestamp_ms: int, now: int) -> int:
    """By how much call time is ahead of the stream's clock, whose first frame came at call time `now`."""
    return now - first_timestamp_ms if now >= LATE_START_MS else 0


class MediaClock:
    """
    Turns local times into call time. Give every time in local ms of one monotonic clock, in order.

    Until the first timestamp call time is local ms since the clock was made. It never runs backwards.
    """

    def __init__(self, local_ms: float) -> None:
        # Local time minus carrier time, as small as it was seen in the window.
        self._offset_ms = local_ms
        # The smallest difference in each bucket, oldest first; empty until the first timestamp.
        self._buckets: deque[float] = deque(maxlen=BUCKETS)
        # Of the newest one, and when it ends.
        self._smallest_ms, self._bucket_end_ms = 0.0, float("-inf")
        self._latest_ms = 0
        self._ahead_ms = 0

    def arrive(self, local_ms: float, timestamp_ms: int) -> int:
        """
        A frame stamped `timestamp_ms` arrived. Returns call time.

        A stamp further ahead of it than `WILD_STAMP_MS` is no time, and changes nothing.
        """
        now = self.now(local_ms)
        if timestamp_ms > now + WILD_STAMP_MS:
            return now
        difference = local_ms - timestamp_ms - self._ahead_ms
        if difference >= self._smallest_ms and local_ms < self._bucket_end_ms:
            return now  # fifty times a second it tells nothing new
        return self._measure(local_ms, timestamp_ms)

    def _measure(self, local_ms: float, timestamp_ms: int) -> int:
        """The first frame of a bucket, or its fastest."""
        if not self._buckets:
            self._ahead_ms = ahead_ms(timestamp_ms, self.now(local_ms))
        self._smallest_ms = local_ms - timestamp_ms - self._ahead_ms
        if local_ms < self._bucket_end_ms:
            self._buckets.pop()
        else:
            self._bucket_end_ms = (local_ms // BUCKET_MS + 1) * BUCKET_MS
        self._buckets.append(self._smallest_ms)
        self._offset_ms = min(self._buckets)
        return self.now(local_ms)

    def now(self, local_ms: float) -> int:
        """Call time in whole ms."""
        self._latest_ms = max(self._latest_ms, int(local_ms - self._offset_ms))
        return self._latest_ms
