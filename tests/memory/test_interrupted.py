"""What a background task that was cancelled leaves to others: to a second resignation, to the next of its name."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import aiozk
import pytest

from golea_async import AsyncElection, NotStandingError, Role, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import eventually, soon
from tests.support.leading import KINDS, client_of
from tests.support.leftovers import background_tasks, background_to_end

RESOURCE = "/election"
both_kinds = pytest.mark.parametrize("kind", KINDS)


def candidates(zookeeper: MemoryZooKeeper) -> list[str]:
    return sorted(path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/"))


@both_kinds
async def test_two_resignations_wait_while_the_background_task_is_cancelled(
    zookeeper: MemoryZooKeeper, kind: str
) -> None:
    async with client_of(kind, zookeeper.hosts, 4) as zk:
        await create_election(zk, RESOURCE)
        election = AsyncElection(zk, RESOURCE, "one")
        await soon(election.start())
        (task,) = (task for task in background_tasks() if RESOURCE in task.get_name())
        for server in zookeeper.servers:
            server.stop()
        resignations = [asyncio.create_task(election.resign(timeout=None)) for _ in range(2)]
        await asyncio.sleep(0)  # both have taken their first step, and wait
        task.cancel()
        await eventually(lambda: any("resign" in task.get_name() for task in background_tasks()))
        for server in zookeeper.servers:
            server.start()
        await soon(asyncio.gather(*resignations))
        await soon(background_to_end())
        assert candidates(zookeeper) == []


@both_kinds
async def test_one_of_the_same_name_is_safe_from_a_doubtful_predecessor(zookeeper: MemoryZooKeeper, kind: str) -> None:
    """Its nomination was cancelled, and nobody stood on the client after that: the doubt stays with the client."""
    async with client_of(kind, zookeeper.hosts, 4) as zk:
        await create_election(zk, RESOURCE)
        first = AsyncElection(zk, RESOURCE, "same")
        with zookeeper.cut(zk.session.session_id, requests=False):
            starting = asyncio.create_task(first.start())
            await eventually(lambda: candidates(zookeeper) != [])  # its reply is held
            (task,) = (task for task in background_tasks() if RESOURCE in task.get_name())
            task.cancel()
            with pytest.warns(ResourceWarning), pytest.raises(NotStandingError):
                await soon(starting)
        await soon(background_to_end())
        second = AsyncElection(zk, RESOURCE, "same")
        status = await soon(second.start())
        await soon(first.resign())
        await zk.exists("/")  # what ZooKeeper had to tell has come
        assert candidates(zookeeper) == [status.candidate_id]
        assert second.status.role in (Role.LEADER, Role.FOLLOWER, Role.CANDIDATE)
        assert second.status.error is None
        await soon(second.resign())


@both_kinds
async def test_a_chroot_that_is_the_root(zookeeper: MemoryZooKeeper, kind: str) -> None:
    make = aiozk.ZKClient if kind == "aiozk" else ZKClient
    async with AsyncExitStack() as stack:
        zk, other = make(zookeeper.hosts, chroot="/", session_timeout=4), make(zookeeper.hosts, session_timeout=4)
        for client in (zk, other):
            await client.start()
            stack.push_async_callback(client.close)
        await create_election(zk, RESOURCE)
        election, before = AsyncElection(zk, RESOURCE, "in the root"), AsyncElection(other, RESOURCE, "first")
        await soon(before.start())
        status = await soon(election.start())
        assert status.now_following == before.status.candidate_id
        await soon(before.resign())
        await soon(election.wait_for_leadership())
        await soon(election.resign())
