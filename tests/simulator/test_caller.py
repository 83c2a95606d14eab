import pytest

from phonebot.simulator.caller import (
    Caller,
    Event,
    HangUp,
    Interrupt,
    Pause,
    Press,
    Said,
    Say,
    SayBack,
    WaitForBot,
    WaitForHangUp,
    WaitForQuiet,
)
from phonebot.simulator.carrier import SILENCE

SPEECH = b"\x90" * 160
HUM = b"\xe0" * 160  # 31 of 8159: line noise


def hear(caller: Caller, *script: tuple[int, bytes]) -> list[Said]:
    """Let him hear frames for so many ms each; return what he did in each."""
    return [caller.hear(frame) for ms, frame in script for _ in range(0, ms, 20)]


def events(said: list[Said]) -> list[Event]:
    return [event for one in said for event in one.events]


def test_a_caller_who_says_something_speaks_from_his_first_frame_and_pads_the_last() -> None:
    said = hear(Caller(Say(b"x" * 200, "hello"), Pause(1000)), (60, SILENCE))
    assert [one.audio for one in said] == [b"x" * 160, b"x" * 40 + b"\xff" * 120, SILENCE]
    assert events(said) == [Event(0, "caller says", "hello"), Event(40, "caller stops", "hello")]


def test_a_caller_who_waits_for_the_bot_goes_on_in_the_frame_in_which_he_hears_it() -> None:
    said = hear(Caller(WaitForBot(), Say(b"x" * 160, "hi")), (400, SILENCE), (20, SPEECH))
    assert [one.audio for one in said] == [SILENCE] * 20 + [b"x" * 160]
    assert events(said) == [
        Event(400, "bot starts"),
        Event(400, "caller says", "hi"),
        Event(420, "caller stops", "hi"),
    ]


def test_line_noise_is_not_taken_for_the_bot() -> None:
    caller = Caller(WaitForBot(within_ms=200))
    said = hear(caller, (200, HUM), (20, SILENCE))
    assert said[-1].hangs_up
    assert caller.failures == ["step 1 (wait_for_bot): it did not happen within 200 ms"]


def test_an_interruption_begins_after_so_much_of_one_utterance_with_its_short_pauses() -> None:
    caller = Caller(Interrupt(700, b"x" * 160, "stop"), Pause(9000))
    said = hear(caller, (300, SPEECH), (1000, SILENCE), (400, SPEECH), (200, SILENCE), (300, SPEECH))
    assert events(said) == [
        Event(0, "bot starts"),
        Event(300, "bot stops"),
        Event(1300, "bot starts"),
        Event(1980, "caller says", "stop"),
        Event(2000, "caller stops", "stop"),
    ]
    assert said.index(Said(b"x" * 160, events=said[99].events)) == 99  # the frame in which 700 ms had been heard


def test_an_interruption_does_not_begin_while_the_bot_is_silent() -> None:
    caller = Caller(Pause(500), Interrupt(300, b"x" * 160, within_ms=400))
    hear(caller, (500, SPEECH), (440, SILENCE))
    assert caller.failures == ["step 2 (interrupt): it did not happen within 400 ms"]


def test_a_wait_for_quiet_needs_the_bot_first_and_then_that_much_silence() -> None:
    caller = Caller(WaitForQuiet(300), Press("5"))
    said = hear(caller, (2000, SILENCE), (200, SPEECH), (200, SILENCE), (200, SPEECH), (400, SILENCE))
    assert [event for event in events(said) if event.kind == "key"] == [Event(2900, "key", "5")]


@pytest.mark.parametrize("answer", [Say(b"x" * 160), Press("5")])
def test_a_wait_for_quiet_does_not_count_what_the_bot_said_before_the_caller_answered(answer: Say | Press) -> None:
    caller = Caller(WaitForBot(), answer, WaitForQuiet(100, within_ms=400))
    hear(caller, (20, SPEECH), (700, SILENCE))
    assert caller.failures == ["step 3 (wait_for_quiet): it did not happen within 400 ms"]


def test_keys_are_pressed_200_ms_apart() -> None:
    said = hear(Caller(Press("1#"), HangUp()), (600, SILENCE))
    assert [(number * 20, one.key) for number, one in enumerate(said) if one.key] == [(0, "1"), (200, "#")]
    assert [number * 20 for number, one in enumerate(said) if one.hangs_up] == [400]


def test_an_echo_on_the_line_says_back_what_it_hears_so_many_frames_later() -> None:
    said = hear(Caller(SayBack(delay_ms=50)), (40, SILENCE), (40, SPEECH), (80, SILENCE))
    assert [one.audio for one in said] == [SILENCE] * 4 + [SPEECH] * 2 + [SILENCE] * 2
    said = hear(Caller(SayBack()), (20, SILENCE), (20, SPEECH), (20, SILENCE))
    assert [one.audio for one in said] == [SILENCE, SPEECH, SILENCE]


def test_an_echo_on_the_line_is_done_when_the_call_ends_and_fails_when_it_does_not() -> None:
    ended, patient = Caller(SayBack(within_ms=100)), Caller(SayBack(within_ms=100))
    hear(ended, (80, SPEECH))
    ended.call_ended()
    hear(patient, (120, SPEECH))
    assert ended.failures == []
    assert patient.failures == ["step 1 (say_back): the call did not end within 100 ms"]


def test_a_caller_whose_script_is_over_hangs_up_once() -> None:
    said = hear(Caller(), (60, SPEECH))
    assert [one.hangs_up for one in said] == [True, False, False]
    assert events(said) == [Event(0, "bot starts"), Event(20, "caller hangs up")]


def test_a_failed_step_ends_the_call() -> None:
    caller = Caller(WaitForHangUp(within_ms=100), Say(b"x" * 160))
    said = hear(caller, (200, SILENCE))
    assert events(said) == [
        Event(120, "step failed", "step 1 (wait_for_hang_up): it did not happen within 100 ms"),
        Event(120, "caller hangs up"),
    ]


def test_the_end_of_the_call_completes_a_wait_for_it() -> None:
    caller = Caller(WaitForBot(), WaitForHangUp(), HangUp())
    hear(caller, (100, SPEECH))
    caller.call_ended()
    assert caller.failures == []


def test_the_end_of_the_call_leaves_steps_undone() -> None:
    caller = Caller(WaitForBot(), Say(b"x" * 160), WaitForQuiet(100), Pause(100), Press("1"))
    hear(caller, (100, SILENCE))
    caller.call_ended()
    assert caller.failures == [
        "step 1 (wait_for_bot): the call ended before it was done",
        "step 2 (say): the call ended before it was done",
        "step 3 (wait_for_quiet): the call ended before it was done",
        "step 5 (press): the call ended before it was done",
    ]


def test_a_caller_who_has_hung_up_does_not_mind_the_end_of_the_call() -> None:
    caller = Caller(HangUp(), Say(b"x" * 160))
    hear(caller, (20, SILENCE))
    caller.call_ended()
    assert caller.failures == []


def test_a_recording_is_played_and_its_caller_hangs_up_after_the_answer() -> None:
    caller = Caller.from_audio(b"x" * 320, quiet_ms=500)
    said = hear(caller, (40, SILENCE), (300, SILENCE), (400, SPEECH), (600, SILENCE))
    assert b"".join(one.audio for one in said[:2]) == b"x" * 320
    assert [number * 20 + 20 for number, one in enumerate(said) if one.hangs_up] == [40 + 300 + 400 + 500]


def test_a_recording_is_hung_up_after_a_quiet_period_when_nobody_answers() -> None:
    said = hear(Caller.from_audio(b"x" * 320, quiet_ms=500), (600, SILENCE))
    assert [number * 20 + 20 for number, one in enumerate(said) if one.hangs_up] == [40 + 500]
