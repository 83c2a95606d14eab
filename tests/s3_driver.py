"""An S3-compatible server for tests: moto's, in a process of its own."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Thread

from closure import pooled

READY = "Running on "


@dataclass(frozen=True, slots=True)
class S3Server:
    """`endpoint` is its URL. It believes any key."""

    endpoint: str
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"calls-{next(self._numbers)}"
        with urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")):
            return name


@contextmanager
def s3_server() -> Iterator[S3Server]:
    command = [sys.executable, "-c", "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    reading = Thread(target=process.stderr.read)
    try:
        line = next(line for line in process.stderr if READY in line)
        # It writes a line for each request: nobody reading them, it would wait for ever.
        reading.start()
        server = S3Server(line.partition(READY)[2].strip())
        pooled(int(server.endpoint.rpartition(":")[2]))
        yield server
    finally:
        process.kill()
        process.wait()
        if reading.ident:
            reading.join()
        process.stderr.close()
