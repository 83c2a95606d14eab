"""
Speaks phonebot/audio/clips anew: `make clips`, after a change of its words.

espeak-ng says each text, and what comes out is brought to the telephone: 8 kHz mu-law, as loud as other speech on
the line, without much silence, in whole frames. espeak-ng's noise is never the same twice, nor are the files.
"""

import asyncio
import sys

import numpy as np
from numpy.typing import NDArray

from phonebot.audio.canned import BUILT_IN, built_in_words
from phonebot.audio.g711 import FRAME_BYTES, SAMPLE_RATE_HZ, pcm_to_ulaw
from phonebot.audio.resample import resample
from phonebot.simulator.speech import EspeakVoice

# Of the variants that espeak-ng has, this one and f2 were understood best: of 50 English words over mu-law, a
# recogniser with no grammar made 28 mistakes with f5 (29 with f2), and 36 to 54 with all others.
VARIANT = "f5"
WORDS_PER_MINUTE = 150
VOICES = {"en": "en-us", "pt": "pt-br"}  # espeak-ng's names, where they are not the language's

SPEECH_DBOV = -20.0  # the mean of what is not silence; other speech on the line has -25 to -20
PEAK = 0.7  # of full scale: louder peaks are rounded off
SILENCE_DB = 35  # so far below the loudest frame nothing is heard
BEFORE_FRAMES, AFTER_FRAMES = 2, 12  # what is kept of silence around speech: of a pause in it 280 ms
FADE_MS = 15

Samples = NDArray[np.float64]


async def spoken(language: str, text: str) -> bytes:
    """A text as a clip's mu-law."""
    speech = await EspeakVoice(f"{VOICES.get(language, language)}+{VARIANT}", WORDS_PER_MINUTE).speak(text)
    pcm = resample(speech.pcm, speech.rate_hz, SAMPLE_RATE_HZ)
    samples = faded(trimmed(levelled(np.frombuffer(pcm, "<i2") / 32_768)))
    return pcm_to_ulaw((samples * 32_767).round().astype("<i2").tobytes())


def power(samples: Samples) -> Samples:
    """That of each whole frame."""
    whole = len(samples) // FRAME_BYTES * FRAME_BYTES
    mean: Samples = (samples[:whole].reshape(-1, FRAME_BYTES) ** 2).mean(axis=1)
    return mean


def heard(samples: Samples) -> NDArray[np.bool_]:
    """Which frames hold speech."""
    frames = power(samples)
    loud: NDArray[np.bool_] = frames > frames.max() * 10 ** (-SILENCE_DB / 10)
    return loud


def levelled(samples: Samples) -> Samples:
    """As loud as other speech; a peak above PEAK is bent below it, without a corner."""
    rms = np.sqrt(power(samples)[heard(samples)].mean())
    louder = samples * (10 ** (SPEECH_DBOV / 20) / rms)
    knee = PEAK * 0.8
    over = np.maximum(np.abs(louder) - knee, 0)
    bent = np.minimum(np.abs(louder), knee) + (PEAK - knee) * np.tanh(over / (PEAK - knee))
    loud: Samples = np.sign(louder) * bent
    return loud


def trimmed(samples: Samples) -> Samples:
    """The frames with speech, and of the silence around them so many as are kept."""
    loud = np.pad(heard(samples), (BEFORE_FRAMES, AFTER_FRAMES))
    around = [np.roll(loud, shift) for shift in range(-BEFORE_FRAMES, AFTER_FRAMES + 1)]
    padded = np.pad(samples, (BEFORE_FRAMES * FRAME_BYTES, AFTER_FRAMES * FRAME_BYTES))
    kept: Samples = padded[: len(loud) * FRAME_BYTES].reshape(len(loud), -1)[np.any(around, axis=0)].reshape(-1)
    return kept


def faded(samples: Samples) -> Samples:
    ramp = np.linspace(0, 1, FADE_MS * SAMPLE_RATE_HZ // 1000)
    quieter = samples.copy()
    quieter[: len(ramp)] *= ramp
    quieter[-len(ramp) :] *= ramp[::-1]
    return quieter


async def main() -> None:
    total = 0
    for language, texts in built_in_words().items():
        folder = BUILT_IN / language
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            clip = await spoken(language, text)
            (folder / f"{name}.ulaw").write_bytes(clip)
            total += len(clip)
            sys.stdout.write(f"{language} {name:8} {len(clip) / SAMPLE_RATE_HZ:5.2f} s\n")
    sys.stdout.write(f"{total} bytes\n")


if __name__ == "__main__":
    asyncio.run(main())
