"""No schedule lets a deadline outlive its session, and each rule on which that rests is needed."""

from __future__ import annotations

from fractions import Fraction

import pytest

from golea_async._shared.lease import (
    CLOCK_RATES,
    KEEP_ALIVE_SHARE,
    LEASE_SHARE,
    TOUCH_TRAVELS,
    Lease,
    Write,
    proven_touch,
)
from golea_async._shared.pace import _TOUCH_SHARE, STALL_SHARE, UNDER_WAY
from golea_async._zookeeper.acknowledgements import Acknowledgements
from golea_async._zookeeper.clock import boottime

from .limits import longest_stall, longest_stall_after_another, slowest_answers
from .model import Setting
from .rules import FORGOTTEN, Rule
from .schedules import Schedule, counterexample, first_bad, is_normal, is_possible, least_margin

T = 6.0
HAIR = 1e-6
"""Seconds, more than floating-point numbers are off: a schedule may have a touch answered exactly 11/40 T before."""
OWN_RULES = {Rule.OLD_ENOUGH, Rule.ACKNOWLEDGED, Rule.LEASE_SHARE}


def test_no_schedule_lets_the_deadline_outlive_the_session() -> None:
    assert not is_possible(Setting())
    assert is_normal(Setting()), "the rules contradict each other"


@pytest.mark.parametrize("rule", Rule)
def test_without_a_rule_there_is_a_schedule_in_which_two_lead(rule: Rule) -> None:
    """And the library does in it what the schedule says, or, where the rule is its own, keeps to the rule."""
    schedule = counterexample(rule)
    deadline = librarys_deadline(schedule)
    if rule in OWN_RULES:
        assert deadline < schedule.client["deadline"]
    else:
        assert deadline == pytest.approx(float(schedule.client["deadline"]), abs=0.01)
    assert str(schedule).startswith(f"Without the rule: {rule.value}.\nInstead: {FORGOTTEN[rule]}.\n")


def librarys_deadline(schedule: Schedule) -> float:
    """Return what the library makes of the answers in a schedule, in T by the client's clock."""
    start = boottime() + 1000  # nothing lapses while this is calculated
    moment = {name: start + float(reading) * T for name, reading in schedule.client.items()}
    acknowledgements = Acknowledgements(T)
    if schedule.by_touch:
        acknowledgements.record(moment["touch_sent"], moment["touch_answered"])
    lease = Lease(1, T, lambda: None)
    touched_at = proven_touch(Write(moment["write_sent"] + HAIR), T, moment["connect_sent"], acknowledgements)
    assert touched_at is not None
    lease.renew(touched_at)
    return (boottime() + lease.remaining - start) / T


def test_behind_an_observer_master_four_ticks_are_enough_and_two_are_not() -> None:
    assert is_possible(Setting(hops=2))
    assert not is_possible(Setting(hops=2, ticks=4))


def test_the_numbers_of_the_library_leave_what_they_are_to_leave() -> None:
    """5/6 T could be more, and a thirteenth of T is left for whoever acts on the answer; 11/40 T could not be less."""
    assert first_bad("share") == 1 / Fraction(CLOCK_RATES) > Fraction(LEASE_SHARE)
    assert first_bad("travels", highest=True) == Fraction(TOUCH_TRAVELS)
    assert least_margin() == pytest.approx(1 / 13.2)


@pytest.mark.parametrize(("ticks", "pause"), [(2, 0), (4, Fraction(1, 8)), (10, Fraction(1, 5))])
def test_the_more_ticks_are_in_the_timeout_the_longer_a_server_may_stand_still(ticks: int, pause: Fraction) -> None:
    assert first_bad("pause", Setting(ticks=ticks)) == pause


def test_an_ensemble_may_be_slow_as_long_as_the_formula_allows() -> None:
    """Answers may take T/5, with the touches that are sent then; a stall of 0.3 T costs nothing even without them."""
    assert UNDER_WAY > 1
    assert slowest_answers(Fraction(_TOUCH_SHARE), one_at_a_time=False) > Fraction(1, 5)
    assert longest_stall(Fraction(KEEP_ALIVE_SHARE)) > STALL_SHARE
    assert longest_stall_after_another() == pytest.approx(27 / 88)
    assert longest_stall_after_another() > STALL_SHARE
    assert slowest_answers(Fraction(KEEP_ALIVE_SHARE), one_at_a_time=True) == pytest.approx(0.1444, abs=0.0001)
