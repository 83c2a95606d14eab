"""
nginx in front of processes of the service, by the configuration that the project ships.

    async with Nginx.serving(tmp_path, [process.port for process in processes]) as front:
        await front.spread_over([8081, 8082])       # as an operator does: another list of processes, and a reload
        front.url                                   # http, for the emulated carrier
        front.secure_url, front.trusted             # https, and the TLS context that believes its certificate

What is replaced in it: ports, the path of its log, and that HTTP is served as well, since the emulated carrier
believes no certificate of a test's. Skipped without nginx, and failed on a machine that builds (CI).
"""

import asyncio
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates import Authority
from closure import PATIENCE_S
from console_driver import Site
from databases import free_port

EXAMPLE = Path(__file__).parent.parent / "deploy" / "nginx"
HOST = "bot.example.com"
PUBLIC_URL = f"https://{HOST}"
REMEDY = "nginx is not installed: apt-get install nginx"

_AROUND = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/phonebot.conf;
}}
"""


def program() -> str:
    """The path of nginx, which Debian keeps out of the reach of users."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(REMEDY)
    return found


def lay_out(folder: Path, configuration: str) -> None:
    """A folder as /etc/nginx is, with a certificate of its own."""
    user = "user root;" if os.geteuid() == 0 else ""  # its workers read what only the owner of the folder may
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, user=user))
    (folder / "phonebot.conf").write_text(configuration)
    (folder / "phonebot").mkdir()
    shutil.copy(EXAMPLE / "processes.conf", folder / "phonebot")
    both = Authority(folder).certified(name=HOST)
    for name in ("fullchain.pem", "privkey.pem"):
        shutil.copy(both, folder / "phonebot" / name)


def configured(folder: Path, port: int, secure_port: int, **seconds: int) -> str:
    """The shipped file for these ports. `seconds` are other times for its time-outs."""
    text = (EXAMPLE / "phonebot.conf").read_text()
    changes = [
        (r"^    listen 80;$", ""),
        (r"^    listen 443 ssl http2;$", f"listen 127.0.0.1:{secure_port} ssl http2; listen 127.0.0.1:{port};"),
        (r"^    return 301 .*$", f"listen 127.0.0.1:{free_port()}; return 301 https://$host$request_uri;"),
        (r"/var/log/nginx/", f"{folder}/"),
        *((rf"^    {name} \d+s;$", f"    {name} {given}s;") for name, given in seconds.items()),
    ]
    for pattern, text_instead in changes:
        text, count = re.subn(pattern, text_instead, text, flags=re.MULTILINE)
        assert count == 1, f"{pattern} stands {count} times in the configuration"
    return text


@dataclass
class Address:
    url: str


@dataclass
class Nginx:
    """`folder` is as /etc/nginx; `log` in it has a line for each request."""

    folder: Path
    port: int
    secure_port: int
    trusted: ssl.SSLContext
    _process: asyncio.subprocess.Process

    @classmethod
    @asynccontextmanager
    async def serving(cls, folder: Path, ports: Sequence[int], **seconds: int) -> AsyncIterator["Nginx"]:
        """In front of processes at these ports of loopback, of which there is one at least."""
        folder = folder / "nginx"
        folder.mkdir()
        port, secure_port = free_port(), free_port()
        lay_out(folder, configured(folder, port, secure_port, **seconds))
        (folder / "phonebot" / "processes.conf").write_text(_listed(ports))
        trusted = ssl.create_default_context(cafile=folder / "authority.pem")
        trusted.check_hostname = False  # it is dialled by its address
        with (folder / "stderr").open("wb") as complaints:
            process = await asyncio.create_subprocess_exec(*_command(folder), stderr=complaints)
        front = cls(folder, port, secure_port, trusted, process)
        try:
            await front._answers()
            yield front
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def secure_url(self) -> str:
        return f"https://127.0.0.1:{self.secure_port}"

    @property
    def site(self) -> Site:
        """For a browser."""
        return Address(self.secure_url)

    @property
    def log(self) -> str:
        return (self.folder / "phonebot.log").read_text()

    @property
    def complaints(self) -> str:
        return (self.folder / "stderr").read_text()

    async def spread_over(self, ports: Sequence[int]) -> None:
        """From now on calls go to these processes. It does not wait until nginx has taken that in."""
        (self.folder / "phonebot" / "processes.conf").write_text(_listed(ports))
        reloading = await asyncio.create_subprocess_exec(*_command(self.folder), "-s", "reload")
        assert await reloading.wait() == 0, self.complaints

    async def _answers(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                assert self._process.returncode is None, self.complaints
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                await writer.wait_closed()
                return


async def checked(folder: Path) -> tuple[int, str]:
    """What nginx says of the configuration in a folder: 0 where it takes it, and its words."""
    command = (*_command(folder), "-t")
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    return process.returncode or 0, said.decode()


def _command(folder: Path) -> tuple[str, ...]:
    return (program(), "-p", f"{folder}/", "-c", f"{folder}/nginx.conf", "-e", "stderr")


def _listed(ports: Sequence[int]) -> str:
    """A list of processes in the words of the shipped one."""
    line = next(line for line in (EXAMPLE / "processes.conf").read_text().splitlines() if line.startswith("server"))
    return "".join(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", line) + "\n" for port in ports)
