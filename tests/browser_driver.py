"""
The phone in a real browser: Chromium, whose microphone plays a file.

    async with browser(microphone) as context:
        phone = await PhonePage.open(context, service)
        await phone.click("call")

What the page says on its console, and what its policy forbade, is in `phone.complaints`.
"""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import BrowserContext, Page, ViewportSize, async_playwright
from service_driver import PATIENCE_S, Service

from phonebot.audio import wav
from phonebot.audio.g711 import pcm_to_ulaw, ulaw_to_pcm
from phonebot.serving import demo_folder

SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
REMEDY = "needs Chromium: apt-get install chromium"
SCREENS = Path(__file__).parent.parent / "artifacts" / "screens"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
)
WIDE = ViewportSize(width=1200, height=800)
NARROW = ViewportSize(width=360, height=780)
# By how much the page is wider than its window.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# Before the page's own scripts: what its policy forbids.
WATCH_POLICY = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation",
        (event) => window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""
# At which rates its audio runs, one after another.
WATCH_RATES = """
    window.rates = [];
    window.AudioContext = class extends AudioContext {
        constructor(options) {
            super(options);
            window.rates.push(this.sampleRate);
        }
    };
"""
# A browser that gives no microphone to a context of another rate than its own.
REFUSE_8000 = """
    const connect = AudioContext.prototype.createMediaStreamSource;
    AudioContext.prototype.createMediaStreamSource = function (microphone) {
        if (this.sampleRate === 8000) throw new DOMException("another rate", "NotSupportedError");
        return connect.call(this, microphone);
    };
"""
# When the page is read, and before its own scripts run.
FOR_TESTS = """
    document.addEventListener("readystatechange", () => {
        const panel = document.querySelector("phonebot-phone");
        if (document.readyState === "interactive" && panel) {
            Object.assign(panel.dataset, { sampleRate: "RATE", echoCancellation: "off" });
        }
    });
"""
# Beside the page's own listeners: all that the phone tells.
WATCH_PHONE = """() => {
    window.told = [];
    const { phone } = document.querySelector("phonebot-phone");
    for (const type of ["state", "lines", "levels", "heard"]) {
        phone.addEventListener(type, ({ detail }) => {
            const plain = type === "lines" ? { lines: [...detail.lines] } : { ...detail };
            window.told.push({ type, ...plain });
        });
    }
}"""


def chromium() -> str:
    """The distribution's browser. Without it the test is skipped; where all must run (CI), it fails."""
    paths = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    path = next(paths, None)
    if path is not None:
        return path
    if os.environ.get("CI"):
        pytest.fail(REMEDY)
    pytest.skip(REMEDY)


def recording(path: Path, *pieces: bytes | int) -> Path:
    """What the microphone plays: mu-law, or so many ms of silence."""
    audio = b"".join(ulaw_to_pcm(b"\xff" * 8 * piece if isinstance(piece, int) else piece) for piece in pieces)
    wav.write(path, wav.Wav("pcm16", 8000, 1, audio))
    return path


def phrase(name: str) -> bytes:
    """One of the demo caller's."""
    read = wav.read(demo_folder() / name)
    return read.data if read.encoding == "pcmu" else pcm_to_ulaw(read.data)


@asynccontextmanager
async def browser(microphone: Path, allowed: bool = True) -> AsyncIterator[BrowserContext]:
    """A browser whose microphone plays a WAV file once. Not `allowed`: whoever asks for it is told no."""
    arguments = [*ARGUMENTS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
    if allowed:
        arguments.append("--use-fake-ui-for-media-stream")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield await started.new_context(viewport=WIDE, reduced_motion="reduce")
        finally:
            await started.close()


class PhonePage:
    """The page with the phone, as a user who is signed in sees it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    @classmethod
    async def open(
        cls, context: BrowserContext, service: Service, sample_rate: str = "8000", query: str = ""
    ) -> "PhonePage":
        """With echo cancellation off: it would change what is compared."""
        await context.add_cookies([{"name": "session", "value": "ada", "url": service.url}])
        for script in (WATCH_POLICY, WATCH_RATES):
            await context.add_init_script(script)
        await context.add_init_script(FOR_TESTS.replace("RATE", sample_rate))
        phone = cls(await context.new_page())
        await phone.page.goto(f"{service.url}/console/phone{query}")
        await phone.page.wait_for_selector('[data-part="call"]:enabled')
        await phone.page.evaluate(WATCH_PHONE)
        return phone

    async def click(self, part: str) -> None:
        await self.page.click(f'[data-part="{part}"]')

    async def text(self, part: str) -> str:
        return await self.page.inner_text(f'[data-part="{part}"]')

    async def told(self, kind: str) -> list[dict[str, Any]]:
        """What the phone told its listeners, of one kind."""
        events: list[dict[str, Any]] = await self.page.evaluate("window.told")
        return [event for event in events if event["type"] == kind]

    async def state(self, state: str) -> None:
        """Wait for it."""
        await self.page.wait_for_selector(f'phonebot-phone[data-state="{state}"]', timeout=PATIENCE_S * 1000)

    async def until(self, is_so: Callable[[], object], within_s: float = 60.0) -> None:
        """Wait for something outside the page."""
        for _ in range(round(within_s / 0.05)):
            if is_so():
                return
            await self.page.wait_for_timeout(50)
        raise TimeoutError

    async def violations(self) -> list[str]:
        """What the page's policy forbade it."""
        forbidden: list[str] = await self.page.evaluate("window.violations")
        return forbidden

    async def rates(self) -> list[int]:
        """Those at which its audio ran, the last of them now."""
        rates: list[int] = await self.page.evaluate("window.rates")
        return rates

    async def photograph(self, name: str, wide: ViewportSize = WIDE, narrow: ViewportSize = NARROW) -> None:
        """The whole page in both schemes, wide and narrow; afterwards it is as it was."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        for width, size in (("wide", wide), ("narrow", narrow)):
            await self.page.set_viewport_size(size)
            for scheme in SCHEMES:
                await self.page.emulate_media(color_scheme=scheme)
                await self.page.screenshot(path=SCREENS / f"{name}-{width}-{scheme}.png", full_page=True)
        await self.page.set_viewport_size(WIDE)
        await self.page.emulate_media(color_scheme="light")
