"""Whether a lease will last: are the writes under way, and the next ones, answered before it is over?

Whoever takes over while answers are slow has a lease that rests on the few quorum writes of those that only stand. The
next write may be answered only when that is over. To begin with such a lease is to lose the lead at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .batch import Batch
from .channel import Channel
from .lease import KEEP_ALIVE_SHARE, Write

_LATE_SHARE = 1 / 128
"""For timers that are late."""

_TOGETHER_SHARE = 1 / 64
"""For answers that are still to come, and count as one with the latest (:class:`.Acknowledgements`)."""


def lasts(channel: Channel, *, now: float, took: float, under_way: Sequence[Batch], due: float) -> bool:
    """Return whether each write is answered before the deadline that those before it have proved.

    :param took: how long an answer takes.
    :param under_way: the writes that are not answered, in order.
    :param due: when the next one will be sent.
    """
    deadline, timeout = now + channel.lease.remaining, channel.lease.timeout
    late = _LATE_SHARE * timeout
    expected = [(Write(write.sent_at, write.previous_at), max(now, write.sent_at + took) + late) for write in under_way]
    while due < math.inf:  # as far as it is known what they prove: for about 11/40 T
        sent_at = due + late
        answered = [write.sent_at for write, answered_at in expected if answered_at <= due - late]  # in any case
        expected.append((Write(sent_at, answered[-1] if answered else channel.newest_write_at), sent_at + took))
        due = max(sent_at + KEEP_ALIVE_SHARE * timeout, channel.proves_from(sent_at) + _TOGETHER_SHARE * timeout)
    for write, answered_at in expected:
        if answered_at > deadline:
            return False
        deadline = max(deadline, channel.deadline_after(write))
    return True
