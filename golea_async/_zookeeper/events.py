"""What happens to a session, for who wants to follow it."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

MOST_UNREAD = 1000
"""Events that are kept for a reader who does not read; of more, the oldest go. Each names its session."""


class SessionState(StrEnum):
    """What a :class:`SessionEvent` tells."""

    CONNECTED = "connected"
    """There is a connection to a server, within the session of the event."""
    SUSPENDED = "suspended"
    """The connection is gone; the client looks for another server. The session may live or not: nobody knows."""
    LOST = "lost"
    """The session is gone and its ephemeral znodes with it: ZooKeeper said so, or the client was closed."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """A change of a session.

    :ivar state: what it is now.
    :ivar session_id: the session that it is about.
    :ivar read_only: whether it is connected to a server that is cut off from the ensemble and only answers reads.
    """

    state: SessionState
    session_id: int
    read_only: bool = False


class SessionEvents:
    """An async iterator of :class:`SessionEvent`, from its making on: none is missed, none merged, all in order.

    Held and never read it costs bounded memory: of more than a thousand unread events the oldest are dropped.

    It ends when the client is closed. A cancelled read loses nothing. It is held weakly: who drops it leaves nothing
    behind. Made by :meth:`golea_async.ZKClient.session_events`.
    """

    def __init__(self, publisher: SessionEventPublisher) -> None:
        self._publisher = publisher
        self._events: deque[SessionEvent | None] = deque(maxlen=MOST_UNREAD)

    def __aiter__(self) -> SessionEvents:
        return self

    async def __anext__(self) -> SessionEvent:
        while not self._events:
            await self._publisher.wait_for_next()
        event = self._events[0]
        if event is None:  # Stays there: an iterator that has ended goes on saying so.
            raise StopAsyncIteration
        self._events.popleft()
        return event

    def put(self, event: SessionEvent | None) -> None:
        if not self._events or self._events[-1] is not None:
            self._events.append(event)


class SessionEventPublisher:
    """Hands every event to every reader."""

    def __init__(self) -> None:
        self._readers: weakref.WeakSet[SessionEvents] = weakref.WeakSet()
        # Strongly: they keep the tasks alive that wait here.
        self._waiters: set[asyncio.Future[None]] = set()

    def subscribe(self) -> SessionEvents:
        reader = SessionEvents(self)
        self._readers.add(reader)
        return reader

    def publish(self, event: SessionEvent | None) -> None:
        """Hand out an event; None is the end."""
        for reader in list(self._readers):
            reader.put(event)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for_next(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
