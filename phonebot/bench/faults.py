"""
What callers notice when a model is lost, when a provider does not answer, and when a service stops; over real
sockets, in real time.

    Person <- emulated carrier <--media stream--> the service <--Realtime--> embedded model, told to be slow
       '------------ says when the model is to be lost -----------------------------^

What was said and heard is what the persons say; it is set beside the transcripts of the call logs.
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from phonebot.bench.fault_calls import FIRST_NUMBER, KEY, NO_KEY, FaultService, Terms, held, service
from phonebot.bench.fault_scenes import LOOKS_UP, SCENES, FaultMind, FaultyCall, Scene, look_up_for, play
from phonebot.bench.faults_report import Begun, Drained, FaultsReport, Kept, Recovered
from phonebot.bench.levels import AFTER, GREETING, SAID, LevelEar, LevelVoice
from phonebot.bench.load import Progress, run
from phonebot.bench.person import Person
from phonebot.bench.report import Delays, Machine
from phonebot.bench.stopping import stop
from phonebot.errors import PhonebotError
from phonebot.serving import listen
from phonebot.simulator.outputs import Faults, Options
from phonebot.simulator.server import ModelServer, serve
from phonebot.tools.workshop import Workshop

FRAME_S = 0.02
LONG_S, SHORT_S = 60.0, 1.0
"""What calls have to end once their process is told to stop: more than they need, and less."""


def measure_faults(
    calls: int = 20, upgrade_ms: int = 600, start_ms: int = 600, *, progress: Progress = lambda sentence: None
) -> FaultsReport:
    """
    Hold `calls` at once for each way to lose a model or to find no provider, and while a service stops.

    Runs an event loop of its own: call it from no other. Raises PhonebotError where a service does not start.
    """
    with _in_silence():
        return run(_measure(Terms(calls, upgrade_ms, start_ms), progress))


@contextmanager
def _in_silence() -> Iterator[None]:
    """The service in this process logs what goes wrong, which is what is wanted here."""
    log = logging.getLogger("phonebot")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


async def _measure(terms: Terms, progress: Progress) -> FaultsReport:
    late_ms: list[float] = []
    noting = asyncio.create_task(_note_lateness(late_ms))
    try:
        recovered = []
        for scene in SCENES:
            progress(f"model lost {scene.name}, {terms.calls} calls")
            recovered.append(await recover(scene, terms))
        progress(f"first provider fails, {terms.calls} calls each")
        begun = await begin(terms)
    finally:
        noting.cancel()
    return FaultsReport(
        Machine.this(os.cpu_count() or 1),
        terms.calls,
        terms.upgrade_ms,
        terms.start_ms,
        Delays.of(late_ms),
        tuple(recovered),
        begun,
        await _stopped(terms, progress),
    )


async def _note_lateness(late_ms: list[float]) -> None:
    """By how much a timer of a frame's length is late, until it is cancelled."""
    while True:
        due_s = time.monotonic() + FRAME_S
        await asyncio.sleep(FRAME_S)
        late_ms.append((time.monotonic() - due_s) * 1000)


async def _stopped(terms: Terms, progress: Progress) -> tuple[Drained, ...]:
    progress(f"told to stop, {terms.calls} calls")
    to_the_end = await stop(terms, LONG_S, stays=False)
    progress(f"told to stop at once, {terms.calls} calls")
    return to_the_end, await stop(terms, SHORT_S, stays=True)


# ---------------------------------------------------------------------------------- a model that is lost


async def recover(scene: Scene, terms: Terms) -> Recovered:
    """Hold calls that lose their model as the scene says."""
    calls: dict[str, FaultyCall] = {}
    async with (
        serve(
            minds=partial(FaultMind, scene),
            ear=LevelEar(),
            voice=LevelVoice(),
            key=KEY,
            options=Options(speed=1.0),
            faults=terms.faults,
        ) as model,
        service(Workshop({LOOKS_UP: look_up_for(calls.__getitem__)}), PHONEBOT_MODEL_URL=model.url) as taking,
    ):
        for place in range(terms.calls):
            number = f"+{FIRST_NUMBER + place}"
            calls[number] = FaultyCall(partial(_drop, model, number))
        problems = await asyncio.gather(
            *(
                held(taking.url, number, call.person, partial(play, scene, call), place)
                for place, (number, call) in enumerate(calls.items())
            )
        )
        found = await taking.transcripts()
    after = SAID.index(AFTER)
    waits_ms = [
        (call.person.heard_s[after] - call.dropped_s) * 1000
        for call in calls.values()
        if call.dropped_s is not None and after in call.person.heard_s
    ]
    kept = {number: Kept.of(scene.lines, found.get(number, ())) for number in calls}
    wrong = next((number for number, each in kept.items() if not each.is_exact), None)
    told = [f"one of the transcripts is {found.get(wrong)}"] if wrong else []
    return Recovered(
        scene.name,
        Delays.of(waits_ms, lost=terms.calls - len(waits_ms)),
        Delays.of(call.person.longest_quiet_ms for call in calls.values()),
        sum(kept.values(), Kept()),
        tuple(dict.fromkeys(filter(None, (*problems, *told)))),
    )


def _drop(model: ModelServer, number: str) -> None:
    """Lose the session of a call, which the model knows by what it was told of the caller."""
    sessions = [each for each in model.sessions if number in each.config.instructions]
    if not sessions:
        raise PhonebotError("a call that is to lose its model has none")
    model.drop(sessions[-1])


# ---------------------------------------------------------------------------------- providers that do not answer


async def begin(terms: Terms) -> tuple[Begun, ...]:
    """Hold calls, each until its greeting, whose first provider fails in each way there is."""
    async with (
        serve(minds=partial(FaultMind, SCENES[0]), voice=LevelVoice(), key=KEY, faults=terms.faults) as good,
        serve(key=KEY, faults=Faults(slow_start_s=3600)) as hung,
    ):
        with listen("127.0.0.1", 0) as closed:
            away = f"ws://127.0.0.1:{closed.getsockname()[1]}/v1/realtime"
        return (
            *await _begun(terms, good, answers=(good.url, "RIGHT")),
            *await _begun(terms, good, **{"cannot be reached": (away, "RIGHT")}),
            *await _begun(terms, good, refuses=(good.url, "WRONG")),
            *await _begun(terms, good, hangs=(hung.url, "RIGHT")),
        )


async def _begun(terms: Terms, good: ModelServer, **first: tuple[str, str]) -> tuple[Begun, ...]:
    """Calls that come at once, and as many once it is known what the provider does."""
    ((name, (url, key)),) = first.items()
    tables = (
        f'[provider.first]\nkind = "gateway"\nurl = "{url}"\nkey = "{key}"\n'
        f'[provider.second]\nkind = "gateway"\nurl = "{good.url}"\nkey = "RIGHT"\n'
    )
    with TemporaryDirectory(prefix="phonebot-faults-") as folder:
        file = Path(folder) / "profiles.toml"
        await asyncio.to_thread(file.write_text, tables)
        async with service(
            Workshop(),
            PHONEBOT_PROFILES=str(file),
            PHONEBOT_MODEL_PROVIDERS="first,second",
            PHONEBOT_SECRET_RIGHT=KEY,
            PHONEBOT_SECRET_WRONG=NO_KEY,
        ) as taking:
            at_once = await _greeted(taking, terms.calls, name)
            if name == "answers":
                return (at_once,)
            return at_once, await _greeted(taking, terms.calls, f"{name}, known")


async def _greeted(taking: FaultService, calls: int, name: str) -> Begun:
    people = [Person() for _ in range(calls)]
    dialled_s: dict[int, float] = {}

    async def listen_to(place: int, person: Person) -> None:
        dialled_s[place] = time.monotonic()
        await person.until_heard(GREETING)
        person.hang_up()

    problems = await asyncio.gather(
        *(
            held(taking.url, f"+{FIRST_NUMBER + place}", person, partial(listen_to, place, person), place)
            for place, person in enumerate(people)
        )
    )
    greeting = SAID.index(GREETING)
    waits_ms = [
        (person.heard_s[greeting] - dialled_s[place]) * 1000
        for place, person in enumerate(people)
        if greeting in person.heard_s
    ]
    delays = Delays.of(waits_ms, lost=calls - len(waits_ms))
    return Begun(name, delays, tuple(dict.fromkeys(filter(None, problems))))
