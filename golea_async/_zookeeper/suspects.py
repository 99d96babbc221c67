"""Which request ends the connection each time that it is sent.

A server says nothing when it closes a connection for a packet over ``jute.maxbuffer``, or for a request that it does
not know. Sent again on each new connection, such a request would go round for ever.

So the connection must have ended at the same request, soon after that was sent, :data:`TRIES` times in a row. Only the
first two of these may be chance: each later connection has answered a ping before the request was sent. Not the second
one, too: a leader whose connection breaks while a keep-alive is under way has no time for that on a slow ensemble.
"""

from __future__ import annotations

from typing import Any

TRIES = 5
_MAY_BE_CHANCE = 2

LARGEST_REQUEST = 0xFFFFF
"""Bytes that a server takes unless ``jute.maxbuffer`` is set (``BinaryInputArchive``)."""


class Suspects:
    """The request at which one session's connections have ended lately.

    :ivar count: how many in a row.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self._key: Any = None

    @property
    def calls_for_ping(self) -> bool:
        """Whether a new connection is to answer a ping before anything else."""
        return self.count >= _MAY_BE_CHANCE

    def connection_ended(self, request: Any | None, *, had_answered: bool) -> str | None:
        """Count the end of a connection; return what is to be said when ``request`` has ended it too often just now.

        :param request: the one whose turn it was when the server closed the connection; None for another end.
        :param had_answered: whether the connection had answered anything before.
        """
        key = None if request is None else _key(request)
        if key is None or key != self._key:
            self._key, self.count = key, 0 if key is None else 1
        elif had_answered or self.count < _MAY_BE_CHANCE:
            self.count += 1
            if self.count == TRIES:
                return self.verdict(request)
        return None

    def answered(self, request: Any) -> None:
        """Take note of a request that did not end its connection."""
        if self.count and _key(request) == self._key:
            self._key, self.count = None, 0

    def verdict(self, request: Any) -> str | None:
        """Say why a request is not to be sent again, or return None."""
        if self.count < TRIES or _key(request) != self._key:
            return None
        return f"the server has ended the connection at this request {self.count} times in a row: {_reasons(request)}"


def _key(request: Any) -> Any:
    parts = getattr(request, "requests", None)
    return (request.opcode, getattr(request, "path", None), parts and tuple(_key(part) for part in parts))


def _reasons(request: Any) -> str:
    name = type(request).__name__.removesuffix("Request")
    path = getattr(request, "path", None)
    what = f"{name} of {path[:200]}" if path else name
    size = len(request.serialize(1))
    known = f"{what}, {size} bytes"
    if is_large(size):
        return f"{known}, which is more than jute.maxbuffer lets it take (1 MiB unless it is set)"
    return (
        f"{known}; the server may be older than ZooKeeper 3.5 and not know it, or its answer may be larger than "
        "jute.maxbuffer, or something between here and there refuses it: the server's log says why"
    )


def reason_of_end(request: Any) -> str:
    """Return what is to be added to the reason why a connection has ended at a request; nothing when that is small."""
    size = len(request.serialize(1))
    if not is_large(size):
        return ""
    return f" at a request of {size} bytes, which is more than jute.maxbuffer lets it take by default"


def is_large(size: int) -> bool:
    """Whether a server ends the connection at a packet of so many bytes, unless ``jute.maxbuffer`` is set."""
    return size > LARGEST_REQUEST
