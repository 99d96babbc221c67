"""The run: see the package's docstring."""

from __future__ import annotations

import argparse
import asyncio
import logging
from dataclasses import dataclass

from golea_async.testing import Ensemble

from .masses import measure_churn, measure_idle, measure_joins
from .report import Report, conditions, write
from .round_trips import measure_round_trips, measure_stood, measure_succession
from .shared import measure_deletion, measure_local, measure_wire

PARTS = ("round-trips", "succession", "joins", "wire", "idle", "deletion", "local", "churn")


@dataclass(frozen=True)
class Scale:
    """How many of everything."""

    name: str
    samples: int
    warm_up: int
    rounds: int
    stood_rounds: int
    succession: int
    joins: int
    most_on_the_wire: int
    idle: int
    idle_seconds: float
    deletion: int
    deletion_rounds: int
    local_rounds: int
    churn: int


FULL = Scale(
    "in full size",
    samples=500,
    warm_up=100,
    rounds=3,
    stood_rounds=4,
    succession=500,
    joins=4000,
    most_on_the_wire=100,
    idle=1000,
    idle_seconds=20,
    deletion=5000,
    deletion_rounds=2,
    local_rounds=20,
    churn=100_000,
)
QUICK = Scale(
    "scaled down by --quick",
    samples=30,
    warm_up=20,
    rounds=1,
    stood_rounds=1,
    succession=100,
    joins=500,
    most_on_the_wire=20,
    idle=100,
    idle_seconds=10,
    deletion=500,
    deletion_rounds=1,
    local_rounds=5,
    churn=5000,
)


async def main(ensemble: Ensemble, parts: list[str], scale: Scale) -> None:
    """Run the parts. A whole run in full size goes into the document, part by part: one that is stopped is not lost."""
    where = conditions(ensemble, scale.name)
    report = Report()
    print(where)
    for part in PARTS:
        if part in parts:
            await _measure(part, ensemble, report, scale)
            if scale is FULL and set(parts) == set(PARTS):
                write(report, where)


async def _measure(part: str, ensemble: Ensemble, report: Report, scale: Scale) -> None:
    match part:
        case "round-trips":
            await measure_round_trips(ensemble, report, samples=scale.samples, warm_up=scale.warm_up)
            await measure_stood(ensemble, report, rounds=scale.stood_rounds, count=8)
        case "succession":
            await measure_succession(ensemble, report, rounds=scale.rounds, count=scale.succession)
        case "joins":
            await measure_joins(ensemble, report, rounds=scale.rounds, count=scale.joins)
        case "wire":
            await measure_wire(ensemble, report, sizes=(5, scale.most_on_the_wire), hand_overs=4)
        case "idle":
            await measure_idle(ensemble, report, count=scale.idle, seconds=scale.idle_seconds)
        case "deletion":
            await measure_deletion(ensemble, report, rounds=scale.deletion_rounds, count=scale.deletion)
        case "local":
            await measure_local(ensemble, report, rounds=scale.local_rounds, readers=1000)
        case "churn":
            await measure_churn(ensemble, report, count=scale.churn)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.elections", description="What an election costs.")
    parser.add_argument("--quick", action="store_true", help="smaller numbers; leaves docs/benchmarks.md as it is")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="leaves it as it is, too")
    return parser.parse_args()


if __name__ == "__main__":
    logging.getLogger("aiozk").setLevel(logging.CRITICAL)
    logging.getLogger("golea_async").setLevel(logging.ERROR)
    chosen = arguments()
    with Ensemble(3, max_session_timeout=60) as shared:
        asyncio.run(main(shared, chosen.only, QUICK if chosen.quick else FULL))
