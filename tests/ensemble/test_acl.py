"""Where ZooKeeper says no: `NotAuthorizedError` with the path, from every operation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator

import aiozk
import pytest
from aiozk import protocol

from golea_async import (
    AsyncElection,
    ElectionError,
    ElectionOverError,
    NotAuthorizedError,
    Role,
    create_election,
    delete_election,
    depose,
    end_election,
    get_leader,
    list_candidates,
    observe_leader,
)
from golea_async._shared.channel import Channel
from golea_async._zookeeper.requests import Request
from golea_async._zookeeper.wire import Get
from tests.support.elections import Connect, children, eventually, is_there, soon, sync
from tests.support.ensemble import Ensemble
from tests.support.leftovers import background_tasks, server_watches, watch_callbacks
from tests.support.wire import PERMISSION_ALL, Acl, WireClient

READ, WRITE, CREATE, DELETE, ADMIN = 1, 2, 4, 8, 16
OWNER = Acl(PERMISSION_ALL, "digest", f"owner:{base64.b64encode(hashlib.sha1(b'owner:secret').digest()).decode()}")


@pytest.fixture
async def owner(ensemble: Ensemble) -> AsyncIterator[WireClient]:
    """Somebody who may do everything; the client of the tests has no credentials."""
    async with await WireClient.connect(ensemble.servers[0].port) as owner:
        await owner.add_auth("digest", b"owner:secret")
        yield owner


class GetForExists(Get, protocol.ExistsRequest):  # type: ignore[misc]  # aiozk has no types
    """Is answered as `get` is; passes for an `exists`, which sets its watch where nothing is, too."""


def exists_that_needs_read(channel: Channel, path: str, *, watch: bool = False) -> Request:
    return GetForExists(channel._absolute(path), watch)


@pytest.fixture(autouse=True, params=["the server's exists", "exists needs READ"])
def every_servers_exists(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since 3.8.4 and 3.9.2 (CVE-2024-23944) `exists` needs READ on a znode that is there, as `getData` always has."""
    if request.param == "exists needs READ":
        monkeypatch.setattr(Channel, "exists", exists_that_needs_read)
        monkeypatch.setattr(
            Channel,
            "exists_parent",
            lambda _, absolute_path: protocol.GetDataRequest(path=absolute_path, watch=False),
        )


async def election_for(owner: WireClient, zk: aiozk.ZKClient, resource: str, permissions: int) -> str:
    """An election node with a candidate, on which everybody else has these permissions only."""
    acl = [OWNER, *([Acl(permissions, "world", "anyone")] if permissions else [])]
    await owner.sync()
    guarded = await owner.create(f"{resource}/guarded", acl=acl)
    await owner.create(f"{guarded}/le_", b"theirs", ephemeral=True, sequential=True, acl=[OWNER])
    await sync(zk)
    return guarded


async def check_nothing_happened(owner: WireClient, zk: aiozk.ZKClient, guarded: str) -> None:
    assert await children(owner, guarded) == ["le_0000000000"]
    await sync(zk)
    assert not watch_callbacks(zk)
    assert not background_tasks()


@pytest.mark.parametrize(
    ("permissions", "refused"),
    [
        (PERMISSION_ALL & ~CREATE, "/guarded"),
        (READ, "/guarded"),
        (0, "/guarded"),
        (PERMISSION_ALL, "/guarded/le_0000000000"),  # whom it would follow may not be read
    ],
)
async def test_start(owner: WireClient, zk: aiozk.ZKClient, resource: str, permissions: int, refused: str) -> None:
    guarded = await election_for(owner, zk, resource, permissions)
    election = AsyncElection(zk, guarded, "one")
    with pytest.raises(NotAuthorizedError) as no:
        await soon(election.start())
    assert no.value.path == resource + refused
    assert resource + refused in str(no.value)
    assert election.status.error is no.value
    assert election.status.role is Role.NONE
    await soon(election.resign())
    await check_nothing_happened(owner, zk, guarded)


async def test_start_where_children_may_not_be_listed(owner: WireClient, zk: aiozk.ZKClient, resource: str) -> None:
    guarded = await election_for(owner, zk, resource, PERMISSION_ALL & ~READ)
    await owner.delete(f"{guarded}/le_0000000000")
    election = AsyncElection(zk, guarded, "one")
    with pytest.raises(NotAuthorizedError) as no:
        await soon(election.start())
    assert no.value.path == guarded
    await soon(election.resign())
    assert await children(owner, guarded) == []


async def test_resign(ensemble: Ensemble, owner: WireClient, zk: aiozk.ZKClient, resource: str) -> None:
    """The znode stays as long as the session; nobody here believes in it any more, and nobody watches it."""
    guarded = await owner.create(f"{resource}/guarded", acl=[OWNER, Acl(READ | CREATE, "world", "anyone")])
    await sync(zk)
    election = AsyncElection(zk, guarded, "one")
    await soon(election.start())
    for _ in range(2):
        with pytest.raises(NotAuthorizedError) as no:
            await soon(election.resign())
        assert no.value.path == f"{guarded}/le_0000000000"
        assert not election.is_leader
        await eventually(lambda: not any(server_watches(server, guarded) for server in ensemble.servers))
    await owner.delete(f"{guarded}/le_0000000000")
    await soon(election.resign())
    assert not background_tasks()


@pytest.mark.parametrize("work", [end_election, delete_election])
@pytest.mark.parametrize("permissions", [PERMISSION_ALL & ~READ, PERMISSION_ALL & ~CREATE, 0])
async def test_end_and_delete(
    owner: WireClient, zk: aiozk.ZKClient, resource: str, permissions: int, work: type
) -> None:
    guarded = await election_for(owner, zk, resource, permissions)
    with pytest.raises(NotAuthorizedError) as no:
        await soon(work(zk, guarded))
    assert no.value.path in (guarded, f"{guarded}/DONE", f"{guarded}/le_0000000000")
    await check_nothing_happened(owner, zk, guarded)


@pytest.mark.parametrize("work", [end_election, delete_election])
async def test_end_and_delete_where_candidates_may_not_be_deleted(
    owner: WireClient, zk: aiozk.ZKClient, resource: str, work: type
) -> None:
    guarded = await election_for(owner, zk, resource, PERMISSION_ALL & ~DELETE)
    with pytest.raises(NotAuthorizedError) as no:
        await soon(work(zk, guarded))
    assert no.value.path.startswith(f"{guarded}/")
    await check_nothing_happened(owner, zk, guarded)


async def test_delete_where_the_election_node_may_not_be_deleted(
    owner: WireClient, zk: aiozk.ZKClient, resource: str
) -> None:
    parent = await owner.create(f"{resource}/parent", acl=[OWNER, Acl(READ, "world", "anyone")])
    await owner.create(f"{parent}/election")
    await sync(zk)
    with pytest.raises(NotAuthorizedError) as no:
        await soon(delete_election(zk, f"{parent}/election"))
    assert no.value.path == f"{parent}/election"
    assert await is_there(owner, f"{parent}/election")


async def test_an_elections_own_end(owner: WireClient, zk: aiozk.ZKClient, resource: str) -> None:
    guarded = await owner.create(f"{resource}/guarded", acl=[OWNER, Acl(READ | CREATE, "world", "anyone")])
    await sync(zk)
    election = AsyncElection(zk, guarded, "one")
    await soon(election.start())
    with pytest.raises(NotAuthorizedError) as no:
        await soon(election.end())
    assert no.value.path.startswith(f"{guarded}/")
    assert election.is_leader
    assert await children(owner, guarded) == ["le_0000000000"]


async def test_depose(owner: WireClient, zk: aiozk.ZKClient, resource: str) -> None:
    guarded = await election_for(owner, zk, resource, PERMISSION_ALL & ~DELETE)
    with pytest.raises(NotAuthorizedError) as no:
        await soon(depose(zk, f"{guarded}/le_0000000000", force=True))
    assert no.value.path == f"{guarded}/le_0000000000"
    await check_nothing_happened(owner, zk, guarded)


async def test_depose_needs_no_read_on_the_election_node(owner: WireClient, zk: aiozk.ZKClient, resource: str) -> None:
    guarded = await owner.create(f"{resource}/guarded", acl=[OWNER, Acl(DELETE, "world", "anyone")])
    await owner.create(f"{guarded}/le_", b"theirs", ephemeral=True, sequential=True)
    await sync(zk)
    await soon(depose(zk, f"{guarded}/le_0000000000", force=True))
    await owner.sync()
    assert await children(owner, guarded) == []


@pytest.mark.parametrize("stand", [True, False])
async def test_an_end_that_may_not_be_read_is_one(
    owner: WireClient, zk: aiozk.ZKClient, resource: str, stand: bool
) -> None:
    await owner.create(f"{resource}/DONE", b"done", acl=[OWNER])
    await sync(zk)
    election = AsyncElection(zk, resource, "one")
    with pytest.raises(ElectionOverError):
        await soon(election.start() if stand else create_election(zk, resource))
    await soon(election.resign())
    await owner.sync()
    assert await children(owner, resource) == ["DONE"]


async def test_what_may_not_be_read_is_not_deleted_as_a_candidate(
    owner: WireClient, zk: aiozk.ZKClient, resource: str
) -> None:
    """Somebody's data may have a candidate's name."""
    await owner.create(f"{resource}/le_", b"data", sequential=True, acl=[OWNER])
    await sync(zk)
    with pytest.raises(ElectionError):
        await soon(delete_election(zk, resource))
    await owner.sync()
    assert await children(owner, resource) == ["le_0000000000"]


@pytest.mark.parametrize(
    ("permissions", "refused"), [(PERMISSION_ALL & ~READ, "/guarded"), (PERMISSION_ALL, "/guarded/le_0000000000")]
)
async def test_looking_from_outside(
    owner: WireClient, zk: aiozk.ZKClient, resource: str, permissions: int, refused: str
) -> None:
    guarded = await election_for(owner, zk, resource, permissions)
    for look in (list_candidates, get_leader, first_observed):
        with pytest.raises(NotAuthorizedError) as no:
            await soon(look(zk, guarded))
        assert no.value.path == resource + refused


async def first_observed(zk: aiozk.ZKClient, resource: str) -> object:
    return await anext(observe_leader(zk, resource))


@pytest.mark.parametrize("below", ["election", "some/where/election"])
async def test_create_election(owner: WireClient, zk: aiozk.ZKClient, resource: str, below: str) -> None:
    guarded = await owner.create(f"{resource}/guarded", acl=[OWNER, Acl(READ, "world", "anyone")])
    await sync(zk)
    with pytest.raises(NotAuthorizedError) as no:
        await soon(create_election(zk, f"{guarded}/{below}"))
    assert no.value.path == f"{guarded}/{below.partition('/')[0]}"
    assert await children(owner, guarded) == []


async def test_create_election_that_is_there_needs_no_permission(
    owner: WireClient, zk: aiozk.ZKClient, resource: str
) -> None:
    guarded = await owner.create(f"{resource}/guarded", acl=[OWNER, Acl(READ, "world", "anyone")])
    await owner.create(f"{guarded}/election", acl=[OWNER])
    await sync(zk)
    await soon(create_election(zk, f"{guarded}/election"))


async def test_create_election_with_an_acl(owner: WireClient, zk: aiozk.ZKClient, resource: str) -> None:
    """It is on the election node and on the parents that were made: their right is to delete it."""
    everybody = aiozk.ACL.make("world", "anyone", read=True, create=True)
    ours = aiozk.ACL.make("digest", OWNER.identity, read=True, write=True, create=True, delete=True, admin=True)
    path = f"{resource}/parent/election"
    await soon(create_election(zk, path, acl=[ours, everybody]))
    for made in (path, f"{resource}/parent"):
        entries = [(entry.id.scheme, entry.perms) for entry in await soon(zk.get_acl(made))]
        assert entries == [("digest", PERMISSION_ALL), ("world", READ | CREATE)]
    with pytest.raises(NotAuthorizedError):
        await soon(delete_election(zk, path))
    await owner.sync()
    assert await children(owner, path) == []
    await owner.delete(path)


async def test_create_election_uses_the_clients_default_acl(
    ensemble: Ensemble, connect: Connect, owner: WireClient, resource: str
) -> None:
    readable = [aiozk.ACL.make("world", "anyone", read=True)]
    zk = await connect(ensemble.hosts, default_acl=readable)
    await soon(create_election(zk, f"{resource}/election"))
    with pytest.raises(NotAuthorizedError):
        await soon(AsyncElection(zk, f"{resource}/election", "one").start())
    assert await children(owner, f"{resource}/election") == []
