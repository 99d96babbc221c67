"""Two versions of golea_async beside each other, in one run of alternating rounds.

    git worktree add ../before COMMIT
    python -m tests.benchmarks.beside ../before              # 15 rounds, some ten minutes on a quiet machine
    python -m tests.benchmarks.beside ../before --quick      # a few rounds of small numbers, to see that it works
    python -m tests.benchmarks.beside ../before --aiozk      # both on aiozk's client

In each round every part is measured with both versions, one right after the other and each in a fresh process, in
random order. So a busy moment of the machine meets both. A round gives one figure of each (the median of its samples),
and their ratio: this version's over that of the folder. The table has the geometric mean of the ratios, with its 95 %
interval. A row is slower where all of that lies above 1.05 (above 1.10 where thousands join at once).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from golea_async.testing import Ensemble

HERE = Path(__file__).resolve().parents[2]
WORK = HERE / "tests" / "benchmarks" / "beside_work.py"
SLOWER_FROM, SLOWER_FROM_OF_THOUSANDS = 1.05, 1.10
LONGEST = 600.0
"""Seconds that a part may take in one process."""

FULL = (
    ("steps", 60),
    ("stood", 8),
    ("succession", 500),
    ("joins", 1000),
    ("joins", 4000),
    ("joins", 8000),
    ("deletion", 5000),
    ("churn", 10_000),
    ("local", 50_000),
)
QUICK = (
    ("steps", 10),
    ("stood", 2),
    ("succession", 50),
    ("joins", 500),
    ("deletion", 200),
    ("churn", 500),
    ("local", 5000),
)
ROUNDS, QUICK_ROUNDS = 15, 3


class Spread(NamedTuple):
    """A geometric mean, and its 95 % interval."""

    mean: float
    low: float
    high: float


def spread(ratios: Sequence[float]) -> Spread:
    """Return what is known of a ratio that was measured several times."""
    logarithms = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logarithms)
    if len(ratios) < 2:
        return Spread(math.exp(mean), 0.0, math.inf)
    reach = student(len(ratios) - 1) * statistics.stdev(logarithms) / math.sqrt(len(ratios))
    return Spread(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach))


def student(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's distribution: Cornish and Fisher's series, to some per cent from 2 on."""
    z = statistics.NormalDist().inv_cdf(0.975)
    series = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / degrees**power for power, term in enumerate(series, 1))


def measure(folder: Path, part: str, count: int, hosts: Sequence[str], *, on_aiozk: bool) -> dict[str, float]:
    """Measure one part in a fresh process, with the version in this folder; return the median of each row's samples."""
    command = [sys.executable, "-P", str(WORK), part, str(count), *hosts, *(["--aiozk"] if on_aiozk else [])]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    told = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, check=True, timeout=LONGEST)
    return {row: statistics.median(samples) for row, samples in json.loads(told.stdout).items()}


def show(row: str, before: Sequence[float], now: Sequence[float]) -> None:
    """Print a row of the table."""
    ratio = spread([new / old for new, old in zip(now, before, strict=True)])
    limit = SLOWER_FROM_OF_THOUSANDS if row.startswith(("4000", "8000")) else SLOWER_FROM
    verdict = "SLOWER" if ratio.low > limit else "faster" if ratio.high < 1 else ""
    figures = f"{_time(statistics.median(before))} | {_time(statistics.median(now))}"
    print(f"| {row} | {figures} | {ratio.mean:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) | {verdict} |")


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("ns", 1e9)):
        if seconds * factor >= 0.1 or unit == "ns":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.beside", description="Two versions.")
    parser.add_argument("before", type=Path, help="the folder of the other version")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--aiozk", action="store_true", help="both on aiozk's client")
    parser.add_argument("--only", nargs="+", help="some of the parts")
    arguments = parser.parse_args()
    before = arguments.before.resolve()
    if not (before / "golea_async" / "__init__.py").exists():
        parser.error(f"there is no golea_async in {before}")
    parts = [each for each in (QUICK if arguments.quick else FULL) if not arguments.only or each[0] in arguments.only]
    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    figures: dict[str, tuple[list[float], list[float]]] = {}
    with Ensemble(3, max_session_timeout=60) as ensemble:
        hosts = [server.address for server in ensemble.servers[:2]]
        for part, count in parts:  # warm: the servers' own code is compiled meanwhile
            measure(HERE, part, count, hosts, on_aiozk=arguments.aiozk)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
            for part, count in parts:
                found = {}
                for side in random.sample((0, 1), 2):
                    found[side] = measure((before, HERE)[side], part, count, hosts, on_aiozk=arguments.aiozk)
                for row in found[0]:
                    for side in (0, 1):
                        figures.setdefault(row, ([], []))[side].append(found[side][row])
    print(f"\n{rounds} rounds\n\n| what | before | now | ratio, and its 95 % interval | |\n|---|---|---|---|---|")
    for row, (old, new) in figures.items():
        show(row, old, new)


if __name__ == "__main__":
    main()
