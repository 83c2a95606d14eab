"""The public URL, by real sockets: a proxy with TLS in front of what answers in the service's place."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from certificates import Authority
from service_driver import SECRET_KEY, TOKEN, Service

from phonebot.carrier.signature import sign
from phonebot.checkup.address import Address, of_certificate, public_url
from phonebot.checkup.check import Check, run
from phonebot.recognition import HEADER, PARAMETER, proof

STREAM_OK = "a WebSocket gets through, and our signature is accepted"


class Site:
    """
    Answers at the public URL as the service does, except for what is told otherwise.

    `status` and `body` are those of /healthz, `key` the secret key that it has; `upgrades`: WebSockets get through;
    `token` signs streams; `stopping`: it takes none.
    """

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, "ok", dict[str, str]()
        self.key, self.token, self.upgrades = SECRET_KEY, TOKEN, True
        self.stopping = False
        self.url = ""

    async def healthz(self, request: web.Request) -> web.Response:
        proved = {HEADER: proof(self.key, request.query[PARAMETER])}
        return web.Response(status=self.status, text=self.body, headers=proved | self.headers)

    async def media(self, request: web.Request) -> web.StreamResponse:
        if not self.upgrades:
            return web.Response(status=404)
        url = f"ws{self.url.removeprefix('http')}/twilio/media"
        if self.stopping:
            return web.Response(status=503)
        if request.headers.get("X-Twilio-Signature") != sign(self.token, url):
            return web.Response(status=403)
        stream = web.WebSocketResponse()
        await stream.prepare(request)
        await stream.receive()
        return stream

    @asynccontextmanager
    async def serving(self, secure: ssl.SSLContext | None = None) -> AsyncIterator["Site"]:
        app = web.Application()
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/twilio/media", self.media)
        runner = web.AppRunner(app)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener, ssl_context=secure).start()
        scheme, host = ("https", "localhost") if secure else ("http", "127.0.0.1")
        self.url = f"{scheme}://{host}:{listener.getsockname()[1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that this process trusts, as if it were known to the machine."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


async def found(url: str, key: str | None = SECRET_KEY, token: str | None = TOKEN) -> list[Check]:
    checks = await run([public_url(Address(url, key, token))])
    told = "".join(check.sentence + check.remedy for check in checks)
    assert SECRET_KEY not in told
    assert TOKEN not in told
    assert all(check.remedy for check in checks if check.state in ("failed", "warning"))
    return checks


def states(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.state) for check in checks]


async def test_a_url_that_leads_here_lets_a_signed_stream_through(service: Service) -> None:
    here, stream = await found(service.public_url)
    assert (here.state, here.sentence.endswith("leads here, from this machine alone")) == ("warning", True)
    assert (stream.state, stream.sentence) == ("ok", STREAM_OK)
    assert service.witnesses == []


async def test_a_certificate_that_holds_is_told_with_its_time(authority: Authority) -> None:
    async with Site().serving(authority.server(timedelta(days=89, hours=1))) as site:
        here, certificate, stream = await found(site.url)
    # The test's name leads to the loopback, which nobody reaches from outside.
    assert (here.state, here.sentence.endswith("leads here, but to 127.0.0.1")) == ("warning", True)
    assert certificate == Check("TLS certificate", "ok", "its chain and name are right; valid for 89 days")
    assert stream.sentence == STREAM_OK


@pytest.mark.parametrize(
    ("lasts", "name", "told"),
    [
        (timedelta(days=-1), "localhost", "its certificate has expired"),
        (timedelta(days=90), "other.example.com", "its certificate is for another name"),
    ],
)
async def test_a_certificate_that_does_not_hold_cuts_off_the_rest(
    authority: Authority, lasts: timedelta, name: str, told: str
) -> None:
    async with Site().serving(authority.server(lasts, name)) as site:
        here, certificate, stream = await found(site.url)
    assert (certificate.state, certificate.sentence) == ("failed", f"of localhost: {told}")
    assert "fullchain.pem" in certificate.remedy
    assert (here.state, here.sentence) == ("skipped", "not asked: TLS certificate failed")
    assert stream.state == "skipped"


async def test_a_certificate_of_an_unknown_authority_fails(tmp_path: Path) -> None:
    async with Site().serving(Authority(tmp_path).server()) as site:
        certificate = (await found(site.url))[1]
    assert (certificate.state, "its authority not known here" in certificate.sentence) == ("failed", True)


def test_a_certificate_that_ends_soon_is_warned_of() -> None:
    day_s = 86_400
    assert of_certificate(14.5 * day_s).state == "ok"
    soon = of_certificate(1.5 * day_s)
    assert (soon.state, soon.sentence.endswith("valid for 1 day")) == ("warning", True)
    assert soon.remedy.startswith("Renew it")


@pytest.mark.parametrize(
    ("status", "told", "remedy"),
    [
        (502, "answers 502: its proxy does not reach the service", "Start the service"),
        (301, "redirects (status 301), which signatures do not survive", "Set PHONEBOT_PUBLIC_URL"),
        (404, "/healthz answers 404, not as phonebot does", "Check PHONEBOT_PUBLIC_URL"),
    ],
)
async def test_a_url_that_leads_elsewhere_says_what_answered(status: int, told: str, remedy: str) -> None:
    async with Site().serving() as site:
        site.status = status
        here, stream = await found(site.url)
    assert (here.state, here.sentence.removeprefix(site.url).strip()) == ("failed", told)
    assert here.remedy.startswith(remedy)
    assert (stream.state, stream.sentence) == ("skipped", "not asked: Public URL failed")


async def test_another_phonebot_is_not_taken_for_this_one() -> None:
    async with Site().serving() as site:
        site.key = "another"
        here, _ = await found(site.url)
        assert (here.state, "another phonebot: its secret key differs" in here.sentence) == ("failed", True)
        assert "PHONEBOT_SECRET_KEY" in here.remedy
        assert (await found(site.url, key=None))[0].state == "warning"


async def test_a_proxy_that_lets_no_websocket_through_fails() -> None:
    async with Site().serving() as site:
        site.upgrades = False
        stream = (await found(site.url))[1]
    assert (stream.state, stream.sentence) == ("failed", "/twilio/media answers 404: no WebSocket gets through")
    assert "Upgrade" in stream.remedy


async def test_a_service_that_is_stopping_says_so() -> None:
    async with Site().serving() as site:
        site.stopping = True
        stream = (await found(site.url))[1]
    assert (stream.state, stream.sentence) == ("failed", "/twilio/media answers 503: every process is stopping")


async def test_a_service_with_another_token_refuses_our_signature() -> None:
    async with Site().serving() as site:
        site.token = "another"
        stream = (await found(site.url))[1]
        assert (stream.state, "refuses our signature" in stream.sentence) == ("failed", True)
        assert "TWILIO_AUTH_TOKEN" in stream.remedy
        unasked = (await found(site.url, token=None))[1]
        assert (unasked.state, unasked.sentence.startswith("not set up: TWILIO_AUTH_TOKEN")) == ("skipped", True)


async def test_a_name_that_nobody_knows_fails() -> None:
    here, certificate, stream = await found("https://no-such-name.invalid")
    assert (here.state, here.sentence) == ("failed", "the name no-such-name.invalid is not known")
    assert here.remedy.startswith("Make a DNS entry")
    assert (certificate.state, stream.state) == ("skipped", "skipped")


async def test_a_port_where_nobody_listens_fails() -> None:
    here, _ = await found("http://127.0.0.1:1")
    assert (here.state, "connection refused" in here.sentence) == ("failed", True)
    secure = await found("https://127.0.0.1:1")
    assert states(secure) == [("Public URL", "skipped"), ("TLS certificate", "failed"), ("Media stream", "skipped")]
