"""How long an event loop may be blocked, and how slow ZooKeeper may be, before that costs the lead."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable

from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper
from tests.benchmarks.slow_quorum import measure, slow

from .processes import Process, bury_all, fork

BLOCKS = (0.34, 0.38, 0.42, 0.46, 0.50, 0.54, 0.58)
LATENCIES = (0.10, 0.15, 0.18, 0.20, 0.22, 0.25)
LONGEST = 300.0
"""Seconds for which one event loop is blocked again and again."""
MOST = 20


def blocks(hosts: str, session_timeouts: Iterable[float]) -> dict[float, dict[str, list[int]]]:
    """Return, for each T and each share of it that a loop was blocked: how often the lead was kept, of how many."""
    chosen = [(session_timeout, share) for session_timeout in session_timeouts for share in BLOCKS]
    running = [(session_timeout, share, blocked(hosts, session_timeout, share)) for session_timeout, share in chosen]
    found: dict[float, dict[str, list[int]]] = {}
    for session_timeout, share, process in running:
        said = words(process)
        found.setdefault(session_timeout, {})[f"{share:.2f}"] = [said.count("kept"), len(said)]
    bury_all()
    return found


def words(process: Process) -> list[str]:
    said: list[str] = []
    while (word := process.line()[0]) != "end":
        said.append(word)
    return said


def blocked(hosts: str, session_timeout: float, share: float) -> Process:
    """Fork a leader that blocks its own loop, and says each time `kept` or `lost`."""

    async def main(say: Callable[[str], None]) -> None:
        resource, began = f"/blocked-{session_timeout:g}-{share:.2f}", time.monotonic()
        async with ZKClient(hosts, session_timeout=session_timeout) as zk:
            await create_election(zk, resource)
            async with AsyncElection(zk, resource) as election:
                for _ in range(MOST):
                    await election.wait_for_leadership()
                    await asyncio.sleep(session_timeout * (0.5 + random.random() / 8))
                    time.sleep(share * session_timeout)  # noqa: ASYNC251 - this is what is measured
                    say("kept" if election.is_leader else "lost")
                    if time.monotonic() - began > LONGEST:
                        break
                    await asyncio.sleep(session_timeout / 4)
        say("end")
        await asyncio.Event().wait()

    return fork(main)


async def latencies(session_timeouts: Iterable[float]) -> dict[float, dict[str, list[float]]]:
    """Return, for each T and each share of T that an answer took: the share of the time it led, and losses in 6 T."""
    with MemoryZooKeeper(servers=3, tick=0.5, max_session_timeout=60) as zookeeper:
        chosen = [(session_timeout, share) for session_timeout in session_timeouts for share in LATENCIES]
        rows = await asyncio.gather(*(measure(zookeeper, share, slow, t) for t, share in chosen))
    found: dict[float, dict[str, list[float]]] = {}
    for (session_timeout, share), row in zip(chosen, rows, strict=True):
        found.setdefault(session_timeout, {})[f"{share:.2f}"] = [round(row.led / row.looks, 4), row.losses]
    return found
