"""
What a person in a conference is played by a URL: music while he waits, announcements.

The URL answers with audio, or with TwiML of Play, Say, Pause and Redirect (Twilio, TwiML Conference, waitUrl;
Conference Participant resource, AnnounceUrl, HoldUrl).
"""

from phonebot.simulator.document import Document, Fault
from phonebot.simulator.leg import Leg
from phonebot.simulator.speaking import MAX_FILE_BYTES, SPEAKING, audio_of, hear_audio, play_for_ever, speak
from phonebot.simulator.webhook import read_document

STANDARD_MUSIC = "hold music"
MOST_DOCUMENTS = 1000  # music that redirects to itself is looped


async def play_music(leg: Leg, url: str | None, method: str) -> None:
    """Play what the URL answers, over and over where it redirects; None is the carrier's own music, "" silence."""
    if url is None:
        await play_for_ever(leg, STANDARD_MUSIC)
    elif url:
        await announce(leg, url, method)


async def announce(leg: Leg, url: str, method: str) -> bool:
    """Play what the URL answers; return whether there was something to play."""
    for _ in range(MOST_DOCUMENTS):
        with leg.terms.clock.held():
            exchange = await leg.request("announcement", url, (), method, MAX_FILE_BYTES)
        try:
            if exchange.content_type.startswith("audio/"):
                audio = audio_of(exchange)
                leg.tell("plays", url)
                await hear_audio(leg, audio)
                leg.tell("heard", url)
                return True
            document = read_document(exchange, leg.terms.auth_token)
        except Fault as fault:
            leg.violation(fault.code, fault.reason)
            return False
        redirected = await _perform(leg, document)
        if redirected is None:
            return True
        url, method = redirected
    return True


async def _perform(leg: Leg, document: Document) -> tuple[str, str] | None:
    """Perform a document; return where it redirects to, None when it does not."""
    for verb in document.verbs:
        if verb.name in SPEAKING:
            await speak(leg, verb, document)
        elif verb.name == "Redirect":
            return leg.absolute(document, verb.text.strip()), verb.method
        else:
            leg.violation(None, f"<{verb.name[:40]}> is not performed in a conference's announcement")
    return None
