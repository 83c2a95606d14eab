"""
The echo guard, on a line that is made here: what the bot says goes through mu-law, a delay, a response and a loss,
meets noise and the caller, and comes back through mu-law.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
import pytest

from phonebot.audio import g711, wav
from phonebot.audio.echo_path import Samples
from phonebot.call.echo_guard import EchoGuard, Sound

FIXTURES = Path(__file__).parents[2] / "fixtures"
CALLERS = ["book", "goodbye", "hours", "that-is-right"]
BOT_AT_MS = 500
FRAME = 160

# Three of the ways a line may go: as it is, through a hybrid that disperses, and dulled with a reflection behind.
STRAIGHT = [1.0]
HYBRID = [0.05, 0.3, 0.7, 0.45, 0.1, -0.25, -0.2, 0.05, 0.1, 0.03, -0.06, -0.03, 0.02]
DULL = [0.2, 0.35, 0.25, 0.1, 0.06, 0.04, *[0.0] * 24, -0.15]


@cache
def voice(name: str) -> Samples:
    """What is said in a fixture, without the silence before and after it."""
    samples = np.frombuffer(wav.read(FIXTURES / f"{name}.wav").data, "<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(samples) > 150)
    return samples[loud[0] : loud[-1]]


def bot() -> Samples:
    return voice("audio/bot-hours-espeak")


def ulaw(samples: Samples) -> bytes:
    return g711.pcm_to_ulaw(samples.clip(-32768, 32767).round().astype("<i2").tobytes())


def at(ms: int, samples: Samples, length_ms: int = 5_000) -> Samples:
    """The samples as they lie on the call's clock."""
    call = np.zeros(length_ms * 8)
    end = min(ms * 8 + len(samples), len(call))
    call[ms * 8 : end] = samples[: end - ms * 8]
    return call


def echo(
    delay_ms: float = 120,
    loss_db: float = 20,
    response: list[float] = HYBRID,
    drift: float = 0,
    begin_ms: int = BOT_AT_MS,
) -> Samples:
    """What comes back of the bot. `drift` is by how much of the time that passes the delay grows."""
    sent = np.frombuffer(g711.ulaw_to_pcm(ulaw(at(begin_ms, bot()))), "<i2").astype(np.float64)
    back = np.convolve(sent, response)[: len(sent)] * 10 ** (-loss_db / 20)
    return later(back, delay_ms * 8 + drift * np.arange(len(back), dtype=np.float64))


def later(samples: Samples, delays: Samples) -> Samples:
    """Each sample as it was so many samples, perhaps no whole number, before: a windowed sinc, 8 to either side."""
    positions = np.arange(len(samples)) - delays
    whole = np.floor(positions).astype(int)
    padded = np.pad(samples, 8)
    result = np.zeros(len(samples))
    for tap in range(-7, 9):
        distance = positions - whole - tap
        index = (whole + tap + 8).clip(0, len(padded) - 1)
        result += padded[index] * np.sinc(distance) * np.cos(np.pi * distance / 16) ** 2
    return result


def line(*sounds: Samples, noise: float = 5.0) -> bytes:
    """The sounds together, in noise of this effective value, as mu-law."""
    total = sum(sounds, np.random.default_rng(3).normal(0, noise, len(sounds[0])))
    return ulaw(np.asarray(total))


def guard_of(played: Samples | None = None, begin_ms: float = BOT_AT_MS) -> EchoGuard:
    """A guard that was told of what the bot says, in pieces of 180 ms, all at once as a model sends it."""
    guard = EchoGuard()
    audio = ulaw(bot() if played is None else played)
    for piece in range(0, len(audio), 1_440):
        guard.play(begin_ms, audio[piece : piece + 1_440])
    return guard


def hear(guard: EchoGuard, inbound: bytes, from_ms: int, to_ms: int) -> None:
    for ms in range(from_ms, to_ms, 20):
        guard.hear(ms, inbound[ms * 8 : ms * 8 + FRAME])


def judged(guard: EchoGuard, inbound: bytes, *moments_ms: int) -> list[Sound]:
    """What the guard says at these moments of the call."""
    verdicts = []
    for begin_ms, end_ms in pairwise((0, *moments_ms)):
        hear(guard, inbound, begin_ms, end_ms)
        verdicts.append(guard.judge(end_ms))
    return verdicts


# ---------------------------------------------------------------------------------- the bot's own voice


@pytest.mark.parametrize("loss_db", [6, 12, 20, 30, 40])
@pytest.mark.parametrize(("delay_ms", "response"), [(0, STRAIGHT), (60, DULL), (180, HYBRID), (400, HYBRID)])
def test_the_bots_voice_coming_back_is_echo_at_every_level_and_delay(
    delay_ms: int, response: list[float], loss_db: int
) -> None:
    guard = guard_of()
    inbound = line(echo(delay_ms, loss_db, response))
    moments = [BOT_AT_MS + delay_ms + after_ms for after_ms in (240, 700, 1_500, 2_300)]
    assert judged(guard, inbound, *moments) == [Sound.ECHO] * 4
    assert guard.delay_ms == pytest.approx(delay_ms, abs=6)


def test_an_inverted_echo_is_echo() -> None:
    assert judged(guard_of(), line(-echo()), 1_400) == [Sound.ECHO]


@pytest.mark.parametrize("noise", [1, 15, 50])
def test_an_echo_in_noise_is_echo(noise: float) -> None:
    assert judged(guard_of(), line(echo(loss_db=20), noise=noise), 1_400, 2_400) == [Sound.ECHO] * 2


def test_an_echo_is_never_taken_for_the_caller_while_the_bot_speaks_pauses_and_ends() -> None:
    said = bot()[:12_000]
    pause = np.zeros(6_400)
    guard = guard_of(np.concatenate((said, pause, said)))
    first = np.where(np.arange(40_000) < (BOT_AT_MS + 120) * 8 + 12_000, echo(), 0)
    second = np.concatenate((np.zeros(18_400), first))[:40_000]
    moments = range(760, 5_000, 100)
    verdicts = judged(guard, line(first, second), *moments)
    assert Sound.OTHER not in verdicts
    heard_in = dict(zip(moments, verdicts, strict=True))
    assert heard_in[2_760] is Sound.QUIET  # the pause, 400 ms of it
    assert heard_in[1_760] is heard_in[3_760] is Sound.ECHO


@pytest.mark.parametrize("drift", [2e-4, -2e-4])
def test_an_echo_whose_delay_drifts_is_echo_all_the_time(drift: float) -> None:
    verdicts = judged(guard_of(), line(echo(drift=drift)), *range(900, 3_900, 100))
    assert verdicts == [Sound.ECHO] * 30


@pytest.mark.parametrize("off_ms", [-150, 190])
def test_an_echo_of_audio_that_was_dated_wrongly_is_echo(off_ms: int) -> None:
    guard = guard_of(begin_ms=BOT_AT_MS + off_ms)
    assert judged(guard, line(echo(120)), 1_400) == [Sound.ECHO]
    assert guard.delay_ms == pytest.approx(120 - off_ms, abs=6)


def test_an_echo_that_comes_by_another_delay_than_the_last_is_echo() -> None:
    guard = guard_of()
    inbound = line(echo(80))[: 8 * 1_500] + line(echo(230))[8 * 1_500 :]
    assert judged(guard, inbound, 1_400, 2_200) == [Sound.ECHO] * 2
    assert guard.delay_ms == pytest.approx(230, abs=6)


# ------------------------------------------------------------------------------------------- the caller


@pytest.mark.parametrize("caller", CALLERS)
def test_the_caller_alone_is_not_echo_while_the_bot_plays(caller: str) -> None:
    inbound = line(at(1_200, voice(f"demo/{caller}")))
    assert judged(guard_of(), inbound, 1_400, 1_500, 1_700, 2_000) == [Sound.OTHER] * 4


def test_the_caller_is_not_echo_while_nothing_plays() -> None:
    assert judged(EchoGuard(), line(at(1_200, voice("demo/hours"))), 1_400) == [Sound.OTHER]


def test_the_caller_is_not_echo_long_after_the_bot_has_spoken() -> None:
    guard = guard_of(bot()[:1_600])
    assert judged(guard, line(at(1_500, bot())), 1_900) == [Sound.OTHER]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("over_echo_db", [20, 10, 6, 0, -6])
def test_the_caller_speaking_over_an_echo_is_not_echo(over_echo_db: int, caller: str) -> None:
    back = echo(loss_db=12)
    said = voice(f"demo/{caller}")
    said = said * (np.std(bot()) / np.std(said)) * 10 ** ((over_echo_db - 12) / 20)
    verdicts = judged(guard_of(), line(back, at(1_800, said)), 1_400, 1_700, 2_000, 2_100, 2_200)
    assert verdicts == [Sound.ECHO] * 2 + [Sound.OTHER] * 3


def test_the_caller_is_noticed_at_once_although_the_path_is_known() -> None:
    inbound = line(echo(), at(1_800, voice("demo/hours")))
    assert judged(guard_of(), inbound, 1_700, 1_860) == [Sound.ECHO, Sound.OTHER]


def test_the_echo_is_echo_again_once_the_caller_is_silent() -> None:
    inbound = line(echo(), at(1_600, voice("demo/hours")[:3_200]))
    assert judged(guard_of(), inbound, 2_000, 2_500) == [Sound.OTHER, Sound.ECHO]


# ------------------------------------------------------------------------------- silence, and knowing nothing


@pytest.mark.parametrize("noise", [0, 5, 30])
def test_a_line_without_a_voice_is_quiet_and_not_echo(noise: float) -> None:
    guard = guard_of()
    assert judged(guard, line(np.zeros(40_000), noise=noise), 1_400, 2_400) == [Sound.QUIET] * 2


def test_a_click_is_no_voice() -> None:
    assert judged(guard_of(), line(at(1_390, np.full(8, 20_000.0))), 1_500) == [Sound.QUIET]


def test_nothing_is_known_before_the_first_frame() -> None:
    assert guard_of().judge(1_000) is Sound.OTHER


def test_nothing_is_known_when_the_newest_frame_is_old() -> None:
    guard = guard_of()
    hear(guard, line(echo()), 0, 1_400)
    assert [guard.judge(1_900), guard.judge(1_920)] == [Sound.ECHO, Sound.OTHER]


def test_nothing_is_known_when_most_of_the_window_was_not_heard() -> None:
    guard = guard_of()
    hear(guard, line(echo()), 1_260, 1_400)
    assert guard.judge(1_400) is Sound.OTHER


# --------------------------------------------------------------------------------------------- the clear


def test_the_tail_of_cleared_audio_is_echo_for_as_long_as_it_takes_to_come_back() -> None:
    guard, delay_ms, clear_ms = guard_of(), 300, 1_500
    inbound = line(np.where(np.arange(40_000) < (clear_ms + delay_ms) * 8, echo(delay_ms), 0))
    hear(guard, inbound, 0, clear_ms)
    guard.clear(clear_ms)
    verdicts = []
    for ms in range(clear_ms, clear_ms + delay_ms + 1_000, 100):
        hear(guard, inbound, ms, ms + 100)
        verdicts.append(guard.judge(ms + 100))
    assert verdicts[:4] == [Sound.ECHO] * 4
    assert verdicts[8:] == [Sound.QUIET] * 5
    assert Sound.OTHER not in verdicts


def test_what_a_clear_took_away_explains_nothing() -> None:
    guard = guard_of()
    inbound = line(echo(120))
    hear(guard, inbound, 0, 1_000)
    guard.clear(1_000)
    hear(guard, inbound, 1_000, 1_600)
    assert guard.judge(1_600) is Sound.OTHER


def test_audio_sent_after_a_clear_begins_when_it_says_and_not_behind_what_was_cleared() -> None:
    guard = guard_of()
    guard.clear(600)
    guard.play(1_100, ulaw(bot()))
    inbound = line(echo(120, begin_ms=1_100))
    assert judged(guard, inbound, 1_800) == [Sound.ECHO]
    assert guard.delay_ms == pytest.approx(120, abs=6)


def test_a_clear_when_all_was_played_changes_nothing() -> None:
    guard = guard_of()
    hear(guard, line(echo()), 0, 4_000)
    kept = guard.kept_bytes
    guard.clear(4_500)
    assert guard.kept_bytes == kept


# ---------------------------------------------------------------------------------- frames, stamps and gaps


def cut_up(inbound: bytes, sizes: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Frames of these sizes, stamped with the whole ms at which they begin."""
    begin = 0
    for size in sizes:
        if begin >= len(inbound):
            return
        yield begin // 8, inbound[begin : begin + size]
        begin += size


@pytest.mark.parametrize("sizes", [(1, 7, 160, 333), (240,), (799, 3), (4_000,)])
def test_frames_of_any_size_are_heard_alike(sizes: tuple[int, ...]) -> None:
    guard = guard_of()
    for stamp_ms, frame in cut_up(line(echo())[: 1_400 * 8], cycle(sizes)):
        guard.hear(stamp_ms, frame)
    assert guard.judge(1_400) is Sound.ECHO


def test_an_empty_frame_changes_nothing() -> None:
    guard = guard_of()
    hear(guard, line(echo()), 0, 1_400)
    guard.hear(1_400, b"")
    guard.play(9_000, b"")
    assert guard.judge(1_400) is Sound.ECHO


def test_stamps_a_few_ms_off_tear_no_hole() -> None:
    guard, inbound = guard_of(), line(echo())
    for number, off_ms in zip(range(70), cycle((0, 3, -3, 1, 5, -2)), strict=False):
        guard.hear(max(number * 20 + off_ms, 0), inbound[number * FRAME : (number + 1) * FRAME])
    assert guard.judge(1_400) is Sound.ECHO


def test_lost_frames_are_left_out() -> None:
    guard, inbound = guard_of(), line(echo())
    for ms in range(0, 1_400, 20):
        if ms not in (1_080, 1_200, 1_220):
            guard.hear(ms, inbound[ms * 8 : ms * 8 + FRAME])
    assert guard.judge(1_400) is Sound.ECHO


def test_a_carrier_that_sends_nothing_in_silence_is_followed_over_the_gap() -> None:
    guard, inbound = guard_of(), line(echo())
    hear(guard, inbound, 0, 100)
    hear(guard, inbound, 620, 1_400)
    assert guard.judge(1_400) is Sound.ECHO
    assert guard.delay_ms == pytest.approx(120, abs=6)


def test_stamps_that_go_back_start_afresh() -> None:
    guard, inbound = guard_of(), line(echo())
    guard.hear(1_600, inbound[:FRAME])
    hear(guard, inbound, 800, 1_400)
    assert guard.judge(1_400) is Sound.ECHO


# --------------------------------------------------------------------------------------- an hour of it


def test_an_hour_keeps_no_more_than_two_seconds_heard_and_what_may_still_come_back() -> None:
    guard, inbound, said = EchoGuard(), line(echo(begin_ms=0)), ulaw(bot())
    turn_ms, most = 5_000, 0
    for begin_ms in range(0, 3_600_000, turn_ms):
        guard.play(begin_ms, said)
        for ms in range(0, turn_ms, 100):
            guard.hear(begin_ms + ms, inbound[ms * 8 : ms * 8 + 800])
            most = max(most, guard.kept_bytes)
    assert most <= 2_000 * 8 + 2 * len(said)
    guard.play(3_600_000, said)
    for ms in range(0, 1_000, 100):
        guard.hear(3_600_000 + ms, inbound[ms * 8 : ms * 8 + 800])
    assert guard.judge(3_601_000) is Sound.ECHO


def test_what_is_played_without_anything_heard_is_bounded_too() -> None:
    guard = EchoGuard()
    for second in range(600):
        guard.play(second * 1_000, bytes(8_000))
    assert guard.kept_bytes == 64_000 * 8
