"""How slow ZooKeeper's answers may be, and how long they may stall, before that costs the lead or a connection.

    python -m tests.benchmarks.slow_quorum          # two minutes

Each row is one client with one candidate, on a ZooKeeper in memory, and the rows of a table are measured at the same
time: of one that leads when answers become slow, of one that takes over while they are slow, of one that leads while
they stall. docs/lease.md derives the limits, and has the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper

T = 4.0
ROUNDS = 6
LATENCIES = (0.05, 0.10, 0.15, 0.18, 0.20, 0.21, 0.22, 0.25)
STALLS = (0.10, 0.20, 0.25, 0.30, 0.33, 0.36, 0.40)


@dataclass
class Row:
    share: float
    led: int = 0
    looks: int = 0
    losses: int = 0
    connections: int = 0
    leads_after: float | None = None
    """T from the former leader's resignation."""

    def __str__(self) -> str:
        led = f"{self.share:6.2f} T {100 * self.led / self.looks:9.1f} % {self.losses:8} {self.connections - 1:12}"
        return led if self.leads_after is None else f"{led} {self.leads_after:10.2f} T"


async def slow(zookeeper: MemoryZooKeeper, zk: ZKClient, share: float, ends: asyncio.Event) -> None:
    with zookeeper.delay(share * zk.session.timeout, zk.session.session_id):
        await ends.wait()


async def stalling(zookeeper: MemoryZooKeeper, zk: ZKClient, share: float, ends: asyncio.Event) -> None:
    """Once in 1.5 T, so that each stall meets the rhythm of the keep-alives elsewhere."""
    while not ends.is_set():
        with zookeeper.cut(zk.session.session_id, requests=False):
            await asyncio.sleep(share * zk.session.timeout)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout((1.47 - share) * zk.session.timeout):
                await ends.wait()


async def measure(
    zookeeper: MemoryZooKeeper,
    share: float,
    trouble: Callable[[MemoryZooKeeper, ZKClient, float, asyncio.Event], Awaitable[None]],
    session_timeout: float = T,
    *,
    takes_over: bool = False,
) -> Row:
    row, ends = Row(share), asyncio.Event()
    resource = f"/{trouble.__name__}-{session_timeout:g}-{share:g}-{takes_over}"
    async with ZKClient(zookeeper.hosts, session_timeout=session_timeout) as zk, ZKClient(zookeeper.hosts) as other:
        await create_election(zk, resource)
        before = AsyncElection(other, resource)
        if takes_over:
            await before.start()
        async with AsyncElection(zk, resource) as election:
            if not takes_over:
                await election.wait_for_leadership()
            await asyncio.sleep(2 * session_timeout)
            troubling = asyncio.ensure_future(trouble(zookeeper, zk, share, ends))
            if takes_over:
                await asyncio.sleep(3 * session_timeout)
                resigned_at = time.monotonic()
                await before.resign()
                await election.wait_for_leadership()
                row.leads_after = (time.monotonic() - resigned_at) / session_timeout
            await look(row, zk, election, ROUNDS * session_timeout)
            ends.set()
            await troubling
    return row


async def look(row: Row, zk: ZKClient, election: AsyncElection, seconds: float) -> None:
    connections, was_leader, began = set(), True, time.monotonic()
    while time.monotonic() - began < seconds:
        is_leader = election.is_leader
        row.looks += 1
        row.led += is_leader
        row.losses += was_leader and not is_leader
        was_leader = is_leader
        connections.add(zk.session.conn)
        await asyncio.sleep(0.01)
    row.connections = len(connections)


async def main() -> None:
    print(f"T = {T:g} s")
    with MemoryZooKeeper(servers=3, tick=0.5) as zookeeper:
        await table("answers take", [measure(zookeeper, share, slow) for share in LATENCIES])
        late = [measure(zookeeper, share, slow, takes_over=True) for share in LATENCIES]
        await table("it takes over while answers take", late)
        await table("answers stall for", [measure(zookeeper, share, stalling) for share in STALLS])


async def table(what: str, rows: Iterable[Awaitable[Row]]) -> None:
    print(
        f"{what}\n   share      leads   losses   reconnects, in {ROUNDS} T; leads after",
        *await asyncio.gather(*rows),
        sep="\n",
    )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asyncio.run(main())
