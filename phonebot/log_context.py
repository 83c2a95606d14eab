"""
Which call a line of the log belongs to, also where a library writes it.

    with within_call(call_sid): ...         # what is logged in this block, and by tasks it begins, is the call's
    belongs_to_call(call_sid)               # the same from now on to the end of this task
    tell = bound(tell)                      # the call's wherever it is called: from a socket's callback, say
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import ParamSpec, TypeVar

MAX_CHARACTERS = 40
"""A carrier's are 34. What is longer was made up by somebody else."""

P = ParamSpec("P")
R = TypeVar("R")

_CALL: ContextVar[str] = ContextVar("call_sid", default="")


def current_call() -> str:
    """The call that what runs here belongs to; "": none."""
    return _CALL.get()


def belongs_to_call(call_sid: str) -> None:
    _CALL.set(call_sid[:MAX_CHARACTERS])


@contextmanager
def within_call(call_sid: str) -> Iterator[None]:
    before = _CALL.set(call_sid[:MAX_CHARACTERS])
    try:
        yield
    finally:
        _CALL.reset(before)


def bound(function: Callable[P, R]) -> Callable[P, R]:
    """The same, run in what is the context now."""
    context = copy_context()

    def run(*args: P.args, **options: P.kwargs) -> R:
        # In a copy: it may come to be called while it runs.
        return context.copy().run(function, *args, **options)

    return run
