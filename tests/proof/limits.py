"""How slow ZooKeeper may be before a lease lapses that it would renew: from the same formula, by the client's clock.

Nothing here is about safety. Two writes are enough again: the lease lapses when the answer to the later one comes after
the deadline that the earlier one has made. All times are in T.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import z3

from golea_async._shared import lease

from .model import TRAVELS, exactly
from .schedules import limit

SHARE, INTERVAL = exactly(lease.LEASE_SHARE), exactly(lease.KEEP_ALIVE_SHARE)
BEYOND_PREVIOUS = exactly(lease.Write(0.0, previous_sent_at=0.0).latest_touch(1.0) + lease.LEASE_SHARE)
"""At the latest so long after the sending of the write that was answered before it a write sets the deadline."""


def slowest_answers(touched_every: Fraction, *, one_at_a_time: bool) -> Fraction:
    """Return from which latency on a lease can lapse that is renewed all the time, if no answer takes longer.

    :param touched_every: so often at the least something is sent that touches the session.
    :param one_at_a_time: a write is sent only when the one before is answered.
    """
    optimize = z3.Optimize()
    latency, previous_sent, sent, touch_sent, next_sent = z3.Reals("latency previous_sent sent touch_sent next_sent")
    of_write, of_next_write, of_next_touch, of_second = z3.Reals("of_write of_next_write of_next_touch of_second")
    optimize.add(
        sent == 0, *(z3.And(each >= 0, each <= latency) for each in (of_write, of_next_write, of_next_touch, of_second))
    )
    # The touch is the newest that was acknowledged in time: the next one was not.
    optimize.add(touch_sent + quotient(touched_every) + of_next_touch >= sent - TRAVELS, touch_sent < sent)
    # Likewise the newest write that was answered before this one was sent: the second of them was not.
    interval = z3.If(of_write > INTERVAL, of_write, INTERVAL) if one_at_a_time else INTERVAL
    optimize.add(previous_sent < sent, previous_sent + interval + (0 if one_at_a_time else of_second) >= sent)
    optimize.add(next_sent <= sent + interval, next_sent >= sent)
    of_touch, of_previous = touch_sent + SHARE, previous_sent + BEYOND_PREVIOUS
    optimize.add(next_sent + of_next_write >= z3.If(of_touch < of_previous, of_touch, of_previous))
    return limit(optimize, optimize.minimize(latency))


def longest_stall(touched_every: Fraction) -> Fraction:
    """Return from which length on one stall can cost the lease, if answers else take no time.

    What is sent in a stall is answered at its end. A write proves something new only when it is sent 11/40 T after
    that; the deadline until then is that of the last touch before the stall.
    """
    optimize = z3.Optimize()
    length, touch_sent, sent = z3.Reals("length touch_sent sent")
    optimize.add(length >= 0, touch_sent <= 0, touch_sent >= -quotient(touched_every))  # the stall begins at 0
    first_that_proves = length + TRAVELS
    optimize.add(first_that_proves <= sent, sent <= first_that_proves + INTERVAL, sent >= touch_sent + SHARE)
    return limit(optimize, optimize.minimize(length))


def longest_stall_after_another() -> Fraction:
    """Return from which length on a stall can cost the lease that begins soon after another one, but 11/40 T or later.

    The one before ends at 0. The first write that proves something new is sent 11/40 T later, and the next one T/8
    after that. It was put off for less than T/8, so the one before it was sent less than twice T/8 earlier.
    """
    optimize = z3.Optimize()
    length, begins, previous_sent, sent = z3.Reals("length begins previous_sent sent")
    optimize.add(length >= 0, sent == TRAVELS, begins >= sent, begins <= sent + INTERVAL)
    optimize.add(previous_sent >= sent - 2 * INTERVAL, previous_sent < sent)
    optimize.add(begins + length >= previous_sent + BEYOND_PREVIOUS)
    return limit(optimize, optimize.minimize(length))


def quotient(value: Fraction) -> Any:
    """Return a fraction as the solver writes it."""
    return z3.Q(value.numerator, value.denominator)
