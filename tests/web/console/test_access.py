"""Which pages are ours."""

import pytest
from starlette.requests import HTTPConnection

from phonebot.web.app import own_urls
from phonebot.web.console.access import Origins
from phonebot.web.console.phone import page_headers


def asking(origin: str | None) -> HTTPConnection:
    headers = [] if origin is None else [(b"origin", origin.encode())]
    return HTTPConnection({"type": "websocket", "headers": headers})


ORIGINS = Origins(("https://bot.example.com/phone", "http://127.0.0.1:8080", "https://other.example.com:443"))


@pytest.mark.parametrize(
    ("origin", "socket"),
    [
        ("https://bot.example.com", "wss://bot.example.com/phone/console/media"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/console/media"),
        ("https://other.example.com", "wss://other.example.com:443/console/media"),
    ],
)
def test_a_page_of_ours_reaches_the_socket_by_the_url_it_came_from(origin: str, socket: str) -> None:
    assert ORIGINS.socket_url(asking(origin), "/console/media") == socket


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://bot.example.com",
        "https://bot.example.com:8443",
        "https://bot.example.com.evil.example",
        "https://evil.example",
        "http://127.0.0.1",
    ],
)
def test_any_other_page_is_not_ours(origin: str | None) -> None:
    assert ORIGINS.url(asking(origin)) is None
    assert ORIGINS.socket_url(asking(origin), "/console/media") is None


@pytest.mark.parametrize(
    ("public_url", "host", "urls"),
    [
        ("https://bot.example.com", "0.0.0.0", ("https://bot.example.com",)),
        (
            "https://bot.example.com/x",
            "127.0.0.1",
            ("https://bot.example.com/x", "http://127.0.0.1:8080", "http://localhost:8080"),
        ),
        ("http://localhost:9000", "0.0.0.0", ("http://localhost:9000", "http://127.0.0.1:9000")),
    ],
)
def test_pages_come_from_the_public_url_and_from_this_machine_if_we_listen_there(
    public_url: str, host: str, urls: tuple[str, ...]
) -> None:
    assert own_urls(public_url, host, 8080) == urls


def test_a_page_may_load_nothing_from_elsewhere_and_run_nothing_inline() -> None:
    policy = page_headers(["https://bot.example.com/x"])["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "connect-src 'self' wss://bot.example.com;" in policy
    assert "unsafe" not in policy
