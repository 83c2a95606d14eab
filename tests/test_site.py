"""The site of the documents: built as `make docs` builds it, and read in a browser."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser_driver import NARROW, WIDE, browser, recording
from playwright.async_api import expect

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def build(folder: Path) -> tuple[int, str]:
    """Of `docs` in the folder: exit code and output; the site is then in `build/site` of the folder."""
    shutil.copy(ROOT / "mkdocs.yml", folder)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


class Quiet(SimpleHTTPRequestHandler):
    """Tells of no request on the terminal."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address, without a slash at its end."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    code, output = build(folder)
    assert code == 0, output
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder / "build" / "site"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("link", ["[a](agents.md#nowhere)", "[a](nowhere.md)", "[a](#nowhere)"])
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, link: str) -> None:
    documents = tmp_path / "docs"
    documents.mkdir()
    (documents / "index.md").write_text(f"# Home\n\n{link}\n")
    (documents / "agents.md").write_text("# Agents\n")
    code, output = build(tmp_path)
    assert (code, "1 issue" in output) == (1, True), output


@pytest.mark.browser
async def test_the_site_is_searched_and_asks_nobody_else(site: str, tmp_path: Path) -> None:
    """Nor does a page of it run over the edge of a telephone."""
    asked, complaints = list[str](), list[str]()
    async with browser(recording(tmp_path / "silence.wav", 100)) as context:
        page = await context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.set_viewport_size(WIDE)
        await page.goto(f"{site}/index.html")
        # Its script has named the key, and the field is there: before that keys turn the pages.
        await expect(page.get_by_role("button", name="Search Ctrl+K")).to_be_visible()
        await page.keyboard.press("Control+k")
        await expect(page.get_by_role("combobox", name="Search")).to_be_focused()
        await page.keyboard.type("retention")
        await expect(page.get_by_text("How long a call is kept").first).to_be_visible()
        await page.set_viewport_size(NARROW)
        for name in ("settings", "profiles", "architecture", "connect-twilio"):
            await page.goto(f"{site}/{name}.html")
            await expect(page.locator("h1")).to_be_visible()
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= NARROW["width"], name
    assert [url for url in asked if not url.startswith((f"{site}/", "data:", "blob:"))] == []
    assert complaints == []
