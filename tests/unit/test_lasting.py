"""Who begins to lead while answers are slow: with a lease that lasts, and soon."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest

from golea_async._shared.channel import Channel
from golea_async._shared.keepalive import KeepAlive
from golea_async._shared.lasting import lasts
from golea_async._zookeeper.clock import boottime

from .played_leader import STEP, Leader, T, least_remaining

LATENCIES = [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.126, 0.131, 0.138, 0.15, 0.18, 0.2]


def begin_to_lead(leader: Leader, latency: float, now: float) -> float:
    """Return when it leads: when it has a lease that will last."""
    while leader.deadline <= now or not leader.will_last(now):
        now += STEP
        leader.step(now, latency)
    return now


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("phase", range(12))
def test_who_takes_over_while_answers_are_slow_keeps_its_first_lease(latency: float, phase: int) -> None:
    leader, first_at = Leader(leads=False), (3 + phase / 36) * T
    least_remaining(leader, latency * T, STEP, first_at)
    leader.leads = True
    leads_at = begin_to_lead(leader, latency * T, first_at)
    assert leads_at - first_at <= (0.6 if latency else 0.0) * T
    assert least_remaining(leader, latency * T, leads_at + STEP, leads_at + 4 * T) > 0
    for first, ninth in zip(leader.writes, leader.writes[8:], strict=False):
        assert ninth - first >= T - 1e-9


@pytest.mark.parametrize("latency", LATENCIES)
def test_who_has_just_connected_while_answers_are_slow_keeps_its_first_lease(latency: float) -> None:
    """It has sent nothing before its ConnectRequest, behind whose answer goes its nomination."""
    leader = Leader()
    leader.connect_sent_at = 0.0
    leader.deadline = 0.0
    leader.acknowledgements.record(0.0, latency * T)
    leader.write(latency * T, latency * T)
    least_remaining(leader, latency * T, latency * T + STEP, 2 * latency * T + 2 * STEP)
    leads_at = begin_to_lead(leader, latency * T, 2 * latency * T + 2 * STEP)
    assert leads_at < (0.02 + 2 * latency if latency <= 0.15 else 1.0) * T
    assert least_remaining(leader, latency * T, leads_at + STEP, leads_at + 4 * T) > 0


def test_a_lease_that_the_next_answers_come_too_late_for_does_not_last() -> None:
    leader = Leader()
    least_remaining(leader, 0.0, STEP, 3 * T)
    leader._took = 0.6 * T
    assert not leader.will_last(3 * T)


def test_a_lease_without_a_touch_that_could_be_proved_does_not_last_for_long() -> None:
    """What was sent is not answered: nothing says that a write will prove anything."""
    leader = Leader()
    least_remaining(leader, 0.0, STEP, 3 * T)
    least_remaining(leader, 10 * T, 3 * T, 3.4 * T)
    assert leader.deadline > 3.4 * T
    assert not leader.will_last(3.4 * T)


@pytest.mark.parametrize(("took", "expected"), [(0.1, True), (0.131, False)])
def test_a_write_counts_for_the_next_one_only_where_its_answer_comes_before_that_in_any_case(
    took: float, expected: bool
) -> None:
    """Timers may be late: what takes a little more than T/8 is answered just before the next one, or just after."""
    channel = SimpleNamespace(
        lease=SimpleNamespace(timeout=1.0, remaining=0.23),
        newest_write_at=-0.315,
        proves_from=lambda sent_at: -math.inf if sent_at < 0.5 else math.inf,
        deadline_after=lambda write: write.previous_sent_at + 15 / 22,
    )
    assert lasts(cast("Channel", channel), now=0.0, took=took, under_way=[], due=0.0) is expected


async def test_who_has_stood_for_long_does_not_wait_on_a_new_connection() -> None:
    """Its nomination was answered on an earlier one."""
    lease = SimpleNamespace(timeout=1.0, remaining=0.01)
    channel = SimpleNamespace(lease=lease, written_at=-math.inf, write_took=0.0)
    keep_alive = KeepAlive(lambda: cast("Channel", channel), lambda: None, lambda _: None)
    keep_alive.stand("/election", boottime() - 100)
    assert keep_alive.will_last(cast("Channel", channel))
