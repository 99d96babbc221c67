"""What an operator has to know of is said once, and what a server does not tell is found out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    ElectionError,
    NotAuthorizedError,
    Role,
    ZKClient,
    create_election,
    list_candidates,
    observe_leader,
)
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import eventually, rest_of, soon
from tests.support.leading import leading
from tests.support.proxy import Proxy

RESOURCE = "/election"
LAST_NUMBER = 2**31 - 1
ONLY_THE_ADMIN = [aiozk.ACL.make("auth", "", create=True, read=True, write=True, delete=True, admin=True)]


@pytest.fixture
async def zk(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(zookeeper.hosts, session_timeout=2) as client:
        await create_election(client, RESOURCE)
        yield client


@pytest.fixture
async def other(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    """Another process's client."""
    async with ZKClient(zookeeper.hosts, session_timeout=2) as client:
        yield client


@pytest.fixture
async def admin(zookeeper: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(zookeeper.hosts, session_timeout=2, auth=[("digest", "admin:secret")]) as client:
        yield client


def warnings(caplog: pytest.LogCaptureFixture, about: str) -> list[str]:
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [text for text in texts if about in text]


def set_counter(zookeeper: MemoryZooKeeper, number: int) -> None:
    """Have the next candidate get this number, as after so many nominations."""
    engine = zookeeper._host.engine
    zookeeper._call(lambda: setattr(engine.tree._znodes[RESOURCE], "cversion", number))


async def test_a_candidate_of_no_session_is_followed_and_named_once(
    zookeeper: MemoryZooKeeper, zk: ZKClient, caplog: pytest.LogCaptureFixture
) -> None:
    lasting = f"{RESOURCE}/le_0000000000"
    await zk.create(lasting, b"restored")
    set_counter(zookeeper, 1)
    async with AsyncElection(zk, RESOURCE, "1") as first, AsyncElection(zk, RESOURCE, "2"):
        assert first.status.now_following == lasting
        zookeeper.drop_connections()  # it is looked at again on the next one
        await eventually(lambda: bool(zk.session.state == "connected"))
        await zk.exists(RESOURCE)
        (warning,) = warnings(caplog, "belongs to no session")
        assert f"depose(zk, '{lasting}', force=True)" in warning
        await zk.delete(lasting)
        await soon(first.wait_for_leadership())


async def test_children_of_another_recipe_are_named_once(zk: ZKClient, caplog: pytest.LogCaptureFixture) -> None:
    await zk.create(f"{RESOURCE}/0a1b__lock__0000000000", b"")
    await zk.create(f"{RESOURCE}/xyz-candidate-0000000001", b"")
    for _ in range(2):
        async with AsyncElection(zk, RESOURCE) as election:
            await soon(election.wait_for_leadership())
        await list_candidates(zk, RESOURCE)
    (warning,) = warnings(caplog, "something else")
    assert "0a1b__lock__0000000000, xyz-candidate-0000000001" in warning
    assert "GoLea takes what sorts before le_ for a candidate" in warning


async def test_a_join_behind_a_candidate_asks_for_no_list(
    zk: ZKClient, other: ZKClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncElection(zk, RESOURCE) as leader:
        await soon(leader.wait_for_leadership())
        await zk.create(f"{RESOURCE}/xyz", b"")
        follower = AsyncElection(other, RESOURCE)
        await zk.delete(f"{RESOURCE}/xyz")
        await soon(follower.start())
        await soon(follower.resign())
    assert not warnings(caplog, "something else")


async def test_numbers_run_out_loudly_and_nobody_stands_at_the_end(
    zookeeper: MemoryZooKeeper, zk: ZKClient, caplog: pytest.LogCaptureFixture
) -> None:
    set_counter(zookeeper, LAST_NUMBER - 2**20)
    async with AsyncElection(zk, RESOURCE, "last in peace") as election:
        await soon(election.wait_for_leadership())
        assert not warnings(caplog, "numbers")
        for _ in range(2):
            async with AsyncElection(zk, RESOURCE, "warned") as warned:
                assert warned.status.role is Role.FOLLOWER
        (warning,) = warnings(caplog, "numbers")
        assert "delete_election" in warning
        set_counter(zookeeper, LAST_NUMBER - 2**10)
        async with AsyncElection(zk, RESOURCE, "last") as last:
            assert last.status.role is Role.FOLLOWER
            for number in (LAST_NUMBER - 2**10 + 1, LAST_NUMBER):
                set_counter(zookeeper, number)
                refused = AsyncElection(zk, RESOURCE, "refused")
                with pytest.raises(ElectionError, match="no numbers left"):
                    await soon(refused.start())
                await soon(refused.resign())
            assert election.is_leader
        names = [each.name for each in await list_candidates(zk, RESOURCE)]
        assert names == ["last in peace"]


async def test_a_number_that_is_given_out_again_makes_no_second_candidate(
    zookeeper: MemoryZooKeeper, zk: ZKClient, other: ZKClient
) -> None:
    await other.create(f"{RESOURCE}/le_{LAST_NUMBER}", b"GoLea's", ephemeral=True)
    set_counter(zookeeper, LAST_NUMBER)
    with pytest.raises(ElectionError, match="no numbers left"):
        await soon(AsyncElection(zk, RESOURCE).start())
    assert zookeeper.znodes()[f"{RESOURCE}/le_{LAST_NUMBER}"] == b"GoLea's"


async def test_a_smaller_token_than_one_that_was_seen(caplog: pytest.LogCaptureFixture) -> None:
    with MemoryZooKeeper() as before, MemoryZooKeeper() as restored:
        async with Proxy(before.servers[0].port) as proxy:
            tokens = []
            for zookeeper in (before, restored):
                proxy.target_port = zookeeper.servers[0].port
                async with ZKClient(proxy.address, session_timeout=2) as zk:
                    await create_election(zk, RESOURCE)
                    for _ in range(3 if zookeeper is before else 1):
                        async with AsyncElection(zk, RESOURCE) as election:
                            tokens.append((await soon(election.wait_for_leadership())).fencing_token)
    assert tokens[3] < tokens[2]
    (warning,) = warnings(caplog, "fencing token")
    assert f"is {tokens[3]}, and this process has seen {tokens[2]}" in warning


async def test_tokens_that_grow_are_not_spoken_of(
    zk: ZKClient, other: ZKClient, caplog: pytest.LogCaptureFixture
) -> None:
    for client in (zk, other, zk):
        async with AsyncElection(client, RESOURCE), AsyncElection(other, RESOURCE):
            pass
    assert not warnings(caplog, "fencing token")


async def test_who_must_not_read_its_own_znode_leads_no_longer_and_the_next_one_does(
    zk: ZKClient, other: ZKClient, admin: ZKClient
) -> None:
    first, second = AsyncElection(zk, RESOURCE, "1"), AsyncElection(other, RESOURCE, "2")
    leadership = await leading(first)
    await soon(second.start())
    statuses, own = first.statuses(), first.status.candidate_id
    assert own is not None
    await admin.set_acl(own, ONLY_THE_ADMIN, force=True)
    await soon(leadership.wait_lost())
    last = (await soon(rest_of(statuses)))[-1]
    assert isinstance(last.error, NotAuthorizedError)
    # Nobody tells the second one of that deletion: it may not read what it follows.
    await soon(second.wait_for_leadership())
    await soon(first.resign())
    await soon(second.resign())


async def test_a_leader_that_is_not_told_of_its_own_deletion_hears_of_it(
    zk: ZKClient, other: ZKClient, admin: ZKClient
) -> None:
    first, second = AsyncElection(zk, RESOURCE, "1"), AsyncElection(other, RESOURCE, "2")
    leadership = await leading(first)
    await soon(second.start())
    candidate_id, statuses = first.status.candidate_id, first.statuses()
    assert candidate_id is not None
    await admin.set_acl(candidate_id, ONLY_THE_ADMIN, force=True)
    await admin.delete(candidate_id, force=True)
    await soon(leadership.wait_lost())
    last = (await soon(rest_of(statuses)))[-1]
    assert isinstance(last.error, CandidateDeletedError | NotAuthorizedError)
    await soon(second.wait_for_leadership())
    await soon(second.resign())


async def test_an_observer_that_is_not_told_of_a_deletion_hears_of_it(
    zk: ZKClient, other: ZKClient, admin: ZKClient
) -> None:
    election = AsyncElection(zk, RESOURCE, "1")
    await leading(election)
    leaders = observe_leader(other, RESOURCE)
    leader = await soon(anext(leaders))
    assert leader is not None
    await admin.set_acl(leader.id, ONLY_THE_ADMIN, force=True)
    await soon(election.resign())
    assert await soon(anext(leaders)) is None
