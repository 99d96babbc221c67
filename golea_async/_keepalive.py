"""The keep-alive: quorum writes that change nothing, one at a time per client, while candidates stand on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ._clock import boottime
from ._lease import KEEP_ALIVE_SHARE, Lease
from ._replies import first_failure
from ._zk import Connection, ConnectionLostError

if TYPE_CHECKING:
    from ._link import Link


# A server that is cut off from the ensemble goes on answering reads and pings, so only a write tells who stands behind
# it. By 1/2 + 13/64 of T its candidates have left it: soon enough to take their sessions along.
_STANDING_SHARE = 1 / 2

# After a blocked event loop an answer may lie in the socket, and timers come before it has been read.
_READING_SHARE = 1 / 64


class KeepAlive:
    """Quorum writes for the candidates of one client: they renew the lease, tell when it lapses, and test the server.

    They are sent every T/8 while somebody here leads, every T/2 while candidates only stand; another quorum write of
    this library counts as one. Unanswered for T/8, one makes the client go to another server, at most once per T and
    with jitter: a slow ensemble must not be met with a storm of reconnects.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._paths: dict[str, None] = {}  # of the candidates that hold it, in the order in which they are checked
        self._elections: list[str] = []  # in which candidates stand, one entry for each
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stirred = asyncio.Event()
        self._sent_at = 0.0
        self._moved_at = 0.0

    @contextmanager
    def standing(self, resource: str) -> Iterator[None]:
        """Test the client's server for a candidate of this election, from its nomination until its znode is gone."""
        self._elections.append(resource)
        if self._task is None:
            self._sent_at = boottime()  # its nomination is a quorum write itself: this one is to notice that it hangs
            self._task = self._link.spawn(self._run(), "golea_async keep-alive")
        try:
            yield
        finally:
            self._elections.remove(resource)
            if not self._elections:
                self._task.cancel()
                self._task = None
                self._stop_timer()

    def hold(self, path: str) -> None:
        """Keep the lease alive for the candidate at ``path``, which stands, and leads or is about to."""
        is_first = not self._paths
        self._paths[path] = None
        if is_first:
            self.watch_lapse()
            self._stirred.set()

    def release(self, path: str) -> None:
        """Keep it alive for this candidate no longer."""
        self._paths.pop(path, None)
        if not self._paths:
            self._stop_timer()

    def watch_lapse(self) -> None:
        """Set the timer to the deadline as it is now; when it strikes too early it is set again."""
        self._stop_timer()
        lease = self._link.lease
        if lease is not None and lease.is_valid and self._paths:
            self._timer = asyncio.get_running_loop().call_later(lease.remaining, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        lease = self._link.lease
        if lease is not None and lease.is_valid:
            self.watch_lapse()
        else:
            self._link.notify()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _run(self) -> None:
        with self._link.listening(self._stirred.set):
            connection: Connection | None = None
            while True:
                former, connection = connection, self._link.connection
                if connection is not former and self._paths:
                    self._sent_at = 0.0  # the lease can be renewed at once
                try:
                    await self._send_when_due(connection)
                except ConnectionLostError:
                    continue

    async def _send_when_due(self, connection: Connection | None) -> None:
        """Send one, or wait: until the next one is due, or something has changed."""
        self._stirred.clear()
        if connection is None or not connection.is_current:
            await self._stirred.wait()
            return
        # Any other quorum write that has come through on this connection was as good as one.
        last = max(self._sent_at, connection.written_at)
        due = last + self._interval(connection.lease)
        if self._paths and not connection.lease.is_valid and last < connection.renews_from:
            due = min(due, connection.renews_from)  # who leads first on a plain client waits no longer than it must
        if (left := due - boottime()) <= 0:
            self._sent_at = boottime()
            await self._send(connection)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._stirred.wait()

    def _interval(self, lease: Lease) -> float:
        """Seconds from one to the next."""
        if not self._paths:
            return _STANDING_SHARE * lease.timeout
        longest = KEEP_ALIVE_SHARE * lease.timeout
        if not lease.is_valid:
            return longest
        # Who led just after a keep-alive of one that only stood has less than T/2 left, and that very keep-alive is to
        # prove a touch to a later one, in the last T/16 of it: near the end they follow each other more closely.
        return max(min(longest, lease.remaining / 2), longest / 8)

    async def _send(self, connection: Connection) -> None:
        """Send one, and wait for its answer; :meth:`Connection.send` renews the lease."""
        path = next(iter(self._paths), self._elections[0])
        timeout = connection.lease.timeout
        wait = patience = KEEP_ALIVE_SHARE * timeout * random.uniform(1, 1.5)
        sending = asyncio.ensure_future(connection.send(connection.check(path)))
        try:
            while not await _is_answered(sending, wait, timeout):
                # ZooKeeper answers one connection in order: while others are answered (thousands may be joining, and
                # this process may be what is slow) its turn has not come.
                if (wait := connection.answered_at + patience - boottime()) > 0:
                    continue
                if (wait := self._moved_at + timeout - boottime()) <= 0:
                    self._moved_at = boottime()
                    connection.abandon()
                    wait = timeout
            (reply,) = await sending
        finally:
            sending.cancel()
        if first_failure(reply) is not None and path in self._paths:
            # Deleted by somebody: its candidate will hear of it. Go on with another one's.
            del self._paths[path]
            self._paths[path] = None


async def _is_answered(sending: asyncio.Future[Any], wait: float, timeout: float) -> bool:
    """Whether a request is answered within so many seconds, on a session with this timeout."""
    await asyncio.wait({sending}, timeout=wait)
    await asyncio.wait({sending}, timeout=_READING_SHARE * timeout)
    return sending.done()
