"""
Calls as a database sees them: a feed that hears a conversation grow, and what is filed of it.

    call = ScriptedCall(feed, "CA1", number, caller, length_s=180)
    call.advance(20_000)            # all that happens in its first 20 s
    call.summary(ended)             # as the log of a call that went so would be read

What is said has the density of the recorded calls in fixtures/calls: 12 to 17 lines, 6 to 8 responses and 1
function a minute, 12 to 15 characters a second. Nothing else of a call matters here, so it has no sound.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import TypeAlias

from phonebot import __version__
from phonebot.call.actions import Action, Floor, Line
from phonebot.call.inputs import Input, Tick
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Media
from phonebot.realtime.events import SpokenTextDelta, Usage
from phonebot.replay.log import About, Header
from phonebot.replay.summary import FunctionUsed, Spent, Summary, TurnSaid
from phonebot.web.feed import CallFeed, Feed

EXCHANGE_MS = 10_000
"""From one turn of the caller to the next."""
THINKS_MS, SPEAKS_MS, KNOWN_MS, HEARD_MS = 2_500, 3_300, 3_900, 8_800
"""Of an exchange: the caller is silent; the bot speaks; his words are written down; hers were heard."""
DELTAS, DELTA_MS = 9, 220
"""The text of an answer comes sooner than its sound."""
CALLER_WORDS, BOT_WORDS = 7, 18
FUNCTION_EVERY = 5
"""Exchanges of which one has a function, and with it a second response."""
FRAME_EVERY_MS = 5_000
"""One frame stands for the 250 that the carrier sends meanwhile: no more than time goes on by them."""
RESPONSE_USD = 0.011
"""Docs/cost.md, row 1: what an answer costs. It is written once a round, however much it is."""

Step: TypeAlias = tuple[int, Input, tuple[Action, ...]]
"""What comes at this moment of the call, in ms, and what the call does."""

_TALK = (
    "I we you table room order bill Friday morning evening please could would like have three seven around "
    "half past need change book cancel name spelled number under moment sure certainly window garden children "
    "allergic nuts parking station minutes later tomorrow week again thank welcome anything else call back"
)
_WORDS = tuple(_TALK.split())


class ScriptedCall:
    """A call in progress, told of in `feed`: nothing has happened in it yet."""

    def __init__(self, feed: Feed, about: About, length_s: float) -> None:
        self.about = about
        self.told: CallFeed = feed.begin(about)
        self.length_s = length_s
        self._steps = script(about.call_sid, round(length_s * 1000))
        self._next = next(self._steps, None)

    @property
    def due_ms(self) -> int | None:
        """When something happens next, in ms of the call; None: it has ended."""
        return None if self._next is None else self._next[0]

    def advance(self, now_ms: float) -> int:
        """Let happen what is due by then; how many responses it was."""
        answered = 0
        while self._next is not None and self._next[0] <= now_ms:
            at_ms, received, actions = self._next
            self.told.happened(at_ms, received, list(actions))
            answered += any(isinstance(action, Line) and action.role == "bot" for action in actions)
            self._next = next(self._steps, None)
        return answered

    def summary(self, ended: datetime) -> Summary:
        """What is filed of it, had it been recorded."""
        length_ms = round(self.length_s * 1000)
        turns = tuple(
            TurnSaid(
                who=line.role,
                text=line.text,
                item_id=line.item_id,
                heard_ms=line.heard_ms or None,
                of_ms=line.of_ms or None,
                start_ms=max(line.at_ms - 3_000, 0),
                end_ms=line.at_ms,
                latency_ms=820 if line.role == "bot" else None,
                model_ms=800 if line.role == "bot" else None,
                ours_us=450 if line.role == "bot" else None,
            )
            for line in self.told.lines
        )
        answers = [turn for turn in turns if turn.who == "bot"]
        functions = tuple(_function(turn) for turn in answers[FUNCTION_EVERY - 1 :: FUNCTION_EVERY])
        spent = [_spent(turn, number) for number, turn in enumerate(answers)]
        spent += [_spent(turn, number) for number, turn in enumerate(answers[FUNCTION_EVERY - 1 :: FUNCTION_EVERY])]
        return Summary(
            header=Header(
                call_sid=self.about.call_sid,
                stream_sid=self.about.stream_sid,
                from_number=self.about.from_number,
                to_number=self.about.to_number,
                profile=self.about.profile,
                profile_version=self.about.profile_version,
                provider=self.about.provider,
                model=self.about.model,
                software=f"phonebot {__version__}",
                started=ended - timedelta(milliseconds=length_ms),
                ended=ended,
                outcome="caller_hung_up",
            ),
            length_ms=length_ms,
            outcome="caller_hung_up",
            has_audio=True,
            turns=turns,
            functions=functions,
            spent=tuple(spent),
            cost_usd=RESPONSE_USD * len(spent),
            caller_talk_ms=length_ms // 4,
            bot_talk_ms=length_ms // 2,
            generated_ms=length_ms // 2,
            heard_ms=length_ms // 2,
            round_trip_ms=60,
        )


def about_call(call_sid: str, number: str, caller: str) -> About:
    """A call from the carrier, with names as long as those in use."""
    return About(
        call_sid=call_sid,
        stream_sid="MZ" + call_sid[2:],
        from_number=caller,
        to_number=number,
        profile="Front desk",
        profile_version="5f1c" * 16,
        provider="openai",
        model="gpt-realtime-2.1",
    )


def script(seed: str, length_ms: int) -> Iterator[Step]:
    """What happens in a call of this length, in order; with the words that belong to this seed."""
    chance = random.Random(seed)  # noqa: S311  (words, no secrets)
    frame_ms = chance.randrange(FRAME_EVERY_MS)
    for number in range(length_ms // EXCHANGE_MS + 1):
        for step in _exchange(number, chance):
            while frame_ms < min(step[0], length_ms):
                yield frame_ms, _frame(frame_ms), ()
                frame_ms += FRAME_EVERY_MS
            if step[0] >= length_ms:
                return
            yield step


@cache
def news_per_round(length_s: float, round_s: float) -> float:
    """In which share of a process's rounds a call of this length has to be written."""
    call = ScriptedCall(Feed(), about_call("CA" + "0" * 32, "+15550100000", "+15550123456"), length_s)
    rounds, written, news = int(length_s / round_s), None, 0
    for number in range(1, rounds + 1):
        call.advance(number * round_s * 1000)
        news += call.told.changes != written
        written = call.told.changes
    return news / rounds if rounds else 1.0


def _exchange(number: int, chance: random.Random) -> Iterator[Step]:
    """The caller asks, the bot answers; in the first one it greets."""
    begin_ms = number * EXCHANGE_MS
    asks, answers = f"item_{number:04}_caller_a1b2c3d4", f"item_{number:04}_bot_a1b2c3d4e5f"
    if number:
        yield begin_ms, Tick(), (Floor(Turn.CALLER),)
        yield begin_ms + THINKS_MS, Tick(), (Floor(Turn.THINKING),)
    yield begin_ms + SPEAKS_MS, Tick(), (Floor(Turn.BOT),)
    words = _said(chance, BOT_WORDS)
    for part in range(DELTAS):
        delta = " ".join(words[part * 2 : part * 2 + 2]) + " "
        received = SpokenTextDelta(f"resp_{number:04}", answers, 0, 0, delta)
        at_ms = begin_ms + SPEAKS_MS + part * DELTA_MS
        if at_ms >= begin_ms + KNOWN_MS > at_ms - DELTA_MS and number:
            yield begin_ms + KNOWN_MS, Tick(), (Line("caller", asks, " ".join(_said(chance, CALLER_WORDS))),)
        yield at_ms, received, ()
    heard = Line("bot", answers, " ".join(words), heard_ms=HEARD_MS - SPEAKS_MS)
    yield begin_ms + HEARD_MS, Tick(), (heard, Floor(Turn.IDLE))


def _said(chance: random.Random, words: int) -> list[str]:
    return chance.choices(_WORDS, k=words)


def _frame(at_ms: int) -> Media:
    return Media(at_ms // 20, at_ms // 20, at_ms, "")


def _spent(turn: TurnSaid, number: int) -> Spent:
    """The conversation so far is read again, most of it from what is cached."""
    audio, text, cached = 100 * (number + 1), 60 * (number + 1), 64 * number
    tokens = Usage(
        total=audio + text + 110,
        input=audio + text,
        output=110,
        input_text=text,
        input_audio=audio,
        cached=cached,
        cached_audio=cached,
        output_text=24,
        output_audio=86,
    )
    return Spent(response_id=f"resp_{turn.item_id}", at_ms=turn.start_ms or 0, tokens=tokens, cost_usd=RESPONSE_USD)


def _function(turn: TurnSaid) -> FunctionUsed:
    start_ms = turn.start_ms or 0
    return FunctionUsed(
        call_id=f"call_{turn.item_id}",
        name="free_tables",
        arguments='{"day": "2026-12-04", "persons": 7, "from": "18:00", "to": "21:30"}',
        start_ms=start_ms,
        result='{"free": ["18:15", "18:45", "20:30"], "where": "garden", "note": "no dogs"}',
        end_ms=start_ms + 240,
    )
