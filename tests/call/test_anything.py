"""Whatever happens, in whatever order: the core never raises, and never claims more than it was given."""

from base64 import b64encode

from driver import PLAN, recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from phonebot.call.actions import Action, ClearPlayback, Cut, Ended, SendMark, Tell
from phonebot.call.call import Call
from phonebot.call.inputs import (
    CapReached,
    CarrierClosed,
    CarrierFault,
    Checked,
    Input,
    ModelFault,
    ModelLost,
    ModelReady,
    OperatorHangUp,
    PlayClip,
    ServiceStops,
    Tick,
    ToolResult,
    TypedText,
)
from phonebot.call.limits import Limits, NoInput
from phonebot.call.plan import (
    CallPlan,
    Canned,
    Caution,
    Clip,
    GuardrailRule,
    Keypad,
    KeyTurns,
    LocalTurns,
    Recovery,
    ToolRule,
    Turns,
)
from phonebot.carrier.messages import Dtmf, Mark, Media, Stop
from phonebot.realtime import events as e
from phonebot.realtime.prices import LISTED
from phonebot.realtime.severity import CODES

items = st.sampled_from(["item_1", "item_2", "item_3"])
responses = st.sampled_from(["resp_1", "resp_2", "resp_3"])
texts = st.sampled_from(["", "Hello", "there, how are you?", "é"])
SPEECH = recorded("demo/hours")[600 * 8 : 2_200 * 8]


def frame(length: int) -> str:
    return b64encode(bytes(length)).decode()


frames = st.one_of(
    st.integers(1, 4_000).map(frame),
    st.integers(1, len(SPEECH)).map(lambda length: b64encode(SPEECH[:length]).decode()),
)
audio = st.one_of(frames, st.sampled_from(["", "abc", "====", "éééé", "A" * 7]))
places = (st.just(0), st.just(0))
errors = st.builds(
    e.ErrorDetail,
    message=st.sampled_from(
        ["odd", "Audio content of 50ms is already shorter than 700ms", "has an active response"]
    ),
    type=st.sampled_from([None, "server_error", "invalid_request_error"]),
    code=st.sampled_from([None, "what", *CODES]),
    event_id=st.sampled_from([None, "response-1", "truncate-1"]),
)
messages = st.builds(
    e.Message,
    st.sampled_from(["assistant", "user"]),
    id=st.one_of(st.none(), items),
    status=st.sampled_from([None, "completed", "incomplete"]),
)
calls = st.builds(e.FunctionCall, st.just("f"), st.just("call_1"), status=st.sampled_from([None, "completed"]))
answers = st.builds(
    e.Response,
    responses,
    st.sampled_from(["in_progress", "completed", "cancelled", "incomplete", "failed"]),
    usage=st.sampled_from([None, e.Usage(), e.Usage(total=150, input=50, output=100), e.Usage(output_audio=-9)]),
    reason=st.sampled_from([None, "turn_detected", "client_cancelled", "max_output_tokens"]),
    error=st.one_of(st.none(), errors),
)
inputs: st.SearchStrategy[Input] = st.one_of(
    st.builds(Media, st.just(9), st.just(9), st.integers(0, 10**6), frames),
    st.integers(1, 40).map(lambda n: Mark(9, f"{n % 3}:{n}")),
    st.sampled_from("5#").map(lambda digit: Dtmf(9, digit)),
    st.builds(CarrierFault, texts, st.booleans()),
    st.builds(ModelFault, texts),
    st.just(Tick()),
    st.just(CapReached("day", 50.1, 50)),
    st.just(ModelLost("gone")),
    st.builds(ModelReady, st.just(e.Session()), expires_in_ms=st.sampled_from([None, -5, 0, 8_000, 600_000])),
    st.builds(ToolResult, st.just("call_1"), texts),
    st.just(e.RateLimitsUpdated((e.RateLimit("requests", 10, 0, 0.5),))),
    st.builds(ServiceStops, st.booleans()),
    st.builds(
        Checked,
        st.integers(1, 8).map("check-{}".format),
        st.sampled_from(["bot", "caller", "arguments"]),
        st.booleans(),
        problem=st.sampled_from([None, "no answer"]),
    ),
    st.builds(PlayClip, texts, audio, st.sampled_from([None, "item_1", "clip"])),
    st.builds(e.ItemAdded, messages),
    st.builds(e.SpeechStarted, st.just(0), st.one_of(st.none(), items)),
    st.builds(e.SpeechStopped, st.just(0), st.one_of(st.none(), items)),
    st.builds(e.AudioCommitted, items),
    st.builds(e.TranscriptionCompleted, items, st.just(0), texts),
    st.builds(e.TranscriptionFailed, items, st.just(0), errors),
    st.builds(e.ErrorEvent, errors),
    st.builds(e.ResponseCreated, answers),
    st.builds(TypedText, texts, st.just("ada"), st.sampled_from(["user", "system"]), st.booleans()),
    st.builds(e.ResponseDone, answers),
    st.builds(e.OutputItemAdded, responses, st.just(0), st.one_of(messages, calls)),
    st.builds(e.OutputItemDone, responses, st.just(0), st.one_of(messages, calls)),
    st.builds(e.AudioDelta, responses, items, *places, audio),
    st.builds(e.AudioDone, responses, items, *places),
    st.builds(e.SpokenTextDelta, responses, items, *places, texts),
    st.builds(e.SpokenTextDone, responses, items, *places, texts),
)
limits = st.builds(Limits, most_usd=st.sampled_from([None, 0.01]))
silences = st.one_of(st.none(), st.builds(NoInput, st.sampled_from([500, 3_000]), st.integers(0, 2)))
ends: st.SearchStrategy[Input] = st.sampled_from(
    [
        Stop(9, "AC", "CA"),
        CarrierClosed(1006),
        OperatorHangUp("ada"),
        ModelLost("gone", fatal=True),
        e.ErrorEvent(e.ErrorDetail("", code="invalid_api_key")),
    ]
)
readies = st.builds(
    ModelReady,
    st.just(e.Session()),
    st.sampled_from(["pcmu", "pcma", "pcm24k"]),
    st.sampled_from(["pcmu", "pcma", "pcm24k"]),
    interrupts=st.booleans(),
    truncates=st.booleans(),
    deletes=st.booleans(),
)


def check(actions: list[Action]) -> None:
    for at, action in enumerate(actions):
        if isinstance(action, ClearPlayback):
            assert isinstance(actions[at + 1], SendMark)
        if isinstance(action, Cut):
            assert 0 <= action.heard_ms <= action.received_ms
        if isinstance(action, Tell) and isinstance(action.command, e.TruncateItem):
            assert action.command.audio_end_ms >= 0


cautions = st.one_of(
    st.just(Caution()),
    st.builds(
        Caution,
        min_speech_ms=st.sampled_from([0, 200]),
        hold_ms=st.sampled_from([0, 2_000]),
        backchannels=st.sampled_from([(), ("Hello",)]),
        echo_guard=st.booleans(),
    ),
)
guardrails = st.tuples(
    *(
        st.builds(
            GuardrailRule,
            st.just(on),
            st.just(on),
            st.sampled_from(["interrupt", "say", "go_on", "end"]),
            st.sampled_from(["", "No."]),
            debounce_characters=st.sampled_from([10, 100]),
            passes_unknown=st.booleans(),
        )
        for on in ("bot", "caller", "arguments")
    )
)
rules = st.fixed_dictionaries(
    {
        name: st.booleans()
        for name in ("interruptible", "greeting_interruptible", "withholds", "keys_interrupt", "answers")
    }
)


@settings(max_examples=300, deadline=None)
@given(
    readies,
    st.sampled_from([None, "Hello."]),
    st.sampled_from([None, LocalTurns(), LocalTurns(withhold_silence=True), KeyTurns(), KeyTurns(True)]),
    st.sampled_from([(), (Clip("Hello there.", frame(3_000), "clip"),)]),
    cautions,
    st.one_of(st.just(()), guardrails),
    rules,
    st.lists(st.tuples(st.integers(0, 3_000), inputs), max_size=60),
    st.integers(0, 5),
    ends,
    st.sampled_from([None, Keypad(), Keypad("", 500, 2, {"1": "Yes.", "12": "No."})]),
    st.sampled_from(["", "This call is recorded."]),
    limits,
    silences,
    st.sampled_from([20_000, 900_000]),
    st.sampled_from([Canned(), Canned(*[Clip("Well.", frame(4_000))] * 4)]),
    st.sampled_from([Recovery(), Recovery(0, (), 0), Recovery(4_000, (0, 1_000), 500)]),
    st.booleans(),
)
def test_nothing_that_may_happen_makes_the_core_raise(
    ready: ModelReady,
    greeting: str | None,
    turns: Turns | None,
    opening: tuple[Clip, ...],
    caution: Caution,
    guardrails: tuple[GuardrailRule, ...],
    rules: dict[str, bool],
    happenings: list[tuple[int, Input]],
    ready_at: int,
    end: Input,
    keypad: Keypad | None,
    notice: str,
    limits: Limits,
    no_input: NoInput | None,
    max_call_ms: int,
    canned: Canned,
    recovery: Recovery,
    transcribes: bool,
) -> None:
    plan = CallPlan(
        replace(PLAN.session, transcription=e.Transcription("any") if transcribes else None),
        greeting,
        turns=turns,
        opening=opening,
        caution=caution,
        tools=(ToolRule("f", fillers=("One moment.",)),),
        guardrails=guardrails,
        keypad=keypad,
        notice=notice,
        limits=limits,
        tariff=LISTED.tariff("gpt-realtime-2.1"),
        no_input=no_input,
        max_call_ms=max_call_ms,
        canned=canned,
        recovery=recovery,
        **rules,  # type: ignore[arg-type]
    )
    call, now = Call(plan), 0
    happenings.insert(ready_at, (0, ready))
    for wait_ms, happening in happenings:
        now += wait_ms
        check(call.receive(happening, now))
        assert (call.wakeup_ms is None) == call.ended
        assert call.ended or call._due_ms == call._next_due_ms()  # also behind a frame that was passed on
        if call.wakeup_ms is not None and call.wakeup_ms <= now:  # else the shell would tick for ever
            check(call.receive(Tick(), now))
            assert call.wakeup_ms is None or call.wakeup_ms > now
    actions = call.receive(end, now)
    if not call.ended:  # it has last words
        actions = call.receive(OperatorHangUp("ada"), now)
    check(actions)
    assert call.ended
    assert actions == [] or isinstance(actions[-1], Ended)
    assert call.receive(end, now) == []
