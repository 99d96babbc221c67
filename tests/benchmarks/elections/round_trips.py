"""Joins, hand-overs and successions: what one candidate waits for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiozk
from aiozk import WatchEvent

from golea_async import AsyncElection, ZKClient
from golea_async.testing import Ensemble

from .clients import kind_of, new_election, opened, opened_many
from .contestants import BareSides, GoleaSides, Sides, TellingElection, all_sides
from .report import Contestant, Line, Report, times

BEHIND, FIRST, AGAIN, ALONE, FRESH = range(5)
REST = 0.002
"""Seconds between two steps: an answer takes a tenth of that."""
STOOD_TIMEOUT = 3.0
STOOD_SHARE = 0.9
"""Of the session timeout: by then the lease of the nomination has lapsed, and the next keep-alive is not due yet."""


async def measure_round_trips(ensemble: Ensemble, report: Report, samples: int, warm_up: int) -> None:
    """Each sample has all contestants in turn, each in a new election.

    The order is another one each time: who comes behind one that runs much the same code finds it in the caches.
    """
    figures: list[dict[Contestant, list[float]]] = [{} for _ in range(5)]
    first, second = (server.address for server in ensemble.servers[:2])
    async with all_sides(ensemble) as contestants, opened(ZKClient, first) as one, opened(ZKClient, second) as two:
        for number in range(warm_up + samples):
            for contestant, sides in random.sample(list(contestants.items()), len(contestants)):
                taken = await _cycle(sides(await new_election(one, two)))
                if number >= warm_up:
                    for figure, value in zip(figures, taken, strict=True):
                        figure.setdefault(contestant, []).append(value * 1000)
    for figure in (figures[BEHIND], figures[AGAIN]):
        del figure[Contestant.KAZOO]  # it does not tell
    for figure in (figures[AGAIN], figures[ALONE], figures[FRESH]):
        del figure[Contestant.OUR_REQUESTS]  # they are a join's in two round trips
    recipes = (Contestant.RECIPE, Contestant.KAZOO)
    aim = "at most 1.2 times, and faster than the others"
    for which, what, others in (
        (BEHIND, "join behind a live candidate", recipes[:1]),
        (FIRST, "join as the first in an election", recipes),
        (AGAIN, "join behind a live candidate, by who has just resigned", recipes[:1]),
        (ALONE, "join as the only one, after another client's candidate", recipes),
        (FRESH, "hand-over, to one whose lease is fresh", recipes),
    ):
        report.add(Line(what, "ms", figures[which], aim, times(figures[which], *others)))


async def _cycle(sides: Sides) -> Sequence[float]:
    """Each step begins at rest: what the one before has left to do must not be in its time."""
    first = await _at_rest(sides.join(0))
    behind = await _at_rest(sides.join(1))
    await sides.leave(1)
    again = await _at_rest(sides.join(1))
    handed_over = await _at_rest(sides.hand_over())
    await sides.leave(1)
    alone = await _at_rest(sides.join(0))
    await sides.leave(0)
    return behind, first, again, alone, handed_over


async def _at_rest(step: Awaitable[float]) -> float:
    await asyncio.sleep(REST)
    return await step


async def measure_stood(ensemble: Ensemble, report: Report, rounds: int, count: int) -> None:
    """Hand-overs to candidates that have stood for a while: the list and the keep-alive's write travel together."""
    contestants = (Contestant.FLOOR, Contestant.OURS, Contestant.OURS_ON_AIOZK)
    samples: dict[Contestant, list[float]] = {contestant: [] for contestant in contestants}
    for _ in range(rounds):
        async with AsyncExitStack() as stack:
            pairs = [await stack.enter_async_context(_pairs(ensemble, each, count)) for each in contestants]
            for side in (0, 1):
                await asyncio.gather(*(sides.join(side) for sides_of_one in pairs for sides in sides_of_one))
            await asyncio.sleep(STOOD_SHARE * STOOD_TIMEOUT)
            for in_turn in zip(*pairs, strict=True):
                for contestant, sides in zip(contestants, in_turn, strict=True):
                    samples[contestant].append(await sides.hand_over() * 1000)
            await asyncio.gather(*(sides.leave(1) for sides_of_one in pairs for sides in sides_of_one))
    aim = "at most 1.2 times"
    report.add(Line("hand-over, to one that has stood for a while", "ms", samples, aim, times(samples)))


@asynccontextmanager
async def _pairs(ensemble: Ensemble, contestant: Contestant, count: int) -> AsyncIterator[list[Sides]]:
    """Each with a second client of its own: another's hand-over would renew the lease for all on one client."""
    first, second = (server.address for server in ensemble.servers[:2])
    kind = kind_of(contestant)
    async with AsyncExitStack() as stack, opened(kind, first) as one:
        others = await opened_many(stack, kind, second, count, STOOD_TIMEOUT)
        pairs = [((one, other), await new_election(one, other)) for other in others]
        if contestant is Contestant.FLOOR:
            yield [BareSides(clients, resource, checks=True) for clients, resource in pairs]
        else:
            yield [GoleaSides(clients, resource) for clients, resource in pairs]


async def measure_succession(ensemble: Ensemble, report: Report, rounds: int, count: int) -> None:
    """Candidates of one client resign one after the other, each as soon as it is elected."""
    successions = {
        Contestant.FLOOR: _bare_succession,
        Contestant.OURS: _our_succession,
        Contestant.OURS_ON_AIOZK: _our_succession,
        Contestant.RECIPE: _recipes_succession,
    }
    samples: dict[Contestant, list[float]] = {contestant: [] for contestant in successions}
    for _ in range(rounds):
        for contestant, succession in successions.items():
            async with opened(kind_of(contestant), ensemble.servers[0].address) as zk:
                samples[contestant].append(await succession(zk, await new_election(zk), count))
    aim = "at most 1.3 times"
    report.add(Line(f"succession of {count} candidates", "s", samples, aim, times(samples, Contestant.RECIPE)))


async def _bare_succession(zk: aiozk.ZKClient, resource: str, count: int) -> float:
    paths = [await zk.create(f"{resource}/le_", data=b"n", ephemeral=True, sequential=True) for _ in range(count)]
    events = [zk.wait_for_events([WatchEvent.DELETED], path) for path in paths]
    for path in paths:
        await zk.exists(path, watch=True)
    began = time.perf_counter()
    for path, event in zip(paths, events, strict=True):
        deletion = asyncio.ensure_future(zk.delete(path))
        await event
        await zk.get_children(resource)
        await deletion
    return time.perf_counter() - began


async def _our_succession(zk: aiozk.ZKClient, resource: str, count: int) -> float:
    elections = [AsyncElection(zk, resource, f"number {number}") for number in range(count)]
    for election in elections:
        await election.start()
    began = time.perf_counter()
    for election in elections:
        await election.wait_for_leadership()
        await election.resign()
    return time.perf_counter() - began


async def _recipes_succession(zk: aiozk.ZKClient, resource: str, count: int) -> float:
    elections = [TellingElection(resource) for _ in range(count)]
    for election in elections:
        election.set_client(zk)
        await election.volunteer()
        await election.placed.wait()
    began = time.perf_counter()
    for election in elections:
        await election.wait_for_leadership()
        await election.resign()
    return time.perf_counter() - began
