"""The application's watches: who waits for which event, and which watches the server holds for them.

Elections have their own (``_shared/watch_table.py``), which are asked for anew on each connection.

ZooKeeper has three kinds of watches, and what a watch fires on reconnect depends on its kind (DataTree.setWatches):
a data watch fires DELETED when the znode is gone and DATA_CHANGED when it is newer than the last zxid seen, a child
watch fires DELETED or CHILDREN_CHANGED, an exist watch fires CREATED when the znode is there. So the kind is taken
from the request that set the watch and from its answer, as ZooKeeper's own client does. It is kept only for a path on
which somebody waits: nothing grows with requests, events or waits that came and went.

A watch fires once. When its event is not the one that somebody waits for, as when data change while a deletion is
waited for, the watch is set again, and the znode's ``czxid`` tells whether it was deleted in between.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any

from aiozk import exc, protocol

WatchCallback = Callable[[str], object]

MAX_SET_WATCHES_LENGTH = 128 * 1024
"""Bytes of paths in one SetWatches request, as in ZooKeeper's client: a server refuses frames over 1 MiB."""

CREATED, DELETED = protocol.WatchEvent.CREATED, protocol.WatchEvent.DELETED
DATA_CHANGED, CHILDREN_CHANGED = protocol.WatchEvent.DATA_CHANGED, protocol.WatchEvent.CHILDREN_CHANGED


class WatchList(enum.Flag):
    """The lists of a SetWatches request."""

    DATA = enum.auto()
    EXIST = enum.auto()
    CHILD = enum.auto()


_NONE = WatchList(0)

_USED_UP = {
    CREATED: WatchList.DATA | WatchList.EXIST,
    DATA_CHANGED: WatchList.DATA | WatchList.EXIST,
    CHILDREN_CHANGED: WatchList.CHILD,
    DELETED: WatchList.DATA | WatchList.EXIST | WatchList.CHILD,
}

# For a path on which somebody waits while no watch of theirs is known yet: what their request would have set. None of
# these fires anything that the request, once it is sent, would not show as well.
_WOULD_FIRE = {
    CREATED: WatchList.EXIST,
    DELETED: WatchList.DATA,
    DATA_CHANGED: WatchList.DATA,
    CHILDREN_CHANGED: WatchList.CHILD,
}


# What may be waited for when an event has used up the watch that would have told of it.
_STILL_DUE = {
    CREATED: (DELETED, DATA_CHANGED),
    DELETED: (CREATED, DATA_CHANGED),
    DATA_CHANGED: (DELETED, CREATED),
    CHILDREN_CHANGED: (DELETED,),
}


class Watches:
    """The watches of one session.

    :ivar callbacks: the callbacks by (event type, absolute path); no entry is ever empty.
    """

    def __init__(self) -> None:
        self.callbacks: dict[tuple[int, str], set[WatchCallback]] = {}
        self._kinds: dict[str, WatchList] = {}
        self._created: dict[str, int] = {}  # the czxid of a watched znode that is there, by path

    def add(self, event_type: int, path: str, callback: WatchCallback) -> None:
        self.callbacks.setdefault((event_type, path), set()).add(callback)

    def discard(self, event_type: int, path: str, callback: WatchCallback) -> None:
        waiting = self.callbacks.get((event_type, path))
        if waiting is None:
            return
        waiting.discard(callback)
        if not waiting:
            del self.callbacks[event_type, path]
            if not self.anybody_waits(path):
                self._kinds.pop(path, None)
                self._created.pop(path, None)

    def request_answered(self, request: Any, result: Any) -> bool:
        """Note which watch the server has set. To be called before any later event is handled.

        Return whether the znode is another one than before, or none: its deletion came while no watch was set.
        """
        if not self.callbacks or not getattr(request, "watch", False) or not self.anybody_waits(request.path):
            return False
        path = request.path
        kind = _kind_set_by(request, result)
        if kind:
            self._kinds[path] = self._kinds.get(path, _NONE) | kind
        before = self._created.get(path)
        if isinstance(result, exc.NoNode):
            self._created.pop(path, None)
            return before is not None
        if (stat := getattr(result, "stat", None)) is None:
            return False
        self._created[path] = stat.created_zxid
        return before not in (None, stat.created_zxid)

    def fire(self, event_type: int, path: str) -> list[WatchCallback]:
        """Return the callbacks that wait for this event. The server has dropped the watches that it came from."""
        if event_type == DELETED:
            self._created.pop(path, None)
        if self.anybody_waits(path):
            # Kept also when nothing remains: what was used up is not to be set again, unlike what is not known.
            self._kinds[path] = self._kinds.get(path, _NONE) & ~_USED_UP.get(event_type, _NONE)
        return self.callbacks_of(event_type, path)

    def set_again_after(self, event_type: int, path: str) -> bool:
        """Return whether somebody waits for another event, of which no watch tells any more; note that one will.

        To be called behind :meth:`fire`. Whoever waits for this event, too, has heard enough.
        """
        heard = self.callbacks.get((event_type, path), set())
        due = [other for other in _STILL_DUE.get(event_type, ()) if self.callbacks.get((other, path), set()) - heard]
        left = self._kinds.get(path, _NONE)
        told = left & (WatchList.DATA | WatchList.EXIST) or (left & WatchList.CHILD and due == [DELETED])
        if not due or told:
            return False
        # As it is to be set on the next connection, when the request that sets it is lost with this one.
        self._kinds[path] = left | (WatchList.EXIST if event_type == DELETED else WatchList.DATA)
        return True

    def callbacks_of(self, event_type: int, path: str) -> list[WatchCallback]:
        """Return the callbacks that wait for this event."""
        return list(self.callbacks.get((event_type, path), ()))

    def forget_kinds(self) -> None:
        """The session is lost, and all the server's watches with it. Who waits goes on waiting."""
        self._kinds.clear()

    def requests_to_set_again(self, last_zxid: int) -> Iterator[Any]:
        """The SetWatches requests for a new connection; an event is due for what changed after ``last_zxid``."""
        request, length = _set_watches(last_zxid), 0
        for path, kinds in self._kinds_by_path().items():
            if length >= MAX_SET_WATCHES_LENGTH:
                yield request
                request, length = _set_watches(last_zxid), 0
            for kind in kinds:
                _paths_of_kind(request, kind).append(path)
                length += len(path.encode()) + 4
        if length:
            yield request

    def _kinds_by_path(self) -> dict[str, WatchList]:
        kinds = dict(self._kinds)
        for event_type, path in self.callbacks:
            if path not in self._kinds:
                kinds[path] = kinds.get(path, _NONE) | _WOULD_FIRE.get(event_type, _NONE)
        return kinds

    def anybody_waits(self, path: str) -> bool:
        """Whether a callback waits for any event of this path."""
        return bool(self.callbacks) and any((event_type, path) in self.callbacks for event_type in _USED_UP)


def _kind_set_by(request: Any, result: Any) -> WatchList:
    missing = isinstance(result, exc.NoNode)
    if isinstance(result, Exception) and not missing:
        return _NONE
    if isinstance(request, protocol.ExistsRequest):
        return WatchList.EXIST if missing else WatchList.DATA
    if missing:
        return _NONE
    if isinstance(request, protocol.GetDataRequest):
        return WatchList.DATA
    if isinstance(request, protocol.GetChildrenRequest | protocol.GetChildren2Request):
        return WatchList.CHILD
    return _NONE


def _set_watches(last_zxid: int) -> Any:
    return protocol.SetWatchesRequest(relative_zxid=last_zxid, data_watches=[], exist_watches=[], child_watches=[])


def _paths_of_kind(request: Any, kind: WatchList) -> Any:
    if kind is WatchList.DATA:
        return request.data_watches
    return request.exist_watches if kind is WatchList.EXIST else request.child_watches
