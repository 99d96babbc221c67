"""Deleting a candidate's own znode, and no other."""

from __future__ import annotations

from aiozk import exc

from ._nomination import Nomination
from ._place import Place
from ._replies import Reply, accept
from ._zk import Connection


class Deletion:
    """A candidate's last requests: the deletion of its znode, and the removal of watches that nobody needs then."""

    def __init__(self, place: Place, connection: Connection, *, deletes: bool) -> None:
        self._connection = connection
        self._deletes = deletes
        self._unused = place.forget_watches(connection)
        # The deletion uses up the watch of what is deleted.
        removals = [watch for watch in self._unused if not deletes or watch[0] != place.own.path]
        deletion = [connection.delete(place.own.path)] if deletes else []
        self._requests = [*deletion, *connection.remove_watches(removals)]
        self._asked = connection.ask(*self._requests)

    async def reply(self) -> Reply | None:
        """Wait for all answers, and return that to the deletion, if there was one to send."""
        try:
            replies = await self._asked.replies(len(self._requests))
        finally:
            self._connection.drop_unused(self._unused)
        return replies[0] if self._deletes else None


async def stands(nomination: Nomination, connection: Connection) -> bool:
    """Whether this very znode is there: its path may be another candidate's by now."""
    _, shown = await connection.send(connection.check(nomination.path), connection.get(nomination.path))
    return nomination.is_shown_by(accept(shown, exc.NoNode, path=nomination.path, candidate_id=nomination.path))
