"""The simulation finds each breakage of the library, within a minute of this processor's time."""

from __future__ import annotations

import itertools
import time

import pytest

from .breakages import BREAKAGES, SUITED
from .episode import play
from .plan import draw_plan

A_MINUTE = 60.0


@pytest.mark.parametrize("name", BREAKAGES)
def test_it_is_found(name: str) -> None:
    began = time.process_time()
    plans = filter(SUITED.get(name), map(draw_plan, itertools.count()))
    with BREAKAGES[name]():
        for played, plan in enumerate(plans, 1):
            if play(plan).violation is not None:
                return
            assert time.process_time() - began < A_MINUTE, f"not found in {played} episodes"
