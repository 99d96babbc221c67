"""When requests on one connection were sent and answered: the one record of that, which leases are computed from."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

_PER_TIMEOUT = 32
_KEPT = 3 * _PER_TIMEOUT


class Acknowledgements:
    """A bounded sample of the requests that were answered, oldest first, in :func:`boottime` seconds.

    Answers lie at least T/32 apart; those of the last three T are kept.

    :ivar timeout: T in seconds; 0 before it is negotiated.
    """

    def __init__(self, timeout: float = 0.0) -> None:
        self.timeout = timeout
        self._known: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return iter(self._known)

    def record(self, sent_at: float, answered_at: float) -> None:
        """Take note of a request that was answered."""
        if not self._known or answered_at - self._known[-1][1] >= self.timeout / _PER_TIMEOUT:
            self._known.append((sent_at, answered_at))

    @property
    def oldest_at(self) -> float:
        """When the oldest of them was answered; infinity without any."""
        return self._known[0][1] if self._known else math.inf

    def newest_acknowledged(self, before: float) -> float | None:
        """Return when the newest request was sent that was answered at ``before`` or earlier; None without one."""
        for sent_at, answered_at in reversed(self._known):
            if answered_at <= before:
                return sent_at
        return None
