"""
The model's side of a call: asked for, lost, asked for again, given up, renewed.

    actions = recovery.start(now)                    # the stream runs: [OpenModel(...)]
    actions = recovery.lost(ModelLost(...), now)     # asked for again, or given up
    actions = recovery.ready(ModelReady(...), now)   # what it is told of what was said; then `go_on`
    actions += recovery.watch(now)                   # after each input, but for the frames of a call under way

A call has one state here: since when the model is away, or None: it is there. Each call begins in it, and a session
that is lost, is about to expire or does not answer any more leads back to it. So there is one way out: `ready`.

Meanwhile nobody asks for anything (`Conversation.must_not_ask`), and the model is told nothing: what it would have
been told is among what a new session is told (dialogue.py). What plays is heard to its end, functions run on, the
caller's audio is kept (kept_audio.py). Then an answer is made if one was owed: to what the caller said last, or the
rest of one that was cut off, once he has heard what there was of it.

A session that is there may still not answer. Where an answer is owed and for STALL_MS nothing is heard of it, the
session is left for another one; where that does not speak either, the model is given up.

Whoever waits, for a model or for its answer, is never met with silence for longer than 3 s (waiting.py). Only where
an answer stops in mid-sentence that may last until it is given up: nothing of ours may split an answer.
"""

from phonebot.call.actions import Action, CloseModel, ModelDropped, OpenModel, Recovered, Tell, Trouble
from phonebot.call.caller import Caller
from phonebot.call.conversation import Conversation
from phonebot.call.errands import Errands
from phonebot.call.guardrails import Guardrails
from phonebot.call.inputs import Leave, ModelLost, ModelReady
from phonebot.call.plan import CallPlan
from phonebot.call.turns import Turn
from phonebot.call.waiting import Waiting
from phonebot.realtime import events

STABLE_MS = 10_000  # a session that ends sooner was none: what was waited for it counts on
MODEL_FAULTS = 100  # more events and complaints of the model's that are refused are no accident
FILLER_MS = 2_500  # of silence, where an answer is owed: half a second passes before it shows that one is
STALL_MS = 10_000  # a model that thinks shows nothing for some seconds
MUTE_SESSIONS = 2  # in a row
TURN_PATIENCE_MS = 3_000  # by then a new session has found the turn in what it was given to hear
RENEW_BEFORE_MS = 90_000  # services count by a clock of their own
RENEW_BY_MS = 10_000
CUT_OFF = (
    "The line to you was interrupted. Your last answer was heard as far as it stands above. Go on from there, "
    "without greeting and without saying again what was heard."
)


class Recovery:
    """`due_ms`: when a Tick is due; None: there is no need."""

    def __init__(
        self, plan: CallPlan, talk: Conversation, caller: Caller, errands: Errands, guardrails: Guardrails
    ) -> None:
        self.due_ms: int | None = None
        self._plan, self._talk, self._caller = plan, talk, caller
        self._errands, self._guardrails = errands, guardrails
        self._wait = plan.recovery
        self._waiting = Waiting(plan, talk, caller.kept)
        self._away_ms: int | None = None  # since when there is no model; None: there is one
        self._open_ms: int | None = None  # when it is asked for again; None: it is there, or was asked for
        self._attempts = 0  # since it is away
        # Since the last session that lasted: how often in a row it was lost or did not come, for how long it was
        # away before, and since when it is there.
        self._failures = self._waited_ms = self._ready_ms = 0
        self._opened = plan.session  # as it was asked for
        self._had_one = False
        # Since when an answer is owed; None: none is.
        self._owed_ms: int | None = None
        self._mute = 0  # sessions in a row that have not spoken
        # An answer was cut off, and is gone on with once what there is of it was heard.
        self._resumes = False
        # When the session is to be renewed, should nobody speak, and when in any case; None: it is not known.
        self._renew_ms: tuple[int, int] | None = None
        self._renews = False  # at the next quiet moment
        self._faults = 0

    # ------------------------------------------------------------------------------ it is asked for

    def start(self, now: int) -> list[Action]:
        """The stream runs."""
        self._leave_it(now)
        return self._open()

    def _leave_it(self, now: int) -> None:
        """From now on there is no model."""
        self._away_ms, self._owed_ms = now, None
        if self._had_one and now >= self._ready_ms + STABLE_MS:
            self._failures = self._waited_ms = 0
        self._attempts = 0
        self._renew_ms, self._renews = None, False

    def _open(self) -> list[Action]:
        self._open_ms, self._opened = None, self._errands.session
        self._attempts += 1
        return [OpenModel(self._opened)]

    # ------------------------------------------------------------------------------ it is lost

    def lost(self, lost: ModelLost, now: int) -> list[Action]:
        """There is no connection to it, or none any more."""
        if lost.fatal:
            return self.fail(lost.problem, now)
        if self._talk.items.model is None:
            return [Trouble(lost.problem), *self._ask_again(now)]
        return [ModelDropped(lost.problem), *self._break_off(now, lost.unheard_ms), *self._ask_again(now)]

    def _ask_again(self, now: int) -> list[Action]:
        """After a pause, which is longer each time."""
        pauses_ms = self._wait.backoff_ms
        pause_ms = pauses_ms[min(self._failures, len(pauses_ms) - 1)] if pauses_ms else 0
        self._failures += 1
        if pause_ms == 0:
            return self._open()
        self._open_ms = now + pause_ms
        return []

    def _renew(self, why: str, now: int, planned: bool = True) -> list[Action]:
        """Leave this session for another one."""
        return [ModelDropped(why, planned), CloseModel(), *self._break_off(now), *self._open()]

    def _break_off(self, now: int, unheard_ms: int = 0) -> list[Action]:
        """The session is gone, and all that was under way in it is over. For so long it had perhaps not heard."""
        talk, responses = self._talk, self._talk.responses
        talk.items.model = None
        self._leave_it(now)
        actions = self._caller.lose_model(now, unheard_ms)
        active = responses.active
        spoke = any(item.response_id == active and item.received_ms for item in talk.items)
        cut_off = responses.lose(spoke)
        if talk.answer_due_ms is not None:
            talk.answer_due_ms = None
            responses.want()
        actions += talk.items.lose() + talk.ledger.finish(now)
        if active:
            actions += self._guardrails.response_over(active, now) + self._errands.response_over(active, now)
        talk.dialogue.lose(self._caller.kept.turns)
        self._resumes = self._resumes or cut_off
        actions += talk.floor(events.SpeechStopped) + talk.play_waiting(now)
        unsaid = talk.farewell is not None and bool(talk.farewell.words) and responses.insisted_id is None
        return actions + (talk.leave_without_words(now) if unsaid else [])

    def fail(self, problem: str, now: int) -> list[Action]:
        """There is no model any more, and none will come: the call ends, with words of ours if there are any."""
        talk, clip = self._talk, self._plan.canned.failed
        if not (self._had_one and clip.audio):
            return [Trouble(problem), *talk.hang_up(1011, "model_failed", now)]
        broken_off = self._break_off(now) if talk.items.model else []
        self._open_ms, talk.notice, talk.farewell = None, None, None
        said = talk.play_canned(clip, now)
        return [Trouble(problem), CloseModel(), *broken_off, *said, *talk.leave(Leave("", "model_failed"), now)]

    def complain(self, problem: str, now: int) -> list[Action]:
        """Something is wrong with the model; too much of it ends the call."""
        self._faults += 1
        if self._faults <= MODEL_FAULTS:
            return [Trouble(problem)]
        return self.fail(f"the model has made {MODEL_FAULTS} faults, the last: {problem}", now)

    # ------------------------------------------------------------------------------ it is there

    def ready(self, ready: ModelReady, now: int) -> list[Action]:
        """It is there, and is told what was said; then `go_on`, unless the call begins with it."""
        self._talk.items.model = ready
        away_ms, self._away_ms, self._open_ms = now - (self._away_ms or 0), None, None
        self._ready_ms, self._waited_ms = now, self._waited_ms + (away_ms if self._failures else 0)
        if ready.expires_in_ms is not None and ready.expires_in_ms > 0:
            left_ms = ready.expires_in_ms
            before_ms, by_ms = min(RENEW_BEFORE_MS, left_ms // 4), min(RENEW_BY_MS, left_ms // 8)
            self._renew_ms = now + left_ms - before_ms, now + left_ms - by_ms
        recovered: list[Action] = []
        if self._had_one or self._attempts > 1:
            recovered.append(Recovered(away_ms, self._attempts, self._caller.kept.dropped))
        self._had_one = True
        return [*recovered, *self._catch_up(), *self._talk.dialogue.retell()]

    def _catch_up(self) -> list[Action]:
        """What has changed in the session since it was asked for."""
        names = self._opened.__struct_fields__
        now = {name: getattr(self._errands.session, name) for name in names}
        changed = {name: value for name, value in now.items() if value != getattr(self._opened, name)}
        return [Tell(events.UpdateSession(events.Session(**changed)))] if changed else []

    def go_on(self, now: int) -> list[Action]:
        """The conversation goes on where it was."""
        talk, spoke = self._talk, self._caller.kept.spoke
        heard = self._caller.hear_again(now)
        if spoke and self._caller.is_answered:
            # What he said is answered when it was found in what is heard again; or, if it is not found, then.
            talk.responses.drop_wanted()
            talk.answer_due_ms = now + TURN_PATIENCE_MS
            self._resumes = False
        elif not (self._resumes or talk.responses.pending):
            return heard + talk.floor(events.ResponseDone)
        return heard + talk.ask(now)

    def _resume(self, now: int) -> list[Action]:
        """What there was of an answer that was cut off is heard: go on with it, unless the caller has spoken."""
        self._resumes = False
        if self._talk.turn is Turn.CALLER or self._talk.responses.active or self._talk.answer_due_ms is not None:
            return []
        message = events.Message.written("system", CUT_OFF)
        return [Tell(events.CreateItem(message)), *self._talk.wanted(now)]

    # ------------------------------------------------------------------------------ it does not answer

    def excuse(self, now: int) -> list[Action]:
        """It has failed to answer, and is not asked again: let the caller know, so that he may."""
        talk = self._talk
        if talk.farewell:
            return talk.leave_without_words(now) if talk.farewell.words else []
        said = talk.play_canned(self._plan.canned.trouble, now)
        return said or talk.floor(events.ResponseDone)

    @property
    def _owes(self) -> bool:
        """The model owes an answer. While a function runs it is the function that the caller waits for."""
        talk = self._talk
        if talk.turn is Turn.CALLER or talk.notice or self._errands.waits:
            return False
        return talk.answer_due_ms is not None or talk.responses.active is not None or talk.responses.pending

    def _stalled(self, now: int) -> list[Action]:
        """An answer is owed, and nothing was heard of it for too long."""
        self._mute = 1 if self._talk.spoke_ms > self._ready_ms else self._mute + 1
        if self._mute >= MUTE_SESSIONS:
            return self.fail("the model does not answer", now)
        return self._renew("the model does not answer", now, planned=False)

    @property
    def _stalls_ms(self) -> int | None:
        """When it has been silent for too long; None: it owes nothing."""
        if self._owed_ms is None:
            return None
        return max(self._owed_ms, self._talk.alive_ms) + STALL_MS

    # ------------------------------------------------------------------------------ time

    def _next_due_ms(self) -> int | None:
        if self._talk.farewell:
            return None
        if self._away_ms is None:
            dues = self._renewal_due_ms, self._stalls_ms, self._waiting.due_ms
        else:
            dues = self._given_up_ms, self._open_ms, self._waiting.due_ms
        return min((due_ms for due_ms in dues if due_ms is not None), default=None)

    @property
    def _renewal_due_ms(self) -> int | None:
        """When the session is to be renewed at a quiet moment, or, if it is that time, at any; None: never."""
        if self._renew_ms is None:
            return None
        quiet_from_ms, by_ms = self._renew_ms
        return by_ms if self._renews else quiet_from_ms

    @property
    def _given_up_ms(self) -> int:
        """When it was waited for long enough; it is away."""
        assert self._away_ms is not None, "else it is there"
        return self._away_ms + max(self._wait.budget_ms - self._waited_ms, 0)

    def watch(self, now: int) -> list[Action]:
        """Something has happened, or time has passed."""
        actions = [] if self._talk.farewell or self._talk.ended else self._look(now)
        self.due_ms = self._next_due_ms()
        return actions

    def _look(self, now: int) -> list[Action]:
        talk = self._talk
        if self._away_ms is not None:
            self._waiting.look(self._wait.filler_ms, now)
            return []
        owes, silent = self._owes, talk.ledger.is_over(now)
        self._owed_ms = (self._owed_ms or now) if owes else None
        self._waiting.look(FILLER_MS if owes else None, now)
        if self._resumes and (silent or not any(item.broken_off for item in talk.items)):
            return self._resume(now)
        # Where no time is left to wait for another session, this one is kept for as long as it lasts.
        renews = self._renews and self._waited_ms < self._wait.budget_ms and self._is_quiet(silent)
        return self._renew("its session ends soon", now) if renews else []

    def _is_quiet(self, silent: bool) -> bool:
        """Nobody would notice that the model is away for a moment."""
        talk = self._talk
        idle = silent and talk.turn is Turn.IDLE and talk.is_quiet and not talk.items.growing
        return idle and not (self._errands.waits or self._caller.kept.turns)

    def tick(self, now: int) -> list[Action]:
        if self._talk.farewell:
            return []
        actions = self._tick_there(now) if self._away_ms is None else []
        if self._away_ms is not None:  # perhaps only now
            actions += self._tick_away(now)
        if self._talk.ended or self._talk.farewell:
            return actions
        return actions + self._waiting.tick(now)

    def _tick_away(self, now: int) -> list[Action]:
        if now >= self._given_up_ms:
            return self.fail(f"no model was there for {self._wait.budget_ms / 1000:g} s", now)
        return self._open() if self._open_ms is not None and now >= self._open_ms else []

    def _tick_there(self, now: int) -> list[Action]:
        if self._stalls_ms is not None and now >= self._stalls_ms:
            return self._stalled(now)
        if self._renew_ms is None:
            return []
        quiet_from_ms, by_ms = self._renew_ms
        if now >= by_ms:
            return self._renew("its session ends", now)
        self._renews = now >= quiet_from_ms
        return []
