"""The shell of a call between two sockets that do what a test says: order, bounds, and how it ends."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any, NoReturn, cast

import pytest
from driver import PLAN
from msgspec.structs import replace
from service_driver import ACCOUNT_SID, CALL_SID, STREAM_SID, until

from phonebot import bridge, outbox
from phonebot.bridge import Bridge, ConnectModel, Journal, StreamClosed
from phonebot.call.actions import (
    Action,
    ClearPlayback,
    Ended,
    LimitNear,
    LimitReached,
    ModelDropped,
    OpenModel,
    PlayAudio,
    SendMark,
    Trouble,
)
from phonebot.call.call import Call
from phonebot.call.inputs import (
    AnswerSent,
    CallerAudioDropped,
    CarrierClosed,
    Input,
    ModelLost,
    ModelReady,
    OperatorHangUp,
    ToolResult,
)
from phonebot.call.plan import CallPlan, Recovery
from phonebot.carrier.messages import Media, Start, Stop, StreamReader
from phonebot.errors import ModelProtocolError, ModelRefused, ModelUnreachable
from phonebot.outbox import MAX_CALLER_MS
from phonebot.realtime.connection import ModelConnection
from phonebot.realtime.events import (
    AppendAudio,
    AudioDelta,
    Command,
    CreateResponse,
    Event,
    FunctionCall,
    OutputItemDone,
    Response,
    ResponseCreated,
    Session,
    SpeechStarted,
)

MAX_CALLER_FRAMES = MAX_CALLER_MS // 20
GREETING_PLAN = CallPlan(PLAN.session, greeting="Hi")


class Socket:
    """The carrier's socket: gives what is put into `coming`, an exception is raised; keeps what it was sent."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[str | bytes | Exception] = asyncio.Queue()
        self.sent: list[str] = []
        self.close_code: int | None = None
        self.takes = asyncio.Event()
        self.takes.set()

    async def hear(self, heard: Callable[[str | bytes], None]) -> NoReturn:
        while True:
            message = await self.coming.get()
            if isinstance(message, Exception):
                raise message
            heard(message)

    async def send(self, message: str) -> None:
        await self.takes.wait()
        self.sent.append(message)

    def send_now(self, message: str) -> bool:
        if self.takes.is_set():
            self.sent.append(message)
        return self.takes.is_set()

    async def close(self, code: int) -> None:
        self.close_code = code


class Model:
    """The model's connection: gives what is put into `coming`; keeps what it was told, while it `takes`."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self.told: list[Command] = []
        self.closed = False
        self.takes = asyncio.Event()
        self.takes.set()

    async def connect(self, session: Session) -> tuple[ModelConnection, ModelReady]:
        return cast(ModelConnection, self), ModelReady(session)

    async def listen(self, heard: Callable[[Event], None], wrong: Callable[[ModelProtocolError], None]) -> NoReturn:
        while True:
            event = await self.coming.get()
            if isinstance(event, ModelProtocolError):
                wrong(event)
            elif isinstance(event, Exception):
                raise event
            else:
                heard(event)

    async def send(self, command: Command) -> None:
        await self.takes.wait()
        self.told.append(command)

    def send_now(self, command: Command) -> bool:
        if self.takes.is_set():
            self.told.append(command)
        return self.takes.is_set()

    async def close(self) -> None:
        self.closed = True


class Notes:
    """A journal."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.did: list[Action] = []

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self.inputs.append(received)
        self.did += actions

    def passed_on(self, now: int, received: Input, actions: list[Action]) -> None:
        self.happened(now, received, actions)

    def all(self, *kinds: type) -> list[Any]:
        return [each for each in (*self.inputs, *self.did) if isinstance(each, kinds)]


class Shell:
    """A bridge that runs, with everything around it."""

    def __init__(
        self, plan: CallPlan = PLAN, connect: ConnectModel | None = None, journals: tuple[Journal, ...] = ()
    ) -> None:
        self.socket, self.model, self.notes = Socket(), Model(), Notes()
        self._sequence = 0
        reader = StreamReader()
        reader.receive('{"event": "connected", "protocol": "Call", "version": "1.0.0"}')
        start = reader.receive(
            self._message(
                "start",
                streamSid=STREAM_SID,
                accountSid=ACCOUNT_SID,
                callSid=CALL_SID,
                tracks=["inbound"],
                mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            )
        )
        assert isinstance(start, Start)
        self.bridge = Bridge(
            Call(plan), start, self.socket, reader, connect or self.model.connect, (self.notes, *journals)
        )
        self.running = asyncio.create_task(self.bridge.run())

    def _message(self, event: str, **body: Any) -> str:
        self._sequence += 1
        fields = {"event": event, "sequenceNumber": self._sequence, "streamSid": STREAM_SID, event: body}
        return json.dumps(fields)

    def carrier(self, event: str, **body: Any) -> None:
        self.socket.coming.put_nowait(self._message(event, **body))

    def frame(self, number: int) -> str:
        """The caller's frame of that number, 1 to 255, is on its way; returns its audio as base64."""
        payload = b64encode(bytes([number]) * 160).decode()
        self.carrier("media", track="inbound", chunk=number, timestamp=20 * number, payload=payload)
        return payload

    def hang_up(self) -> None:
        self.carrier("stop", accountSid=ACCOUNT_SID, callSid=CALL_SID)

    def says(self, *events: Event | Exception) -> None:
        for event in events:
            self.model.coming.put_nowait(event)

    async def seen(self, kind: type, count: int = 1) -> None:
        await until(lambda: len(self.notes.all(kind)) >= count)

    async def ended(self) -> None:
        """Wait until it is over, and see that nothing is left."""
        async with asyncio.timeout(10):
            await self.running
        assert asyncio.all_tasks() == {asyncio.current_task()}


def audio(item_id: str, frames: int) -> AudioDelta:
    return AudioDelta("resp_1", item_id, 0, 0, b64encode(b"\x90" * 160 * frames).decode())


async def test_a_call_that_is_hung_up_closes_both_sockets() -> None:
    shell = Shell()
    await shell.seen(ModelReady)
    shell.hang_up()
    await shell.ended()
    assert shell.socket.close_code == 1000
    assert shell.model.closed
    assert shell.notes.did[-1] == Ended("caller_hung_up")


async def test_an_operator_ends_the_call_and_both_sockets_close() -> None:
    shell = Shell(GREETING_PLAN)
    await shell.seen(ModelReady)
    shell.bridge.hang_up("ada")
    shell.bridge.hang_up("ada")
    await shell.ended()
    assert shell.socket.close_code == 1000
    assert shell.model.closed
    assert shell.notes.all(OperatorHangUp) == [OperatorHangUp("ada")]
    assert shell.notes.did[-1] == Ended("operator_hung_up")


async def test_a_journal_is_told_what_happens_while_it_is_attached() -> None:
    shell = Shell()
    await shell.seen(ModelReady)
    shell.frame(1)
    await shell.seen(Media)
    notes = Notes()
    shell.bridge.attach(notes)
    shell.frame(2)
    await shell.seen(Media, 2)
    shell.bridge.detach(notes)
    shell.hang_up()
    await shell.ended()
    assert [type(received) for received in notes.inputs] == [Media]


class Turns:
    """A journal that wants no frames."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self.inputs.append(received)


async def test_of_frames_that_the_model_hears_and_nothing_else_comes_of_only_a_journal_of_frames_is_told() -> None:
    turns = Turns()
    shell = Shell(journals=(turns,))
    await shell.seen(ModelReady)
    for number in range(1, 6):
        shell.frame(number)
    await shell.seen(Media, 5)
    shell.hang_up()
    await shell.ended()
    kinds = [type(received) for received in turns.inputs]
    assert {ModelReady, Stop} <= set(kinds)
    assert kinds.count(Media) == 1  # with the first one the line is measured


async def test_frames_and_commands_go_out_in_the_order_of_the_actions() -> None:
    shell = Shell(GREETING_PLAN)
    await shell.seen(ModelReady)
    frames = [shell.frame(number) for number in range(1, 4)]
    shell.says(ResponseCreated(Response("resp_1", "in_progress")), audio("item_1", 30))
    await shell.seen(PlayAudio, 2)
    shell.says(SpeechStarted(60))
    await shell.seen(ClearPlayback)
    await shell.seen(Media, 3)
    await until(lambda: len(shell.model.told) == 4)
    shell.hang_up()
    await shell.ended()
    kinds: dict[type[Any], str] = {PlayAudio: "media", SendMark: "mark", ClearPlayback: "clear"}
    to_carrier = shell.notes.all(*kinds)
    assert [json.loads(message)["event"] for message in shell.socket.sent] == [
        kinds[type(each)] for each in to_carrier
    ]
    played = [each.payload for each in to_carrier if isinstance(each, PlayAudio)]
    sent = [json.loads(message) for message in shell.socket.sent]
    assert [message["media"]["payload"] for message in sent if "media" in message] == played
    request, *appended = shell.model.told
    assert isinstance(request, CreateResponse)
    assert appended == [AppendAudio(frame) for frame in frames]


async def test_a_slow_model_loses_the_oldest_frames_and_no_command() -> None:
    shell = Shell(GREETING_PLAN)
    shell.model.takes.clear()
    await shell.seen(ModelReady)
    frames = [shell.frame(number) for number in range(1, MAX_CALLER_FRAMES + 51)]
    await shell.seen(Media, len(frames))
    shell.model.takes.set()
    await shell.seen(CallerAudioDropped, 2)
    await until(lambda: len(shell.model.told) == 1 + MAX_CALLER_FRAMES)
    shell.hang_up()
    await shell.ended()
    request, *appended = shell.model.told
    assert isinstance(request, CreateResponse)
    assert appended == [AppendAudio(frame) for frame in frames[-MAX_CALLER_FRAMES:]]
    assert sum(dropped.frames for dropped in shell.notes.all(CallerAudioDropped)) == 50


async def test_audio_that_a_model_does_not_take_is_reported_once_a_second_while_it_takes_nothing() -> None:
    shell = Shell()
    await shell.seen(ModelReady)
    shell.model.takes.clear()
    # The first of them is on its way; 100 wait. The 102nd drops one, at 2040 ms of call time; 3040 and 4040 follow.
    for number in range(1, 206):
        shell.frame(number)
    await shell.seen(Media, 205)
    reports = shell.notes.all(CallerAudioDropped)
    assert reports[0] == CallerAudioDropped(1)
    assert len(reports) == 3
    assert f"{reports[1].frames} frames of the caller were dropped" in shell.notes.all(Trouble)[1].problem
    shell.model.takes.set()
    await shell.seen(CallerAudioDropped, 4)
    shell.hang_up()
    await shell.ended()
    assert sum(dropped.frames for dropped in shell.notes.all(CallerAudioDropped)) == 205 - len(shell.model.told)


async def test_what_may_wait_for_a_model_is_measured_in_its_sessions_format() -> None:
    async def connect(session: Session) -> tuple[ModelConnection, ModelReady]:
        return cast(ModelConnection, shell.model), ModelReady(session, input_format="pcm24k")

    shell = Shell(connect=connect)
    await shell.seen(ModelReady)
    shell.model.takes.clear()
    for number in range(1, 151):
        shell.frame(number)
    await shell.seen(Media, 150)
    reports = len(shell.notes.all(CallerAudioDropped))
    shell.model.takes.set()
    await shell.seen(CallerAudioDropped, reports + 1)  # it has caught up
    shell.hang_up()
    await shell.ended()
    # The resampler gives more or less than 20 ms for a frame at first; one more was on its way.
    assert 98 <= len(shell.model.told) <= 102


async def test_a_model_that_takes_no_command_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_COMMANDS", 3)
    shell = Shell()
    await shell.seen(ModelReady)
    shell.model.takes.clear()
    for number in range(5):
        item = FunctionCall("nothing", f"call_{number}", "{}", id=f"item_{number}", status="completed")
        shell.says(OutputItemDone("resp_1", number, item))
    await shell.seen(ModelLost)
    await until(lambda: shell.model.closed)
    assert "too many commands" in shell.notes.all(ModelLost)[0].problem
    assert shell.model.closed
    shell.hang_up()
    await shell.ended()


async def test_a_model_that_refuses_the_call_closes_the_stream_with_1011() -> None:
    error = ModelRefused("no such key")

    async def refuse(session: Session) -> tuple[ModelConnection, ModelReady]:
        raise error

    shell = Shell(connect=refuse)
    await shell.ended()
    assert shell.socket.close_code == 1011
    assert shell.notes.all(ModelLost) == [ModelLost(str(error), fatal=True)]
    assert shell.notes.did[-1] == Ended("model_failed")


async def test_a_model_that_cannot_be_reached_is_asked_for_again_and_given_up_in_the_end() -> None:
    error = ModelUnreachable("cannot be reached")

    async def fail(session: Session) -> tuple[ModelConnection, ModelReady]:
        raise error

    shell = Shell(replace(PLAN, recovery=Recovery(budget_ms=100, backoff_ms=(0, 30))), connect=fail)
    await shell.ended()
    assert shell.socket.close_code == 1011
    lost = shell.notes.all(ModelLost)
    assert len(lost) == len(shell.notes.all(OpenModel)) > 2
    assert set(lost) == {ModelLost(str(error))}
    assert shell.notes.did[-1] == Ended("model_failed")


class Models:
    """Sessions, one after another."""

    def __init__(self) -> None:
        self.opened: list[Model] = []

    async def connect(self, session: Session) -> tuple[ModelConnection, ModelReady]:
        self.opened.append(Model())
        return await self.opened[-1].connect(session)


async def test_a_model_that_is_lost_in_mid_call_is_opened_again_and_the_call_goes_on_with_the_new_one() -> None:
    models = Models()
    shell = Shell(connect=models.connect)
    await shell.seen(ModelReady)
    models.opened[0].coming.put_nowait(ModelUnreachable("gone"))
    await shell.seen(ModelReady, 2)
    first, second = models.opened
    await until(lambda: first.closed)
    frame = shell.frame(1)
    await until(lambda: AppendAudio(frame) in second.told)
    assert AppendAudio(frame) not in first.told
    assert shell.notes.all(ModelDropped) == [ModelDropped("gone")]
    shell.hang_up()
    await shell.ended()
    assert second.closed


async def test_what_a_session_says_that_was_left_is_not_heard() -> None:
    models = Models()
    shell = Shell(connect=models.connect)
    await shell.seen(ModelReady)
    shell.bridge._feed(ModelLost("it is to be left"))  # the socket is open still
    await shell.seen(ModelReady, 2)
    models.opened[0].coming.put_nowait(SpeechStarted(0))
    models.opened[0].coming.put_nowait(ModelUnreachable("gone"))
    await until(lambda: models.opened[0].closed)
    assert not shell.notes.all(SpeechStarted)
    assert len(shell.notes.all(ModelLost)) == 1
    shell.hang_up()
    await shell.ended()


async def test_a_carrier_that_is_gone_ends_the_call_and_is_heard_of_once() -> None:
    shell = Shell()
    await shell.seen(ModelReady)
    shell.socket.coming.put_nowait(StreamClosed(1006))
    await shell.ended()
    assert shell.notes.inputs[-1] == CarrierClosed(1006)
    assert shell.notes.did[-1] == Ended("stream_lost")
    assert shell.model.closed


async def test_a_carrier_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "SEND_TIMEOUT_S", 0.05)
    shell = Shell()
    shell.socket.takes.clear()
    shell.says(ResponseCreated(Response("resp_1", "in_progress")), audio("item_1", 5))
    await shell.ended()
    assert shell.notes.all(CarrierClosed) == [CarrierClosed(1006)]
    assert shell.notes.did[-1] == Ended("stream_lost")


async def test_what_is_told_of_a_call_that_has_ended_is_dropped() -> None:
    shell = Shell()
    await shell.seen(ModelReady)
    shell.hang_up()
    await shell.ended()
    shell.bridge.hang_up("ada")
    shell.bridge.note(AnswerSent("resp_1", 700))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not shell.notes.all(OperatorHangUp, AnswerSent)


class AtTheClear:
    """A journal that keeps what the socket had been sent when the call was interrupted."""

    def __init__(self) -> None:
        self.shell: Shell | None = None
        self.sent: list[str] = []

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if ClearPlayback() in actions:
            assert self.shell is not None
            self.sent = [json.loads(message)["event"] for message in self.shell.socket.sent]


async def test_a_clear_is_sent_before_anything_else_has_its_turn() -> None:
    seen = AtTheClear()
    shell = seen.shell = Shell(journals=(seen,))
    shell.says(ResponseCreated(Response("resp_1", "in_progress")), audio("item_1", 60), SpeechStarted(60))
    await shell.seen(ClearPlayback)
    assert seen.sent == [json.loads(message)["event"] for message in shell.socket.sent]
    assert seen.sent[0] == "mark"
    assert seen.sent[-3:] == ["mark", "clear", "mark"]
    shell.hang_up()
    await shell.ended()


async def test_what_a_socket_does_not_take_at_once_goes_out_in_order_when_it_does() -> None:
    shell = Shell()
    shell.says(ResponseCreated(Response("resp_1", "in_progress")), audio("item_1", 9))
    await shell.seen(PlayAudio, 1)
    shell.socket.takes.clear()
    shell.says(audio("item_1", 9))
    await shell.seen(PlayAudio, 2)
    shell.says(audio("item_1", 9))
    await shell.seen(PlayAudio, 3)
    shell.socket.takes.set()
    shell.says(audio("item_1", 9))
    await until(lambda: len(shell.notes.all(PlayAudio)) > 3)
    await until(lambda: len(shell.socket.sent) == len(shell.notes.all(PlayAudio, SendMark)))
    shell.hang_up()
    await shell.ended()
    to_carrier = shell.notes.all(PlayAudio, SendMark)
    assert [json.loads(message)["event"] for message in shell.socket.sent] == [
        "media" if isinstance(each, PlayAudio) else "mark" for each in to_carrier
    ]
    sent = [json.loads(message) for message in shell.socket.sent]
    assert [message["mark"]["name"] for message in sent if "mark" in message] == [
        each.name for each in to_carrier if isinstance(each, SendMark)
    ]


async def test_a_clear_overtakes_the_audio_that_waits_for_the_carrier_and_no_mark() -> None:
    shell = Shell()
    shell.socket.takes.clear()
    shell.says(ResponseCreated(Response("resp_1", "in_progress")), audio("item_1", 60))
    await shell.seen(SendMark, 3)
    shell.says(SpeechStarted(60))
    await shell.seen(ClearPlayback)
    shell.socket.takes.set()
    marks = [mark.name for mark in shell.notes.all(SendMark)]
    await until(lambda: shell.socket.sent and marks[-1] in shell.socket.sent[-1])
    shell.hang_up()
    await shell.ended()
    sent = [json.loads(message) for message in shell.socket.sent]
    assert [message["event"] for message in sent] == [*["mark"] * (len(marks) - 1), "clear", "mark"]
    assert [message["mark"]["name"] for message in sent if "mark" in message] == marks


async def test_a_carrier_that_lets_too_much_wait_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_CARRIER_CHARACTERS", 10_000)
    monkeypatch.setattr(bridge, "CLOSE_TIMEOUT_S", 0.05)
    shell = Shell()
    shell.socket.takes.clear()
    shell.says(ResponseCreated(Response("resp_1", "in_progress")), audio("item_1", 30), audio("item_1", 60))
    await shell.ended()
    assert shell.notes.all(CarrierClosed) == [CarrierClosed(1006)]
    assert shell.notes.did[-1] == Ended("stream_lost")
    assert shell.model.closed


async def test_the_model_is_closed_at_once_however_long_the_carrier_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "CLOSE_TIMEOUT_S", 600.0)
    shell = Shell()
    shell.socket.takes.clear()
    shell.says(ResponseCreated(Response("resp_1", "in_progress")), audio("item_1", 5))
    await shell.seen(PlayAudio)
    shell.hang_up()
    await until(lambda: shell.model.closed)
    assert not shell.running.done()
    shell.socket.takes.set()
    await shell.ended()
    assert shell.socket.close_code == 1000


async def test_a_caller_who_hangs_up_while_the_model_is_being_reached_does_not_wait_for_it() -> None:
    async def connect(session: Session) -> tuple[ModelConnection, ModelReady]:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    shell = Shell(connect=connect)
    shell.hang_up()
    await shell.ended()
    assert shell.notes.did[-1] == Ended("caller_hung_up")


async def test_a_carrier_that_does_not_let_itself_be_closed_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge, "CLOSE_TIMEOUT_S", 0.05)
    shell = Shell()
    shell.socket.takes.clear()
    shell.says(ResponseCreated(Response("resp_1", "in_progress")), audio("item_1", 5))
    await shell.seen(PlayAudio)
    shell.hang_up()
    await shell.ended()
    assert shell.notes.did[-1] == Ended("caller_hung_up")
    assert shell.model.closed


async def test_the_call_is_woken_when_it_asked_for_it() -> None:
    # Long enough for a busy machine to wake it between the two.
    shell = Shell(CallPlan(PLAN.session, max_call_ms=2_000))
    await shell.seen(LimitReached)
    shell.hang_up()
    await shell.ended()
    assert [each.limit for each in shell.notes.all(LimitNear, LimitReached)] == ["time", "time"]


def cancel(shell: Shell) -> None:
    shell.running.cancel()


def break_the_journal(shell: Shell) -> None:
    shell.says(cast(Event, Faulty()))


def break_a_result(shell: Shell) -> None:
    """A function has run, outside the call's tasks."""
    result = ToolResult("call_1", "faulty")
    asyncio.get_running_loop().call_soon(shell.bridge._feed_later, result)


class Faulty:
    """An input of which the journal below makes an error of ours."""


class Brittle(Notes):
    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if isinstance(received, Faulty | ToolResult):
            raise RuntimeError("a fault of ours")


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (cancel, asyncio.CancelledError),
        (break_the_journal, BaseExceptionGroup),
        (break_a_result, BaseExceptionGroup),
    ],
)
async def test_a_bridge_that_is_cancelled_or_fails_leaves_no_task_and_no_model_behind(
    end: Callable[[Shell], None], raised: type[BaseException]
) -> None:
    shell = Shell(journals=(Brittle(),))
    await shell.seen(ModelReady)
    end(shell)
    with pytest.raises(raised):
        await shell.ended()
    assert shell.model.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}
