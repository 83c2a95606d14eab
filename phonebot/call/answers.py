"""The model's answers: what it says goes to the caller, what it calls to the errands; and what it complains of."""

from phonebot.audio.base64 import base64_length, is_base64
from phonebot.call.actions import Action, Tell
from phonebot.call.audio_path import BotLeg
from phonebot.call.caller import Caller
from phonebot.call.conversation import Conversation
from phonebot.call.enforcement import Enforcement
from phonebot.call.errands import Errands
from phonebot.call.guardrails import Guardrails
from phonebot.call.inputs import ModelReady
from phonebot.call.recovery import Recovery
from phonebot.call.turns import Turn
from phonebot.call.typed import Typed
from phonebot.realtime import events
from phonebot.realtime.severity import already_shorter_ms, is_busy, severity

MAX_RESET_S = 3_600.0  # a rate limit that lasts longer is no other
MAX_WAITING_MS = 600_000  # audio that the model may be ahead of playout; beyond it it runs away


class Answers:
    """`begun`: of one of them there was something to be heard."""

    def __init__(
        self,
        talk: Conversation,
        caller: Caller,
        errands: Errands,
        guardrails: Guardrails,
        enforcement: Enforcement,
        typed: Typed,
        recovery: Recovery,
    ) -> None:
        self.begun = False
        self._recovery = recovery
        self._talk, self._caller, self._errands = talk, caller, errands
        self._guardrails, self._enforcement, self._typed = guardrails, enforcement, typed
        self._leg = BotLeg()

    def model_ready(self, ready: ModelReady) -> None:
        self._leg = BotLeg(ready.output_format)

    # ------------------------------------------------------------------------------ a response

    def response_created(self, event: events.ResponseCreated, now: int) -> list[Action]:
        talk, response_id = self._talk, event.response.id
        talk.shows_life(now)
        actions = talk.stop_music(now)
        actions += talk.items.delete_unheard(lambda item: item.response_id != response_id)  # only one can be active
        talk.answer_due_ms = None
        self._caller.is_being_answered(response_id)
        crossed = talk.responses.asked and talk.turn is Turn.CALLER and not talk.is_deaf
        follows = talk.responses.follows_conversation
        unwanted = talk.responses.created(response_id, event.response.metadata)
        if follows and not unwanted:
            self._typed.response_began()
        if self._caller.greeting == "":
            self._caller.greeting = response_id
        if crossed:  # it was asked for before the caller began to speak: he is not talked over
            talk.responses.crossed(response_id)
        elif self._caller.is_owed and response_id == talk.responses.insisted_id:
            self._caller.is_owed = False
            talk.responses.want()
        if crossed or unwanted:
            talk.responses.fence({response_id})
            return [*actions, Tell(events.CancelResponse(response_id))]
        return actions + talk.floor(events.ResponseCreated)

    def response_done(self, event: events.ResponseDone, now: int) -> list[Action]:
        talk, response = self._talk, event.response
        actions: list[Action] = []
        heard_caller = response.reason == "turn_detected" and not talk.is_deaf
        if heard_caller and response.id not in talk.responses.fenced:
            actions += self._caller.told_of_interruption(now)
        was_active = talk.responses.active in (response.id, None)
        if response.status == "failed":
            actions += self._failed(response, now)
            if talk.ended:
                return actions
        else:
            talk.responses.done(response.id)
            if response.status == "completed":
                self._caller.was_answered(response.id)
        if response.reason == "content_filter" and response.id not in talk.responses.fenced:
            # The service's filter has stopped it in mid-word, and would again.
            actions += talk.silence_bot(now) + self._recovery.excuse(now)
        actions += self._guardrails.response_over(response.id, now)
        actions += talk.items.complete(response.id)
        actions += talk.items.delete_unheard(lambda item: item.response_id == response.id)
        if was_active and response.id not in talk.responses.fenced:
            actions += talk.floor(events.ResponseDone)
        actions += self._errands.response_over(response.id, now)
        return actions + talk.play_waiting(now) + talk.ask(now) + self._caller.bot_stopped(now)

    def _failed(self, response: events.Response, now: int) -> list[Action]:
        """The caller shall not be met with silence: what may pass is tried again, once."""
        error = response.error or events.ErrorDetail("no reason given", type="server_error")
        how = severity(error)
        if how == "fatal":
            return self._recovery.fail(error.message, now)
        retried = how == "retry_response" and self._talk.responses.failed(response.id, now)
        actions = self._recovery.complain(f"the model's response failed: {error.message}", now)
        if retried or self._talk.ended:
            return actions
        self._talk.responses.done(response.id)
        return actions + self._recovery.excuse(now)

    def limited(self, event: events.RateLimitsUpdated, now: int) -> list[Action]:
        """So much may be asked of the service; what is used up is there again after a while."""
        if used_up := [limit.reset_s for limit in event.limits if limit.remaining <= 0 < limit.reset_s]:
            self._talk.responses.limited(now + int(min(max(used_up), MAX_RESET_S) * 1000))
        return []

    def makes_call(self, event: events.Event, now: int) -> list[Action]:
        """It writes the arguments of a function, or its service runs one."""
        self._talk.shows_life(now)
        return []

    # ------------------------------------------------------------------------------ its items

    def in_conversation(self, event: events.ItemAdded, now: int) -> list[Action]:
        """An item has its place in the model's conversation, whoever made it."""
        self._talk.dialogue.added(event.item.id, event.item)
        self._errands.in_conversation(event.item)
        self._typed.added(event.item.id)
        return []

    def item_added(self, event: events.OutputItemAdded, now: int) -> list[Action]:
        talk, added = self._talk, event.item
        talk.shows_life(now)
        talk.dialogue.added(added.id)
        if not isinstance(added, events.Message) or not added.id or talk.items.is_final(added.id):
            return []
        item = talk.items.item(added.id, event.response_id)
        if event.response_id not in talk.responses.fenced or item.received_ms:
            return []
        talk.items.forget(item)  # begun before the model knew of the interruption
        return talk.items.remove(item)

    def item_done(self, event: events.OutputItemDone, now: int) -> list[Action]:
        item = event.item
        self._talk.shows_life(now)
        if isinstance(item, events.FunctionCall) and item.status == "completed":
            return self._enforcement.hold_back(self._errands.called(item, event.response_id, now), now)
        self._errands.ended_with(item, event.response_id)
        spoken = self._talk.items.get(item.id)
        if spoken and isinstance(item, events.Message) and item.status == "incomplete":
            spoken.complete = False  # its audio ended, but not because all was said
        return []

    # ------------------------------------------------------------------------------ what it says

    def audio(self, event: events.AudioDelta, now: int) -> list[Action]:
        talk, self.begun = self._talk, True
        if event.response_id in talk.responses.fenced or talk.items.is_final(event.item_id):
            return []
        if not is_base64(event.audio):
            return self._recovery.complain(f"audio of item {event.item_id} is no base64", now)
        if talk.ledger.waiting_ms > MAX_WAITING_MS:
            return self._recovery.complain(f"item {event.item_id} is endless: its audio is not taken any more", now)
        item = talk.items.item(event.item_id, event.response_id)
        item.content_index = event.content_index
        # Music that began while the answer was waited for; what is paused is left to whoever has paused it.
        begins = not (item.received_ms or talk.ledger.held)
        stopped = talk.stop_music(now, spared=event.response_id) if begins else []
        item.receive(base64_length(event.audio), self._leg.bytes_per_ms)
        payload = self._leg.feed(item.item_id, event.audio)
        played = talk.play(item, payload, now)
        talk.spoke_ms = now
        talk.shows_life(now + talk.unheard_ms(now))
        return [*stopped, *played, *talk.floor(events.AudioDelta)]

    def audio_done(self, event: events.AudioDone, now: int) -> list[Action]:
        talk = self._talk
        item = talk.items.get(event.item_id)
        if item is None or event.response_id in talk.responses.fenced:
            return []
        item.complete = True
        actions = talk.play(item, self._leg.finish(item.item_id), now)
        return actions + talk.ledger.finish(now) + talk.items.heard_in_full(item) + talk.play_waiting(now)

    def text(self, event: events.SpokenTextDelta, now: int) -> list[Action]:
        self._talk.shows_life(now)
        if self._talk.items.is_final(event.item_id):
            return []
        self._talk.items.item(event.item_id, event.response_id).text_parts.append(event.delta)
        return self._guardrails.spoke(event.item_id, event.response_id, event.delta, now)

    def text_done(self, event: events.SpokenTextDone, now: int) -> list[Action]:
        items = self._talk.items
        if items.is_final(event.item_id):
            return []
        known = items.text_is_known(items.item(event.item_id, event.response_id), event.transcript)
        return known + self._guardrails.said(event.item_id, event.response_id, event.transcript, now)

    # ------------------------------------------------------------------------------ what it complains of

    def error(self, event: events.ErrorEvent, now: int) -> list[Action]:
        error = event.error
        if self._talk.responses.refused(error.event_id, busy=is_busy(error)) and is_busy(error):
            return []
        if already_shorter_ms(error) is not None:
            return self._talk.items.truncate_again(error)
        how = severity(error)
        if how == "fatal":
            return self._recovery.fail(error.message, now)
        return [] if how == "harmless" else self._recovery.complain(f"the model reports: {error.message}", now)
