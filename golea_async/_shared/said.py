"""What this process has said to operators, and which tokens it has seen, so that it says a thing once."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from weakref import WeakKeyDictionary

import aiozk

from golea_async._protocol.oddities import SeenTokens
from golea_async._zookeeper.log import Log

_logger = Log(logging.getLogger("golea_async.election"))
_MOST_REMEMBERED = 1000
_said: WeakKeyDictionary[aiozk.ZKClient, dict[str, None]] = WeakKeyDictionary()

SEEN_TOKENS = SeenTokens()


def warn_once(client: aiozk.ZKClient, text: str | None, about: str = "") -> None:
    """Log a WARNING, unless this client has led to one about the same thing before; None: there is nothing to say."""
    if text is None:
        return
    said = _said.setdefault(client, {})
    if (key := about or text) in said:
        return
    if len(said) >= _MOST_REMEMBERED:
        del said[next(iter(said))]
    said[key] = None
    _logger.warning("%s", text)


def election_key(client: aiozk.ZKClient, resource: str) -> Hashable:
    """Return what makes an election the same one to this process, also with another client."""
    chroot = "" if client.chroot in (None, "/") else str(client.chroot)
    return frozenset(map(str, client.session.hosts)), chroot + resource
