"""What the caller heard, from the log alone, held against the emulated carrier, which knows."""

from binascii import b2a_base64
from pathlib import Path

import pytest
from msgspec.structs import replace as altered
from rehearsed import (
    INTERRUPTED,
    NEAR,
    QUIET,
    SPEAKS,
    SPEECH,
    UNDERSTOOD,
    interrupted,
    log_of,
    plan,
    rehearsed,
    saved,
)

from phonebot.audio import wav
from phonebot.call.actions import ClearPlayback, Cut, FalseAlarm, Held, PlayAudio, SendMark
from phonebot.carrier.messages import Mark, Media
from phonebot.rehearsal.virtual import VirtualCall
from phonebot.replay.heard import Legs, legs, write_heard
from phonebot.replay.log import LogError
from phonebot.replay.reader import CallLog, Step, read
from phonebot.simulator.caller import HangUp, Interrupt
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

BYTES_PER_MS = 8
LOUD = 30  # mu-law codes further from silence than this are speech


def spoken(leg: bytes, offset_ms: float = 0) -> list[tuple[float, float]]:
    """When there was sound, from and to in ms; what pauses for less than 300 ms is one."""
    found: list[tuple[float, float]] = []
    for place in range(0, len(leg), BYTES_PER_MS):
        if any(~code & 0x7F >= LOUD for code in leg[place : place + BYTES_PER_MS]):
            at_ms = place / BYTES_PER_MS + offset_ms
            if found and at_ms - found[-1][1] < 300:
                found[-1] = (found[-1][0], at_ms + 1)
            else:
                found.append((at_ms, at_ms + 1))
    return found


def truth(call: VirtualCall) -> list[tuple[float, float]]:
    return spoken(bytes(call.heard), call.carrier.oddities.first_timestamp_ms - 20)


@pytest.mark.parametrize(
    ("network", "oddities", "off_ms"),
    [
        (Network(), Oddities(), 1),
        (NEAR, Oddities(), 5),
        (NEAR, Oddities(start_buffer_ms=120), 5),
        (NEAR, Oddities(drift_ppm=100.0, marks_burst_ms=200), 200),
        (NEAR, Oddities(marks_lost=0.3), 25),
        (Network(110, 60, 110, 60), Oddities(timestamp_jitter_ms=3), 60),
    ],
    ids=["plain", "near", "start buffer", "marks in bursts", "marks lost", "far"],
)
def test_speech_lies_where_it_was_heard(network: Network, oddities: Oddities, off_ms: float) -> None:
    call = rehearsed(*INTERRUPTED, network=network, oddities=oddities)
    found, heard = spoken(legs(log_of(call)).heard), truth(call)
    assert len(found) == len(heard) == 3
    for (begin, end), (true_begin, true_end) in zip(found, heard, strict=True):
        assert abs(begin - true_begin) <= off_ms
        assert abs(end - true_end) <= off_ms


def test_a_bot_that_was_paused_goes_on_where_it_was() -> None:
    greeting = "Hello there, how may I help you today my friend?"
    caution = {"hold_ms": 1500, "backchannels": [UNDERSTOOD]}
    call = rehearsed(*INTERRUPTED, barge_in=caution, greeting=greeting)
    assert any(isinstance(action, FalseAlarm) for step in call.steps for action in step.actions)
    found, heard = spoken(legs(log_of(call)).heard), truth(call)
    assert len(found) == len(heard) == 3
    for ours, true in zip(found, heard, strict=True):
        assert ours == pytest.approx(true, abs=5)


def test_a_bot_that_was_paused_and_then_interrupted_is_cut_where_it_was() -> None:
    call = rehearsed(QUIET, SPEAKS, Interrupt(500, SPEECH), QUIET, HangUp(), barge_in={"hold_ms": 300})
    assert any(isinstance(action, Held) for step in call.steps for action in step.actions)
    for ours, true in zip(spoken(legs(log_of(call)).heard), truth(call), strict=True):
        assert ours == pytest.approx(true, abs=5)


def test_the_caller_lies_where_he_spoke() -> None:
    said = bytes(interrupted().said)
    begin = (interrupted().carrier.oddities.first_timestamp_ms - 20) * BYTES_PER_MS
    assert legs(log_of(interrupted())).caller[begin : begin + len(said)] == said


def test_a_file_has_the_caller_left_and_what_he_heard_right(tmp_path: Path) -> None:
    log = read(saved(tmp_path / "call", interrupted()))
    write_heard(log, tmp_path / "heard.wav")
    written, both = wav.read(tmp_path / "heard.wav"), legs(log)
    assert (written.encoding, written.rate_hz, written.channels) == ("pcmu", 8000, 2)
    assert written.data[0::2] == both.caller
    assert written.data[1::2] == both.heard


def test_a_log_without_audio_has_its_length(tmp_path: Path) -> None:
    log = read(saved(tmp_path / "call", interrupted(), audio=False))
    both = legs(log)
    assert len(both.caller) == len(legs(log_of(interrupted())).caller)
    assert set(both.caller + both.heard) == {0xFF}


# ------------------------------------------------------------------------------------------- by hand


def audio(ms: int, code: int = 1) -> str:
    return b2a_base64(bytes([code]) * (ms * BYTES_PER_MS), newline=False).decode()


def heard(*steps: Step) -> list[tuple[float, float]]:
    return spoken(legs(CallLog(log_of(interrupted()).header, plan(), steps)).heard)


FRAME = Media(1, 1, 20, audio(20))


def test_audio_plays_one_round_trip_after_it_was_sent() -> None:
    asked = Step(0, FRAME, (SendMark("a"),))
    assert heard(asked, Step(70, Mark(2, "a"), ()), Step(100, FRAME, (PlayAudio(audio(200)), SendMark("b")))) == [
        (170, 370)
    ]


def test_an_echo_that_is_late_moves_the_audio() -> None:
    sent = Step(100, FRAME, (PlayAudio(audio(200)), SendMark("b")))
    assert heard(sent, Step(450, Mark(2, "b"), ())) == [(250, 450)]


def test_without_a_cut_the_mark_behind_the_clear_tells() -> None:
    sent = Step(100, FRAME, (SendMark("a"), PlayAudio(audio(2000)), SendMark("b")))
    cleared = Step(600, FRAME, (ClearPlayback(), SendMark("fence")))
    echoes = (Step(140, Mark(2, "a"), ()), cleared, Step(640, Mark(3, "b"), ()), Step(640, Mark(4, "fence"), ()))
    assert heard(sent, *echoes) == [(140, 640)]


def interrupted_by_hand(*later: Step) -> Legs:
    """Two seconds were sent, and cut when 0.5 s of them were heard."""
    sent = Step(100, FRAME, (PlayAudio(audio(2000), "item_1"), SendMark("b")))
    cleared = Step(600, FRAME, (ClearPlayback(), SendMark("fence")))
    settled = Step(640, Mark(3, "fence"), (Cut("item_1", 500, 2000, "fence"),))
    steps = (sent, cleared, settled, *later, Step(3000, FRAME, ()), Step(3000, Media(2, 2, 3000, audio(20)), ()))
    return legs(CallLog(log_of(interrupted()).header, plan(), steps))


def test_what_was_not_heard_lies_where_it_would_have_been() -> None:
    both = interrupted_by_hand()
    (heard_at,), (unheard_at,) = spoken(both.heard), spoken(both.unheard)
    assert heard_at[1] == unheard_at[0]
    assert (heard_at[1] - heard_at[0], unheard_at[1] - unheard_at[0]) == (500, 1500)
    assert len(both.unheard) == len(both.heard)


def test_what_was_not_heard_ends_where_the_bot_speaks_again() -> None:
    both = interrupted_by_hand(Step(1000, FRAME, (PlayAudio(audio(300)),)))
    _, (again, _) = spoken(both.heard)
    ((_, end),) = spoken(both.unheard)
    assert end == again


def test_of_a_bot_that_was_only_paused_nothing_is_unheard() -> None:
    log = read(Path(__file__).parents[2] / "fixtures" / "calls" / "backchannel")
    assert set(legs(log).unheard) == {0xFF}


def test_nothing_is_heard_after_the_end() -> None:
    stop = interrupted().steps[-1].input
    assert heard(Step(100, FRAME, (PlayAudio(audio(2000)),)), Step(400, stop, ())) == [(100, 400)]


def test_a_frame_with_a_wild_stamp_is_left_out() -> None:
    wild = Step(20, altered(FRAME, timestamp_ms=2**40), ())
    assert len(legs(CallLog(log_of(interrupted()).header, plan(), (wild,))).caller) == 0


def test_a_call_longer_than_any_is_refused() -> None:
    endless = Step(2**40, FRAME, ())
    with pytest.raises(LogError, match="a call lasts 14400000 ms at most"):
        legs(CallLog(log_of(interrupted()).header, plan(), (endless,)))
