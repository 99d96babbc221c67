"""The statuses of one candidate, and the readers that never miss a loss."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator

from .exceptions import ElectionError
from .status import Role, Status

_NOT_STANDING = Status(Role.NONE)


class StatusReader(AsyncIterator[Status]):
    """One reader's view of a candidate's statuses: the current one, then every change, then the end.

    Cancelling a read loses nothing. A reader that does not keep up costs the memory of two statuses: what it has not
    read is merged, but when the last status that it read was a leader's, the loss of that leadership stays to be read
    before anything newer.
    """

    def __init__(self, waiting: set[StatusReader]) -> None:
        self._unread: list[Status] = []
        self._last_read: Status | None = None
        self._ended = False
        self._readable = asyncio.Event()
        self._waiting = waiting  # the readers that are awaited, of one board
        self._reads = 0  # pending ones

    def __aiter__(self) -> StatusReader:
        return self

    async def __anext__(self) -> Status:
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            await self._next_publication()
        self._last_read = self._unread.pop(0)
        return self._last_read

    async def _next_publication(self) -> None:
        """Wait, and be held meanwhile: asyncio holds tasks weakly, so nobody else may hold the one that waits here."""
        self._readable.clear()
        self._reads += 1
        self._waiting.add(self)
        try:
            await self._readable.wait()
        finally:
            self._reads -= 1
            if not self._reads:
                self._waiting.discard(self)

    def publish(self, status: Status) -> None:
        """Add a status to what is to be read, merging what may be merged."""
        loss_is_unread = self._last_read is not None and self._last_read.role is Role.LEADER
        kept = self._unread[:1] if loss_is_unread else []
        self._unread = [*kept, status]
        self._readable.set()

    def end(self, final: Status | None) -> None:
        """Let the reader end: behind a final status, or at once, since what is unread is not true any more."""
        if final is None:
            self._unread.clear()
        else:
            self.publish(final)
        self._ended = True
        self._readable.set()


class StatusBoard:
    """The latest status of one candidate and those who read it.

    A reader is held weakly, so that ``break`` leaves nothing behind, but strongly while a read is pending.
    """

    def __init__(self) -> None:
        self.latest = _NOT_STANDING
        self.has_ended = False
        self._final: Status | None = None
        self._decision: asyncio.Future[Status] | None = None
        self._readers: dict[weakref.ref[StatusReader], None] | None = None  # thousands stand that nobody reads
        self._waiting: set[StatusReader] | None = None

    def reader(self) -> StatusReader:
        """Subscribe a new reader, from the current status on."""
        if self._waiting is None:
            self._waiting = set()
        reader = StatusReader(self._waiting)
        if self.has_ended:
            reader.end(self._final)
        else:
            reader.publish(self.latest)
            self._readers = self._readers or {}
            self._readers[weakref.ref(reader, self._forget)] = None
        return reader

    def decision(self) -> asyncio.Future[Status]:
        """Return a future of the next status that is a leader's or a follower's, or else of the last one.

        It has one waiter, which may cancel it: lighter than a reader where thousands start at once.
        """
        decision = self._decision = asyncio.get_running_loop().create_future()
        if self.has_ended:
            self._decide(self.latest)
        return decision

    def _decide(self, status: Status) -> None:
        decision, self._decision = self._decision, None
        if decision is not None and not decision.done():
            decision.set_result(status)

    def _forget(self, reader: weakref.ref[StatusReader]) -> None:
        if self._readers is not None:
            self._readers.pop(reader, None)

    def _living_readers(self) -> list[StatusReader]:
        return [reader for reference in list(self._readers or ()) if (reader := reference()) is not None]

    def publish(self, status: Status) -> None:
        """Make a status the latest and give it to every reader; nothing follows the end."""
        if self.has_ended:
            return
        self.latest = status
        if status.role in (Role.LEADER, Role.FOLLOWER):
            self._decide(status)
        for reader in self._living_readers():
            reader.publish(status)

    def end(self, error: ElectionError | None) -> None:
        """End every reader: behind a last status that says why, or without one after a resignation."""
        if self.has_ended:
            return
        self.has_ended = True
        before = self.latest
        self.latest = Status(
            Role.NONE,
            candidate_id=before.candidate_id,
            was_following=before.now_following,
            error=error,
        )
        self._final = None if error is None else self.latest
        self._decide(self.latest)
        for reader in self._living_readers():
            reader.end(self._final)
        self._readers = None
