"""A server that is overloaded answers THROTTLEDOP: not carried out, try again. Nothing is lost by that, ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    Role,
    create_election,
    get_leader,
    list_candidates,
    observe_leader,
)
from golea_async.testing import MemoryZooKeeper, OpCode
from tests.support.elections import soon
from tests.support.leading import KINDS, client_of, leading

RESOURCE = "/election"
STEPS = [OpCode.CREATE2, OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN2, OpCode.MULTI, OpCode.DELETE]


@pytest.fixture(params=KINDS)
async def clients(
    zookeeper: MemoryZooKeeper, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[aiozk.ZKClient, aiozk.ZKClient]]:
    """Two processes' clients, and an election node."""
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(client_of(request.param, zookeeper.hosts, session_timeout=2))
            for _ in range(2)
        ]
        await create_election(one, RESOURCE)
        yield one, two


@pytest.mark.parametrize("opcode", STEPS, ids=lambda opcode: opcode.name)
async def test_a_candidate_stands_leads_and_resigns_all_the_same(
    zookeeper: MemoryZooKeeper, clients: tuple[aiozk.ZKClient, aiozk.ZKClient], opcode: OpCode
) -> None:
    front, zk = clients
    first, second = AsyncElection(front, RESOURCE, "first"), AsyncElection(zk, RESOURCE, "second")
    await leading(first)
    zookeeper.throttle(opcode, times=2, session_id=zk.session.session_id)
    status = await soon(second.start())
    assert status.role is Role.FOLLOWER
    zookeeper.throttle(opcode, times=2, session_id=zk.session.session_id)
    await soon(first.resign())
    await soon(second.wait_for_leadership())
    zookeeper.throttle(opcode, times=2, session_id=zk.session.session_id)
    await soon(second.resign(timeout=None))
    assert not [path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/")]


async def test_a_deletion_is_tried_again_after_resign_gave_up_waiting(
    zookeeper: MemoryZooKeeper, clients: tuple[aiozk.ZKClient, aiozk.ZKClient]
) -> None:
    front, zk = clients
    first, second = AsyncElection(front, RESOURCE, "first"), AsyncElection(zk, RESOURCE, "second")
    await leading(first)
    await soon(second.start())
    zookeeper.throttle(OpCode.DELETE, times=5, session_id=front.session.session_id)
    resigning = first.resign(timeout=0.01)
    with pytest.raises(Exception, match="resign"):
        await soon(resigning)
    await soon(second.wait_for_leadership())
    await soon(second.resign())


async def test_a_lost_reply_is_searched_for_behind_a_barrier_that_was_carried_out(
    zookeeper: MemoryZooKeeper, clients: tuple[aiozk.ZKClient, aiozk.ZKClient]
) -> None:
    _, zk = clients
    session_id = zk.session.session_id
    zookeeper.lose_reply(OpCode.CREATE2, session_id=session_id)
    zookeeper.throttle(OpCode.MULTI, OpCode.GET_DATA, OpCode.GET_CHILDREN2, times=4, session_id=session_id)
    election = AsyncElection(zk, RESOURCE, "mine")
    await leading(election)
    assert [each.name for each in await soon(list_candidates(zk, RESOURCE))] == ["mine"]
    await soon(election.resign())
    assert await soon(list_candidates(zk, RESOURCE)) == []


@pytest.mark.parametrize("opcode", [OpCode.SYNC, OpCode.MULTI, OpCode.GET_CHILDREN2, OpCode.GET_DATA])
async def test_reading_who_leads(
    zookeeper: MemoryZooKeeper, clients: tuple[aiozk.ZKClient, aiozk.ZKClient], opcode: OpCode
) -> None:
    front, zk = clients
    election = AsyncElection(front, RESOURCE, "first")
    await leading(election)
    zookeeper.throttle(opcode, session_id=zk.session.session_id)
    leader = await soon(get_leader(zk, RESOURCE))
    assert leader is not None
    assert leader.name == "first"
    zookeeper.throttle(opcode, session_id=zk.session.session_id)
    assert await soon(anext(observe_leader(zk, RESOURCE))) == leader
    await soon(election.resign())


async def test_a_transaction_is_carried_out_once(
    zookeeper: MemoryZooKeeper, clients: tuple[aiozk.ZKClient, aiozk.ZKClient]
) -> None:
    _, zk = clients
    election = AsyncElection(zk, RESOURCE, "first")
    leadership = await leading(election)
    zookeeper.throttle(OpCode.MULTI, times=2, session_id=zk.session.session_id)
    async with leadership.transaction() as transaction:
        transaction.create("/log-", b"", sequential=True)
    assert [path for path in zookeeper.znodes() if path.startswith("/log-")] == [transaction.results[0].path]
    await soon(election.resign())


async def test_an_election_node_is_made(
    zookeeper: MemoryZooKeeper, clients: tuple[aiozk.ZKClient, aiozk.ZKClient]
) -> None:
    _, zk = clients
    zookeeper.throttle(OpCode.CREATE, OpCode.CREATE2, times=2, session_id=zk.session.session_id)
    await soon(create_election(zk, "/another"))
    assert "/another" in zookeeper.znodes()
