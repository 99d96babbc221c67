"""Who may do what: access control lists with the schemes `world`, `auth`, `digest` and `ip`. Pure."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ._model import Acl, ErrorCode, Identity, Permission, RequestError

ANYONE = Identity("world", "anyone")


def digest_identity(credentials: bytes) -> Identity:
    """The identity that `addauth digest user:password` gives."""
    text = credentials.decode(errors="replace")
    user = text.split(":", 1)[0]
    digest = base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()
    return Identity("digest", f"{user}:{digest}")


@lru_cache(maxsize=128)
def resolve(acl: tuple[Acl, ...], identities: tuple[Identity, ...]) -> tuple[Acl, ...]:
    """The list as it is stored: without duplicates, and with the author's own identities for the scheme `auth`.

    The same ones come again and again, thousands of times in one multi.

    :raises RequestError: INVALID_ACL
    """
    resolved: list[Acl] = []
    for entry in dict.fromkeys(acl):
        if entry.identity.scheme == "auth":
            own = [Acl(entry.permissions, identity) for identity in identities if identity.scheme == "digest"]
            if not own:
                raise RequestError(ErrorCode.INVALID_ACL)
            resolved += own
        elif _is_valid(entry.identity):
            resolved.append(entry)
        else:
            raise RequestError(ErrorCode.INVALID_ACL)
    if not resolved:
        raise RequestError(ErrorCode.INVALID_ACL)
    return tuple(resolved)


def permits(acl: Iterable[Acl], permission: int, identities: Sequence[Identity]) -> bool:
    """Whether one of the identities has any of these permissions."""
    for entry in acl:  # noqa: SIM110  # a generator would take half of the time of a large transaction
        if entry.permissions & permission and _matches(entry.identity, identities):
            return True
    return False


def require(acl: Iterable[Acl], permission: int, identities: Sequence[Identity]) -> None:
    """:raises RequestError: NO_AUTH, none of the identities has any of these permissions"""
    if not permits(acl, permission, identities):
        raise RequestError(ErrorCode.NO_AUTH)


def redact(acl: Iterable[Acl], identities: Sequence[Identity]) -> tuple[Acl, ...]:
    """The list as its reader may see it: digests only with the permission ADMIN."""
    entries = tuple(acl)
    if permits(entries, Permission.ADMIN, identities):
        return entries
    return tuple(_without_digest(entry) for entry in entries)


def _is_valid(identity: Identity) -> bool:
    if identity == ANYONE:
        return True
    if identity.scheme == "digest" and identity.name is not None:
        # As Java splits: empty parts at the end do not count.
        return len(identity.name.rstrip(":").split(":")) == 2
    return identity.scheme == "ip" and _network(identity.name) is not None


def _matches(wanted: Identity, known: Sequence[Identity]) -> bool:
    if wanted is ANYONE or wanted == ANYONE:
        return True
    if wanted.scheme == "ip":
        network = _network(wanted.name)
        addresses = [each.name for each in known if each.scheme == "ip" and each.name]
        return network is not None and any(ipaddress.IPv4Address(address) in network for address in addresses)
    return wanted in known


def _network(name: str | None) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(name or "", strict=False)
    except ValueError:
        return None


def _without_digest(entry: Acl) -> Acl:
    if entry.identity.scheme != "digest" or entry.identity.name is None:
        return entry
    user = entry.identity.name.split(":", 1)[0]
    return Acl(entry.permissions, Identity("digest", f"{user}:x"))
