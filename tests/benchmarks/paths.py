"""How far three calls go through the library: functions, modules, and changes from one module to another.

    python -m tests.benchmarks.paths             # the table
    python -m tests.benchmarks.paths --calls 20  # and which calls cross from module to module most often

Counted with ``sys.setprofile``: every call of a Python function of the library in the clients' thread, until the path
is through. A *change* is a call in another module than the one before it. ZooKeeper is one in memory, in another
thread. Each figure is the median of several runs: now and then a keep-alive comes between.

This needs nothing but the public interface, so that an older version can be counted, too: with that one's folder in
``PYTHONPATH``, and this file run by its path.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import golea_async
from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper

LIBRARY = str(Path(golea_async.__file__).parent)
RUNS = 9
SESSION_TIMEOUT = 30.0
REST = 0.3
"""Seconds before each path: what the one before has left to do must not be counted."""

PATHS = ("a join as follower", "a resignation until the next one leads", "resigning inside a body")


class Calls:
    """The calls of one run, in order: where the caller is, where the function is, and its name."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | None, str, str]] = []

    def record(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Take note of what the interpreter does."""
        module = _module(frame)
        if event == "call" and module is not None:
            caller = frame.f_back
            while caller is not None and _module(caller) is None:
                caller = caller.f_back
            self.calls.append((caller and _module(caller), module, frame.f_code.co_qualname))

    @property
    def figures(self) -> tuple[int, int, int, int]:
        """How many calls, functions, modules and changes of module."""
        modules = [module for _, module, _ in self.calls]
        changes = sum(before != after for before, after in itertools.pairwise(modules))
        return len(modules), len({(module, name) for _, module, name in self.calls}), len(set(modules)), changes

    @property
    def crossings(self) -> Counter[tuple[str | None, str, str]]:
        """How often each function was called from another module."""
        return Counter(call for call in self.calls if call[0] != call[1])


def _module(frame: FrameType) -> str | None:
    file = frame.f_code.co_filename
    is_ours = file.startswith(LIBRARY) and f"{LIBRARY}/testing/" not in file
    return file[len(LIBRARY) + 1 : -len(".py")] if is_ours else None


@asynccontextmanager
async def counted(runs: list[Calls]) -> AsyncIterator[None]:
    """Count the calls of the block, at rest before it."""
    await asyncio.sleep(REST)
    calls = Calls()
    sys.setprofile(calls.record)
    try:
        yield
    finally:
        sys.setprofile(None)
    runs.append(calls)


async def run(first_client: ZKClient, second_client: ZKClient, resource: str, found: dict[str, list[Calls]]) -> None:
    """Go all three paths once, in an election of their own."""
    await create_election(first_client, resource)
    first, second = AsyncElection(first_client, resource, "first"), AsyncElection(second_client, resource, "second")
    await first.start()
    await first.wait_for_leadership()
    join, resignation, inside = (found[path] for path in PATHS)
    async with counted(join):
        await second.start()
    async with counted(resignation):
        await first.resign()
        await second.wait_for_leadership()
    async with second.leadership(), counted(inside):
        await second.resign()


def _client(zookeeper: MemoryZooKeeper) -> ZKClient:
    return ZKClient(zookeeper.hosts, session_timeout=SESSION_TIMEOUT)


async def count(runs: int) -> dict[str, list[Calls]]:
    """Return what was found of each path."""
    found: dict[str, list[Calls]] = {path: [] for path in PATHS}
    with MemoryZooKeeper() as zookeeper:
        async with _client(zookeeper) as first, _client(zookeeper) as second:
            for number in range(runs):
                await run(first, second, f"/election-{number}", found)
    return found


def show(found: dict[str, list[Calls]], most_crossings: int) -> None:
    """Print the table, and the calls that cross most often."""
    print(f"{'':40}{'calls':>8}{'functions':>11}{'modules':>9}{'changes':>9}")
    for path, runs in found.items():
        figures = zip(*(each.figures for each in runs), strict=True)
        calls, functions, modules, changes = (int(statistics.median(each)) for each in figures)
        print(f"{path:40}{calls:8}{functions:11}{modules:9}{changes:9}")
    for path, runs in found.items() if most_crossings else ():
        median = sorted(runs, key=lambda run: len(run.calls))[len(runs) // 2]
        print(f"\n{path}")
        for (caller, module, name), times in median.crossings.most_common(most_crossings):
            print(f"{times:6}  {caller or '(outside)':28} {module}: {name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.paths", description="How far calls go.")
    parser.add_argument("--calls", type=int, default=0, help="how many crossing calls to show of each path")
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    show(asyncio.run(count(arguments.runs)), arguments.calls)
