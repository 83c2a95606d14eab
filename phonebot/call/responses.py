"""
The one place that asks the model for a response.

Only one response of the conversation may be active (Realtime API, response.create). With the server's VAD the model
also begins responses by itself, so a request of ours may come at the wrong moment: it then waits for the active one
to end, and several that wait without wishes of their own become one.
"""

from collections import deque

from phonebot.realtime.events import CreateResponse, ResponseOptions

PLAIN = ResponseOptions()


class Responses:
    """Which response is active, which were interrupted, and what is still to be asked for."""

    def __init__(self) -> None:
        # The active response's id; None: none is active, or ours was requested and has no id yet.
        self.active: str | None = None
        # Interrupted: their audio is dropped for the rest of the call, however late it comes.
        self.fenced: set[str] = set()
        self._requested: CreateResponse | None = None
        self._waiting: deque[ResponseOptions] = deque()
        self._count = 0

    def request(self, options: ResponseOptions = PLAIN) -> tuple[CreateResponse, ...]:
        """Ask for a response. Returns the command to send now, if it may be sent now."""
        if options != PLAIN or PLAIN not in self._waiting:
            self._waiting.append(options)
        return self._next()

    def created(self, response_id: str) -> None:
        self.active, self._requested = response_id, None

    def done(self, response_id: str) -> tuple[CreateResponse, ...]:
        """A response ended. Returns the request that was waiting for it, if any."""
        if self.active not in (response_id, None):
            return ()
        self.active = None
        return self._next()

    def refused(self, event_id: str | None) -> bool:
        """A command failed. True if it was our request: it is kept, and asked for again after the next response."""
        if self._requested is None or event_id != self._requested.event_id:
            return False
        self._waiting.appendleft(self._requested.options)
        self._requested = None
        return True

    def fence(self, response_ids: set[str]) -> None:
        self.fenced |= response_ids

    def _next(self) -> tuple[CreateResponse, ...]:
        if self.active or self._requested or not self._waiting:
            return ()
        self._count += 1
        self._requested = CreateResponse(self._waiting.popleft(), event_id=f"response-{self._count}")
        return (self._requested,)
