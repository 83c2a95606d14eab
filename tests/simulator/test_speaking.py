"""What the carrier says and plays, and how much of it is heard."""

import asyncio

import pytest
from aiohttp import web
from switchboard_driver import CALLER, LINE, Scene

from phonebot.audio import wav
from phonebot.simulator.caller import Pause, WaitForBot, WaitForHangUp, WaitForQuiet

LISTENS = WaitForHangUp(within_ms=600_000)
SENTENCE = "Our office opens at nine in the morning and closes at five."
TUNE = b"\x85" * 1600


async def test_a_sentence_takes_time_by_its_length_and_is_heard_as_a_voice(scene: Scene) -> None:
    scene.bot.answers["/voice"] = f"<Response><Say>{SENTENCE}</Say><Pause length='2'/></Response>"
    record = await scene.call(WaitForBot(), WaitForQuiet(1000), LISTENS)
    assert (record.told("plays"), record.told("heard"), record.failed_steps) == ([SENTENCE], [SENTENCE], [])
    spoken_ms = len(SENTENCE) * 65
    assert spoken_ms + 2000 <= len(record.line_heard) / 8 <= spoken_ms + 2500


async def test_a_sentence_is_heard_to_the_word_at_which_it_is_replaced(scene: Scene) -> None:
    long = " ".join(f"word{number}" for number in range(2000))
    scene.bot.answers["/voice"] = f"<Response><Say>{long}</Say></Response>"
    task = scene.begin(LISTENS)
    await scene.carrier.until(CALLER, "bot starts")
    (record,) = scene.carrier.calls_to(LINE)
    await scene.update(record.call_sid, twiml="<Response><Say>Stop.</Say></Response>")
    await task
    heard, stop = record.told("heard")
    assert long.startswith(heard)
    assert heard != long
    assert stop == "Stop."


async def test_one_who_hangs_up_has_heard_what_he_heard(scene: Scene) -> None:
    scene.bot.answers["/voice"] = f"<Response><Say loop='3'>{SENTENCE}</Say></Response>"
    record = await scene.call(Pause(len(SENTENCE) * 65 + 1000))
    first, second = record.told("heard")
    assert first == SENTENCE
    assert SENTENCE.startswith(second)
    assert second not in ("", SENTENCE)


@pytest.mark.parametrize("encoding", ["pcmu", "pcm16"])
async def test_a_file_is_fetched_and_played_so_often(scene: Scene, encoding: wav.Encoding) -> None:
    data = TUNE if encoding == "pcmu" else b"\x00\x40" * 1600
    file = wav.encode(wav.Wav(encoding, 8000, 1, data))
    scene.bot.answers["/voice"] = "<Response><Play loop='3'>/tune.wav</Play></Response>"
    scene.bot.answers["/tune.wav"] = web.Response(body=file, content_type="audio/wav")
    record = await scene.call(LISTENS)
    assert record.violations == []
    assert record.told("heard") == [scene.url("/tune.wav")]
    silence = b"\xff"
    assert len(record.line_heard) - record.line_heard.count(silence) == 3 * 1600
    assert [exchange.method for exchange in record.exchanges if exchange.purpose == "file"] == ["GET"]


async def test_a_file_that_is_not_read_here_is_a_voice_of_some_length(scene: Scene) -> None:
    scene.bot.answers["/voice"] = "<Response><Play>/tune.mp3</Play><Play>/stereo.wav</Play></Response>"
    scene.bot.answers["/tune.mp3"] = web.Response(body=b"ID3", content_type="audio/mpeg")
    stereo = wav.encode(wav.Wav("pcm16", 16_000, 2, bytes(64_000)))
    scene.bot.answers["/stereo.wav"] = web.Response(body=stereo, content_type="audio/wav")
    record = await scene.call(LISTENS)
    assert record.violations == []
    assert (3000 + 1000) * 8 <= len(record.line_heard) <= 4200 * 8


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (web.Response(status=404), 11200),
        (web.Response(text="hello"), 12300),
        (web.Response(body=b"RIFFnoise", content_type="audio/wav"), 12400),
    ],
)
async def test_a_file_that_cannot_be_played_is_noted_and_the_next_verb_is_due(
    scene: Scene, answer: web.Response, code: int
) -> None:
    scene.bot.answers["/voice"] = "<Response><Play>/tune.wav</Play><Say>Bye.</Say></Response>"
    scene.bot.answers["/tune.wav"] = answer
    record = await scene.call(LISTENS)
    assert ([violation.code for violation in record.violations], record.told("heard")) == ([code], ["Bye."])


async def test_keys_are_played_with_their_waits(scene: Scene) -> None:
    scene.bot.answers["/voice"] = '<Response><Play digits="wW12#"/></Response>'
    record = await scene.call(LISTENS)
    assert record.told("plays") == ["wW12#"]
    assert len(record.line_heard) >= (500 + 1000 + 3 * 200) * 8


async def test_a_whole_call_of_pauses_ends_at_its_limit(scene: Scene) -> None:
    scene.bot.answers["/voice"] = "<Response><Pause length='60'/></Response>"
    record = await scene.call(LISTENS, max_call_s=5)
    assert (record.outcome, len(record.line_heard)) == ("timed out", 5 * 8000)


async def test_many_are_spoken_to_at_once(scene: Scene) -> None:
    scene.bot.answers["/voice"] = f"<Response><Say>{SENTENCE}</Say></Response>"
    records = await asyncio.gather(*(scene.begin(LISTENS) for _ in range(10)))
    assert [record.told("heard") for record in records] == [[SENTENCE]] * 10
