"""
A service in a process of its own that is told to stop while calls are in progress, as in a deploy.

Some callers talk to the end; with a limit that is shorter than their calls, the bot has to part from them.
"""

import asyncio
import signal
import time
from functools import partial

from phonebot.bench.fault_calls import FIRST_NUMBER, KEY, SILENCE_MS, Terms, held, transcripts_in
from phonebot.bench.fault_scenes import QUIET_MS, SCENES, FaultMind
from phonebot.bench.faults_report import Drained, Kept, Line
from phonebot.bench.levels import AFTER, ASKED, FIRST, GREETING, OTHER, LevelEar, LevelVoice, spoken_ms
from phonebot.bench.person import Person
from phonebot.bench.service import readiness, service
from phonebot.simulator.outputs import Options
from phonebot.simulator.server import serve

STOP_S = 60.0
PROFILE = (
    f'[default]\ngreeting = "{GREETING}"\nprompt = "{{caller}}"\n'
    f'turn_detection = {{ type = "server_vad", silence_duration_ms = {SILENCE_MS} }}\n'
)
PARTED = "a call ended: bot hung up, "
"""How a call ends that the bot has to end."""

SAID: tuple[Line, ...] = (("bot", GREETING), ("caller", FIRST), ("bot", AFTER))


async def stop(terms: Terms, drain_s: float, stays: bool) -> Drained:
    """
    Hold calls, tell their process to stop, and let them go on: each caller asks once more and hangs up, or `stays`.

    Raises PhonebotError where the service does not start.
    """
    variables = {"PHONEBOT_MODEL_TOKEN": KEY, "PHONEBOT_DRAIN_S": f"{drain_s:g}"}
    people = [Person() for _ in range(terms.calls)]
    told = asyncio.Event()
    mind = partial(FaultMind, SCENES[0])
    async with (
        serve(minds=mind, ear=LevelEar(), voice=LevelVoice(), key=KEY, options=Options(speed=1.0)) as model,
        service(model.url, PROFILE, variables=variables) as running,
    ):
        calls = [
            asyncio.create_task(
                held(running.url, f"+{FIRST_NUMBER + place}", person, partial(_talk, person, told, stays), place)
            )
            for place, person in enumerate(people)
        ]
        await asyncio.gather(*(person.until_heard(GREETING) for person in people))
        running.process.send_signal(signal.SIGTERM)
        refuses_ms = await _until_refused(running.url)
        told.set()
        outcomes = await asyncio.gather(*calls)
        ended_s = time.monotonic()
        async with asyncio.timeout(STOP_S):
            exit_code = await running.process.wait()
        gone_ms = (time.monotonic() - ended_s) * 1000
        found = await asyncio.to_thread(transcripts_in, running.folder / "calls")
    said = SAID[:1] if stays else SAID
    kept = (
        Kept.of(said, _without_farewell(found.get(f"+{FIRST_NUMBER + place}", []))) for place in range(terms.calls)
    )
    expected = PARTED if stays else ""
    left = [not person.left for person in people]
    return Drained(
        f"with {drain_s:g} s to end",
        terms.calls,
        round(refuses_ms, 1),
        ended=sum(person.left for person in people),
        parted=sum(stayed and OTHER in person.heard_s for stayed, person in zip(left, people, strict=True)),
        gone_ms=round(gone_ms, 1),
        exit_code=exit_code,
        kept=sum(kept, Kept()),
        problems=tuple(dict.fromkeys(problem for problem in outcomes if problem and problem != expected)),
    )


def _without_farewell(lines: list[Line]) -> list[Line]:
    known = {text for _, text in SAID}
    return [(who, text) for who, text in lines if who == "caller" or any(each.startswith(text) for each in known)]


async def _talk(person: Person, told: asyncio.Event, stays: bool) -> None:
    await person.until_heard(GREETING, spoken_ms(GREETING))
    await told.wait()
    if stays:
        await person.until_gone()
        return
    await person.until_quiet(QUIET_MS)
    person.ask(ASKED.index(FIRST), 600)
    await person.until_heard(AFTER, spoken_ms(AFTER))
    await person.until_quiet(QUIET_MS)
    person.hang_up()


async def _until_refused(url: str) -> float:
    """Wait until the service says that it takes no more calls; after how long, in ms."""
    begun_s = time.monotonic()
    async with asyncio.timeout(STOP_S):
        while await readiness(url) == 200:
            pass  # each question is a request of its own, and takes its time
    return (time.monotonic() - begun_s) * 1000
