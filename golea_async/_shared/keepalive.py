"""The keep-alive: quorum writes that change nothing, one at a time per client, while candidates stand on it."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.replies import first_failure

from .batch import Batch, ConnectionLostError
from .channel import Channel
from .lease import KEEP_ALIVE_SHARE, Lease

# A server that is cut off from the ensemble goes on answering reads and pings, so only a write tells who stands behind
# it. By 1/2 + 13/64 of T its candidates have left it: soon enough to take their sessions along.
_STANDING_SHARE = 1 / 2

# After a blocked event loop an answer may lie in the socket, and timers come before it has been read.
_READING_SHARE = 1 / 64

_CLOCK_TICK = 0.001
"""No timer is set for less: rounding must not make the loop turn without time passing."""


class _Write(NamedTuple):
    """One of them under way."""

    channel: Channel
    path: str
    batch: Batch
    sent_at: float
    patience: float  # seconds after which the client goes to another server


class KeepAlive:
    """Quorum writes for the candidates of one client: they renew the lease, tell when it lapses, and test the server.

    They are sent every T/8 while somebody here leads, every T/2 while candidates only stand; another quorum write of
    this library counts as one. Unanswered for T/8, one makes the client go to another server, at most once per T and
    with jitter: a slow ensemble must not be met with a storm of reconnects.

    One coroutine does all of it: a loop that sleeps until the next moment at which something is due, or until
    something has changed.

    :param channel: returns the client's present channel, or None while there is none.
    :param lease: returns the lease of the client's session, or None before the first connection.
    :param lapsed: called when that lapses while somebody here holds it.
    :param spawn: runs the coroutine in the background, under a name.
    """

    def __init__(
        self,
        channel: Callable[[], Channel | None],
        lease: Callable[[], Lease | None],
        lapsed: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        self._current_channel = channel
        self._current_lease = lease
        self._lapsed = lapsed
        self._spawn = spawn
        self._paths: dict[
            str, None
        ] = {}  # of the candidates that hold the lease, in the order in which they are checked
        self._elections: list[str] = []  # in which candidates stand, one entry for each
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._channel: Channel | None = None  # what that was when it was looked at
        self._under_way: _Write | None = None
        self._suspected_at: float | None = None  # when the write under way was found to be unanswered for too long
        self._sent_at = -math.inf
        self._moved_at = -math.inf
        self._was_valid = False

    # ------------------------------------------------------------------ for whom

    def stand(self, resource: str) -> None:
        """Test the client's server for a candidate of this election, from its nomination until its znode is gone."""
        self._elections.append(resource)
        if len(self._elections) == 1:
            self._sent_at = boottime()  # its nomination is a quorum write itself: this one is to notice that it hangs
            self._channel = self._current_channel()
            if self._task is None or self._task.done():
                self._task = self._spawn(self._run(), "golea_async keep-alive")
            self.look()

    def stand_no_more(self, resource: str) -> None:
        """Test it for this candidate no longer."""
        self._elections.remove(resource)
        if not self._elections:
            self.look()

    def hold(self, path: str) -> None:
        """Keep the lease alive for the candidate at ``path``, which stands, and leads or is about to."""
        self._paths[path] = None
        if len(self._paths) == 1:
            self.look()

    def release(self, path: str) -> None:
        """Keep it alive for this candidate no longer."""
        self._paths.pop(path, None)

    def look(self) -> None:
        """Look again: the connection, the lease or who stands has changed."""
        self._changed.set()

    # ------------------------------------------------------------------ the loop

    async def _run(self) -> None:
        while self._elections:
            self._changed.clear()
            self._notice_connection()
            self._notice_answer()
            self._notice_lapse()
            if self._under_way is None:
                self._send_if_due()
            else:
                self._leave_if_silent(self._under_way)
            await self._sleep_until(self._next_moment())
        self._under_way = self._channel = None

    def _notice_connection(self) -> None:
        """On a new connection, whoever leads sends at once."""
        former, self._channel = self._channel, self._current_channel()
        if self._channel is not None and self._channel is not former and self._paths:
            self._sent_at = -math.inf

    def _notice_answer(self) -> None:
        write = self._under_way
        if write is None or not write.batch.is_complete:
            return
        self._under_way = self._suspected_at = None
        with suppress(ConnectionLostError):
            (reply,) = write.batch.take(1)
            if first_failure(reply) is not None and write.path in self._paths:
                # Deleted by somebody: its candidate will hear of it. Go on with another one's.
                del self._paths[write.path]
                self._paths[write.path] = None

    def _notice_lapse(self) -> None:
        lease = self._current_lease()
        was_valid, self._was_valid = self._was_valid, lease is not None and lease.is_valid
        if was_valid and not self._was_valid and self._paths:
            self._lapsed()

    def _send_if_due(self) -> None:
        channel = self._channel
        if channel is not None and channel.is_current and self._due_at(channel) <= boottime():
            self._send(channel)

    def _send(self, channel: Channel) -> None:
        path = next(iter(self._paths), self._elections[0])
        batch = channel.ask(channel.check(path))
        self._sent_at = boottime()
        patience = KEEP_ALIVE_SHARE * channel.lease.timeout * random.uniform(1, 1.5)
        self._under_way = _Write(channel, path, batch, self._sent_at, patience)
        batch.when_answered(1, self.look)

    def _leave_if_silent(self, write: _Write) -> None:
        """Go to another server when this one does not answer."""
        now = boottime()
        if now < self._silent_from(write):
            self._suspected_at = None
        elif self._suspected_at is None:
            self._suspected_at = now  # let the event loop read once more
        elif now >= self._suspected_at + _READING_SHARE * write.channel.lease.timeout:
            self._suspected_at = None
            self._moved_at = now
            write.channel.abandon()

    def _next_moment(self) -> float:
        """Return when something is due if nothing changes until then."""
        lease, write, channel = self._current_lease(), self._under_way, self._channel
        moment = math.inf
        if lease is not None and lease.is_valid and self._paths:
            moment = boottime() + lease.remaining
        if write is None:
            return moment if channel is None else min(moment, self._due_at(channel))
        if self._suspected_at is None:
            return min(moment, self._silent_from(write))
        return min(moment, self._suspected_at + _READING_SHARE * write.channel.lease.timeout)

    async def _sleep_until(self, moment: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if moment == math.inf else max(moment - boottime(), _CLOCK_TICK)):
                await self._changed.wait()

    # ------------------------------------------------------------------ when

    def _due_at(self, channel: Channel) -> float:
        # Any other quorum write that has come through on this connection was as good as one.
        last = max(self._sent_at, channel.written_at)
        due = last + self._interval(channel.lease)
        if self._paths and not channel.lease.is_valid and last < channel.renews_from:
            due = min(due, channel.renews_from)  # who leads first on a plain client waits no longer than it must
        return due

    def _silent_from(self, write: _Write) -> float:
        # ZooKeeper answers one connection in order: while others are answered (thousands may be joining, and this
        # process may be what is slow) its turn has not come.
        heard_at = max(write.sent_at, write.channel.answered_at)
        return max(heard_at + write.patience, self._moved_at + write.channel.lease.timeout)

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
