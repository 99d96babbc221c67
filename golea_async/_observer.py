"""Following who leads, without standing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiozk
from aiozk import exc

from ._candidates import Candidate, candidate_of
from ._protocol.refusals import accept, require_done
from ._protocol.znodes import in_order
from ._shared.channel import Channel
from ._shared.client_context import on_connection
from ._shared.watch_table import Event
from ._zookeeper.replies import is_missing
from ._zookeeper.wire import WatchKind
from .exceptions import election_not_found


class LeaderObserver(AsyncIterator[Candidate | None]):
    """Looks when it is read: between two reads nothing of it stays in ZooKeeper or on the client."""

    def __init__(self, zk: aiozk.ZKClient, resource: str) -> None:
        self._zk = zk
        self._resource = resource
        self._has_read = False
        self._last: Candidate | None = None

    async def __anext__(self) -> Candidate | None:
        leader = await on_connection(self._zk, self._next_change)
        self._has_read, self._last = True, leader
        return leader

    async def _next_change(self, connection: Channel) -> Candidate | None:
        changed = asyncio.Event()
        watches = _Watches(connection, changed)
        try:
            while True:
                changed.clear()
                leader = await self._look(connection, watches)
                if not self._has_read or leader != self._last:
                    return leader
                await changed.wait()
        finally:
            watches.remove()

    async def _look(self, connection: Channel, watches: _Watches) -> Candidate | None:
        """Return who leads now, with a watch that fires when that may change."""
        while True:
            synced, listed = await connection.send(connection.sync(self._resource), connection.children(self._resource))
            require_done(synced)
            if is_missing(accept(listed, exc.NoNode, path=self._resource, resource=self._resource)):
                if not self._has_read:
                    raise election_not_found(self._resource)
                watches.add(self._resource, WatchKind.DATA)
                (node,) = await connection.send(connection.exists(self._resource, watch=True))
                if is_missing(accept(node, exc.NoNode, path=self._resource, resource=self._resource)):
                    return None
            elif not (names := in_order(listed.children)):
                watches.add(self._resource, WatchKind.CHILDREN)
                (listed,) = await connection.send(connection.children(self._resource, watch=True))
                accept(listed, exc.NoNode, path=self._resource, resource=self._resource)
                if not is_missing(listed) and not in_order(listed.children):
                    return None
            else:
                path = f"{self._resource}/{names[0]}"
                watches.add(path, WatchKind.DATA)
                (reply,) = await connection.send(connection.get(path, watch=True))
                leader = candidate_of(path, self._resource, reply)
                if leader is not None:
                    return leader


class _Watches:
    """The watches of one read."""

    def __init__(self, connection: Channel, changed: asyncio.Event) -> None:
        self._connection = connection
        self._changed = changed
        self._keys: set[tuple[str, WatchKind]] = set()

    def add(self, path: str, kind: WatchKind) -> None:
        """Listen to a watch; to be called before the request that sets it."""
        self._connection.watches.listen(path, kind, self.on_event)
        self._keys.add((path, kind))

    def on_event(self, _event: Event, _path: str) -> None:
        """Hear of the event of one; to be called by the connection."""
        self._changed.set()

    def remove(self) -> None:
        """Remove them all."""
        self._connection.unwatch(self.on_event, *self._keys)
