"""The recorder: the call never waits for it, and what it wrote can be read, whatever happened."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest
from msgspec import UNSET

from phonebot import __version__
from phonebot.audio import wav
from phonebot.audio.base64 import base64_silence
from phonebot.call.actions import PlayAudio, StartRecording, Tell
from phonebot.call.inputs import ModelReady, Tick
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Mark, Media
from phonebot.realtime.events import AppendAudio, AudioDelta, Session
from phonebot.replay import recorder as module
from phonebot.replay.log import About, Counts, LogError, LogPart
from phonebot.replay.reader import read
from phonebot.replay.recorder import Recorder, Writer

PLAN = CallPlan(Session(instructions="Be brief."))
ABOUT = About(
    call_sid="CA1",
    stream_sid="MZ1",
    from_number="+15550100001",
    to_number="+15550100000",
    profile="default",
    profile_version="7a1c327353f5",
    provider="embedded",
    model="model-1",
)
NEVER_S = 1e9  # what happens is handed to the disk when a call begins, and then only when it is closed
ALWAYS_S = 0.0  # as soon as may be
DEADLINE_S = 30.0


def payload(number: int) -> str:
    return b64encode(bytes([number % 256]) * 160).decode()


def frame(number: int) -> Media:
    return Media(number + 1, number, 20 * number, payload(number))


def record(recorder: Recorder, frames: int, first: int = 0) -> None:
    """Frames, each told to the model at once."""
    for number in range(first, first + frames):
        recorder.happened(20 * number, frame(number), [Tell(AppendAudio(payload(number)))])


def begun(recorder: Recorder) -> Recorder:
    """The same recorder once its first round is over."""
    deadline = monotonic() + DEADLINE_S
    while recorder.folder is None and monotonic() < deadline:
        sleep(0.001)
    assert recorder.folder is not None, f"no folder was made within {DEADLINE_S} s"
    return recorder


def only_folder(root: Path) -> Path:
    (folder,) = root.iterdir()
    return folder


async def test_a_recorded_call_is_read_back_with_its_audio(tmp_path: Path) -> None:
    async with Writer(tmp_path / "calls") as writer:
        recorder = writer.recorder(ABOUT)
        recorder.plan(PLAN)
        record(recorder, 3)
        recorder.happened(70, AudioDelta("resp_1", "item_1", 0, 0, payload(9)), [PlayAudio(payload(9))])
        recorder.happened(80, AudioDelta("resp_0", "item_0", 0, 0, payload(8)), [])
        recorder.close("caller_hung_up")
    found = read(only_folder(tmp_path / "calls"))
    assert found.plan == PLAN
    assert [step.input for step in found.steps] == [
        *map(frame, range(3)),
        AudioDelta("resp_1", "item_1", 0, 0, payload(9)),
        AudioDelta("resp_0", "item_0", 0, 0, payload(8)),
    ]
    assert [len(step.actions) for step in found.steps] == [1, 1, 1, 1, 0]
    folder = only_folder(tmp_path / "calls")
    assert recorder.folder == folder
    assert wav.read(folder / "caller.wav").data == b"".join(bytes([number]) * 160 for number in range(3))
    assert wav.read(folder / "bot.wav").data == bytes([9]) * 160
    assert (folder / "model.raw").read_bytes() == bytes([8]) * 160
    assert (recorder.lost, writer.incomplete) == (0, 0)


async def test_the_header_tells_which_call_it_was_and_how_it_ended(tmp_path: Path) -> None:
    async with Writer(tmp_path) as writer:
        recorder = writer.recorder(ABOUT)
        recorder.plan(PLAN)
        record(recorder, 2)
        recorder.close("time_limit")
        recorder.close("twice")
        recorder.happened(99, Tick(), [])
    header = read(only_folder(tmp_path)).header
    assert {field: getattr(header, field) for field in ABOUT.__struct_fields__} == {
        field: getattr(ABOUT, field) for field in ABOUT.__struct_fields__
    }
    assert (header.format, header.version, header.software) == ("phonebot-call-log", 1, f"phonebot {__version__}")
    assert (header.outcome, header.note, header.audio) == ("time_limit", "", True)
    assert header.counts == Counts(frames=2, inputs=2, actions=2, lost=0)
    assert header.ended is not None
    assert header.started <= header.ended
    assert json.loads((only_folder(tmp_path) / "call.json").read_text())["started"].endswith("Z")


@pytest.mark.parametrize(
    ("call_sid", "end"),
    [("CA1", "-CA1"), ("../../etc/x", "-______etc_x"), ("a\0b\nc", "-a_b_c"), ("C" * 300, "-" + "C" * 64)],
)
async def test_the_folder_is_named_by_start_and_sid_and_stays_in_its_place(
    tmp_path: Path, call_sid: str, end: str
) -> None:
    async with Writer(tmp_path / "calls") as writer:
        writer.recorder(About(call_sid=call_sid)).plan(PLAN)
    folder = only_folder(tmp_path / "calls")
    assert folder.name.endswith(end)
    started = read(folder).header.started
    assert folder.name.startswith(f"{started:%Y%m%dT%H%M%SZ}-")
    assert only_folder(tmp_path) == tmp_path / "calls"
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700


async def test_a_log_is_begun_with_its_header_before_anything_happens(tmp_path: Path) -> None:
    async with Writer(tmp_path, NEVER_S) as writer:
        folder = begun(writer.recorder(ABOUT)).folder
        assert folder == only_folder(tmp_path)
        assert json.loads((folder / "call.json").read_text())["call_sid"] == "CA1"
        with pytest.raises(LogError, match="empty"):
            read(folder)


async def test_two_streams_of_one_call_have_a_folder_each(tmp_path: Path) -> None:
    async with Writer(tmp_path) as writer:
        for stream in "MZ1", "MZ2":
            recorder = writer.recorder(About(call_sid="CA1", stream_sid=stream))
            recorder.plan(PLAN)
            recorder.close("caller_hung_up")
    assert {read(folder).header.stream_sid for folder in tmp_path.iterdir()} == {"MZ1", "MZ2"}


async def test_a_call_that_is_not_to_be_recorded_leaves_its_events_without_audio(tmp_path: Path) -> None:
    async with Writer(tmp_path) as writer:
        recorder = writer.recorder(ABOUT, audio=False)
        recorder.plan(PLAN)
        record(recorder, 5)
        recorder.close("caller_hung_up")
    folder = only_folder(tmp_path)
    assert {file.name for file in folder.iterdir()} == {"call.json", "events.jsonl"}
    assert len(read(folder).steps) == 5
    assert not read(folder).header.audio


async def test_audio_is_kept_once_the_call_says_that_it_may_be(tmp_path: Path) -> None:
    async with Writer(tmp_path) as writer:
        recorder = writer.recorder(ABOUT, from_start=False)
        recorder.plan(PLAN)
        record(recorder, 3)
        recorder.happened(60, Tick(), [StartRecording()])
        record(recorder, 2, first=4)
        recorder.close("caller_hung_up")
    log = read(only_folder(tmp_path))
    heard = [step.input.payload for step in log.steps if isinstance(step.input, Media)]
    assert heard == [base64_silence(160)] * 3 + [payload(4), payload(5)]
    assert wav.read(only_folder(tmp_path) / "caller.wav").data == bytes([4]) * 160 + bytes([5]) * 160
    assert (log.header.audio, log.header.recorded_from_ms) == (True, 60)


async def test_a_call_that_never_says_so_has_no_audio(tmp_path: Path) -> None:
    async with Writer(tmp_path) as writer:
        recorder = writer.recorder(ABOUT, from_start=False)
        recorder.plan(PLAN)
        record(recorder, 3)
        recorder.close("caller_hung_up")
    log = read(only_folder(tmp_path))
    assert (log.header.audio, log.header.recorded_from_ms) == (False, UNSET)
    assert sorted(file.name for file in only_folder(tmp_path).iterdir()) == ["call.json", "events.jsonl"]


async def test_a_call_that_is_not_to_be_recorded_is_not_whatever_the_call_says(tmp_path: Path) -> None:
    async with Writer(tmp_path) as writer:
        recorder = writer.recorder(ABOUT, audio=False, from_start=False)
        recorder.plan(PLAN)
        recorder.happened(60, Tick(), [StartRecording()])
        record(recorder, 2, first=4)
        recorder.close("caller_hung_up")
    assert not read(only_folder(tmp_path)).header.audio


async def test_a_call_still_running_when_the_writer_closes_reads_as_cut_off(tmp_path: Path) -> None:
    async with Writer(tmp_path) as writer:
        recorder = writer.recorder(ABOUT)
        recorder.plan(PLAN)
        record(recorder, 5)
    found = read(only_folder(tmp_path))
    assert len(found.steps) == 5
    assert (found.header.ended, found.header.outcome) == (None, None)


async def test_a_writer_that_is_closed_takes_no_more_calls(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    await writer.close()
    with pytest.raises(RuntimeError, match="closed"):
        writer.recorder(ABOUT)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- while the call runs


async def wait_for(root: Path, steps: int) -> None:
    """Until the only log in `root` has so many."""
    deadline = monotonic() + DEADLINE_S
    while monotonic() < deadline:
        try:
            if len(read(only_folder(root)).steps) >= steps:
                return
        except (LogError, OSError, ValueError):
            pass  # not begun yet
        await asyncio.sleep(0.01)
    pytest.fail(f"{steps} steps did not reach the disk within {DEADLINE_S} s")


async def test_a_log_can_be_read_while_the_call_runs(tmp_path: Path) -> None:
    async with Writer(tmp_path, round_s=0.02) as writer:
        recorder = writer.recorder(ABOUT)
        recorder.plan(PLAN)
        record(recorder, 10)
        await wait_for(tmp_path, 10)
        record(recorder, 10, first=10)
        await wait_for(tmp_path, 20)
        recorder.close("caller_hung_up")
    assert [step.input for step in read(only_folder(tmp_path)).steps] == [frame(number) for number in range(20)]


ENDLESS_CALL = """
import asyncio
import sys
from itertools import count
from pathlib import Path
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Mark, Media
from phonebot.realtime.events import Session
from phonebot.replay.log import About
from phonebot.replay.recorder import Writer

async def main():
    recorder = Writer(Path(sys.argv[1]), round_s=0.05).recorder(About(call_sid="CA1"))
    recorder.plan(CallPlan(Session()))
    for number in count():
        recorder.happened(20 * number, Media(number, number, 20 * number, "////"), [])
        recorder.happened(20 * number, Mark(number, str(number)), [])
        await asyncio.sleep(0.0001)

asyncio.run(main())
"""


async def test_a_process_that_is_killed_leaves_all_that_an_earlier_round_wrote(tmp_path: Path) -> None:
    """It dies in the middle of its rounds, with the log on disk at least as long as it was seen before."""
    call = subprocess.Popen([sys.executable, "-c", ENDLESS_CALL, str(tmp_path)])
    try:
        await wait_for(tmp_path, 1000)
        seen = len(read(only_folder(tmp_path)).steps)
    finally:
        call.kill()
        assert call.wait(DEADLINE_S) == -signal.SIGKILL
    found = read(only_folder(tmp_path))
    assert found.header.ended is None
    assert len(found.steps) >= seen
    for number, step in enumerate(found.steps):
        count = number // 2
        expected = Mark(count, str(count)) if number % 2 else Media(count, count, 20 * count, "////")
        assert (step.now_ms, step.input) == (20 * count, expected)


# ------------------------------------------------------------------------------------------- when it cannot write


async def test_a_folder_that_cannot_be_made_is_said_once_and_the_call_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        async with Writer(tmp_path / "file" / "calls", round_s=0.01) as writer:
            recorder = writer.recorder(ABOUT)
            recorder.plan(PLAN)
            deadline = monotonic() + DEADLINE_S
            while not recorder.lost and monotonic() < deadline:
                sleep(0.01)
            record(recorder, 10)
            recorder.close("caller_hung_up")
    assert (recorder.lost, recorder.folder, writer.incomplete) == (11, None, 1)  # the plan, and what happened
    (said,) = caplog.messages
    assert said.startswith("call CA1 is not recorded in full: [Errno 20]")


FULL_DISK = """
import asyncio
import resource
import sys
from pathlib import Path
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Mark, Media
from phonebot.realtime.events import Session
from phonebot.replay.log import About
from phonebot.replay.recorder import Writer

async def main():
    async with Writer(Path(sys.argv[1]), round_s=0.01) as writer:
        recorder = writer.recorder(About(call_sid="CA1"))
        recorder.plan(CallPlan(Session()))
        while not recorder.folder or not (recorder.folder / "events.jsonl").stat().st_size:
            await asyncio.sleep(0.01)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        number = 0
        while not recorder.lost:
            recorder.happened(20 * number, Media(number, number, 20 * number, "////" * 40), [])
            recorder.happened(20 * number, Mark(number, "0:1"), [])
            number += 1
            await asyncio.sleep(0.0001)
        recorder.close("caller_hung_up")
    print(2 * number, recorder.lost)

asyncio.run(main())
"""


def test_a_disk_that_is_full_ends_the_log_and_not_the_call(tmp_path: Path) -> None:
    """No file may grow beyond 20 kB, which the process meets as it would a full disk."""
    call = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    given, lost = map(int, call.stdout.split())
    assert call.stderr.count("call CA1 is not recorded in full: [Errno 27] File too large") == 1
    found = read(only_folder(tmp_path))
    assert given - lost <= len(found.steps) < given
    assert found.header.outcome == "caller_hung_up"
    assert found.header.counts.lost == lost
    assert found.header.note.startswith("The log ends before the call did: [Errno 27]")


class StuckDisk:
    """Takes nothing until it is freed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._free = Event()
        append = module._Files.append

        def wait_and_append(files: module._Files, part: LogPart) -> None:
            self._free.wait(DEADLINE_S)
            append(files, part)

        monkeypatch.setattr(module._Files, "append", wait_and_append)

    def free(self) -> None:
        self._free.set()


async def test_audio_that_waits_too_long_for_the_disk_is_dropped_and_the_events_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_HELD_BYTES", 3_000)
    monkeypatch.setattr(module, "MAX_HELD_SILENT_BYTES", 100_000)
    disk = StuckDisk(monkeypatch)
    async with Writer(tmp_path, ALWAYS_S) as writer:
        recorder = begun(writer.recorder(ABOUT))
        recorder.plan(PLAN)
        for number in range(20):
            record(recorder, 1, first=number)
            await asyncio.sleep(0.001)
        disk.free()
        recorder.close("caller_hung_up")
    found = read(only_folder(tmp_path))
    inputs = [step.input for step in found.steps]
    silence = b64encode(b"\xff" * 160).decode()
    kept = sum(isinstance(received, Media) and received.payload != silence for received in inputs)
    assert 5 < kept < 15
    assert inputs == [
        *[frame(number) for number in range(kept)],
        *[Media(number + 1, number, 20 * number, silence) for number in range(kept, 20)],
    ]
    assert wav.read(only_folder(tmp_path) / "caller.wav").duration_ms == kept * 20
    assert found.header.note == "The disk was too slow: from some moment on no audio was kept."
    assert found.header.counts.lost == 0
    assert len(caplog.messages) == 1


async def test_a_log_ends_where_more_waits_for_the_disk_than_may_be_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence counts too, so that memory stays bounded."""
    monkeypatch.setattr(module, "MAX_HELD_SILENT_BYTES", 500)
    disk = StuckDisk(monkeypatch)
    async with Writer(tmp_path, ALWAYS_S) as writer:
        recorder = begun(writer.recorder(ABOUT, audio=False))
        recorder.plan(PLAN)
        for number in range(100):
            recorder.happened(number, Tick(), [])
            await asyncio.sleep(0.001)
        disk.free()
        recorder.close("caller_hung_up")
    found = read(only_folder(tmp_path))
    assert 5 < len(found.steps) < 50
    assert [step.now_ms for step in found.steps] == list(range(len(found.steps)))
    assert found.header.note == "The disk was too slow: the log ends before the call did."
    assert (found.header.counts.lost, writer.incomplete) == (100 - len(found.steps), 1)
    assert len(caplog.messages) == 1


async def test_what_cannot_be_encoded_ends_its_own_log_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A lone surrogate has no UTF-8."""
    async with Writer(tmp_path, NEVER_S) as writer:
        recorders = [begun(writer.recorder(About(call_sid=sid))) for sid in ("CA1", "CA2")]
        for recorder in recorders:
            recorder.plan(PLAN)
        for recorder, names in zip(recorders, (("0:1", "\ud800", "0:3"), ("0:1", "0:2")), strict=True):
            for now, name in enumerate(names, 1):
                recorder.happened(now, Mark(now, name), [])
            recorder.close("caller_hung_up")
    assert (recorders[0].lost, recorders[1].lost, writer.incomplete) == (2, 0, 1)
    cut, whole = (read(folder) for folder in sorted(tmp_path.iterdir(), key=lambda folder: folder.name[-3:]))
    assert [step.input for step in cut.steps] == [Mark(1, "0:1")]
    assert (cut.header.counts.inputs, cut.header.counts.lost) == (1, 2)
    assert [step.input for step in whole.steps] == [Mark(1, "0:1"), Mark(2, "0:2")]
    assert "call CA1: a fault in writing its log" in caplog.messages


async def test_no_more_gathers_than_may_be_encoded_at_a_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_GATHERED", 3)
    async with Writer(tmp_path, NEVER_S) as writer:
        recorder = begun(writer.recorder(ABOUT))
        recorder.plan(PLAN)
        for number in range(1, 9):
            recorder.happened(number, Mark(number, "\ud800" if number == 5 else "0:1"), [])
            # What cannot be encoded is found out where it is tried: with the third of them, and the sixth.
            assert recorder.lost == max(0, number - 4) * (number >= 6)
        recorder.close("caller_hung_up")
    assert [step.now_ms for step in read(only_folder(tmp_path)).steps] == [1, 2, 3, 4]


@pytest.mark.parametrize(("named", "provider"), [(("first", "second"), "second"), (("",), "embedded")])
async def test_a_log_says_in_the_end_which_provider_the_call_had_last(
    tmp_path: Path, named: tuple[str, ...], provider: str
) -> None:
    async with Writer(tmp_path) as writer:
        recorder = writer.recorder(ABOUT)
        recorder.plan(PLAN)
        for at, name in enumerate(named):
            recorder.happened(at, ModelReady(Session(), provider=name), [])
        recorder.close("caller_hung_up")
    (folder,) = tmp_path.iterdir()
    assert read(folder).header.provider == provider
