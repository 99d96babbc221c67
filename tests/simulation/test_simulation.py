"""A short run of the simulation, and that a seed is one episode and no other."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .breakages import BREAKAGES
from .episode import play
from .plan import draw_plan
from .shrink import shrink

ROOT = Path(__file__).parents[2]
EPISODES = 12


@pytest.mark.parametrize("seed", range(EPISODES))
def test_an_episode(seed: int) -> None:
    outcome = play(draw_plan(seed))
    assert outcome.violation is None, "\n".join((*outcome.notes, outcome.violation))
    assert outcome.faults > 0
    assert outcome.elections > 0


def test_a_seed_is_the_same_episode_in_another_process() -> None:
    """Also where strings have other hashes, and objects other addresses."""
    command = "from tests.simulation.episode import play; from tests.simulation.plan import draw_plan; "
    command += "print(play(draw_plan(7)).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "1234"}
    told = subprocess.run([sys.executable, "-c", command], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert int(told.stdout) == play(draw_plan(7)).digest


@pytest.mark.parametrize("seed", [10, 12, 15])
def test_a_seed_is_the_same_episode_whenever_python_collects(seed: int) -> None:
    """What the library knows must not depend on whether an unreachable object was collected yet."""
    usual, thresholds = play(draw_plan(seed)).digest, gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    try:
        assert play(draw_plan(seed)).digest == usual
    finally:
        gc.set_threshold(*thresholds)


def test_a_failure_is_shrunk() -> None:
    with BREAKAGES["no search after a lost reply"]():
        plans = sorted(map(draw_plan, range(100)), key=lambda plan: len(plan.deeds))  # few are shrunk in few plays
        failure = next(plan for plan in plans if play(plan).violation is not None)
        shortest = shrink(failure, play)
    assert shortest.violation is not None
    assert len(shortest.plan.deeds) < len(failure.deeds)
    with BREAKAGES["no search after a lost reply"]():
        assert play(shortest.plan).violation == shortest.violation
    assert play(shortest.plan).violation is None


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_command_line_says_what_it_did() -> None:
    done = run("--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"simulated hours in .* elections, .* faults, seeds 3 to 3: nothing went wrong", done.stdout)


def test_the_command_line_says_what_went_wrong() -> None:
    done = run("--broken", "no ephemeralOwner check", "--first", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    (seed,) = re.findall(r"^seed (\d+): ", done.stdout, re.MULTILINE)
    assert "the shortest schedule found" in done.stdout
    assert f"to see it again: nox -s simulate -- --seed {seed}" in done.stdout
