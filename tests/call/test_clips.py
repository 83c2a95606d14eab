"""Audio of our own, in virtual time: what was heard of it, by the carrier's word, and what the model is told."""

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest
from driver import BYTES_PER_MS, PLAN, CallDriver, recorded

from phonebot.call.actions import (
    Action,
    BargeIn,
    ClearPlayback,
    CloseModel,
    Cut,
    Ended,
    Floor,
    Line,
    OpenModel,
    PlayAudio,
    SendMark,
    Tell,
    Trouble,
)
from phonebot.call.call import Call
from phonebot.call.inputs import ModelReady, PlayClip, Tick
from phonebot.call.plan import MAX_CLIP_MS, CallPlan, Clip, KeyTurns
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Media, Start, Stop
from phonebot.realtime.events import (
    AppendAudio,
    AudioCommitted,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    FunctionCallOutput,
    ItemAdded,
    Message,
    Part,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    TruncateItem,
    TurnDetection,
)
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

READY = ModelReady(Session())
TEXT = "one two three four five six seven eight nine ten"
FRAME = b64encode(bytes(160)).decode()
# Levels that no item of the driver has.
NOTICE, GREETING, FILLER = b"\x50", b"\x51", b"\x52"


def sound(level: bytes, ms: int) -> str:
    return b64encode(level * (ms * BYTES_PER_MS)).decode()


def clip(level: bytes = GREETING, ms: int = 2_000, text: str = TEXT, clip_id: str | None = "greeting") -> Clip:
    return Clip(text, sound(level, ms), clip_id)


def play(level: bytes = FILLER, ms: int = 1_000, text: str = TEXT, clip_id: str | None = "filler") -> PlayClip:
    return PlayClip(text, sound(level, ms), clip_id)


def opened(*opening: Clip, **terms: Any) -> CallDriver:
    """A call that opens with these clips; its stream runs for 400 ms, the model is not there yet."""
    plan = msgspec.structs.replace(terms.pop("plan", PLAN), opening=opening)
    return CallDriver(plan, model_ready=False, **terms)


def heard_ms(driver: CallDriver, level: bytes) -> float:
    """How much the caller heard of what has this level, as the carrier knows."""
    return sum(frame.audio.count(level) for frame in driver.carrier.frames) / BYTES_PER_MS


def told(text: str, clip_id: str = "greeting", previous: str | None = None) -> Tell:
    return Tell(CreateItem(Message("assistant", (Part("output_text", text=text),), id=clip_id), previous))


# ------------------------------------------------------------------------------------------- the opening


def test_a_call_opens_with_its_clip_at_once_in_pieces_with_marks_to_a_whole_frame() -> None:
    call = Call(CallPlan(Session(), opening=(clip(ms=231),)))
    audio = b64decode(sound(GREETING, 231))

    def piece(begin: int, end: int) -> PlayAudio:
        return PlayAudio(b64encode(audio[begin:end]).decode(), "greeting")

    assert call.receive(Start(1, "MZ", "AC", "CA"), 0) == [
        SendMark("0:1"),
        piece(0, 160),
        SendMark("0:2"),
        piece(160, 480),
        SendMark("0:3"),
        piece(480, 1_120),
        SendMark("0:4"),
        piece(1_120, 1_760),
        SendMark("0:5"),
        PlayAudio(b64encode(audio[1_760:] + b"\xff" * 72).decode(), "greeting"),
        SendMark("0:6"),
        Floor(Turn.BOT),
        OpenModel(Session()),
    ]
    assert call.wakeup_ms == 5  # until the carrier's clock is known
    assert call.receive(Tick(), 5) == []
    assert call.wakeup_ms == 10
    assert call.receive(Media(2, 1, 100, FRAME), 100) == []  # it is not played twice
    assert call.receive(Media(3, 2, 120, FRAME), 120) == []


def test_a_call_whose_carrier_stays_silent_is_not_woken_for_its_clock_for_ever() -> None:
    call = Call(CallPlan(Session(), opening=(clip(),)))
    call.receive(Start(1, "MZ", "AC", "CA"), 0)
    call.receive(Tick(), 200)
    assert call.wakeup_ms is not None
    assert call.wakeup_ms > 205


def test_a_call_does_not_open_before_its_notice_was_heard_however_long_the_carrier_is_silent() -> None:
    call = Call(CallPlan(Session(), opening=(clip(),), notice="Recorded."))
    call.receive(Start(1, "MZ", "AC", "CA"), 0)
    assert call.wakeup_ms is not None
    assert call.wakeup_ms > 20
    assert call.receive(Tick(), 20) == []


@pytest.mark.parametrize("network", [Network(), Network(40, 0, 40, 0), Network(300, 0, 300, 0)])
@pytest.mark.parametrize("first_timestamp_ms", [20, 100, 180])
def test_an_opening_that_began_before_the_first_frame_is_known_to_one_frame(
    network: Network, first_timestamp_ms: int
) -> None:
    """The first frame comes 20 ms after the start, and says that the stream is older than that."""
    oddities = Oddities(first_timestamp_ms=first_timestamp_ms)
    driver = opened(clip(ms=4_000), network=network, oddities=oddities)
    driver.feed(READY)
    driver.run(1_000)
    driver.feed(SpeechStarted(0, "item_u"))
    driver.run(600)
    (cut,) = driver.did(Cut)
    assert isinstance(cut, Cut)
    assert cut.settled == "fence"
    assert abs(cut.heard_ms - heard_ms(driver, GREETING)) <= 20


def test_a_greeting_that_was_heard_before_the_model_was_ready_is_the_first_it_is_told() -> None:
    driver = opened(clip(ms=1_000))
    assert driver.run(1_000) == [Line("bot", "greeting", TEXT, heard_ms=1_000), Floor(Turn.IDLE)]
    first, ping = driver.feed(READY)
    assert isinstance(ping, SendMark)
    assert first == told(TEXT)
    assert heard_ms(driver, GREETING) == 1_000
    assert driver.caller_audio[0] == b64encode(b"\xff" * 160).decode()  # what he said before is kept, and not lost
    assert driver.told(CreateResponse) == []


def test_a_greeting_that_is_heard_while_the_model_gets_ready_is_told_when_it_has_ended() -> None:
    driver = opened(clip())
    assert driver.feed(READY) == []
    assert driver.run(2_000) == [told(TEXT), Line("bot", "greeting", TEXT, heard_ms=2_000), Floor(Turn.IDLE)]
    assert heard_ms(driver, GREETING) == 2_000


def test_a_greeting_cut_in_its_middle_is_told_as_far_as_it_was_heard_before_the_callers_turn() -> None:
    driver = opened(clip())
    driver.feed(READY)
    driver.run(700)
    clear, fence, barge_in, floor = driver.feed(SpeechStarted(0, "item_u"))
    assert clear == ClearPlayback()
    assert isinstance(fence, SendMark)
    assert isinstance(barge_in, BargeIn)
    assert floor == Floor(Turn.CALLER)
    heard = int(heard_ms(driver, GREETING))
    assert driver.run(100) == [
        told("one two three four five", previous="root"),
        Cut("greeting", heard, 2_000, "fence"),
        Line("bot", "greeting", "one two three four five", cut=True, heard_ms=heard),
    ]
    assert heard_ms(driver, GREETING) == heard == 1_100
    assert driver.told(TruncateItem, DeleteItem) == []


def test_who_interrupts_before_the_model_is_ready_does_so_once_it_has_heard_him() -> None:
    driver = opened(clip())
    driver.speak(recorded("demo/hours")[500 * BYTES_PER_MS : 1_500 * BYTES_PER_MS])
    driver.run(300)
    appended = driver.feed(READY)
    assert appended == []  # but for his audio, which comes in one go
    assert len(driver.caller_audio) > 30
    driver.feed(SpeechStarted(300, "item_u"))
    driver.run(100)
    (cut,) = driver.did(Cut)
    assert isinstance(cut, Cut)
    assert cut.heard_ms == heard_ms(driver, GREETING)
    assert driver.told(CreateItem) == [told("one two three", previous="root").command]


def test_who_hangs_up_before_the_model_is_ready_has_heard_what_he_has_heard() -> None:
    driver = opened(clip())
    driver.run(500)
    cut, line, close, ended = driver.feed(Stop(99, "AC" + "2" * 32, "CA" + "1" * 32))
    assert isinstance(cut, Cut)
    assert (cut.item_id, cut.settled) == ("greeting", "call_end")
    assert heard_ms(driver, GREETING) - 20 <= cut.heard_ms <= heard_ms(driver, GREETING)
    assert line == Line("bot", "greeting", "one two three four", cut=True, heard_ms=cut.heard_ms)
    assert (close, ended) == (CloseModel(), Ended("caller_hung_up"))


def test_an_interruption_in_the_first_of_two_clips_leaves_the_second_unsaid() -> None:
    driver = opened(clip(NOTICE, 1_000, "This call is recorded", "notice"), clip())
    driver.feed(READY)
    driver.run(200)
    driver.feed(SpeechStarted(0, "item_u"))
    heard = int(heard_ms(driver, NOTICE))
    assert driver.run(100) == [
        told("This call is", "notice", "root"),
        Cut("notice", heard, 1_000, "fence"),
        Line("bot", "notice", "This call is", cut=True, heard_ms=heard),
        Cut("greeting", 0, 2_000, "fence"),
    ]
    assert heard_ms(driver, GREETING) == 0


def test_two_clips_are_told_in_their_order() -> None:
    driver = opened(clip(NOTICE, 300, "This call is recorded", "notice"), clip(ms=500))
    driver.run(800)
    assert driver.feed(READY)[:-1] == [told("This call is recorded", "notice"), told(TEXT)]


def test_a_notice_is_heard_before_the_models_greeting_and_stands_before_it() -> None:
    plan = msgspec.structs.replace(PLAN, greeting="Hello.")
    driver = opened(clip(NOTICE, 1_000, "This call is recorded", "notice"), plan=plan)
    (asked,) = driver.feed(READY)
    assert isinstance(asked, Tell)
    assert isinstance(asked.command, CreateResponse)
    driver.say("item_1", 500, text="Hello.")
    driver.run(2_000)
    assert driver.told(CreateItem) == [told("This call is recorded", "notice", "root").command]
    assert [line.item_id for line in driver.did(Line) if isinstance(line, Line)] == ["notice", "item_1"]
    assert (heard_ms(driver, NOTICE), driver.heard_ms("item_1")) == (1_000, 500)


@pytest.mark.parametrize("network", [Network(), Network(40, 0, 40, 0), Network(150, 0, 30, 0)])
@pytest.mark.parametrize("after_ms", [1, 60, 130, 500, 990, 1_010, 1_400])
def test_an_interrupted_opening_is_settled_to_one_frame(network: Network, after_ms: int) -> None:
    driver = opened(clip(NOTICE, 700, TEXT, "notice"), clip(ms=1_234), network=network)
    driver.feed(READY)
    driver.run(after_ms)
    driver.feed(SpeechStarted(0))
    driver.run(1_000)
    settled = {"notice": 700, "greeting": 1_234} | {
        cut.item_id: cut.heard_ms for cut in driver.did(Cut) if isinstance(cut, Cut)
    }
    assert settled["notice"] == pytest.approx(heard_ms(driver, NOTICE), abs=20)
    assert settled["greeting"] == pytest.approx(heard_ms(driver, GREETING), abs=20)
    assert not driver.carrier.violations


def test_an_opening_that_may_not_be_interrupted_is_heard_out_and_stands_before_what_was_said_over_it() -> None:
    session = Session(turn_detection=TurnDetection("server_vad", interrupt_response=False))
    driver = opened(clip(), plan=CallPlan(session, interruptible=False))
    driver.feed(READY)
    driver.feed(SpeechStarted(0, "item_u"), SpeechStopped(500, "item_u"), AudioCommitted("item_u"))
    driver.run(2_500)
    assert heard_ms(driver, GREETING) == 2_000
    assert driver.told(CreateItem) == [told(TEXT, previous="root").command]


def test_a_recorded_greeting_is_heard_out_where_the_greeting_may_not_be_interrupted_and_the_rest_may() -> None:
    driver = opened(clip(ms=1_000), plan=msgspec.structs.replace(PLAN, greeting_interruptible=False))
    driver.feed(ModelReady(Session()))
    driver.feed(SpeechStarted(0, "turn_1"))
    assert not driver.did(ClearPlayback)
    driver.run(1_500)
    assert heard_ms(driver, GREETING) == 1_000
    driver.feed(SpeechStopped(0, "turn_1"))
    driver.say("item_1", 2_000)
    driver.run(300)
    driver.feed(SpeechStarted(0, "turn_2"))
    assert driver.did(ClearPlayback)


def test_a_key_stops_a_greeting_where_the_caller_speaks_by_key() -> None:
    driver = opened(clip(), plan=CallPlan(Session(turn_detection=None), turns=KeyTurns()))
    driver.feed(READY)
    driver.run(300)
    assert ClearPlayback() in driver.press("5")
    driver.run(200)
    (created,) = driver.told(CreateItem)
    assert created == told("one two three", previous="root").command


def test_a_greeting_stands_before_the_turn_that_cut_it_though_that_was_committed_first() -> None:
    plan = CallPlan(Session(turn_detection=None), turns=KeyTurns())
    driver = opened(clip(), plan=plan, network=Network(300, 0, 300, 0))
    driver.feed(READY)
    driver.run(900)
    driver.press("5")
    driver.press("#")
    driver.run(500)
    (cut,) = driver.did(Cut)
    assert isinstance(cut, Cut)
    assert cut.settled == "turn_end"
    assert heard_ms(driver, GREETING) - 20 <= cut.heard_ms <= heard_ms(driver, GREETING)
    assert driver.told(CommitAudio, CreateItem, CreateResponse) == [
        CommitAudio(),
        told("one two three four five six", previous="root").command,
        CreateResponse(event_id="response-1"),
    ]


# ------------------------------------------------------------------------------------------- in mid-call


def test_a_clip_in_a_silence_is_heard_and_told_at_the_end_of_the_conversation() -> None:
    driver = CallDriver()
    driver.say("item_1", 500, text="Hello.")
    driver.run(1_000)
    driver.feed(play())
    assert driver.run(1_500) == [
        told(TEXT, "filler"),
        Line("bot", "filler", TEXT, heard_ms=1_000),
        Floor(Turn.IDLE),
    ]
    assert heard_ms(driver, FILLER) == 1_000


def test_a_clip_with_the_models_answer_right_behind_it_stands_before_the_answer() -> None:
    driver = CallDriver()
    driver.feed(SpeechStarted(0, "item_u"), SpeechStopped(500, "item_u"), AudioCommitted("item_u"))
    driver.feed(play())
    driver.say("item_1", 1_000, text="We are open.")
    driver.run(3_000)
    assert driver.told(CreateItem) == [told(TEXT, "filler", "item_u").command]
    assert driver.did(Line) == [
        Line("bot", "filler", TEXT, heard_ms=1_000),
        Line("bot", "item_1", "We are open.", heard_ms=1_000),
    ]
    assert (heard_ms(driver, FILLER), driver.heard_ms("item_1")) == (1_000, 1_000)


def test_an_interruption_in_a_clip_removes_the_answer_behind_it() -> None:
    driver = CallDriver()
    driver.feed(play())
    driver.say("item_1", 1_000)
    driver.run(500)
    driver.feed(SpeechStarted(0, "item_u"))
    heard = int(heard_ms(driver, FILLER))
    assert driver.run(100) == [
        told("one two three four five", "filler", "root"),
        Cut("filler", heard, 1_000, "fence"),
        Line("bot", "filler", "one two three four five", cut=True, heard_ms=heard),
        Tell(DeleteItem("item_1")),
        Cut("item_1", 0, 1_000, "fence"),
    ]


def test_a_clip_interrupted_before_its_first_sound_was_not_said() -> None:
    driver = CallDriver()
    driver.say("item_1", 1_000)
    driver.feed(play())
    driver.run(300)
    driver.feed(SpeechStarted(0))
    driver.run(200)
    assert driver.did(Cut)[1] == Cut("filler", 0, 1_000, "fence")
    assert driver.told(CreateItem) == []
    assert heard_ms(driver, FILLER) == 0


def test_a_clip_of_which_no_word_was_heard_was_not_said() -> None:
    driver = CallDriver()
    driver.feed(play(text="Supercalifragilistic"))
    driver.run(300)
    driver.feed(SpeechStarted(0))
    driver.run(200)
    assert heard_ms(driver, FILLER) > 0
    assert driver.told(CreateItem) == []
    assert driver.did(Line) == []


def test_a_clip_without_words_is_played_and_not_told() -> None:
    driver = CallDriver()
    driver.feed(play(text=""))
    driver.run(1_500)
    assert heard_ms(driver, FILLER) == 1_000
    assert driver.told(CreateItem) == []


def test_a_clip_while_the_caller_speaks_is_not_played() -> None:
    driver = CallDriver()
    driver.feed(SpeechStarted(0))
    assert driver.feed(play()) == [Cut("filler", 0, 1_000, "at_once")]
    assert driver.run(500) == []


def test_a_clip_does_not_split_an_answer_that_is_being_made() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 400)
    assert driver.feed(play()) == []
    driver.more("item_1", 400)
    first = driver.end("item_1", text="Hello.")[0]
    assert first == PlayAudio(sound(FILLER, 1_000)[:1_920], "filler")
    driver.run(3_000)
    levels = b"".join(frame.audio for frame in driver.carrier.frames).translate(None, b"\xff")
    assert levels == b"\x01" * 6_400 + FILLER * 8_000
    assert driver.told(CreateItem) == [told(TEXT, "filler").command]


def test_a_clip_behind_an_answer_whose_end_is_not_announced_is_played_when_its_response_is_done() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 400)
    driver.feed(play())
    driver.feed(ResponseDone(Response("resp_1", "incomplete")))
    driver.run(2_000)
    assert heard_ms(driver, FILLER) == 1_000


def test_a_clip_that_waits_for_an_answer_which_is_interrupted_is_never_played() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 1_000)
    driver.feed(play())
    driver.run(300)
    driver.feed(SpeechStarted(0))
    driver.cancelled()
    driver.run(2_000)
    assert heard_ms(driver, FILLER) == 0
    assert Cut("filler", 0, 1_000, "fence") in driver.did(Cut)


def test_a_clip_is_told_before_the_response_that_the_callers_turn_asks_for() -> None:
    plan = CallPlan(Session(turn_detection=TurnDetection("server_vad", create_response=False)))
    driver = CallDriver(plan, network=Network(300, 0, 300, 0))
    driver.run(700)
    driver.feed(play())
    driver.run(800)
    driver.feed(SpeechStarted(0, "item_u"))
    create, cut, *_ = driver.feed(SpeechStopped(100, "item_u"))
    assert isinstance(cut, Cut)
    assert cut.settled == "turn_end"
    assert cut.heard_ms > 0
    driver.run(1_000)
    assert cut.heard_ms <= heard_ms(driver, FILLER)
    assert isinstance(create, Tell)
    assert isinstance(create.command, CreateItem)
    assert create.command.previous_item_id == "root"


def test_a_deleted_item_is_nobodys_place() -> None:
    driver = CallDriver()
    driver.say("item_1", 1_000, "resp_1")
    driver.say("item_2", 1_000, "resp_2")
    driver.run(300)
    driver.feed(SpeechStarted(0, "item_u"), SpeechStopped(100, "item_u"))
    driver.run(300)
    driver.feed(play())
    driver.feed(SpeechStarted(0, "item_v"), SpeechStopped(100, "item_v"), AudioCommitted("item_v"))
    driver.feed(play(text="again", clip_id=None))
    driver.run(300)
    driver.say("item_3", 1_000, "resp_3")
    driver.run(3_000)
    assert driver.told(DeleteItem) == [DeleteItem("item_2")]
    assert driver.told(CreateItem) == [told("again", "clip-2", "item_v").command]


def test_a_clip_stands_behind_what_a_function_answered() -> None:
    driver = CallDriver()
    output = FunctionCallOutput("call_1", "{}", id="item_o")
    driver.feed(ItemAdded(output), play())
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    driver.say("item_1", 500)
    driver.run(2_000)
    assert driver.told(CreateItem) == [told(TEXT, "filler", "item_o").command]


@pytest.mark.parametrize(
    ("clip_", "problem"),
    [
        (PlayClip("Hi", "abc", "c"), "clip c: its audio is no base64"),
        (play(ms=MAX_CLIP_MS + 1, clip_id="c"), "clip c: longer than 30 s"),
        (play(clip_id="x" * 33), f"clip {'x' * 33}: its name was used before or has more than 32 characters"),
    ],
)
def test_a_clip_that_cannot_be_played_is_noted_and_the_call_goes_on(clip_: PlayClip, problem: str) -> None:
    driver = CallDriver()
    assert driver.feed(clip_) == [Trouble(problem)]
    driver.feed(play())
    assert driver.feed(play()) == [Trouble("clip filler: its name was used before or has more than 32 characters")]
    driver.run(1_500)
    assert heard_ms(driver, FILLER) == 1_000


def test_clips_without_names_are_numbered() -> None:
    driver = CallDriver()
    for clip_id in (None, "clip-3", None):
        driver.feed(play(ms=100, clip_id=clip_id))
    driver.run(1_000)
    lines: list[Action] = driver.did(Line)
    assert [line.item_id for line in lines if isinstance(line, Line)] == ["clip-1", "clip-3", "clip-4"]


def test_nothing_of_the_callers_is_held_up_by_a_clip() -> None:
    call = CallDriver().call
    call.receive(play(), 600)
    assert call.receive(Media(100, 100, 600, FRAME), 600) == [Tell(AppendAudio(FRAME))]
