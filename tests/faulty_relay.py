"""
A network that misbehaves: a TCP relay on loopback that does to the bytes what a test says.

    async with relaying(port) as relay:
        ...                             # connect to relay.port; afterwards no connection through it is left
        relay.weather = Weather(delay_s=0.2)        # of connections from now on
        relay.links[0].cut()                        # of those there are

It knows nothing of what passes: a WebSocket sees what it would see of a bad network or of a peer that dies.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

PIECE_BYTES = 16 * 1024
UNDER_WAY = 64  # pieces; beyond that the sender's socket fills, as before a slow network


@dataclass(frozen=True, slots=True)
class Weather:
    """
    What happens to the bytes of a connection, in both directions alike.

    `delay_s` is that of each byte, `bytes_per_s` the most that pass (None: all), `shred` cuts what is sent into
    pieces of so many bytes, which arrive one by one (None: as it came).
    """

    delay_s: float = 0.0
    bytes_per_s: int | None = None
    shred: int | None = None


FAIR = Weather()


@dataclass(eq=False)
class Link:
    """One connection through the relay: what came in, and what was dialled for it."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    weather: Weather
    # Set: bytes pass. A link that is held looks open from both ends and carries nothing.
    _passing: asyncio.Event = field(default_factory=asyncio.Event)
    # What is done to the next bytes from each side, once.
    _garble: dict[asyncio.StreamWriter, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._passing.set()

    def cut(self) -> None:
        """Break both ends: no close, no goodbye."""
        for end in (self.near, self.far):
            end.transport.abort()

    def hold(self) -> None:
        """Let nothing pass any more, either way, nor the end of a connection: it is half open."""
        self._passing.clear()

    def release(self) -> None:
        self._passing.set()

    def garble(self, *, to_far: bool, every: int = 7) -> None:
        """Spoil one byte in `every` of what goes next to one end."""
        self._garble[self.far if to_far else self.near] = every

    @property
    def is_open(self) -> bool:
        return not (self.near.transport.is_closing() or self.far.transport.is_closing())

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what one end sends to the other, to its end."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._deliver(under_way, writer))
            with suppress(ConnectionError):
                while data := await reader.read(PIECE_BYTES):
                    await under_way.put((self._due_s(), data))
            await under_way.put((self._due_s(), b""))

    async def _deliver(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while True:
                due_s, data = await under_way.get()
                await asyncio.sleep(due_s - loop.time())
                await self._passing.wait()
                if not data:
                    break
                await self._write(self._spoilt(data, writer), writer)
            if writer.can_write_eof():
                with suppress(OSError):  # it has just been cut
                    writer.write_eof()
            return
        while (await under_way.get())[1]:  # the other end is gone: what is sent to it is lost
            pass

    async def _write(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        rate = self.weather.bytes_per_s
        size = self.weather.shred or (max(rate // 50, 1) if rate else len(data))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            writer.write(piece)
            await writer.drain()
            if rate:
                await asyncio.sleep(len(piece) / rate)

    def _spoilt(self, data: bytes, writer: asyncio.StreamWriter) -> bytes:
        every = self._garble.pop(writer, None)
        if every is None:
            return data
        return bytes(byte ^ 0xA5 if index % every == 0 else byte for index, byte in enumerate(data))

    def _due_s(self) -> float:
        return asyncio.get_running_loop().time() + self.weather.delay_s


class Relay:
    """Takes connections at `port` and dials `target` for each, on loopback."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.target = target
        self.weather = FAIR
        self.refuses = False  # who connects finds nobody
        self.links: list[Link] = []  # all there were, in the order in which they came
        self.opened: Callable[[Link], object] = lambda link: None  # is told of each
        self._tasks: set[asyncio.Task[None]] = set()

    async def _accept(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server has made one"
        self._tasks.add(task)
        try:
            with suppress(asyncio.CancelledError):  # by `close`; the server's own callback can't take it
                await self._relay(near_reader, near)
        finally:
            self._tasks.discard(task)
            near.transport.abort()

    async def _relay(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self.refuses:
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return
        link = Link(near, far, self.weather)
        self.links.append(link)
        self.opened(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(link._carry(near_reader, far))
                both.create_task(link._carry(far_reader, near))
        finally:
            far.transport.abort()

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def relaying(target: int) -> AsyncIterator[Relay]:
    """A relay to this port while the block runs."""
    relay = Relay(target)
    server = await asyncio.start_server(relay._accept, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.close()
        await server.wait_closed()
