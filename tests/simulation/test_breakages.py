"""The simulation finds each breakage of the library, within a minute of this processor's time."""

from __future__ import annotations

import itertools
import time

import pytest

from .breakages import BREAKAGES
from .episode import play
from .plan import draw_plan

A_MINUTE = 60.0


@pytest.mark.parametrize("name", BREAKAGES)
def test_it_is_found(name: str) -> None:
    began = time.process_time()
    with BREAKAGES[name]():
        for seed in itertools.count():
            if play(draw_plan(seed)).violation is not None:
                return
            assert time.process_time() - began < A_MINUTE, f"not found in {seed + 1} episodes"
