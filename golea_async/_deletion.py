"""Deleting a candidate's own znode, and no other."""

from __future__ import annotations

from collections.abc import Callable

from aiozk import exc

from ._nomination import Nomination
from ._place import Place
from ._shared.channel import Channel
from ._shared.watch_table import Event
from ._zookeeper.replies import Reply, accept
from ._zookeeper.wire import WatchKind


class Deletion:
    """The deletion of a candidate's own znode, which was sent: the last request of a candidate."""

    def __init__(self, place: Place, connection: Channel) -> None:
        self._connection = connection
        self._own = (place.own.path, WatchKind.DATA)
        self._asked = connection.ask(connection.delete(place.own.path))
        if place.watches_its_own:  # the deletion uses that up, unless it is refused
            connection.watches.listen(*self._own, self.on_event)
        place.leave_watches(connection)

    def on_event(self, event: Event, path: str) -> None:
        """Hear that the own znode is gone; to be called by the connection."""

    def tell(self, call: Callable[[], None]) -> None:
        """Call once when :meth:`reply` has what it waits for, unless it waits by then."""
        self._asked.when_answered(1, call)

    async def reply(self) -> Reply:
        """Wait for the answer, and return it."""
        (reply,) = await self._asked.replies(1)
        self._connection.unwatch(self.on_event, self._own)
        return reply


async def stands(nomination: Nomination, connection: Channel) -> bool:
    """Whether this very znode is there: its path may be another candidate's by now."""
    _, shown = await connection.send(connection.check(nomination.path), connection.get(nomination.path))
    return nomination.is_shown_by(accept(shown, exc.NoNode, path=nomination.path, candidate_id=nomination.path))
