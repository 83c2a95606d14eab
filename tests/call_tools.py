"""Functions for the models of tests: PHONEBOT_TOOLS=call_tools."""

import asyncio
import logging
from contextlib import suppress
from typing import Annotated

from pydantic import Field

from phonebot.tools import GuardrailContext, ToolContext, ToolError, guardrail, tool

DISHES = {"monday": "lentil soup", "tuesday": "ravioli"}
gate = asyncio.Event()
"""Lets `look_up` end. A test makes a new one."""


@tool
def dish_of_the_day(
    day: Annotated[str, Field(description="a day of the week")], call: ToolContext
) -> dict[str, str]:
    """Tells the dish of a day."""
    if day.lower() not in DISHES:
        raise ToolError(f"We are closed on {day}.")
    return {"dish": DISHES[day.lower()], "for": call.caller}


@tool(fillers=("One moment please, I look it up for you.",), filler_s=0.3)
async def look_up() -> str:
    """Looks something up, until the gate opens."""
    await gate.wait()
    return "Found."


@tool(confirm_key="1")
async def pay(cents: int) -> str:
    """Pays."""
    return f"Paid {cents}."


@tool(name="pay_by_word", confirm_words=("something",))
async def pay_too(cents: int) -> str:
    """Pays."""
    return f"Paid {cents}."


@tool
async def fail() -> str:
    """Fails."""
    raise KeyError("what only the log may know")


@tool
async def large() -> str:
    """Returns 10 MB."""
    return "x" * 10_000_000


@tool(timeout_s=0.3)
async def endless() -> str:
    """Never returns."""
    await asyncio.Event().wait()
    return ""


@guardrail
def says_something(text: str, call: GuardrailContext) -> str | None:
    """Trips on what the caller of every test says."""
    return f"{call.on} said it" if "something" in text else None


@guardrail
async def breaks(text: str) -> bool:
    """Fails."""
    raise KeyError("what only the log may know")


@guardrail
async def never_ends(text: str) -> bool:
    """Never returns, and cannot be stopped at first."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return True


@tool
async def look_into_it() -> str:
    """Uses a library that logs."""
    logging.getLogger("of.a.library").warning("it was looked into")
    return "Nothing found."
