"""What a hand-over costs: by `step_down` beside one by `resign`, and a transfer to the tenth of ten candidates.

`python -m tests.benchmarks.hand_over [--rounds 50]`, on three servers. Each candidate has a client of its own. The time
is that without a leader: from the end of the one's belief until the other believes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from golea_async import AsyncElection, Role, ZKClient, create_election, transfer_leadership
from golea_async.testing import Ensemble

_numbers = itertools.count()


async def _standing(clients: list[ZKClient]) -> list[AsyncElection]:
    resource = f"/hand-over-{next(_numbers)}"
    await create_election(clients[0], resource)
    elections = [AsyncElection(zk, resource, f"number {number}") for number, zk in enumerate(clients)]
    for election in elections:
        await election.start()
    return elections


async def _leaderless(first: AsyncElection, heir: AsyncElection, act: Callable[[], Awaitable[object]]) -> float:
    """Seconds from the end of the first one's belief until the heir leads."""
    ended = 0.0

    async def watch() -> None:
        nonlocal ended
        async for status in first.statuses():
            if status.role is not Role.LEADER:
                break
        ended = time.perf_counter()

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    acting = asyncio.ensure_future(act())
    await heir.wait_for_leadership()
    began = time.perf_counter()
    await asyncio.gather(watching, acting)
    return began - ended


async def _by(clients: list[ZKClient], way: str) -> float:
    elections = await _standing(clients)
    first, *_, last = elections
    operator = clients[0]
    acts: dict[str, tuple[AsyncElection, Callable[[], Awaitable[object]]]] = {
        "resign": (elections[1], first.resign),
        "step_down": (elections[1], first.step_down),
        "transfer": (last, lambda: transfer_leadership(operator, first.resource, last.status.candidate_id)),
    }
    taken = await _leaderless(first, *acts[way])
    for election in elections:
        await election.resign()
    return taken


async def main(hosts: str, rounds: int) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ZKClient(hosts, session_timeout=10)) for _ in range(10)]
        taken: dict[str, list[float]] = {"resign": [], "step_down": [], "transfer": []}
        for _ in range(rounds):
            for way, times in taken.items():  # in turn, so that they have the same machine
                times.append(await _by(clients if way == "transfer" else clients[:2], way))
    print("| nobody leads, ms | median | 90 % |\n|---|---|---|")
    for way, times in taken.items():
        of = " to the tenth of ten" if way == "transfer" else ""
        print(
            f"| {way}{of} | {1000 * statistics.median(times):.2f} | {1000 * statistics.quantiles(times, n=10)[8]:.2f} |"
        )
    ratios = [one / other for one, other in zip(taken["step_down"], taken["resign"], strict=True)]
    print(f"\nstep_down / resign, paired: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    with Ensemble(3) as ensemble:
        asyncio.run(main(ensemble.hosts, arguments.rounds))
