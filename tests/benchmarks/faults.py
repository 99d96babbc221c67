"""How golea_async, aiozk's own recipe and kazoo's take the same faults, in one run on one ensemble.

    python -m tests.benchmarks.faults                    # about ten minutes
    python -m tests.benchmarks.faults --only kazoo --timelines /tmp

Three ZooKeeper servers, each of two candidates a process of its own behind its own proxies: the scenarios are those of
`tests/faults`, and so is what counts as belief. A scenario that a library did not survive is shown as such. What aiozk
and kazoo tell nothing about is measured by what an application would act on: `has_leadership`, and being inside the
function that `Election.run` calls.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.checker import leaderless, moves, overlap_time
from tests.faults.cluster import SESSION_TIMEOUT, TICK, Cluster
from tests.faults.contenders import Library
from tests.faults.record import Record
from tests.faults.run import RunError
from tests.faults.scenarios import ROWS, play
from tests.faults.timeline import draw

HOLD = 10.0
"""Seconds that a fault goes on when two may lead: two-leader times of this length have no end."""
LABEL_WIDTH, CELL_WIDTH = 50, 22


@dataclass(frozen=True)
class Row:
    """One scenario, and what of its record is printed."""

    label: str
    scenario: str
    measure: Callable[[Record], str]


def two_leaders(record: Record) -> str:
    return f"{overlap_time(record):.2f} s"


def moves_and_pause(record: Record) -> str:
    return f"{moves(record)} / {_since_fault(record):.2f} s"


def belief_after_thaw(record: Record) -> str:
    """How long the candidate that had been frozen went on believing from its thaw on, and when its status said so."""
    thaw = next(band.end for band in record.faults if band.label == "frozen")
    late = [max(0.0, each.last[1] - max(each.first[0], thaw)) for each in record.beliefs if each.candidate == "a"]
    told = [each.at - thaw for each in record.statuses if each.candidate == "a" and each.at >= thaw]
    return f"{sum(late):.2f} s" + (f", told in {min(told) * 1000:.0f} ms" if told else "")


def next_leader(record: Record) -> str:
    """From the SIGKILL to the next one's belief."""
    kill = next(band.start for band in record.faults if band.label == "SIGKILL")
    began = min((each.first[0] for each in record.beliefs if each.candidate == "b"), default=None)
    return "never" if began is None else f"{(began - kill) / record.session_timeout:.2f} T"


def after_heal(record: Record) -> str:
    """From the end of the fault to the next one's belief."""
    end = record.faults[-1].end
    began = min((each.first[0] for each in record.beliefs if each.candidate == "b"), default=None)
    return "never" if began is None else f"{max(0.0, began - end):.2f} s"


def _since_fault(record: Record) -> float:
    start = min(band.start for band in record.faults)
    return sum(end - max(since, start) for since, end in leaderless(record) if end > start)


TABLE = (
    Row("cut off from all servers: two leaders for", "leader-cut-off", two_leaders),
    Row("its server cut off, no way out: two leaders for", "follower-cut-off-no-way-out", two_leaders),
    Row("its server cut off: two leaders for", "follower-cut-off", two_leaders),
    Row("ZooKeeper's leader stranded: two leaders for", "zookeepers-leader-stranded", two_leaders),
    Row("frozen past its session: believes after thaw", "leader-frozen", belief_after_thaw),
    Row("its server killed: moves / nobody leads", "server-killed", moves_and_pause),
    Row("ZooKeeper's leader killed: moves / nobody leads", "zookeepers-leader-killed", moves_and_pause),
    Row("rolling restart: moves / nobody leads", "rolling-restart", moves_and_pause),
    Row("ensemble away for 2.5 s: moves / nobody leads", "ensemble-away", moves_and_pause),
    Row("follower away, leader resigns: after heal", "follower-away-while-leader-resigns", after_heal),
    Row("leader killed: next one leads after", "leader-killed", next_leader),
)


async def measure(row: Row, cluster: Cluster, library: Library, directory: Path | None) -> str:
    try:
        run = await play(ROWS[row.scenario], cluster, library, hold=HOLD)
    except RunError as error:
        return f"failed: {str(error).splitlines()[0][:CELL_WIDTH]}"
    if directory is not None:
        (directory / f"{row.scenario}-{library.name.lower()}.svg").write_text(draw(run.record))
    pauses = leaderless(run.record)
    has_no_leader_now = bool(pauses) and pauses[-1][1] >= run.record.ended
    return row.measure(run.record) + (", then nobody" if has_no_leader_now else "")


async def main(libraries: list[Library], rows: list[Row], directory: Path | None) -> None:
    print(f"T = {SESSION_TIMEOUT:g} s, tick {TICK:g} s; a fault goes on for {HOLD:g} s when two may lead\n")
    print(" " * LABEL_WIDTH + "".join(f"{library.value:>{CELL_WIDTH}}" for library in libraries))
    for row in rows:
        print(f"{row.label:<{LABEL_WIDTH}}", end="", flush=True)
        for library in libraries:
            # Each on an ensemble of its own: what one scenario leaves behind must not be the next one's.
            async with Cluster() as cluster:
                cell = await measure(row, cluster, library, directory)
            print(f"{cell:>{CELL_WIDTH}}", end="", flush=True)
        print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[library.name.lower() for library in Library], nargs="+")
    parser.add_argument("--rows", choices=[row.scenario for row in TABLE], nargs="+")
    parser.add_argument("--timelines", type=Path, metavar="DIRECTORY", help="draw each run into this directory")
    arguments = parser.parse_args()
    chosen = [Library[name.upper()] for name in arguments.only or ("golea", "aiozk", "kazoo")]
    wanted = [row for row in TABLE if row.scenario in (arguments.rows or ROWS)]
    asyncio.run(main(chosen, wanted, arguments.timelines))
