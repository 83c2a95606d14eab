"""What an ear makes of the caller: when a turn begins and ends, and what the model is sent of it."""

from base64 import b64decode, b64encode

import numpy as np
import pytest
from driver import recorded

from phonebot.audio.g711 import pcm_to_ulaw, ulaw_to_pcm
from phonebot.call.audio_path import CallerLeg
from phonebot.call.listening import MAX_TURN_MS, PAUSE_MS, STALL_MS, Ear, Heard, ear_for
from phonebot.call.plan import KeyTurns, LocalTurns, Turns
from phonebot.call.withholding import AFTER_MS, BEFORE_MS
from phonebot.realtime.events import (
    BYTES_PER_MS,
    AppendAudio,
    AudioFormat,
    CommitAudio,
    SpeechStarted,
    SpeechStopped,
)

FRAME_MS = 20
FRAME_BYTES = 160
SILENCE = b"\xff"
HOURS = recorded("demo/hours")  # speech from 473 to 2,440 ms
BEGIN_MS, END_MS = 473, 2_440


class Line:
    """
    A caller's line into an ear, in virtual time: frames arrive as they end.

    `heard` holds when each thing came, the audio left out: that is `sent`, in the session's format.
    """

    def __init__(self, turns: Turns, model_format: AudioFormat = "pcmu") -> None:
        self.ear: Ear = ear_for(turns, CallerLeg(model_format), model_format)
        self.now = 0
        self.heard: list[tuple[int, Heard]] = []
        self.sent = b""
        self._bytes_per_ms = BYTES_PER_MS[model_format]

    @property
    def sent_ms(self) -> float:
        return len(self.sent) / self._bytes_per_ms

    @property
    def told(self) -> list[Heard]:
        return [heard for _, heard in self.heard]

    def say(self, audio: bytes, frame_bytes: int = FRAME_BYTES) -> None:
        for at in range(0, len(audio), frame_bytes):
            frame = audio[at : at + frame_bytes]
            begin_ms, self.now = self.now, self.now + len(frame) // 8
            self._take(self.ear.hear(b64encode(frame).decode(), begin_ms, self.now))

    def be_quiet(self, ms: int) -> None:
        self.say(SILENCE * (ms * 8))

    def send_nothing(self, ms: int) -> None:
        """No frame comes."""
        self.now += ms
        if self.ear.due_ms is not None and self.now >= self.ear.due_ms:
            self._take(self.ear.tick(self.now))

    def press(self, digit: str, bot_speaks: bool = False) -> None:
        self._take(self.ear.press(digit, bot_speaks))

    def _take(self, heard: list[Heard]) -> None:
        for each in heard:
            if isinstance(each, AppendAudio):
                self.sent += b64decode(each.audio)
            else:
                self.heard.append((self.now, each))


def spoken(ms: int) -> bytes:
    """Speech without a pause."""
    phrase = HOURS[600 * 8 : 2_200 * 8]
    return (phrase * (ms // 1_600 + 1))[: ms * 8]


# ------------------------------------------------------------------------------------------- our own detector


def test_nothing_is_sent_while_nobody_speaks() -> None:
    line = Line(LocalTurns())
    line.be_quiet(5_000)
    line.say(recorded("audio/noise-only"))
    assert (line.told, line.sent) == ([], b"")
    assert line.ear.due_ms is None


def test_a_turn_is_sent_from_its_padding_to_the_silence_that_ends_it() -> None:
    line = Line(LocalTurns())
    line.say(HOURS)
    line.be_quiet(1_000)
    started, committed, stopped = line.told
    assert started == SpeechStarted(0)
    assert committed == CommitAudio()
    assert stopped == SpeechStopped(len(line.sent) // 8)
    # The very bytes of the caller: no frame is lost or repeated, none is altered.
    begin = (HOURS + SILENCE * 8_000).index(line.sent)
    assert begin % FRAME_BYTES == 0
    assert BEGIN_MS - begin // 8 == pytest.approx(300, abs=40)
    assert begin // 8 + line.sent_ms == pytest.approx(END_MS + 500, abs=40)
    (started_ms, _), (committed_ms, _), _ = line.heard
    assert started_ms <= BEGIN_MS + 160
    assert committed_ms == begin // 8 + line.sent_ms


def test_the_next_turn_counts_on_where_the_last_one_ended() -> None:
    line = Line(LocalTurns())
    line.say(HOURS)
    line.be_quiet(3_000)
    before_ms = line.sent_ms
    line.say(HOURS)
    line.be_quiet(1_000)
    assert line.told[3:] == [SpeechStarted(int(before_ms)), CommitAudio(), SpeechStopped(int(line.sent_ms))]
    assert line.sent[int(before_ms) * 8 :] in HOURS + SILENCE * 8_000


@pytest.mark.parametrize("padding_ms", [0, 100, 1_000])
def test_a_turn_begins_with_the_padding_that_is_wanted_or_with_all_there_was(padding_ms: int) -> None:
    line = Line(LocalTurns(prefix_padding_ms=padding_ms))
    line.say(HOURS)
    line.be_quiet(1_000)
    begin_ms = (HOURS + SILENCE * 8_000).index(line.sent) // 8
    assert begin_ms == pytest.approx(max(BEGIN_MS - padding_ms, 0), abs=40)


@pytest.mark.parametrize("silence_ms", [100, 300, 1_000])
def test_a_turn_ends_after_the_silence_that_is_wanted(silence_ms: int) -> None:
    line = Line(LocalTurns(silence_duration_ms=silence_ms))
    line.say(HOURS)
    line.be_quiet(1_500)
    (ended_ms, _) = line.heard[-1]
    assert ended_ms == pytest.approx(END_MS + silence_ms, abs=40)


def test_a_pause_within_a_turn_does_not_end_it() -> None:
    line = Line(LocalTurns())
    line.say(spoken(1_000))
    line.be_quiet(400)
    line.say(spoken(1_000))
    line.be_quiet(1_000)
    assert [type(each) for each in line.told] == [SpeechStarted, CommitAudio, SpeechStopped]


def test_a_sound_shorter_than_the_least_speech_is_no_turn() -> None:
    click = spoken(40)
    line = Line(LocalTurns(min_speech_ms=200))
    for _ in range(5):
        line.say(click)
        line.be_quiet(300)
    assert line.told == []
    line.say(spoken(400))
    assert line.told == [SpeechStarted(0)]


@pytest.mark.parametrize(("threshold", "turns"), [(0.0, 1), (0.5, 1), (1.0, 0)])
def test_a_higher_threshold_leaves_out_who_is_hardly_louder_than_the_line(threshold: float, turns: int) -> None:
    samples = np.frombuffer(ulaw_to_pcm(recorded("audio/noise-only") * 3), "<i2").astype(int)
    faint = np.frombuffer(ulaw_to_pcm(HOURS), "<i2") // 8
    samples[16_000 : 16_000 + len(faint)] += faint
    line = Line(LocalTurns(threshold=threshold))
    line.say(pcm_to_ulaw(samples.clip(-32768, 32767).astype("<i2").tobytes()))
    assert line.told.count(CommitAudio()) == turns


@pytest.mark.parametrize("frame_bytes", [80, 100, 400, 1_600])
def test_frames_may_have_any_length(frame_bytes: int) -> None:
    line = Line(LocalTurns())
    line.say(HOURS + SILENCE * 8_000, frame_bytes)
    assert line.told == [SpeechStarted(0), CommitAudio(), SpeechStopped(int(line.sent_ms))]
    begin = (HOURS + SILENCE * 8_000).index(line.sent)
    longest_ms = frame_bytes // 8
    assert BEGIN_MS - 300 - 40 - longest_ms <= begin // 8 <= BEGIN_MS - 300 + 40
    assert abs(begin // 8 + line.sent_ms - (END_MS + 500)) <= 40 + longest_ms


@pytest.mark.parametrize(("model_format", "bytes_per_ms"), [("pcma", 8), ("pcm24k", 48)])
def test_a_turn_in_another_format_is_as_long(model_format: AudioFormat, bytes_per_ms: int) -> None:
    line, plain = Line(LocalTurns(), model_format), Line(LocalTurns())
    for each in (line, plain):
        each.say(HOURS)
        each.be_quiet(2_000)
        each.say(HOURS)
        each.be_quiet(1_000)
    assert line.told == plain.told
    assert len(line.sent) == plain.sent_ms * bytes_per_ms


# ------------------------------------------------------------------------------------------- a carrier that pauses


def test_a_gap_that_is_long_enough_ends_the_turn_as_silence_would() -> None:
    line = Line(LocalTurns())
    line.say(HOURS[: END_MS * 8])
    line.now += 5_000  # and nobody came to tick
    line.be_quiet(FRAME_MS)
    assert line.told == [SpeechStarted(0), CommitAudio(), SpeechStopped(int(line.sent_ms))]
    assert line.sent.endswith(SILENCE * (400 * 8))
    assert line.sent_ms == pytest.approx(END_MS - BEGIN_MS + 300 + 500, abs=60)


def test_a_short_gap_is_a_pause_of_its_length() -> None:
    line = Line(LocalTurns())
    line.say(spoken(1_000))
    line.send_nothing(300)
    line.say(spoken(1_000))
    assert line.told == [SpeechStarted(0)]
    assert line.sent == spoken(1_000) + SILENCE * (300 * 8) + spoken(1_000)


def test_gap_and_silence_add_up() -> None:
    line = Line(LocalTurns())
    line.say(spoken(1_000))
    line.be_quiet(200)
    line.send_nothing(200)
    line.be_quiet(80)
    assert line.told == [SpeechStarted(0)]
    line.be_quiet(40)
    assert [type(each) for each in line.told] == [SpeechStarted, CommitAudio, SpeechStopped]


def test_a_carrier_that_sends_nothing_any_more_ends_the_turn_by_time() -> None:
    line = Line(LocalTurns())
    line.say(spoken(1_000))
    line.send_nothing(500 + STALL_MS - 1)
    assert line.told == [SpeechStarted(0)]
    line.send_nothing(1)
    assert line.told == [SpeechStarted(0), CommitAudio(), SpeechStopped(1_500)]
    assert line.sent == spoken(1_000) + SILENCE * (500 * 8)
    assert line.ear.due_ms is None


def test_after_a_long_pause_of_the_carrier_the_next_turn_is_sent_without_it() -> None:
    line = Line(LocalTurns())
    line.say(spoken(1_000))
    line.send_nothing(20_000)
    before = len(line.sent)
    line.say(HOURS[: END_MS * 8])
    begin = HOURS.index(line.sent[before : before + 800])
    assert BEGIN_MS - begin // 8 == pytest.approx(300, abs=40)
    assert line.told[3:] == [SpeechStarted(before // 8)]


def test_sounds_on_both_sides_of_a_gap_are_two_sounds() -> None:
    line = Line(LocalTurns(min_speech_ms=200))
    for _ in range(5):
        line.say(spoken(120))
        line.send_nothing(200)
    assert line.told == []


# ------------------------------------------------------------------------------------------- speech without end


def test_a_turn_without_end_is_ended_and_the_next_one_waits_for_a_pause() -> None:
    line = Line(LocalTurns())
    line.say(spoken(MAX_TURN_MS + 5_000))
    assert [type(each) for each in line.told] == [SpeechStarted, CommitAudio, SpeechStopped]
    assert line.sent_ms == pytest.approx(MAX_TURN_MS, abs=200)
    line.be_quiet(PAUSE_MS + 200)
    line.say(spoken(1_000))
    assert isinstance(line.told[-1], SpeechStarted)


# ------------------------------------------------------------------------------------------- keys


def test_by_keys_everything_is_sent_and_a_turn_ends_at_the_key() -> None:
    line = Line(KeyTurns())
    line.say(HOURS)
    assert line.told == []
    assert line.sent == HOURS
    line.press("#")
    assert line.told == [SpeechStarted(0), CommitAudio(), SpeechStopped(len(HOURS) // 8)]
    line.be_quiet(1_000)
    line.press("#")
    assert line.told[3:] == [
        SpeechStarted(len(HOURS) // 8),
        CommitAudio(),
        SpeechStopped(len(HOURS) // 8 + 1_000),
    ]


@pytest.mark.parametrize("digit", "0*#A")
def test_by_keys_any_key_stops_the_bot_and_commits_nothing(digit: str) -> None:
    line = Line(KeyTurns())
    line.be_quiet(1_000)
    line.press(digit, bot_speaks=True)
    assert line.told == [SpeechStarted(0)]


@pytest.mark.parametrize("digit", "0*A")
def test_by_keys_other_keys_end_no_turn(digit: str) -> None:
    line = Line(KeyTurns())
    line.be_quiet(1_000)
    line.press(digit)
    assert line.told == []


def test_by_keys_a_turn_too_short_to_be_committed_is_none() -> None:
    line = Line(KeyTurns())
    line.be_quiet(80)
    line.press("#")
    assert line.told == []
    line.be_quiet(20)
    line.press("#")
    assert [type(each) for each in line.told] == [SpeechStarted, CommitAudio, SpeechStopped]
    line.press("#")
    assert len(line.told) == 3


def test_by_keys_a_turn_in_another_format_is_sent_to_its_end() -> None:
    line = Line(KeyTurns(), "pcm24k")
    line.say(HOURS)
    line.press("#")
    assert line.sent_ms == len(HOURS) / 8


def test_with_a_detector_keys_mean_nothing() -> None:
    line = Line(LocalTurns())
    line.say(spoken(500))
    line.press("#")
    line.press("#", bot_speaks=True)
    assert line.told == [SpeechStarted(0)]


# ------------------------------------------------------------------------------------------- silence withheld

THRIFTY = LocalTurns(withhold_silence=True)


def test_of_the_silence_that_ends_a_turn_the_model_is_sent_what_may_hold_a_weak_ending() -> None:
    thrifty, line = Line(THRIFTY), Line(LocalTurns())
    for each in (thrifty, line):
        each.be_quiet(1_000)
        each.say(HOURS)
        each.be_quiet(1_000)
    assert line.sent.startswith(thrifty.sent)
    assert line.sent_ms - thrifty.sent_ms == 500 - AFTER_MS
    # The turn ends when it did; positions count what was sent.
    assert [at_ms for at_ms, _ in thrifty.heard] == [at_ms for at_ms, _ in line.heard]
    assert thrifty.told == [SpeechStarted(0), CommitAudio(), SpeechStopped(int(thrifty.sent_ms))]


@pytest.mark.parametrize("pause_ms", [200, 1_000, 3_000])
def test_a_long_pause_within_a_turn_is_sent_as_a_short_one_and_no_word_is_cut(pause_ms: int) -> None:
    line = Line(LocalTurns(silence_duration_ms=4_000, withhold_silence=True))
    first, second = spoken(1_000), HOURS[BEGIN_MS * 8 : END_MS * 8]
    line.say(first)
    line.be_quiet(pause_ms)
    line.say(second)
    line.be_quiet(4_100)
    assert first in line.sent
    assert second in line.sent
    between = line.sent.index(second) - line.sent.index(first) - len(first)
    assert between // 8 == pytest.approx(min(pause_ms, BEFORE_MS + AFTER_MS), abs=80)
    assert line.told == [SpeechStarted(0), CommitAudio(), SpeechStopped(int(line.sent_ms))]


@pytest.mark.parametrize("model_format", ["pcmu", "pcm24k"])
def test_what_was_withheld_at_the_end_of_a_turn_is_the_padding_of_the_next_one(model_format: AudioFormat) -> None:
    line = Line(LocalTurns(silence_duration_ms=500, withhold_silence=True), model_format)
    line.say(HOURS[: END_MS * 8])
    line.be_quiet(520)
    before_ms = line.sent_ms
    line.say(HOURS[BEGIN_MS * 8 :])
    line.be_quiet(1_000)
    _, _, first, second, _, last = line.told
    assert (first, second) == (SpeechStopped(int(before_ms)), SpeechStarted(int(before_ms)))
    assert last == SpeechStopped(int(line.sent_ms))
    spoken_ms = END_MS - BEGIN_MS
    assert line.sent_ms - before_ms == pytest.approx(BEFORE_MS + spoken_ms + AFTER_MS, abs=100)


def test_a_gap_of_the_carriers_is_filled_no_further_than_a_pause_is_sent() -> None:
    line = Line(LocalTurns(silence_duration_ms=2_000, withhold_silence=True))
    line.say(spoken(1_000))
    line.send_nothing(1_500)
    line.say(spoken(1_000))
    line.send_nothing(2_300)
    assert line.told[-1] == SpeechStopped(int(line.sent_ms))
    assert line.sent_ms == pytest.approx(1_000 + BEFORE_MS + AFTER_MS + 1_000 + AFTER_MS, abs=60)


@pytest.mark.parametrize("frame_bytes", [80, 160, 400, 1_600])
def test_silence_is_withheld_of_frames_of_any_length(frame_bytes: int) -> None:
    line = Line(THRIFTY)
    line.say(HOURS + SILENCE * 8_000, frame_bytes)
    assert HOURS[BEGIN_MS * 8 : END_MS * 8 - 400] in line.sent
    assert line.sent_ms == pytest.approx(300 + END_MS - BEGIN_MS + AFTER_MS, abs=40 + frame_bytes // 4)


def test_by_keys_what_is_no_speech_is_withheld() -> None:
    line = Line(KeyTurns(withhold_silence=True))
    line.be_quiet(5_000)
    line.say(HOURS)
    line.be_quiet(20_000)
    line.press("#")
    words = HOURS[BEGIN_MS * 8 : END_MS * 8]
    assert words in line.sent
    assert line.sent_ms == pytest.approx(BEFORE_MS + END_MS - BEGIN_MS + AFTER_MS, abs=100)
    assert line.told == [SpeechStarted(0), CommitAudio(), SpeechStopped(int(line.sent_ms))]
    line.be_quiet(5_000)
    line.press("#")  # he has said nothing
    assert len(line.told) == 3
