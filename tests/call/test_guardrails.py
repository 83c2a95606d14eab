"""Guardrails in virtual time: when something is looked at, and what is done once one of them trips."""

import pytest
from driver import CallDriver

from phonebot.audio.base64 import base64_silence
from phonebot.call.actions import (
    Action,
    BargeIn,
    Check,
    ClearPlayback,
    CloseStream,
    Cut,
    Ended,
    Floor,
    GuardrailTripped,
    HandOff,
    Line,
    RunTool,
    SendMark,
    Tell,
    Trouble,
)
from phonebot.call.farewell import MS_PER_CHARACTER, PATIENCE_MS
from phonebot.call.guardrails import DEFAULT_WORDS, GRACE_MS, MAX_IN_A_ROW, UNKNOWN, whole_words
from phonebot.call.inputs import Checked, ToolResult
from phonebot.call.plan import AgentPlan, CallPlan, GuardrailRule, ToolRule
from phonebot.realtime.events import (
    AudioCommitted,
    AudioDelta,
    AudioDone,
    CancelResponse,
    CreateItem,
    CreateResponse,
    DeleteItem,
    ErrorDetail,
    ErrorEvent,
    FunctionCall,
    FunctionCallOutput,
    Message,
    OutputItemAdded,
    OutputItemDone,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseOptions,
    Session,
    SpeechStarted,
    SpeechStopped,
    SpokenTextDelta,
    SpokenTextDone,
    TranscriptionCompleted,
    TruncateItem,
    TurnDetection,
    UpdateSession,
)

SENTENCE = "We are open from eight to six every day. "  # of 41 characters
SAY = GuardrailRule("advice", then="say", say="I may not tell you that.", debounce_characters=20)
CORRECT = GuardrailRule("advice", debounce_characters=20)
END = GuardrailRule("threats", on="caller", then="end", say="Goodbye.")
NOTE = GuardrailRule("noted", then="go_on", debounce_characters=20)
PRICES = GuardrailRule("prices", on="arguments", passes_unknown=False)
QUOTE = ToolRule("quote", timeout_ms=1_000, fillers=("One moment.",), filler_ms=1_500)


def a_call(*rules: GuardrailRule, tools: tuple[ToolRule, ...] = (QUOTE,)) -> CallDriver:
    plan = CallPlan(Session(turn_detection=TurnDetection("server_vad")), tools=tools, guardrails=rules)
    driver = CallDriver(plan)
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    return driver


def says(driver: CallDriver, text: str, ms: int = 0, item_id: str = "item_1") -> list[Action]:
    """The model says something more, with so much audio."""
    actions = driver.feed(SpokenTextDelta("resp_1", item_id, 0, 0, text))
    return actions + (driver.more(item_id, ms, "resp_1") if ms else [])


def begins(driver: CallDriver) -> None:
    driver.feed(OutputItemAdded("resp_1", 0, Message("assistant", id="item_1", status="in_progress")))


def speaking(*rules: GuardrailRule) -> CallDriver:
    """The model has said a sentence that took 4 s, of which 1 s was played, and says more."""
    driver = a_call(*rules)
    begins(driver)
    says(driver, SENTENCE, 4_000)
    driver.run(1_000)
    return driver


def checks(actions: list[Action]) -> list[Check]:
    return [each for each in actions if isinstance(each, Check)]


def kinds(actions: list[Action]) -> list[type]:
    return [type(each.command) if isinstance(each, Tell) else type(each) for each in actions]


def trips(driver: CallDriver, name: str = "advice", check: str = "check-1", why: str = "a price") -> list[Action]:
    return driver.feed(Checked(check, name, True, why))


def asked(driver: CallDriver) -> list[ResponseOptions]:
    return [each.options for each in driver.told(CreateResponse) if isinstance(each, CreateResponse)]


def words_of(options: ResponseOptions) -> str:
    assert isinstance(options.instructions, str)
    return options.instructions.partition('"')[2].rstrip('"')


def mark_of(driver: CallDriver) -> dict[str, str]:
    """The mark of what was asked for last."""
    options = asked(driver)[-1]
    assert isinstance(options.metadata, dict)
    return options.metadata


def cancelled(driver: CallDriver, response_id: str = "resp_1") -> list[Action]:
    return driver.feed(ResponseDone(Response(response_id, "cancelled", reason="client_cancelled")))


def answers(driver: CallDriver, text: str, ms: int = 1_000, response_id: str = "resp_2") -> list[Action]:
    """What was asked for last is generated, all at once."""
    item = Message("assistant", id=f"of_{response_id}", status="in_progress")
    actions = driver.feed(
        ResponseCreated(Response(response_id, "in_progress", metadata=mark_of(driver))),
        OutputItemAdded(response_id, 0, item),
        SpokenTextDelta(response_id, item.id or "", 0, 0, text),
    )
    actions += driver.more(item.id or "", ms, response_id)
    return actions + driver.feed(
        AudioDone(response_id, item.id or "", 0, 0),
        SpokenTextDone(response_id, item.id or "", 0, 0, text),
        ResponseDone(Response(response_id, "completed")),
    )


# ------------------------------------------------------------------------------------------- when it is looked at


def test_a_text_is_looked_at_each_time_it_has_grown_by_the_step_and_once_more_when_it_is_complete() -> None:
    driver = a_call(CORRECT)
    begins(driver)
    looked: list[Check] = []
    for word in ["We ", "are ", "open ", "from ", "eight ", "to ", "six ", "every ", "day."]:
        looked += checks(says(driver, word))
        for each in looked[-1:]:
            driver.feed(Checked(each.check_id, "advice", False))
    looked += checks(driver.feed(SpokenTextDone("resp_1", "item_1", 0, 0, SENTENCE.strip())))
    assert looked == [
        Check("check-1", ("advice",), "item_1", "We are open from eight"),
        Check("check-2", ("advice",), "item_1", "We are open from eight to six every day."),
    ]


def test_a_word_that_may_grow_is_not_looked_at() -> None:
    driver = a_call(CORRECT)
    begins(driver)
    assert checks(says(driver, "It is only a can")) == []
    (check,) = checks(says(driver, "dle and not a"))
    assert check.text == "It is only a candle and not"


def test_a_text_without_blanks_is_looked_at_as_it_is() -> None:
    assert whole_words("日" * 50) == "日" * 50
    assert whole_words("no blank") == "no "


def test_a_look_under_way_is_waited_for_and_then_sees_what_came_meanwhile() -> None:
    driver = a_call(CORRECT)
    begins(driver)
    assert len(checks(says(driver, SENTENCE))) == 1
    assert checks(says(driver, SENTENCE)) == []
    assert checks(driver.feed(Checked("check-1", "advice", False))) == [
        Check("check-2", ("advice",), "item_1", (SENTENCE * 2).strip())
    ]


def test_guardrails_that_are_due_together_are_asked_together() -> None:
    driver = a_call(CORRECT, NOTE, GuardrailRule("seldom", debounce_characters=1_000))
    begins(driver)
    (check,) = checks(says(driver, SENTENCE))
    assert check.guardrails == ("advice", "noted")
    (check,) = checks(driver.feed(SpokenTextDone("resp_1", "item_1", 0, 0, SENTENCE)))
    assert check.guardrails == ("seldom",)  # the others have seen all of it


def test_what_an_answer_that_ends_early_has_said_is_looked_at() -> None:
    driver = a_call(CORRECT)
    begins(driver)
    says(driver, "Too short", 400)
    actions = driver.feed(ResponseDone(Response("resp_1", "incomplete", reason="max_output_tokens")))
    assert checks(actions) == [Check("check-1", ("advice",), "item_1", "Too short")]


def test_what_an_interrupted_answer_still_says_is_not_looked_at() -> None:
    driver = speaking(CORRECT)
    driver.feed(Checked("check-1", "advice", False), SpeechStarted(0, "turn_1"))
    assert checks(says(driver, SENTENCE)) == []
    assert checks(driver.feed(SpokenTextDone("resp_1", "item_1", 0, 0, SENTENCE * 2))) == []
    assert checks(driver.cancelled()) == []


def test_without_guardrails_nothing_is_looked_at() -> None:
    driver = a_call()
    begins(driver)
    assert says(driver, SENTENCE) == []
    assert called(driver) == [RunTool("call_1", "quote", "{}")]


# ------------------------------------------------------------------------------------- what is done: words


def test_a_trip_stops_playback_first_and_then_says_the_words_it_has() -> None:
    driver = speaking(SAY)
    actions = trips(driver)
    assert kinds(actions)[:2] == [ClearPlayback, SendMark]
    assert BargeIn not in kinds(actions)  # nobody interrupted
    (tripped,) = [each for each in actions if isinstance(each, GuardrailTripped)]
    assert tripped == GuardrailTripped("advice", "bot", "say", "a price", "item_1", unheard_ms=tripped.unheard_ms)
    assert 2_900 <= tripped.unheard_ms <= 3_200
    assert Tell(CancelResponse("resp_1")) in actions
    assert asked(driver) == []  # one is active
    cancelled(driver)
    (options,) = asked(driver)
    assert words_of(options) == SAY.say
    assert options.input == ()
    driver.run(300)
    (cut,) = [each for _, each in driver.log if isinstance(each, Cut)]
    assert (cut.heard_ms, cut.settled) == (driver.heard_ms("item_1"), "fence")
    assert TruncateItem("item_1", 0, cut.heard_ms, "truncate-1") in driver.told(TruncateItem)


def test_the_model_corrects_itself_once_it_knows_what_was_heard() -> None:
    driver = speaking(CORRECT)
    trips(driver)
    cancelled(driver)
    assert asked(driver) == []
    assert driver.told(CreateItem) == []
    driver.run(300)
    told = driver.told(TruncateItem, CreateItem, CreateResponse)
    assert [type(each) for each in told] == [TruncateItem, CreateItem, CreateResponse]
    assert isinstance(told[1], CreateItem)
    assert isinstance(told[1].item, Message)
    assert told[1].item.role == "system"
    assert "advice (a price)" in (told[1].item.content[0].text or "")
    assert asked(driver)[0].instructions == ResponseOptions().instructions


def test_a_guardrail_that_lets_it_go_on_trips_once_and_hides_no_other() -> None:
    driver = speaking(NOTE, SAY)
    noted = GuardrailTripped("noted", "bot", "go_on", "", "item_1")
    assert driver.feed(Checked("check-1", "noted", True)) == [noted]
    driver.feed(Checked("check-1", "advice", False))
    (check,) = checks(says(driver, SENTENCE))
    assert driver.feed(Checked(check.check_id, "noted", True)) == []
    assert ClearPlayback in kinds(trips(driver, check=check.check_id))


def test_of_two_that_stop_the_bot_the_first_counts() -> None:
    driver = speaking(SAY, GuardrailRule("other", debounce_characters=20))
    trips(driver)
    assert trips(driver, "other") == []


def test_words_that_were_heard_in_full_are_followed_by_the_alternative_all_the_same() -> None:
    driver = a_call(SAY)
    begins(driver)
    says(driver, SENTENCE, 1_000)
    driver.end("item_1", "resp_1")
    driver.done()
    driver.run(3_000)
    actions = trips(driver)
    assert kinds(actions) == [GuardrailTripped, CreateResponse]
    assert words_of(asked(driver)[0]) == SAY.say


def test_words_still_being_played_after_their_answer_is_complete_are_cleared() -> None:
    driver = a_call(SAY)
    begins(driver)
    says(driver, SENTENCE, 4_000)
    driver.end("item_1", "resp_1")
    driver.done()
    driver.run(1_000)
    assert kinds(trips(driver)) == [ClearPlayback, SendMark, Floor, GuardrailTripped, CreateResponse]


@pytest.mark.parametrize("rule", [SAY, CORRECT])
def test_a_trip_on_what_the_caller_has_interrupted_is_noted_and_no_more(rule: GuardrailRule) -> None:
    driver = speaking(rule)
    driver.feed(SpeechStarted(0, "turn_1"))
    assert trips(driver) == [GuardrailTripped("advice", "bot", "go_on", "a price", "item_1")]


def test_a_call_that_is_to_end_ends_though_the_caller_has_interrupted() -> None:
    driver = speaking(GuardrailRule("advice", then="end", debounce_characters=20))
    driver.feed(SpeechStarted(0, "turn_1"))
    actions = trips(driver)
    assert CloseStream(1000, "guardrail") in actions
    assert actions[-1] == Ended("guardrail")


def test_the_words_of_a_guardrail_do_not_trip_it() -> None:
    driver = speaking(SAY)
    trips(driver)
    cancelled(driver)
    assert checks(answers(driver, SENTENCE)) == []


def test_a_model_that_never_corrects_itself_says_given_words_in_the_end() -> None:
    driver = speaking(CORRECT)
    trips(driver)
    cancelled(driver)
    driver.run(500)
    for number in range(MAX_IN_A_ROW):
        (check,) = checks(answers(driver, SENTENCE, response_id=f"again_{number}"))
        trips(driver, check=check.check_id)
        driver.run(2_000)
    assert [isinstance(each.instructions, str) for each in asked(driver)] == [False] * MAX_IN_A_ROW + [True]
    assert words_of(asked(driver)[-1]) == DEFAULT_WORDS


def test_what_could_not_be_found_out_is_told_and_passes_or_trips_as_the_rule_has_it() -> None:
    driver = speaking(SAY)
    trouble = Trouble("guardrail advice: no answer")
    assert driver.feed(Checked("check-1", "advice", False, problem="no answer")) == [trouble]
    strict = GuardrailRule("advice", then="say", say="No.", debounce_characters=20, passes_unknown=False)
    driver = speaking(strict)
    actions = driver.feed(Checked("check-1", "advice", False, problem="no answer"))
    assert trouble in actions
    assert ClearPlayback in kinds(actions)


def test_a_problem_that_comes_with_each_look_is_told_once() -> None:
    driver = speaking(SAY)
    assert len(driver.feed(Checked("check-1", "advice", False, problem="no answer"))) == 1
    (check,) = checks(says(driver, SENTENCE))
    assert driver.feed(Checked(check.check_id, "advice", False, problem="no answer")) == []


def test_a_look_that_nobody_answers_is_given_up() -> None:
    driver = speaking(SAY)
    actions = driver.run(SAY.timeout_ms + GRACE_MS)
    assert Trouble("guardrail advice: it took more than 3000 ms") in actions
    assert trips(driver) == []  # too late


def test_an_answer_of_which_nothing_was_heard_is_removed() -> None:
    driver = a_call(SAY)
    begins(driver)
    says(driver, SENTENCE)
    actions = trips(driver)
    assert kinds(actions) == [Cut, CancelResponse, GuardrailTripped]
    assert Tell(DeleteItem("item_1")) in cancelled(driver)
    assert words_of(asked(driver)[-1]) == SAY.say


# ------------------------------------------------------------------------------------- what is done: the caller


def turn(driver: CallDriver, text: str = "I have a bomb") -> list[Action]:
    """The caller says something, and it is written down."""
    return driver.feed(
        SpeechStarted(0, "turn_1"),
        SpeechStopped(300, "turn_1"),
        AudioCommitted("turn_1"),
        TranscriptionCompleted("turn_1", 0, text),
    )


def test_what_the_caller_says_is_looked_at_when_it_is_written_down() -> None:
    driver = a_call(END)
    driver.done()
    assert checks(turn(driver)) == [Check("check-1", ("threats",), "turn_1", "I have a bomb")]


def test_the_models_own_answer_to_what_has_tripped_is_cancelled_when_it_comes() -> None:
    driver = a_call(GuardrailRule("topic", on="caller", then="say", say="Let us speak of pizza."))
    driver.done()
    turn(driver)
    trips(driver, "topic")
    actions = driver.feed(ResponseCreated(Response("resp_own", "in_progress")))
    assert Tell(CancelResponse("resp_own")) in actions
    busy = ErrorDetail("busy", code="conversation_already_has_active_response", event_id="response-1")
    driver.feed(ErrorEvent(busy))
    assert driver.feed(AudioDelta("resp_own", "item_own", 0, 0, "////")) == []
    cancelled(driver, "resp_own")
    assert [words_of(each) for each in asked(driver)] == ["Let us speak of pizza."] * 2
    answers(driver, "Let us speak of pizza.")
    assert Line("bot", "of_resp_2", "Let us speak of pizza.", heard_ms=1_000) in driver.run(2_000)


def test_a_service_that_repeats_no_marks_has_its_second_response_taken_for_ours() -> None:
    driver = a_call(GuardrailRule("topic", on="caller", then="say", say="Let us speak of pizza."))
    driver.done()
    turn(driver)
    trips(driver, "topic")
    driver.feed(ResponseCreated(Response("resp_a", "in_progress")))
    cancelled(driver, "resp_a")
    assert driver.feed(ResponseCreated(Response("resp_b", "in_progress"))) == []
    driver.more("item_b", 400, "resp_b")
    driver.feed(ResponseDone(Response("resp_b", "completed")))
    assert len(asked(driver)) == 2


def test_the_alternative_is_said_after_what_the_caller_says_meanwhile_and_then_he_is_answered() -> None:
    driver = a_call(SAY)
    begins(driver)
    says(driver, SENTENCE, 400)
    driver.end("item_1", "resp_1")
    driver.done()
    driver.run(2_000)
    driver.feed(SpeechStarted(0, "turn_1"))
    trips(driver)
    assert asked(driver) == []
    driver.feed(SpeechStopped(300, "turn_1"), ResponseCreated(Response("resp_own", "in_progress")))
    cancelled(driver, "resp_own")
    assert words_of(asked(driver)[0]) == SAY.say
    answers(driver, SAY.say)
    assert asked(driver)[1:] == [ResponseOptions()]


def test_the_call_ends_once_the_last_words_were_heard() -> None:
    driver = a_call(END)
    driver.done()
    turn(driver)
    trips(driver, "threats")
    assert words_of(asked(driver)[0]) == "Goodbye."
    answers(driver, "Goodbye.", 1_000)
    actions = driver.run(2_000)
    assert driver.closed == CloseStream(1000, "guardrail")
    assert driver.heard_ms("of_resp_2") == 1_000
    assert [each for each in actions if isinstance(each, Line | Ended)] == [
        Line("bot", "of_resp_2", "Goodbye.", heard_ms=1_000),
        Ended("guardrail"),
    ]


def test_nobody_listens_to_a_caller_any_more_to_whom_the_last_words_are_said() -> None:
    driver = a_call(END)
    driver.done()
    turn(driver)
    trips(driver, "threats")
    driver.caller_audio.clear()
    driver.hum(True)
    driver.run(200)
    assert set(driver.caller_audio) == {base64_silence(160)}
    assert driver.feed(SpeechStarted(0, "turn_2")) == []
    assert driver.press("1") == []
    answers(driver, "Goodbye.", 1_000)
    driver.run(2_000)
    assert driver.heard_ms("of_resp_2") == 1_000


def test_a_call_ends_though_the_last_words_never_come() -> None:
    driver = a_call(END)
    driver.done()
    turn(driver)
    trips(driver, "threats")
    driver.run(PATIENCE_MS + len(END.say) * MS_PER_CHARACTER)
    assert driver.closed == CloseStream(1000, "guardrail")


# ------------------------------------------------------------------------------------- what is done: arguments


def called(driver: CallDriver, name: str = "quote", call_id: str = "call_1") -> list[Action]:
    return driver.feed(OutputItemDone("resp_1", 0, FunctionCall(name, call_id, "{}", "f", "completed")))


def told(driver: CallDriver) -> list[str]:
    commands = [each for each in driver.told(CreateItem) if isinstance(each, CreateItem)]
    return [each.item.output for each in commands if isinstance(each.item, FunctionCallOutput)]


def test_a_function_runs_once_all_its_guardrails_allow_it() -> None:
    driver = a_call(PRICES, GuardrailRule("noted", on="arguments", then="go_on"))
    assert called(driver) == [Check("check-1", ("prices", "noted"), tool="quote", arguments="{}")]
    assert driver.feed(Checked("check-1", "prices", False)) == []
    assert driver.feed(Checked("check-1", "noted", True, "odd")) == [
        GuardrailTripped("noted", "arguments", "go_on", "odd", tool="quote"),
        RunTool("call_1", "quote", "{}"),
    ]


def test_a_function_that_may_not_run_does_not_and_the_model_is_told_and_answers() -> None:
    driver = a_call(PRICES, GuardrailRule("slow", on="arguments"))
    called(driver)
    driver.done()
    actions = trips(driver, "prices", why="more than 100")
    assert actions[0] == GuardrailTripped("prices", "arguments", "interrupt", "more than 100", tool="quote")
    assert told(driver) == ["Not done: the guardrail prices does not allow these arguments (more than 100)."]
    assert len(asked(driver)) == 1
    assert driver.feed(Checked("check-1", "slow", False)) == []  # it does not run after all


def test_a_function_that_is_still_looked_at_has_no_result() -> None:
    driver = a_call(PRICES)
    called(driver)
    assert driver.feed(ToolResult("call_1", "nobody has run it")) == []
    assert driver.feed(Checked("check-1", "prices", False)) == [RunTool("call_1", "quote", "{}")]


def test_a_function_about_which_nothing_could_be_found_out_does_not_run() -> None:
    driver = a_call(GuardrailRule("prices", on="arguments", then="end", passes_unknown=False))
    called(driver)
    driver.done()
    driver.feed(Checked("check-1", "prices", False, problem="no answer"))
    assert told(driver) == [UNKNOWN]
    assert driver.closed is None  # that is no reason to hang up
    assert len(asked(driver)) == 1


def test_a_function_runs_though_nothing_could_be_found_out_where_that_is_wanted() -> None:
    driver = a_call(GuardrailRule("prices", on="arguments"))
    called(driver)
    actions = driver.feed(Checked("check-1", "prices", False, problem="no answer"))
    assert RunTool("call_1", "quote", "{}") in actions


def test_words_of_ours_are_said_in_place_of_an_answer_to_what_was_not_done() -> None:
    driver = a_call(GuardrailRule("prices", on="arguments", then="say", say="That is too much."))
    called(driver)
    trips(driver, "prices")
    cancelled(driver)
    assert len(told(driver)) == 1
    assert [words_of(each) for each in asked(driver)] == ["That is too much."]


def test_the_guardrail_of_one_function_is_none_of_the_others() -> None:
    rule = GuardrailRule("prices", on="arguments", tools=("pay",))
    driver = a_call(rule, tools=(QUOTE, ToolRule("pay")))
    assert called(driver) == [RunTool("call_1", "quote", "{}")]
    assert checks(called(driver, "pay", "call_2")) != []


def test_while_a_function_is_looked_at_the_bot_speaks_of_it_and_its_own_time_has_not_begun() -> None:
    rule = GuardrailRule("prices", on="arguments", timeout_ms=20_000)
    driver = a_call(rule)
    called(driver)
    driver.done()
    driver.run(1_600)  # longer than the function's own time-out, and than the delay of its filler
    assert [words_of(each) for each in asked(driver)] == ["One moment."]
    assert RunTool("call_1", "quote", "{}") in driver.feed(Checked("check-1", "prices", False))
    actions = driver.run(1_100)
    assert Trouble("quote was given up after 1000 ms") in actions


# ------------------------------------------------------------------------------------- what is done: another agent

BILLING = GuardrailRule("money", on="caller", then="hand_over", to="billing")
OWN = GuardrailRule("own", debounce_characters=20)
AGENTS = (
    AgentPlan("main", "You answer."),
    AgentPlan("billing", "You are billing.", guardrails=(OWN,)),
)


def with_agents(*rules: GuardrailRule) -> CallDriver:
    plan = CallPlan(Session(turn_detection=TurnDetection("server_vad")), agents=AGENTS, guardrails=rules)
    driver = CallDriver(plan)
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    return driver


def test_a_guardrail_hands_the_call_to_an_agent_who_speaks_and_has_guardrails_of_its_own() -> None:
    driver = with_agents(BILLING)
    begins(driver)
    says(driver, SENTENCE, 4_000)
    driver.run(1_000)
    actions = turn(driver, "What do I owe?")
    driver.feed(ResponseCreated(Response("resp_own", "in_progress")))
    assert checks(actions) == [Check("check-1", ("money",), "turn_1", "What do I owe?")]
    actions = trips(driver, "money")
    assert HandOff("main", "billing") in actions
    (swapped,) = driver.told(UpdateSession)
    assert isinstance(swapped, UpdateSession)
    assert swapped.session.instructions == "You are billing."
    cancelled(driver, "resp_own")
    driver.run(300)
    (told_it,) = driver.told(CreateItem)
    assert isinstance(told_it, CreateItem)
    assert isinstance(told_it.item, Message)
    assert (told_it.item.content[0].text or "").startswith("From now on you are billing")
    (check,) = checks(answers(driver, SENTENCE))
    assert check.guardrails == ("own",)


def test_the_agent_who_has_the_call_already_goes_on() -> None:
    driver = with_agents(GuardrailRule("money", on="caller", then="hand_over", to="main"))
    driver.done()
    turn(driver)
    actions = trips(driver, "money")
    assert HandOff not in kinds(actions)
    assert len(asked(driver)) == 1
