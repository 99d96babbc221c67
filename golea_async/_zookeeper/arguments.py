"""What an application may give as an argument; what it may not is refused with what to write instead."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import aiozk

LEAST_SECONDS = 0.001
"""ZooKeeper counts in milliseconds."""

MOST_SECONDS = 1000.0
"""From here on a number is taken for milliseconds: no session, and no try to connect, lasts a quarter of an hour."""

FORBIDDEN_CHARACTERS = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]"  # PathUtils.validatePath, in Java's UTF-16
)
"""What ZooKeeper refuses in a path; a character beyond 16 bits is two surrogates to it."""


def check_seconds(name: str, value: object) -> float:
    """Return a number of seconds that is sent to ZooKeeper or bounds a try.

    :raises TypeError: when it is no int or float.
    :raises ValueError: when it is not positive, not finite, or so large that milliseconds must be meant.
    """
    seconds = _number(name, value)
    if not seconds >= LEAST_SECONDS or math.isinf(seconds):
        raise ValueError(f"{name} must be a positive number of seconds, such as {name}=6, not {value!r}")
    if seconds >= MOST_SECONDS:
        meant = f": for {value!r} milliseconds write {name}={seconds / 1000:g}" if seconds < 1e6 else ""
        raise ValueError(f"{name} is in seconds, and {value!r} is more than it can be{meant}")
    return seconds


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} takes seconds as an int or a float, such as {name}=6, not {value!r:.60}{_hint(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is in seconds, and this int is larger than any float") from None


def _hint(value: object) -> str:
    if hasattr(value, "total_seconds"):
        return "; of a timedelta take .total_seconds()"
    return f" ({type(value).__name__})"


def check_flag(name: str, value: object) -> bool:
    """Return a flag.

    :raises TypeError: when it is no bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r:.60}")
    return value


def check_chroot(chroot: object) -> str | None:
    """Return the path that all others are below, or None.

    :raises TypeError: when it is neither None nor a str.
    :raises ValueError: when ZooKeeper has no such path.
    """
    if chroot is None:
        return None
    if not isinstance(chroot, str):
        raise TypeError(f"chroot must be a str such as '/app', or None, not {type(chroot).__name__}")
    if not {".", ".."}.isdisjoint(chroot.split("/")):
        raise ValueError(f"chroot must not have a relative segment: {chroot[:100]!r}")
    if FORBIDDEN_CHARACTERS.search(chroot):
        raise ValueError(f"chroot has a character that ZooKeeper refuses: {chroot[:100]!r}")
    return chroot


def check_acl(name: str, acl: object) -> None:
    """Refuse what is no access control list; None leaves it to the client.

    :raises TypeError: when it is no sequence of ``aiozk.ACL``.
    :raises ValueError: when it is empty.
    """
    if acl is None:
        return
    if isinstance(acl, str | bytes) or not isinstance(acl, Sequence):
        raise TypeError(f"{name} must be a sequence of aiozk.ACL, not {type(acl).__name__}")
    if not acl:
        raise ValueError(f"{name} must not be empty: leave it out")
    for entry in acl:
        if not isinstance(entry, aiozk.ACL):
            raise TypeError(f"{name} must have entries of aiozk.ACL, not {type(entry).__name__}")


def check_auth(auth: Any) -> tuple[tuple[str, bytes], ...]:
    """Return the credentials. No error shows one of them: it may be a password.

    :raises TypeError: when they are no sequence of (scheme, credential).
    """
    entries = auth if isinstance(auth, tuple | list) else (auth,)
    return tuple(_checked_credential(entry) for entry in entries)


def _checked_credential(entry: Any) -> tuple[str, bytes]:
    if isinstance(entry, tuple | list) and len(entry) == 2:
        scheme, credential = entry
        if isinstance(scheme, str) and isinstance(credential, str | bytes):
            return scheme, credential.encode() if isinstance(credential, str) else credential
    raise TypeError("auth takes a sequence of (scheme, credential), such as [('digest', 'user:password')]")
