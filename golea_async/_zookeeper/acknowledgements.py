"""When requests on one connection were sent and answered: the one record of that, which leases are computed from."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from statistics import median

_PER_TIMEOUT = 256
"""What one entry stands for is taken to have been answered when its last was, so the lease may be so much shorter."""
_KEPT = 2 * _PER_TIMEOUT
_TOGETHER_SHARE = 1 / 64
_ANSWERED_AT: itemgetter[float] = itemgetter(1)
_LATELY = 5
"""An answer or two that came late, of a server that is about to die, do not count as usual."""


class Acknowledgements:
    """A bounded sample of the requests that were answered, oldest first, in :func:`boottime` seconds.

    One stands for all that were answered within T/256: the newest of them. Those of the last two T are kept.

    :ivar timeout: T in seconds; 0 before it is negotiated.
    """

    def __init__(self, timeout: float = 0.0) -> None:
        self.timeout = timeout
        self._known: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._full_at = -math.inf  # until then the last one stands for what is answered

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return iter(self._known)

    @property
    def usual(self) -> float:
        """How long requests took lately, in seconds: the median of the latest; 0 before any."""
        lately = [answered_at - sent_at for sent_at, answered_at in islice(reversed(self._known), _LATELY)]
        return median(lately) if lately else 0.0

    def record(self, sent_at: float, answered_at: float) -> None:
        """Take note of a request that was answered."""
        if answered_at >= self._full_at:
            self._full_at = answered_at + self.timeout / _PER_TIMEOUT
        else:
            sent_at = max(sent_at, self._known.pop()[0])
        self._known.append((sent_at, answered_at))

    def first_after(self, moment: float) -> float:
        """Return when the first requests were answered after a moment; infinity when none was.

        Behind a stall answers come one right after the other, the newest request's last. They count as one.
        """
        number = bisect_right(self._known, moment, key=_ANSWERED_AT)
        if number == len(self._known):
            return math.inf
        together = self._known[number][1] + _TOGETHER_SHARE * self.timeout
        return self._known[bisect_right(self._known, together, key=_ANSWERED_AT) - 1][1]

    def newest_acknowledged(self, before: float) -> float | None:
        """Return when the newest request was sent that was answered at ``before`` or earlier; None without one."""
        number = bisect_right(self._known, before, key=_ANSWERED_AT)
        return self._known[number - 1][0] if number else None
