"""What a call does about what happens, in virtual time against the emulated carrier."""

from base64 import b64decode, b64encode

import pytest
from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.call.actions import (
    Action,
    BargeIn,
    ClearPlayback,
    CloseModel,
    CloseStream,
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
from phonebot.call.call import CARRIER_FAULTS, SILENT_CARRIER_MS, Call
from phonebot.call.inputs import (
    CarrierClosed,
    CarrierFault,
    ModelFault,
    ModelLost,
    ModelReady,
    OperatorHangUp,
    Tick,
)
from phonebot.call.plan import CallPlan, Recovery
from phonebot.call.recovery import MODEL_FAULTS
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Media, Start, Stop
from phonebot.realtime.events import (
    AppendAudio,
    AudioCommitted,
    AudioDelta,
    AudioFormat,
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
    RateLimitsUpdated,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseStatus,
    Session,
    SpeechStarted,
    SpeechStopped,
    SpokenTextDelta,
    SpokenTextDone,
    TranscriptionCompleted,
    TruncateItem,
    TurnDetection,
)
from phonebot.simulator.network import Network

START = Start(1, "MZ" + "3" * 32, "AC" + "2" * 32, "CA" + "1" * 32)
STOP = Stop(99, "AC" + "2" * 32, "CA" + "1" * 32)
FRAME = b64encode(bytes(160)).decode()


def media(n: int, timestamp_ms: int | None = None) -> Media:
    return Media(n + 1, n, 20 * n if timestamp_ms is None else timestamp_ms, FRAME)


# ------------------------------------------------------------------------------------------- the begin


def test_a_call_opens_the_model_with_its_plans_session() -> None:
    session = Session(instructions="Be brief.")
    assert Call(CallPlan(session)).receive(START, 0) == [OpenModel(session)]


def test_a_greeting_is_asked_for_verbatim_once_the_model_is_ready_and_earlier_noise_is_dropped() -> None:
    call = Call(CallPlan(Session(), greeting="Hello there."))
    call.receive(START, 0)
    assert call.receive(media(1), 20) == [SendMark("0:1")]
    ping, action = call.receive(ModelReady(Session()), 300)
    assert ping == SendMark("0:2")
    assert isinstance(action, Tell)
    assert isinstance(action.command, CreateResponse)
    assert action.command.options.instructions == 'Say exactly these words, and nothing else: "Hello there."'
    assert action.command.options.input == ()


def test_without_a_greeting_the_caller_is_heard_from_his_first_word() -> None:
    call = Call(CallPlan(Session()))
    call.receive(START, 0)
    for n in range(1, 4):
        call.receive(media(n), 20 * n)
    assert call.receive(ModelReady(Session()), 60) == [SendMark("0:2"), *[Tell(AppendAudio(FRAME))] * 3]


def test_of_what_the_caller_says_before_the_model_is_ready_the_last_twenty_seconds_are_kept() -> None:
    call = Call(CallPlan(Session()))
    for n in range(1, 1_151):
        call.receive(media(n), 2 * n)
    assert len(call.receive(ModelReady(Session()), 3_000)) == 1 + 1_000  # the first measures the round trip


# ------------------------------------------------------------------------------------------- audio


def test_a_frame_of_the_caller_passes_through_untouched() -> None:
    call = CallDriver().call
    assert call.receive(media(100, 600), 600) == [Tell(AppendAudio(FRAME))]


def test_a_gap_in_the_callers_audio_is_filled_with_silence_of_its_length() -> None:
    driver = CallDriver()
    first = driver.call.receive(media(100, 1_000), 1_000)
    silence, frame = driver.call.receive(media(101, 1_180), 1_180)
    assert first[-1] == frame == Tell(AppendAudio(FRAME))
    assert silence == Tell(AppendAudio(b64encode(b"\xff" * 160 * 8).decode()))


def test_an_answer_is_played_in_pieces_with_a_mark_before_and_after_each() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    actions = driver.more("item_1", 400)
    kinds = [type(action) for action in actions]
    assert kinds == [SendMark, *[PlayAudio, SendMark] * 5, Floor]
    marks = [action.name for action in actions if isinstance(action, SendMark)]
    assert len(set(marks)) == len(marks)
    assert all(len(action.payload) <= 1920 for action in actions if isinstance(action, PlayAudio))
    driver.run(1_000)
    assert driver.heard_ms("item_1") == 400


def test_the_last_frame_of_an_answer_is_filled_with_silence() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 1_234)
    filling, mark, *_ = driver.end("item_1")
    rest = b64decode(filling.payload) if isinstance(filling, PlayAudio) else b""
    assert (len(rest), rest[112:]) == (160, b"\xff" * 48)  # 1,234 ms are 61 frames and 112 bytes
    assert isinstance(mark, SendMark)


def test_audio_more_than_thirty_seconds_ahead_waits_with_us() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    for _ in range(50):
        driver.more("item_1", 1_000)
    driver.run(1_000)
    assert driver.carrier.most_buffered_bytes / 8 <= 31_000
    driver.end("item_1", text="long")
    driver.run(60_000)
    assert driver.heard_ms("item_1") == 50_000
    assert driver.did(Line) == [Line("bot", "item_1", "long", heard_ms=50_000)]


def test_one_delta_of_minutes_does_not_break_the_lead() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 120_000)
    driver.end("item_1", text="long")
    driver.run(130_000)
    assert driver.carrier.most_buffered_bytes / 8 <= 31_000
    assert driver.heard_ms("item_1") == 120_000


def test_a_model_that_runs_away_is_not_followed() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    for _ in range(7):
        driver.more("item_1", 100_000)
    assert isinstance(driver.more("item_1", 1_000)[0], Trouble)


@pytest.mark.parametrize(("model_format", "bytes_per_ms"), [("pcma", 8), ("pcm24k", 48)])
def test_a_session_in_another_format_is_transcoded_both_ways(model_format: AudioFormat, bytes_per_ms: int) -> None:
    driver = CallDriver(ready=ModelReady(Session(), input_format=model_format, output_format=model_format))
    driver.caller_audio.clear()
    driver.run(1_000)
    sent = sum(len(audio) * 3 // 4 - audio.count("=") for audio in driver.caller_audio)
    assert sent / bytes_per_ms == pytest.approx(1_000, abs=20)
    driver.begin("item_1")
    audio = b64encode(bytes([0xD5]) * (500 * bytes_per_ms) if model_format == "pcma" else bytes(500 * 48)).decode()
    driver.feed(AudioDelta("resp_1", "item_1", 0, 0, audio))
    driver.end("item_1", text="silence")
    driver.run(1_000)
    assert sum(len(frame.audio) for frame in driver.carrier.frames) == 500 * 8
    assert driver.did(Line) == [Line("bot", "item_1", "silence", heard_ms=500)]


def test_audio_that_is_no_base64_is_refused_and_the_call_goes_on() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    assert driver.feed(AudioDelta("resp_1", "item_1", 0, 0, "abc")) == [
        Trouble("audio of item item_1 is no base64")
    ]
    driver.more("item_1", 100)
    driver.run(500)
    assert driver.heard_ms("item_1") == 100


# ------------------------------------------------------------------------------------------- interruptions


def test_barge_in_truncates_the_item_where_the_caller_stopped_hearing_it() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000, text="We are open from eight in the morning until six.")
    driver.run(700)
    clear, fence, barge_in, floor = driver.feed(SpeechStarted(700))
    assert clear == ClearPlayback()
    assert isinstance(fence, SendMark)
    assert isinstance(barge_in, BargeIn)
    assert barge_in.unheard_ms == pytest.approx(1_300, abs=20)
    assert floor == Floor(Turn.CALLER)
    assert driver.run(100) == [
        Tell(TruncateItem("item_1", 0, 700, "truncate-1")),
        Cut("item_1", 700, 2_000, "fence"),
        Line("bot", "item_1", "We are open from", cut=True, heard_ms=700),
    ]
    assert driver.heard_ms("item_1") == 700


@pytest.mark.parametrize("audio", ["abc", "!é==ab= ", "éééé", "===="])
@pytest.mark.parametrize("model_format", ["pcmu", "pcm24k"])
def test_what_is_no_base64_never_reaches_the_carrier(audio: str, model_format: AudioFormat) -> None:
    driver = CallDriver(ready=ModelReady(Session(), output_format=model_format))
    driver.begin("item_1")
    (trouble,) = driver.feed(AudioDelta("resp_1", "item_1", 0, 0, audio))
    assert isinstance(trouble, Trouble)
    driver.run(100)
    assert not driver.carrier.violations


@pytest.mark.parametrize("network", [Network(), Network(40, 0, 40, 0), Network(150, 0, 30, 0)])
@pytest.mark.parametrize("after_ms", [60, 130, 500, 1_010, 1_990, 2_330, 3_500])
def test_every_item_in_the_queue_is_settled_to_one_frame(network: Network, after_ms: int) -> None:
    driver = CallDriver(network=network)
    items = {"item_1": 1_200, "item_2": 800, "item_3": 2_000}
    driver.say("item_1", items["item_1"], "resp_1")
    driver.say("item_2", items["item_2"], "resp_2")
    driver.say("item_3", items["item_3"], "resp_2")
    driver.run(after_ms)
    driver.feed(SpeechStarted(0))
    driver.run(1_000)
    for item_id, believed_ms in driver.believed_ms(**items).items():
        assert believed_ms == pytest.approx(driver.heard_ms(item_id), abs=20)
    assert not driver.carrier.violations


def test_nothing_is_cleared_nor_truncated_when_everything_was_heard() -> None:
    driver = CallDriver()
    driver.say("item_1", 1_000, text="All of it.")
    driver.run(1_500)
    assert driver.feed(SpeechStarted(0)) == [Floor(Turn.CALLER)]
    assert driver.run(2_000) == []


def test_an_answer_interrupted_before_its_first_sound_is_removed_once_its_response_is_done() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    assert driver.feed(SpeechStarted(0)) == [Cut("item_1", 0, 0, "at_once"), Floor(Turn.CALLER)]
    assert driver.cancelled() == [Tell(DeleteItem("item_1"))]


def test_an_item_the_model_begins_after_it_was_interrupted_is_removed_too() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 400)
    driver.run(200)
    driver.feed(SpeechStarted(0))
    driver.begin("item_2")
    driver.more("item_2", 400)
    driver.cancelled()
    driver.run(500)
    assert driver.heard_ms("item_2") == 0
    assert driver.told(DeleteItem) == [DeleteItem("item_2")]


def test_late_audio_of_an_interrupted_response_is_never_played() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 1_000)
    driver.run(300)
    driver.feed(SpeechStarted(0))
    driver.more("item_1", 500)
    driver.cancelled()
    driver.run(100)
    driver.more("item_1", 500)
    driver.run(1_500)
    assert driver.heard_ms("item_1") == 300
    assert driver.told(TruncateItem) == [TruncateItem("item_1", 0, 300, "truncate-1")]


def test_an_item_still_growing_is_cut_at_what_was_received_when_all_of_that_was_heard() -> None:
    """The model stalls in mid-item, and the caller speaks into the pause: the rest must not be believed."""
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 400)
    driver.run(1_000)
    actions = driver.feed(SpeechStarted(0))
    assert Tell(TruncateItem("item_1", 0, 400, "truncate-1")) in actions
    assert ClearPlayback() not in actions


def test_without_an_echo_of_the_fence_the_cut_comes_at_its_timeout_and_is_low() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000)
    driver.run(700)
    driver.feed(SpeechStarted(0))
    driver.carrier.stop()  # the carrier falls silent
    driver.run(299)
    assert driver.told(TruncateItem) == []
    driver.run(2_000)
    (cut,) = driver.did(Cut)
    assert isinstance(cut, Cut)
    assert cut.settled == "timeout"
    assert 700 - 180 <= cut.heard_ms <= 700


def test_the_end_of_the_callers_turn_does_not_wait_for_the_fence() -> None:
    driver = CallDriver(network=Network(300, 0, 300, 0))
    driver.say("item_1", 3_000)
    driver.run(1_500)
    driver.feed(SpeechStarted(0))
    driver.run(100)
    driver.feed(SpeechStopped(100))
    (cut,) = driver.did(Cut)
    assert isinstance(cut, Cut)
    assert cut.settled == "turn_end"
    driver.run(1_000)
    assert cut.heard_ms <= driver.heard_ms("item_1")
    assert len(driver.told(TruncateItem)) == 1


def test_two_interruptions_in_a_row_settle_each_its_own_answer() -> None:
    driver = CallDriver(network=Network(60, 0, 60, 0))
    driver.say("item_1", 2_000, "resp_1")
    driver.run(600)
    driver.feed(SpeechStarted(0))
    driver.run(30)
    driver.say("item_2", 2_000, "resp_2")
    driver.run(400)
    driver.feed(SpeechStarted(0))
    driver.run(600)
    for item_id, believed_ms in driver.believed_ms(item_1=2_000, item_2=2_000).items():
        assert believed_ms == pytest.approx(driver.heard_ms(item_id), abs=20)


def test_a_cancelled_response_is_an_interruption_even_before_the_model_says_who_spoke() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 1_000)
    driver.run(300)
    assert ClearPlayback() in driver.cancelled()
    assert driver.feed(SpeechStarted(0)) == [Floor(Turn.CALLER)]


def test_a_bot_that_may_not_be_interrupted_goes_on() -> None:
    session = Session(turn_detection=TurnDetection("server_vad", interrupt_response=False))
    driver = CallDriver(CallPlan(session, interruptible=False))
    driver.say("item_1", 1_000)
    driver.run(300)
    assert driver.feed(SpeechStarted(0)) == []
    driver.run(1_000)
    assert driver.heard_ms("item_1") == 1_000


def test_a_model_that_does_not_stop_by_itself_is_told_to() -> None:
    driver = CallDriver(ready=ModelReady(Session(), interrupts=False))
    driver.begin("item_1")
    driver.more("item_1", 1_000)
    driver.run(300)
    actions = driver.feed(SpeechStarted(0))
    assert actions.index(ClearPlayback()) < actions.index(Tell(CancelResponse("resp_1")))


def test_a_model_that_was_asked_not_to_stop_by_itself_is_told_to() -> None:
    session = Session(turn_detection=TurnDetection("server_vad", interrupt_response=False))
    driver = CallDriver(CallPlan(session), ModelReady(session))
    driver.begin("item_1")
    driver.more("item_1", 1_000)
    driver.run(300)
    assert Tell(CancelResponse("resp_1")) in driver.feed(SpeechStarted(0))


def test_where_items_cannot_be_deleted_they_are_truncated_to_nothing() -> None:
    driver = CallDriver(ready=ModelReady(Session(), deletes=False))
    driver.say("item_1", 1_000, "resp_1")
    driver.say("item_2", 1_000, "resp_2")
    driver.run(300)
    driver.feed(SpeechStarted(0))
    driver.run(100)
    assert driver.told(TruncateItem, DeleteItem) == [
        TruncateItem("item_1", 0, 300, "truncate-1"),
        TruncateItem("item_2", 0, 0, "truncate-2"),
    ]


def test_a_refused_truncation_is_repeated_at_the_length_the_error_states() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000)
    driver.run(700)
    driver.feed(SpeechStarted(0))
    driver.run(100)
    refusal = ErrorDetail("Audio content of 640ms is already shorter than 700ms", event_id="truncate-1")
    trouble, retry = driver.feed(ErrorEvent(refusal))
    assert isinstance(trouble, Trouble)
    assert retry == Tell(TruncateItem("item_1", 0, 640, "truncate-2"))
    still_refused = ErrorDetail("Audio content of 600ms is already shorter than 640ms", event_id="truncate-2")
    (trouble,) = driver.feed(ErrorEvent(still_refused))
    assert isinstance(trouble, Trouble)


def test_a_refusal_that_names_no_command_is_known_by_the_position_it_names() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000)
    driver.run(700)
    driver.feed(SpeechStarted(0))
    driver.run(100)
    refusal = ErrorDetail("Audio content of 640 ms is already shorter than 700 ms")
    assert driver.feed(ErrorEvent(refusal))[1:] == [Tell(TruncateItem("item_1", 0, 640, "truncate-2"))]
    strange = ErrorDetail("Audio content of 640 ms is already shorter than 9000 ms")
    assert driver.feed(ErrorEvent(strange)) == [Trouble(f"truncation refused: {strange.message}")]


# ------------------------------------------------------------------------------------------- the model's events


def test_what_the_caller_said_becomes_a_line_when_it_was_understood() -> None:
    driver = CallDriver()
    assert driver.feed(TranscriptionCompleted("item_u", 0, " Good morning. ")) == [
        Line("caller", "item_u", "Good morning.")
    ]
    assert driver.feed(TranscriptionCompleted("item_v", 0, " ")) == []


def test_a_call_of_a_function_nobody_gave_is_answered_so_that_the_model_goes_on() -> None:
    driver = CallDriver()
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    call = FunctionCall("book", "call_1", "{}", id="item_f", status="completed")
    assert driver.feed(OutputItemDone("resp_1", 0, call)) == [
        Trouble("the model called a function 'book' that there is not"),
        Tell(CreateItem(FunctionCallOutput("call_1", "There is no function book."))),
    ]
    assert Tell(CreateResponse(event_id="response-1")) in driver.done()


def test_harmless_errors_pass_in_silence_and_others_are_noted() -> None:
    driver = CallDriver()
    assert driver.feed(ErrorEvent(ErrorDetail("no response", code="response_cancel_not_active"))) == []
    assert driver.feed(ErrorEvent(ErrorDetail("what?", code="unknown_parameter"))) == [
        Trouble("the model reports: what?")
    ]
    assert not driver.call.ended


def test_a_fatal_error_ends_the_call() -> None:
    driver = CallDriver()
    actions = driver.feed(ErrorEvent(ErrorDetail("no money left", code="insufficient_quota")))
    assert actions == [
        Trouble("no money left"),
        CloseStream(1011, "model_failed"),
        CloseModel(),
        Ended("model_failed"),
    ]


def test_a_response_that_failed_for_a_while_is_asked_for_again_after_a_pause() -> None:
    driver = CallDriver(CallPlan(PLAN.session, greeting="Hello."))
    failed = Response("resp_1", "failed", error=ErrorDetail("slow down", code="rate_limit_exceeded"))
    assert driver.feed(ResponseDone(failed)) == [Trouble("the model's response failed: slow down")]
    driver.run(2_000)
    first, second = driver.told(CreateResponse)
    assert isinstance(first, CreateResponse)
    assert isinstance(second, CreateResponse)
    assert second.options == first.options


def test_a_response_that_failed_for_good_ends_the_call() -> None:
    driver = CallDriver()
    failed = Response("resp_1", "failed", error=ErrorDetail("no money", code="insufficient_quota"))
    assert driver.feed(ResponseDone(failed))[-1] == Ended("model_failed")


def test_a_turn_that_the_model_does_not_answer_is_answered_on_demand() -> None:
    driver = CallDriver()
    driver.feed(SpeechStarted(0), SpeechStopped(900), AudioCommitted("item_u"))
    driver.run(4_900)
    assert driver.told(CreateResponse) == []
    driver.run(200)
    assert driver.told(CreateResponse) == [CreateResponse(event_id="response-1")]


def test_the_bot_is_not_made_to_speak_while_the_caller_does() -> None:
    """A function was called, and the caller spoke before its answer was asked for."""
    driver = CallDriver()
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    driver.feed(OutputItemDone("resp_1", 0, FunctionCall("book", "call_1", "{}", id="f", status="completed")))
    driver.feed(SpeechStarted(0))
    driver.cancelled()
    assert driver.told(CreateResponse) == []


def test_no_tick_is_due_for_a_response_that_waits_until_the_caller_has_spoken() -> None:
    driver = CallDriver(CallPlan(Session(turn_detection=TurnDetection("server_vad", create_response=False))))
    driver.feed(SpeechStarted(0))
    driver.feed(OutputItemDone("resp_1", 0, FunctionCall("book", "call_1", "{}", id="f", status="completed")))
    driver.done()
    assert driver.call.wakeup_ms is not None
    assert driver.call.wakeup_ms > driver.now
    assert driver.feed(SpeechStopped(500))[-1] == Tell(CreateResponse(event_id="response-1"))


def test_a_greeting_that_begins_while_the_caller_speaks_is_stopped() -> None:
    driver = CallDriver(CallPlan(PLAN.session, greeting="Hello."))
    driver.feed(SpeechStarted(0))
    assert driver.feed(ResponseCreated(Response("resp_1", "in_progress"))) == [Tell(CancelResponse("resp_1"))]
    driver.begin("item_1")
    driver.more("item_1", 500)
    driver.run(1_000)
    assert driver.heard_ms("item_1") == 0


def test_a_request_refused_because_of_the_models_own_response_is_repeated_after_it() -> None:
    driver = CallDriver(CallPlan(PLAN.session, greeting="Hello."))
    driver.feed(ResponseCreated(Response("resp_vad", "in_progress")))
    busy = ErrorDetail("busy", code="conversation_already_has_active_response", event_id="response-1")
    assert driver.feed(ErrorEvent(busy)) == []
    assert [type(action) for action in driver.done("resp_vad")] == [Floor, Tell]


def test_a_request_refused_for_what_it_says_is_noted_and_not_repeated() -> None:
    driver = CallDriver(CallPlan(PLAN.session, greeting="Hello."))
    refused = ErrorDetail("bad input", code="invalid_value", event_id="response-1")
    assert driver.feed(ErrorEvent(refused)) == [Trouble("the model reports: bad input")]
    driver.say("item_1", 100)
    driver.run(60_000)
    assert len(driver.told(CreateResponse)) == 1


def test_too_many_faults_of_the_model_end_the_call() -> None:
    driver = CallDriver()
    for _ in range(MODEL_FAULTS):
        assert driver.feed(ModelFault("odd")) == [Trouble("odd")]
    assert driver.feed(ModelFault("odd"))[-1] == Ended("model_failed")


@pytest.mark.parametrize("status", ["incomplete", "completed"])
def test_an_answer_that_ended_early_and_was_heard_in_full_is_left_alone(status: ResponseStatus) -> None:
    """Its token limit cut it short, or the end of its audio or of its text was never announced."""
    driver = CallDriver()
    driver.begin("item_1")
    driver.feed(SpokenTextDelta("resp_1", "item_1", 0, 0, "as far as it goes"))
    driver.more("item_1", 800)
    driver.feed(ResponseDone(Response("resp_1", status)))
    driver.run(1_500)
    assert driver.did(Line) == [Line("bot", "item_1", "as far as it goes", heard_ms=800)]
    driver.feed(SpeechStarted(0))
    assert driver.told(TruncateItem, DeleteItem) == []


def test_a_message_without_audio_is_neither_a_line_nor_removed() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.done()
    driver.run(500)
    driver.feed(SpeechStarted(0))
    assert driver.did(Line) == []
    assert driver.told(DeleteItem) == []


def test_a_line_that_was_cut_while_it_was_made_claims_no_words_that_were_still_to_come() -> None:
    """The text is far ahead of the audio: all audio received was heard, which is not all of the text."""
    driver = CallDriver()
    driver.begin("item_1")
    text = (
        "We are open from Monday to Friday, from eight in the morning until six in the evening, and on Saturdays."
    )
    driver.feed(SpokenTextDelta("resp_1", "item_1", 0, 0, text))
    driver.more("item_1", 800)
    driver.run(2_000)
    driver.feed(SpeechStarted(0))
    (line,) = driver.did(Line)
    assert line == Line("bot", "item_1", "We are open", cut=True, heard_ms=800)


def test_a_line_whose_text_comes_after_the_cut_is_made_of_it() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 1_800)
    driver.run(900)
    driver.feed(SpeechStarted(0))
    driver.run(100)
    assert driver.did(Line) == []
    driver.feed(SpokenTextDone("resp_1", "item_1", 0, 0, "one two three four five six"))
    (line,) = driver.did(Line)
    assert isinstance(line, Line)
    assert line.cut
    assert line.text == "one two three"


def test_an_item_begun_after_the_cut_has_no_audio_to_truncate_where_it_cannot_be_deleted() -> None:
    driver = CallDriver(ready=ModelReady(Session(), deletes=False))
    driver.begin("item_1")
    driver.more("item_1", 400)
    driver.run(200)
    driver.feed(SpeechStarted(0))
    driver.begin("item_2")
    driver.cancelled()
    driver.run(300)
    assert driver.told(DeleteItem, TruncateItem) == [TruncateItem("item_1", 0, 200, "truncate-1")]


def test_a_model_that_cannot_truncate_is_not_asked_to() -> None:
    driver = CallDriver(ready=ModelReady(Session(), truncates=False))
    driver.say("item_1", 2_000)
    driver.run(700)
    driver.feed(SpeechStarted(0))
    driver.run(200)
    assert driver.told(TruncateItem) == []
    assert len(driver.did(Cut)) == 1


def test_unheard_items_are_removed_at_the_next_response_when_the_end_of_theirs_never_came() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.feed(SpeechStarted(0))
    assert driver.told(DeleteItem) == []
    driver.feed(SpeechStopped(500), ResponseCreated(Response("resp_2", "in_progress")))
    assert driver.told(DeleteItem) == [DeleteItem("item_1")]


def test_the_late_end_of_an_interrupted_response_leaves_the_floor_alone() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 400)
    driver.feed(SpeechStarted(0), SpeechStopped(500))
    driver.cancelled()
    assert driver.call.turn is Turn.THINKING


def test_events_that_concern_nobody_do_nothing() -> None:
    driver = CallDriver()
    user = Message("user", id="item_u")
    assert (
        driver.feed(
            RateLimitsUpdated(()), OutputItemAdded("resp_1", 0, FunctionCall("f", "c")), AudioCommitted("u")
        )
        == []
    )
    assert driver.feed(OutputItemDone("resp_1", 0, user), ModelFault("odd")) == [Trouble("odd")]


# ------------------------------------------------------------------------------------------- the end


def test_a_call_ends_when_the_caller_hangs_up_and_what_he_had_heard_is_settled() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000, text="one two three four")
    driver.run(1_000)
    actions: list[Action] = driver.feed(STOP)
    cut, line = actions[:2]
    assert isinstance(cut, Cut)
    assert (cut.settled, cut.received_ms) == ("call_end", 2_000)
    assert 800 <= cut.heard_ms <= 1_000
    assert line == Line("bot", "item_1", "one two", cut=True, heard_ms=cut.heard_ms)
    assert actions[2:] == [CloseModel(), Ended("caller_hung_up")]
    assert driver.feed(CarrierClosed(1000)) == []
    assert driver.call.wakeup_ms is None


def test_a_socket_that_ends_without_a_stop_ends_the_call() -> None:
    assert CallDriver().feed(CarrierClosed(1006))[-1] == Ended("stream_lost")


def test_a_model_that_is_lost_for_good_ends_the_call() -> None:
    assert CallDriver().feed(ModelLost("it is gone", fatal=True)) == [
        Trouble("it is gone"),
        CloseStream(1011, "model_failed"),
        CloseModel(),
        Ended("model_failed"),
    ]


def test_refused_messages_are_noted_and_too_many_close_the_stream() -> None:
    driver = CallDriver()
    for _ in range(CARRIER_FAULTS):
        assert driver.feed(CarrierFault("not JSON")) == [Trouble("not JSON")]
    driver.feed(CarrierFault("a new event", counts=False))
    assert CloseStream(1008, "carrier_faults") in driver.feed(CarrierFault("not JSON"))


def test_an_operator_ends_a_call_at_once_and_what_was_heard_until_then_stands() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000, "Hello there")
    driver.run(500)
    actions = driver.feed(OperatorHangUp("ada"))
    (cut,) = (action for action in actions if isinstance(action, Cut))
    assert 0 < cut.heard_ms < 500
    assert actions[0] == CloseStream(1000, "operator_hung_up")
    assert actions[-2:] == [CloseModel(), Ended("operator_hung_up")]
    assert driver.feed(OperatorHangUp("ada")) == []


def test_an_operator_may_end_a_call_that_has_not_begun() -> None:
    ends = [CloseStream(1000, "operator_hung_up"), CloseModel(), Ended("operator_hung_up")]
    assert Call(PLAN).receive(OperatorHangUp("ada"), 0) == ends


def test_a_timestamp_from_another_time_is_refused_and_the_call_goes_on() -> None:
    driver = CallDriver()
    (trouble,) = driver.feed(Media(9_000, 9_000, 10**9, FRAME))
    assert isinstance(trouble, Trouble)
    driver.run(1_000)
    assert not driver.call.ended
    assert driver.now < 10_000


def test_a_stream_that_says_nothing_for_long_is_dead() -> None:
    call = Call(replace(PLAN, recovery=Recovery(budget_ms=10**9)))
    call.receive(START, 0)
    call.receive(media(1), 20)
    assert call.wakeup_ms == 20 + SILENT_CARRIER_MS
    assert call.receive(Tick(), 20 + SILENT_CARRIER_MS)[-1] == Ended("stream_lost")
