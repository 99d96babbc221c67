"""The servers that an application names, and the addresses behind their names."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import re
import socket
from collections.abc import AsyncGenerator
from typing import NamedTuple

DEFAULT_PORT = 2181

_BRACKETED = re.compile(r"\[(?P<name>[^]]+)](?::(?P<port>\d+))?")
_NAMED = re.compile(r"(?P<name>[^:]+)(?::(?P<port>\d+))?")


class Host(NamedTuple):
    """A server as the application named it: a name that may stand for several addresses, or an address."""

    name: str
    port: int


class Address(NamedTuple):
    """One address of a host."""

    host: Host
    address: str


def parse_hosts(servers: str) -> list[Host]:
    """``host:port,host:port,...``; the port can be left out, IPv6 addresses may stand in brackets.

    :raises ValueError: it names no server, or a part of it cannot be read.
    """
    hosts = [_parse_host(part.strip()) for part in servers.split(",") if part.strip()]
    if not hosts:
        raise ValueError(f"no server is named in {servers!r}; it takes 'host:port,host:port,...'")
    return hosts


def _parse_host(text: str) -> Host:
    if _is_address(text):  # A bare IPv6 address: what follows its last colon is no port.
        return Host(text, DEFAULT_PORT)
    match = _BRACKETED.fullmatch(text) or _NAMED.fullmatch(text)
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port < 65536:
        raise ValueError(f"{text!r} is no 'host:port'")
    return Host(match["name"], port)


async def resolve(host: Host) -> list[Address]:
    """All addresses of a host, IPv4 and IPv6, in random order.

    :raises OSError: the name cannot be resolved.
    """
    if _is_address(host.name):
        return [Address(host, host.name)]
    found = await asyncio.get_running_loop().getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    addresses = list({Address(host, str(sockaddr[0])) for *_, sockaddr in found})
    random.shuffle(addresses)
    return addresses


async def in_random_order(
    hosts: list[Host], last: Address | None, timeout: float
) -> AsyncGenerator[Address | tuple[Host, Exception], None]:
    """Every address of every host, or the error that there was instead of them. ``last`` comes last.

    Names are resolved as late as possible, each within ``timeout`` seconds, so that a name server that hangs holds up
    nobody whose address is known.
    """
    shuffled = random.sample(hosts, len(hosts))
    for host in sorted(shuffled, key=lambda host: last is not None and host == last.host):
        try:
            async with asyncio.timeout(timeout):
                addresses = await resolve(host)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA cannot encode.
            yield host, error
            continue
        for address in sorted(addresses, key=lambda address: address == last):
            yield address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
