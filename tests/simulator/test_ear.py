import asyncio
import os
import signal
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from phonebot.audio import g711, wav
from phonebot.errors import AudioError, ModelUnreachable, ProfileError, SettingsError
from phonebot.simulator.ear import PhraseEar
from phonebot.simulator.script import load_script

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIXTURES = Path(__file__).parents[2] / "fixtures"
SCRIPT = load_script(FIXTURES / "demo" / "dentist.toml")
LISTENING = {
    "book": "i would like to book an appointment",
    "that-is-right": "that is right",
    "hours": "what are your opening hours",
    "goodbye": "that is all thanks",
}


def clip(name: str) -> bytes:
    return wav.read(FIXTURES / name).data


def turn(pcm: bytes, before_ms: int, after_ms: int) -> bytes:
    """The sound of a clip with so much of the silence around it."""
    loud = [at for at in range(0, len(pcm), 16) if max(array("h", pcm[at : at + 16])) > 200]
    return pcm[max(0, loud[0] - 16 * before_ms) : loud[-1] + 16 * after_ms]


def worker_pids() -> set[int]:
    """The recogniser processes of this test process."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    lines = [line.split(maxsplit=1) for line in listed.stdout.splitlines()]
    return {int(pid) for pid, arguments in lines if "phonebot.simulator.recogniser" in arguments}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ear")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ear(cache: Path) -> AsyncIterator[PhraseEar]:
    """An ear for tests that do it no harm."""
    async with PhraseEar(SCRIPT.phrases, pronounce=SCRIPT.pronounce, cache=cache) as ear:
        yield ear


@pytest_asyncio.fixture(loop_scope="module")
async def ear_and_worker(cache: Path) -> AsyncIterator[tuple[PhraseEar, int]]:
    """An ear of the test's own and its only worker's process id."""
    others = worker_pids()
    async with PhraseEar(SCRIPT.phrases, pronounce=SCRIPT.pronounce, cache=cache) as ear:
        (worker,) = worker_pids() - others
        yield ear, worker
    assert worker_pids() == others


async def test_the_phrases_of_the_demo_are_understood_word_for_word(ear: PhraseEar) -> None:
    heard = {name: await ear.recognise(clip(f"demo/{name}.wav")) for name in LISTENING}
    assert heard == LISTENING


@pytest.mark.parametrize("name", LISTENING)
async def test_a_phrase_of_the_demo_is_understood_however_its_turn_is_cut(ear: PhraseEar, name: str) -> None:
    """The end of the bot's speech, jitter and the detector move the cut by some frames and by fractions of one."""
    pcm = g711.ulaw_to_pcm(g711.pcm_to_ulaw(clip(f"demo/{name}.wav")))
    cuts = [(120, 100), (240, 300), (295, 520), (380, 505)]
    heard = {(before, after): await ear.recognise(turn(pcm, before, after)) for before, after in cuts}
    assert heard == dict.fromkeys(cuts, LISTENING[name])


async def test_a_phrase_in_noise_is_understood(ear: PhraseEar) -> None:
    assert await ear.recognise(clip("audio/caller-hours-rms-noise.wav")) == "what are your opening hours"


async def test_noise_and_silence_hold_no_words(ear: PhraseEar) -> None:
    assert await ear.recognise(clip("audio/noise-only.wav")) == ""
    assert await ear.recognise(bytes(16000)) == ""


async def test_what_is_not_in_the_script_is_not_bent_into_a_phrase(ear: PhraseEar) -> None:
    heard = await ear.recognise(clip("audio/caller-offtopic-awb.wav"))
    assert heard
    assert not [phrase for phrase in SCRIPT.phrases if len(phrase.split()) > 1 and phrase in heard]


async def test_the_same_audio_gives_the_same_text_whatever_came_before(ear: PhraseEar) -> None:
    first = await ear.recognise(clip("audio/caller-offtopic-awb.wav"))
    await ear.recognise(clip("demo/goodbye.wav"))
    assert await ear.recognise(clip("audio/caller-offtopic-awb.wav")) == first


@pytest.mark.parametrize("size", [0, 2, 1598])
async def test_a_tenth_of_a_second_holds_no_word(ear: PhraseEar, size: int) -> None:
    assert await ear.recognise(bytes(size)) == ""


async def test_half_a_sample_is_refused(ear: PhraseEar) -> None:
    with pytest.raises(AudioError, match="1601 bytes"):
        await ear.recognise(bytes(1601))


async def test_of_a_very_long_utterance_the_end_is_listened_to(ear: PhraseEar) -> None:
    minutes = bytes(16000 * 300)
    assert await ear.recognise(minutes + clip("demo/hours.wav")) == LISTENING["hours"]


async def test_two_workers_answer_many_at_once_each_with_its_own_text(cache: Path) -> None:
    names = [*LISTENING] * 2
    others = worker_pids()
    async with PhraseEar(SCRIPT.phrases, pronounce=SCRIPT.pronounce, cache=cache, workers=2) as ear:
        assert len(worker_pids() - others) == 2
        heard = await asyncio.gather(*(ear.recognise(clip(f"demo/{name}.wav")) for name in names))
    assert heard == [LISTENING[name] for name in names]


async def test_an_idle_worker_that_is_killed_is_replaced(ear_and_worker: tuple[PhraseEar, int]) -> None:
    ear, worker = ear_and_worker
    os.kill(worker, signal.SIGKILL)
    assert await ear.recognise(clip("demo/book.wav")) == LISTENING["book"]
    assert worker not in worker_pids()


async def test_an_utterance_whose_worker_is_killed_is_given_to_another(
    ear_and_worker: tuple[PhraseEar, int],
) -> None:
    ear, worker = ear_and_worker
    os.kill(worker, signal.SIGSTOP)  # so that it is surely not ready when it dies
    hearing = asyncio.create_task(ear.recognise(clip("demo/book.wav")))
    await asyncio.sleep(0)
    os.kill(worker, signal.SIGKILL)
    assert await hearing == LISTENING["book"]


async def test_a_worker_that_hangs_is_given_up_at_the_deadline_and_replaced(
    ear_and_worker: tuple[PhraseEar, int],
) -> None:
    ear, worker = ear_and_worker
    os.kill(worker, signal.SIGSTOP)
    ear.deadline_s = 0.1
    with pytest.raises(ModelUnreachable, match=r"no answer within 0\.1 s"):
        await ear.recognise(clip("demo/book.wav"))
    assert worker not in worker_pids()
    ear.deadline_s = 60
    assert await ear.recognise(clip("demo/book.wav")) == LISTENING["book"]


async def test_a_cancelled_utterance_does_not_answer_the_next_one(ear_and_worker: tuple[PhraseEar, int]) -> None:
    ear, worker = ear_and_worker
    os.kill(worker, signal.SIGSTOP)
    hearing = asyncio.create_task(ear.recognise(clip("demo/book.wav")))
    await asyncio.sleep(0)
    hearing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hearing
    assert await ear.recognise(clip("demo/hours.wav")) == LISTENING["hours"]


async def test_more_waiting_than_the_bound_are_refused_at_once(ear_and_worker: tuple[PhraseEar, int]) -> None:
    ear, _ = ear_and_worker
    ear.max_waiting = 2
    hearings = (ear.recognise(clip("demo/that-is-right.wav")) for _ in range(3))
    first, second, third = await asyncio.gather(*hearings, return_exceptions=True)
    assert first == second == LISTENING["that-is-right"]
    assert isinstance(third, ModelUnreachable)
    assert "2 utterances wait" in str(third)


async def test_no_task_is_left_when_the_ear_is_closed(cache: Path) -> None:
    before = asyncio.all_tasks()
    async with PhraseEar(SCRIPT.phrases, pronounce=SCRIPT.pronounce, cache=cache) as ear:
        await ear.recognise(clip("demo/that-is-right.wav"))
    assert asyncio.all_tasks() == before


async def test_a_word_without_a_sound_is_named_with_the_remedy() -> None:
    others = worker_pids()
    with pytest.raises(ProfileError) as raised:
        async with PhraseEar(["a terrible toothache", "mxyzptlk please"], source="menu.toml"):
            pass
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == ["menu.toml"] * 2
    assert '"mxyzptlk" is not in the dictionary' in raised.value.problems[0]
    assert '[pronounce] toothache = "' in raised.value.problems[1]
    assert worker_pids() == others


async def test_a_pronounced_word_is_heard_as_it_is_said(cache: Path) -> None:
    """The voice of the clip says it as nobody should."""
    async with PhraseEar(SCRIPT.phrases, pronounce={"toothache": "T UW TH AE CH"}, cache=cache) as ear:
        assert "i have a terrible toothache" in await ear.recognise(clip("audio/caller-emergency-rms.wav"))


async def test_a_word_of_the_dictionary_may_have_a_further_pronunciation(cache: Path) -> None:
    async with PhraseEar(["that is all thanks"], pronounce={"thanks": "TH AE K S"}, cache=cache) as ear:
        assert await ear.recognise(clip("demo/goodbye.wav")) == "that is all thanks"


async def test_the_language_model_is_kept_in_the_cache_and_used_again(tmp_path: Path) -> None:
    cache = tmp_path / "not" / "there" / "yet"
    for _ in range(2):
        async with PhraseEar(["that is right"], cache=cache) as ear:
            assert await ear.recognise(clip("demo/that-is-right.wav")) == "that is right"
        (model,) = cache.iterdir()
        written = model.stat().st_mtime_ns
    assert model.stat().st_mtime_ns == written


async def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(SettingsError, match=r'pip install "phonebot\[demo\]"'):
        async with PhraseEar(["yes"]):
            pass


async def test_an_ear_that_is_closed_finishes_what_it_works_at_and_takes_nothing_more(
    ear_and_worker: tuple[PhraseEar, int],
) -> None:
    ear, worker = ear_and_worker
    hearing = asyncio.create_task(ear.recognise(clip("demo/book.wav")))
    await asyncio.sleep(0)
    await ear.close()
    assert worker not in worker_pids()
    assert await hearing == LISTENING["book"]
    with pytest.raises(ModelUnreachable, match="the ear is closed"):
        await ear.recognise(clip("demo/book.wav"))


async def test_an_ear_without_workers_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least one worker"):
        PhraseEar(["yes"], workers=0)
