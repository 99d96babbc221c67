"""Whoever comes and goes leaves nothing: on the client, in the event loop, on the server, in memory."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator
from functools import partial

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    ElectionOverError,
    Role,
    ZKClient,
    create_election,
    delete_election,
    observe_leader,
)
from golea_async._shared.channel import Channel
from golea_async._shared.client_context import ClientContext, _contexts
from tests.support.elections import connected, eventually, next_status, rest_of, soon, status_of
from tests.support.ensemble import Ensemble
from tests.support.leftovers import (
    background_tasks,
    background_to_end,
    reconnect,
    server_watches,
    state_waiters,
    watch_callbacks,
    watch_count,
)
from tests.support.proxy import Action, Proxy
from tests.support.wire import OpCode, WireClient

_numbers = itertools.count()


@pytest.fixture
async def wire(server: Ensemble) -> AsyncIterator[WireClient]:
    async with await WireClient.connect(server.leader().port) as client:
        yield client


@pytest.fixture
async def resource(wire: WireClient) -> str:
    return await wire.create(f"/hygiene-{next(_numbers)}")


@pytest.fixture
async def zk(server: Ensemble) -> AsyncIterator[aiozk.ZKClient]:
    """A client on which nothing may be left."""
    async with connected(server.hosts, session_timeout=4) as zk:
        yield zk
        await soon(background_to_end())
        assert background_tasks() == set()
        assert watch_callbacks(zk) == {}
        assert state_waiters(zk) == 0
        assert zk not in _contexts


def watches_of(zk: aiozk.ZKClient, server: Ensemble, resource: str) -> list[str]:
    session = f"0x{zk.session.session_id:x}"
    return [path for path, owner in server_watches(server.leader(), resource) if owner == session]


async def test_300_joins_and_resignations_of_a_follower(
    zk: aiozk.ZKClient, server: Ensemble, wire: WireClient, resource: str
) -> None:
    await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
    before = watch_count(server.leader())
    dead = []
    for number in range(300):
        election = AsyncElection(zk, resource, f"number {number}")
        assert (await election.start()).role is Role.FOLLOWER
        await election.resign()
        dead.append(weakref.ref(election))
    del election
    await assert_dead(dead)
    await eventually(lambda: watch_count(server.leader()) == before)
    assert await wire.get_children(resource) == ["le_0000000000"]


async def test_300_at_once(zk: aiozk.ZKClient, server: Ensemble, wire: WireClient, resource: str) -> None:
    """Each follows the one before; they resign together, the leader first."""
    before = watch_count(server.leader())
    elections = [AsyncElection(zk, resource, f"number {number}") for number in range(300)]
    await soon(asyncio.gather(*(election.start() for election in elections)))
    assert sum(election.is_leader for election in elections) <= 1
    # On a busy machine the leader's lease may just have ended, and the leader pauses until it is renewed.
    await eventually(partial(somebody_leads, elections))
    await eventually(lambda: len(watches_of(zk, server, resource)) == 302)
    await soon(asyncio.gather(*(election.resign() for election in elections)))
    dead = [weakref.ref(election) for election in elections]
    del elections
    await assert_dead(dead)
    await eventually(lambda: watch_count(server.leader()) == before)
    assert await wire.get_children(resource) == []


def somebody_leads(elections: list[AsyncElection]) -> bool:
    return any(election.is_leader for election in elections)


async def assert_dead(elections: list[weakref.ref[AsyncElection]]) -> None:
    await soon(background_to_end())
    gc.collect()
    assert [election() for election in elections if election() is not None] == []


async def test_leaders_that_hand_over(zk: aiozk.ZKClient, server: Ensemble, wire: WireClient, resource: str) -> None:
    """Each leads, and is followed by the next one of the same client."""
    election = AsyncElection(zk, resource, "first")
    await election.start()
    for number in range(50):
        heir = AsyncElection(zk, resource, f"heir {number}")
        await heir.start()
        await election.resign()
        await status_of(heir.statuses(), Role.LEADER)
        election = heir
        await eventually(
            lambda: len(watches_of(zk, server, resource)) in (2, 3)
        )  # step_down's, too, where it has been quiet
        assert not watch_callbacks(zk)  # aiozk would set them again on the next connection
    await election.resign()
    await eventually(lambda: watches_of(zk, server, resource) == [])
    assert await wire.get_children(resource) == []


async def test_one_who_finds_the_election_over(
    zk: aiozk.ZKClient, server: Ensemble, wire: WireClient, resource: str
) -> None:
    """It has begun to watch another one by then."""
    leader = await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
    await wire.create(f"{resource}/DONE", b"done")
    await wire.create(f"{resource}/le_", b"predecessor", ephemeral=True, sequential=True)
    for _ in range(20):
        election = AsyncElection(zk, resource, "late")
        with pytest.raises(ElectionOverError):
            await election.start()
        await election.resign()
        await eventually(lambda: watches_of(zk, server, resource) == [])
    await wire.delete(leader)
    assert await wire.get_children(resource) == ["DONE", "le_0000000002"]


async def test_starts_that_are_refused(zk: aiozk.ZKClient, resource: str) -> None:
    for _ in range(100):
        with pytest.raises(Exception, match="no election node"):
            await AsyncElection(zk, f"{resource}/none").start()


async def test_elections_that_are_made_and_deleted(
    zk: aiozk.ZKClient, server: Ensemble, wire: WireClient, resource: str
) -> None:
    for number in range(30):
        path = f"{resource}/{number}"
        await create_election(zk, path)
        await wire.create(f"{path}/le_", b"first", ephemeral=True, sequential=True)
        election = AsyncElection(zk, path)
        await election.start()
        await delete_election(zk, path, force_after=0)
        assert [status async for status in election.statuses()][-1].role is Role.NONE
        await election.resign()
    await soon(background_to_end())
    await eventually(lambda: watches_of(zk, server, resource) == [])
    assert await wire.get_children(resource) == []


async def test_observing(zk: aiozk.ZKClient, server: Ensemble, wire: WireClient, resource: str) -> None:
    leaders = observe_leader(zk, resource)
    assert await soon(anext(leaders)) is None
    for _ in range(50):
        own = await wire.create(f"{resource}/le_", b"name", ephemeral=True, sequential=True)
        leader = await soon(anext(leaders))
        assert leader is not None
        assert leader.id == own
        await wire.delete(own)
        assert await soon(anext(leaders)) is None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await anext(leaders)
    await soon(background_to_end())
    await eventually(lambda: watches_of(zk, server, resource) == [])


async def test_the_watches_too(zk: aiozk.ZKClient, server: Ensemble, wire: WireClient, resource: str) -> None:
    """ZooKeeper has one watch for a path on one connection: an election that takes its own off must leave that."""
    leader = await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
    done = f"{resource}/DONE"
    ended = asyncio.ensure_future(zk.wait_for_events([aiozk.WatchEvent.CREATED], done))
    gone = asyncio.ensure_future(zk.wait_for_events([aiozk.WatchEvent.DELETED], leader))
    await zk.exists(done, watch=True)
    await zk.exists(leader, watch=True)
    elsewhere = f"{resource}-elsewhere"
    await create_election(zk, elsewhere)
    elections = [AsyncElection(zk, path, "comes and goes") for path in (resource, elsewhere)]
    await soon(asyncio.gather(*(election.start() for election in elections)))
    await soon(asyncio.gather(*(election.resign() for election in elections)))
    await eventually(lambda: watches_of(zk, server, elsewhere) == [])  # so those were removed that were to be
    assert sorted(watches_of(zk, server, resource)) == [done, leader]
    await wire.create(done)
    await soon(ended)
    await wire.delete(leader)
    await soon(gone)
    await eventually(lambda: watches_of(zk, server, resource) == [])


async def test_who_stands_again_before_the_watches_were_removed(
    zk: aiozk.ZKClient, server: Ensemble, wire: WireClient, resource: str
) -> None:
    """They are those of the one who stands now."""
    leader = await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
    elsewhere = f"{resource}-elsewhere"
    await create_election(zk, elsewhere)
    first, other, again = AsyncElection(zk, resource), AsyncElection(zk, elsewhere), AsyncElection(zk, resource)
    await soon(asyncio.gather(first.start(), other.start()))
    await soon(asyncio.gather(first.resign(), other.resign()))
    await soon(again.start())
    await eventually(lambda: watches_of(zk, server, elsewhere) == [])  # so those were removed that were to be
    needed = {f"{resource}/DONE", f"{resource}/step_down", leader, again.status.candidate_id}
    await eventually(lambda: set(watches_of(zk, server, resource)) == needed)
    await wire.delete(leader)
    await status_of(again.statuses(), Role.LEADER)
    await wire.create(f"{resource}/DONE")
    *_, last = await rest_of(again.statuses())
    assert isinstance(last.error, ElectionOverError)
    await soon(again.resign())


async def test_readers_that_break_off(zk: aiozk.ZKClient, resource: str) -> None:
    async with AsyncElection(zk, resource) as election:
        dead = []
        for _ in range(100):
            reader = election.statuses()
            await next_status(reader)
            dead.append(weakref.ref(reader))
        del reader
        gc.collect()
        assert [reader() for reader in dead if reader() is not None] == []


async def test_the_last_user_goes_while_the_session_changes_its_state(zk: aiozk.ZKClient) -> None:
    """The news of it is on its way through the event loop: nobody may begin to listen anew."""
    context = ClientContext.attach(zk)
    zk.session.state.transition_to("suspended")
    context.detach()
    await soon(zk.get("/"))
    assert state_waiters(zk) == 0


async def test_who_stands_keeps_no_connection_but_the_present_one(server: Ensemble, resource: str) -> None:
    """Each is alone in its election, and was nominated on another connection. `connected` would keep them."""
    async with Proxy(server.leader().port) as proxy, ZKClient(proxy.address, session_timeout=4) as zk:
        elections = []
        for number in range(3):
            elections.append(AsyncElection(zk, resource if number == 0 else f"{resource}-{number}"))
            await create_election(zk, elections[-1].resource)
            await soon(elections[-1].start())
            await reconnect(zk, proxy)
            for election in elections:  # it has looked at its place again
                await soon(election.wait_for_leadership())
        await eventually(lambda: [each.is_current for each in connections_of(zk)] == [True])
        for election in elections:
            await soon(election.resign())


def connections_of(zk: aiozk.ZKClient) -> list[Channel]:
    """All that live, of this client's session."""
    gc.collect()
    connections = [each for each in gc.get_objects() if isinstance(each, Channel)]
    return [each for each in connections if each.session_id == zk.session.session_id]


async def test_the_watch_of_another_one_at_the_own_path(server: Ensemble, wire: WireClient, resource: str) -> None:
    """The election node is made anew before the request that is to watch the own znode: it watches a stranger's."""
    kept = await wire.create(f"{resource}-kept")
    async with Proxy(server.leader().port) as proxy, connected(proxy.address, session_timeout=4) as zk:
        leader, election = AsyncElection(zk, kept), AsyncElection(zk, resource)
        await soon(leader.start())  # the client's connection goes on
        own = f"{resource}/le_0000000000"
        watch = proxy.on_request(
            lambda frame: frame.opcode == OpCode.GET_DATA and own.encode() in frame.payload, Action.HOLD
        )
        assert (await soon(election.start())).candidate_id == own
        statuses = election.statuses()
        await soon(asyncio.shield(watch.happened))
        await wire.delete(own)
        await wire.delete(resource)
        await wire.create(resource)
        assert await wire.create(f"{resource}/le_", b"stranger", ephemeral=True, sequential=True) == own
        watch.release()
        *_, last = await rest_of(statuses)
        assert isinstance(last.error, CandidateDeletedError)
        await soon(election.resign())
        await eventually(lambda: watches_of(zk, server, resource) == [])
        await soon(leader.resign())
    await wire.delete(own)


async def test_clients_die(server: Ensemble, resource: str) -> None:
    dead = []
    for _ in range(3):
        async with connected(server.hosts, session_timeout=2) as zk:
            await AsyncElection(zk, resource).start()
        dead.append(weakref.ref(zk))
        await soon(background_to_end())
    del zk
    gc.collect()
    assert [client() for client in dead if client() is not None] == []
