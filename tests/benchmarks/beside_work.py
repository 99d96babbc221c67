"""One side of :mod:`tests.benchmarks.beside`: measures the `golea_async` that it imports, and tells samples as JSON.

It is run in a process of its own, which finds the version that is meant in its ``PYTHONPATH``. So it needs nothing but
the public interface, and no module beside itself.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import time
import timeit
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiozk
from aiozk import protocol

from golea_async import AsyncElection, Role, ZKClient, create_election, delete_election

SESSION_TIMEOUT, STOOD_TIMEOUT = 10.0, 3.0
STOOD_SHARE = 0.9
"""Of the session timeout: by then the lease of the nomination has lapsed, and the next keep-alive is not due yet."""
WARM_UP = 30
"""Samples of steps that do not count."""
REST = 0.002
"""Seconds before each step: an answer takes a tenth of that."""
AT_ONCE = 200

Samples = dict[str, list[float]]
_numbers = itertools.count()


@asynccontextmanager
async def opened(kind: type[aiozk.ZKClient], hosts: str, timeout: float = SESSION_TIMEOUT) -> AsyncIterator[Any]:
    zk = kind(hosts, session_timeout=timeout)
    await zk.start()
    try:
        yield zk
    finally:
        await zk.close()


async def new_election(*clients: aiozk.ZKClient) -> str:
    """Make an election node, which the servers of all these clients have when this returns."""
    resource = f"/beside/{next(_numbers)}-{clients[0].session.session_id:x}"
    await create_election(clients[0], resource)
    for other in clients[1:]:
        await other.send(protocol.SyncRequest(path=resource))
    return resource


async def timed(step: Awaitable[object]) -> float:
    """Return how many seconds a step takes, at rest before it."""
    await asyncio.sleep(REST)
    began = time.perf_counter()
    await step
    return time.perf_counter() - began


async def handed_over(leader: AsyncElection, heir: AsyncElection) -> float:
    """From the call of `resign()` until the other one leads."""
    led = asyncio.ensure_future(heir.wait_for_leadership())
    await asyncio.sleep(REST)
    began = time.perf_counter()
    resignation = asyncio.ensure_future(leader.resign())
    await led
    taken = time.perf_counter() - began
    await resignation
    return taken


async def steps(kind: type[aiozk.ZKClient], hosts: list[str], count: int) -> Samples:
    """The steps of a few milliseconds, each sample in a new election."""
    found: Samples = {}
    async with opened(kind, hosts[0]) as one, opened(kind, hosts[1]) as two:
        for number in range(-WARM_UP, count):
            resource = await new_election(one, two)
            first, second = AsyncElection(one, resource, "n"), AsyncElection(two, resource, "n")
            taken = {"join as the first in an election": await timed(first.start())}
            taken["join behind a live candidate"] = await timed(second.start())
            await second.resign()
            second = AsyncElection(two, resource, "n")
            taken["join behind a live candidate, by who has just resigned"] = await timed(second.start())
            taken["hand-over, to one whose lease is fresh"] = await handed_over(first, second)
            await second.resign()
            first = AsyncElection(one, resource, "n")
            taken["join as the only one, after another client's candidate"] = await timed(first.start())
            await first.resign()
            for what, seconds in taken.items() if number >= 0 else ():
                found.setdefault(what, []).append(seconds)
    return found


async def stood(kind: type[aiozk.ZKClient], hosts: list[str], count: int) -> Samples:
    """Hand-overs to candidates that have stood for a while, each on a client of its own."""
    async with AsyncExitStack() as stack, opened(kind, hosts[0]) as one:
        others = [await stack.enter_async_context(opened(kind, hosts[1], STOOD_TIMEOUT)) for _ in range(count)]
        pairs = []
        for other in others:
            resource = await new_election(one, other)
            pairs.append((AsyncElection(one, resource, "n"), AsyncElection(other, resource, "n")))
        for leader, heir in pairs:
            await leader.start()
            await heir.start()
        await asyncio.sleep(STOOD_SHARE * STOOD_TIMEOUT)
        taken = [await handed_over(leader, heir) for leader, heir in pairs]
        await asyncio.gather(*(heir.resign() for _, heir in pairs))
    return {"hand-over, to one that has stood for a while": taken}


async def succession(kind: type[aiozk.ZKClient], hosts: list[str], count: int) -> Samples:
    """Candidates of one client resign one after the other, each as soon as it is elected."""
    async with opened(kind, hosts[0]) as zk:
        resource = await new_election(zk)
        elections = [AsyncElection(zk, resource, f"number {number}") for number in range(count)]
        for election in elections:
            await election.start()
        began = time.perf_counter()
        for election in elections:
            await election.wait_for_leadership()
            await election.resign()
        return {f"succession of {count} candidates": [time.perf_counter() - began]}


async def joins(kind: type[aiozk.ZKClient], hosts: list[str], count: int) -> Samples:
    """Candidates of one election all join at once; until each knows its place."""
    async with opened(kind, hosts[0]) as zk:
        resource = await new_election(zk)
        elections = [AsyncElection(zk, resource, f"number {number}") for number in range(count)]
        taken = await timed(asyncio.gather(*(election.start() for election in elections)))
    return {f"{count} candidates join on one session": [taken]}


async def deletion(kind: type[aiozk.ZKClient], hosts: list[str], count: int) -> Samples:
    """From the call of `delete_election` until it has returned and every candidate was told."""
    async with opened(kind, hosts[0]) as zk, opened(kind, hosts[1]) as other:
        resource = await new_election(zk, other)
        elections = [AsyncElection(zk, resource, f"number {number}") for number in range(count)]
        await asyncio.gather(*(election.start() for election in elections))
        ends = [asyncio.ensure_future(_until_told(election)) for election in elections]
        taken = await timed(asyncio.gather(delete_election(other, resource), *ends))
    return {f"delete_election with {count} candidates, all told": [taken]}


async def _until_told(election: AsyncElection) -> None:
    assert [status.role async for status in election.statuses()][-1] is Role.NONE


async def churn(kind: type[aiozk.ZKClient], hosts: list[str], count: int) -> Samples:
    """Joins and resignations behind a leader, many at a time."""
    numbers = iter(range(count))

    async def come_and_go(zk: aiozk.ZKClient, resource: str) -> None:
        for number in numbers:
            election = AsyncElection(zk, resource, f"number {number}")
            await election.start()
            await election.resign()

    async with opened(kind, hosts[0]) as zk:
        resource = await new_election(zk)
        async with AsyncElection(zk, resource, "leader"):
            taken = await timed(asyncio.gather(*(come_and_go(zk, resource) for _ in range(AT_ONCE))))
    return {f"{count} joins and resignations on one client": [taken]}


async def local(kind: type[aiozk.ZKClient], hosts: list[str], count: int) -> Samples:
    """What asks nobody; and a status that many read."""
    async with opened(kind, hosts[0]) as zk:
        resource = await new_election(zk)
        async with AsyncElection(zk, resource, "leader") as election:
            await election.wait_for_leadership()
            timer = timeit.Timer(lambda: election.is_leader, timer=time.process_time)
            asked = [taken / count for taken in timer.repeat(5, count)]
        leader, heir = AsyncElection(zk, resource, "leader"), AsyncElection(zk, resource, "heir")
        await leader.start()
        await heir.start()
        reading = [asyncio.ensure_future(_until_leader(heir)) for _ in range(1000)]
        await asyncio.sleep(REST)
        resigning = asyncio.ensure_future(leader.resign())
        longest, last = 0.0, time.perf_counter()
        while not all(task.done() for task in (resigning, *reading)):
            await asyncio.sleep(0)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        await heir.resign()
    return {"is_leader, of a leader": asked, "a status published to 1000 subscribers": [longest]}


async def _until_leader(election: AsyncElection) -> None:
    async for status in election.statuses():
        if status.role is Role.LEADER:
            return


PARTS: dict[str, Callable[[type[aiozk.ZKClient], list[str], int], Awaitable[Samples]]] = {
    "steps": steps,
    "stood": stood,
    "succession": succession,
    "joins": joins,
    "deletion": deletion,
    "churn": churn,
    "local": local,
}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("count", type=int)
    parser.add_argument("hosts", nargs=2)
    parser.add_argument("--aiozk", action="store_true", help="on aiozk's client")
    arguments = parser.parse_args()
    kind = aiozk.ZKClient if arguments.aiozk else ZKClient
    print(json.dumps(await PARTS[arguments.part](kind, arguments.hosts, arguments.count)))


if __name__ == "__main__":
    logging.getLogger("aiozk").setLevel(logging.CRITICAL)
    logging.getLogger("golea_async").setLevel(logging.ERROR)
    asyncio.run(main())
