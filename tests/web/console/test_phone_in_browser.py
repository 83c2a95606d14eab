"""The phone in a real browser, whose microphone plays a file, against the whole service."""

import math
import struct
from base64 import b64decode
from collections import deque
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from browser_driver import NARROW, REFUSE_8000, PhonePage, browser, phrase, recording
from phone_driver import by_cookie
from service_driver import MODEL_KEY, Ear, Service, StartService, Witness

from phonebot.agents.numbers import Numbers
from phonebot.audio.g711 import pcm_to_ulaw, ulaw_to_pcm
from phonebot.call.actions import ClearPlayback, Cut, Line, PlayAudio, Trouble
from phonebot.call.inputs import CarrierFault
from phonebot.carrier.messages import Dtmf, Media
from phonebot.realtime.events import AudioDelta
from phonebot.serving import demo_folder, embedded_model
from phonebot.simulator.mind import Call, Context, Say
from phonebot.simulator.server import serve as serve_model

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SILENCE = b"\xff" * 160
TONE_HZ = 440
CUTS = 5
FRAME_MS = 20


def tone(ms: int) -> bytes:
    samples = [int(8000 * math.sin(2 * math.pi * TONE_HZ * n / 8000)) for n in range(ms * 8)]
    return pcm_to_ulaw(struct.pack(f"<{len(samples)}h", *samples))


def heard_frames(witness: Witness) -> list[bytes]:
    """What the caller said, frame by frame."""
    return [b64decode(media.payload) for media in witness.saw(Media)]


def is_loud(frame: bytes) -> bool:
    return any(byte & 0x7F < 0x50 for byte in frame)


def check_line(witness: Witness) -> None:
    """The page kept to the protocol: whole frames, counted and stamped without a gap, and nothing refused."""
    assert witness.saw(CarrierFault) == []
    assert witness.saw(Trouble) == []
    frames = witness.saw(Media)
    assert {len(frame) for frame in heard_frames(witness)} == {160}
    assert [media.chunk for media in frames] == list(range(1, len(frames) + 1))
    assert {later.timestamp_ms - earlier.timestamp_ms for earlier, later in pairwise(frames)} == {FRAME_MS}


async def check_quiet(phone: PhonePage) -> None:
    """The page broke no rule and met no error."""
    assert phone.complaints == []
    assert await phone.violations() == []


async def test_the_bot_is_heard_and_interrupted_and_the_page_shows_what_was_not_heard(
    start_service: StartService, tmp_path: Path
) -> None:
    profile = Numbers.load(demo_folder() / "numbers.toml").default.model_copy(update={"greeting": "Hello!"})
    # The offer takes eight seconds. He accepts within it.
    microphone = recording(
        tmp_path / "caller.wav", 4_000, phrase("book.wav"), 3_500, phrase("that-is-right.wav"), 20_000
    )
    async with embedded_model() as model:
        service = await start_service(model_url=model.url, profile=profile, authorise=by_cookie)
        async with browser(microphone) as context:
            phone = await PhonePage.open(context, service)
            await phone.photograph("phone-ready")
            await phone.click("call")
            await phone.state("talking")
            (witness,) = service.witnesses
            await phone.page.wait_for_selector(".line-cut", timeout=40_000)
            await phone.until(lambda: any("booked" in delta for delta in spoken(witness)))
            await phone.page.wait_for_selector('[data-part="coming"]:visible')
            await phone.photograph("phone-talking")
            await phone.click("hang-up")
            await phone.state("ended")
            await phone.photograph("phone-ended")
            assert await phone.text("state") == "Call ended"
            assert await phone.text("outcome") == "You hung up."
            assert max(level["heard"] for level in await phone.told("levels")) > 0.01
            shown = await phone.page.eval_on_selector_all(
                ".line-cut .line-heard",
                "each => each.map(({ dataset: cut }) => [cut.itemId, Number(cut.heardMs), Number(cut.ofMs)])",
            )
            struck = await phone.page.eval_on_selector_all(".line-rest", "each => each.map((one) => one.innerText)")
            await check_quiet(phone)
        await service.stop()
    log = service.log()
    cuts = [action for step in log.steps for action in step.actions if isinstance(action, Cut) and action.heard_ms]
    assert shown == [[cut.item_id, cut.heard_ms, cut.received_ms] for cut in cuts]
    assert "Is that right for you?" in struck[0]
    assert [line.text for line in witness.saw(Line) if line.role == "caller"] == [
        "i would like to book an appointment",
        "that is right",
    ]
    assert (log.header.outcome, log.header.kind, log.header.from_number) == (
        "caller_hung_up",
        "browser",
        "browser:ada",
    )
    check_line(witness)


def spoken(witness: Witness) -> list[str]:
    return [each.delta for each in witness.history if hasattr(each, "delta")]


@pytest.mark.parametrize("sample_rate", ["8000", "44100", "48000"])
async def test_what_the_microphone_hears_arrives_and_keys_and_mute_do_what_they_say(
    start_service: StartService, tmp_path: Path, sample_rate: str
) -> None:
    service = await start_service(authorise=by_cookie)
    async with browser(recording(tmp_path / "tone.wav", tone(60_000))) as context:
        phone = await PhonePage.open(context, service, sample_rate)
        assert await phone.rates() == []
        await phone.page.focus('[data-part="call"]')
        await phone.page.keyboard.press("Enter")
        await phone.state("talking")
        assert await phone.page.evaluate("document.activeElement.dataset.part") == "hang-up"
        (witness,) = service.witnesses
        await phone.until(lambda: len([frame for frame in heard_frames(witness) if is_loud(frame)]) >= 100)
        await phone.page.click('[data-key="5"]')
        await phone.page.keyboard.press("#")
        await phone.page.keyboard.press("x")
        await phone.until(lambda: len(witness.saw(Dtmf)) == 2)
        assert await phone.text("pressed") == "5#"
        await phone.click("mute")
        await phone.until(lambda: heard_frames(witness)[-10:] == [SILENCE] * 10)
        assert await phone.page.get_attribute('[data-part="mute"]', "aria-pressed") == "true"
        await phone.page.keyboard.press("m")
        await phone.until(lambda: all(is_loud(frame) for frame in heard_frames(witness)[-10:]))
        await phone.click("hang-up")
        await phone.state("ended")
        assert await phone.page.evaluate("document.activeElement.dataset.part") == "call"
        assert await phone.rates() == [int(sample_rate)]
        await check_quiet(phone)
    assert [key.digit for key in witness.saw(Dtmf)] == ["5", "#"]
    loud = [frame for frame in heard_frames(witness) if is_loud(frame)]
    # Where the browser had no time for a moment there is a gap: at another rate every part sounds otherwise.
    parts = [pitch_hz(b"".join(loud[at : at + 14])) for at in range(20, 90, 14)]
    assert median(parts) == pytest.approx(TONE_HZ, rel=0.01)
    check_line(witness)
    await service.stop()
    assert service.log().header.outcome == "caller_hung_up"


def pitch_hz(audio: bytes) -> float:
    """By how often it crosses zero upwards."""
    pcm = ulaw_to_pcm(audio)
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    crossings = [n for n, (earlier, later) in enumerate(pairwise(samples)) if earlier < 0 <= later]
    return 8000 * (len(crossings) - 1) / (crossings[-1] - crossings[0])


class Talker:
    """A mind that has a lot to say."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        return (Say("This answer is so long that every caller who hears it will interrupt it at some point"),)


@pytest.mark.parametrize("browsers", ["takes 8 kHz", "has its own rate"])
async def test_what_the_model_is_told_was_heard_is_what_the_page_has_played(
    start_service: StartService, tmp_path: Path, browsers: str
) -> None:
    pieces: list[bytes | int] = [1_500]
    for n in range(CUTS + 1):
        pieces += [tone(300), 1_700 + 173 * n]  # he interrupts at other places of a frame each time
    microphone = recording(tmp_path / "bursts.wav", *pieces, 20_000)
    async with serve_model(minds=Talker, ear=Ear(), key=MODEL_KEY) as model:
        service = await start_service(model_url=model.url, authorise=by_cookie)
        async with browser(microphone) as context:
            if browsers == "has its own rate":
                await context.add_init_script(REFUSE_8000)
            phone = await PhonePage.open(context, service)
            await phone.click("call")
            await phone.state("talking")
            (witness,) = service.witnesses
            await phone.until(lambda: len(exact_cuts(witness)) >= CUTS)
            await phone.click("hang-up")
            await phone.state("ended")
            cleared = [told["heardMs"] for told in await phone.told("heard") if "unheardMs" in told]
            first, *others = await phone.rates()
            await check_quiet(phone)
        await service.stop()
    assert first == 8000
    assert [rate for rate in others if rate != 8000] == others
    assert len(others) == (browsers == "has its own rate")
    check_line(witness)
    played_ms = played(witness, cleared)
    differences = {cut.item_id: cut.heard_ms - played_ms[cut.item_id] for cut in exact_cuts(witness)}
    print(f"{browsers}: {[round(difference, 1) for difference in differences.values()]} ms")  # noqa: T201
    assert len(differences) >= CUTS
    assert all(abs(difference) <= FRAME_MS for difference in differences.values())


def exact_cuts(witness: Witness) -> list[Cut]:
    return [cut for cut in witness.saw(Cut) if cut.settled == "fence" and cut.heard_ms]


def played(witness: Witness, cleared_ms: list[float]) -> dict[str, float]:
    """
    How much of each item the page has played, in ms, by what it counted itself.

    `cleared_ms` is how much it had played in all whenever it was told to clear, the frame under way included. What
    was sent between two clears was played from its begin.
    """
    played_ms: dict[str, float] = {}
    sent: deque[tuple[str, float]] = deque()
    clears = iter(cleared_ms)
    since_ms, speaking = 0.0, ""
    for each in witness.history:
        match each:
            case AudioDelta():
                speaking = each.item_id
            case PlayAudio(payload):
                sent.append((speaking, len(b64decode(payload)) / 8))
            case ClearPlayback():
                until_ms = next(clears)
                left_ms = until_ms - since_ms
                for item_id, length_ms in sent:
                    share_ms = min(length_ms, left_ms)
                    played_ms[item_id] = played_ms.get(item_id, 0.0) + share_ms
                    left_ms -= share_ms
                sent.clear()
                since_ms = until_ms
    return played_ms


# ---------------------------------------------------------------------------------- what a person may meet


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service(authorise=by_cookie)


async def test_a_refused_microphone_is_explained_and_one_may_try_again(service: Service, tmp_path: Path) -> None:
    async with browser(recording(tmp_path / "silence.wav", 1_000), allowed=False) as context:
        phone = await PhonePage.open(context, service)
        await phone.click("call")
        await phone.state("ended")
        assert await phone.text("problems") == (
            "The microphone was refused: allow it for this page (the icon beside the address), then call again."
        )
        await phone.photograph("phone-refused")
        assert await phone.page.is_enabled('[data-part="call"]')
        await check_quiet(phone)
    assert service.witnesses == []


async def test_an_unsaved_profile_is_tried_and_its_faults_are_shown_key_by_key(
    service: Service, tmp_path: Path
) -> None:
    async with browser(recording(tmp_path / "silence.wav", 20_000)) as context:
        phone = await PhonePage.open(context, service, query="?number=%2B15550100002")
        profile = "(table) => { document.querySelector('phonebot-phone').profile = async () => table; }"
        await phone.page.evaluate(profile, {"max_call_s": 5, "vioce": "marin"})
        await phone.click("call")
        await phone.state("ended")
        assert (await phone.text("problems")).splitlines() == [
            "max_call_s is 5; it must be a whole number of seconds from 10 to 14400",
            "vioce is not a known key; the nearest is voice",
        ]
        # The browser itself notes an answer of 422.
        assert [text for text in phone.complaints if "422" not in text] == []
        await phone.page.evaluate(profile, {"name": "Draft", "greeting": "Hi"})
        await phone.click("call")
        await phone.state("talking")
        await phone.until(lambda: service.witnesses and service.witnesses[0].saw(Line))
        await phone.page.wait_for_selector(".line-bot >> text=Hi")
        await phone.click("hang-up")
        await phone.state("ended")
    await service.stop()
    header = service.log().header
    assert (header.profile, header.to_number) == ("Draft", "+15550100002")


async def test_a_call_that_the_service_ends_ends_on_the_page_with_its_reason(
    start_service: StartService, tmp_path: Path
) -> None:
    service = await start_service(authorise=by_cookie, model_url="ws://127.0.0.1:9/v1/realtime")
    async with browser(recording(tmp_path / "silence.wav", 20_000)) as context:
        phone = await PhonePage.open(context, service)
        await phone.click("call")
        await phone.state("ended")
        assert await phone.text("outcome") == "The model failed: a caller would have heard an apology."
        assert "cannot be reached" in await phone.text("lines")
        await check_quiet(phone)


async def test_the_page_needs_no_more_than_the_width_of_a_phone(service: Service, tmp_path: Path) -> None:
    async with browser(recording(tmp_path / "silence.wav", 1_000)) as context:
        phone = await PhonePage.open(context, service)
        await phone.page.set_viewport_size(NARROW)
        assert await phone.page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
        unnamed = "each => each.filter((one) => !(one.ariaLabel || one.innerText.trim())).length"
        assert await phone.page.eval_on_selector_all("button:visible", unnamed) == 0
