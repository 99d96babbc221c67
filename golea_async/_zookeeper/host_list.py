"""Reading the list of servers that an application gives: ``host:port,host:port,...``. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

DEFAULT_PORT = 2181
LONGEST_NAME = 253

_BRACKETED = re.compile(r"\[(?P<name>[^]]+)](?::(?P<port>[0-9]{1,9}))?")
_NAMED = re.compile(r"(?P<name>[^:]+)(?::(?P<port>[0-9]{1,9}))?")
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")
_IN_NO_NAME = re.compile(r"""[\x00-\x20\x7f!"#$%&'()*+,/:;<=>?@\[\\\]^`{|}~]""")
_SYNTAX = "write 'host:port,host:port,...'"


class Host(NamedTuple):
    """A server as the application named it: a name that may stand for several addresses, or an address."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class UnknownNameError(OSError):
    """A host's name has no address, or none in time."""


class Address(NamedTuple):
    """One address of a host."""

    host: Host
    address: str


def parse_hosts(servers: object) -> list[Host]:
    """Read ``host:port,host:port,...``; the port can be left out, IPv6 addresses may stand in brackets.

    What other clients take and this one does not is refused with what to write: a path behind the hosts, a scheme,
    a user, other separators than commas, a list.

    :raises TypeError: it is no str.
    :raises ValueError: it names no server, or a part of it cannot be read.
    """
    if not isinstance(servers, str):
        joined = "; join a list by commas: ','.join(hosts)" if isinstance(servers, list | tuple | set) else ""
        raise TypeError(f"the servers must be a str, 'host:port,host:port,...', not {type(servers).__name__}{joined}")
    _refuse_addition(servers)
    hosts = [_parse_host(part.strip(), servers) for part in servers.split(",") if part.strip()]
    if not hosts:
        raise ValueError(f"no server is named in {_shown(servers)}: {_SYNTAX}")
    return hosts


def _refuse_addition(servers: str) -> None:
    """Refuse what belongs into another argument. A password may stand before an @: such a text is not shown."""
    bare = _SCHEME.sub("", servers)
    if "@" in servers:
        raise ValueError(f"the servers have a user in front (an '@'): {_SYNTAX}, and give auth=[('digest', 'user:pw')]")
    if scheme := _SCHEME.match(servers):
        tls = ", and ssl= for TLS" if scheme[1].lower() in {"ssl", "tls", "https", "rediss", "zks"} else ""
        raise ValueError(f"the servers begin with a scheme, {scheme[0].strip()!r}: leave it out, {_SYNTAX}{tls}")
    if "/" in bare:
        hosts, _, path = bare.partition("/")
        if re.search(r"[,;:]", path) or not hosts.strip():
            raise ValueError(
                f"the servers have a path in them, {_shown(servers)}: {_SYNTAX}, and give the path as chroot="
            )
        write = f"ZKClient({hosts.strip()!r}, chroot={'/' + path.strip()!r})" if path.strip() else repr(hosts.strip())
        raise ValueError(f"the servers end in a path, {_shown(servers)}: that is another argument here, write {write}")


def _parse_host(text: str, servers: str) -> Host:
    if is_address(text):  # A bare IPv6 address: what follows its last colon is no port.
        return Host(text, DEFAULT_PORT)
    bracketed = _BRACKETED.fullmatch(text)
    match = bracketed or _NAMED.fullmatch(text)
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port < 65536:
        raise ValueError(f"{_shown(text)} is no 'host:port': {_problem(text)}{_SYNTAX}")
    name = match["name"]
    if bracketed and not is_address(name):
        raise ValueError(f"{_shown(text)} is no 'host:port': brackets are for IPv6 addresses; {_SYNTAX}")
    if not bracketed and _IN_NO_NAME.search(name):
        raise ValueError(f"{_shown(servers)} is no 'host:port': {_problem(name)}{_SYNTAX}")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{_shown(text)} is no 'host:port': a name of {len(name)} characters, 253 are the most")
    return Host(name, port)


def _problem(text: str) -> str:
    if ";" in text or re.search(r"\s", text):
        return "servers are separated by commas; "
    if text.endswith(":"):
        return "the port is missing (without the colon it is 2181); "
    if text.startswith(":"):
        return "the name is missing; "
    _, _, port = text.rpartition(":")
    if port.isdecimal() and ":" not in text[: -len(port) - 1]:
        return "a port is 1 to 65535; "
    return ""


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 100 else f"{text[:100]!r}..."


def is_address(text: str) -> bool:
    """Return whether a name is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
