"""The simulation from the command line: `nox -s simulate -- --hours 100`, `nox -s simulate -- --seed 12`."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import time
from collections.abc import Iterator

from .breakages import BREAKAGES
from .episode import Outcome, play
from .plan import draw_plan
from .shrink import shrink

HOUR = 3600.0
PROGRESS_INTERVAL = 30.0


def main() -> int:
    """Play episodes until so much time was simulated, or until one fails."""
    arguments = _parse()
    breakage = BREAKAGES[arguments.broken]() if arguments.broken else contextlib.nullcontext()
    seeds: Iterator[int] = iter([arguments.seed]) if arguments.seed is not None else itertools.count(arguments.first)
    total = _Total(arguments.hours)
    with breakage:
        for seed in seeds:
            outcome = play(draw_plan(seed))
            total.add(outcome)
            if outcome.violation is not None:
                _report(outcome)
                return 1
            if arguments.seed is None and total.is_enough:
                break
    print(total)
    return 0


class _Total:
    """What was played so far."""

    def __init__(self, hours: float) -> None:
        self._enough = hours * HOUR
        self._began = self._told = time.monotonic()
        self._simulated = 0.0
        self._elections = 0
        self._faults = 0
        self._seeds: list[int] = []

    @property
    def is_enough(self) -> bool:
        return self._simulated >= self._enough

    def add(self, outcome: Outcome) -> None:
        self._simulated += outcome.simulated
        self._elections += outcome.elections
        self._faults += outcome.faults
        self._seeds.append(outcome.plan.seed)
        if time.monotonic() - self._told > PROGRESS_INTERVAL:
            self._told = time.monotonic()
            print(self, flush=True)

    def __str__(self) -> str:
        real = time.monotonic() - self._began
        return (
            f"{self._simulated / HOUR:.2f} simulated hours in {real:.0f} s ({self._simulated / real:.0f} x): "
            f"{self._elections} elections, {self._faults} faults, "
            f"seeds {self._seeds[0]} to {self._seeds[-1]}: nothing went wrong"
        )


def _report(outcome: Outcome) -> None:
    print(f"seed {outcome.plan.seed}: {outcome.violation}\n{outcome.plan}\nlooking for a shorter schedule", flush=True)
    shortest = shrink(outcome.plan, play)
    print(f"\nthe shortest schedule found, {len(shortest.plan.deeds)} of {len(outcome.plan.deeds)} deeds:")
    for deed in shortest.plan.deeds:
        print(f"  {deed}")
    print("\nwhat happened in it:")
    for note in shortest.notes:
        print(f"  {note}")
    print(f"\n{shortest.violation}\nto see it again: nox -s simulate -- --seed {outcome.plan.seed}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulate", description="Elections in simulated time, under faults.")
    parser.add_argument("--hours", type=float, default=1.0, help="how much time to simulate, in hours (1)")
    parser.add_argument("--seed", type=int, help="play this episode, and no other")
    parser.add_argument("--first", type=int, default=random.SystemRandom().randrange(2**32), help="the first seed")
    parser.add_argument("--broken", choices=BREAKAGES, help="break the library on purpose, and see it found")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
