"""What a caller does, from a file."""

from pathlib import Path

import pytest

from phonebot.audio import g711, wav
from phonebot.errors import AudioError, ProfileError
from phonebot.simulator.caller import (
    HangUp,
    Interrupt,
    Pause,
    Press,
    Say,
    SayBack,
    WaitForBot,
    WaitForHangUp,
    WaitForQuiet,
)
from phonebot.simulator.scenario import MAX_BYTES, load_audio, load_scenario


def write_script(folder: Path, text: str) -> Path:
    path = folder / "script.toml"
    path.write_text(text)
    return path


def test_a_script_is_read_with_audio_from_beside_it(tmp_path: Path) -> None:
    wav.write(tmp_path / "stop.wav", wav.Wav("pcmu", 8000, 1, b"abcd"))
    wav.write(tmp_path / "book.wav", wav.Wav("pcm16", 8000, 1, g711.ulaw_to_pcm(b"abcd")))
    path = write_script(
        tmp_path,
        """
        steps = [
            { do = "wait_for_bot", within_ms = 5000 },
            { do = "interrupt", after_ms = 700, audio = "stop.wav" },
            { do = "say", audio = "book.wav", name = "a booking" },
            { do = "wait_for_quiet", ms = 800 },
            { do = "pause", ms = 100 },
            { do = "press", keys = "12#" },
            { do = "say_back", delay_ms = 60 },
            { do = "wait_for_hang_up" },
            { do = "hang_up" },
        ]
        """,
    )
    assert load_scenario(path) == (
        WaitForBot(within_ms=5000),
        Interrupt(700, b"abcd", "stop"),
        Say(b"abcd", "a booking"),
        WaitForQuiet(800),
        Pause(100),
        Press("12#"),
        SayBack(60),
        WaitForHangUp(),
        HangUp(),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("steps = [", "not TOML"),
        ("", "missing required field `steps`"),
        ("steps = 1", r"Expected `array`, got `int` - at `\$.steps`"),
        ("[[steps]]\ndo = 'sing'", r"Invalid value 'sing' - at `\$.steps\[0\].do`"),
        ("[[steps]]\nms = 1", r"missing required field `do` - at `\$.steps\[0\]`"),
        ("[[steps]]\ndo = 'pause'\nms = -1", r"`int` >= 0 - at `\$.steps\[0\].ms`"),
        ("[[steps]]\ndo = 'pause'\nms = 1\nfor = 2", r"unknown field `for` - at `\$.steps\[0\]`"),
        ("[[steps]]\ndo = 'press'\nkeys = '12x'", r"matching regex .* - at `\$.steps\[0\].keys`"),
        ("[[steps]]\ndo = 'say'", r"missing required field `audio` - at `\$.steps\[0\]`"),
    ],
)
def test_a_script_with_a_fault_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ProfileError, match=rf"script\.toml: .*{problem}"):
        load_scenario(write_script(tmp_path, text))


def test_a_file_that_is_too_large_for_a_script_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=rf"the script is larger than {MAX_BYTES} bytes"):
        load_scenario(write_script(tmp_path, "#" * (MAX_BYTES + 1)))


def test_audio_of_another_rate_is_refused(tmp_path: Path) -> None:
    wav.write(tmp_path / "high.wav", wav.Wav("pcm16", 16000, 1, bytes(320)))
    with pytest.raises(AudioError, match=r"high\.wav: 16000 Hz, 1 channels; a caller's audio is mono, 8000 Hz"):
        load_audio(tmp_path / "high.wav")
