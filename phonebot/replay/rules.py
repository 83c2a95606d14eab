"""
What a call must and must not come to, whichever words the model finds: `phonebot replay --live --expect FILE`.

    must_say = ["eight in the morning"]     # each is part of what the bot said, in any case of letters
    must_not_say = ["sorry"]
    must_call = ["end_call"]                # functions
    must_end_within_s = 90

Every key may be left out.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from phonebot.errors import ProfileError
from phonebot.replay.account import Account

MAX_BYTES = 1024 * 1024


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """None of them by default."""

    must_say: tuple[str, ...] = ()
    must_not_say: tuple[str, ...] = ()
    must_call: tuple[str, ...] = ()
    must_end_within_s: float | None = None


def load_rules(path: Path) -> Rules:
    """Raises ProfileError for a file that is not as described above."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ProfileError(str(path), f"longer than {MAX_BYTES} bytes")
        return msgspec.convert(tomllib.loads(text.decode()), Rules)
    except OSError as error:
        raise ProfileError(str(path), f"cannot be read: {error.strerror}") from error
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        raise ProfileError(str(path), str(error)) from error


def broken(rules: Rules, account: Account) -> Iterator[str]:
    """A sentence for each rule that the call breaks."""
    said = " ".join(line.text for _, line in account.lines if line.role == "bot")
    plain = _plain(said)
    yield from (f'the bot did not say "{text}"' for text in rules.must_say if _plain(text) not in plain)
    yield from (f'the bot said "{text}"' for text in rules.must_not_say if _plain(text) in plain)
    called = {function.name for function in account.functions}
    yield from (f"{name} was not called" for name in rules.must_call if name not in called)
    limit_s = rules.must_end_within_s
    if limit_s is not None and account.length_ms > limit_s * 1000:
        yield f"the call took {account.length_ms / 1000:.1f} s, allowed were {limit_s:g} s"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
