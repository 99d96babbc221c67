"""GoLea's own integration scenarios (its directory `integrationtest`), each on a real ensemble."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import aiozk
import pytest
from aiozk.states import States

from golea_async import (
    AsyncElection,
    ElectionError,
    ElectionNotFoundError,
    ElectionOverError,
    LeaseExpiredError,
    Role,
    SessionExpiredError,
    Status,
    create_election,
    delete_election,
    list_candidates,
)
from tests.support.candidate import candidate_process
from tests.support.elections import (
    LONG_SESSION_TIMEOUT,
    SOON,
    Connect,
    callbacks_on,
    children,
    is_quiet,
    is_there,
    next_status,
    resign,
    rest_of,
    soon,
    stand,
    status_of,
    sync,
    until_gone,
)
from tests.support.ensemble import Ensemble, SharedEnsemble
from tests.support.leftovers import background_tasks, watch_callbacks
from tests.support.proxy import Proxy
from tests.support.wire import WireClient, delete_operation

OwnEnsemble = Callable[..., Ensemble]
QUIET_SECOND = 1.0


async def test_the_client_name_is_in_the_znodes_data(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    leader, follower = await stand(zk, resource, "the leader", "the follower")
    await wire.sync(resource)
    for election in (leader, follower):
        assert election.status.candidate_id is not None
        data, _ = await wire.get(election.status.candidate_id)
        assert data == election.name.encode()
    await resign(leader, follower)


@pytest.mark.both_loops
async def test_happy_path(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    election = AsyncElection(zk, resource, "alone")
    status = await soon(election.start())
    assert status.role is Role.LEADER
    assert status.candidate_id is not None
    assert re.fullmatch(rf"{resource}/le_[0-9]{{10}}", status.candidate_id)
    await wire.sync(resource)
    election_node, candidate = await wire.exists(resource), await wire.exists(status.candidate_id)
    assert election_node is not None
    assert candidate is not None
    assert election_node.ephemeral_owner == 0
    assert candidate.ephemeral_owner == zk.session.session_id
    statuses = election.statuses()
    assert await next_status(statuses) == status
    assert await is_quiet(statuses, QUIET_SECOND)
    await soon(election.resign())
    assert await rest_of(statuses) == []
    await wire.delete(resource, version=0)


@pytest.mark.both_loops
async def test_leader_resignation(connect: Connect, ensemble: SharedEnsemble, wire: WireClient, resource: str) -> None:
    (leader,) = await stand(await connect(ensemble.hosts), resource, "leader")
    (follower,) = await stand(await connect(ensemble.hosts), resource, "follower")
    leader_statuses, follower_statuses = leader.statuses(), follower.statuses()
    led, followed = await next_status(leader_statuses), await next_status(follower_statuses)
    assert followed == Status(Role.FOLLOWER, followed.candidate_id, now_following=led.candidate_id)

    await soon(leader.resign())
    assert await rest_of(leader_statuses) == []
    successor = await next_status(follower_statuses)
    assert successor == Status(
        Role.LEADER, followed.candidate_id, was_following=led.candidate_id, fencing_token=successor.fencing_token
    )
    assert follower.is_leader

    (back,) = await stand(await connect(ensemble.hosts), resource, "leader")
    assert (back.status.role, back.status.now_following) == (Role.FOLLOWER, followed.candidate_id)
    await resign(back, follower)
    await wire.sync(resource)
    await wire.delete(resource, version=0)


async def test_follower_resignation(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    leader, first, second = await stand(zk, resource, "leader", "first", "second")
    statuses = second.statuses()
    leader_statuses, first_statuses = leader.statuses(), first.statuses()
    led, before = await next_status(leader_statuses), await next_status(first_statuses)
    assert before.now_following == led.candidate_id
    assert (await next_status(statuses)).now_following == before.candidate_id

    await soon(first.resign())
    assert await rest_of(first_statuses) == []
    moved = await next_status(statuses)
    assert moved == Status(
        Role.FOLLOWER, moved.candidate_id, now_following=led.candidate_id, was_following=before.candidate_id
    )
    assert await is_quiet(leader_statuses, QUIET_SECOND)
    assert leader.is_leader

    await soon(leader.resign())
    successor = await next_status(statuses)
    assert (successor.role, successor.now_following, successor.was_following) == (
        Role.LEADER,
        None,
        led.candidate_id,
    )
    await soon(second.resign())
    await wire.sync(resource)
    await wire.delete(resource, version=0)


async def test_leader_crash(ensemble: SharedEnsemble, wire: WireClient, resource: str) -> None:
    """Three processes; the one that leads is killed with SIGKILL, and once more the next one."""
    first = candidate_process(ensemble.hosts, resource, "first", session_timeout=2)
    second = candidate_process(ensemble.hosts, resource, "second", session_timeout=2)
    third = candidate_process(ensemble.hosts, resource, "third", session_timeout=2)
    async with first as leader, second as follower, third as last:
        led = await leader.next_status()
        await wire.sync(resource)
        # The processes start at the same time: who comes first is not known.
        statuses = {process: await process.next_status() for process in (follower, last)} | {leader: led}
        order = sorted(statuses, key=lambda process: str(statuses[process]["candidate_id"]))
        ids = [statuses[process]["candidate_id"] for process in order]
        assert [statuses[process]["role"] for process in order] == ["leader", "follower", "follower"]
        assert [statuses[process]["now_following"] for process in order] == [None, *ids[:2]]

        await order[0].kill()
        next_led = await order[1].next_status()
        assert (next_led["role"], next_led["was_following"], next_led["error"]) == ("leader", ids[0], None)
        assert next_led["fencing_token"] > statuses[order[0]]["fencing_token"]
        await order[1].kill()
        assert (await order[2].next_status())["role"] == "leader"
        await order[2].resign()
    assert await children(wire, resource) == []


async def test_zookeeper_is_absent_before_the_start(own_ensemble: OwnEnsemble, connect: Connect) -> None:
    own = own_ensemble(1, tick=0.2)
    (server,) = own.servers
    zk = await connect(own.hosts, session_timeout=2)
    await soon(create_election(zk, "/election"))
    server.kill()
    given_up, waiting = AsyncElection(zk, "/election", "given up"), AsyncElection(zk, "/election", "waiting")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await given_up.start()
    starting = asyncio.create_task(waiting.start())
    await soon(asyncio.shield(zk.session.state.wait_for(States.SUSPENDED)))
    assert not starting.done()
    assert not waiting.is_leader
    await asyncio.to_thread(server.restart)
    assert (await soon(starting)).role is Role.LEADER
    await soon(given_up.resign())
    assert [candidate.name for candidate in await soon(list_candidates(zk, "/election"))] == ["waiting"]
    await soon(waiting.resign())
    assert not background_tasks()


class Pair:
    """A leader and a follower, each with a client of its own."""

    def __init__(self, leader: AsyncElection, follower: AsyncElection, clients: list[aiozk.ZKClient]) -> None:
        self.leader, self.follower, self.clients = leader, follower, clients
        self.both = [leader, follower]
        self.leader_statuses, self.follower_statuses = leader.statuses(), follower.statuses()
        self._before = [(zk.session.session_id, zk.session.conn) for zk in clients]
        self._candidate_ids = [election.status.candidate_id for election in self.both]

    @classmethod
    async def stand(cls, connect: Connect, *hosts: str, session_timeout: float) -> Pair:
        """The first of the two client's hosts is the leader's."""
        clients = [await connect(each, session_timeout=session_timeout) for each in hosts]
        await soon(create_election(clients[0], "/election"))
        await sync(clients[1])
        leader, follower = [
            AsyncElection(zk, "/election", name) for zk, name in zip(clients, ("one", "two"), strict=True)
        ]
        await soon(leader.start())
        await soon(follower.start())
        pair = cls(leader, follower, clients)
        await next_status(pair.leader_statuses)
        await next_status(pair.follower_statuses)
        return pair

    async def until_restored(self) -> None:
        """Return when both clients are on new connections, one leads, the other follows; never do two lead.

        Whether a session survives is for ZooKeeper to say: a restarted one counts its time anew.
        """
        async with asyncio.timeout(SOON):
            while not (self._have_reconnected() and self._have_places()):
                assert not (self.leader.is_leader and self.follower.is_leader)
                await asyncio.sleep(0.005)
        for election, zk, candidate_id, (session_id, _) in zip(
            self.both, self.clients, self._candidate_ids, self._before, strict=True
        ):
            survived = zk.session.session_id == session_id
            assert (election.status.candidate_id == candidate_id) == survived

    def _have_reconnected(self) -> bool:
        return all(
            zk.session.conn is not connection and zk.session.state == States.CONNECTED
            for zk, (_, connection) in zip(self.clients, self._before, strict=True)
        )

    def _have_places(self) -> bool:
        first, second = sorted(self.both, key=lambda each: not each.is_leader)
        return (
            first.is_leader
            and second.status.role is Role.FOLLOWER
            and second.status.now_following == first.status.candidate_id
        )

    async def succeed(self) -> None:
        """See that all works: who leads resigns, the other one takes over."""
        first, second = sorted(self.both, key=lambda each: not each.is_leader)
        statuses = second.statuses()
        await next_status(statuses)
        await soon(first.resign())
        successor = await next_status(statuses)
        assert (successor.role, successor.was_following) == (Role.LEADER, first.status.candidate_id)
        await soon(second.resign())


async def until_state(zk: aiozk.ZKClient, state: str) -> None:
    if zk.session.state != state:
        await zk.session.state.wait_for(state)


async def test_zookeeper_is_lost_and_restored(own_ensemble: OwnEnsemble, connect: Connect) -> None:
    """While one leads and one follows."""
    own = own_ensemble(1, tick=0.5)
    pair = await Pair.stand(connect, own.hosts, own.hosts, session_timeout=6)
    await asyncio.to_thread(own.servers[0].restart)
    await pair.until_restored()
    await pair.succeed()


async def test_zookeeper_is_lost_for_longer_than_the_session(own_ensemble: OwnEnsemble, connect: Connect) -> None:
    own = own_ensemble(1, tick=0.2)
    (server,) = own.servers
    pair = await Pair.stand(connect, own.hosts, own.hosts, session_timeout=2)
    server.kill()
    lost = await next_status(pair.leader_statuses)
    assert lost.role is Role.CANDIDATE
    assert isinstance(lost.error, LeaseExpiredError)
    for zk in pair.clients:
        await soon(until_state(zk, States.SUSPENDED))
    assert not pair.leader.is_leader
    await asyncio.to_thread(server.start)
    await pair.until_restored()
    await pair.succeed()


async def test_the_leader_is_cut_off_for_longer_than_its_session(own_ensemble: OwnEnsemble, connect: Connect) -> None:
    own = own_ensemble(1, tick=0.2)
    async with Proxy(own.leader().port) as proxy, await WireClient.connect(own.leader().port) as wire:
        pair = await Pair.stand(connect, proxy.address, own.hosts, session_timeout=2)
        before = pair.leader.status
        assert before.candidate_id is not None
        proxy.cut()
        successor = await status_of(pair.follower_statuses, Role.LEADER)
        assert not pair.leader.is_leader
        assert successor.was_following == before.candidate_id
        assert not await is_there(wire, before.candidate_id)
        proxy.heal()
        lost = [await next_status(pair.leader_statuses) for _ in range(2)]
        assert [type(status.error) for status in lost] == [LeaseExpiredError, SessionExpiredError]
        again = await next_status(pair.leader_statuses)
        assert (again.role, again.now_following) == (Role.FOLLOWER, successor.candidate_id)
        assert again.candidate_id != before.candidate_id
        assert pair.follower.is_leader
        await pair.succeed()


async def test_the_follower_is_cut_off_for_longer_than_its_session(own_ensemble: OwnEnsemble, connect: Connect) -> None:
    own = own_ensemble(1, tick=0.2)
    async with Proxy(own.leader().port) as proxy, await WireClient.connect(own.leader().port) as wire:
        pair = await Pair.stand(connect, own.hosts, proxy.address, session_timeout=2)
        before = pair.follower.status
        assert before.candidate_id is not None
        proxy.cut()
        await until_gone(wire, before.candidate_id)
        proxy.heal()
        lost, again = await next_status(pair.follower_statuses), await next_status(pair.follower_statuses)
        assert (lost.role, lost.was_following) == (Role.CANDIDATE, before.now_following)
        assert isinstance(lost.error, SessionExpiredError)
        assert (again.role, again.now_following) == (Role.FOLLOWER, pair.leader.status.candidate_id)
        assert again.candidate_id != before.candidate_id
        assert pair.leader.is_leader
        await pair.succeed()


async def test_the_election_is_deleted_under_leader_and_followers(
    connect: Connect, ensemble: SharedEnsemble, zk: aiozk.ZKClient, wire: WireClient, resource: str
) -> None:
    standing = await stand(zk, resource, "leader", "first")
    standing += await stand(await connect(ensemble.hosts), resource, "second")
    statuses = [election.statuses() for election in standing]
    await soon(delete_election(await connect(ensemble.hosts), resource))
    assert not await is_there(wire, resource)
    for election, reader in zip(standing, statuses, strict=True):
        *_, last = await rest_of(reader)
        assert last.role is Role.NONE
        assert isinstance(last.error, ElectionOverError)
        assert resource in str(last.error)
        assert not election.is_leader
        await soon(election.resign())
    assert not watch_callbacks(zk)
    assert not background_tasks()


async def test_the_election_node_is_removed_with_a_tool(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    """GoLea's `removeZKNode.sh`: no `DONE`, the znodes just go."""
    standing = await stand(zk, resource, "leader", "follower")
    statuses = [election.statuses() for election in standing]
    paths = [election.status.candidate_id or "" for election in standing]
    await wire.sync(resource)
    await wire.multi([delete_operation(path) for path in [*paths, resource]])
    for reader in statuses:
        *_, last = await rest_of(reader)
        assert isinstance(last.error, ElectionOverError)
    await resign(*standing)


async def test_a_missing_election_is_deleted(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    await soon(delete_election(zk, f"{resource}/missing"))
    assert await children(wire, resource) == []


async def until_told(election: AsyncElection) -> ElectionError | None:
    """Stand, and return why it ended."""
    try:
        await election.start()
    except ElectionError as error:
        return error
    async for _ in election.statuses():
        pass
    return election.status.error


async def test_the_delete_race(connect: Connect, ensemble: SharedEnsemble, wire: WireClient, resource: str) -> None:
    """500 candidates are running, and 500 more are joining while the election is deleted."""
    *clients, deleting = [await connect(ensemble.hosts, session_timeout=LONG_SESSION_TIMEOUT) for _ in range(5)]
    running = [AsyncElection(clients[number % 2], resource, f"running {number}") for number in range(500)]
    await asyncio.gather(*(election.start() for election in running))
    told = [asyncio.create_task(until_over(election)) for election in running]
    joining = [AsyncElection(clients[2 + number % 2], resource, f"joining {number}") for number in range(500)]
    late = [asyncio.create_task(until_told(election)) for election in joining]
    await delete_election(deleting, resource)
    assert not await is_there(wire, resource)
    for election in await asyncio.gather(*told):
        assert isinstance(election.status.error, ElectionOverError)
    for error in await asyncio.gather(*late):
        assert isinstance(error, (ElectionOverError, ElectionNotFoundError))
    await asyncio.gather(*(election.resign(timeout=None) for election in [*running, *joining]))
    assert not await is_there(wire, resource)
    assert not background_tasks()
    assert [callbacks_on(zk) for zk in clients] == [0, 0, 0, 0]


async def until_over(election: AsyncElection) -> AsyncElection:
    async for _ in election.statuses():
        pass
    return election
