"""What an election costs, whatever the number of candidates: requests on the wire, and entries on the client."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from golea_async import AsyncElection, ElectionOverError, ZKClient, delete_election
from tests.support.elections import eventually, rest_of, soon, status_of
from tests.support.ensemble import Ensemble
from tests.support.leading import leading
from tests.support.leftovers import background_tasks, background_to_end, registries
from tests.support.proxy import Proxy
from tests.support.wire import OpCode

QUIET = 60.0
"""A session timeout so long that no ping and no keep-alive goes out meanwhile."""
HAND_OVERS = 2


@pytest.fixture(scope="module")
def quiet_ensemble() -> Iterator[Ensemble]:
    with Ensemble(1, max_session_timeout=QUIET) as quiet:
        yield quiet


async def hand_overs(ensemble: Ensemble, candidates: int) -> tuple[Counter[int], int]:
    """The requests and watch events of two hand-overs among candidates that have a session each."""
    async with AsyncExitStack() as stack, Proxy(ensemble.servers[0].port) as proxy:
        clients = [
            await stack.enter_async_context(ZKClient(proxy.address, session_timeout=QUIET)) for _ in range(candidates)
        ]
        resource = await clients[0].create(f"/cost-{candidates}")
        elections = [AsyncElection(zk, resource) for zk in clients]
        for election in elections:
            await soon(election.start())
        # All have looked at the parent, all but the first at the one before; behind the decision each watches its own.
        await eventually(lambda: proxy.requests[OpCode.GET_DATA] == 3 * candidates - 1)
        # `DONE`, and when it is quiet `step_down`.
        await eventually(lambda: proxy.requests[OpCode.EXISTS] == 2 * candidates)
        before, events = proxy.requests.copy(), proxy.events
        for leader, heir in pairwise(elections[: HAND_OVERS + 1]):
            await leader.resign()
            await leading(heir)
        await eventually(
            lambda: proxy.requests[OpCode.REMOVE_WATCHES] == 2 * HAND_OVERS
        )  # `DONE` and `step_down`, by who has left
        for zk in clients:  # whatever the server had to tell them has come
            await zk.exists("/")
        sent = proxy.requests - before
        sent[OpCode.EXISTS] -= candidates
        return +sent, proxy.events - events


async def test_a_hand_over_among_many_costs_what_it_costs_among_few(quiet_ensemble: Ensemble) -> None:
    few = await hand_overs(quiet_ensemble, 3)
    assert few[0][OpCode.DELETE] == few[0][OpCode.GET_CHILDREN2] == HAND_OVERS
    assert await hand_overs(quiet_ensemble, 12) == few


async def test_a_succession_on_one_client_sends_no_keep_alive_for_each(quiet_ensemble: Ensemble) -> None:
    """The nomination was a quorum write, and each deletion is one: the lease is good without any other."""
    async with Proxy(quiet_ensemble.servers[0].port) as proxy:
        async with ZKClient(proxy.address, session_timeout=QUIET) as zk:
            resource = await zk.create("/succession")
            elections = [AsyncElection(zk, resource, f"number {number}") for number in range(10)]
            for election in elections:
                await soon(election.start())
            for election in elections:
                await leading(election)
                await election.resign()
        assert proxy.requests[OpCode.MULTI] == 0


async def test_joins_and_resignations_leave_the_clients_registries_as_they_were(quiet_ensemble: Ensemble) -> None:
    async with ZKClient(quiet_ensemble.hosts, session_timeout=QUIET) as zk:
        resource = await zk.create("/churn")
        async with AsyncElection(zk, resource, "leader") as leader:
            expected, sizes, connection = background_tasks(), [], zk.session.conn
            assert connection is not None
            for _ in range(2):
                await soon(asyncio.gather(*(come_and_go(zk, resource) for _ in range(200))))
                await soon(background_to_end(expected))
                await eventually(lambda: not connection._unneeded)
                await zk.exists("/")  # answered behind the removals of watches
                sizes.append(registries(zk))
            assert sizes[0] == sizes[1]
            assert len(sizes[0]) > 10, "the walk has found them"
            assert leader.is_leader


async def test_many_who_are_told_of_the_end_do_not_list_the_others(quiet_ensemble: Ensemble) -> None:
    async with (
        Proxy(quiet_ensemble.servers[0].port) as proxy,
        ZKClient(proxy.address, session_timeout=QUIET) as zk,
        ZKClient(quiet_ensemble.hosts, session_timeout=QUIET) as other,
    ):
        resource = await zk.create("/many")
        elections = [AsyncElection(zk, resource, f"number {number}") for number in range(50)]
        await soon(asyncio.gather(*(election.start() for election in elections)))
        statuses = [election.statuses() for election in elections]
        before = proxy.requests[OpCode.GET_CHILDREN2]
        await soon(delete_election(other, resource))
        for each in statuses:
            assert isinstance((await rest_of(each))[-1].error, ElectionOverError)
        assert proxy.requests[OpCode.GET_CHILDREN2] <= before + 1  # the leader, who follows nobody


async def come_and_go(zk: ZKClient, resource: str) -> None:
    async with AsyncElection(zk, resource) as election:
        await status_of(election.statuses(), election.status.role)
