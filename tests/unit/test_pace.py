"""The pace of keep-alives, in moments that are made up: how many are sent, when a server is left."""

from __future__ import annotations

import math
import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golea_async._shared.lease import KEEP_ALIVE_SHARE, LEASE_SHARE, TOUCH_TRAVELS
from golea_async._shared.pace import JITTER, SLOW_FACTOR, STALL_SHARE, STANDING_SHARE, Pace
from golea_async._zookeeper.acknowledgements import Acknowledgements

from .played_leader import STEP, Leader, T, least_remaining, moments


@pytest.mark.parametrize("latency", [0.0, 0.05, 0.1, 0.125, 0.15, 0.18, 0.2])
def test_answers_that_take_up_to_a_fifth_cost_no_lead_from_the_first_on(latency: float) -> None:
    leader = Leader()
    assert least_remaining(leader, 0.0, STEP, 2 * T) > T / 4
    assert least_remaining(leader, 0.0, 2 * T, 4 * T) > (LEASE_SHARE - TOUCH_TRAVELS - KEEP_ALIVE_SHARE - 1 / 64) * T
    assert least_remaining(leader, latency * T, 4 * T, 12 * T) > 0
    assert leader.silent_at is None


@pytest.mark.parametrize("latency", [0.15, 0.18, 0.19])
def test_answers_that_differ_from_each_other_cost_no_lead(latency: float) -> None:
    leader, generator = Leader(), random.Random(1)
    least_remaining(leader, 0.0, STEP, 4 * T)
    for now in moments(4 * T, 24 * T):
        leader.step(now, (latency + 0.005 * generator.random()) * T)
        assert leader.deadline > now + T / 100


@pytest.mark.parametrize("latency", [0.0, 0.015, 0.02, 0.03, 0.1, 0.2])
def test_who_only_stands_costs_no_more_quorum_writes_while_answers_are_slow(latency: float) -> None:
    """Many that stand could keep a quorum slow that was slow once."""
    leader = Leader(leads=False)
    least_remaining(leader, latency * T, STEP, 6 * T)
    assert len(leader.writes) <= 6 / STANDING_SHARE
    assert leader.touches <= (6 * 64 + 1 if latency > 1 / 32 else 4)  # a few behind its nomination


@pytest.mark.parametrize("wrote_ago", [0.55, 0.6, 0.66, 0.68, 0.75, 1.5])
def test_who_leads_after_a_long_time_without_a_write_has_a_long_lease_at_once(wrote_ago: float) -> None:
    """The write before the nomination was long ago, so that proves little; the next one follows at once."""
    leader, begin = Leader(), 4 * T
    leader.acknowledgements, leader.newest_write_at = Acknowledgements(T), begin - wrote_ago * T
    leader.acknowledgements.record(begin - T / 3, begin - T / 3)
    leader.pace.begin(begin)
    leader._send(begin, 0.0, is_write=True)
    leader.deadline = -math.inf
    for now in moments(begin, begin + 4 * STEP):
        leader.step(now, STEP)
    assert leader.deadline - begin > (LEASE_SHARE - 1 / 3 - 1 / 64) * T
    assert least_remaining(leader, STEP, begin + 4 * STEP, begin + 2 * T) > T / 8


@pytest.mark.parametrize("others", [(), (0.15,), (0.03, 0.3), (0.11, 0.2, 0.31, 0.43)])
def test_answers_that_become_slow_cost_no_lead(others: tuple[float, ...]) -> None:
    """Whatever was sent just before: the keep-alives, and writes that the application's transactions are."""
    for phase in range(16):
        leader, now, begin = Leader(), STEP, 3 * T + phase * T / 128
        for moment in sorted(begin - ago * T for ago in others):
            assert least_remaining(leader, 0.005 * T, now, moment) > 0
            leader.transact(moment + STEP / 4, 0.005 * T)
            now = moment + STEP / 2
        assert least_remaining(leader, 0.005 * T, now, begin) > 0
        assert least_remaining(leader, T / 5, begin, begin + 2 * T) > 0


def test_a_stall_costs_no_lead_and_no_connection() -> None:
    for phase in range(16):
        leader = Leader()
        begin = 4 * T + phase * T / 128
        least_remaining(leader, 0.0, STEP, begin)
        end = begin + STALL_SHARE * T
        for now in moments(begin, end):
            leader.step(now, end - now)
            assert leader.deadline > now
        assert least_remaining(leader, 0.0, end, end + 2 * T) > 0
        assert leader.silent_at is None


@pytest.mark.parametrize("rest", [0.3, 0.35, 0.38, 0.4, 0.405, 0.42, 0.5, 0.8])
def test_stalls_that_follow_each_other_after_a_rest_cost_no_lead(rest: float) -> None:
    for phase in range(8):
        leader, begin = Leader(), 3 * T + phase * T / 64
        least_remaining(leader, 0.0, STEP, begin)
        for _ in range(4):
            end = begin + STALL_SHARE * T
            for now in moments(begin, end):
                leader.step(now, end - now)
                assert leader.deadline > now
            begin = end + rest * T
            assert least_remaining(leader, 0.0, end, begin) > 0


def test_stalls_whose_answers_come_one_by_one_cost_no_lead() -> None:
    """What was sent last before their end is to be proved, not what was sent at their beginning."""
    for phase in range(8):
        leader, begin = Leader(), 3 * T + phase * T / 64
        least_remaining(leader, 0.0, STEP, begin)
        for _ in range(4):
            end = begin + 0.29 * T
            for now in moments(begin, end):
                leader.step(now, end + (now - begin) / 0.29 * 0.015 - now)
                assert leader.deadline > now
            begin = end + 0.4 * T
            assert least_remaining(leader, 0.0, end, begin) > T / 64


@given(st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0, 1.2)), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_there_are_never_more_than_eight_writes_in_a_timeout(times: list[tuple[float, float]]) -> None:
    leader, now = Leader(), STEP
    for length, latency in times:
        least_remaining(leader, latency * T, now, now + length * T)
        now += length * T
    for first, ninth in zip(leader.writes, leader.writes[8:], strict=False):
        assert ninth - first >= T - 1e-9
    assert leader.touches <= 64 * now / T + 1


def test_a_server_that_does_not_answer_is_left_later_by_some_and_by_none_before_a_stall_may_end() -> None:
    left_at = []
    for _ in range(100):
        pace = Pace()
        pace.answered(0.01)
        left_at.append(pace.silent_from(T, 100.0, 90.0) - 100.0)
    assert min(left_at) >= STALL_SHARE * T
    assert max(left_at) <= STALL_SHARE * JITTER * T
    assert len(set(left_at)) > 50


def test_where_writes_take_long_one_is_waited_for_three_times_as_long() -> None:
    pace = Pace()
    for took in (0.1, 0.2 * T, 0.21 * T, 0.2 * T, 1.0):
        pace.answered(took)
    assert pace.silent_from(T, 100.0, 0.0) == pytest.approx(100.0 + SLOW_FACTOR * 0.2 * T)


def test_while_others_are_answered_a_server_is_not_silent() -> None:
    pace = Pace()
    assert pace.silent_from(T, 100.0, 130.0) >= 130.0 + STALL_SHARE * T


def test_a_server_is_left_once_in_a_timeout() -> None:
    pace = Pace()
    pace.moved(100.0)
    assert pace.silent_from(T, 101.0, 0.0) == 100.0 + T


def test_who_only_stands_tests_the_server_now_and_then_and_soon_enough_to_take_the_session_along() -> None:
    pace = Pace()
    pace.begin(10.0)
    due = pace.write_due(T, now=10.0, leads=False, last=10.0, proves_from=math.inf, remaining=0.0)
    assert due == 10.0 + STANDING_SHARE * T
    assert STANDING_SHARE + STALL_SHARE * JITTER + 1 / 64 < 0.71


def test_a_write_that_would_prove_nothing_new_is_put_off_a_little_while_the_lease_lasts() -> None:
    pace = Pace()
    pace.sent(100.0)
    soon = 100.0 + KEEP_ALIVE_SHARE * T
    late = soon + 0.9 * KEEP_ALIVE_SHARE * T
    assert pace.write_due(T, now=100.0, leads=True, last=100.0, proves_from=late, remaining=T / 2) == late
    assert pace.write_due(T, now=100.0, leads=True, last=100.0, proves_from=late, remaining=T / 5) == soon
    assert pace.write_due(T, now=100.0, leads=True, last=100.0, proves_from=math.inf, remaining=T / 2) == soon
    # Where one fits in between, it goes first: the next one proves no more than 15/22 T behind the one before.
    far = 100.0 + TOUCH_TRAVELS * T
    assert pace.write_due(T, now=100.0, leads=True, last=100.0, proves_from=far, remaining=T / 2) == soon


def test_a_write_is_not_put_off_where_answers_are_slow_and_the_one_after_the_next_would_be_answered_too_late() -> None:
    pace = Pace()
    pace.sent(100.0)
    soon = 100.0 + KEEP_ALIVE_SHARE * T
    late = soon + 0.8 * KEEP_ALIVE_SHARE * T
    for took, expected in ((0.0, late), (0.19 * T, late), (0.198 * T, soon)):
        due = pace.write_due(T, now=100.0, leads=True, last=100.0, proves_from=late, remaining=T / 2, took=took)
        assert due == expected


def test_the_session_is_touched_often_as_soon_as_an_answer_is_slow() -> None:
    """Not only when it has come: what the writes behind it are to prove is sent before that."""
    pace = Pace()
    pace.sent(100.0)
    due = partial(pace.touch_due, T, leads=True, last=100.0, took=0.0)
    assert due(now=100.0, unanswered_since=100.0) == 100.0 + T / 64
    assert due(now=100.0, unanswered_since=math.inf) > 100.0 + T / 16
    assert due(now=100.0, leads=False, unanswered_since=100.0) == math.inf
    pace.touched(100.0 + T / 64)
    assert due(now=100.0 + T / 64 + 0.01, unanswered_since=100.0) == 100.0 + T / 32
    assert due(now=100.0 + T / 64 + 0.01, unanswered_since=math.inf) == math.inf


def test_a_void_lease_is_renewed_as_soon_as_a_write_proves_something() -> None:
    pace = Pace()
    pace.sent(100.0)
    assert pace.write_due(T, now=100.0, leads=True, last=100.0, proves_from=104.0, remaining=-math.inf) == 104.0
    assert (
        pace.write_due(T, now=100.0, leads=True, last=100.0, proves_from=100.0, remaining=-math.inf) == 100.0 + T / 32
    )


def test_on_the_way_to_a_lease_the_writes_go_on_and_do_not_delay_it() -> None:
    """A lease reaches further when a second write was answered before the one that begins it."""
    pace = Pace()
    pace.begin(100.0)
    proves = 100.0 + TOUCH_TRAVELS * T
    first = 100.0 + KEEP_ALIVE_SHARE * T

    def due(now: float, last: float) -> float:
        return pace.write_due(T, now=now, leads=True, last=last, proves_from=proves, remaining=-math.inf)

    assert due(100.0, 100.0) == first
    assert due(first, first) == proves  # a third one in between would delay it
    assert due(proves - T / 64, 100.0) == proves  # and so would a second one that comes so late
