"""Elections on the in-memory ZooKeeper, with both kinds of client: the same as on a real one."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    ElectionOverError,
    LeadershipLostError,
    LeaseExpiredError,
    Role,
    SessionExpiredError,
    create_election,
    delete_election,
    depose,
    get_leader,
    list_candidates,
    observe_leader,
)
from golea_async.testing import MemoryZooKeeper, OpCode
from tests.support.elections import rest_of, soon, status_of
from tests.support.leading import KINDS, client_of
from tests.support.leftovers import background_tasks, tasks_of_elections

SESSION_TIMEOUT = 1.0
RESOURCE = "/election"
NewClient = Callable[[], Awaitable[aiozk.ZKClient]]


@pytest.fixture(params=KINDS)
async def new_client(zookeeper: MemoryZooKeeper, request: pytest.FixtureRequest) -> AsyncIterator[NewClient]:
    """`await new_client()`: a client of its own for each process that a test plays."""
    async with AsyncExitStack() as stack:

        async def start() -> aiozk.ZKClient:
            return await stack.enter_async_context(client_of(request.param, zookeeper.hosts, SESSION_TIMEOUT))

        await create_election(await start(), RESOURCE)
        yield start


async def two(new_client: NewClient) -> tuple[AsyncElection, AsyncElection]:
    """A leader and its follower, each with a client of its own."""
    first, second = AsyncElection(await new_client(), RESOURCE, "1"), AsyncElection(await new_client(), RESOURCE, "2")
    for election in (first, second):
        await soon(election.start())
    await soon(first.wait_for_leadership())
    return first, second


async def test_elect_and_hand_over(new_client: NewClient) -> None:
    first, second = await two(new_client)
    assert second.status.now_following == first.status.candidate_id
    assert [each.name for each in await list_candidates(await new_client(), RESOURCE)] == ["1", "2"]
    token = (await soon(first.wait_for_leadership())).fencing_token
    await soon(first.resign())
    assert (await soon(second.wait_for_leadership())).fencing_token > token
    await soon(second.resign())
    assert await get_leader(await new_client(), RESOURCE) is None


async def test_an_expired_leader_is_followed_and_comes_back(zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
    zk = await new_client()
    election = AsyncElection(zk, RESOURCE, "1")
    await soon(election.start())
    async with AsyncElection(await new_client(), RESOURCE, "2") as successor:
        statuses = election.statuses()
        await soon(election.wait_for_leadership())
        zookeeper.expire_session(zk.session.session_id)
        while (lost := await status_of(statuses, Role.CANDIDATE)).error is None:
            pass
        assert isinstance(lost.error, SessionExpiredError | LeaseExpiredError)
        await soon(successor.wait_for_leadership())
        await status_of(statuses, Role.FOLLOWER)
    await soon(election.wait_for_leadership())
    await soon(election.resign())


async def test_who_is_cut_off_stops_leading(zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
    zk = await new_client()
    first, second = AsyncElection(zk, RESOURCE, "1"), AsyncElection(await new_client(), RESOURCE, "2")
    await soon(first.start())
    await soon(second.start())
    with ExitStack() as cut:

        async def lead() -> None:
            async with first.leadership():  # it may not lead just now: the machine is busy
                cut.enter_context(zookeeper.cut(zk.session.session_id))
                await soon(asyncio.Event().wait())

        with pytest.raises(LeadershipLostError):
            await lead()
        assert not first.is_leader
        await soon(second.wait_for_leadership())
    await soon(second.resign())
    await soon(first.resign())


async def test_a_resignation_in_the_turn_in_which_the_candidate_ends_leaves_nothing(new_client: NewClient) -> None:
    """It finds the background task done, and its done-callback has not been called."""
    zk = await new_client()
    election = AsyncElection(zk, RESOURCE)
    await soon(election.start())
    closing = asyncio.create_task(zk.close())
    while tasks_of_elections():  # noqa: ASYNC110 - an event would come a turn too late
        await asyncio.sleep(0)
    await election.resign()
    assert background_tasks() == set()
    await soon(closing)


@pytest.mark.parametrize("has_led", [False, True])
async def test_what_has_resigned_is_freed_at_once(new_client: NewClient, has_led: bool) -> None:
    """In circles of references it would wait for the garbage collector, which thousands would keep busy."""
    zk = await new_client()
    other = AsyncElection(zk, RESOURCE)  # the client's context stays
    election = AsyncElection(zk, RESOURCE)
    for each in (election, other) if has_led else (other, election):
        await soon(each.start())
    await soon((election if has_led else other).wait_for_leadership())
    gc.disable()
    try:
        await soon(election.resign())
        runner = weakref.ref(election._runner)
        del each, election
        assert runner() is None
    finally:
        gc.enable()
    await soon(other.resign())


async def test_servers_go_and_come_while_somebody_leads(zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
    first, second = await two(new_client)
    for server in zookeeper.servers:
        server.stop()
        server.start()
    await soon(first.wait_for_leadership())
    await soon(first.resign())
    await soon(second.wait_for_leadership())
    await soon(second.resign())


async def test_a_lost_reply_to_the_nomination(zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
    zk = await new_client()
    zookeeper.lose_reply(OpCode.CREATE, OpCode.CREATE2, OpCode.MULTI)
    election = AsyncElection(zk, RESOURCE, "1")
    await soon(election.start())
    await soon(election.wait_for_leadership())
    await soon(election.resign())
    assert await list_candidates(zk, RESOURCE) == []


async def test_ended_by_its_members_and_by_others(new_client: NewClient) -> None:
    first, second = await two(new_client)
    statuses = second.statuses()
    await soon(first.end())
    assert isinstance((await rest_of(statuses))[-1].error, ElectionOverError | CandidateDeletedError)
    third = AsyncElection(await new_client(), RESOURCE, "3")
    await soon(third.start())
    statuses = third.statuses()
    await soon(delete_election(await new_client(), RESOURCE))
    assert isinstance((await rest_of(statuses))[-1].error, ElectionOverError | CandidateDeletedError)
    for election in (first, second, third):
        await soon(election.resign())


async def test_deposed_and_observed(new_client: NewClient) -> None:
    first, second = await two(new_client)
    leaders = observe_leader(await new_client(), RESOURCE)
    leader = await soon(anext(leaders))
    assert leader is not None
    assert leader.name == "1"
    await depose(await new_client(), leader.id)
    while leader is None or leader.name != "2":
        leader = await soon(anext(leaders))
    await soon(second.wait_for_leadership())
    assert not first.is_leader
    for election in (first, second):
        await soon(election.resign())
