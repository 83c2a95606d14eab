"""What is decided about a call before it begins: the session to open, and the service's own rules for it."""

from phonebot.realtime.events import Frozen, Session


class CallPlan(Frozen, frozen=True):
    """
    `greeting` None: the bot waits for the caller to speak. `max_call_ms` counts from the stream's start.
    """

    session: Session
    greeting: str | None = None
    max_call_ms: int = 900_000
