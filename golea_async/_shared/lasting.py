"""Whether a lease will last: are the writes under way, and the next ones, answered before it is over?

Whoever takes over while answers are slow has a lease that rests on the few quorum writes of those that only stand. The
next write may be answered only when that is over. To begin with such a lease is to lose the lead at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .channel import Channel
from .lease import KEEP_ALIVE_SHARE

_LATE_SHARE = 1 / 128
"""For timers that are late."""


def lasts(channel: Channel, *, now: float, took: float, under_way: Sequence[float], due: float) -> bool:
    """Return whether each write is answered before the deadline that those before it have proved.

    :param took: how long an answer takes.
    :param under_way: when the writes were sent that are not answered.
    :param due: when the next one will be sent.
    """
    deadline, late = now + channel.lease.remaining, _LATE_SHARE * channel.lease.timeout
    writes = [(sent_at, max(now, sent_at + took) + late) for sent_at in under_way]
    writes += [(sent_at, sent_at + took) for sent_at in _next_writes(channel, due, late)]
    for sent_at, answered_at in writes:
        if answered_at > deadline:
            return False
        previous = max((each for each, its_answer_at in writes if its_answer_at <= sent_at), default=-math.inf)
        deadline = max(deadline, channel.deadline_after(sent_at, previous))
    return True


def _next_writes(channel: Channel, due: float, late: float) -> Iterator[float]:
    """Yield when the next writes will be sent, as far as it is known what they prove: for about 11/40 T."""
    while due < math.inf:
        sent_at = due + late
        yield sent_at
        due = max(sent_at + KEEP_ALIVE_SHARE * channel.lease.timeout, channel.proves_from(sent_at))
