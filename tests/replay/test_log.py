"""The call log: what goes in comes out again, and nothing else is believed."""

import json
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rehearsed import interrupted, saved

from phonebot.audio.wav import WavWriter
from phonebot.call.actions import Action, ClearPlayback, Floor, OpenModel, PlayAudio, SendMark, Tell
from phonebot.call.call import Call
from phonebot.call.inputs import Input, ModelReady, Tick
from phonebot.call.plan import CallPlan
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Connected, Mark, Media, Start, Stop
from phonebot.realtime.events import (
    AppendAudio,
    AudioDelta,
    AudioFormat,
    FunctionTool,
    McpTool,
    Message,
    OutputItemAdded,
    Response,
    ResponseCreated,
    Session,
    SessionUpdated,
    SpeechStarted,
    TurnDetection,
)
from phonebot.replay import log, reader
from phonebot.replay.log import Counts, Header, LogEncoder, LogError
from phonebot.replay.reader import CallLog, agrees, read

PLAN = CallPlan(
    Session(
        instructions="Be brief.",
        turn_detection=TurnDetection("server_vad", threshold=0.5),
        tools=(FunctionTool("end_call", "Hang up.", {"type": "object"}),),
        transcription=None,
    ),
    greeting="Hello",
)
Happened: TypeAlias = tuple[int, Input, list[Action]]

HEADER = Header(call_sid="CA1", software="phonebot 0.1.0", started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
FRAME = b64encode(bytes(range(160))).decode()


def base64(audio: bytes) -> str:
    return b64encode(audio).decode()


def delta(audio: str, response_id: str = "resp_1") -> AudioDelta:
    return AudioDelta(response_id, "item_1", 0, 0, audio)


class Folder:
    """A log's folder, written part by part."""

    def __init__(self, path: str | Path, header: Header = HEADER) -> None:
        self.path = Path(path)
        self.audio: dict[str, bytes] = {}
        self.write(log.HEADER_FILE, msgspec.json.encode(header))
        self.write(log.EVENTS_FILE, b"")

    def append(self, encoder: LogEncoder) -> None:
        part = encoder.take()
        for file, audio in part.audio.items():
            self.audio[file] = self.audio.get(file, b"") + audio
            self.write_audio(file, self.audio[file])
        with (self.path / log.EVENTS_FILE).open("ab") as events:
            events.write(part.lines)

    def write_audio(self, file: str, audio: bytes) -> None:
        if file == log.MODEL_FILE:
            self.write(file, audio)
            return
        with WavWriter(self.path / file) as wav:
            wav.append(audio)

    def write(self, file: str, content: bytes) -> None:
        (self.path / file).write_bytes(content)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in (self.path / log.EVENTS_FILE).read_text().splitlines()]

    def write_lines(self, *lines: Any) -> None:
        self.write(log.EVENTS_FILE, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def recorded(folder: Path, steps: Sequence[Happened], keep_audio: bool = True) -> Folder:
    """A log of these steps."""
    encoder = LogEncoder(keep_audio)
    encoder.plan(PLAN)
    for now, received, actions in steps:
        encoder.happened(now, received, actions)
    written = Folder(folder)
    written.append(encoder)
    return written


PLAN_LINE = [0, "in", "CallPlan", {"session": {"is": "Session"}}]


# ------------------------------------------------------------------------------------------- round trip

few = settings(deadline=None, max_examples=60)  # each example writes files

audio_text = st.one_of(
    st.binary(max_size=40).map(base64),
    st.binary(min_size=160, max_size=160).map(base64),
    st.text(max_size=6),
    st.sampled_from(["AB==", "QQ=", "AAAA\n", "5 bytes", "="]),
)
media = st.builds(
    Media,
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2**40),
    audio_text,
    st.sampled_from(["inbound", "x"]),
)
inputs = st.one_of(
    st.builds(delta, audio_text),
    st.builds(Mark, st.integers(0, 9), st.text(max_size=3)),
    st.builds(SpeechStarted, st.integers(0, 9)),
    st.just(Tick()),
)
appended = st.builds(AppendAudio, audio_text, st.none() | st.just("append-1")).map(Tell)
actions_lists: st.SearchStrategy[list[Action]] = st.lists(
    st.one_of(
        st.builds(PlayAudio, audio_text),
        appended,
        st.builds(SendMark, st.text(max_size=3)),
        st.just(ClearPlayback()),
        st.builds(Floor, st.sampled_from(Turn)),
    ),
    max_size=4,
)


@st.composite
def frames_in_a_row(draw: st.DrawFn) -> list[Happened]:
    """As a carrier sends them: numbered without gaps, of one length, mostly told to the model as they are."""
    length = draw(st.sampled_from([80, 160]))
    first = draw(st.integers(0, 9))
    row: list[Happened] = []
    for number in range(draw(st.integers(1, 120))):
        payload = base64(bytes([number % 7]) * length)
        told = draw(st.sampled_from([[], [payload], [payload], ["/v7+", payload], ["AAAA"]]))
        frame = Media(first + number, first + number, number * 20, payload)
        row.append((number * 20, frame, [Tell(AppendAudio(audio)) for audio in told]))
    return row


@st.composite
def passed_through(draw: st.DrawFn) -> list[Happened]:
    """Audio of the model that is sent to the carrier as it came, in pieces."""
    text = base64(draw(st.binary(max_size=300)))
    pieces: list[Action] = [PlayAudio(text[begin : begin + 100]) for begin in range(0, len(text), 100)]
    return [(7, delta(text), [*pieces, SendMark("0:1")])]


@st.composite
def anything(draw: st.DrawFn) -> list[Happened]:
    return [(draw(st.integers(0, 2**40)), draw(inputs | media), draw(actions_lists))]


calls = st.lists(st.one_of(anything(), frames_in_a_row(), passed_through()), max_size=8).map(
    lambda rows: [step for row in rows for step in row]
)


@few
@given(calls, st.data())
def test_a_log_taken_in_parts_gives_back_every_input_and_action_in_order(
    steps: list[Happened], data: st.DataObject
) -> None:
    encoder = LogEncoder()
    encoder.plan(PLAN)
    with TemporaryDirectory() as path:
        folder = Folder(path)
        for now, received, actions in steps:
            encoder.happened(now, received, actions)
            if data.draw(st.integers(0, 5)) == 0:
                folder.append(encoder)
        folder.append(encoder)
        found = read(Path(path))
    assert found.plan == PLAN
    assert [(step.now_ms, step.input) for step in found.steps] == [(now, received) for now, received, _ in steps]
    for step, (_, _, actions) in zip(found.steps, steps, strict=True):
        assert len(step.actions) == len(actions)
        assert all(map(agrees, step.actions, actions))


@few
@given(calls, calls)
def test_a_log_whose_audio_is_dropped_keeps_every_input_and_the_length_of_its_audio(
    before: list[Happened], after: list[Happened]
) -> None:
    encoder = LogEncoder()
    encoder.plan(PLAN)
    for steps in before, after:
        if steps is after:
            encoder.drop_audio("The disk was full.")
        for now, received, actions in steps:
            encoder.happened(now, received, actions)
    with TemporaryDirectory() as path:
        Folder(path).append(encoder)
        found = read(Path(path)).steps
    assert [step.input for step in found[: len(before)]] == [received for _, received, _ in before]
    for step, (_, received, _) in zip(found[len(before) :], after, strict=True):
        assert kinds_and_lengths(step.input) == kinds_and_lengths(received)
    assert encoder.note == "The disk was full."


def kinds_and_lengths(received: Input) -> tuple[type, int]:
    text = getattr(received, "payload", "") or getattr(received, "audio", "")
    return type(received), len(text)


# ------------------------------------------------------------------------------------------- the form


def test_frames_in_a_row_share_a_line_that_the_next_event_ends(tmp_path: Path) -> None:
    frame = [base64(bytes([number]) * 160) for number in range(4)]
    folder = recorded(
        tmp_path,
        [
            (20, Media(2, 1, 100, frame[0]), [Tell(AppendAudio(frame[0]))]),
            (41, Media(3, 2, 120, frame[1]), [Tell(AppendAudio(frame[1]))]),
            (45, Mark(4, "0:1"), []),
            (61, Media(5, 3, 140, frame[2]), []),
            (99, Media(6, 4, 220, frame[3]), [Tell(AppendAudio("////")), Tell(AppendAudio(frame[3]))]),
        ],
    )
    assert folder.lines()[1:] == [
        [
            20,
            "in",
            "Media",
            {
                "sequence": 2,
                "chunk": 1,
                "payload": ["caller.wav", 0, 320],
                "frames": [[20, 100, ["="]], [41, 120, ["="]]],
            },
        ],
        [45, "in", "Mark", {"sequence": 4, "name": "0:1"}],
        [
            61,
            "in",
            "Media",
            {
                "sequence": 5,
                "chunk": 3,
                "payload": ["caller.wav", 320, 640],
                "frames": [[61, 140, []], [99, 220, ["3 bytes, crc32 53c9649d", "="]]],
            },
        ],
    ]
    assert folder.audio == {"caller.wav": bytes(160) + b"\1" * 160 + b"\2" * 160 + b"\3" * 160}


def test_a_line_holds_fifty_frames_at_most(tmp_path: Path) -> None:
    steps = [(20 * n, Media(n, n, 20 * n, FRAME), list[Action]()) for n in range(120)]
    folder = recorded(tmp_path, steps)
    assert [len(line[3]["frames"]) for line in folder.lines()[1:]] == [50, 50, 20]


def test_audio_of_the_model_that_is_sent_as_it_came_is_kept_once(tmp_path: Path) -> None:
    text = base64(bytes(range(200)))
    steps: list[Happened] = [(5, delta(text), [PlayAudio(text[:212]), SendMark("0:1"), PlayAudio(text[212:])])]
    folder = recorded(tmp_path, steps)
    assert folder.audio == {"bot.wav": bytes(range(200))}
    assert folder.lines()[1][3]["audio"] == ["bot.wav", 0, 200]
    assert [line[3].get("payload") for line in folder.lines()[2:]] == [
        ["bot.wav", 0, 159],
        None,
        ["bot.wav", 159, 200],
    ]


def test_what_was_left_over_of_a_delta_is_kept_beside_what_was_sent_of_it(tmp_path: Path) -> None:
    first, second = bytes(range(200)), bytes(range(50, 170))
    steps: list[Happened] = [
        (5, delta(base64(first)), [PlayAudio(base64(first[:160]))]),
        (6, delta(base64(second)), [PlayAudio(base64(first[160:] + second))]),
    ]
    folder = recorded(tmp_path, steps)
    assert folder.audio == {"bot.wav": first + second, "model.raw": first[160:]}
    deltas = [line[3]["audio"] for line in folder.lines() if line[2] == "AudioDelta"]
    assert deltas == [["bot.wav", 0, 160, 0, 40], ["bot.wav", 200, 320]]
    assert [step.input for step in read(tmp_path).steps] == [delta(base64(first)), delta(base64(second))]


def test_audio_of_the_model_that_was_never_sent_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    folder = recorded(tmp_path, [(5, delta(FRAME), [])])
    assert folder.audio == {"model.raw": bytes(range(160))}
    assert read(tmp_path).steps[0].input == delta(FRAME)


def test_a_log_without_audio_has_no_audio_file_and_reads_as_silence(tmp_path: Path) -> None:
    steps: list[Happened] = [
        (20, Media(2, 1, 100, FRAME), [Tell(AppendAudio(FRAME))]),
        (30, delta(FRAME), [PlayAudio(FRAME)]),
        (40, delta("no base64"), []),
    ]
    folder = recorded(tmp_path, steps, keep_audio=False)
    silence = base64(b"\xff" * 160)
    assert folder.audio == {}
    assert FRAME not in (tmp_path / "events.jsonl").read_text()
    found = read(tmp_path).steps
    assert [step.input for step in found] == [Media(2, 1, 100, silence), delta(silence), delta("?" * 9)]
    assert agrees(found[0].actions[0], Tell(AppendAudio(silence)))
    assert agrees(found[1].actions[0], PlayAudio(silence))


def test_the_token_of_a_stream_is_not_in_the_log(tmp_path: Path) -> None:
    start = Start(1, "MZ1", "AC1", "CA1", parameters={"token": "s3cret"})
    recorded(tmp_path, [(0, start, [])])
    assert "s3cret" not in (tmp_path / "events.jsonl").read_text()
    assert read(tmp_path).steps[0].input == Start(1, "MZ1", "AC1", "CA1", parameters={"token": ""})


def test_the_key_to_an_mcp_server_is_not_in_the_log(tmp_path: Path) -> None:
    session = Session(tools=(McpTool("crm", {"authorization": "s3cret", "headers": {"x-key": "s3cret"}}),))
    recorded(tmp_path, [(0, SessionUpdated(session), [OpenModel(session)])])
    assert "s3cret" not in (tmp_path / "events.jsonl").read_text()
    assert read(tmp_path).steps[0].actions == (OpenModel(Session(tools=(McpTool("crm", {}),))),)


def test_an_action_agrees_with_the_log_only_if_it_has_the_same_audio() -> None:
    kept = Tell(AppendAudio("3 bytes, crc32 53c9649d"))
    assert agrees(kept, Tell(AppendAudio("////")))
    assert not agrees(kept, Tell(AppendAudio("AAAA")))
    assert not agrees(PlayAudio("////"), PlayAudio("AAAA"))
    assert not agrees(kept, ClearPlayback())


def test_counts_tell_how_much_is_in_the_log() -> None:
    encoder = LogEncoder()
    encoder.plan(PLAN)
    encoder.happened(0, Media(2, 1, 0, FRAME), [Tell(AppendAudio(FRAME))])
    encoder.happened(0, Tick(), [])
    assert encoder.counts == Counts(frames=1, inputs=2, actions=1, lost=0)


def test_an_encoder_refuses_a_line_that_could_not_be_read_again() -> None:
    encoder = LogEncoder()
    encoder.plan(PLAN)
    with pytest.raises(LogError, match=r"events.jsonl, line 2: a line of \d+ bytes"):
        encoder.happened(0, Mark(1, "x" * log.MAX_LINE_BYTES), [])


def test_an_encoder_drops_the_audio_that_a_file_has_no_room_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(log, "MAX_AUDIO_BYTES", 400)
    encoder = LogEncoder()
    encoder.plan(PLAN)
    for number in range(4):
        encoder.happened(number, Media(number, number, number, FRAME), [])
    encoder.happened(9, delta(FRAME), [PlayAudio(FRAME)])
    folder = Folder(tmp_path)
    folder.append(encoder)
    assert folder.audio == {"caller.wav": bytes(range(160)) * 2}
    assert encoder.note == "caller.wav is full: the audio ends at 400 bytes."
    assert len(read(tmp_path).steps) == 5


# ------------------------------------------------------------------------------------------- replay


@pytest.mark.parametrize("output_format", ["pcmu", "pcm24k"])
@pytest.mark.parametrize("keep_audio", [True, False])
def test_a_recorded_call_replays_to_the_actions_of_its_log(
    tmp_path: Path, output_format: AudioFormat, keep_audio: bool
) -> None:
    """A greeting, a gap in the caller's audio, a barge-in, and audio that comes too late."""
    answer = base64(bytes(range(256)) * 30)
    item = OutputItemAdded("resp_1", 0, Message("assistant", id="item_1"))
    ready = ModelReady(PLAN.session, input_format=output_format, output_format=output_format)
    inputs: list[tuple[int, Input]] = [
        (0, Connected("Call", "1.0.0")),
        (0, Start(1, "MZ1", "AC1", "CA1")),
        *[(20 * n, Media(n + 1, n, 20 * n, base64(bytes([n]) * 160))) for n in range(1, 5)],
        (90, ready),
        (95, ResponseCreated(Response("resp_1", "in_progress"))),
        (96, item),
        (97, delta(answer)),
        (400, Media(6, 5, 400, base64(bytes([5]) * 160))),
        (401, SpeechStarted(300)),
        (402, delta(answer)),
        (420, Media(7, 6, 420, base64(bytes([6]) * 160))),
        (430, Mark(8, "1:9")),
        (500, Stop(9, "AC1", "CA1")),
    ]
    call = Call(PLAN)
    recorded(tmp_path, [(now, received, call.receive(received, now)) for now, received in inputs], keep_audio)
    found = read(tmp_path)
    again = Call(found.plan)
    for step in found.steps:
        actions = again.receive(step.input, step.now_ms)
        assert len(step.actions) == len(actions)
        assert all(map(agrees, step.actions, actions)), (step.input, step.actions, actions)
    assert sum(len(step.actions) for step in found.steps) > len(inputs)


# ------------------------------------------------------------------------------------------- what is refused


def test_a_log_cut_off_in_the_middle_of_a_line_reads_up_to_there(tmp_path: Path) -> None:
    folder = recorded(tmp_path, [(1, Tick(), []), (2, Tick(), [])])
    whole = (tmp_path / "events.jsonl").read_bytes()
    folder.write("events.jsonl", whole[:-3])
    assert [step.now_ms for step in read(tmp_path).steps] == [1]


def test_a_log_of_a_newer_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("call.json", b'{"format": "phonebot-call-log", "version": 2, "whatever": []}')
    with pytest.raises(LogError) as refused:
        read(tmp_path)
    assert str(refused.value) == ("call.json: version 2 of the format; this phonebot reads up to 1: update it")


@pytest.mark.parametrize(
    ("file", "edit", "problem"),
    [
        ("events.jsonl", lambda lines: lines[: len(lines) // 2], "events.jsonl: .* call.json says .* cut short"),
        ("events.jsonl", lambda lines: lines[: lines.index(b"\n", 5000) + 1], "cut short or edited"),
        (
            "caller.wav",
            lambda audio: audio + bytes(160),
            "caller.wav: .* bytes of audio, but the lines",
        ),
        ("caller.wav", lambda audio: audio[:-160], "caller.wav, which has"),
        ("caller.wav", lambda audio: audio[:4], "caller.wav: not a WAV file.*: it was cut short or edited$"),
    ],
)
def test_a_finished_log_that_was_cut_short_or_edited_is_refused(
    tmp_path: Path, file: str, edit: Callable[[bytes], bytes], problem: str
) -> None:
    folder = saved(tmp_path / "call", interrupted())
    (folder / file).write_bytes(edit((folder / file).read_bytes()))
    with pytest.raises(LogError, match=problem):
        read(folder)


def test_a_log_that_the_process_did_not_finish_is_not_held_to_its_counts(tmp_path: Path) -> None:
    folder = saved(tmp_path / "call", interrupted(), ended=None)
    lines = (folder / "events.jsonl").read_bytes()
    (folder / "events.jsonl").write_bytes(lines[: len(lines) // 2])
    assert 0 < len(read(folder).steps) < len(interrupted().steps)


@pytest.mark.parametrize("file", ["call.json", "events.jsonl"])
def test_a_folder_without_one_of_its_files_is_no_log(tmp_path: Path, file: str) -> None:
    recorded(tmp_path, [])
    (tmp_path / file).unlink()
    with pytest.raises(LogError, match=f"{file}: there is no such file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"", "truncated"),
        (b"[]", "cannot be read: Expected `object`"),
        (b'{"format": "zip", "version": 1}', "not the header of a call log"),
        (b'{"format": "phonebot-call-log", "version": 1}', "call_sid"),
        (b'{"x": ' + b"[" * 100_000, "recursion"),
        (b" " * (log.MAX_HEADER_BYTES + 1), "longer than"),
        (b'{"format": "\xff', "call.json"),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: bytes, problem: str) -> None:
    Folder(tmp_path).write("call.json", header)
    with pytest.raises(LogError, match=problem):
        read(tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("no list", "Expected `array`"),
        ([1, "in", "Tick"], "of length 4"),
        ([-1, "in", "Tick", {}], ">= 0"),
        ([1, "up", "Tick", {}], "Invalid enum value 'up'"),
        ([1, "in", "Tock", {}], "'Tock' is no input"),
        ([1, "in", "PlayAudio", {"payload": ""}], "'PlayAudio' is no input"),
        ([1, "out", "Tick", {}], "'Tick' is no action"),
        ([1, "out", "ClearPlayback", {}], "an action before any input"),
        ([1, "in", "Mark", {"sequence": "x", "name": "y"}], "Expected `int`"),
        ([1, "in", "Media", {"sequence": 1, "chunk": 1, "timestamp_ms": 1}], "Expected"),
        ([1, "in", "Media", {"sequence": 1, "chunk": 1, "payload": 0, "frames": []}], "length >= 1"),
        ([1, "in", "Media", {"sequence": 1, "chunk": 1, "payload": 3, "frames": [[1, 1], [2, 2]]}], "no 2 frames"),
        ([1, "in", "Media", {"sequence": 1, "chunk": 1, "payload": "AAAA", "frames": [[1, 1]]}], "payload"),
        ([1, "in", "Media", {"sequence": 1, "chunk": 1, "timestamp_ms": 1, "payload": 2**40}], "not kept"),
        ([1, "in", "AudioDelta", {"audio": ["/etc/passwd", 0, 1]}], "Invalid enum value"),
        ([1, "in", "AudioDelta", {"audio": ["caller.wav", 0, 1]}], "is in bot.wav or model.raw, not in caller.wav"),
        ([1, "in", "AudioDelta", {"audio": ["bot.wav", 0, 1]}], "bot.wav: there is no such file"),
        ([1, "in", "AudioDelta", {"audio": ["model.raw", 0, 5]}], "bytes 0 to 5 of model.raw, which has 4"),
        ([1, "in", "AudioDelta", {"audio": ["model.raw", 3, 2]}], "do not follow"),
        ([1, "in", "AudioDelta", {"audio": ["model.raw", 0, 4]}], "required field"),
    ],
)
def test_a_line_that_is_none_is_refused_by_its_number(tmp_path: Path, line: Any, problem: str) -> None:
    folder = Folder(tmp_path)
    folder.write("model.raw", b"abcd")
    folder.write_lines(PLAN_LINE, line)
    with pytest.raises(LogError, match=problem) as refused:
        read(tmp_path)
    assert refused.value.line in (2, None)


@pytest.mark.parametrize("content", [b"\n", b"[\n", b'[1,"in","Tick",{}]\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n"])
def test_a_first_line_that_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    Folder(tmp_path).write("events.jsonl", content)
    with pytest.raises(LogError, match="line 1"):
        read(tmp_path)


def test_a_log_that_ends_before_its_first_line_is_refused(tmp_path: Path) -> None:
    Folder(tmp_path).write("events.jsonl", b'[0, "in", "CallPl')
    with pytest.raises(LogError, match="empty"):
        read(tmp_path)


def test_audio_is_read_once_however_often_a_hostile_log_refers_to_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("model.raw", b"abcd")
    line = [1, "in", "AudioDelta", msgspec.to_builtins(delta("")) | {"audio": ["model.raw", 0, 4]}]
    folder.write_lines(PLAN_LINE, line, line)
    with pytest.raises(LogError, match=r"line 3: bytes 0 to 4 of model.raw do not follow"):
        read(tmp_path)


def test_a_line_without_end_is_refused_before_it_is_read_in_full(tmp_path: Path) -> None:
    Folder(tmp_path).write("events.jsonl", b" " * (log.MAX_LINE_BYTES + 1))
    with pytest.raises(LogError, match="line 1: longer than"):
        read(tmp_path)


@pytest.mark.parametrize("limit", ["MAX_EVENTS_BYTES", "MAX_ENTRIES"])
def test_a_log_beyond_the_limits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    recorded(tmp_path, [(1, Tick(), [])] * 3)
    monkeypatch.setattr(reader, limit, 2)
    with pytest.raises(LogError, match=r"(longer|more) than 2"):
        read(tmp_path)


@pytest.mark.parametrize("file", ["call.json", "events.jsonl", "caller.wav"])
def test_a_link_or_pipe_in_the_folder_is_refused(tmp_path: Path, file: str) -> None:
    recorded(tmp_path, [(1, Media(1, 1, 1, FRAME), [])])
    (tmp_path / file).rename(tmp_path / "elsewhere")
    (tmp_path / file).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LogError, match=f"{file}: not a regular file"):
        read(tmp_path)
    (tmp_path / file).unlink()
    os.mkfifo(tmp_path / file)
    with pytest.raises(LogError, match=f"{file}: not a regular file"):
        read(tmp_path)


def test_a_wav_of_another_format_is_refused(tmp_path: Path) -> None:
    folder = recorded(tmp_path, [(1, Media(1, 1, 1, FRAME), [])])
    with WavWriter(tmp_path / "caller.wav", "pcm16", 16000) as wav:
        wav.append(bytes(1000))
    with pytest.raises(LogError, match=r"caller.wav: not mu-law at 8000 Hz"):
        read(tmp_path)
    folder.write("caller.wav", b"no wav")
    with pytest.raises(LogError, match=r"caller.wav: .*not a WAV file"):
        read(tmp_path)


@few
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_damaged_log_reads_or_is_refused_and_nothing_else(damage: list[tuple[int, int]]) -> None:
    steps: list[Happened] = [
        (1, Media(1, 1, 1, FRAME), [Tell(AppendAudio(FRAME))]),
        (2, delta(FRAME), [PlayAudio(FRAME), SendMark("0:1")]),
        (3, delta("AAAA"), []),
    ]
    with TemporaryDirectory() as path:
        folder = recorded(Path(path), steps)
        content = bytearray((Path(path) / "events.jsonl").read_bytes())
        for position, byte in damage:
            content[-1 - position % len(content)] = byte
        folder.write("events.jsonl", bytes(content))
        with suppress(LogError):
            assert isinstance(read(Path(path)), CallLog)
