"""
Asks a server of the deployment's about a caller, before his call is answered: a profile's `lookup`.

    found = await look_up(entry, secrets, client, caller=caller, number=number, call_sid=call_sid)
    found.values                    # by placeholder; the defaults, where there was no answer in time

It never raises: a call has to be answered.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote

from phonebot.agents.lookup import MAX_VALUE_CHARACTERS, Lookup
from phonebot.tools.client import HttpClient, Request
from phonebot.tools.http import call_headers, headers_of, leads_up
from phonebot.tools.running import ToolContext, ToolFault

MAX_RESPONSE_BYTES = 65_536
MAX_PROBLEM_CHARACTERS = 300

Result: TypeAlias = Literal["found", "late", "failed"]


@dataclass(frozen=True, slots=True)
class Found:
    """
    `values` has one for each that the profile names, as text. `problem`: a sentence for the log, where something of
    it is a default though the server was to know; None: nothing went wrong.
    """

    values: Mapping[str, str]
    result: Result = "found"
    problem: str | None = None


async def look_up(
    entry: Lookup, secrets: Mapping[str, str], client: HttpClient, *, caller: str, number: str, call_sid: str
) -> Found:
    """Ask, `entry.timeout_s` at most. `secrets` are those of the deployment."""
    if lacking := sorted(entry.secrets - secrets.keys()):
        return failed(entry, f"it needs the secret {lacking[0]}, which the deployment does not have")
    context = ToolContext(call_sid, caller, number)
    url = entry.filled(caller=quote(caller, safe=""), number=quote(number, safe=""))
    if leads_up(url):
        return failed(entry, "who calls has no address that can stand in its URL")
    request = Request(
        "GET",
        url,
        headers_of(entry.headers, secrets) | call_headers(context),
        None,
        entry.timeout_s,
        MAX_RESPONSE_BYTES,
    )
    try:
        text = await client.send(request)
    except ToolFault as fault:
        return failed(entry, fault.detail, "late" if fault.kind == "timeout" else "failed")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return failed(entry, "its answer is no JSON")
    if not isinstance(answer, dict):
        return failed(entry, "its answer is no JSON object")
    return _found(entry, answer)


def failed(entry: Lookup, why: str, result: Result = "failed") -> Found:
    """The defaults, and why it is they."""
    problem = f"the lookup came to nothing, its defaults stand: {why}"
    return Found(entry.defaults, result, problem[:MAX_PROBLEM_CHARACTERS])


def _found(entry: Lookup, answer: Mapping[str, object]) -> Found:
    values, refused = dict(entry.defaults), list[str]()
    for name in values:
        match answer.get(name):
            case None:
                pass
            case bool() | int() | float() | str() as value:
                values[name] = as_text(value)
            case _:
                refused.append(name)
    if refused:
        problem = (
            f"of the lookup's answer the defaults stand for {', '.join(refused)}: no text, number, true or false"
        )
        return Found(values, "found", problem[:MAX_PROBLEM_CHARACTERS])
    return Found(values)


def as_text(value: str | bool | float) -> str:
    """A value as a prompt may hold it: what controls a terminal is taken out, line breaks become blanks."""
    if isinstance(value, str):
        # No more of it than can be kept, and what is left out: an answer may have 64 KiB.
        kept = value[: 2 * MAX_VALUE_CHARACTERS]
        plain = "".join(each if each.isprintable() else " " * each.isspace() for each in kept)
        return plain[:MAX_VALUE_CHARACTERS].strip()
    return json.dumps(value)
