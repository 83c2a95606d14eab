"""
How bad an error is: what the service says, as a decision the core can take.

Most errors are harmless: a cancel that came too late, a truncation of an item already gone. The tables hold the
codes seen on the wire; the same faults also come without a code, and are then known by their wording. What
nobody here knows never ends a call: it is called a fault of configuration, which is reported and lived with.
"""

import re
from typing import Literal, TypeAlias

from phonebot.realtime.events import ErrorDetail

Severity: TypeAlias = Literal["harmless", "configuration", "retry_response", "reconnect", "fatal"]
"""
- harmless: a race that ended well; count it.
- configuration: the command was refused and will be again; at start the session cannot be used.
- retry_response: the response failed and may succeed in a moment. A `server_error` is one of these; repeated, it
  is the caller's to treat as reconnect.
- reconnect: this session is over, a new one will do.
- fatal: no new session will be granted either: key, quota, model, dialect.
"""

CODES: dict[str, Severity] = {
    "response_cancel_not_active": "harmless",
    "conversation_already_has_active_response": "harmless",
    "input_audio_buffer_commit_empty": "harmless",
    "item_truncate_invalid_item_id": "harmless",
    "item_delete_invalid_item_id": "harmless",
    "item_retrieve_invalid_item_id": "harmless",
    "unsupported_content_type": "harmless",  # truncating an item that has no audio
    "unknown_parameter": "configuration",
    "missing_required_parameter": "configuration",
    "invalid_value": "configuration",
    "invalid_type": "configuration",
    "cannot_update_voice": "configuration",
    "invalid_event": "configuration",
    "rate_limit_exceeded": "retry_response",
    "inference_rate_limit_exceeded": "retry_response",
    "server_error": "retry_response",
    "session_expired": "reconnect",
    "invalid_api_key": "fatal",
    "insufficient_quota": "fatal",
    "account_deactivated": "fatal",
    "billing_hard_limit_reached": "fatal",
    "model_not_found": "fatal",
    "beta_api_shape_disabled": "fatal",
    "invalid_intent": "fatal",
}

# Read in order, only when the code says nothing or too little.
WORDINGS: tuple[tuple[str, Severity], ...] = (
    (r"is already shorter than", "harmless"),
    (r"only model output audio messages can be truncated", "harmless"),
    (r"already has an active response", "harmless"),
    (r"no active response", "harmless"),
    (r"buffer (is )?(empty|too small)", "harmless"),
    (r"maximum duration|session (has )?expired", "reconnect"),
    (r"(incorrect|invalid) api key", "fatal"),
    (r"exceeded your current quota", "fatal"),
    (r"rate limit", "retry_response"),
)

TYPES: dict[str, Severity] = {
    "server_error": "retry_response",
    "rate_limit_error": "retry_response",
    "insufficient_quota": "fatal",
    "authentication_error": "fatal",
    "permission_error": "fatal",
}

# What says no more than that something was wrong: the message may say that it was no more than a race.
_VAGUE = frozenset({"invalid_value", "invalid_type"})

_SHORTER = re.compile(
    r"audio content of\s*(\d{1,9})(?:\.\d+)?\s*ms is already shorter than(?:\s*(\d{1,9}))?", re.IGNORECASE
)
_BUSY = re.compile("already has an active response", re.IGNORECASE)


def severity(error: ErrorDetail) -> Severity:
    """How bad an error is: by its code, else its wording, else its type."""
    by_code = CODES.get(error.code or "")
    if by_code and error.code not in _VAGUE:
        return by_code
    for words, by_wording in WORDINGS:
        if re.search(words, error.message, re.IGNORECASE):
            return by_wording
    return by_code or TYPES.get(error.type or "", "configuration")


def already_shorter_ms(error: ErrorDetail) -> int | None:
    """
    The length of the item, in ms, when a truncation was refused because it went beyond it; else None.

    Such a refusal changed nothing: the model believes it was heard to the end. Truncate again at this length.
    """
    found = _SHORTER.search(error.message)
    return int(found[1]) if found else None


def asked_truncation_ms(error: ErrorDetail) -> int | None:
    """Which `audio_end_ms` such a refusal is about, as far as its wording says: it may name no command."""
    found = _SHORTER.search(error.message)
    return int(found[2]) if found and found[2] else None


def is_busy(error: ErrorDetail) -> bool:
    """Whether a response was refused because another one is active."""
    return error.code == "conversation_already_has_active_response" or bool(_BUSY.search(error.message))


# Close codes: RFC 6455 section 7.4.1 below 3000, the service's own from there on.
CLOSES: dict[int, tuple[Severity, str]] = {
    1000: ("reconnect", "it ended the session without being asked"),
    1001: ("reconnect", "it ended the session: time limit, or going away"),
    1005: ("reconnect", "it ended the session without saying why"),
    1006: ("reconnect", "the connection broke"),
    1008: ("fatal", "it refuses the session by its policy"),
    1009: ("reconnect", "a message was too big"),
    1011: ("reconnect", "it failed inside"),
    1012: ("reconnect", "it is restarting"),
    1013: ("reconnect", "it is overloaded"),
    3000: ("fatal", "it does not accept the key"),
    4000: ("fatal", "it refuses the kind of session"),
}


def close_severity(code: int) -> Severity:
    """Whether a closed session is worth opening again ("reconnect", also for unknown codes) or not ("fatal")."""
    return CLOSES[code][0] if code in CLOSES else "reconnect"


def close_meaning(code: int) -> str:
    """What a close code means, as the end of a sentence about the service."""
    return CLOSES[code][1] if code in CLOSES else "it ended the session for a reason of its own"
