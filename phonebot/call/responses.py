"""
The one place that asks the model for a response.

Only one response of the conversation may be active (Realtime API, response.create). With the server's VAD the
model also begins responses by itself, so a request of ours may cross one of the model's: the service then refuses
ours, in an event that comes after its own `response.created`. A request is therefore kept until the response that
followed it has ended, and repeated if it turns out to have been refused. Several that wait without wishes of their
own become one.

One may be insisted on: it takes the place of all others. It bears a mark, which its `response.created` repeats
(Realtime API, metadata): what begins before it is the model's own, and unwanted. Of a service that repeats no marks
one response is taken for that, and the next for ours.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import UNSET
from msgspec.structs import replace

from phonebot.realtime.events import CreateResponse, ResponseOptions

PLAIN = ResponseOptions()
MARK = "phonebot"
"""The key of the mark that a response bears which is insisted on."""
REQUEST_PATIENCE_MS = 5_000  # a request that nothing followed by then was lost
RETRY_MS = 1_500  # how long a service that failed is left alone, unless it says itself when it can answer again
LIMIT_MS = 6_000  # nobody waits longer for a rate limit: by then the caller has been told twice to hold on
RETRIES = 1  # a caller does not wait for more


def exactly(text: str, language: str = "") -> ResponseOptions:
    """
    A response that says these words; in this language (a BCP 47 tag), if they are to be translated.

    The model sees nothing of the conversation: nothing can lead it astray.
    """
    how = f"Say this in the language {language}" if language else "Say exactly these words"
    say = f'{how}, and nothing else: "{text}"'
    return ResponseOptions(instructions=say, input=(), tool_choice="none")


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
        # The one that is insisted on, with its mark, until it has begun; None: there is none.
        self._insisted: ResponseOptions | None = None
        self._marks = 0
        self._unmarked = 0  # responses without a mark that began since
        # The newest response that was insisted on and has begun, and what it was to be.
        self.insisted_id: str | None = None
        self._begun = PLAIN
        self._not_before_ms = 0  # until then the service is left alone
        # When its rate limit allows something again, as it said, and when a response failed last.
        self._allowed_ms = self._failed_ms = 0
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
        return self._request is None or self._request.command.options.input is UNSET

    @property
    def due_ms(self) -> int | None:
        """When `ask` has something to say though nothing happened: a pause is over, or patience is at its end."""
        if self.active:
            return None
        if self._request:
            return self._request.asked_ms + REQUEST_PATIENCE_MS
        return self._not_before_ms if self._wanted or self._insisted else None

    def want(self, options: ResponseOptions = PLAIN) -> None:
        """A response is wanted, as soon as may be."""
        if options != PLAIN or PLAIN not in self._wanted:
            self._wanted.append(options)

    def insist(self, options: ResponseOptions) -> None:
        """This response is wanted, and none of those that were wanted or begin before it."""
        self._wanted.clear()
        self._marks, self._unmarked = self._marks + 1, 0
        self._insisted = replace(options, metadata={MARK: f"insisted-{self._marks}"})
        self.insisted_id = None

    @property
    def owes_words(self) -> bool:
        """A response that says words of ours is insisted on, and has not begun."""
        return self._insisted is not None and self._insisted.input == ()

    def relent(self) -> None:
        """What was insisted on is not wanted any more."""
        self._insisted = None

    def says_exactly(self, response_id: str) -> bool:
        """Whether a response was insisted on that says words of ours."""
        return response_id == self.insisted_id and self._begun.input == ()

    def drop_wanted(self) -> None:
        """The model answers by itself: what was wanted until now is answered with it."""
        self._wanted.clear()

    def ask(self, now: int) -> tuple[CreateResponse, ...]:
        """The command to send now, if any."""
        if self._request and not self.active and now >= self._request.asked_ms + REQUEST_PATIENCE_MS:
            self._request = None  # lost; what it wanted is not wanted any more after so long a silence
            if self._insisted is None:
                self.want()
        if self.active or self._request or now < self._not_before_ms:
            return ()
        if self._insisted is None and not self._wanted:
            return ()
        self._count += 1
        # What is insisted on is kept until it has begun.
        command = CreateResponse(self._insisted or self._wanted.popleft(), event_id=f"response-{self._count}")
        self._request = Request(command, now)
        return (command,)

    def created(self, response_id: str, metadata: Mapping[str, str] | None = None) -> bool:
        """
        A response began: the one asked for, or one of the model's own. Only an error tells them apart, or a mark.

        True: it is unwanted, since another one is insisted on.
        """
        self.active = response_id
        if self._insisted is None:
            return False
        assert isinstance(self._insisted.metadata, dict), "it bears a mark"
        marked = MARK in (metadata or {})
        if marked:
            is_ours = metadata == self._insisted.metadata
        else:
            self._unmarked += 1
            is_ours = self._asked_insisted and self._unmarked > 1
        if is_ours:
            self.insisted_id, self._begun, self._insisted = response_id, self._insisted, None
        return not is_ours

    @property
    def _asked_insisted(self) -> bool:
        """What is insisted on was asked for."""
        return self._request is not None and self._request.command.options == self._insisted

    def crossed(self, response_id: str) -> None:
        """A response that has begun is not to be heard now: if it was insisted on, it still is."""
        if response_id == self.insisted_id:
            self.insisted_id, self._insisted, self._unmarked = None, self._begun, 0

    def done(self, response_id: str) -> None:
        """A response ended, whether or not its begin was heard of."""
        if self.active in (response_id, None):
            self.active = self._request = None
            self._failures = 0

    def limited(self, allowed_ms: int) -> None:
        """The service's rate limit allows nothing until then; it may be told after what failed of it."""
        self._allowed_ms = allowed_ms
        if self._failures and not (self.active or self._request):
            self._not_before_ms = self._again_ms()

    def _again_ms(self) -> int:
        """When a service whose response has failed is asked again."""
        failed_ms, allowed_ms = self._failed_ms, self._allowed_ms
        said = failed_ms < allowed_ms <= failed_ms + LIMIT_MS
        return allowed_ms if said else failed_ms + RETRY_MS

    def failed(self, response_id: str, now: int) -> bool:
        """A response failed in a way that may pass. True if it is wanted once more, after a pause."""
        options = self._request.command.options if self._request else PLAIN
        failures = self._failures + 1
        self.done(response_id)
        if failures > RETRIES:
            return False
        self._failures, self._failed_ms = failures, now
        self._not_before_ms = self._again_ms()
        if response_id == self.insisted_id:
            self.crossed(response_id)
        elif options != self._insisted:
            self._wanted.appendleft(options)
        return True

    def lose(self, spoke: bool) -> bool:
        """
        The session is gone, and what was under way in it. What was wanted is wanted still, of the next one.

        `spoke`: of the active response something is to be heard. True: that is to be gone on with. What nothing is
        to be heard of is wanted again, and so is what is insisted on: that has to be heard in full.
        """
        active, request, asked_insisted = self.active, self._request, self._asked_insisted
        self.active = self._request = None
        self._failures = self._not_before_ms = self._allowed_ms = 0
        if active is not None and active == self.insisted_id:
            self.crossed(active)
        elif active is None or active not in self.fenced:
            if active and spoke:
                return True
            if request and not asked_insisted:
                self._wanted.appendleft(request.command.options)
            elif active:
                self.want()
        return False

    def refused(self, event_id: str | None, busy: bool) -> bool:
        """
        A command was refused. True if it was the request: named, or no command is and a response is in the way.

        When another response was in its way (`busy`) the request is wanted again.
        """
        if self._request is None or not (event_id == self._request.command.event_id or (busy and event_id is None)):
            return False
        if busy and not self._asked_insisted:
            self._wanted.appendleft(self._request.command.options)
        self._request = None
        return True

    def fence(self, response_ids: set[str]) -> None:
        """The caller has interrupted these."""
        self.fenced |= response_ids
