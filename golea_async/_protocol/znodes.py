"""The znodes of an election: their names, the order of the candidates, and what is left of the numbers. Pure.

A candidate is an ephemeral sequential znode ``le_0000000012`` under the election node. ZooKeeper numbers the children
of a znode in the order of their creation, so the candidate with the lowest number is the oldest and leads, and every
other one follows the candidate just before it, and nobody else: one departure wakes one follower (no herd).

The number is the parent's counter of all creations (PrepRequestProcessor.java:667), printed as ten digits, so that the
names sort as the numbers do. The counter sticks at 2147483647: DataTree only ever raises it, and the number behind that
is negative. There one name would be issued again and again, to two candidates. So nominating is refused a little before
that (:func:`supply_after`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

CANDIDATE_PREFIX = "le_"
NUMBER_DIGITS = 10
DONE = "DONE"
DONE_DATA = b"done"
STEP_DOWN = "step_down"  # by which operators ask: see `appeal.py`

# An election that makes a nomination a second gets there after 68 years; one in a loop that never waits, after months.
LARGEST_NUMBER = 2**31 - 1
WARNED_FROM = 2**31 - 2**20
REFUSED_FROM = 2**31 - 2**10

_CANDIDATE_NAME = re.compile("le_[0-9]{10}")
_LAST_NAME = f"{CANDIDATE_PREFIX}{LARGEST_NUMBER}"


class Supply(Enum):
    """What is left of an election node's numbers."""

    PLENTY = "plenty"
    SCARCE = "scarce"  # to be said loudly
    USED_UP = "used up"  # nobody may stand with this number: the next ones may not be unique


def supply_after(own: str) -> Supply:
    """Say what is left after the nomination that was given this name."""
    number = candidate_number(own)
    assert number is not None, "an own candidate has a candidate's name"
    if number >= REFUSED_FROM:
        return Supply.USED_UP
    return Supply.SCARCE if number >= WARNED_FROM else Supply.PLENTY


def candidate_number(name: str) -> int | None:
    """Return the sequence number in a candidate's name, or None when the name is not a candidate's."""
    return int(name[len(CANDIDATE_PREFIX) :]) if _is_candidate(name) else None


def _is_candidate(name: str) -> bool:
    return _CANDIDATE_NAME.fullmatch(name) is not None and name <= _LAST_NAME


def candidate_name(number: int) -> str:
    """Return the name of the candidate with this number, as ZooKeeper prints it."""
    return f"{CANDIDATE_PREFIX}{number:010d}"


def name_before(name: str) -> str | None:
    """Return the name that was given out just before this one under the same parent; None before the first.

    When a candidate of that name lives, it *is* the predecessor: no number lies between the two.
    """
    number = candidate_number(name)
    return candidate_name(number - 1) if number else None


def in_order(children: Iterable[str]) -> list[str]:
    """Return the candidates among the children, the oldest (who leads) first; what is no candidate is left out."""
    return sorted(filter(_is_candidate, children))


def predecessor_of(own: str, children: Iterable[str]) -> str | None:
    """Return the candidate just before ``own``, or None when it is the first."""
    return max((child for child in in_order(children) if child < own), default=None)


def strangers(children: Iterable[str]) -> list[str]:
    """Return, sorted, the children that are no part of an election."""
    return sorted(child for child in children if child not in (DONE, STEP_DOWN) and not _is_candidate(child))
