"""The documents that a leg runs, verb by verb (Twilio, TwiML for Programmable Voice)."""

from phonebot.simulator.account import Account
from phonebot.simulator.connecting import connect
from phonebot.simulator.dialling import dial
from phonebot.simulator.document import Document, Element
from phonebot.simulator.gathering import gather, record
from phonebot.simulator.leg import Leg
from phonebot.simulator.speaking import SPEAKING, speak
from phonebot.simulator.terms import Over, Replaced, Source

MAX_DOCUMENTS = 30  # a call that is redirected without end is given up
# Verbs of Twilio's that this carrier does not perform.
OTHER_VERBS = ("Enqueue", "Leave", "Pay", "Refer", "Start", "Stop")


async def run(account: Account, leg: Leg, source: Source) -> None:
    """Run TwiML, and what replaces it, until the last verb is done. Raises Over where the leg ends before."""
    following: Source | None = source
    while following is not None:
        try:
            await leg.interruptibly(_run(account, leg, following))
            following = None
        except Replaced as replaced:
            leg.parted.set()  # whoever dialled this leg has lost it
            following = replaced.source


async def _run(account: Account, leg: Leg, source: Source) -> None:
    document: Document | None = await leg.document(source)
    for _ in range(MAX_DOCUMENTS):
        if document is None:
            return
        document = await _perform(account, leg, document)
    raise Over("failed", f"more than {MAX_DOCUMENTS} documents of TwiML: they redirect without end")


async def _perform(account: Account, leg: Leg, document: Document) -> Document | None:
    """Run one document's verbs; return the one that replaces it, None when they are done."""
    for position, verb in enumerate(document.verbs):
        if leg.handset.now_ms >= leg.limit_ms:
            raise Over("timed out", "the call reached its time limit")
        if verb.name == "Reject":
            raise Over("rejected", verb.attributes.get("reason", "rejected"))
        if verb.name == "Hangup":
            raise Over("bot hung up")
        if not (verb.name == "Dial" and position == 0 and verb.attributes.get("answerOnBridge") == "true"):
            leg.answer()
        replacement = await _perform_verb(account, leg, verb, document, position == len(document.verbs) - 1)
        if replacement is not None:
            return replacement
    return None


async def _perform_verb(
    account: Account, leg: Leg, verb: Element, document: Document, is_last: bool
) -> Document | None:
    match verb.name:
        case "Connect":
            return await connect(leg, verb, document, is_last)
        case "Redirect":
            return await leg.follow("redirect", document, verb.text.strip() or document.url, verb)
        case "Dial":
            return await dial(account, leg, verb, document, run)
        case "Gather":
            return await gather(leg, verb, document)
        case "Record":
            return await record(account, leg, verb, document)
        case name if name in SPEAKING:
            await speak(leg, verb, document)
        case name if name in OTHER_VERBS:
            leg.tell("passes over", name)
        case name:
            leg.violation(None, f"<{name[:40]}> is no TwiML verb; names are case sensitive")
    return None
