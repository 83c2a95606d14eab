"""
Answers to the voice webhook and to the action request after a stream, as TwiML.

Each function returns a whole document, to be sent with `CONTENT_TYPE`. What would make the carrier refuse the
document raises ValueError here, while it can still be said what is wrong (Twilio, TwiML for Voice).
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twilio.twiml.voice_response import VoiceResponse  # type: ignore[import-untyped]  # ships no types

CONTENT_TYPE = "text/xml; charset=utf-8"

MAX_DOCUMENT_BYTES = 64_000
"""Documented as 64 kB (error 11750); the smaller reading of it."""

MAX_PARAMETER_CHARACTERS = 499
"""Of a Parameter's name and value together: documented as less than 500 (Twilio, TwiML Stream, Parameter)."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# What no XML 1.0 document can hold, not even escaped (XML 1.0, section 2.2, Char).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def connect_stream(
    stream_url: str,
    action_url: str,
    parameters: Mapping[str, str],
    status_callback_url: str | None = None,
    say: tuple[str, str | None] | None = None,
) -> str:
    """
    Connect the call to our media stream, then ask `action_url` how to go on. `say`: words before it, in a language.

    `parameters` come back in the start message. What a call needs to be told goes there and not into a query:
    the carrier does not support one on `stream_url`. The call's audio is worth a TLS connection, so that URL is
    wss; ws is for loopback only.
    """
    _check_stream_url(stream_url)
    status_url = None if status_callback_url is None else _url(status_callback_url)
    response = VoiceResponse()
    if say:
        _say(response, *say)
    # Nothing follows Connect: verbs after one that has an action are not reached.
    stream = response.connect(action=_url(action_url), method="POST").stream(
        url=stream_url,
        status_callback=status_url,
        status_callback_method=None if status_url is None else "POST",
    )
    for name, value in parameters.items():
        _check_parameter(name, value)
        stream.parameter(name=name, value=value)
    return _document(response)


def say_and_hang_up(say: str, language: str | None = None) -> str:
    """Speak `say` in the carrier's voice, then end the call. `language` is a tag such as "de-DE"; None: en-US."""
    response = VoiceResponse()
    _say(response, say, language)
    response.hangup()
    return _document(response)


def put_through(
    to: str,
    action_url: str,
    *,
    say: str = "",
    language: str | None = None,
    ring_s: int = 20,
    limit_s: int = 14_400,
    caller_id: str | None = None,
    whisper_url: str | None = None,
) -> str:
    """
    Speak `say`, then ring `to`, a number or a SIP address, for `ring_s`, and ask `action_url` how to go on.

    They talk for `limit_s` at most. The one who is called sees `caller_id`, which must be this call's caller or a
    number of the account; None: the caller. Before they are connected he hears what `whisper_url` answers.
    """
    response = VoiceResponse()
    _say(response, say, language)
    dial = response.dial(
        action=_url(action_url), method="POST", timeout=ring_s, time_limit=limit_s, caller_id=caller_id
    )
    whisper = {} if whisper_url is None else {"url": _url(whisper_url), "method": "POST"}
    if to.startswith(("sip:", "sips:")):
        dial.sip(_url(to), **whisper)
    else:
        dial.number(to, **whisper)
    return _document(response)


def meet(room: str, action_url: str | None = None, *, limit_s: int = 14_400) -> str:
    """
    Join the conference `room`, which ends when either of its two leaves it; then ask `action_url` how to go on.

    None: the call ends then. Who is there first hears the carrier's hold music.
    """
    response = VoiceResponse()
    action = {} if action_url is None else {"action": _url(action_url), "method": "POST"}
    response.dial(time_limit=limit_s, **action).conference(
        room, beep="false", start_conference_on_enter=True, end_conference_on_exit=True, max_participants=2
    )
    return _document(response)


def ask_for_key(say: str, action_url: str, *, language: str | None = None, times: int = 2, wait_s: int = 5) -> str:
    """
    Speak `say`, `times` times with `wait_s` after each, until a key is pressed: then ask `action_url` how to go on.

    Without one the call ends.
    """
    response = VoiceResponse()
    for _ in range(times):
        gather = response.gather(
            input="dtmf", num_digits=1, timeout=wait_s, action=_url(action_url), method="POST", finish_on_key=""
        )
        _say(gather, say, language)
    response.hangup()
    return _document(response)


def whisper(say: str, language: str | None = None) -> str:
    """Speak to the one who is called, who is then connected."""
    response = VoiceResponse()
    _say(response, say, language)
    return _document(response)


def hang_up(say: str | None = None) -> str:
    """End the call, after speaking `say` in English if it is given."""
    return say_and_hang_up(say or "")


def redirect(url: str) -> str:
    """Go on with the TwiML that `url` answers to a POST."""
    response = VoiceResponse()
    response.redirect(_url(url), method="POST")
    return _document(response)


def _say(within: Any, say: str, language: str | None) -> None:
    # Characters that XML cannot hold have no sound. A caller should not lose the sentence over them.
    if text := _NOT_XML.sub("", say).strip():
        within.say(text, language=language)


def _check_stream_url(url: str) -> None:
    parts = urlsplit(_url(url))
    if parts.scheme != "wss" and not (parts.scheme == "ws" and parts.hostname in _LOOPBACK):
        raise ValueError(f"the stream URL {url!r} must begin with wss:// (ws:// only for a loopback host)")
    if not parts.hostname:
        raise ValueError(f"the stream URL {url!r} names no host")
    if "?" in url or "#" in url:
        raise ValueError(f"the stream URL {url!r} has a query or fragment, which is not supported: use parameters")


def _check_parameter(name: str, value: str) -> None:
    # Values are not repeated: the token that admits a stream is one of them.
    if not name:
        raise ValueError("a stream parameter has no name")
    if _NOT_XML.search(name + value):
        raise ValueError(f"the stream parameter {name!r} holds a character that XML cannot")
    if len(name) + len(value) > MAX_PARAMETER_CHARACTERS:
        raise ValueError(
            f"the stream parameter {name!r} and its value have {len(name) + len(value)} characters; "
            f"at most {MAX_PARAMETER_CHARACTERS} are allowed"
        )


def _url(url: str) -> str:
    if not url or _NOT_XML.search(url) or any(character.isspace() for character in url):
        raise ValueError(f"{url!r} is not a URL")
    return url


def _document(response: VoiceResponse) -> str:
    document = str(response)
    size = len(document.encode())
    if size > MAX_DOCUMENT_BYTES:
        raise ValueError(f"the TwiML has {size} bytes; at most {MAX_DOCUMENT_BYTES} are allowed")
    return document
