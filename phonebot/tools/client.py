"""
The HTTP client of the functions, one for a process: it asks nobody that it must not, and reads no more than it may.

What is sent is what a function says, and nothing else: no cookies, no proxy of the environment, no redirect.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from phonebot import __version__
from phonebot.tools.addresses import AddressRefused, Hosts, PublicResolver
from phonebot.tools.running import ToolFault

MAX_TOLD_CHARACTERS = 500  # of an answer that is a refusal: its reason


@dataclass(frozen=True, slots=True)
class Request:
    """`url` is complete and percent-encoded; `body` None: there is none."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float
    max_response_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever it means; of a longer text so much as was asked for, with a note."""

    status: int
    text: str
    is_compressed: bool = False


class HttpClient:
    """Sends requests while it is entered."""

    def __init__(self, hosts: Hosts, resolver: PublicResolver | None = None) -> None:
        self._hosts = hosts
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(resolver=self._resolver or PublicResolver(self._hosts))
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small answer must not grow
            trust_env=False,
            headers={"User-Agent": f"phonebot/{__version__}", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def send(self, request: Request) -> str:
        """The answer's text, what is over the limit cut off with a note. Raises ToolFault, also for a refusal."""
        return _checked(await self.exchange(request))

    async def exchange(self, request: Request) -> Answer:
        """The answer, with whatever status. Raises ToolFault when there is none."""
        if self._session is None:
            raise ToolFault("failed", "there is no connection", "requests are sent while the service runs")
        url = URL(request.url, encoded=True)
        try:
            self._hosts.check(url.scheme, url.host or "")
            async with self._session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=request.timeout_s),
            ) as response:
                compressed = response.headers.get("Content-Encoding", "identity").lower() != "identity"
                return Answer(response.status, await _read(response, request.max_response_bytes), compressed)
        except AddressRefused as error:
            raise ToolFault("failed", "it may not be asked", str(error)) from None
        except aiohttp.ClientConnectorDNSError as error:
            may_not = isinstance(error.os_error, AddressRefused)
            why = "it may not be asked" if may_not else "it cannot be reached"
            raise ToolFault("failed", why, str(error.os_error)) from None
        except TimeoutError:
            raise ToolFault("timeout", f"no answer within {request.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ToolFault("failed", "it cannot be reached", f"{type(error).__name__}: {error}") from None


async def _read(response: aiohttp.ClientResponse, limit: int) -> str:
    content = bytearray()
    while len(content) <= limit and (piece := await response.content.read(limit + 1 - len(content))):
        content += piece
    if len(content) <= limit:
        return content.decode(errors="replace")
    response.close()  # the rest is not wanted
    return f"{content[:limit].decode(errors='ignore')} [cut after {limit} bytes]"


def _checked(answer: Answer) -> str:
    """The text of an answer that is one. Raises ToolFault."""
    status, text = answer.status, answer.text
    if 200 <= status < 300:
        if answer.is_compressed:
            raise ToolFault(
                "failed", "its answer cannot be read", "the answer is compressed, which was not asked for"
            )
        return text
    detail = f"status {status}"
    if 300 <= status < 400:
        raise ToolFault("failed", "it cannot be reached", f"{detail}: redirects are not followed; correct the URL")
    # A refusal's reason helps the model: "no such order". What a server that broke says is for its owner.
    told = f"{detail}: {text[:MAX_TOLD_CHARACTERS]}".rstrip(": ") if status < 500 else detail
    raise ToolFault("failed", told, f"{detail}: {json.dumps(text[:MAX_TOLD_CHARACTERS], ensure_ascii=False)}")
