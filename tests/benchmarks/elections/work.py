"""Runs in a fresh process, so that its memory and CPU are its own: `python -m tests.benchmarks.elections.work ...`.

It tells its parent what it found as lines of JSON. A process that idles first says when it has begun to.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiozk

from golea_async import AsyncElection
from tests.support.leftovers import background_tasks, background_to_end, registries

from .clients import SESSION_TIMEOUT, kind_of, new_election, opened
from .contestants import TellingElection
from .report import Contestant

MEGABYTE = 2**20
CHURN_AT_ONCE = 200
WATCHES_ARE_REMOVED = 0.2
"""Seconds after which the client has removed the watches that nobody needs."""


def tell(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


def peak_memory() -> float:
    """The most that this process ever had, in megabytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


async def joins(zk: aiozk.ZKClient, contestant: Contestant, count: int) -> None:
    """Candidates of one election all join at once; until each knows its place."""
    path = await new_election(zk)
    join = {Contestant.FLOOR: _create, Contestant.RECIPE: _volunteer}.get(contestant, _start)
    before, began = peak_memory(), time.perf_counter()
    kept = await asyncio.gather(*(join(zk, path, number) for number in range(count)))
    tell(seconds=time.perf_counter() - began, megabytes=peak_memory() - before, count=len(kept))


async def _create(zk: aiozk.ZKClient, path: str, number: int) -> object:
    return await zk.create(f"{path}/le_", data=b"number %d" % number, ephemeral=True, sequential=True)


async def _start(zk: aiozk.ZKClient, path: str, number: int) -> object:
    election = AsyncElection(zk, path, f"number {number}")
    await election.start()
    return election


async def _volunteer(zk: aiozk.ZKClient, path: str, _number: int) -> object:
    election = TellingElection(path)
    election.set_client(zk)
    await election.volunteer()
    await election.placed.wait()
    return election


async def leads(zk: aiozk.ZKClient, _contestant: Contestant, count: int) -> None:
    """One candidate in each of many elections, which leads and then does nothing."""
    paths = await asyncio.gather(*(new_election(zk) for _ in range(count)))
    await _idle([AsyncElection(zk, path) for path in paths])


async def follows(zk: aiozk.ZKClient, contestant: Contestant, count: int) -> None:
    """The same, behind somebody else's candidate."""
    paths = await asyncio.gather(*(new_election(zk) for _ in range(count)))
    async with opened(kind_of(contestant), _arguments().leaders) as other:
        leaders = [AsyncElection(other, path) for path in paths]
        await asyncio.gather(*(election.start() for election in leaders))
        await _idle([AsyncElection(zk, path) for path in paths])


async def _idle(elections: list[AsyncElection]) -> None:
    await asyncio.gather(*(election.start() for election in elections))
    began, cpu = time.perf_counter(), time.process_time()
    tell(idles=True)
    await asyncio.sleep(_arguments().seconds)
    tell(cpu=time.process_time() - cpu, seconds=time.perf_counter() - began)


async def churn(zk: aiozk.ZKClient, _contestant: Contestant, count: int) -> None:
    """Joins and resignations in one election, many at a time; what is there after a tenth of them, and after all."""
    path = await new_election(zk)
    leader = AsyncElection(zk, path, "leader")
    await leader.start()
    expected, numbers = background_tasks(), iter(range(count))

    async def come_and_go(until: int) -> None:
        for number in numbers:
            await _come_and_go(zk, path, number)
            if number >= until:
                return

    for done in (count // 10, count):
        began = time.perf_counter()
        await asyncio.gather(*(come_and_go(done - CHURN_AT_ONCE) for _ in range(CHURN_AT_ONCE)))
        await background_to_end(expected)
        seconds = time.perf_counter() - began
        await asyncio.sleep(WATCHES_ARE_REMOVED)
        gc.collect()
        tell(
            joins=done,
            seconds=seconds,
            megabytes=peak_memory(),
            objects=len(gc.get_objects()),
            registries=registries(zk),
        )


async def _come_and_go(zk: aiozk.ZKClient, path: str, number: int) -> None:
    election = AsyncElection(zk, path, f"number {number}")
    await election.start()
    await election.resign()


Work = Callable[[aiozk.ZKClient, Contestant, int], Awaitable[None]]
WORKS: dict[str, Work] = {"joins": joins, "leads": leads, "follows": follows, "churn": churn}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("hosts")
    parser.add_argument("count", type=int)
    parser.add_argument("--contestant", type=Contestant, choices=list(Contestant), default=Contestant.OURS)
    parser.add_argument("--without-gc", action="store_true", help="with Python's collector of cycles off")
    parser.add_argument("--seconds", type=float, default=2 * SESSION_TIMEOUT)
    parser.add_argument("--leaders", default="", help="the hosts to which those go whom the followers follow")
    return parser.parse_args()


async def main() -> None:
    arguments = _arguments()
    if arguments.without_gc:
        gc.disable()
    async with opened(kind_of(arguments.contestant), arguments.hosts) as zk:
        await WORKS[arguments.work](zk, arguments.contestant, arguments.count)


if __name__ == "__main__":
    logging.getLogger("aiozk").setLevel(logging.CRITICAL)
    logging.getLogger("golea_async").setLevel(logging.ERROR)
    asyncio.run(main())
