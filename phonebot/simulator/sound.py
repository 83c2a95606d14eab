"""Between a session's audio format and that of its ear and voice."""

from phonebot.audio import g711
from phonebot.audio.resample import resample
from phonebot.simulator.config import Format
from phonebot.simulator.mind import Speech


def for_the_ear(audio: bytes, audio_format: Format) -> bytes:
    """A whole utterance as PCM16 at 8 kHz; half a sample at its end is dropped."""
    if audio_format == "pcm24k":
        return resample(audio[: len(audio) // 2 * 2], 24000, g711.SAMPLE_RATE_HZ)
    return g711.ulaw_to_pcm(audio) if audio_format == "pcmu" else g711.alaw_to_pcm(audio)


def from_the_voice(speech: Speech, audio_format: Format) -> bytes:
    """A whole speech in the session's format. Raises AudioError for a rate that cannot be converted."""
    if audio_format == "pcm24k":
        return resample(speech.pcm, speech.rate_hz, 24000)
    pcm8k = resample(speech.pcm, speech.rate_hz, g711.SAMPLE_RATE_HZ)
    return g711.pcm_to_ulaw(pcm8k) if audio_format == "pcmu" else g711.pcm_to_alaw(pcm8k)
