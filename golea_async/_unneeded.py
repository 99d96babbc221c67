"""Watches that the server has and nobody here needs any more, until they are removed in a quiet moment.

They would stay on the server as long as the connection. Removed at once, they would keep ZooKeeper busy while somebody
waits: who leaves an election does so just when the successor asks for its place.
"""

from __future__ import annotations

import math
from typing import Any

from ._requests import RemoveWatches, WatchKind, kind_of_watch

QUIET = 0.005
"""Seconds without a byte sent or received after which watches are removed: longer than ZooKeeper takes for a list."""

REMOVED_WITHIN = 0.1
"""Seconds after which they are removed also where it never becomes quiet: then in fewer, larger packets."""

REMOVED_AT_ONCE = 500
"""Thousands may be left at once; the event loop goes on between packets of so many."""


class UnneededWatches:
    """Those of one connection. Moments are the event loop's."""

    def __init__(self) -> None:
        self._watches: dict[tuple[str, WatchKind], None] = {}  # in order
        self._latest = 0.0

    def __bool__(self) -> bool:
        return bool(self._watches)

    def add(self, path: str, kind: WatchKind, now: float) -> None:
        """Have a watch removed, unless it is set again before."""
        if not self._watches:
            self._latest = now + REMOVED_WITHIN
        self._watches[path, kind] = None

    def keep(self, request: Any) -> None:
        """Keep what a request sets again, whosever it is: the server has one watch for a path and a kind."""
        if self._watches and (kind := kind_of_watch(request)) is not None:
            self._watches.pop((request.path, kind), None)

    def due(self, last_traffic: float) -> float:
        """Return when the next ones are to be removed, if nothing is sent or received until then."""
        return min(last_traffic + QUIET, self._latest) if self._watches else math.inf

    def take(self) -> list[RemoveWatches]:
        """Return what removes the next ones. That one's event has used it up meanwhile is no fault."""
        taken = list(self._watches)[:REMOVED_AT_ONCE]
        for watch in taken:
            del self._watches[watch]
        return [RemoveWatches(path, kind) for path, kind in taken]

    def clear(self) -> None:
        """They have gone with the connection."""
        self._watches.clear()
