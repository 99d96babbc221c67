"""What a background task that was cancelled leaves to others: to a second resignation, to the next of its name."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack

import aiozk
import pytest
from aiozk.states import States

from golea_async import (
    AsyncElection,
    ElectionOverError,
    NotStandingError,
    Role,
    ZKClient,
    create_election,
    end_election,
)
from golea_async._protocol.claims import Claims, Nomination
from golea_async.testing import MemoryZooKeeper, OpCode
from tests.support.elections import eventually, soon
from tests.support.leading import KINDS, client_of
from tests.support.leftovers import background_tasks, background_to_end

RESOURCE = "/election"
both_kinds = pytest.mark.parametrize("kind", KINDS)


def candidates(zookeeper: MemoryZooKeeper) -> list[str]:
    return sorted(path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/"))


async def standing_without_zookeeper(
    zk: aiozk.ZKClient, zookeeper: MemoryZooKeeper
) -> tuple[AsyncElection, asyncio.Task[object]]:
    """A candidate, its background task, and no server."""
    await create_election(zk, RESOURCE)
    election = AsyncElection(zk, RESOURCE, "one")
    await soon(election.start())
    (task,) = (task for task in background_tasks() if RESOURCE in task.get_name())
    for server in zookeeper.servers:
        server.stop()
    return election, task


@both_kinds
async def test_two_resignations_wait_while_the_background_task_is_cancelled(
    zookeeper: MemoryZooKeeper, kind: str
) -> None:
    async with client_of(kind, zookeeper.hosts, 4) as zk:
        election, task = await standing_without_zookeeper(zk, zookeeper)
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
async def test_a_resignation_in_the_very_turn_in_which_the_background_task_was_cancelled(
    zookeeper: MemoryZooKeeper, kind: str
) -> None:
    """So end services: all tasks are cancelled, and one of them resigns. It must hear when ZooKeeper is back."""
    async with client_of(kind, zookeeper.hosts, 4) as zk:
        election, task = await standing_without_zookeeper(zk, zookeeper)
        await eventually(lambda: zk.session.state != States.CONNECTED)
        back = asyncio.create_task(start_again(zookeeper))
        task.cancel()
        await asyncio.sleep(0)  # its last step was in this turn, and those who are to be told are not told yet
        async with asyncio.timeout(10):
            await election.resign(timeout=None)
        await back
        await soon(background_to_end())
        assert candidates(zookeeper) == []


@both_kinds
async def test_a_resignation_before_the_cancelled_background_task_has_run(
    zookeeper: MemoryZooKeeper, kind: str
) -> None:
    async with client_of(kind, zookeeper.hosts, 4) as zk:
        await create_election(zk, RESOURCE)
        election = AsyncElection(zk, RESOURCE, "one")
        await soon(election.start())
        (task,) = (task for task in background_tasks() if RESOURCE in task.get_name())
        await asyncio.sleep(0)  # it waits by now
        task.cancel()
        await soon(election.resign())
        await soon(background_to_end())
        assert candidates(zookeeper) == []


async def start_again(zookeeper: MemoryZooKeeper) -> None:
    """Have ZooKeeper back when somebody withdraws."""
    await eventually(lambda: any("resign" in task.get_name() for task in background_tasks()))
    for server in zookeeper.servers:
        server.start()


@both_kinds
@pytest.mark.filterwarnings("ignore:candidate .* was cancelled:ResourceWarning")
async def test_cancelled_in_the_call_that_reads_the_reply_to_its_nomination(
    zookeeper: MemoryZooKeeper, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a nomination that was not sent at once, as behind a lost connection."""
    async with client_of(kind, zookeeper.hosts, 4) as zk:
        await create_election(zk, RESOURCE)
        election = AsyncElection(zk, RESOURCE, "one")
        for server in zookeeper.servers:
            server.stop()
        await eventually(lambda: zk.session.state != States.CONNECTED)
        starting = asyncio.create_task(election.start())
        await asyncio.sleep(0)
        (task,) = (task for task in background_tasks() if RESOURCE in task.get_name())
        claim = Claims.claim

        def claim_and_cancel(claims: Claims, nomination: Nomination) -> None:
            claim(claims, nomination)
            task.cancel()

        monkeypatch.setattr(Claims, "claim", claim_and_cancel)
        for server in zookeeper.servers:
            server.start()
        await soon(asyncio.gather(starting, return_exceptions=True))  # it may have led already
        await eventually(lambda: election.status.role is Role.NONE)
        monkeypatch.undo()
        await soon(election.resign())
        await soon(background_to_end())
        assert candidates(zookeeper) == []


@both_kinds
async def test_a_connection_that_is_lost_while_one_of_two_leftovers_is_deleted(
    zookeeper: MemoryZooKeeper, kind: str
) -> None:
    async with client_of(kind, zookeeper.hosts, 4) as zk:
        await create_election(zk, RESOURCE)
        elections = [AsyncElection(zk, RESOURCE, "same") for _ in range(2)]
        session_id = zk.session.session_id
        with zookeeper.cut(session_id, requests=False):
            starting = [asyncio.create_task(election.start()) for election in elections]
            await eventually(lambda: len(candidates(zookeeper)) == 2)  # their replies are held
            zookeeper.lose_reply(OpCode.DELETE, session_id=session_id)
            zookeeper.drop_connections(session_id)
        await soon(asyncio.gather(*starting))
        known = sorted(str(election.status.candidate_id) for election in elections)
        await eventually(lambda: candidates(zookeeper) == known)
        for election in elections:
            await soon(election.resign())
        await soon(background_to_end())
        assert candidates(zookeeper) == []


@both_kinds
async def test_an_election_that_ends_before_the_next_step_of_its_leader(zookeeper: MemoryZooKeeper, kind: str) -> None:
    """A blocked loop hears of nothing meanwhile; afterwards it must know that the election is over."""
    async with client_of(kind, zookeeper.hosts, 4) as zk:
        await create_election(zk, RESOURCE)
        election = AsyncElection(zk, RESOURCE, "one")
        await soon(election.start())
        blocking_end(zookeeper.hosts)
        *_, last = [status async for status in election.statuses()]
        assert isinstance(last.error, ElectionOverError)
        await soon(election.resign())


def blocking_end(hosts: str) -> None:
    """Have another loop, in a thread, end the election, and block the one here until that is done."""

    async def end() -> None:
        async with ZKClient(hosts, session_timeout=4) as other:
            await end_election(other, RESOURCE, force_after=0)

    thread = threading.Thread(target=lambda: asyncio.run(end()))
    thread.start()
    thread.join()


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
