"""
What a caller does, from a file: his steps in TOML, his words beside it.

    [[steps]]
    do = "wait_for_bot"

    [[steps]]
    do = "interrupt"
    after_ms = 700
    audio = "stop.wav"       # beside the TOML file: WAV, mono, 8 kHz

    [[steps]]
    do = "press"
    keys = "12#"

    [[steps]]
    do = "wait_for_quiet"
    ms = 800

Each step is one of caller.py, with its fields.
"""

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from phonebot.audio import g711, wav
from phonebot.errors import AudioError, ProfileError
from phonebot.simulator.caller import Step

MAX_BYTES = 1 << 20

_TO_MULAW: dict[wav.Encoding, Callable[[bytes], bytes]] = {
    "pcmu": bytes,
    "pcma": g711.alaw_to_ulaw,
    "pcm16": g711.pcm_to_ulaw,
}


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    steps: list[Step]


def load_scenario(path: Path) -> tuple[Step, ...]:
    """
    Read a script from a TOML file: a `[[steps]]` table per step, `do` names its kind, the rest are its fields.

    `audio` is a WAV file relative to the script; it names the step unless `name` does. Raises ProfileError with
    what is wrong and where, AudioError for a WAV file that cannot be used, OSError when a file cannot be read.
    """
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ProfileError(str(path), f"the script is larger than {MAX_BYTES} bytes")
    try:
        script = tomllib.loads(text.decode())
    except ValueError as error:  # of TOML or of UTF-8
        raise ProfileError(str(path), f"not TOML: {error}") from error
    steps = script.get("steps")
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict) and isinstance(step.get("audio"), str):
            file_name = step["audio"]
            step.setdefault("name", Path(file_name).stem)
            step["audio"] = load_audio(path.parent / file_name)
    try:
        return tuple(msgspec.convert(script, _Script).steps)
    except msgspec.ValidationError as error:
        raise ProfileError(str(path), str(error)) from error


def load_audio(path: Path) -> bytes:
    """The mu-law bytes of a WAV file, mono, 8 kHz. Raises AudioError for any other file, OSError as `open` does."""
    audio = wav.read(path)
    if (audio.rate_hz, audio.channels) != (g711.SAMPLE_RATE_HZ, 1):
        raise AudioError(
            f"{path}: {audio.rate_hz} Hz, {audio.channels} channels; a caller's audio is mono, 8000 Hz"
        )
    return _TO_MULAW[audio.encoding](audio.data)
