"""The keep-alive: quorum writes that change nothing, one at a time per client, while candidates stand on it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.replies import Reply, first_failure

from .batch import ConnectionLostError
from .channel import Channel
from .lease import KEEP_ALIVE_SHARE, Lease

if TYPE_CHECKING:
    from .client_context import ClientContext


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

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._paths: dict[str, None] = {}  # of the candidates that hold it, in the order in which they are checked
        self._elections: list[str] = []  # in which candidates stand, one entry for each
        self._channel: Channel | None = None  # what that was when it was looked at
        self._under_way: _Write | None = None
        self._due: asyncio.TimerHandle | None = None
        self._lapse: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self.moved_at = 0.0

    def stand(self, resource: str) -> None:
        """Test the client's server for a candidate of this election, from its nomination until its znode is gone."""
        self._elections.append(resource)
        if len(self._elections) == 1:
            self._sent_at = boottime()  # its nomination is a quorum write itself: this one is to notice that it hangs
            self._channel = self._context.channel
            self._context.listen(self)
            self._schedule()

    def stand_no_more(self, resource: str) -> None:
        """Test it for this candidate no longer."""
        self._elections.remove(resource)
        if self._elections:
            return
        self._context.unlisten(self)
        if self._under_way is not None:
            self._under_way.forget()
            self._under_way = None
        for timer in (self._due, self._lapse):
            if timer is not None:
                timer.cancel()

    def on_change(self) -> None:
        """Hear that the connection or the lease has come or gone; to be called by the context."""
        self._schedule()

    def hold(self, path: str) -> None:
        """Keep the lease alive for the candidate at ``path``, which stands, and leads or is about to."""
        is_first = not self._paths
        self._paths[path] = None
        if is_first:
            self.watch_lapse()
            self._schedule()

    def release(self, path: str) -> None:
        """Keep it alive for this candidate no longer."""
        self._paths.pop(path, None)
        if not self._paths and self._lapse is not None:
            self._lapse.cancel()

    def watch_lapse(self) -> None:
        """Set the timer to the deadline as it is now; when it strikes too early it is set again."""
        if self._lapse is not None:
            self._lapse.cancel()
        lease = self._context.lease
        if lease is not None and lease.is_valid and self._paths:
            self._lapse = asyncio.get_running_loop().call_later(lease.remaining, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        lease = self._context.lease
        if lease is not None and lease.is_valid:
            self.watch_lapse()
        else:
            self._context.notify()

    def _schedule(self) -> None:
        """Set the timer to when the next one is due: now, where the connection is a new one and somebody leads."""
        if not self._elections or self._under_way is not None:
            return  # nobody stands, or one is under way
        if self._due is not None:
            self._due.cancel()
        former, self._channel = self._channel, self._context.channel
        if self._channel is None:
            return  # one is told of the next connection
        if self._channel is not former and self._paths:
            self._sent_at = 0.0
        wait = max(0.0, self._due_at(self._channel) - boottime())
        self._due = asyncio.get_running_loop().call_later(wait, self._send_if_due, self._channel)

    def _due_at(self, channel: Channel) -> float:
        # Any other quorum write that has come through on this connection was as good as one.
        last = max(self._sent_at, channel.written_at)
        due = last + self._interval(channel.lease)
        if self._paths and not channel.lease.is_valid and last < channel.renews_from:
            due = min(due, channel.renews_from)  # who leads first on a plain client waits no longer than it must
        return due

    def _send_if_due(self, channel: Channel) -> None:
        # Another quorum write may have come through meanwhile.
        if channel.is_current and self._due_at(channel) <= boottime():
            self._sent_at = boottime()
            self._send(channel)
        else:
            self._schedule()

    def _send(self, channel: Channel) -> None:
        self._under_way = _Write(self, channel, next(iter(self._paths), self._elections[0]))

    def is_waiting_for(self, write: _Write) -> bool:
        return self._under_way is write

    def answered(self, path: str, reply: Reply | None) -> None:
        """Go on, with the reply or on the next connection."""
        self._under_way = None
        if reply is not None and first_failure(reply) is not None and path in self._paths:
            # Deleted by somebody: its candidate will hear of it. Go on with another one's.
            del self._paths[path]
            self._paths[path] = None
        self._schedule()

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


class _Write:
    """One of them under way. Unanswered for long, it makes the client go to another server."""

    def __init__(self, keep_alive: KeepAlive, channel: Channel, path: str) -> None:
        self._keep_alive = keep_alive
        self._channel = channel
        self._path = path
        self._timeout = channel.lease.timeout
        self._patience = KEEP_ALIVE_SHARE * self._timeout * random.uniform(1, 1.5)
        self._loop = asyncio.get_running_loop()
        self._asked = channel.ask(channel.check(path))
        self._asked.tell(1, self)
        self._timer = self._loop.call_later(self._patience, self._let_read)

    def forget(self) -> None:
        """Wait no more."""
        self._timer.cancel()

    def told(self) -> None:
        """Read the answer; to be called when it has come, or never will."""
        self._timer.cancel()
        if self._keep_alive.is_waiting_for(self):
            try:
                (reply,) = self._asked.take(1)
            except ConnectionLostError:
                reply = None
            self._keep_alive.answered(self._path, reply)

    def _let_read(self) -> None:
        self._timer = self._loop.call_later(_READING_SHARE * self._timeout, self._judge)

    def _judge(self) -> None:
        now = boottime()
        # ZooKeeper answers one connection in order: while others are answered (thousands may be joining, and this
        # process may be what is slow) its turn has not come.
        wait = max(self._channel.answered_at + self._patience, self._keep_alive.moved_at + self._timeout) - now
        if wait > 0:
            self._timer = self._loop.call_later(wait, self._let_read)
        else:
            self._keep_alive.moved_at = now
            self._channel.abandon()
