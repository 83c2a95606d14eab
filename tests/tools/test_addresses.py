"""Whom a request may be sent to."""

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from phonebot.tools.addresses import AddressRefused, Hosts, PublicResolver, is_public


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00::1",
        "ff02::1",
        "ff0e::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "no address",
    ],
)
def test_an_address_that_is_not_for_everybody_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "127.000.000.001", "::1", "10.0.0.1."]
)
def test_an_address_in_place_of_a_name_is_looked_at_however_it_is_written(host: str) -> None:
    with pytest.raises(AddressRefused, match="is not a public address"):
        Hosts().check("https", host)


def test_requests_go_over_tls() -> None:
    Hosts().check("https", "shop.example.com")
    Hosts().check("https", "8.8.8.8")
    with pytest.raises(AddressRefused, match="over https:// only"):
        Hosts().check("http", "shop.example.com")


@pytest.mark.parametrize("host", ["shop.internal", "SHOP.internal", "127.0.0.1"])
def test_a_host_that_is_named_is_let_off(host: str) -> None:
    Hosts(["Shop.internal", "127.0.0.1"]).check("http", host)


class Names(AbstractResolver):
    """Knows the addresses of one name, whoever asks; each time those of the next answer."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._answers.pop(0)
        ]

    async def close(self) -> None:
        pass


async def test_a_name_is_refused_if_any_of_its_addresses_is_not_public() -> None:
    resolver = PublicResolver(Hosts(), Names(["8.8.8.8"], ["8.8.8.8", "10.0.0.1"]))
    assert [each["host"] for each in await resolver.resolve("a.example.com")] == ["8.8.8.8"]
    with pytest.raises(AddressRefused, match=r"a.example.com has the address 10.0.0.1, which is not public"):
        await resolver.resolve("a.example.com")
    await resolver.close()


async def test_a_name_that_is_allowed_may_have_any_address() -> None:
    resolver = PublicResolver(Hosts(["shop.internal"]), Names(["10.0.0.1"]))
    assert [each["host"] for each in await resolver.resolve("shop.internal")] == ["10.0.0.1"]
