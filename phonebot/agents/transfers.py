"""
To whom calls may be transferred, and how, as the operator writes it.

    tools = ["transfer_call"]
    transfer_to = "+15550100009"
    destinations = { billing = { to = "+15550100010", description = "Bills and refunds", fallback = "default" } }
    transfer = { warm = true, ring_s = 25 }

The model names a destination, and never a number. docs/telephony.md explains it to operators.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults, prompt
from phonebot.agents.table import NONE_IF_BLANK, Switch, Table

FUNCTION = "transfer_call"
DEFAULT = "default"
"""The name of the destination that is `transfer_to`."""

SUMMARY = "summary"
WARM_WHISPER = "A call from {caller}. {summary} Press 1 to take the call, or 2 to decline it."

MAX_ADDRESS_CHARACTERS = 255
MAX_DESTINATIONS = 30

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SIP = re.compile(r"sips?:[^\s@<>\"'&]{1,100}@[A-Za-z0-9.:\[\]-]{1,100}(;[A-Za-z0-9=;._-]{1,50})?")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_ADDRESS = 'a number in E.164 format such as "+15550100009", or an address such as "sip:desk@example.com"'


def _check_address(address: str) -> str:
    if not (_E164.fullmatch(address) or _SIP.fullmatch(address)):
        raise ValueError(f"is {faults.shown(address)}; it must be {_ADDRESS}")
    return address


def _check_whisper(text: str) -> str:
    if wrong := prompt.check(text, (SUMMARY,)):
        known = ", ".join(f"{{{name}}}" for name in (SUMMARY, *prompt.PLACEHOLDERS))
        raise ValueError(f"holds {faults.cut(', '.join(wrong))}, but only {known} are replaced")
    return text


def _check_names(entries: "dict[str, Destination]") -> "dict[str, Destination]":
    for name in entries:
        if name == DEFAULT or not _NAME.fullmatch(name):
            problem = "is that of transfer_to" if name == DEFAULT else "is none"
            raise ValueError(
                f"holds the name {faults.shown(name)}, which {problem}: 1 to 40 of a to z, 0 to 9, _ and -, with a "
                "letter first"
            )
    return entries


def is_number(address: str) -> bool:
    """Whether an address is a number, and not one of SIP."""
    return not address.startswith("sip")


Address: TypeAlias = Annotated[
    str, AfterValidator(_check_address), Field(max_length=MAX_ADDRESS_CHARACTERS, description=_ADDRESS)
]
_Sentence: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=300, description="text of 1 to 300 characters, which is said as it is")
]


class Destination(Table):
    """
    Who may be called. `description` tells the model what for.

    `fallback`: the destination that is tried when nobody takes the call here; None: none is.
    """

    to: Address
    description: Annotated[str, Field(max_length=300, description="text of at most 300 characters")] = ""
    fallback: Annotated[
        Annotated[str, Field(max_length=40)] | None,
        Field(description='the name of another destination, or "default" for that of transfer_to'),
    ] = None


class Transfer(Table):
    """
    How calls are transferred.

    `warm`: the colleague is asked first, while the caller stays with the bot. `say` is said before the caller is
    connected, or while it rings. It rings for `ring_s`, and they talk for `limit_s` at most. `whisper` is what the
    colleague hears before he is connected; None: WARM_WHISPER, or nothing where it is not warm. `hold_music`: while
    a warm transfer rings. `caller_id`: whose number the colleague sees. `when_unanswered`: the call comes back to
    the bot, or `sorry` is said and it ends. `when_failed`: a call that the bot cannot go on with, since the model
    failed, is transferred to `transfer_to`.
    """

    warm: Switch = False
    say: _Sentence = "I am putting you through. One moment, please."
    ring_s: Annotated[int, Field(ge=5, le=120, description="a whole number of seconds from 5 to 120")] = 20
    limit_s: Annotated[int, Field(ge=60, le=14_400, description="a whole number of seconds from 60 to 14400")] = (
        7_200
    )
    whisper: Annotated[
        Annotated[str, AfterValidator(_check_whisper), Field(max_length=500)] | None,
        NONE_IF_BLANK,
        Field(description="text of at most 500 characters"),
    ] = None
    hold_music: Switch = True
    caller_id: Annotated[Literal["number", "caller"], Field(description='"number" or "caller"')] = "number"
    when_unanswered: Annotated[Literal["bot", "say"], Field(description='"bot" or "say"')] = "bot"
    sorry: _Sentence = "I am sorry, nobody can take your call at the moment. Please try again later."
    when_failed: Switch = True


TransferTo: TypeAlias = Annotated[Address | None, NONE_IF_BLANK, Field(description=_ADDRESS)]
Destinations: TypeAlias = Annotated[
    dict[str, Destination],
    AfterValidator(_check_names),
    Field(
        max_length=MAX_DESTINATIONS,
        description=f'a table of at most {MAX_DESTINATIONS} such as {{ billing = {{ to = "+15550100010" }} }}',
    ),
]
TRANSFER = "a table such as { warm = true, ring_s = 25 }"


def reachable(transfer_to: str | None, destinations: Mapping[str, Destination]) -> dict[str, Destination]:
    """All destinations by name, that of `transfer_to` first."""
    default = {DEFAULT: Destination(to=transfer_to)} if transfer_to else {}
    return default | dict(destinations)


def chain(known: Mapping[str, Destination], name: str) -> Iterator[tuple[str, Destination]]:
    """The destination and those that are tried after it, each once; none for a name that is not known."""
    tried: set[str] = set()
    following: str | None = name
    while following in known and following not in tried:
        assert following is not None, "None is no name of a destination"
        tried.add(following)
        yield following, known[following]
        following = known[following].fallback


def problems(
    transfer_to: str | None, destinations: Mapping[str, Destination], transfer: Transfer, is_named: bool
) -> Iterator[str]:
    """What does not go together, a sentence for each. `is_named`: an agent has the function."""
    known = reachable(transfer_to, destinations)
    if is_named and not known:
        yield f"tools holds {FUNCTION}, which needs transfer_to or destinations: to whom calls may be transferred"
    for name, each in destinations.items():
        if each.fallback is not None and (each.fallback == name or each.fallback not in known):
            other = f"destinations.{name}.fallback is {faults.shown(each.fallback)}"
            names = ", ".join(sorted(known.keys() - {name})) or "none"
            yield f"{other}, which is no other destination: there are {names}"
    if transfer.warm and transfer.caller_id == "caller":
        yield (
            'transfer.caller_id = "caller" needs warm = false: a call of its own, to the colleague, can show only '
            "a number of the account"
        )
    if transfer.warm and any(not is_number(each.to) for each in known.values()):
        yield "transfer.warm needs numbers: an address of SIP is reached by a transfer that is not warm"


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with a destination: where, why, what is allowed. `loc` is the place below `destinations`."""
    key = str(loc[1]) if len(loc) > 1 else ""
    otherwise = 'a table such as { to = "+15550100010" }'
    return faults.sentence(f"destinations.{faults.cut(str(loc[0]))}", key, Destination, fault, otherwise)


def sentence_of_transfer(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """The same of what stands below `transfer`."""
    return faults.sentence("transfer", str(loc[0]), Transfer, fault)
