"""Deleting a candidate's own znode, and no other."""

from __future__ import annotations

from aiozk import exc

from ._nomination import Nomination
from ._place import Place
from ._shared.batch import Reader
from ._shared.channel import Channel, Event
from ._zookeeper.replies import Reply, accept
from ._zookeeper.wire import WatchKind


class Deletion:
    """The deletion of a candidate's own znode, which was sent: the last request of a candidate."""

    def __init__(self, place: Place, connection: Channel) -> None:
        self._connection = connection
        self._own = (place.own.path, WatchKind.DATA)
        self._asked = connection.ask(connection.delete(place.own.path))
        if place.watches_its_own:  # the deletion uses that up, unless it is refused
            connection.watch(*self._own, self)
        place.leave_watches(connection)

    def on_event(self, event: Event, path: str) -> None:
        """Hear that the own znode is gone; to be called by the connection."""

    def tell(self, reader: Reader) -> None:
        """Tell it once when :meth:`reply` has what it waits for, unless it waits by then."""
        self._asked.tell(1, reader)

    async def reply(self) -> Reply:
        """Wait for the answer, and return it."""
        (reply,) = await self._asked.replies(1)
        self._connection.unwatch(self, self._own)
        return reply


async def stands(nomination: Nomination, connection: Channel) -> bool:
    """Whether this very znode is there: its path may be another candidate's by now."""
    _, shown = await connection.send(connection.check(nomination.path), connection.get(nomination.path))
    return nomination.is_shown_by(accept(shown, exc.NoNode, path=nomination.path, candidate_id=nomination.path))
