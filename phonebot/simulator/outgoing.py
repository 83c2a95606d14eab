"""The life of a leg that the REST API has created: it rings, and then runs TwiML or takes part in a conference."""

from dataclasses import replace

from phonebot.simulator.account import Account
from phonebot.simulator.conference import Conference, Seat
from phonebot.simulator.leg import Leg
from phonebot.simulator.performing import run
from phonebot.simulator.ringing import Ring, find_out, ring
from phonebot.simulator.terms import Over, Replaced, Source


async def call(account: Account, leg: Leg, ringing: Ring, source: Source) -> None:
    """Ring, find out who answered if that was ordered, and run the TwiML."""
    await leg.interruptibly(ring(leg, ringing))
    try:
        extra = await leg.interruptibly(find_out(leg, ringing))
        source = replace(source, extra=extra)
    except Replaced as replaced:
        source = replaced.source
    await run(account, leg, source)


async def participate(account: Account, leg: Leg, ringing: Ring, conference: Conference, seat: Seat) -> None:
    """Ring and take part. What stands after that is nothing: removed, the leg ends."""
    try:
        await leg.interruptibly(ring(leg, ringing))
    except Over as over:
        conference.not_joined(leg, seat, over.status or "failed")
        raise
    try:
        await leg.interruptibly(_attend(leg, ringing, conference, seat))
    except Replaced as replaced:
        await run(account, leg, replaced.source)


async def _attend(leg: Leg, ringing: Ring, conference: Conference, seat: Seat) -> None:
    await find_out(leg, ringing)
    await conference.attend(leg, seat)
