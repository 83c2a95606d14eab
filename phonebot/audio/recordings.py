"""Recordings of a deployment's own: WAV files, brought into the form in which the carrier plays them."""

from base64 import b64encode
from pathlib import Path

from phonebot.audio import wav
from phonebot.audio.g711 import SAMPLE_RATE_HZ, alaw_to_ulaw, pcm_to_ulaw
from phonebot.errors import AudioError

MAX_S = 30  # what is played in one piece without anybody having asked for it; a call's log holds it in a line
MAX_BYTES = MAX_S * SAMPLE_RATE_HZ * 2  # as PCM16

_TO_ULAW = {"pcm16": pcm_to_ulaw, "pcma": alaw_to_ulaw, "pcmu": bytes}


def read_recording(path: Path) -> str:
    """
    The audio of a WAV file as base64 of raw mu-law at 8 kHz.

    Raises AudioError, with the file and the reason, for one that cannot be read, that is not 8 kHz mono in PCM16,
    mu-law or A-law, that is empty or longer than MAX_S.
    """
    try:
        recording = wav.read(path, MAX_BYTES)
    except FileNotFoundError:
        raise AudioError(f"{path}: there is no such file") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
    if (recording.rate_hz, recording.channels) != (SAMPLE_RATE_HZ, 1):
        channels = "mono" if recording.channels == 1 else "stereo"
        raise AudioError(
            f"{path}: {recording.rate_hz} Hz {channels}; {SAMPLE_RATE_HZ} Hz mono is needed. {wav.CONVERT}"
        )
    if not recording.data:
        raise AudioError(f"{path}: holds no audio")
    if recording.duration_ms > MAX_S * 1000:
        raise AudioError(f"{path}: {recording.duration_ms / 1000:g} s of audio, at most {MAX_S} are played")
    return b64encode(_TO_ULAW[recording.encoding](recording.data)).decode("ascii")
