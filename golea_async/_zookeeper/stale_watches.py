"""Watches that the server has and nobody here needs any more, until they are removed in a quiet moment.

They would stay on the server as long as the connection. Removed at once, they would keep ZooKeeper busy while somebody
waits: who leaves an election does so just when the successor asks for its place.

Until then such a watch may fire while a request is on its way that sets it again. Whoever listens hears of that, and
counts the watch as used up, but the request sets another one behind it. That one is unneeded, too, if nobody listens;
so is the former one if the request sets none, as `get` does for a missing znode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeAlias

from aiozk import protocol

from .wire import KINDS_USED_UP, RemoveWatches, WatchKind, kind_of_watch

Watch: TypeAlias = tuple[str, WatchKind]  # by absolute path

QUIET = 0.005
"""Seconds without a byte sent or received after which watches are removed: longer than ZooKeeper takes for a list."""

REMOVED_WITHIN = 0.1
"""Seconds after which they are removed also where it never becomes quiet: then in fewer, larger packets."""

REMOVED_AT_ONCE = 500
"""Thousands may be left at once; the event loop goes on between packets of so many."""


class UnneededWatches:
    """Those of one connection. Moments are the event loop's.

    :ivar replaced_by: by watch: the request that sets it again, or removes it, until it is answered.
    """

    def __init__(self) -> None:
        self.replaced_by: dict[Watch, Any] = {}
        self._watches: dict[Watch, None] = {}  # in order
        self._latest = 0.0
        self._fired: set[Watch] = set()  # of these

    def __bool__(self) -> bool:
        return bool(self._watches)

    def add(self, watches: Iterable[Watch], now: float) -> None:
        """Have watches removed, unless they are set again before."""
        if not self._watches:
            self._latest = now + REMOVED_WITHIN
        self._watches.update(dict.fromkeys(watches))

    def sent(self, requests: Iterable[Any]) -> None:
        """Keep what requests set again, whosever they are: the server has one watch for a path and a kind."""
        if not self._watches and not self.replaced_by:
            return
        for request in requests:
            kind = kind_of_watch(request)
            if kind is None:
                continue
            watch = (request.path, kind)
            if watch in self._watches or watch in self.replaced_by:
                self._watches.pop(watch, None)
                self.replaced_by[watch] = request

    def heard(self, event_type: int, path: str) -> None:
        """Take note that a watch has fired."""
        if self._watches or self.replaced_by:
            for kind in KINDS_USED_UP.get(event_type, ()):
                self._watches.pop((path, kind), None)
                if (path, kind) in self.replaced_by:
                    self._fired.add((path, kind))

    def answered(self, request: Any, result: Any) -> Watch | None:
        """Return the watch that the server has now if nobody may listen to it, or None.

        It is the one that the request has set after the former one has fired, or the former one, if it has set none.
        """
        removes = isinstance(request, RemoveWatches)
        kind = request.type if removes else kind_of_watch(request)
        if kind is None:
            return None
        watch = (request.path, kind)
        if self.replaced_by.get(watch) is not request:
            return None
        del self.replaced_by[watch]
        has_fired = watch in self._fired
        self._fired.discard(watch)
        has_set_one = not isinstance(result, Exception) or isinstance(request, protocol.ExistsRequest)
        return watch if not removes and has_fired is has_set_one else None

    def due(self, last_traffic: float) -> float:
        """Return when the next ones are to be removed, if nothing is sent or received until then."""
        return min(last_traffic + QUIET, self._latest) if self._watches else math.inf

    def take(self) -> list[RemoveWatches]:
        """Return what removes the next ones. That one's event has used it up meanwhile is no fault."""
        removals = []
        for path, kind in list(self._watches)[:REMOVED_AT_ONCE]:
            del self._watches[path, kind]
            self.replaced_by[path, kind] = removal = RemoveWatches(path, kind)
            removals.append(removal)
        return removals

    def clear(self) -> None:
        """They have gone with the connection."""
        for each in (self._watches, self.replaced_by, self._fired):
            each.clear()
