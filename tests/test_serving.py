"""The app in an event loop: an address that is ours, and an end whatever happens."""

import socket

import pytest
from service_driver import leaving_nothing, listening_socket
from starlette.applications import Starlette

from phonebot.errors import SettingsError
from phonebot.serving import listen, running


def test_a_listener_may_be_dialled_at_once() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), timeout=10):
        pass


@pytest.mark.parametrize(
    ("host", "problem"),
    [("192.0.2.1", "Cannot assign requested address"), ("no.such.host.invalid", "")],
)
def test_an_address_that_is_not_this_machines_is_refused_in_a_sentence(host: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"cannot listen on {host}, port 0: .*{problem}; choose another"):
        listen(host, 0)


def test_an_address_that_is_taken_is_refused_in_a_sentence() -> None:
    with listening_socket() as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1, port {port}"):
            listen("127.0.0.1", port)


async def test_an_app_stops_when_the_block_fails() -> None:
    async with leaving_nothing():
        with pytest.raises(KeyError):
            async with running(Starlette(), listen("127.0.0.1", 0)):
                raise KeyError
