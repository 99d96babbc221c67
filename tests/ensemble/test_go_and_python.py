"""Go processes that use GoLea and Python processes that use this library stand in the same election."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    ElectionOverError,
    NotAuthorizedError,
    Role,
    Status,
    create_election,
    delete_election,
    end_election,
    get_leader,
    list_candidates,
)
from tests.support import golea
from tests.support.elections import children, is_there, next_status, rest_of, soon
from tests.support.ensemble import Ensemble
from tests.support.golea import FOLLOWER, LEADER, GoLeaCandidate, GoLeaError, GoLeaStatus
from tests.support.leftovers import background_tasks
from tests.support.wire import EventType, WatchEvent, WireClient

GoJoins = Callable[[str], Awaitable[GoLeaCandidate]]


@pytest.fixture
async def go_joins(ensemble: Ensemble, resource: str) -> AsyncIterator[GoJoins]:
    """`await go_joins("name")`: a Go process of that name stands."""
    clients: list[WireClient] = []

    async def join(name: str) -> GoLeaCandidate:
        clients.append(await WireClient.connect(ensemble.servers[len(clients) % 3].port))
        candidate = await GoLeaCandidate.new_election(clients[-1], resource, name)
        await candidate.elect_leader()
        return candidate

    yield join
    for client in clients:
        await client.close()


async def python_joins(zk: aiozk.ZKClient, resource: str, name: str) -> AsyncElection:
    election = AsyncElection(zk, resource, name)
    await soon(election.start())
    return election


async def told(candidate: GoLeaCandidate) -> GoLeaStatus:
    """The next status of a Go process."""
    status = await soon(candidate.statuses.get())
    assert status is not None, "its channel was closed"
    return status


async def test_python_follows_go_and_takes_over(go_joins: GoJoins, zk: aiozk.ZKClient, resource: str) -> None:
    go = await go_joins("go")
    assert (await told(go)).role == LEADER
    python = await python_joins(zk, resource, "python")
    statuses = python.statuses()
    followed = await next_status(statuses)
    assert (followed.role, followed.now_following) == (Role.FOLLOWER, go.candidate_id)
    leader = await soon(get_leader(zk, resource))
    assert leader is not None
    assert (leader.id, leader.name) == (go.candidate_id, "go")

    await soon(go.resign())
    led = await next_status(statuses)
    assert (led.role, led.was_following) == (Role.LEADER, go.candidate_id)
    await soon(python.resign())


async def test_go_follows_python_and_takes_over(go_joins: GoJoins, zk: aiozk.ZKClient, resource: str) -> None:
    python = await python_joins(zk, resource, "python")
    own = python.status.candidate_id
    go = await go_joins("go")
    assert await told(go) == GoLeaStatus(go.candidate_id, role=FOLLOWER, now_following=own or "")
    await soon(python.resign())
    assert await told(go) == GoLeaStatus(go.candidate_id, role=LEADER, was_following=own or "")
    await soon(go.resign())


async def test_a_mixed_queue_closes_up(go_joins: GoJoins, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    """Go, Python, Go, Python: those in the middle resign, then the leaders, one after the other."""
    first = await go_joins("first")
    assert (await told(first)).role == LEADER
    second = await python_joins(zk, resource, "second")
    third = await go_joins("third")
    assert (await told(third)).now_following == second.status.candidate_id
    fourth, fifth = await python_joins(zk, resource, "fourth"), await python_joins(zk, resource, "fifth")
    names = [candidate.name for candidate in await soon(list_candidates(zk, resource))]
    assert names == ["first", "second", "third", "fourth", "fifth"]
    statuses = fourth.statuses()
    assert (await next_status(statuses)).now_following == third.candidate_id

    await soon(third.resign())
    moved = await next_status(statuses)
    assert (moved.now_following, moved.was_following) == (second.status.candidate_id, third.candidate_id)
    await soon(second.resign())
    assert (await next_status(statuses)).now_following == first.candidate_id
    await soon(first.resign())
    assert (await next_status(statuses)).role is Role.LEADER
    sixth = await go_joins("sixth")
    assert (await told(sixth)).now_following == fifth.status.candidate_id
    await soon(fifth.resign())
    assert (await told(sixth)).now_following == fourth.status.candidate_id
    await soon(fourth.resign())
    assert (await told(sixth)).role == LEADER
    await soon(sixth.resign())
    assert await children(wire, resource) == []


async def both_ways(
    go_joins: GoJoins, zk: aiozk.ZKClient, resource: str, *, go_first: bool
) -> tuple[GoLeaCandidate, AsyncElection]:
    """One of each; both know their place."""
    if go_first:
        go = await go_joins("go")
        await told(go)
        return go, await python_joins(zk, resource, "python")
    python = await python_joins(zk, resource, "python")
    go = await go_joins("go")
    await told(go)
    return go, python


async def last_of(statuses: AsyncIterator[Status]) -> Status:
    return (await rest_of(statuses))[-1]


@pytest.mark.parametrize("go_first", [True, False], ids=["go leads", "python leads"])
class TestEnds:
    async def test_go_ends_the_election(
        self, go_joins: GoJoins, zk: aiozk.ZKClient, wire: WireClient, resource: str, go_first: bool
    ) -> None:
        """GoLea's `EndElection` makes no `DONE`: Python hears what Go hears, that its candidate was deleted."""
        go, python = await both_ways(go_joins, zk, resource, go_first=go_first)
        statuses = python.statuses()
        await soon(go.end_election())
        last = await last_of(statuses)
        assert isinstance(last.error, CandidateDeletedError)
        assert not python.is_leader
        assert await children(wire, resource) == []
        await soon(python.resign())

    async def test_go_deletes_the_election(
        self, go_joins: GoJoins, zk: aiozk.ZKClient, wire: WireClient, resource: str, go_first: bool
    ) -> None:
        go, python = await both_ways(go_joins, zk, resource, go_first=go_first)
        statuses = python.statuses()
        await wire.sync(resource)
        await soon(golea.delete_election(wire, resource))
        assert isinstance((await last_of(statuses)).error, ElectionOverError)
        assert isinstance((await told(go)).error, GoLeaError)
        assert not await is_there(wire, resource)
        await soon(python.resign())
        assert not background_tasks()

    async def test_python_ends_the_election(
        self, go_joins: GoJoins, zk: aiozk.ZKClient, wire: WireClient, resource: str, go_first: bool
    ) -> None:
        go, python = await both_ways(go_joins, zk, resource, go_first=go_first)
        statuses = python.statuses()
        await soon(python.end())
        assert "over" in str((await told(go)).error)
        assert isinstance((await last_of(statuses)).error, ElectionOverError)
        assert await children(wire, resource) == []
        again = await go_joins("again")
        assert (await told(again)).role == LEADER
        await soon(again.resign())

    async def test_python_ends_it_from_outside(
        self, go_joins: GoJoins, zk: aiozk.ZKClient, wire: WireClient, resource: str, go_first: bool
    ) -> None:
        go, python = await both_ways(go_joins, zk, resource, go_first=go_first)
        await soon(end_election(zk, resource))
        assert "over" in str((await told(go)).error)
        assert isinstance((await last_of(python.statuses())).error, ElectionOverError)
        assert await children(wire, resource) == []

    async def test_python_deletes_the_election(
        self, go_joins: GoJoins, zk: aiozk.ZKClient, wire: WireClient, resource: str, go_first: bool
    ) -> None:
        go, python = await both_ways(go_joins, zk, resource, go_first=go_first)
        statuses = python.statuses()
        await soon(delete_election(zk, resource))
        assert "over" in str((await told(go)).error)
        assert isinstance((await last_of(statuses)).error, ElectionOverError)
        assert not await is_there(wire, resource)
        await soon(python.resign())


async def test_both_delete_the_election_at_once(
    go_joins: GoJoins, zk: aiozk.ZKClient, wire: WireClient, resource: str
) -> None:
    _, python = await both_ways(go_joins, zk, resource, go_first=True)
    await wire.sync(resource)
    await soon(asyncio.gather(golea.delete_election(wire, resource), delete_election(zk, resource)))
    assert not await is_there(wire, resource)
    await soon(python.resign())


async def test_the_layout_is_goleas_to_the_byte(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    """Name `le_` and ten digits; data the name alone, never set again; ephemeral; no children; GoLea's open ACL."""
    elections = [await python_joins(zk, resource, name) for name in ("caf\u00e9:1", "two", "two")]
    assert await children(wire, resource) == ["le_0000000000", "le_0000000001", "le_0000000002"]
    await soon(elections[0].resign())
    await soon(elections[1].resign())
    assert elections[2].status.candidate_id == f"{resource}/le_0000000002"
    data, stat = await wire.get(f"{resource}/le_0000000002")
    assert data == b"two"
    assert (stat.version, stat.ephemeral_owner, stat.number_of_children) == (0, zk.session.session_id, 0)
    assert stat.mzxid == stat.czxid
    await soon(elections[2].resign())
    election_node = await wire.exists(resource)
    assert election_node is not None
    assert election_node.version == 0


async def test_done_is_goleas(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    """A persistent child `DONE` with data `done`, as long as a candidate has not left."""
    busy = await wire.create(f"{resource}/le_", b"busy", ephemeral=True, sequential=True)
    seen: asyncio.Queue[WatchEvent] = asyncio.Queue()
    assert await wire.exists(f"{resource}/DONE", seen.put_nowait) is None
    ending = asyncio.create_task(soon(end_election(zk, resource)))
    assert (await soon(seen.get())).type is EventType.CREATED
    data, stat = await wire.get(f"{resource}/DONE")
    assert (data, stat.ephemeral_owner, stat.version) == (b"done", 0, 0)
    assert await children(wire, resource) == ["DONE", "le_0000000000"]
    await wire.delete(busy)
    await ending
    assert await children(wire, resource) == []


async def test_an_ending_that_is_refused_fires_no_watch_on_done(
    zk: aiozk.ZKClient, wire: WireClient, resource: str
) -> None:
    """GoLea takes any event on `DONE` for the end."""
    guarded = f"{resource}/without-delete"
    everything_but_delete = aiozk.ACL.make("world", "anyone", read=True, write=True, create=True, admin=True)
    await create_election(zk, guarded, acl=[everything_but_delete])
    await wire.sync(guarded)
    seen: asyncio.Queue[WatchEvent] = asyncio.Queue()
    assert await wire.exists(f"{guarded}/DONE", seen.put_nowait) is None
    for ending in (end_election, delete_election):
        with pytest.raises(NotAuthorizedError):
            await soon(ending(zk, guarded))
    await wire.sync(guarded)
    assert await wire.exists(f"{guarded}/DONE") is None
    assert seen.empty()


async def test_nobody_joins_while_done_is_there(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    """And no znode of who tried stays."""
    await wire.create(f"{resource}/DONE", b"done")
    late = AsyncElection(zk, resource, "late")
    with pytest.raises(ElectionOverError):
        await soon(late.start())
    await soon(late.resign())
    with pytest.raises(ElectionOverError):
        await soon(create_election(zk, resource))
    assert await children(wire, resource) == ["DONE"]
