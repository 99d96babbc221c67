"""Deleting a candidate's own znode, and no other."""

from __future__ import annotations

from aiozk import exc

from ._asked import Reader
from ._nomination import Nomination
from ._place import Place
from ._replies import Reply, accept
from ._zk import Connection, Event, WatchKind


class Deletion:
    """A candidate's last requests: the deletion of its znode, and the removal of watches that nobody needs then.

    They are sent together: a packet more would cost ZooKeeper more than what is in it, while the successor waits.
    """

    def __init__(self, place: Place, connection: Connection, *, deletes: bool) -> None:
        self._connection = connection
        self._deletes = deletes
        self._own = (place.own.path, WatchKind.DATA)
        if deletes and place.watches_its_own:  # the deletion uses that up, unless it is refused
            connection.watch(*self._own, self)
        requests = [connection.delete(place.own.path)] if deletes else []
        requests += place.leave_watches(connection)
        self._count = len(requests)
        self._asked = connection.ask(*requests)

    def on_event(self, event: Event, path: str) -> None:
        """Hear that the own znode is gone; to be called by the connection."""

    def tell(self, reader: Reader) -> None:
        """Tell it once when :meth:`reply` has all that it waits for, unless it waits by then."""
        self._asked.tell(self._count, reader)

    async def reply(self) -> Reply | None:
        """Wait for all answers, and return that to the deletion, if there was one to send."""
        replies = await self._asked.replies(self._count)
        self._connection.unwatch(self, self._own)
        return replies[0] if self._deletes else None


async def stands(nomination: Nomination, connection: Connection) -> bool:
    """Whether this very znode is there: its path may be another candidate's by now."""
    _, shown = await connection.send(connection.check(nomination.path), connection.get(nomination.path))
    return nomination.is_shown_by(accept(shown, exc.NoNode, path=nomination.path, candidate_id=nomination.path))
