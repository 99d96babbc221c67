"""A candidate's place in the line: who is before it, and the watches on which that knowledge rests.

What is known is bound to one connection: with that it counts as unknown, and is looked up again on the next one.
"""

from __future__ import annotations

from collections.abc import Callable

from aiozk import exc

from ._identity import Identity
from ._nomination import Nomination
from ._replies import Reply, accept, is_missing, is_present
from ._zk import Connection, Event, WatchKind
from .standing import DONE, View


class Place:
    """The place of one znode among the candidates.

    :ivar own: that znode.
    :ivar followed: path of the znode that was followed last; None for who was the first.
    :ivar has_seen_done: whether ``DONE`` was heard to be created: it may be gone again, with the own znode.
    """

    def __init__(self, identity: Identity, own: Nomination, heard: Callable[[Event, str], None]) -> None:
        self.own = own
        self.followed: str | None = None
        self.has_seen_done = False
        self.done = f"{identity.resource}/{DONE}"
        self._resource = identity.resource
        self._names = identity.names
        self._heard = heard
        self._watched: dict[tuple[str, WatchKind], None] = {}  # whose event has not come yet
        self._connection: Connection | None = None  # the one on which the place was taken; None while it is looked for
        self._shown_on: Connection | None = None  # the last one on which ZooKeeper has shown the own znode

    async def look(self, connection: Connection, predecessor: str | None, *, barrier: bool) -> View:
        """Ask ZooKeeper, in one round trip, for all that is not being watched yet; list when nobody is named.

        A watch counts from when its request is sent: its event can come before the reply.
        """
        own, followed = self.own, f"{self._resource}/{predecessor}"
        asked = {}
        if barrier:
            asked["barrier"] = connection.check(self._resource)
        if self._must_ask(connection, own.path, shared=False):
            asked["own"] = connection.get(own.path, watch=True)
        if self._must_ask(connection, self.done):
            asked["done"] = connection.exists(self.done, watch=True)
        if predecessor is None:
            if not connection.lease.is_valid:  # who finds itself the first needs a lease at once
                asked["keep-alive"] = connection.check(own.path)
            asked["children"] = connection.children(self._resource)
        elif self._must_ask(connection, followed):
            asked["predecessor"] = connection.get(followed, watch=True)
        replies = dict(zip(asked, await connection.send(*asked.values()), strict=True))
        return self._view(connection, predecessor, replies)

    def _view(self, connection: Connection, predecessor: str | None, replies: dict[str, Reply]) -> View:
        """Read the replies: what was not asked is being watched, and so is as it was."""
        own, done, listed = self.own, replies.get("done"), replies.get("children")
        if "own" in replies:
            is_own = self._is_there(connection, own.path, replies["own"]) and own.is_shown_by(replies["own"])
            self._shown_on = connection if is_own else None
        if "predecessor" in replies:
            is_there = self._is_there(connection, f"{self._resource}/{predecessor}", replies["predecessor"])
            predecessor = predecessor if is_there else None
        if done is not None and not is_present(done, path=self.done, **self._names):
            connection.confirm_watch(self.done, WatchKind.DATA, self._on_event)
            done = None
        if listed is not None:
            accept(listed, exc.NoNode, path=self._resource, **self._names)
        return View(
            own_stands=self._shown_on is connection,
            done=done is not None,
            predecessor=predecessor,
            children=None if listed is None or is_missing(listed) else listed.children,
        )

    def _is_there(self, connection: Connection, path: str, reply: Reply) -> bool:
        """Whether a watched ``get`` has found its znode; of a missing one it leaves no watch."""
        if is_missing(accept(reply, exc.NoNode, path=path, **self._names)):
            self._watches_no_more(connection, path)
            return False
        connection.confirm_watch(path, WatchKind.DATA, self._on_event)
        return True

    def leave(self) -> None:
        """Stand nowhere until the place was looked for and taken."""
        self._connection = None

    def take(self, connection: Connection, followed: str | None) -> None:
        """Stand behind ``followed``, as was seen on this connection; None: stand before all others."""
        self.followed = followed
        self._connection = connection

    def holds(self, connection: Connection) -> bool:
        """Whether the place was taken on this connection, and every watch on which it rests is still silent."""
        return (
            self._connection is connection
            and connection.is_current
            and self._watches(connection, self.own.path)
            and self._watches(connection, self.done)
            and (self.followed is None or self._watches(connection, self.followed))
        )

    def sees_its_own(self, connection: Connection) -> bool:
        """Whether the own znode stands: it was shown on this connection, and its watch is still silent."""
        return self._shown_on is connection and self._watches(connection, self.own.path)

    def sees_the_followed(self, connection: Connection) -> bool:
        """Whether the watch of the one who is followed is still silent."""
        return self.followed is not None and self._watches(connection, self.followed)

    def forget_watches(self, connection: Connection) -> list[tuple[str, WatchKind]]:
        """Listen no more; return the watches that nobody needs now, as :meth:`Connection.forget_watches` does."""
        return connection.forget_watches(self._on_event, *self._watched)

    def _on_event(self, event: Event, path: str) -> None:
        self._watched.pop((path, WatchKind.DATA), None)
        self.has_seen_done = self.has_seen_done or event is Event.CREATED  # of all these only DONE can be missing
        self._heard(event, path)

    def _watches(self, connection: Connection, path: str) -> bool:
        return connection.is_watching(path, WatchKind.DATA, self._on_event)

    def _must_ask(self, connection: Connection, path: str, *, shared: bool = True) -> bool:
        """Listen to the watch of a znode; return whether it takes a request to set it and to see the znode.

        It does not when ZooKeeper has set it already, for this candidate or for another one on this connection (a
        shared one): then the znode is as it was, or an event would have come. Of the own znode this one's stat counts.
        """
        if self._watches(connection, path):
            return False
        is_set = connection.has_set_watch(path, WatchKind.DATA)
        connection.watch(path, WatchKind.DATA, self._on_event)
        self._watched[path, WatchKind.DATA] = None
        return not (shared and is_set)

    def _watches_no_more(self, connection: Connection, path: str) -> None:
        connection.drop_unused(connection.forget_watches(self._on_event, (path, WatchKind.DATA)))
        self._watched.pop((path, WatchKind.DATA), None)
