"""The watches that this library has on one connection: one row for each, whatever becomes of it.

ZooKeeper has one watch for a path and a kind on one connection, it fires once, and its event comes in order with the
replies: behind those that were made before, and before those that show what came after. So the row needs no more than
what the stream of replies and events says, and many listeners share it: a second candidate that watches the same path
sends nothing.

    row       a request that sets the watch
    UNASKED   was not sent, or was refused, or has found nothing where `get` leaves no watch
    ASKED     was sent, and is not answered
    SET       is answered: `shows` says whether the znode is there, and that is so until the watch fires
    FIRED     the event has come, or the connection has ended: the row has left the table

Invariant: a row in the table has a listener, and is not FIRED.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, IntEnum, auto
from typing import TypeAlias

from aiozk import exc, protocol

from golea_async._zookeeper.replies import Reply, is_missing, is_refused
from golea_async._zookeeper.requests import Request
from golea_async._zookeeper.wire import KINDS_USED_UP, WatchKind


class Event(IntEnum):
    """What a watch says (ZooKeeper's ``EventType``). LOST is ours: the connection ended, and its watches with it."""

    LOST = 0
    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


Listener: TypeAlias = Callable[[Event, str], None]
"""Called with the event that uses the watch up, and the path."""


class WatchState(Enum):
    """How far a watch has come: see the module's text."""

    UNASKED = auto()
    ASKED = auto()
    SET = auto()
    FIRED = auto()


class Watch:
    """One row of the table. A listener may keep it after it has fired.

    :ivar shows: whether the znode is there, as the reply said that has set the watch; None before.
    """

    __slots__ = ("kind", "listeners", "path", "shows", "state")

    def __init__(self, path: str, kind: WatchKind) -> None:
        self.path = path
        self.kind = kind
        self.state = WatchState.UNASKED
        self.shows: bool | None = None
        self.listeners: dict[Listener, None] = {}  # in order: a schedule can be played again exactly

    @property
    def is_on_server(self) -> bool:
        """Whether ZooKeeper may have it now, or as soon as it has read what was sent."""
        return self.state in (WatchState.ASKED, WatchState.SET)

    @property
    def is_shareable(self) -> bool:
        """Whether it is set, or asked for: a second listener needs no request of its own."""
        return self.shows is not None or self.state is WatchState.ASKED


class WatchTable:
    """The rows of one connection, by path within the client's chroot."""

    def __init__(self, chroot: str) -> None:
        self._chroot = chroot
        self._rows: dict[WatchKind, dict[str, Watch]] = {WatchKind.CHILDREN: {}, WatchKind.DATA: {}}

    def listens(self, absolute_path: str, kind: WatchKind) -> bool:
        """Whether somebody listens to a watch."""
        return self._relative(absolute_path) in self._rows[kind]

    def path_of(self, request: Request) -> str:
        """Return the path that a request is about."""
        path: str = request.path[len(self._chroot) :]
        return path

    def find(self, path: str, kind: WatchKind) -> Watch | None:
        """Return the row of a watch to which somebody listens, or None."""
        return self._rows[kind].get(path)

    def known_znodes(self) -> list[Watch]:
        """Return the rows of znodes (not of children) of which ZooKeeper has shown whether they are there."""
        return [row for row in self._rows[WatchKind.DATA].values() if row.shows is not None]

    def listen(self, path: str, kind: WatchKind, listener: Listener) -> Watch:
        """Have ``listener`` called with a watch's next event. To be called before a request that sets the watch."""
        row = self._rows[kind].get(path)
        if row is None:
            row = self._rows[kind][path] = Watch(path, kind)
        row.listeners[listener] = None
        return row

    def leave(self, path: str, kind: WatchKind, listener: Listener) -> Watch | None:
        """Call ``listener`` no longer; return the row when that was the last one, and it has left the table."""
        row = self._rows[kind].get(path)
        if row is None or listener not in row.listeners:
            return None
        del row.listeners[listener]
        if row.listeners:
            return None
        del self._rows[kind][path]
        return row

    def sent(self, requests: Sequence[Request]) -> None:
        """Take note of requests that may set watches."""
        for request in requests:
            row = self._row_of(request)
            if row is not None and row.state is WatchState.UNASKED:
                row.state = WatchState.ASKED

    def answered(self, request: Request, reply: Reply) -> None:
        """Take note of what a request has set, and shown."""
        row = self._row_of(request)
        if row is None:
            return
        if not is_refused(reply):
            row.state, row.shows = WatchState.SET, True
            return
        asks_exists = isinstance(request, protocol.ExistsRequest)
        if asks_exists and is_missing(reply):
            row.state, row.shows = WatchState.SET, False
        else:  # `get` and `getChildren` set no watch where nothing is; `exists` says NoAuth of what cannot be read
            row.state = WatchState.UNASKED
            row.shows = True if asks_exists and isinstance(reply, exc.NoAuth) else None

    def fired(self, event: Event, absolute_path: str) -> list[Watch]:
        """Take the rows out of the table whose watches an event has used up, and return them."""
        path = self._relative(absolute_path)
        rows = [] if path is None else [self._rows[kind].pop(path, None) for kind in KINDS_USED_UP[event]]
        return [_fired(row) for row in rows if row is not None]

    def lost(self) -> list[Watch]:
        """Take all rows out of the table, since the connection has ended, and return them."""
        rows = [row for by_path in self._rows.values() for row in by_path.values()]
        for by_path in self._rows.values():
            by_path.clear()
        return [_fired(row) for row in rows]

    def _row_of(self, request: Request) -> Watch | None:
        if not getattr(request, "watch", False) or not request.path.startswith(self._chroot):
            return None
        return self._rows[request.watch_kind].get(request.path[len(self._chroot) :])

    def _relative(self, absolute_path: str) -> str | None:
        return absolute_path[len(self._chroot) :] if absolute_path.startswith(self._chroot) else None


def _fired(row: Watch) -> Watch:
    row.state, row.shows = WatchState.FIRED, None
    return row
