"""
The embedded model's voice: espeak-ng, called in this process through its C interface (speak_lib.h).

The library comes with the package espeakng-loader or from the system. It is GPL-3.0-or-later, which is why it is
an optional extra and loaded only when a voice is made. It is about a thousand times faster than real time.
"""

import asyncio
import ctypes
import functools
import importlib
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phonebot.errors import SettingsError
from phonebot.simulator.mind import Speech, Word

MAX_TEXT = 4000  # characters, about five minutes of speech
MAX_SPEECH_S = 360  # digits and symbols grow when they are read out

# speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PARAMETER_RATE = 1
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1
_OK = 0
_CALLBACK_MS = 100

_SYSTEM_LIBRARIES = {"darwin": "libespeak-ng.dylib", "win32": "libespeak-ng.dll"}

# A NUL would end the text; lone surrogates have no UTF-8. A space keeps the positions of the words.
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class EspeakVoice:
    """
    Speaks with espeak-ng. A `Voice`; may be shared by all sessions, and several may exist.

    `voice` is one of espeak-ng's names ("en-us", "de", "pt-br", "en-us+f3"), `words_per_minute` the pace. Raises
    SettingsError when the library is missing or does not know the voice.
    """

    def __init__(self, voice: str = "en-us", words_per_minute: int = 165) -> None:
        if not 80 <= words_per_minute <= 450:
            raise SettingsError(f"words_per_minute is {words_per_minute}; espeak-ng takes 80 to 450")
        self.voice, self.words_per_minute = voice, words_per_minute
        self._library = _library()
        self._library.check(voice)

    async def speak(self, text: str) -> Speech:
        """
        Return the text spoken, with the place and time of each word.

        Control characters count as spaces. Of a longer text the first `MAX_TEXT` characters are spoken, at most
        `MAX_SPEECH_S` of them.
        """
        speakable = _UNSPEAKABLE.sub(" ", text[:MAX_TEXT])
        if not speakable.strip():
            return Speech(b"", self._library.rate_hz, ())
        return await asyncio.to_thread(self._library.speak, speakable, self.voice, self.words_per_minute)


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, the first is 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class _Espeak:
    """
    The library. There is one per process, and its state (voice, rate, callback) is global and not thread-safe:
    whoever holds the lock sets what it needs and speaks.
    """

    def __init__(self, library: ctypes.CDLL, data_folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._library = library
        library.espeak_Initialize.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
        library.espeak_SetVoiceByName.argtypes = (ctypes.c_char_p,)
        library.espeak_SetParameter.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int)
        library.espeak_SetSynthCallback.argtypes = (_SynthCallback,)
        library.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        folder = None if data_folder is None else str(data_folder).encode()
        self.rate_hz: int = library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, _CALLBACK_MS, folder, _INITIALIZE_DONT_EXIT
        )
        if self.rate_hz <= 0:
            raise SettingsError("espeak-ng does not find its voice data: install it again")
        self._pcm = bytearray()
        self._words: list[Word] = []
        # The library keeps only a pointer to it.
        self._callback = _SynthCallback(self._receive)
        library.espeak_SetSynthCallback(self._callback)

    def check(self, voice: str) -> None:
        """Raise SettingsError unless the library has this voice."""
        with self._lock:
            self._choose(voice)

    def speak(self, text: str, voice: str, words_per_minute: int) -> Speech:
        """Return the text spoken. Blocks for about a thousandth of its length."""
        encoded = text.encode()
        with self._lock:
            self._choose(voice)
            self._library.espeak_SetParameter(_PARAMETER_RATE, words_per_minute, 0)
            self._pcm, self._words = bytearray(), []
            result = self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _CHARS_UTF8, None, None)
            assert result == _OK, f"espeak_Synth gave {result} though it holds no queue when synchronous"
            return Speech(bytes(self._pcm), self.rate_hz, tuple(_in_order(self._words, text)))

    def _choose(self, voice: str) -> None:
        # An unknown name would leave the last voice in force.
        if "\0" in voice or self._library.espeak_SetVoiceByName(voice.encode()) != _OK:
            raise SettingsError(
                f"espeak-ng has no voice {voice!r}; it has en-us, en, es, de, fr, it, pt-br and others, "
                "and variants such as en-us+f3"
            )

    def _receive(self, samples: int | None, count: int, events: Any) -> int:
        """Take a piece of audio and what happens in it. 1 stops the synthesis."""
        if samples and count:
            self._pcm += ctypes.string_at(samples, 2 * count)
        index = 0
        while (event := events[index]).type != _EVENT_LIST_TERMINATED:
            if event.type == _EVENT_WORD:
                self._words.append(Word(event.text_position - 1, event.audio_position))
            index += 1
        return int(len(self._pcm) > 2 * self.rate_hz * MAX_SPEECH_S)


def _in_order(words: list[Word], text: str) -> Iterator[Word]:
    """Leave out what begins no word of the text: espeak-ng reports the 5 of "25" as a word of its own."""
    last = -1
    for word in words:
        if word.text_start > last and not text[max(word.text_start - 1, 0) : word.text_start].isalnum():
            yield word
            last = word.text_start


@functools.cache
def _library() -> _Espeak:
    try:
        loader = importlib.import_module("espeakng_loader")
        library = ctypes.CDLL(loader.get_library_path())
    except (ImportError, OSError):  # its library is for glibc
        return _Espeak(_system_library(), data_folder=None)
    return _Espeak(library, Path(loader.get_data_path()).parent)


def _system_library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(_SYSTEM_LIBRARIES.get(sys.platform, "libespeak-ng.so.1"))
    except OSError as error:
        raise SettingsError('the embedded model\'s voice needs espeak-ng: pip install "phonebot[demo]"') from error
