"""How a call ended, in words that a person understands."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Ending:
    """`badge` is the look of it: something to act upon, to know of, or the usual. `means` is a sentence."""

    words: str
    badge: Literal["danger", "warning", "success", ""]
    means: str


ENDINGS: dict[str, Ending] = {
    "caller_hung_up": Ending("Caller hung up", "success", "The caller ended the call."),
    "operator_hung_up": Ending("Hung up by an operator", "", "An operator ended the call on the page Live."),
    "bot_hung_up": Ending("Bot hung up", "success", "The bot said goodbye and ended the call."),
    "transferred": Ending("Transferred", "success", "The bot put the caller through to somebody else."),
    "no_input": Ending("Caller silent", "warning", "The caller said nothing, and the bot ended the call."),
    "cost_limit": Ending("Cost limit", "warning", "The call reached what its profile or deployment may spend."),
    "guardrail": Ending("Ended by a guardrail", "warning", "A guardrail of the profile ended the call."),
    "time_limit": Ending("Time limit", "warning", "The call reached the longest time that its profile allows."),
    "service_stopped": Ending(
        "Service stopped", "warning", "The service was told to stop, and the bot said goodbye."
    ),
    "moved": Ending("Moved", "", "The service was told to stop: the call went on in another process."),
    "stream_lost": Ending("Connection lost", "warning", "The connection to the carrier broke off."),
    "model_failed": Ending("Model failed", "danger", "The model could not be reached, or stopped answering."),
    "carrier_faults": Ending(
        "Carrier faults", "danger", "The carrier sent too many messages that it must not send."
    ),
}
UNKNOWN = Ending("Unknown", "", "phonebot does not know how this call ended.")


def ending(outcome: str | None) -> Ending:
    """That of an outcome; a newer one's own name with spaces."""
    if not outcome:
        return UNKNOWN
    return ENDINGS.get(outcome) or Ending(outcome.replace("_", " ").capitalize(), "", "")
