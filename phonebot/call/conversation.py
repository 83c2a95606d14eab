"""
What is said in a call, and what was heard of it: the floor, the playout, the bot's items and responses.

    talk = Conversation(plan)
    actions = talk.interrupt(now)         # stop the bot, and settle what was heard of it once that is known
    actions = talk.wanted(now)            # the model is to answer, as soon as nobody speaks
    actions = talk.take_leave(farewell, now)

All parts of a call act on this one. Each method gives the actions that come of it, in their order.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from phonebot.audio.base64 import base64_length
from phonebot.call import turns
from phonebot.call.actions import (
    Action,
    BargeIn,
    CloseModel,
    CloseStream,
    Ended,
    Floor,
    Held,
    Outcome,
    Settled,
    StartRecording,
    Tell,
    Trouble,
)
from phonebot.call.clears import Settlement
from phonebot.call.clips import Clips
from phonebot.call.dialogue import Dialogue, retold_characters
from phonebot.call.farewell import Farewell
from phonebot.call.inputs import Leave
from phonebot.call.items import Items
from phonebot.call.notice import Notice
from phonebot.call.plan import CallPlan, Clip
from phonebot.call.playout import PlayoutLedger
from phonebot.call.responses import Responses, exactly
from phonebot.call.transcript import SpokenItem
from phonebot.call.turns import PlayoutEnded, Turn
from phonebot.realtime import events


class Conversation:
    """`ended`: the call is over, and nothing more comes of it."""

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self.turn = Turn.IDLE
        self.ended = False
        self.ledger = PlayoutLedger(plan.carrier, holds=plan.caution.hold_ms > 0)
        self.responses = Responses()
        self.dialogue = Dialogue(plan.earlier, retold_characters(plan.session.truncation))
        # What we play ourselves; its items are among the others.
        self.clips = Clips(self.dialogue)
        self.items = Items(self.responses, self.clips, self.dialogue)
        # What the model is to be told of why it was stopped, once it knows what was heard; None: nothing.
        self.untold: str | None = None
        # Into which words of ours are translated; "": they are said as they are.
        self.language = plan.language
        # What is to be heard before all else; None: it was, or nothing is.
        self.notice = Notice(plan.notice) if plan.notice else None
        # The words with which the call ends; None: it goes on.
        self.farewell: Farewell | None = None
        # When the model showed last that it makes an answer, or what it said so far will have been heard; and when
        # it last said something.
        self.alive_ms = self.spoke_ms = 0
        # When the model should have begun to answer the caller's turn; None: it has, or need not.
        self.answer_due_ms: int | None = None
        # Of the pause: how much was still to be heard (None: nothing was playing), and what the positions rest on.
        self._unheard_ms: int | None = None
        self._held_settled: Settled = "at_once"
        # The last that began while the caller had to wait; None: there was none, or it had to stop.
        self.music: SpokenItem | None = None

    # ------------------------------------------------------------------------------ the floor

    def floor(self, happening: type) -> list[Action]:
        """This has happened, and may have passed the floor on."""
        turn = turns.after(self.turn, happening)
        if turn is self.turn:
            return []
        self.turn = turn
        return [Floor(turn)]

    @property
    def is_deaf(self) -> bool:
        """Nobody listens to the caller yet, or any more."""
        return self.notice is not None or (self.farewell is not None and not self.farewell.listens)

    @property
    def must_not_ask(self) -> bool:
        """
        The caller speaks, or whether he does, or what he has heard, is being found out; or a notice is said.

        Or there is no model.
        """
        if self.items.model is None:
            return True
        he_speaks = self.turn is Turn.CALLER and not self.is_deaf
        is_noticed = self.notice is not None and self.responses.insisted_id is not None
        return he_speaks or is_noticed or self.ledger.held or self.untold is not None

    @property
    def is_quiet(self) -> bool:
        """Nothing is said or about to be: the bot may say something of its own."""
        busy = self.responses.active or self.responses.pending or self.notice or self.farewell
        return not (busy or self.must_not_ask)

    @property
    def due_ms(self) -> int | None:
        """When `ask` has something to say though nothing happened."""
        due_ms = self.responses.due_ms
        # While nothing may be asked for a Tick would change nothing, and be due again.
        return None if due_ms is None or self.must_not_ask else due_ms

    def ask(self, now: int) -> list[Action]:
        """Ask for the response that is wanted, if it may be asked for."""
        if self.must_not_ask:
            return []
        if self.farewell:
            self.responses.drop_wanted()
        return [Tell(command) for command in self.responses.ask(now)]

    def words(self, text: str, language: str = "") -> events.ResponseOptions:
        """A response that says words of ours: in this language, unless another one is spoken by now."""
        return exactly(text, self.language or language)

    def wanted(self, now: int) -> list[Action]:
        """The model is to answer."""
        self.responses.want()
        return self.ask(now)

    def unheard_ms(self, now: int) -> int:
        """How much of what the bot has said is still to be heard, about."""
        if self.ledger.held:
            return self._unheard_ms or 0
        return 0 if self.ledger.empty else self.ledger.unheard_ms(now)

    # ------------------------------------------------------------------------------ what is played

    def play(self, item: SpokenItem, payload: str, now: int) -> list[Action]:
        """More of an item, base64 of mu-law."""
        if not payload:
            return []
        start, item.sent_bytes = item.sent_bytes, item.sent_bytes + base64_length(payload)
        return self.ledger.queue(item.item_id, start, payload, now)

    def shows_life(self, until_ms: int) -> None:
        """The model makes an answer; what it said of it so far will have been heard then, or is by now."""
        if until_ms > self.alive_ms:
            self.alive_ms = until_ms

    def play_canned(self, clip: Clip, now: int) -> list[Action]:
        """Play what stands for words of the model's, whoever speaks; nothing if there is no such recording."""
        if not clip.audio:
            return []
        return self.stop_music(now) + self.play_clip(replace(clip, over_speech=True), now)

    def play_clip(self, clip: Clip, now: int) -> list[Action]:
        """Play audio of our own: see PlayClip."""
        if objection := self.clips.objection(clip):
            return [Trouble(objection)]
        item = self.clips.begin(clip)
        self.items.add(item)
        if self.turn is Turn.CALLER and self.plan.interruptible and not clip.over_speech:
            return self.items.settle(item, 0, "at_once")
        self.clips.wait(item, clip)
        return self.play_waiting(now)

    def play_music(self, now: int) -> list[Action]:
        """Play the caller something while he waits."""
        clip = Clip("", self.plan.hold_audio)
        actions = self.play_clip(clip, now) if clip.audio else []
        self.music = self.items.newest if clip.audio else None
        return actions

    def stop_music(self, now: int, spared: str = "") -> list[Action]:
        """There is something else to be heard. `spared`: the response that is about to say it."""
        music, self.music = self.music, None
        plays = music and not music.stopped and self.items.get(music.item_id)
        return self.silence_bot(now, spared) if plays else []

    @property
    def plays_music(self) -> bool:
        return self.music is not None and self.items.get(self.music.item_id) is self.music

    def play_waiting(self, now: int) -> list[Action]:
        """Play the clips that wait, unless that would split an answer."""
        if self.items.growing:
            return []
        actions: list[Action] = []
        for item, clip in self.clips.take_waiting():
            actions += self.ledger.queue(item.item_id, 0, clip.audio, now) + self.ledger.finish(now)
            actions += self.floor(events.AudioDelta)
        return actions

    def marked(self, name: str, now: int) -> list[Action]:
        """A mark came back."""
        actions = self.settle(self.ledger.echo(name, now), "timeout", now)
        for segment in self.ledger.played():
            actions += self.items.confirm(segment.item_id, segment.item_start + segment.length)
        actions += self.ledger.release(now)
        if self.ledger.empty:
            actions += self.floor(PlayoutEnded)
        return actions

    # ------------------------------------------------------------------------------ the bot is stopped

    def interrupt(
        self, now: int, by_service: bool = True, by_caller: bool = True, spared: str = ""
    ) -> list[Action]:
        """
        The caller has taken the floor: stop playback, and settle every item that he has not heard in full.

        Nothing happens when nothing is left to play and nothing is being generated. `by_service`: the service knows
        of it too, and ends its response if that is its way. Not `by_caller`: it is the bot that has to stop.
        `spared`: this response goes on, with what it has not begun to say.
        """
        items = [item for item in self.items.unstopped() if item.response_id != spared or item.received_ms]
        active = ({self.responses.active} if self.responses.active else set()) - {spared}
        self.responses.fence((active | {item.response_id for item in items}) - {spared})
        self.alive_ms = min(self.alive_ms, now)
        actions: list[Action] = []
        if self.ledger.held:
            actions += self._drop_held(items, by_caller)
        elif self.ledger.empty:
            self.ledger.drop()
            for item in items:
                actions += self.items.settle(item, item.played_bytes, "at_once")
        else:
            unheard_ms = self.ledger.unheard_ms(now)
            fence, actions = self.ledger.clear(now)
            actions += [BargeIn(unheard_ms)] if by_caller else []
            self.items.stop(items, fence)
        if active and not (by_service and self._cancels_by_itself()):
            actions.append(Tell(events.CancelResponse(self.responses.active)))
        return actions

    def silence_bot(self, now: int, spared: str = "") -> list[Action]:
        """It must not be heard any further, whatever it says and whoever listens; `spared` as of `interrupt`."""
        stopped = self.interrupt(now, by_service=False, by_caller=False, spared=spared)
        return stopped + (self.floor(PlayoutEnded) if stopped else [])

    def _cancels_by_itself(self) -> bool:
        """Whether the service ends its response when the caller speaks."""
        detection = self.plan.session.turn_detection
        interrupts = isinstance(detection, events.TurnDetection) and detection.interrupt_response is not False
        return interrupts and self.items.can("interrupts")

    def _drop_held(self, items: list[SpokenItem], by_caller: bool = True) -> list[Action]:
        """The bot was paused, and does not go on."""
        told = by_caller and self._unheard_ms is not None
        actions: list[Action] = [BargeIn(self._unheard_ms or 0)] if told else []
        if fence := self.ledger.abandon():
            self.items.stop(items, fence)
            return actions
        for item in items:
            actions += self.items.settle(item, item.played_bytes, self._held_settled)
        return actions

    # ------------------------------------------------------------------------------ the bot is paused

    def hold(self, now: int) -> list[Action]:
        """Pause the bot, so that it can go on where it was."""
        if self.is_deaf:
            return []
        if self.ledger.held:  # it was to go on, and is not known yet from where
            return self.ledger.hold(now)
        unheard_ms = self.ledger.unheard_ms(now)
        actions = self.ledger.hold(now)
        self._unheard_ms = unheard_ms if actions else None
        self._held_settled = "at_once"
        return [*actions, Held(unheard_ms)]

    def resume(self, now: int) -> list[Action]:
        """It was nothing: the bot goes on, if it was paused."""
        if not self.ledger.held:
            return []
        actions = self.ledger.resume(now)
        if self.ledger.empty:
            actions += self.floor(PlayoutEnded)
        return actions + self.ask(now)

    # ------------------------------------------------------------------------------ what was heard

    def settle(self, settlements: Iterable[Settlement], low: Settled, now: int) -> list[Action]:
        """Settle the items of each clear; `low` says why an estimate had to do, where one had."""
        actions: list[Action] = []
        for settlement in settlements:
            settled: Settled = "fence" if settlement.exact else low
            stopped = self.items.stopped_by(settlement.fence)
            if stopped is None:
                actions += self._settle_held(settlement, settled, now)
                continue
            for item in stopped:
                heard = settlement.heard.get(item.item_id, item.played_bytes)
                actions += self.items.settle(item, heard, settled)
        return actions + self.tell_why(now)

    def _settle_held(self, settlement: Settlement, settled: Settled, now: int) -> list[Action]:
        """It is known where the pause has cut, and the bot goes on there, if it was to go on."""
        self._held_settled = settled
        actions: list[Action] = []
        for item in self.items:
            actions += self.items.confirm(item.item_id, settlement.heard.get(item.item_id, item.played_bytes))
        if not self.ledger.held:
            actions += self.ledger.release(now)
            actions += self.floor(PlayoutEnded) if self.ledger.empty else []
        return actions + self.ask(now)

    def tell_why(self, now: int) -> list[Action]:
        """Tell the model why it was stopped, and let it speak again: once it knows what was heard."""
        if self.untold is None or self.items.settling:
            return []
        untold, self.untold = self.untold, None
        message = events.Message.written("system", untold)
        return [Tell(events.CreateItem(message)), *self.ask(now)]

    # ------------------------------------------------------------------------------ the begin

    def give_notice(self, now: int) -> list[Action]:
        """The model is ready: it says what is to be heard before all else."""
        assert self.notice is not None, "it is given once"
        self.notice.begin(now)
        self.responses.insist(exactly(self.notice.words))
        return self.ask(now)

    def noticed(self, now: int) -> list[Action]:
        """What comes of the notice, once it was heard or is given up; nothing before."""
        if self.notice is None or self.ended:
            return []
        problem = self.notice.outcome(self.responses, self.items, self.ledger.empty, now)
        if problem is None:
            return []
        self.notice = None
        if not problem:
            return [StartRecording()]
        self.responses.relent()
        return [Trouble(f"the call is not recorded: of the notice, {problem}")]

    # ------------------------------------------------------------------------------ the end

    def take_leave(self, farewell: Farewell, now: int) -> list[Action]:
        """Let these words be said, and then hang up."""
        self.notice, self.farewell = None, farewell
        if farewell.words:
            self.responses.insist(self.words(farewell.words, farewell.language))
        return self.ask(now)

    def leave(self, wish: Leave, now: int, wordless: bool = False) -> list[Action]:
        """
        Take leave as it is wished, unless it is taken already, or the caller speaks and may keep the bot.

        `wordless`: the model cannot say the words, as when there is none: a recording stands for them.
        """
        if self.farewell or (wish.listens and self.turn is Turn.CALLER):
            return []
        canned = (wordless or self.items.model is None) and bool(wish.words)
        said = self.play_canned(self.plan.canned.goodbye, now) if canned else []
        farewell = Farewell(
            "" if canned else wish.words,
            wish.outcome,
            listens=wish.listens,
            now=now,
            unheard_ms=self.unheard_ms(now),
            language=wish.language,
        )
        return said + self.take_leave(farewell, now)

    def leave_without_words(self, now: int) -> list[Action]:
        """Leave is being taken, and the model cannot say the words."""
        farewell, self.farewell = self.farewell, None
        assert farewell is not None, "it is being taken"
        self.responses.relent()
        wish = Leave(farewell.words, farewell.outcome, farewell.listens, farewell.language)
        return self.leave(wish, now, wordless=True)

    def leave_at_once(self, wish: Leave, now: int) -> list[Action]:
        """As `leave`, whatever is being said: it is not heard any further, nor are last words that were begun."""
        silenced = self.silence_bot(now)
        if not wish.words:
            return silenced + self.hang_up(1000, wish.outcome, now)
        self.farewell = None
        return silenced + self.leave(wish, now)

    def stay(self) -> None:
        """The call goes on after all: the caller has more to say."""
        self.farewell = None
        self.responses.relent()

    def part(self, now: int) -> list[Action]:
        """Hang up if the last words were heard."""
        farewell = self.farewell
        if farewell is None or self.ended:
            return []
        is_over = farewell.is_over(self.responses, self.items, self.ledger.empty, now)
        code = 1011 if farewell.outcome == "model_failed" else 1000
        return self.hang_up(code, farewell.outcome, now) if is_over else []

    def hang_up(self, code: int, reason: Outcome, now: int) -> list[Action]:
        """`code` is the WebSocket close code."""
        return [CloseStream(code, reason), *self.end(reason, now)]

    def end(self, outcome: Outcome, now: int, by_carrier: bool = False) -> list[Action]:
        """The call is over: settle what there is. `by_carrier`: its stop message has said so."""
        actions = self._drop_held(self.items.unstopped()) if self.ledger.held else []
        actions += self.settle(self.ledger.settle_all(now), "call_end", now)
        heard = self.ledger.hang_up(now, by_carrier)
        for item in self.items:
            if not item.cut:
                actions += self.items.settle(item, heard.get(item.item_id, item.played_bytes), "call_end")
        actions += self.items.last_lines()
        self.ended = True
        # The model is told nothing more: its conversation ends with the call.
        said: list[Action] = [action for action in actions if not isinstance(action, Tell)]
        return [*said, CloseModel(), Ended(outcome)]
