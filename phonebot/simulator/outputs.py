"""What a session of the embedded server asks its shell to do, and how the server may be made to behave."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from phonebot.simulator.config import Dialect, Format
from phonebot.simulator.mind import Word


@dataclass(frozen=True, slots=True)
class Send:
    """Send this event, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Recognise:
    """Let the ear listen; hand its text, or the exception, to `Session.complete`."""

    job: int
    audio: bytes
    format: Format


@dataclass(frozen=True, slots=True)
class Speak:
    """Let the voice speak; hand `Spoken`, or the exception, to `Session.complete`."""

    job: int
    text: str
    format: Format


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with this code once everything before is sent. Nothing follows."""

    code: int
    reason: str


Output: TypeAlias = Send | Recognise | Speak | Close


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text spoken, in the format that `Speak` asked for."""

    audio: bytes
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """
    How the server behaves within what the protocol allows.

    `dialect` is that of clients who don't say. `lenient` lets the first `session.update` change it. `speed` is how
    many times faster than real time audio is generated (1 real time, less is slow, `math.inf` all at once). `busy`
    is the answer to a turn that ends while a response is active. `rate_limits` is when they are told: with
    "dialect", beta tells them at the start of a response and GA at its end. `seed` fixes the sizes of the deltas.
    """

    dialect: Dialect = "ga"
    lenient: bool = False
    model: str = "phonebot-local"
    speed: float = 8.0
    session_limit_s: int = 3600
    busy: Literal["error", "queue", "silent"] = "error"
    rate_limits: Literal["dialect", "start", "end", "never"] = "dialect"
    seed: int | None = None


Transcripts: TypeAlias = Literal["told", "swapped", "never"]
"""Of the caller's turns: as they are done, each second one before the first, or not at all."""


@dataclass(frozen=True, slots=True)
class Faults:
    """
    What goes wrong on purpose; the defaults are nothing.

    Of the connection: `slow_upgrade_s` delays the answer to its request, `slow_start_s` then `session.created`;
    `refuse_key` and `beta_disabled` upgrade and then close with 3000 and 4000; `drop_after_s` breaks the TCP
    connection without a close.

    Of the session: `update` "ignored" never answers a `session.update`, "refused" refuses each; `keep_pcm` accepts
    formats but stays with PCM and echoes that; after `stall_after_ms` of generation a response says nothing more;
    `deltas_after_cancel` audio deltas of a cancelled response follow its `response.done`; `transcripts` are those
    of the caller's turns.
    """

    slow_upgrade_s: float = 0.0
    slow_start_s: float = 0.0
    refuse_key: bool = False
    beta_disabled: bool = False
    drop_after_s: float | None = None
    update: Literal["answered", "ignored", "refused"] = "answered"
    keep_pcm: bool = False
    stall_after_ms: int | None = None
    deltas_after_cancel: int = 0
    transcripts: Transcripts = "told"
