"""Finds the shortest schedule of a failure: deeds are left out as long as something still goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .episode import Outcome
from .plan import Deed, Plan

MOST_PLAYS = 300


def shrink(plan: Plan, play: Callable[[Plan], Outcome]) -> Outcome:
    """The outcome of the shortest plan found that still fails; at first of larger parts, then deed by deed.

    :param plan: one that fails.
    """
    shortest = play(plan)
    assert shortest.violation is not None
    plays, part = 1, max(1, len(plan.deeds) // 2)
    while plays < MOST_PLAYS:
        outcome, tried = _without_parts(shortest, part, play)
        plays += tried
        if outcome is not shortest:
            shortest = outcome
        elif part == 1:
            break
        else:
            part = max(1, part // 2)
    return shortest


def _without_parts(shortest: Outcome, part: int, play: Callable[[Plan], Outcome]) -> tuple[Outcome, int]:
    """Leave out so many deeds at a time, wherever that can be done; return also how many plays it took."""
    tried, start = 0, 0
    while start < len(deeds := shortest.plan.deeds):
        tried += 1
        outcome = play(_with(shortest.plan, deeds[:start] + deeds[start + part :]))
        if outcome.violation is None:
            start += part
        else:
            shortest = outcome
    return shortest, tried


def _with(plan: Plan, deeds: tuple[Deed, ...]) -> Plan:
    """These deeds alone, and no round behind the last one."""
    rounds = max((deed.round for deed in deeds), default=0) + 1
    return replace(plan, deeds=deeds, troubles=plan.troubles[:rounds])
