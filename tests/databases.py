"""
Databases for tests: a new one of each kind for each test.

PostgreSQL is a server of its own, started from the system's package for the whole run, as a user other than root.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

KINDS = ("sqlite", "postgresql")
REMEDY = "PostgreSQL is not installed: apt-get install postgresql"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server on the loopback. Its superuser `phonebot` needs no password, everyone else does."""

    folder: Path
    programs: Path
    port: int

    def url(self, name: str, user: str = "phonebot") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{name}"

    def create(self, template: str | None = None) -> str:
        """The name of a new database, empty or a copy of `template`."""
        name = f"test_{next(_numbers)}"
        self.run_sql(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return name

    def run_sql(self, statement: str, database: str = "postgres") -> str:
        psql = str(self.programs / "psql")
        command = [psql, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder} "
            "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        )
        self._pg_ctl("-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._pg_ctl("-m", "immediate", "stop")

    def _pg_ctl(self, *arguments: str) -> None:
        as_postgres([self.programs / "pg_ctl", "-s", "-w", "-D", self.folder / "data", *arguments])


def as_postgres(command: list[Path | str]) -> None:
    """PostgreSQL refuses to run as root."""
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    # Its server would keep a pipe open.
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **user)  # type: ignore[call-overload]


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Skips the test where PostgreSQL is missing, and fails it on a machine that builds (CI)."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    if not (programs or found):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(REMEDY)
    where = programs[-1] if programs else Path(str(found)).parent
    folder = Path(tempfile.mkdtemp(prefix="phonebot-postgres-"))
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = folder / "data"
        options = ["-U", "phonebot", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        as_postgres([where / "initdb", "-D", data, *options])
        (data / "pg_hba.conf").write_text(
            "host all phonebot 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        server = PostgresServer(folder, where, free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
