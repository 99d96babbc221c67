"""The simulation finds each breakage of the library, within a minute of this processor's time."""

from __future__ import annotations

import itertools
import time

import pytest

from .breakages import BREAKAGES, SUITED
from .episode import play
from .plan import draw_plan

A_MINUTE = 60.0

FIRST = {
    "lease of a whole timeout": 16,
    "numbers begin again on each connection": 8,
    "search without a barrier": 1,
    "endings by force": 3,
    "a guardian that goes by the end of a pipe": 19,
    "a guardian that prolongs the session": 11,
    "moved before the work stopped": 1,
}
"""The seed with which the search begins, near one that finds it; from any other it takes some seconds more."""


@pytest.mark.parametrize("name", BREAKAGES)
def test_it_is_found(name: str) -> None:
    began = time.process_time()
    plans = filter(SUITED.get(name), map(draw_plan, itertools.count(FIRST.get(name, 0))))
    with BREAKAGES[name]():
        for played, plan in enumerate(plans, 1):
            if play(plan).violation is not None:
                return
            assert time.process_time() - began < A_MINUTE, f"not found in {played} episodes"
