"""
The embedded model in virtual time: its session without a socket.

Commands go to it and events come from it as the JSON of the GA dialect, as over a socket. Its ear and its voice
answer at once and are said to have taken some time.
"""

import math
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from phonebot.call.inputs import Input, ModelLost, ModelReady
from phonebot.errors import ModelProtocolError
from phonebot.realtime.events import Command, SessionUpdated, UpdateSession
from phonebot.realtime.events import Session as WantedSession
from phonebot.realtime.ga import GA
from phonebot.simulator.config import Config
from phonebot.simulator.mind import DeafEar, Detector, Ear, EnergyDetector, Mind, ToneVoice, VerbatimMind, Voice
from phonebot.simulator.network import Link
from phonebot.simulator.outputs import Close, Faults, Options, Output, Recognise, Send, Speak, Spoken
from phonebot.simulator.session import Session
from phonebot.simulator.sound import for_the_ear, from_the_voice

ONE_WAY_MS = 20.0
EAR_MS = 120.0
VOICE_MS = 80.0
SESSION_LIMIT_MS = 3_600_000.0
EXPIRES_AT_S = 1_800_000_000  # a made-up moment: nothing here knows the date

Work = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs what an ear or a voice does to its end."""


def at_once(job: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing. Raises RuntimeError for one that does."""
    try:
        job.send(None)
    except StopIteration as result:
        return result.value
    job.close()
    raise RuntimeError("in virtual time an ear and a voice must not wait: give `work` a loop to run them in")


class VirtualModel:
    """
    One session, from `open` to its end. Times are ms of the clock that the call is held by.

    `work` runs the ear and the voice; the default is for those that wait for nothing. The same `seed` and inputs
    give the same events, ids included.
    """

    def __init__(
        self,
        mind: Mind,
        *,
        ear: Ear | None = None,
        voice: Voice | None = None,
        detector: Detector | None = None,
        options: Options | None = None,
        faults: Faults | None = None,
        work: Work = at_once,
        seed: int = 0,
        expires_in_ms: int | None = None,
    ) -> None:
        """`expires_in_ms` is what the session says of its end; it never comes."""
        self._ear, self._voice, self._work = ear or DeafEar(), voice or ToneVoice(), work
        self._to_model: Link[Command] = Link(ONE_WAY_MS)
        self._from_model: Link[str | Close] = Link(ONE_WAY_MS)
        # What the ear and the voice have done, and when they say so.
        self._results: deque[tuple[float, int, str | Spoken | Exception]] = deque()
        self._configured = False
        self._expires_in_ms = expires_in_ms
        self._session = Session(
            "ga",
            Config(model="embedded"),
            VerbatimMind(mind),
            detector or EnergyDetector(),
            expires_at_s=EXPIRES_AT_S,
            expires_ms=SESSION_LIMIT_MS,
            model_given=True,
            options=options or Options(seed=seed),
            faults=faults or Faults(),
            ids=Random(seed),  # noqa: S311 - ids of a rehearsal
            sizes=Random(seed),  # noqa: S311 - lengths of audio deltas
        )

    def open(self, wanted: WantedSession, now_ms: float) -> None:
        """Connect and configure the session; ModelReady will be among what is `due`."""
        self._perform(self._session.open(), now_ms)
        self.tell(UpdateSession(wanted), now_ms)

    def tell(self, command: Command, now_ms: float) -> None:
        self._to_model.send(now_ms, command)

    def next_ms(self) -> float:
        """When something is due next."""
        due = (self._to_model.next_due(), self._from_model.next_due())
        result_ms = self._results[0][0] if self._results else math.inf
        return min(self._session.due_ms, result_ms, *(each for each in due if each is not None), math.inf)

    def due(self, now_ms: float) -> list[Input]:
        """Let happen what is due by now; what the call gets to know of it."""
        for command in self._to_model.due(now_ms):
            self._perform(self._session.receive(GA.encode(command), now_ms), now_ms)
        while self._results and self._results[0][0] <= now_ms:
            _, job, result = self._results.popleft()
            self._perform(self._session.complete(job, result, now_ms), now_ms)
        if self._session.due_ms <= now_ms:
            self._perform(self._session.tick(now_ms), now_ms)
        return [told for message in self._from_model.due(now_ms) for told in self._told(message)]

    def _told(self, message: str | Close) -> list[Input]:
        if isinstance(message, Close):
            return [ModelLost(f"the model closed with {message.code}: {message.reason}")]
        try:
            event = GA.decode(message)
        except ModelProtocolError as error:  # of our own decoder or of the simulator: neither may be hidden
            raise AssertionError(f"the embedded model sent what cannot be read: {error}") from error
        if self._configured:
            return [event]
        if not isinstance(event, SessionUpdated):
            return []  # what comes before is the shell's, not the call's
        self._configured = True
        session = event.session
        formats = (session.input_format or "pcmu", session.output_format or "pcmu")
        return [ModelReady(session, *formats, expires_in_ms=self._expires_in_ms)]

    def _perform(self, outputs: list[Output], now_ms: float) -> None:
        for output in outputs:
            match output:
                case Send(text):
                    self._from_model.send(now_ms, text)
                case Close():
                    self._from_model.send(now_ms, output)
                case Recognise(job, audio, audio_format):
                    heard = self._work(self._ear.recognise(for_the_ear(audio, audio_format)))
                    self._later(now_ms + EAR_MS, job, heard)
                case Speak(job, text, audio_format):
                    speech = self._work(self._voice.speak(text))
                    self._later(now_ms + VOICE_MS, job, Spoken(from_the_voice(speech, audio_format), speech.words))

    def _later(self, at_ms: float, job: int, result: str | Spoken) -> None:
        self._results.append((at_ms, job, result))
        self._results = deque(sorted(self._results, key=lambda entry: entry[:2]))
