"""A model that is lost, or does not come: what the caller hears meanwhile, and what the next one is told."""

from base64 import b64encode
from itertools import pairwise

import pytest
from driver import BYTES_PER_MS, PLAN, CallDriver, recorded
from msgspec.structs import replace

from phonebot.call.actions import (
    Action,
    CloseModel,
    CloseStream,
    Ended,
    Floor,
    HandOff,
    Line,
    ModelDropped,
    OpenModel,
    Recovered,
    SendMark,
    Tell,
    Trouble,
)
from phonebot.call.inputs import AnsweredBy, Leave, ModelLost, ModelReady, ToolResult, TypedText
from phonebot.call.kept_audio import BEFORE_FRAMES
from phonebot.call.plan import AgentPlan, CallPlan, Canned, Clip, EarlierLine, HandoffTool, Recovery, ToolRule
from phonebot.call.recovery import CUT_OFF, STALL_MS, TURN_PATIENCE_MS
from phonebot.call.responses import exactly
from phonebot.call.turns import Turn
from phonebot.realtime.events import (
    AudioCommitted,
    CancelResponse,
    CreateItem,
    CreateResponse,
    ErrorDetail,
    FunctionCall,
    FunctionCallOutput,
    Item,
    Message,
    OutputItemDone,
    Part,
    RateLimit,
    RateLimitsUpdated,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    UpdateSession,
)

SPEECH = recorded("demo/hours")[600 * 8 : 2_200 * 8]
GONE = ModelLost("it is gone")
WAIT, TROUBLE, GOODBYE = b"\x50", b"\x51", b"\x52"  # levels that no item of the driver has


def sound(level: bytes, ms: int) -> str:
    return b64encode(level * (ms * BYTES_PER_MS)).decode()


CANNED = Canned(
    Clip("One moment please.", sound(WAIT, 1_000)),
    Clip("Something does not work.", sound(TROUBLE, 800)),
    Clip("I have to go. Goodbye.", sound(GOODBYE, 900)),
    Clip("I have to go. Goodbye.", sound(GOODBYE, 800)),
)
PATIENT = replace(PLAN, canned=CANNED)


def user(text: str, item_id: str | None) -> Message:
    return Message("user", (Part("input_text", text=text),), id=item_id)


def bot(text: str, item_id: str | None) -> Message:
    return Message("assistant", (Part("output_text", text=text),), id=item_id)


def system(text: str) -> Message:
    return Message("system", (Part("input_text", text=text),))


def told(*items: Item) -> list[Action]:
    return [Tell(CreateItem(item)) for item in items]


def asks(driver: CallDriver) -> list[CreateResponse]:
    return [each for each in driver.told(CreateResponse) if isinstance(each, CreateResponse)]


def turn(driver: CallDriver, item_id: str, text: str | None) -> None:
    """A turn of the caller's; None: it is not written down yet."""
    driver.feed(SpeechStarted(0, item_id), SpeechStopped(0, item_id), AudioCommitted(item_id))
    if text is not None:
        driver.feed(TranscriptionCompleted(item_id, 0, text))


def level_ms(driver: CallDriver, level: bytes) -> list[int]:
    """When the caller heard what has this level: the first and the last frame of it."""
    frames = [round(frame.at_ms) for frame in driver.carrier.frames if level in frame.audio]
    return [frames[0], frames[-1]] if frames else []


def ready(driver: CallDriver, expires_in_ms: int | None = None) -> list[Action]:
    """The model is there again; what is done besides measuring the line."""
    actions = driver.feed(ModelReady(Session(), expires_in_ms=expires_in_ms))
    return [action for action in actions if not isinstance(action, SendMark)]


# ------------------------------------------------------------------------------------------- lost in mid-call


def test_a_session_that_is_lost_in_silence_is_opened_again_at_once_and_told_what_was_heard() -> None:
    driver = CallDriver()
    turn(driver, "item_u", "When are you open?")
    driver.say("item_1", 1_000, text="From eight to six.")
    driver.run(1_500)
    assert driver.feed(GONE) == [ModelDropped("it is gone"), OpenModel(PLAN.session)]
    driver.run(700)
    assert ready(driver) == [
        Recovered(700, 1),
        *told(user("When are you open?", "item_u"), bot("From eight to six.", "item_1")),
    ]
    assert asks(driver) == []


def test_of_an_answer_that_was_cut_only_what_was_heard_is_told() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000, text="We are open from eight in the morning until six.")
    driver.run(700)
    turn(driver, "item_u", "And on Sundays?")
    driver.run(500)
    driver.say("item_2", 500, "resp_2", text="Closed.")
    driver.run(1_000)
    driver.feed(GONE)
    driver.run(300)
    assert ready(driver) == [
        Recovered(300, 1),
        *told(bot("We are open from", "item_1"), user("And on Sundays?", "item_u"), bot("Closed.", "item_2")),
    ]


def test_what_is_playing_is_heard_to_its_end_and_told_at_its_place_and_then_the_answer_goes_on() -> None:
    """The model has sent two seconds of an answer, and its session ends in mid-sentence."""
    driver = CallDriver()
    turn(driver, "item_u", "What is there today?")
    driver.begin("item_1")
    driver.more("item_1", 2_000)
    driver.run(500)
    driver.feed(GONE)
    driver.run(300)
    assert ready(driver) == [Recovered(300, 1), *told(user("What is there today?", "item_u"))]
    driver.feed(TypedText("The soup is gone.", "ada", "system"))
    assert asks(driver) == []
    driver.run(3_000)
    assert driver.heard_ms("item_1") == 2_000
    assert asks(driver) == [CreateResponse(event_id="response-1")]
    assert Tell(CreateItem(system(CUT_OFF))) in driver.did(Tell)


def test_the_words_of_what_is_playing_are_told_once_they_were_heard_behind_what_came_before_them() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000, text="All of it.")
    driver.run(500)
    driver.feed(GONE)
    driver.run(200)
    ready(driver)
    driver.feed(TypedText("The soup is gone.", "ada", "system"))
    first = len(driver.log)
    driver.run(2_000)
    done = [action for _, action in driver.log[first:]]
    assert done[:2] == [
        Tell(CreateItem(bot("All of it.", "item_1"), "root")),
        Line("bot", "item_1", "All of it.", heard_ms=2_000),
    ]


def test_a_caller_who_interrupts_what_a_lost_session_said_is_believed_to_have_heard_so_much_of_it() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000, text="We are open from eight in the morning until six.")
    driver.run(300)
    driver.feed(GONE)
    driver.run(200)
    ready(driver)
    driver.run(200)
    driver.feed(SpeechStarted(0, "item_u"))
    driver.run(200)
    assert driver.did(Line) == [Line("bot", "item_1", "We are open from", cut=True, heard_ms=700)]
    assert driver.told(CreateItem) == [CreateItem(bot("We are open from", "item_1"), "root")]


def test_an_answer_of_which_nothing_had_come_is_asked_for_again() -> None:
    driver = CallDriver()
    turn(driver, "item_u", "Hello?")
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    driver.feed(GONE)
    driver.run(100)
    assert ready(driver) == [
        Recovered(100, 1),
        *told(user("Hello?", "item_u")),
        Tell(CreateResponse(event_id="response-1")),
    ]


def test_a_turn_that_no_answer_was_begun_to_is_answered() -> None:
    driver = CallDriver()
    turn(driver, "item_u", "Hello?")
    driver.feed(GONE)
    driver.run(100)
    assert ready(driver)[-1] == Tell(CreateResponse(event_id="response-1"))


def test_a_late_event_of_the_session_before_changes_nothing() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 1_000)
    driver.run(200)
    driver.feed(GONE)
    driver.run(1_500)
    ready(driver)
    driver.more("item_1", 500)
    driver.run(1_000)
    assert driver.heard_ms("item_1") == 1_000


# ------------------------------------------------------------------------------------------- the greeting


NOWHERE = ModelLost("gone", unheard_ms=6_000)


def greeted() -> CallPlan:
    return replace(PATIENT, greeting="Hello.")


def test_a_greeting_that_was_not_begun_is_given_by_the_next_session() -> None:
    driver = CallDriver(greeted())
    driver.feed(GONE)
    driver.run(100)
    assert ready(driver) == [Recovered(100, 1), Tell(CreateResponse(exactly("Hello."), "response-2"))]


def test_a_greeting_that_was_begun_is_not_given_again() -> None:
    driver = CallDriver(greeted())
    driver.say("item_1", 500, text="Hello.")
    driver.run(1_000)
    driver.feed(GONE)
    driver.run(100)
    assert ready(driver) == [Recovered(100, 1), *told(bot("Hello.", "item_1"))]
    driver.run(5_000)
    assert len(asks(driver)) == 1


def test_what_was_said_before_the_call_came_here_is_told_to_each_session() -> None:
    earlier = (EarlierLine("caller", "A table for two."), EarlierLine("instruction", "The transfer failed."))
    driver = CallDriver(replace(PATIENT, earlier=earlier))
    driver.say("item_1", 500, text="Nobody is there.")
    driver.run(1_000)
    driver.feed(GONE)
    driver.run(100)
    assert ready(driver) == [
        Recovered(100, 1),
        *told(user("A table for two.", None), system("The transfer failed."), bot("Nobody is there.", "item_1")),
    ]


# ------------------------------------------------------------------------------------------- what the caller says


def test_what_the_caller_says_while_there_is_no_model_is_heard_by_the_next_one() -> None:
    driver = CallDriver()
    driver.run(5_000)
    driver.feed(GONE)
    driver.speak(SPEECH)
    driver.run(2_000)
    before = len(driver.caller_audio)
    ready(driver)
    heard = driver.caller_audio[before:]
    assert len(heard) == BEFORE_FRAMES + 2_000 // 20
    assert asks(driver) == []


def test_speech_that_no_session_finds_in_what_it_hears_is_answered_all_the_same() -> None:
    driver = CallDriver()
    driver.feed(GONE)
    driver.speak(SPEECH)
    driver.run(2_000)
    ready(driver)
    driver.run(TURN_PATIENCE_MS - 20)
    assert asks(driver) == []
    driver.run(40)
    assert len(asks(driver)) == 1


def test_what_the_caller_says_to_a_connection_that_leads_nowhere_is_heard_by_the_next_session() -> None:
    driver = CallDriver()
    driver.run(5_000)
    driver.speak(SPEECH)
    driver.run(3_000)
    driver.feed(NOWHERE)
    driver.run(100)
    before = len(driver.caller_audio)
    ready(driver)
    assert len(driver.caller_audio) - before == (NOWHERE.unheard_ms + 100) // 20
    driver.run(TURN_PATIENCE_MS + 20)  # no session finds it: it is answered all the same
    assert len(asks(driver)) == 1


def test_what_a_session_has_heard_before_its_connection_led_nowhere_is_not_heard_again() -> None:
    driver = CallDriver()
    driver.run(5_000)
    turn(driver, "item_u", "Hello?")
    driver.say("item_1", 500, text="Hello.")
    driver.run(1_000)
    driver.feed(NOWHERE)
    driver.run(100)
    before = len(driver.caller_audio)
    ready(driver)
    assert len(driver.caller_audio) - before < 2_000 // 20
    driver.run(5_000)
    assert asks(driver) == []


def test_what_a_session_took_for_no_speech_is_none_when_its_connection_breaks() -> None:
    driver = CallDriver()
    driver.run(5_000)
    driver.speak(SPEECH)
    driver.run(2_000)
    driver.feed(GONE)
    driver.run(100)
    before = len(driver.caller_audio)
    ready(driver)
    assert len(driver.caller_audio) - before == BEFORE_FRAMES + 100 // 20
    driver.run(5_000)
    assert asks(driver) == []


def test_a_turn_that_was_not_written_down_nor_answered_is_heard_again_from_before_its_begin() -> None:
    driver = CallDriver()
    driver.run(5_000)
    driver.feed(SpeechStarted(0, "item_u"))
    driver.run(1_000)
    driver.feed(GONE)
    driver.run(500)
    before = len(driver.caller_audio)
    actions = ready(driver)
    assert actions == [Recovered(500, 1)]
    assert len(driver.caller_audio) - before == BEFORE_FRAMES + 1_500 // 20


def test_a_turn_that_was_written_down_is_told_in_words_and_not_heard_again() -> None:
    driver = CallDriver()
    driver.run(5_000)
    turn(driver, "item_u", "Hello?")
    driver.run(1_000)
    driver.feed(GONE)
    driver.run(100)
    before = len(driver.caller_audio)
    assert told(user("Hello?", "item_u"))[0] in ready(driver)
    assert len(driver.caller_audio) - before <= BEFORE_FRAMES + 100 // 20


def test_a_turn_that_was_answered_and_never_written_down_is_told_of_without_its_words() -> None:
    driver = CallDriver()
    turn(driver, "item_u", None)
    driver.say("item_1", 500, text="Certainly.")
    driver.run(1_000)
    driver.feed(GONE)
    driver.run(100)
    _, first, second = ready(driver)
    assert isinstance(first, Tell)
    assert isinstance(first.command, CreateItem)
    assert first.command.item.id == "item_u"
    assert second == Tell(CreateItem(bot("Certainly.", "item_1")))


def test_the_floor_is_nobodys_once_there_is_nothing_to_be_answered() -> None:
    driver = CallDriver()
    driver.feed(SpeechStarted(0, "item_u"))
    driver.feed(TranscriptionCompleted("item_u", 0, ""))
    driver.run(200)
    assert driver.feed(GONE)[1] == Floor(Turn.THINKING)
    driver.run(100)
    assert ready(driver) == [Recovered(100, 1), Floor(Turn.IDLE)]


# ------------------------------------------------------------------------------------------- functions and agents

LOOK_UP = ToolRule("look_up", fillers=())


def called(driver: CallDriver, name: str = "look_up", call_id: str = "call_1") -> None:
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    driver.feed(OutputItemDone("resp_1", 0, FunctionCall(name, call_id, "{}", f"item_{call_id}", "completed")))


def test_a_function_that_has_run_is_told_with_its_call() -> None:
    driver = CallDriver(replace(PLAN, tools=(LOOK_UP,)))
    called(driver)
    driver.feed(ToolResult("call_1", "Found."), ResponseDone(Response("resp_1", "completed")))
    driver.say("item_2", 300, "resp_2", "Found it.")
    driver.run(1_000)
    driver.feed(GONE)
    driver.run(100)
    call = FunctionCall("look_up", "call_1", "{}", "item_call_1", "completed")
    assert ready(driver) == [
        Recovered(100, 1),
        *told(call, FunctionCallOutput("call_1", "Found."), bot("Found it.", "item_2")),
    ]


@pytest.mark.parametrize("ready_first", [True, False], ids=["after", "before"])
def test_a_function_runs_on_and_its_call_is_told_with_its_result(ready_first: bool) -> None:
    driver = CallDriver(replace(PLAN, tools=(LOOK_UP,)))
    called(driver)
    driver.feed(ResponseDone(Response("resp_1", "completed")))
    driver.feed(GONE)
    driver.run(100)
    pair = told(
        FunctionCall("look_up", "call_1", "{}", "item_call_1", "completed"), FunctionCallOutput("call_1", "Found.")
    )
    answer = Tell(CreateResponse(event_id="response-1"))
    if ready_first:
        assert Tell not in map(type, ready(driver))
        assert driver.feed(ToolResult("call_1", "Found.")) == [*pair, answer]
    else:
        assert driver.feed(ToolResult("call_1", "Found.")) == []
        assert ready(driver) == [Recovered(100, 1), *pair, answer]


def test_a_response_that_was_lost_behind_its_function_is_over() -> None:
    driver = CallDriver(replace(PLAN, tools=(LOOK_UP,)))
    called(driver)
    driver.feed(GONE)
    driver.feed(ToolResult("call_1", "Found."))
    driver.run(100)
    assert ready(driver)[-1] == Tell(CreateResponse(event_id="response-1"))
    assert len(asks(driver)) == 1


AGENTS = (
    AgentPlan("main", "Greet.", handoffs=(HandoffTool("to_sales", "sales"),)),
    AgentPlan("sales", "Sell."),
)


def test_the_next_session_is_that_of_the_agent_who_has_the_call() -> None:
    driver = CallDriver(replace(PLAN, session=replace(PLAN.session, instructions="Greet."), agents=AGENTS))
    called(driver, "to_sales")
    driver.feed(ResponseDone(Response("resp_1", "completed")))
    assert driver.did(HandOff)
    _, opened = driver.feed(GONE)
    assert opened == OpenModel(replace(PLAN.session, instructions="Sell.", tools=()))


def test_what_changed_in_the_session_while_it_was_opened_is_told_first() -> None:
    plan = replace(PLAN, tools=(LOOK_UP,))
    driver = CallDriver(plan)
    called(driver)
    driver.feed(ResponseDone(Response("resp_1", "completed")))
    driver.feed(GONE)
    driver.feed(ToolResult("call_1", "As you wish.", language="de"))
    driver.run(100)
    update = ready(driver)[1]
    assert isinstance(update, Tell)
    assert isinstance(update.command, UpdateSession)
    assert "speak the language de" in str(update.command.session.instructions)


def test_what_is_typed_meanwhile_is_told_and_answered() -> None:
    driver = CallDriver()
    driver.feed(GONE)
    assert driver.feed(TypedText("The soup is gone.", "ada")) == []
    driver.run(100)
    assert ready(driver) == [
        Recovered(100, 1),
        Tell(CreateItem(Message("user", (Part("input_text", text="The soup is gone."),), id="typed-1"))),
        Line("caller", "typed-1", "The soup is gone.", typed_by="ada"),
        Tell(CreateResponse(event_id="response-1")),
    ]


# ------------------------------------------------------------------------------------------- again, and in the end


def test_a_model_that_does_not_come_back_is_asked_for_again_ever_more_seldom_until_it_is_given_up() -> None:
    driver = CallDriver(replace(PATIENT, recovery=Recovery(filler_ms=60_000)))
    lost_ms = driver.now
    driver.feed(GONE)
    opened = []
    while not driver.call.ended and driver.now < lost_ms + 20_000:
        driver.run(20)
        if driver.log[-1][1] == OpenModel(PLAN.session):
            opened.append(round(driver.log[-1][0] - lost_ms, -2))
            driver.feed(ModelLost("still not there"))
    assert opened == [0, 500, 1_500, 3_500, 5_500, 7_500]
    assert Trouble("no model was there for 8 s") in driver.did(Trouble)
    assert driver.closed == CloseStream(1011, "model_failed")
    (begin, end) = level_ms(driver, GOODBYE)
    assert end - begin == 780
    assert [action for _, action in driver.log[-2:]] == [CloseModel(), Ended("model_failed")]


def test_a_session_that_is_lost_again_and_again_was_none() -> None:
    driver = CallDriver(PATIENT)
    driver.run(20_000)
    for _ in range(4):
        driver.feed(GONE)
        driver.run(1_900)
        ready(driver)
        driver.run(3_000)
    driver.feed(GONE)
    assert Trouble("no model was there for 8 s") in driver.run(500)


def test_a_session_that_has_lasted_is_lost_as_the_first_one() -> None:
    driver = CallDriver(PATIENT)
    for _ in range(8):
        driver.run(10_000)
        assert OpenModel(PLAN.session) in driver.feed(GONE)
        driver.run(2_000)
        ready(driver)
    assert not driver.call.ended


def test_a_model_that_refuses_is_not_asked_again() -> None:
    driver = CallDriver(PATIENT)
    actions = driver.feed(ModelLost("no money left", fatal=True))
    assert actions[:2] == [Trouble("no money left"), CloseModel()]
    assert OpenModel(PLAN.session) not in actions
    driver.run(1_500)
    assert driver.closed == CloseStream(1011, "model_failed")
    assert driver.did(Line) == [Line("bot", "clip-1", "I have to go. Goodbye.", heard_ms=800)]


def test_a_model_that_does_not_come_at_the_start_is_waited_for_alike() -> None:
    driver = CallDriver(greeted(), model_ready=False)
    driver.feed(ModelLost("it cannot be reached"))
    driver.run(600)
    assert driver.did(OpenModel, Trouble) == [
        OpenModel(PLAN.session),
        Trouble("it cannot be reached"),
        OpenModel(PLAN.session),
    ]
    assert ready(driver) == [Recovered(driver.now, 2), Tell(CreateResponse(exactly("Hello."), "response-1"))]


def test_a_model_that_never_comes_at_the_start_ends_the_call() -> None:
    driver = CallDriver(greeted(), model_ready=False)
    driver.run(8_000)
    assert driver.closed == CloseStream(1011, "model_failed")
    assert driver.log[-1][0] == 8_000


# ------------------------------------------------------------------------------------------- it is never silent


def test_a_caller_who_waits_hears_that_it_takes_a_moment_and_hears_it_again() -> None:
    driver = CallDriver(PATIENT)
    driver.run(1_000)
    lost_ms = driver.now
    driver.feed(GONE)
    driver.run(7_500)
    begins = [frame.at_ms for frame in driver.carrier.frames if WAIT in frame.audio]
    gaps = [later - earlier for earlier, later in zip([lost_ms, *begins], begins, strict=False)]
    assert gaps[0] == pytest.approx(1_500, abs=150)
    assert max(gaps) < 3_000
    assert len(begins) * 20 == pytest.approx(2_500, abs=600)


def test_where_there_is_music_it_plays_after_the_words() -> None:
    music = b"\x53"
    driver = CallDriver(replace(PATIENT, hold_audio=sound(music, 2_000)))
    driver.feed(GONE)
    driver.run(6_000)
    (words, _), (begin, _) = level_ms(driver, WAIT), level_ms(driver, music)
    assert words < begin
    ready(driver)
    turn(driver, "item_u", "Hello?")
    driver.say("item_1", 500, text="Yes?")
    driver.run(1_000)
    assert level_ms(driver, music)[1] < driver.now - 500


def test_the_music_is_not_that_of_a_function_which_runs_meanwhile_and_plays_on_when_it_has_run() -> None:
    music = b"\x53"
    driver = CallDriver(replace(PATIENT, hold_audio=sound(music, 2_000), tools=(LOOK_UP,)))
    called(driver)
    driver.feed(ResponseDone(Response("resp_1", "completed")), GONE)
    driver.run(5_500)
    assert level_ms(driver, music)
    driver.feed(ToolResult("call_1", "Found."))
    driver.run(1_900)
    begin, end = level_ms(driver, music)
    assert end - begin > 1_900


def waits_for_an_answer(driver: CallDriver) -> None:
    """The model has begun an answer, says nothing, and music plays."""
    turn(driver, "item_u", "Hello?")
    driver.begin("item_1")
    driver.run(7_500)


def test_the_music_makes_way_for_an_answer_that_was_begun_before_it() -> None:
    music = b"\x53"
    driver = CallDriver(replace(PATIENT, hold_audio=sound(music, 30_000)))
    waits_for_an_answer(driver)
    assert level_ms(driver, music)
    answered_ms = driver.now
    driver.more("item_1", 500)
    driver.end("item_1", text="Yes?")
    driver.done("resp_1")
    driver.run(1_000)
    assert level_ms(driver, music)[1] <= answered_ms
    assert driver.heard_ms("item_1") == 500
    assert driver.did(Line)[-1] == Line("bot", "item_1", "Yes?", heard_ms=500)
    assert not driver.told(CancelResponse)


def test_the_music_makes_way_for_the_words_with_which_the_call_ends() -> None:
    music = b"\x53"
    driver = CallDriver(replace(PATIENT, hold_audio=sound(music, 30_000)))
    driver.feed(GONE)
    driver.run(12_000)
    assert level_ms(driver, music)[1] < level_ms(driver, GOODBYE)[0] < 9_000
    assert driver.closed == CloseStream(1011, "model_failed")


def test_nothing_is_heard_behind_an_answer_that_has_halted() -> None:
    music = b"\x53"
    driver = CallDriver(replace(PATIENT, hold_audio=sound(music, 1_000)))
    turn(driver, "item_u", "Hello?")
    driver.begin("item_1")
    driver.more("item_1", 300)
    driver.run(9_000)
    driver.more("item_1", 500)
    driver.end("item_1", text="Yes?")
    driver.done("resp_1")
    driver.run(3_000)
    assert driver.heard_ms("item_1") == 800
    assert not level_ms(driver, WAIT)
    assert not level_ms(driver, music)


def test_a_caller_who_speaks_is_not_told_that_it_takes_a_moment() -> None:
    driver = CallDriver(PATIENT)
    driver.run(1_000)
    driver.feed(GONE)
    driver.speak(SPEECH)
    driver.run(2_000)
    assert not level_ms(driver, WAIT)


def test_who_still_hears_an_answer_is_not_told_that_it_takes_a_moment() -> None:
    driver = CallDriver(PATIENT)
    driver.say("item_1", 4_000, text="A long answer.")
    driver.run(100)
    driver.feed(GONE)
    driver.run(4_000)
    assert not level_ms(driver, WAIT)
    driver.run(2_000)
    assert level_ms(driver, WAIT)


# ------------------------------------------------------------------------------------------- it is renewed in time


def test_a_session_is_renewed_before_it_ends_once_nobody_speaks() -> None:
    driver = CallDriver(ready=ModelReady(Session(), expires_in_ms=600_000))
    driver.run(509_000)
    driver.say("item_1", 3_000, text="A long answer.")
    assert not driver.did(ModelDropped)
    first = len(driver.log)
    driver.run(5_000)
    renewed = [(now, action) for now, action in driver.log[first:] if isinstance(action, ModelDropped)]
    assert [action for _, action in renewed] == [ModelDropped("its session ends soon", planned=True)]
    assert renewed[0][0] >= 512_000
    assert [action for _, action in driver.log[-2:]] == [CloseModel(), OpenModel(PLAN.session)]
    assert ready(driver)[1:] == told(bot("A long answer.", "item_1"))


def test_a_session_is_renewed_in_any_case_before_it_ends() -> None:
    driver = CallDriver(ready=ModelReady(Session(), expires_in_ms=200_000))
    driver.run(149_000)
    driver.feed(SpeechStarted(0, "item_u"))
    driver.run(39_000)
    assert not driver.did(ModelDropped)
    driver.run(2_000)
    assert driver.did(ModelDropped) == [ModelDropped("its session ends", planned=True)]


# ------------------------------------------------------------------------------------------- it does not answer


def failed(driver: CallDriver, response_id: str, code: str = "server_error") -> list[Action]:
    driver.feed(ResponseCreated(Response(response_id, "in_progress")))
    error = ErrorDetail("no answer", code=code)
    return driver.feed(ResponseDone(Response(response_id, "failed", error=error)))


def test_an_answer_that_fails_is_asked_for_once_more_and_then_the_caller_is_asked_to_say_it_again() -> None:
    driver = CallDriver(PATIENT)
    turn(driver, "item_u", "Hello?")
    failed(driver, "resp_1")
    driver.run(1_600)
    assert len(asks(driver)) == 1
    failed(driver, "resp_2")
    driver.run(3_000)
    assert len(asks(driver)) == 1
    begin, _ = level_ms(driver, TROUBLE)
    assert begin < 2_500
    assert driver.call.turn is Turn.IDLE
    assert driver.did(Trouble) == [Trouble("the model's response failed: no answer")] * 2


def test_a_service_is_left_alone_for_as_long_as_it_says() -> None:
    driver = CallDriver(PATIENT)
    turn(driver, "item_u", "Hello?")
    driver.feed(RateLimitsUpdated((RateLimit("requests", 10, 0, 0.6), RateLimit("tokens", 10, 5, 60.0))))
    failed(driver, "resp_1", "rate_limit_exceeded")
    driver.run(580)
    assert asks(driver) == []
    driver.run(40)
    assert len(asks(driver)) == 1


def test_a_limit_that_is_told_after_the_answer_has_failed_is_waited_for_as_well() -> None:
    driver = CallDriver(PATIENT)
    turn(driver, "item_u", "Hello?")
    turn_ms = driver.now
    failed(driver, "resp_1", "rate_limit_exceeded")
    driver.feed(RateLimitsUpdated((RateLimit("tokens", 10, 0, 5.0),)))
    driver.run(4_980)
    assert asks(driver) == []
    driver.run(40)
    assert len(asks(driver)) == 1
    begin, _ = level_ms(driver, WAIT)
    assert begin - turn_ms < 3_000


@pytest.mark.parametrize("reset_s", [0.0, 60.0, 1e308])
def test_a_service_that_names_no_time_or_one_that_is_too_long_is_asked_again_soon(reset_s: float) -> None:
    driver = CallDriver(PATIENT)
    turn(driver, "item_u", "Hello?")
    driver.feed(RateLimitsUpdated((RateLimit("tokens", 10, 0, reset_s),)))
    failed(driver, "resp_1", "rate_limit_exceeded")
    driver.run(1_480)
    assert asks(driver) == []
    driver.run(40)
    assert len(asks(driver)) == 1


def test_last_words_that_the_model_fails_to_say_are_said_by_a_recording() -> None:
    driver = CallDriver(PATIENT)
    leave = Leave("Goodbye, and thank you.")
    driver.feed(AnsweredBy("machine", leave))
    failed(driver, "resp_1")
    driver.run(1_600)
    failed(driver, "resp_2")
    driver.run(1_500)
    assert level_ms(driver, GOODBYE)
    assert driver.closed == CloseStream(1000, "bot_hung_up")


def test_who_waits_for_an_answer_is_never_met_with_silence_for_three_seconds() -> None:
    driver = CallDriver(PATIENT)
    turn(driver, "item_u", "Hello?")
    turn_ms = driver.now
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    driver.run(9_000)
    heard = [turn_ms, *(frame.at_ms for frame in driver.carrier.frames if WAIT in frame.audio)]
    assert max(later - earlier for earlier, later in pairwise(heard)) < 3_000
    assert driver.now - heard[-1] < 3_000


def test_who_waits_for_a_function_hears_what_belongs_to_that() -> None:
    driver = CallDriver(replace(PATIENT, tools=(LOOK_UP,)))
    called(driver)
    driver.feed(ResponseDone(Response("resp_1", "completed")))
    driver.run(10_000)
    assert not level_ms(driver, WAIT)


def test_a_session_that_stalls_in_mid_answer_is_left_for_another_one_and_the_answer_goes_on() -> None:
    driver = CallDriver(PATIENT)
    turn(driver, "item_u", "Hello?")
    driver.begin("item_1")
    driver.more("item_1", 1_000)
    heard_ms = driver.now + 1_000
    driver.run(1_000 + STALL_MS + 3_500)
    ((left_ms, _),) = [each for each in driver.log if isinstance(each[1], ModelDropped)]
    assert STALL_MS <= left_ms - heard_ms <= STALL_MS + 3_500  # what he is told meanwhile is no answer
    assert driver.did(CloseModel)
    ready(driver)
    driver.run(100)
    assert Tell(CreateItem(system(CUT_OFF))) in driver.did(Tell)


def test_a_model_that_speaks_in_no_session_is_given_up() -> None:
    driver = CallDriver(greeted())
    driver.run(16_000)
    assert driver.did(ModelDropped) == [ModelDropped("the model does not answer")]
    ready(driver)
    driver.run(20_000)
    assert driver.closed == CloseStream(1011, "model_failed")


def test_a_long_answer_is_no_stall() -> None:
    driver = CallDriver(PATIENT)
    driver.begin("item_1")
    driver.more("item_1", 25_000)
    driver.run(25_500)
    driver.end("item_1")
    driver.done()
    assert not driver.did(ModelDropped)


def test_an_answer_that_the_services_filter_stops_is_heard_no_further() -> None:
    driver = CallDriver(PATIENT)
    turn(driver, "item_u", "Hello?")
    driver.begin("item_1")
    driver.more("item_1", 2_000)
    driver.run(500)
    driver.feed(ResponseDone(Response("resp_1", "incomplete", reason="content_filter")))
    driver.run(2_000)
    assert driver.heard_ms("item_1") == 500
    assert level_ms(driver, TROUBLE)
    assert asks(driver) == []
