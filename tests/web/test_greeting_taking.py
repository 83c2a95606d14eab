"""Of which calls the greeting is taken: of those in which it was the greeting, whole, and nothing else."""

from base64 import b64encode
from collections.abc import Callable

import pytest
from driver import CallDriver
from msgspec.structs import replace

from phonebot.call.actions import PlayAudio
from phonebot.call.inputs import ModelReady, PlayClip
from phonebot.call.plan import CallPlan, Canned, Clip, Recovery
from phonebot.call.responses import MARK
from phonebot.carrier.messages import Stop
from phonebot.realtime.events import Response, ResponseCreated, Session, SpeechStarted, TurnDetection
from phonebot.web.greeting_taking import GreetingTaker

PLAN = CallPlan(Session(turn_detection=TurnDetection("server_vad")), greeting="Hello, how can I help?")
READY = ModelReady(Session(), provider="openai")


class Taken:
    """A call whose greeting is to be taken. `audio` is what was; `over`: so often was it said that it is over."""

    def __init__(self, plan: CallPlan = PLAN, ready: ModelReady = READY) -> None:
        self.audio: list[str] = []
        self.over = 0
        self.driver = CallDriver(plan, model_ready=False)
        self._taker = GreetingTaker(plan, "openai", self.audio.append, self._end)
        self._told = 0
        self.feed(lambda driver: driver.feed(ready))

    def feed(self, does: Callable[[CallDriver], object]) -> None:
        does(self.driver)
        for now, received, actions in self.driver.happened[self._told :]:
            self._taker.happened(now, received, actions)
        self._told = len(self.driver.happened)

    def _end(self) -> None:
        self.over += 1

    @property
    def sent(self) -> list[str]:
        return [action.payload for _, action in self.driver.log if isinstance(action, PlayAudio)]


def test_a_greeting_that_was_heard_to_its_end_is_taken_as_it_was_sent() -> None:
    taken = Taken()
    taken.feed(lambda driver: driver.say("item_1", 1_010, text="Hello! How can I help?"))
    taken.feed(lambda driver: driver.run(500))
    assert (taken.audio, taken.over) == ([], 0)  # not yet
    taken.feed(lambda driver: driver.run(700))
    assert taken.over == 1
    (audio,) = taken.audio
    assert len(audio) == len(b64encode(bytes(1_020 * 8)))  # whole frames
    assert audio.startswith(taken.sent[0].rstrip("="))


def gives_notice(driver: CallDriver) -> None:
    driver.feed(ResponseCreated(Response("notice", "in_progress", metadata={MARK: "insisted-1"})))
    driver.begin("item_1", "notice")
    driver.more("item_1", 600, "notice")
    driver.end("item_1", "notice", "This call is recorded.")
    driver.done("notice")


def cut(driver: CallDriver) -> None:
    driver.say("item_1", 1_000, text=PLAN.greeting or "")
    driver.run(500)
    driver.feed(SpeechStarted(0, "item_u"))
    driver.run(500)


def other_words(driver: CallDriver) -> None:
    driver.say("item_1", 1_000, text="Hello, Mr Smith, how can I help?")
    driver.run(1_300)


def with_a_clip_before_it(driver: CallDriver) -> None:
    driver.feed(PlayClip("One moment.", b64encode(b"\x52" * 1_600).decode(), "wait"))
    driver.say("item_1", 1_000, text=PLAN.greeting or "")
    driver.run(1_600)


def hung_up(driver: CallDriver) -> None:
    driver.say("item_1", 1_000, text=PLAN.greeting or "")
    driver.run(500)
    driver.feed(Stop(9, "AC", "CA"))


def too_long(driver: CallDriver) -> None:
    driver.say("item_1", 31_000, text=PLAN.greeting or "")
    driver.run(32_000)


@pytest.mark.parametrize("happens", [cut, other_words, with_a_clip_before_it, hung_up, too_long])
def test_what_is_not_the_whole_greeting_alone_is_not_taken(happens: Callable[[CallDriver], None]) -> None:
    taken = Taken()
    taken.feed(happens)
    assert (taken.audio, taken.over) == ([], 1)


def test_what_the_model_of_another_provider_says_is_not_taken() -> None:
    taken = Taken(ready=replace(READY, provider="azure"))
    taken.feed(lambda driver: driver.say("item_1", 1_000, text=PLAN.greeting or ""))
    taken.feed(lambda driver: driver.run(1_300))
    assert (taken.audio, taken.over) == ([], 1)


def test_a_greeting_behind_a_notice_is_taken_without_it() -> None:
    taken = Taken(replace(PLAN, notice="This call is recorded."))
    taken.feed(gives_notice)
    taken.feed(lambda driver: driver.run(800))
    taken.feed(lambda driver: driver.say("item_2", 1_000, text=PLAN.greeting or ""))
    taken.feed(lambda driver: driver.run(1_300))
    (audio,) = taken.audio
    assert len(audio) == len(b64encode(bytes(1_000 * 8)))


def test_a_greeting_that_was_sent_while_the_notice_was_played_is_taken_without_it() -> None:
    taken = Taken(replace(PLAN, notice="This call is recorded."))
    taken.feed(gives_notice)
    taken.feed(lambda driver: driver.say("item_2", 1_000, text=PLAN.greeting or ""))
    taken.feed(lambda driver: driver.run(2_000))
    (audio,) = taken.audio
    assert len(audio) == len(b64encode(bytes(1_000 * 8)))


def test_what_is_said_to_a_caller_who_waits_for_the_model_is_no_greeting() -> None:
    wait = Canned(wait=Clip("One moment, please.", b64encode(b"\x52" * 1_600).decode()))
    plan = replace(PLAN, canned=wait, recovery=Recovery(filler_ms=100))
    taken = Taken(plan)  # the model was there after 400 ms
    taken.feed(lambda driver: driver.say("item_1", 1_000, text=PLAN.greeting or ""))
    taken.feed(lambda driver: driver.run(1_600))
    assert (taken.audio, taken.over) == ([], 1)
