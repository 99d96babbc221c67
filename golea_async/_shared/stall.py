"""Who is to blame for a lapse of the lease, the event loop or ZooKeeper, as a timer that runs anyway tells.

This only puts it into words. What follows from a block is decided by the clock in :mod:`.lease`, and in
:mod:`.keepalive` and the client's connection, which read once more before they take a server for silent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from golea_async._zookeeper.clock import boottime

from .lease import Lease


class Stall(NamedTuple):
    """Why a lease was not renewed in time.

    :ivar blocked: seconds by which timers were late since the renewal before: the event loop ran nothing meanwhile.
    :ivar silent: seconds since that renewal.
    """

    blocked: float
    silent: float

    @property
    def is_the_loop(self) -> bool:
        """Whether the event loop is to blame, and not ZooKeeper: it was blocked for most of the time."""
        return self.blocked >= self.silent / 2


NO_STALL = Stall(0.0, 0.0)


class Delays:
    """By how much the keep-alive was late since the lease was last renewed."""

    def __init__(self) -> None:
        self._woke_at = self._wakes_at = math.inf
        self._late = 0.0

    def sleep(self, moment: float) -> None:
        """Take note that it sleeps until then."""
        self._wakes_at = moment

    def hurry(self) -> None:
        """Take note that it is to go on now."""
        self._wakes_at = min(self._wakes_at, boottime())

    def wake(self, lease: Lease | None) -> None:
        """Count the time by which it goes on too late."""
        now = boottime()
        if lease is not None and lease.was_renewed_since(self._woke_at):
            self._late = 0.0
        self._late += max(0.0, now - self._wakes_at)
        self._woke_at, self._wakes_at = now, math.inf

    def stall(self, lease: Lease | None) -> Stall:
        """Return what has held up the renewal of a lease that has just lapsed."""
        if lease is None:
            return NO_STALL
        is_counted = lease.is_valid or not lease.was_renewed_since(self._woke_at)
        return Stall((self._late if is_counted else 0.0) + max(0.0, boottime() - self._wakes_at), lease.silent_for)
