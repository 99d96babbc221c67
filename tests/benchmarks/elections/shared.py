"""What happens once for many: a hand-over on the wire, an election deleted, a status published."""

from __future__ import annotations

import asyncio
import itertools
import time
import timeit
from collections import Counter
from contextlib import AsyncExitStack

import aiozk

from golea_async import AsyncElection, Role, ZKClient, delete_election
from golea_async.testing import Ensemble
from tests.support.proxy import Proxy
from tests.support.wire import OpCode

from .clients import kind_of, new_election, opened
from .report import Contestant, Line, Report, times

QUIET_TIMEOUT = 60.0
"""A session timeout so long that no ping and no keep-alive goes out while hand-overs are counted."""
SETTLED = 0.2
"""Seconds until the last one has looked at its own znode, or has removed its watches, which it does afterwards."""
NAMES = {opcode.value: opcode.name.lower().replace("_", " ") for opcode in OpCode}


async def measure_wire(ensemble: Ensemble, report: Report, sizes: tuple[int, int], hand_overs: int) -> None:
    """Requests and events for one hand-over, at two numbers of candidates, each in a session of its own."""
    for candidates in sizes:
        sent, events = await _on_the_wire(ensemble, candidates, hand_overs)
        parts = ", ".join(f"{NAMES[opcode]} {count / hand_overs:g}" for opcode, count in sorted(sent.items()))
        what = f"one hand-over among {candidates} candidates, each in a session of its own: requests"
        total = {Contestant.OURS: [sent.total() / hand_overs]}
        found = f"{parts}; watch events {events / hand_overs:g}"
        report.add(Line(what, "on the wire", total, "the same for any number", found))


async def _on_the_wire(ensemble: Ensemble, candidates: int, hand_overs: int) -> tuple[Counter[int], int]:
    async with AsyncExitStack() as stack, Proxy(ensemble.servers[0].port) as proxy:
        clients = [
            await stack.enter_async_context(opened(ZKClient, proxy.address, QUIET_TIMEOUT)) for _ in range(candidates)
        ]
        resource = await new_election(clients[0])
        elections = [AsyncElection(zk, resource) for zk in clients]
        for election in elections:
            await election.start()
        await asyncio.sleep(SETTLED)
        before, events = proxy.requests.copy(), proxy.events
        for leader, heir in itertools.pairwise(elections[: hand_overs + 1]):
            await leader.resign()
            await heir.wait_for_leadership()
        await asyncio.sleep(SETTLED)
        return proxy.requests - before, proxy.events - events


async def measure_deletion(ensemble: Ensemble, report: Report, rounds: int, count: int) -> None:
    """From the call of `delete_election` until it has returned and every candidate was told."""
    samples: dict[Contestant, list[float]] = {}
    for _ in range(rounds):
        for contestant in (Contestant.FLOOR, Contestant.OURS, Contestant.OURS_ON_AIOZK):
            delete = _bare_deletion if contestant is Contestant.FLOOR else _our_deletion
            first, second = (server.address for server in ensemble.servers[:2])
            async with opened(kind_of(contestant), first) as zk, opened(kind_of(contestant), second) as other:
                samples.setdefault(contestant, []).append(await delete(zk, other, count))
    what = f"delete_election with {count} candidates, all told"
    report.add(Line(what, "s", samples, "at most 5 times", times(samples)))


async def _bare_deletion(zk: aiozk.ZKClient, other: aiozk.ZKClient, count: int) -> float:
    resource = await new_election(zk)
    creations = (zk.create(f"{resource}/le_", data=b"n", ephemeral=True, sequential=True) for _ in range(count))
    paths = await asyncio.gather(*creations)
    began = time.perf_counter()
    await asyncio.gather(*(other.delete(path) for path in paths))
    return time.perf_counter() - began


async def _our_deletion(zk: aiozk.ZKClient, other: aiozk.ZKClient, count: int) -> float:
    resource = await new_election(zk)
    elections = [AsyncElection(zk, resource, f"number {number}") for number in range(count)]
    await asyncio.gather(*(election.start() for election in elections))
    ends = [asyncio.create_task(_until_told(election)) for election in elections]
    await asyncio.sleep(0)
    began = time.perf_counter()
    await asyncio.gather(delete_election(other, resource), *ends)
    return time.perf_counter() - began


async def _until_told(election: AsyncElection) -> None:
    """Read the statuses to their end, which says that it is over."""
    roles = [status.role async for status in election.statuses()]
    assert roles[-1] is Role.NONE


async def measure_local(ensemble: Ensemble, report: Report, rounds: int, readers: int) -> None:
    """What needs no ZooKeeper: the clock, and telling many readers in this process."""
    async with ZKClient(ensemble.hosts) as zk:
        resource = await new_election(zk)
        async with AsyncElection(zk, resource) as election:
            await election.wait_for_leadership()
            timer, number = timeit.Timer(lambda: election.is_leader, timer=time.process_time), 100_000
            nanoseconds = [taken / number * 1e9 for taken in timer.repeat(rounds, number)]
        report.add(Line("is_leader, of a leader", "ns of CPU", {Contestant.OURS: nanoseconds}, "under 1000"))
        hold_ups = [await _publication(zk, readers) * 1000 for _ in range(rounds)]
    what = f"a status published to {readers} subscribers: the longest hold-up of the loop"
    report.add(Line(what, "ms", {Contestant.OURS: hold_ups}, "a few ms"))


async def _publication(zk: aiozk.ZKClient, readers: int) -> float:
    """A leader resigns; the next one has many readers. The longest time between two turns of the loop meanwhile."""
    resource = await new_election(zk)
    leader, heir = AsyncElection(zk, resource), AsyncElection(zk, resource)
    await leader.start()
    await heir.start()
    reading = [asyncio.create_task(_until_leader(heir)) for _ in range(readers)]
    await asyncio.sleep(0)
    resigning = asyncio.create_task(leader.resign())
    longest, last = 0.0, time.perf_counter()
    while not all(task.done() for task in (resigning, *reading)):
        await asyncio.sleep(0)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    await heir.resign()
    return longest


async def _until_leader(election: AsyncElection) -> None:
    async for status in election.statuses():
        if status.role is Role.LEADER:
            return
