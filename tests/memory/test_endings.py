"""Endings: nobody leads beside the work of a leader of the past, and no election is left in which nobody can stand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    ElectionError,
    ElectionOverError,
    Leadership,
    LeadershipLostError,
    NotAuthorizedError,
    Role,
    ZKClient,
    create_election,
    delete_election,
    end_election,
    get_leader,
    list_candidates,
)
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import eventually, soon
from tests.support.leftovers import background_tasks, background_to_end
from tests.support.proxy import Action, Proxy
from tests.support.wire import WATCH_XID, OpCode

RESOURCE = "/election"
DONE = f"{RESOURCE}/DONE"
T = 2.0
CREATES = {OpCode.CREATE, OpCode.CREATE2}

NewClient = Callable[..., Awaitable[ZKClient]]
End = Callable[..., Coroutine[Any, Any, None]]
ENDINGS = [end_election, delete_election]
each_ending = pytest.mark.parametrize("end", ENDINGS)


@pytest.fixture
async def new_client(zookeeper: MemoryZooKeeper) -> AsyncIterator[NewClient]:
    async with AsyncExitStack() as stack:

        async def connect(hosts: str = zookeeper.hosts) -> ZKClient:
            return await stack.enter_async_context(ZKClient(hosts, session_timeout=T))

        await create_election(await connect(), RESOURCE)
        yield connect


async def leading(zk: aiozk.ZKClient, name: str) -> AsyncElection:
    election = AsyncElection(zk, RESOURCE, name)
    assert (await soon(election.start())).role is Role.LEADER
    return election


async def usable(zk: aiozk.ZKClient) -> None:
    """Whether somebody can stand, in an election node that is made if it is missing, and lead."""
    await soon(create_election(zk, RESOURCE))
    election = await leading(zk, "next")
    await soon(election.resign())


class TestLeadersThatStay:
    """An ending is not through before they have left."""

    @each_ending
    async def test_one_that_is_cut_off(self, zookeeper: MemoryZooKeeper, new_client: NewClient, end: End) -> None:
        theirs, ours, other = await new_client(), await new_client(), await new_client()
        leader = await leading(theirs, "cut off")
        next_one = AsyncElection(other, RESOURCE, "next")
        with zookeeper.cut(theirs.session.session_id):
            await soon(end(ours, RESOURCE))
            assert not leader.is_leader
            await soon(create_election(ours, RESOURCE))
            await soon(next_one.start())
            assert next_one.is_leader
            assert not leader.is_leader
        await soon(next_one.resign())

    @each_ending
    async def test_one_that_is_busy(self, new_client: NewClient, end: End) -> None:
        """It is told at once, and its work takes a while to stop."""
        election, steps = AsyncElection(await new_client(), RESOURCE, "busy"), list[str]()

        async def work(_: Leadership) -> None:
            steps.append("begins")
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.1)
                steps.append("has stopped")

        running = asyncio.create_task(election.run(work))
        await eventually(lambda: bool(steps))
        await soon(end(await new_client(), RESOURCE))
        assert steps == ["begins", "has stopped"]
        with pytest.raises(ElectionOverError):
            await soon(running)

    @each_ending
    async def test_one_that_is_left_is_named(
        self, new_client: NewClient, end: End, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("golea_async._protocol.teardown.WARNING_INTERVAL", 0.02)
        theirs = await new_client()
        stuck = await theirs.create(f"{RESOURCE}/le_", b"a stuck one", ephemeral=True, sequential=True)
        with caplog.at_level(logging.WARNING, "golea_async.admin"):
            ending = asyncio.create_task(end(await new_client(), RESOURCE))
            await eventually(lambda: len(caplog.messages) >= 2)
        assert all(f"'a stuck one' ({stuck})" in message for message in caplog.messages)
        await theirs.delete(stuck, force=True)
        await soon(ending)

    @each_ending
    async def test_by_force(self, zookeeper: MemoryZooKeeper, new_client: NewClient, end: End) -> None:
        theirs, ours = await new_client(), await new_client()
        leader = await leading(theirs, "cut off")
        with zookeeper.cut(theirs.session.session_id):
            await soon(end(ours, RESOURCE, force_after=0.05))
            assert leader.is_leader  # by its clock, for what is left of its lease
        await soon(leader.resign())

    @pytest.mark.parametrize("force_after", [-1, float("nan"), float("inf"), True, "1"])
    @each_ending
    async def test_by_what_is_no_force(self, new_client: NewClient, end: End, force_after: object) -> None:
        with pytest.raises((TypeError, ValueError), match="force_after"):
            await end(await new_client(), RESOURCE, force_after=force_after)

    @each_ending
    async def test_by_force_in_a_long_chroot(self, zookeeper: MemoryZooKeeper, new_client: NewClient, end: End) -> None:
        """The transactions are sized by the paths that are sent."""
        theirs = await new_client()
        chroot = "/" + "x" * 30_000
        async with ZKClient(zookeeper.hosts, chroot=chroot, session_timeout=T) as ours:
            await create_election(ours, RESOURCE)
            for _ in range(50):
                await theirs.create(f"{chroot}{RESOURCE}/le_", b"", ephemeral=True, sequential=True)
            await soon(end(ours, RESOURCE, force_after=0))
        assert not any("/le_" in path for path in zookeeper.znodes())


class TestRefusals:
    """The election goes on as it was."""

    @each_ending
    async def test_without_permission(self, zookeeper: MemoryZooKeeper, end: End) -> None:
        own = aiozk.ACL.make("auth", "", create=True, read=True, write=True, delete=True, admin=True)
        others = aiozk.ACL.make("world", "anyone", read=True, create=True, delete=end is delete_election)
        path = "/parent/election"
        async with (
            ZKClient(zookeeper.hosts, session_timeout=T, auth=[("digest", "owner:pw")]) as owner,
            ZKClient(zookeeper.hosts, session_timeout=T) as user,
        ):
            await owner.create("/parent", acl=[own, aiozk.ACL.make("world", "anyone", read=True)])
            await create_election(owner, path, acl=[own, others])
            async with AsyncElection(owner, path, "healthy") as election:
                for _ in range(2):
                    with pytest.raises(NotAuthorizedError):
                        await soon(end(user, path))
                assert election.is_leader
                assert await owner.get_children(path) == ["le_0000000000"]

    @each_ending
    async def test_with_a_child_of_done(self, zookeeper: MemoryZooKeeper, new_client: NewClient, end: End) -> None:
        zk = await new_client()
        await zk.create(DONE, b"done")
        await zk.create(f"{DONE}/x", b"")
        with pytest.raises(ElectionError, match="DONE/x"):
            await soon(end(zk, RESOURCE))
        assert not background_tasks()
        await zk.delete(f"{DONE}/x", force=True)
        await soon(end(zk, RESOURCE))
        assert DONE not in zookeeper.znodes()

    @each_ending
    async def test_with_a_persistent_candidate(self, new_client: NewClient, end: End) -> None:
        zk = await new_client()
        leader = await leading(zk, "leader")
        lasting = await zk.create(f"{RESOURCE}/le_", b"somebody's data", sequential=True)
        with pytest.raises(ElectionError, match="le_0000000001") as refused:
            await soon(end(zk, RESOURCE))
        assert refused.value.candidate_id == lasting
        assert leader.is_leader
        found = await list_candidates(zk, RESOURCE)
        assert [(each.name, each.is_persistent) for each in found] == [("leader", False), ("somebody's data", True)]
        await soon(leader.resign())
        first = await get_leader(zk, RESOURCE)
        assert first is not None
        assert first.is_persistent
        await zk.delete(lasting, force=True)
        await soon(end(zk, RESOURCE))

    async def test_with_a_foreign_child_that_comes_meanwhile(
        self, zookeeper: MemoryZooKeeper, new_client: NewClient
    ) -> None:
        zk, other = await new_client(), await new_client()
        stuck = await other.create(f"{RESOURCE}/le_", b"stuck", ephemeral=True, sequential=True)
        deleting = asyncio.create_task(delete_election(zk, RESOURCE))
        await eventually(lambda: DONE in zookeeper.znodes())
        await other.create(f"{RESOURCE}/config", b"x")
        await other.delete(stuck, force=True)
        with pytest.raises(ElectionError, match="config") as refused:
            await soon(deleting)
        assert "left as it is" not in str(refused.value)
        await usable(other)
        await other.delete(f"{RESOURCE}/config", force=True)


async def end_in_place(zk: ZKClient, election: AsyncElection, how: str) -> None:
    match how:
        case "end()":
            await election.end()
        case "end_election()":
            await end_election(zk, RESOURCE)
        case "delete_election()":
            await delete_election(zk, RESOURCE)


each_way = pytest.mark.parametrize("how", ["end()", "end_election()", "delete_election()"])


class TestFromTheLeadersOwnWork:
    @each_way
    async def test_it_goes_on_until_the_others_have_left(
        self, zookeeper: MemoryZooKeeper, new_client: NewClient, how: str
    ) -> None:
        theirs = await new_client()
        steps: list[str] = []
        async with ZKClient(zookeeper.hosts, session_timeout=T) as zk:
            election = AsyncElection(zk, RESOURCE, "leader")
            stuck: list[str] = []

            async def work(leadership: Leadership) -> str:
                stuck.append(await theirs.create(f"{RESOURCE}/le_", b"stuck", ephemeral=True, sequential=True))
                await end_in_place(zk, election, how)
                steps.append("is through")
                assert not leadership.is_valid
                return "done"

            running = asyncio.create_task(election.run(work))
            await eventually(lambda: DONE in zookeeper.znodes() and election.status.role is Role.NONE)
            assert not election.is_leader
            assert len([path for path in zookeeper.znodes() if "/le_" in path]) == 2
            assert steps == []
            await theirs.delete(stuck[0], force=True)
            assert await soon(running) == "done"
            assert isinstance(election.status.error, ElectionOverError)
        await usable(theirs)

    @each_way
    async def test_what_it_awaits_behind_that_is_cancelled(self, new_client: NewClient, how: str) -> None:
        zk = await new_client()
        election, steps = AsyncElection(zk, RESOURCE, "leader"), list[str]()

        async def work(_: Leadership) -> None:
            await end_in_place(zk, election, how)
            steps.append("is through")
            await asyncio.sleep(60)
            steps.append("goes on for ever")

        with pytest.raises(LeadershipLostError) as lost:
            await soon(election.run(work))
        assert isinstance(lost.value.__cause__, ElectionOverError)
        assert steps == ["is through"]
        await usable(zk)

    @each_way
    async def test_a_task_of_it_ends_the_election(self, new_client: NewClient, how: str) -> None:
        """Then the work is stopped, and awaited, before the candidate leaves: a handler may go on beside it else."""
        zk, other = await new_client(), await new_client()
        election, there = AsyncElection(zk, RESOURCE, "leader"), list[bool]()

        async def work(_: Leadership) -> None:
            task = asyncio.create_task(end_in_place(zk, election, how))
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.05)
                there.append(await other.exists(f"{RESOURCE}/le_0000000000"))
                await asyncio.wait({task}, timeout=0)

        with pytest.raises(LeadershipLostError):
            await soon(election.run(work))
        assert there == [True]
        await soon(background_to_end())
        await usable(zk)

    @each_way
    async def test_a_time_limit_of_its_own(self, new_client: NewClient, how: str) -> None:
        """The ending goes on in the background, and the work, which is not part of it any more, is cancelled."""
        theirs, zk = await new_client(), await new_client()
        election, late, there = AsyncElection(zk, RESOURCE, "leader"), list[str](), list[bool]()

        async def work(_: Leadership) -> None:
            late.append(await theirs.create(f"{RESOURCE}/le_", b"late", ephemeral=True, sequential=True))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await end_in_place(zk, election, how)
            try:
                await asyncio.sleep(60)
            finally:
                assert await theirs.exists(DONE)
                await theirs.delete(late[0], force=True)
                await asyncio.sleep(0.05)
                there.append(await theirs.exists(f"{RESOURCE}/le_0000000000"))

        with pytest.raises(LeadershipLostError):
            await soon(election.run(work))
        assert there == [True]  # until the work has stopped
        await soon(background_to_end())
        await usable(zk)


class TestInterrupted:
    @each_ending
    async def test_the_clients_close_waits_for_it(
        self, zookeeper: MemoryZooKeeper, new_client: NewClient, end: End
    ) -> None:
        """As after Ctrl-C: the call is cancelled when candidates have been told, and the program closes its client."""
        theirs = await new_client()
        stuck = await theirs.create(f"{RESOURCE}/le_", b"stuck", ephemeral=True, sequential=True)

        async def script() -> None:
            async with ZKClient(zookeeper.hosts, session_timeout=T) as zk:
                await end(zk, RESOURCE)

        running = asyncio.create_task(script())
        await eventually(lambda: DONE in zookeeper.znodes())
        running.cancel()
        await asyncio.wait({running}, timeout=0.05)
        assert not running.done()
        await theirs.delete(stuck, force=True)
        await asyncio.wait({running})
        assert running.cancelled()
        await usable(theirs)

    @each_ending
    async def test_out_of_touch(self, zookeeper: MemoryZooKeeper, new_client: NewClient, end: End) -> None:
        """The caller, whom nobody has cancelled, is told."""
        theirs = await new_client()
        await theirs.create(f"{RESOURCE}/le_", b"stuck", ephemeral=True, sequential=True)
        zk = ZKClient(zookeeper.hosts, session_timeout=0.5)
        await zk.start()
        ending = asyncio.create_task(end(zk, RESOURCE))
        await eventually(lambda: DONE in zookeeper.znodes())
        for server in zookeeper.servers:
            server.stop()
        await soon(zk.close())
        with pytest.raises(ElectionError, match="closed"):
            await soon(ending)
        for server in zookeeper.servers:
            server.start()
        await soon(end(theirs, RESOURCE, force_after=0))
        await usable(theirs)

    @each_ending
    async def test_but_not_for_ever(self, zookeeper: MemoryZooKeeper, new_client: NewClient, end: End) -> None:
        """It gives up, and takes `DONE` away: who is left stands on, and others can stand."""
        theirs = await new_client()
        stuck = await theirs.create(f"{RESOURCE}/le_", b"stuck", ephemeral=True, sequential=True)
        zk = ZKClient(zookeeper.hosts, session_timeout=0.5)
        await zk.start()
        ending = asyncio.create_task(end(zk, RESOURCE))
        await eventually(lambda: DONE in zookeeper.znodes())
        await soon(zk.close())
        with pytest.raises(ElectionError, match="given up"):
            await soon(ending)
        assert [path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/")] == [stuck]
        await theirs.delete(stuck, force=True)
        await usable(theirs)


async def test_who_hears_of_the_former_end_while_it_is_nominated_hears_of_the_next_one(
    zookeeper: MemoryZooKeeper, new_client: NewClient
) -> None:
    """The watch on `DONE` that the former candidate has left fires between its request and the answer to that."""
    other = await new_client(zookeeper.servers[1].address)
    async with Proxy(zookeeper.servers[0].port) as proxy:
        client = await new_client(proxy.address)
        await other.create(DONE)
        former = AsyncElection(client, RESOURCE, "ada")
        with pytest.raises(ElectionOverError):
            await soon(former.start())
        nomination = proxy.on_request(lambda frame: frame.opcode in CREATES, Action.HOLD)
        event = proxy.on_reply(lambda frame: frame.xid == WATCH_XID and DONE.encode() in frame.payload, Action.FORWARD)
        await soon(former.resign())  # it listens no more, and its watch is not removed yet
        ada = AsyncElection(client, RESOURCE, "ada")
        starting = asyncio.ensure_future(ada.start())
        await soon(nomination)
        await other.delete(DONE, force=True)
        await soon(event)
        nomination.release()
        await soon(starting)
        await soon(ada.wait_for_leadership())
        await soon(end_election(other, RESOURCE))
        assert isinstance(ada.status.error, ElectionOverError)
