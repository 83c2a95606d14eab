"""Rewrites a log so that it says what today's core does: the inputs stay, their times too, the actions are new."""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from phonebot.audio.wav import WavWriter
from phonebot.replay.log import (
    BOT_FILE,
    CALLER_FILE,
    EVENTS_FILE,
    HEADER_FILE,
    MODEL_FILE,
    AudioFile,
    Header,
    LogEncoder,
    LogError,
)
from phonebot.replay.player import Replay, perform, play
from phonebot.replay.reader import CallLog, Step, outcome_of, read

AUDIO_FILES: tuple[AudioFile, ...] = (CALLER_FILE, BOT_FILE, MODEL_FILE)


def update(folder: Path) -> Replay:
    """
    Let the log in `folder` expect what today's core does; return how it differed before.

    Ticks are the call's own wish: they are put where it asks for them now. What else stands in the folder, the
    hand-written expectations for one, is not touched. A log that does not differ stays as it is to the byte. Raises
    LogError for a log that cannot be read, OSError when the folder cannot be written.
    """
    replay = play(read(folder))
    if replay.differences:
        steps = perform(replay.log)
        _replace(folder, replay.log, steps)
    return replay


def write(folder: Path, header: Header, log: CallLog) -> None:
    """Write a log anew into `folder`, which must exist. `log`'s actions must be whole, not as a log keeps them."""
    encoder = LogEncoder(header.audio, from_start=header.recorded_from_ms is UNSET)
    encoder.plan(log.plan)
    for step in log.steps:
        encoder.happened(step.now_ms, step.input, list(step.actions))
    part = encoder.take()
    (folder / EVENTS_FILE).write_bytes(part.lines)
    for file, audio in part.audio.items():
        _write_audio(folder, file, audio)
    counts = replace(encoder.counts, lost=header.counts.lost)
    written = replace(header, counts=counts)
    (folder / HEADER_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n")


def _write_audio(folder: Path, file: AudioFile, audio: bytes) -> None:
    if file == MODEL_FILE:
        (folder / file).write_bytes(audio)
        return
    with WavWriter(folder / file) as wav:
        wav.append(audio)


def _replace(folder: Path, log: CallLog, steps: tuple[Step, ...]) -> None:
    outcome = outcome_of(action for step in steps for action in step.actions)
    header = replace(log.header, outcome=outcome or log.header.outcome)
    # Written beside it first: a full disk must not cost the log.
    with TemporaryDirectory(prefix=".update-", dir=folder) as beside:
        write(Path(beside), header, CallLog(header, log.plan, steps))
        rewritten = read(Path(beside))
        if play(rewritten).differences:
            raise LogError(
                EVENTS_FILE, None, "today's core does not do the same twice with these inputs: it was not updated"
            )
        for name in AUDIO_FILES:
            if not (Path(beside) / name).exists():
                (folder / name).unlink(missing_ok=True)
        for file in Path(beside).iterdir():
            file.replace(folder / file.name)
