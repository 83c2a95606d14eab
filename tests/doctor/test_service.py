"""Whether the service runs, and what answers in its place while it does not."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from service_driver import SECRET_KEY, TOKEN, Service

from phonebot.checkup.address import Address, public_url
from phonebot.checkup.check import run
from phonebot.doctor.service import service as look_for
from phonebot.settings import Settings, load


@contextmanager
def free_port() -> Iterator[int]:
    """One that nobody else is given while the block runs, though it can be listened on."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def settings_at(port: int, key: str = SECRET_KEY) -> Settings:
    url = f"http://127.0.0.1:{port}"
    return load(
        {
            "PHONEBOT_PORT": str(port),
            "PHONEBOT_SECRET_KEY": key,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "PHONEBOT_PUBLIC_URL": url,
        },
        None,
    )


async def test_a_service_that_runs_here_is_recognised(service: Service) -> None:
    port = int(service.url.rpartition(":")[2])
    async with look_for(settings_at(port), stand_in=True) as found:
        assert (found.state, found.sentence) == ("ok", f"runs at 127.0.0.1:{port} and takes calls")
    async with look_for(settings_at(port, "another-key-of-another-one"), stand_in=True) as found:
        assert (found.state, "has another secret key" in found.sentence) == ("failed", True)
    service.live.draining = True
    async with look_for(settings_at(port), stand_in=True) as found:
        assert (found.state, "takes no new calls" in found.sentence) == ("warning", True)
    service.live.draining = False


async def test_another_program_at_its_port_is_told() -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    port = listener.getsockname()[1]
    async with look_for(settings_at(port), stand_in=True) as found:
        assert (found.state, found.sentence) == ("failed", f"another program listens at 127.0.0.1:{port}")
        assert "PHONEBOT_PORT" in found.remedy
    await runner.cleanup()


async def test_what_answers_in_its_place_shows_whether_the_public_url_leads_here() -> None:
    with free_port() as port:
        settings = settings_at(port)
        assert settings.public_url
        async with look_for(settings, stand_in=True) as found:
            assert (found.state, found.remedy) == ("warning", "Start it: `phonebot serve`.")
            assert found.sentence == f"does not run at 127.0.0.1:{port}; doctor answers there meanwhile"
            here, stream = await run([public_url(Address(settings.public_url, SECRET_KEY, TOKEN))])
            forged = (await run([public_url(Address(settings.public_url, SECRET_KEY, "forged"))]))[1]
        assert ("leads here" in here.sentence, stream.state, forged.state) == (True, "ok", "failed")
        gone = (await run([public_url(Address(settings.public_url, SECRET_KEY, TOKEN))]))[0]
        assert "connection refused" in gone.sentence


async def test_where_nobody_is_to_be_answered_nothing_listens() -> None:
    with free_port() as port:
        async with look_for(settings_at(port), stand_in=False) as found:
            assert found.sentence == f"does not run on this machine, at 127.0.0.1:{port}"
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", port)) != 0
