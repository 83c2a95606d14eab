"""
The one place that asks the model for a response.

Only one response of the conversation may be active (Realtime API, response.create). With the server's VAD the
model also begins responses by itself, so a request of ours may cross one of the model's: the service then refuses
ours, in an event that comes after its own `response.created`. A request is therefore kept until the response that
followed it has ended, and repeated if it turns out to have been refused. Several that wait without wishes of their
own become one.
"""

from collections import deque
from dataclasses import dataclass

from phonebot.realtime.events import CreateResponse, ResponseOptions

PLAIN = ResponseOptions()

REQUEST_PATIENCE_MS = 10_000  # a request that nothing followed by then was lost
RETRY_MS = 1_500  # how long an overloaded service is left alone
RETRIES = 3


@dataclass(frozen=True, slots=True)
class Request:
    """A response that was asked for and has not ended yet."""

    command: CreateResponse
    asked_ms: int


class Responses:
    """
    Which response is active, which were interrupted, and what is still to be asked for.

    `want` says that a response is wanted, `ask` gives the command when it may be sent.
    """

    def __init__(self) -> None:
        # The active response's id; None: none is active, or ours was asked for and has no id yet.
        self.active: str | None = None
        # Interrupted: their audio is dropped for the rest of the call, however late it comes.
        self.fenced: set[str] = set()
        self._request: Request | None = None
        self._wanted: deque[ResponseOptions] = deque()
        self._not_before_ms = 0  # until then the service is left alone
        self._failures = 0  # in a row
        self._count = 0

    @property
    def asked(self) -> bool:
        """A request is under way, and no response has followed it yet."""
        return self._request is not None and self.active is None

    @property
    def pending(self) -> bool:
        """A response is wanted or was asked for, and none is active."""
        return self.due_ms is not None

    @property
    def follows_conversation(self) -> bool:
        """What begins now is made of the conversation: by the service itself, or as we asked for it."""
        return self._request is None or self._request.command.options == PLAIN

    @property
    def due_ms(self) -> int | None:
        """When `ask` has something to say though nothing happened: a pause is over, or patience is at its end."""
        if self.active:
            return None
        if self._request:
            return self._request.asked_ms + REQUEST_PATIENCE_MS
        return self._not_before_ms if self._wanted else None

    def want(self, options: ResponseOptions = PLAIN) -> None:
        """A response is wanted, as soon as may be."""
        if options != PLAIN or PLAIN not in self._wanted:
            self._wanted.append(options)

    def drop_wanted(self) -> None:
        """The model answers by itself: what was wanted until now is answered with it."""
        self._wanted.clear()

    def ask(self, now: int) -> tuple[CreateResponse, ...]:
        """The command to send now, if any."""
        if self._request and not self.active and now >= self._request.asked_ms + REQUEST_PATIENCE_MS:
            self._request = None  # lost; what it wanted is not wanted any more after so long a silence
            self.want()
        if self.active or self._request or not self._wanted or now < self._not_before_ms:
            return ()
        self._count += 1
        command = CreateResponse(self._wanted.popleft(), event_id=f"response-{self._count}")
        self._request = Request(command, now)
        return (command,)

    def created(self, response_id: str) -> None:
        """A response began: the one asked for, or one of the model's own. Only an error tells them apart."""
        self.active = response_id

    def done(self, response_id: str) -> None:
        """A response ended, whether or not its begin was heard of."""
        if self.active in (response_id, None):
            self.active = self._request = None
            self._failures = 0

    def failed(self, response_id: str, now: int) -> bool:
        """A response failed in a way that may pass. True if it is wanted once more, after a pause."""
        options = self._request.command.options if self._request else PLAIN
        failures = self._failures + 1
        self.done(response_id)
        if failures > RETRIES:
            return False
        self._failures, self._not_before_ms = failures, now + RETRY_MS
        self._wanted.appendleft(options)
        return True

    def refused(self, event_id: str | None, busy: bool) -> bool:
        """
        A command was refused. True if it was the request: named, or no command is and a response is in the way.

        When another response was in its way (`busy`) the request is wanted again.
        """
        if self._request is None or not (event_id == self._request.command.event_id or (busy and event_id is None)):
            return False
        if busy:
            self._wanted.appendleft(self._request.command.options)
        self._request = None
        return True

    def fence(self, response_ids: set[str]) -> None:
        self.fenced |= response_ids
