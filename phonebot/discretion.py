"""
What of the service's log nobody is to read: secrets never, callers' numbers and words only where that is allowed.

    set_up_logging("info", secrets=["sk-..."], personal=False, form="json")
    log.warning("call %.40r: %s failed: %s", call_sid, name, Personal(problem))

A line is text for people, or one object of JSON, which names the call it belongs to (log_context.py).

A number shows its first and last digits: +15550100001 is +1555***0001. The message of an exception may quote what a
caller said, so of most there is the type alone, and where it was raised. With `personal`, and at the level debug,
the log has all but the secrets.
"""

import logging
import re
import time
import traceback
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, ClassVar, Literal, TypeAlias

import msgspec

from phonebot.errors import PhonebotError
from phonebot.log_context import current_call

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Form: TypeAlias = Literal["text", "json"]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
HIDDEN = "***"
NOT_SHOWN = "(not shown: it may be personal)"
MIN_SECRET_CHARACTERS = 8  # to hide a shorter one would hide half of the log
_QUIET = ("alembic",)  # tells of itself at each start

# Of these the message names things of ours, or of the system's: a file, an attribute, a reason.
_PLAIN = (AssertionError, AttributeError, ImportError, NameError, OSError, PhonebotError, TypeError)
_TOKENS = re.compile(
    # Not PHONEBOT_..., by which a remedy names a setting.
    r"(?P<before>\bBearer |[?&]?\b(?:token|key|api_key|api-key|password|signature)[=:] ?|(?-i:\bphonebot_))"
    r"(?P<token>[A-Za-z0-9._~+/=%-]{8,})",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?P<plus>\+|%2B)(?P<dialled>\d{6,15})(?!\w)|(?<![\w.:+-])(?P<plain>\d{10,15})(?![\w.:-])")
_SIP = re.compile(r"(?P<scheme>\bsips?:)[^\s@'\"<>]+@")


class Personal:
    """Stands in a line of the log for what may quote a caller: it is shown where the log may hold that."""

    shown: ClassVar[bool] = False
    """For the whole process, as its log is."""

    def __init__(self, what: object) -> None:
        self._what = what

    def __str__(self) -> str:
        return str(self._what) if self.shown else NOT_SHOWN


class DiscreetFormatter(logging.Formatter):
    """Formats a record without what is not to be read in it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__(FORMAT)
        hidden = {each for each in secrets if len(each) >= MIN_SECRET_CHARACTERS}
        self._secrets = sorted(hidden, key=len, reverse=True)  # the longest first: one may be part of another

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # it may have been made by another formatter
        return self.discreet(super().format(record))

    def discreet(self, text: str) -> str:
        """The same without what is not to be read in it."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = _TOKENS.sub(rf"\g<before>{HIDDEN}", text)
        return text if Personal.shown else without_numbers(text)

    def formatException(self, ei: Any) -> str:  # noqa: N802  (logging's name)
        error: BaseException = ei[1]
        if Personal.shown:
            return str(super().formatException(ei))
        return "\n".join(_told(error)).rstrip("\n")


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    A line of the log as JSON. `time` is UTC's. `call_sid`: the call it belongs to, by the carrier's name; "": none.
    `exception`: what was raised, and where, in several lines; "": nothing was.
    """

    time: str
    level: str
    logger: str
    message: str
    call_sid: str = ""
    exception: str = ""


class JsonFormatter(DiscreetFormatter):
    """Formats a record as a LogLine. What is not to be read is taken out before JSON's escapes break it up."""

    def format(self, record: logging.LogRecord) -> str:
        raised = [self.formatException(record.exc_info)] if record.exc_info else []
        if record.stack_info:
            raised.append(self.formatStack(record.stack_info))
        line = LogLine(
            time=_time(record.created),
            level=record.levelname.lower(),
            logger=record.name,
            message=self._shown(record.getMessage()),
            call_sid=self._shown(current_call()),
            exception=self._shown("\n".join(raised)),
        )
        return msgspec.json.encode(line).decode()

    def _shown(self, text: str) -> str:
        # Half of a surrogate pair is a character to Python and none to JSON.
        return self.discreet(text).encode("utf-8", "replace").decode()


def as_json(message: str, logger: str) -> str:
    """What whoever starts the service has to know, in the form of a LogLine, as it is."""
    return msgspec.json.encode(LogLine(_time(time.time()), "info", logger, message)).decode()


def _time(created_s: float) -> str:
    return datetime.fromtimestamp(created_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def without_numbers(text: str) -> str:
    """The same with numbers of telephones and SIP addresses masked."""
    return _SIP.sub(rf"\g<scheme>{HIDDEN}@", _NUMBER.sub(_masked, text))


def _masked(found: re.Match[str]) -> str:
    digits = found["dialled"] or found["plain"]
    kept = 4 if len(digits) > 10 else 2
    return f"{found['plus'] or ''}{digits[:kept]}{HIDDEN}{digits[-kept:]}"


def _told(error: BaseException) -> Iterator[str]:
    """An exception as Python prints it, but for what it says."""
    if error.__cause__:
        yield from (*_told(error.__cause__), "", "It was the direct cause of the following one:", "")
    elif error.__context__ and not error.__suppress_context__:
        yield from (*_told(error.__context__), "", "While it was handled, another one came:", "")
    yield from ("Traceback (most recent call last):", *_frames(error.__traceback__))
    message = str(error) if isinstance(error, _PLAIN) else NOT_SHOWN
    yield f"{type(error).__module__}.{type(error).__qualname__}: {message}"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from (f"  {line}" for line in _told(each))


def _frames(trace: TracebackType | None) -> list[str]:
    return [line.rstrip("\n") for line in traceback.format_tb(trace)]


def set_up_logging(
    level: Level = "info",
    secrets: Iterable[str] = (),
    personal: bool = False,
    stream: IO[str] | None = None,
    form: Form = "text",
) -> None:
    """
    Log to `stream` (None: standard error), from this level on, without `secrets`, in this form.

    `personal`: at the level debug callers' numbers and words may be in it. The level is that of phonebot's own
    lines: libraries log at info at most, for below that some write what they send and receive.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(secrets) if form == "json" else DiscreetFormatter(secrets))
    numeric = getattr(logging, level.upper())
    logging.basicConfig(level=max(numeric, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("phonebot").setLevel(numeric)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    Personal.shown = personal and level == "debug"
