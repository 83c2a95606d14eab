"""What is known of a call of the simulated carrier: its requests, its streams, how it ended."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from phonebot.audio import g711, wav
from phonebot.errors import PhonebotError
from phonebot.simulator.callees import Message
from phonebot.simulator.caller import Event
from phonebot.simulator.carrier import Carrier, Violation
from phonebot.simulator.signing import Fields

Outcome: TypeAlias = Literal[
    "caller hung up",
    "bot hung up",
    "rejected",
    "failed",
    "timed out",
    "not reached",  # `CallRecord.status` says how: busy, no-answer, failed
    "ended by request",  # of the REST API
    "other side hung up",  # the leg that it was dialled for is over
]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request of ours and its answer. `status` None: there was none, and `error` says why."""

    at_ms: float
    purpose: str
    method: str
    url: str
    fields: Fields = field(repr=False)
    status: int | None = None
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    took_ms: float = 0.0
    error: str = ""


@dataclass(slots=True)
class StreamRecord:
    """One media stream of a call. `carrier` knows what was heard; its clock is zero at `zero_ms` of the call."""

    url: str
    stream_sid: str
    carrier: Carrier
    zero_ms: float = 0.0
    # "carrier": the REST API had the call do something else. None: it has not ended.
    ended_by: Literal["caller", "server", "time limit", "violation", "carrier"] | None = None
    close_code: int | None = None  # what the server closed with
    lost_messages: int = 0  # not sent, since the server read too slowly


@dataclass(slots=True)
class CallRecord:
    """
    All that is known of a call, or of one leg of it. Times are ms since it was dialled.

    "The caller" is whoever holds the phone of this leg, also where he was called. `events` are his (see `Event`)
    and the carrier's:

    - "cleared" with how much audio was dropped, "stream closed" by the server with the code;
    - of TwiML: "plays" the text of a Say, the URL of a Play or its digits, "heard" what of it reached him (a text
      is cut at the word), "dials", "records", "passes over" a verb;
    - of his connections: "rings", "answered", "bridged with" and "parted from" a NUMBER whom he can, or can no
      longer, talk to, "joins conference" and "leaves conference" NAME, "held", "unheld", "muted", "unmuted",
      "hears key" of another party, "detected" as what.

    `said` and `heard` are mu-law of equal length, a frame of each per tick of the streams: byte n of the first
    stream was said, and heard, at n / 8 + `Oddities.first_timestamp_ms` - 20 ms on the carrier's clock.
    `line_said` and `line_heard` are the same for the time outside streams, on the carrier's own clock.
    """

    call_sid: str
    outcome: Outcome = "failed"
    reason: str = ""
    duration_ms: float = 0.0
    exchanges: list[Exchange] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    failed_steps: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    streams: list[StreamRecord] = field(default_factory=list)
    said: bytearray = field(default_factory=bytearray, repr=False)
    heard: bytearray = field(default_factory=bytearray, repr=False)
    line_said: bytearray = field(default_factory=bytearray, repr=False)
    line_heard: bytearray = field(default_factory=bytearray, repr=False)
    from_number: str = ""
    to_number: str = ""
    direction: str = "inbound"  # or outbound-api, outbound-dial
    parent_sid: str | None = None  # of the leg that dialled this one
    status: str = "ringing"  # CallStatus; the last one is final
    answered_by: str | None = None  # by the detection of answering machines; None: it was not asked, or not yet
    message: Message | None = None  # what an answering machine recorded; None: none answered

    @property
    def number(self) -> str:
        """Of the person at this leg's phone."""
        return self.from_number if self.direction == "inbound" else self.to_number

    def told(self, kind: str) -> list[str]:
        """The details of its events of one kind, in order."""
        return [event.detail for event in self.events if event.kind == kind]

    @property
    def passed(self) -> bool:
        """The call ended as a call should, nothing was ruled out by the documents, and each step was done."""
        return self.outcome not in ("failed", "timed out") and not self.violations and not self.failed_steps

    def write_wav(self, path: Path) -> None:
        """Write the call as stereo mu-law: the caller on the left, what he heard on the right."""
        stereo = wav.interleave(bytes(self.said), bytes(self.heard))
        wav.write(path, wav.Wav("pcmu", g711.SAMPLE_RATE_HZ, 2, stereo))


class CallFailed(PhonebotError):
    """The call came to nothing; the carrier says why."""

    def __init__(self, record: CallRecord) -> None:
        super().__init__(record)
        self.record = record

    def __str__(self) -> str:
        return f"the call {self.record.outcome}: {self.record.reason or 'no stream was opened'}"
