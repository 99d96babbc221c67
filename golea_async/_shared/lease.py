"""The lease: until when, by this machine's clock, nobody else can lead.

Theory of operation
===================

A program can be cut off from ZooKeeper, or not run at all (a blocked event loop, SIGSTOP, a paused machine), while its
session expires and somebody else is elected. And its server can be cut off from the ensemble and go on answering
reads, pings, even ``sync``, for ``syncLimit`` ticks. So leading has a deadline, kept here, and only quorum writes move
it. Let T be the session timeout, the smallest that was negotiated in this session.

    deadline = A + 5/6 T

At a write that succeeded on this session and connection, A is the time at which the newest of these was *sent*:

- this connection's ConnectRequest: it touches the session at ZooKeeper's leader;
- a request on this connection that was *acknowledged* at least T/4 before the write was *sent*; T/4 by ZooKeeper's
  clock, so 11/40 T by this machine's, which may be 10 % faster.

Why that holds (``zookeeper-server`` at 53a78e36f):

- Only the server to which a client is connected touches its session (ZooKeeperServer.java:1262), and only for what
  passes ``submitRequestNow``. That decides which answers are acknowledgements:

  - counted: every numbered request, ``ping``, ``setWatches`` and ``closeSession`` among them, whether it was carried
    out, refused (FinalRequestProcessor.java:604), refused early by an access control list (ZooKeeperServer.java:2369)
    or throttled (RequestThrottler.java:185, 188): all were touched before;
  - not counted: what ``processPacket`` answers itself, which is ``auth`` (ZooKeeperServer.java:1720, 1732), ``sasl``
    (1831, 1846) and whatever comes to a server that requires authentication first (AuthenticationHelper.java:124);
  - never answered: a request of a session that is gone (ZooKeeperServer.java:1276), or dropped by the throttler
    (RequestThrottler.java:152, 161);
  - without effect: what a read-only server answers. It touches, and tells nobody (ReadOnlyZooKeeperServer.java:103),
    but it carries out no write (ReadOnlyRequestProcessor.java:74), and closes its connections before it follows a
    leader again.

- A write's answer is its own. A server takes a commit for the request that waits longest if session and number are the
  same (CommitProcessor.java:326). Numbers go on through a session, so a write that was left behind on an earlier
  connection has a number that no request of this one has: its commit, which says nothing of touches on this stream,
  is taken for none of them.
- A follower collects touches and tells ZooKeeper's leader with its next reply to a ping (Learner.java:893), at most
  half a tick later.
- T is at least two ticks (the default of ``minSessionTimeout``), so half a tick is at most T/4: a touch that was
  acknowledged T/4 before the write left its server ahead of the write, on the same stream to ZooKeeper's leader.
- The write's success proves that a leader with a quorum had that touch when it committed the write: it will not expire
  the session before A + T. A leader elected later starts the time of every session anew.
- That leader is taken to ask for touches each half tick. When it stands still (SIGSTOP, a pause of its machine) it
  asks for none; when it goes on it ends what is overdue at once, maybe just after it has committed a write. To bound
  what that costs, take two writes, of which the first was answered before the second was sent. When ZooKeeper's leader
  committed the first it ran, and had asked for touches within T/4. So the second write moves the deadline no further
  than 3/4 T by that leader's clock, 15/22 T by this machine's, after the sending of the first. A halt before the first
  write on a connection, or one that began before the first of the two was sent, is not noticed.
- Reads, pings, ``sync`` and refusals prove nothing of that kind, and renew nothing.
- 5/6: two machines' clocks may run at rates 10 % apart, and something is left for who acts on the answer.

A lease that has lapsed may be renewed when the session turns out to have survived. That begins a new stretch:
whoever asks about the one before is told that it is over, for good.

The clock goes on while the machine is suspended, and a forked child, which shares the parent's memory but not its
session, holds no lease.

What this assumes of ZooKeeper, of clocks and of operators stands in ``docs/lease.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from golea_async._zookeeper.acknowledgements import Acknowledgements
from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.process import this_process

LEASE_SHARE = 5 / 6
CLOCK_RATES = 1.1
"""How much faster one machine's clock may run than another's."""
TOUCH_TRAVELS = CLOCK_RATES / 4
KEEP_ALIVE_SHARE = 1 / 8
SAFE_BEFORE_A_HALT = 3 / 4 / CLOCK_RATES  # 15/22


class Write(NamedTuple):
    """A quorum write that has succeeded.

    :ivar previous_sent_at: when the newest one on this connection was sent that was answered before this one was sent;
        None without one.
    """

    sent_at: float
    previous_sent_at: float | None = None

    def latest_touch(self, timeout: float) -> float:
        """Return the latest touch that this write proves also when ZooKeeper's leader stood still before it came."""
        if self.previous_sent_at is None:
            return math.inf
        return self.previous_sent_at + (SAFE_BEFORE_A_HALT - LEASE_SHARE) * timeout


class Lease:
    """The lease of one session.

    :ivar timeout: T in seconds.
    :ivar stretch: grows with each renewal of a lease that had lapsed.
    """

    def __init__(self, session_id: int, timeout: float, begun: Callable[[], None]) -> None:
        self.session_id = session_id
        self.timeout: float = timeout
        self.stretch: int = 0
        self._begun = begun
        self._deadline = -math.inf
        self._renewed_at = boottime()
        self._gap = 0.0  # between the last renewal before this stretch and the one that began it
        self._process = this_process()

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, 0 when it has passed."""
        left = self._deadline - boottime()
        return left if left > 0 and self._process == this_process() else 0.0

    @property
    def is_valid(self) -> bool:
        """Whether the deadline is in the future."""
        return boottime() < self._deadline and self._process == this_process()

    @property
    def silent_for(self) -> float:
        """Seconds without a renewal: of a lease that has lapsed, up to now; of a valid one, before it began anew."""
        return self._gap if self.is_valid else boottime() - self._renewed_at

    def was_renewed_since(self, moment: float) -> bool:
        """Whether a quorum write has moved the deadline since then."""
        return self._renewed_at >= moment

    def limit(self, timeout: float) -> bool:
        """Take note of the timeout that was negotiated on another connection; return whether the deadline has moved.

        The smallest counts.
        """
        if timeout >= self.timeout:
            return False
        self._deadline -= LEASE_SHARE * (self.timeout - timeout)
        self.timeout = timeout
        return True

    def renew(self, touched_at: float) -> None:
        """Move the deadline, if this is later: a quorum write has succeeded that proves a touch at this time or later.

        When that begins a new stretch, ``begun`` is called.
        """
        deadline = touched_at + LEASE_SHARE * self.timeout
        if deadline <= self._deadline or self._process != this_process():
            return
        now = boottime()
        begins = now >= self._deadline
        self._deadline = deadline
        if begins:
            self.stretch += 1
            self._gap = now - self._renewed_at
        self._renewed_at = now
        if begins:
            self._begun()


def is_limited(write: Write, timeout: float, acknowledgements: Acknowledgements) -> bool:
    """Return whether the next write would prove much more than this one, whose predecessor was sent long ago."""
    acknowledged = acknowledgements.newest_acknowledged(write.sent_at - TOUCH_TRAVELS * timeout)
    return acknowledged is not None and acknowledged - write.latest_touch(timeout) > KEEP_ALIVE_SHARE * timeout


def proven_touch(
    write: Write, timeout: float, connect_sent_at: float | None, acknowledgements: Acknowledgements
) -> float | None:
    """Return when the newest touch was sent that the success of a quorum write proves; None without one.

    All on one connection.
    """
    acknowledged = acknowledgements.newest_acknowledged(write.sent_at - TOUCH_TRAVELS * timeout)
    if acknowledged is not None:
        acknowledged = min(acknowledged, write.latest_touch(timeout))
    if connect_sent_at is None or acknowledged is None:
        return connect_sent_at if acknowledged is None else acknowledged
    return max(connect_sent_at, acknowledged)


def proves_from(timeout: float, acknowledgements: Acknowledgements, last: float) -> float:
    """Return from when on a write proves more than the one that was sent at ``last``; infinity without a touch."""
    return acknowledgements.first_after(last - TOUCH_TRAVELS * timeout) + TOUCH_TRAVELS * timeout
