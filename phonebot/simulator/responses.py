"""
The responses of a session: one at a time in its conversation, and several out of band beside it.

Begins, runs, cancels and ends them; `response.created` is the first event of each and `response.done` the last.
"""

import math
from collections.abc import Sequence
from random import Random

from phonebot.simulator.config import Config
from phonebot.simulator.conversation import Conversation, Item
from phonebot.simulator.generation import Generation, Request
from phonebot.simulator.mind import Mind
from phonebot.simulator.outbox import Outbox
from phonebot.simulator.outputs import Faults, Options, Spoken
from phonebot.simulator.schema import Refused, invalid
from phonebot.simulator.shapes import Json, rate_limits_json, response_json
from phonebot.simulator.tokens import Block, blocks_of, cached, total

MAX_OUT_OF_BAND = 16
TOKENS_PER_MINUTE = 40_000  # what `rate_limits.updated` counts down from; who refuses is the mind


class Responses:
    """
    The responses under way.

    `active` is that of the conversation. `quiet_from_ms` is when the last one that ended will have been played, if
    it is played as it comes. `has_spoken` locks the voice.
    """

    def __init__(
        self,
        outbox: Outbox,
        conversation: Conversation,
        mind: Mind,
        options: Options,
        faults: Faults,
        sizes: Random,
    ) -> None:
        self.active: Generation | None = None
        self.quiet_from_ms: float | None = None  # None: no response has ended since one began
        self.has_spoken = False
        self._out_of_band: list[Generation] = []
        self._outbox, self._conversation, self._mind = outbox, conversation, mind
        self._options, self._faults, self._sizes = options, faults, sizes
        self._last_input: tuple[Block, ...] = ()  # what the last response read: it is in the cache

    @property
    def due_ms(self) -> float:
        """When `advance` is next needed; infinity when nothing waits for the time."""
        return min((generation.due_ms for generation in self._under_way), default=math.inf)

    @property
    def _under_way(self) -> Sequence[Generation]:
        return [self.active, *self._out_of_band] if self.active else tuple(self._out_of_band)

    def check_room(self, out_of_band: bool) -> None:
        """Raise Refused when no such response may begin now."""
        if out_of_band and len(self._out_of_band) >= MAX_OUT_OF_BAND:
            raise invalid("response.conversation", f"{MAX_OUT_OF_BAND} responses are already out of band")
        if not out_of_band and self.active is not None:
            raise Refused(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self.active.id}. "
                "Wait until the response is finished before creating a new one.",
            )

    def start(self, config: Config, body: Json, context: Sequence[Item], now_ms: float) -> None:
        """
        Begin a response that reads `context`; there must be room for it.

        `body` is the client's `response` object, empty for an answer to a turn.
        """
        out_of_band = body.get("conversation") == "none"
        blocks = blocks_of(config.instructions, context)
        request = Request(
            config,
            context,
            conversation=None if out_of_band else self._conversation,
            instructions=body.get("instructions"),
            metadata=body.get("metadata"),
            input_tokens=total(blocks),
            cached_tokens=cached(self._last_input, blocks),
        )
        generation = Generation(
            self._outbox.new_id("resp"),
            request,
            self._outbox,
            self._mind,
            speed=self._options.speed,
            sizes=self._sizes,
            faults=self._faults,
        )
        self._last_input = blocks
        if out_of_band:
            self._out_of_band.append(generation)
        else:
            self.active, self.quiet_from_ms = generation, None
        self._outbox.tell("response.created", response=self._response(generation))
        self._tell_rate_limits("start", generation)
        self._advance(generation, now_ms)

    def advance(self, now_ms: float) -> None:
        """Do what is due."""
        for generation in self._under_way:
            if now_ms >= generation.due_ms:
                self._advance(generation, now_ms)

    def listen(self, now_ms: float) -> None:
        """The ear has understood something, which a response may wait for."""
        for generation in self._under_way:
            self._advance(generation, now_ms)

    def complete(self, job: int, result: Spoken | Exception, now_ms: float) -> None:
        """Take the result of a job of the voice; nobody may want it any more."""
        for generation in self._under_way:
            if generation.complete(job, result):
                self._advance(generation, now_ms)

    def interrupt(self, now_ms: float) -> None:
        """The caller speaks: cancel the response of the conversation, if there is one."""
        if self.active is not None:
            self._cancel(self.active, "turn_detected", now_ms)

    def cancel(self, response_id: str | None, now_ms: float) -> None:
        """Cancel the response of that id, or (None) that of the conversation. Raises Refused when there is none."""
        generation = self.active
        if response_id is not None:
            generation = next((each for each in self._under_way if each.id == response_id), None)
        if generation is None:
            raise Refused("response_cancel_not_active", "Cancellation failed: no active response found.")
        self._cancel(generation, "client_cancelled", now_ms)

    def drop(self) -> None:
        """Forget all responses; nothing more is told of them."""
        self.active = self.quiet_from_ms = None
        self._out_of_band.clear()

    def _cancel(self, generation: Generation, reason: str, now_ms: float) -> None:
        generation.cancel(reason)
        self._finish(generation, now_ms)
        if self._faults.deltas_after_cancel:
            generation.stray_deltas()

    def _advance(self, generation: Generation, now_ms: float) -> None:
        generation.advance(now_ms)
        self.has_spoken = self.has_spoken or generation.first_audio_ms is not None
        if not generation.is_active:
            self._finish(generation, now_ms)

    def _finish(self, generation: Generation, now_ms: float) -> None:
        if generation is self.active:
            self.active, self.quiet_from_ms = None, max(now_ms, generation.played_ms)
        else:
            self._out_of_band.remove(generation)
        self._outbox.tell("response.done", response=self._response(generation))
        self._tell_rate_limits("end", generation)

    def _response(self, generation: Generation) -> Json:
        request = generation.request
        return response_json(
            request.config,
            self._outbox.dialect,
            response_id=generation.id,
            status=generation.status,
            status_details=generation.details,
            output=[self._outbox.item_shape(item) for item in generation.output],
            conversation_id=None if request.conversation is None else request.conversation.id,
            metadata=request.metadata,
            usage=None if generation.is_active else generation.usage,
        )

    def _tell_rate_limits(self, moment: str, generation: Generation) -> None:
        when = self._options.rate_limits
        if when == "dialect":
            when = "start" if self._outbox.dialect == "beta" else "end"
        is_adjusted = moment == "end" and generation.reset_s is not None
        if moment != when and not (is_adjusted and when != "never"):
            return
        usage = generation.usage
        remaining = max(0, TOKENS_PER_MINUTE - usage.input.total - usage.output.total)
        reset_s = round((TOKENS_PER_MINUTE - remaining) / TOKENS_PER_MINUTE * 60, 3)
        if generation.reset_s is not None:
            remaining, reset_s = 0, generation.reset_s
        limits = rate_limits_json(TOKENS_PER_MINUTE, remaining, reset_s)
        self._outbox.tell("rate_limits.updated", rate_limits=limits)
