"""
Whom a request may be sent to: nobody inside the network in which phonebot runs, unless a setting names him.

A name is resolved where the connection is made, and each address that it has is looked at there: what was looked at
is what is connected to, whatever the name says a moment later.
"""

import ipaddress
import socket
from collections.abc import Collection
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052, 2.1


class AddressRefused(OSError):
    """A host has an address that may not be asked."""


def is_public(text: str) -> bool:
    """Whether an address, as text, is one that everybody on the internet reaches."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(map(_is_public, _all(address)))


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _all(address: Address) -> list[Address]:
    """An address and those that it stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    within: list[Address] = [address]
    if address.sixtofour:
        within.append(address.sixtofour)
    if address.teredo:
        within += address.teredo
    if address in _NAT64:
        # is_global does not count the prefix as such in every version of Python.
        within = [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return within


def _is_written_as_address(host: str) -> bool:
    """Also in the old forms, such as 127.1 and 0x7f000001, which some libraries take for addresses too."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return ":" in host or last.isdigit() or last.startswith("0x")


class Hosts:
    """`allowed` are hosts that are let off: any address, and http:// too."""

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = frozenset(host.lower() for host in allowed)

    def allows(self, host: str) -> bool:
        return host.lower().rstrip(".") in self._allowed

    def check(self, scheme: str, host: str) -> None:
        """
        Raises AddressRefused for what can be refused before a name is resolved.

        An address that is written as one is never resolved: it is looked at here.
        """
        if self.allows(host):
            return
        if scheme != "https":
            raise AddressRefused(f"{host} may be asked over https:// only")
        if _is_written_as_address(host) and not is_public(host):
            raise AddressRefused(f"{host} is not a public address")


class PublicResolver(AbstractResolver):
    """Resolves names as the system does. Raises AddressRefused for one that has an address which is not public."""

    def __init__(self, hosts: Hosts, resolver: AbstractResolver | None = None) -> None:
        self._hosts = hosts
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not self._hosts.allows(host):
            for each in found:
                if not is_public(each["host"]):
                    raise AddressRefused(f"{host} has the address {each['host']}, which is not public")
        return found

    async def close(self) -> None:
        await self._resolver.close()
