"""What went wrong elsewhere: each incident a test that is named after it. Where it cannot occur, the test shows why.

What happened is told from the reports themselves: Curator's issues (imported from its Jira, so `CURATOR-696` is
apache/curator#1211), python-zk/kazoo, d2iq-archive/marathon, Yelp/paasta, etcd-io/etcd, kubernetes/kubernetes,
IBM/etcd-java, Comcast/go-leaderelection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    LeadershipLostError,
    LeaseExpiredError,
    ResignError,
    Role,
    SessionExpiredError,
    Status,
    ZKClient,
)
from golea_async._protocol.standing import Look, Verdict, decide
from golea_async._protocol.view import Sight, View
from tests.support.elections import children, eventually, is_there, soon, status_of
from tests.support.ensemble import Ensemble
from tests.support.proxy import Action, Frame, Predicate, Proxy
from tests.support.wire import OpCode, WireClient, expire_session

T = 4.0


class Contender:
    """A client behind a proxy of its own, with a candidate."""

    def __init__(self, zk: ZKClient, proxy: Proxy, election: AsyncElection) -> None:
        self.zk = zk
        self.proxy = proxy
        self.election = election
        self.statuses = election.statuses()

    @property
    def path(self) -> str:
        assert self.election.status.candidate_id is not None
        return self.election.status.candidate_id

    async def lead(self) -> None:
        await soon(self.election.start())
        await soon(self.election.wait_for_leadership())

    async def follow(self) -> None:
        assert (await soon(self.election.start())).role is Role.FOLLOWER

    async def next(self, role: Role) -> Status:
        return await status_of(self.statuses, role)

    async def expire(self) -> None:
        """End its session behind its back."""
        await expire_session(self.proxy.target_port, self.zk.session.session_id, self.zk.session.password)


class Contenders:
    """Makes them; all talk to the first server, so that one sees at once what another wrote."""

    def __init__(self, ensemble: Ensemble, resource: str, stack: AsyncExitStack) -> None:
        self.port = ensemble.servers[0].port
        self._resource = resource
        self._stack = stack

    async def __call__(self, name: str, *, rejoin: bool = True) -> Contender:
        proxy = await self._stack.enter_async_context(Proxy(self.port))
        zk = await self._stack.enter_async_context(ZKClient(proxy.address, session_timeout=T))
        election = AsyncElection(zk, self._resource, name, rejoin=rejoin)
        self._stack.push_async_callback(_leave, proxy, election)
        return Contender(zk, proxy, election)


async def _leave(proxy: Proxy, election: AsyncElection) -> None:
    proxy.heal()
    proxy.reset()
    await soon(election.resign())


@pytest.fixture
async def contender(ensemble: Ensemble, resource: str) -> AsyncIterator[Contenders]:
    async with AsyncExitStack() as stack:
        yield Contenders(ensemble, resource, stack)


@asynccontextmanager
async def deaf(proxy: Proxy) -> AsyncIterator[None]:
    """Nothing passes through the proxy; afterwards the connections are new ones."""
    proxy.swallow_requests()
    proxy.swallow_replies()
    try:
        yield
    finally:
        proxy.reset()
        proxy.heal()


async def owners(wire: WireClient, resource: str) -> list[int]:
    """The sessions of the candidates' znodes, in their order."""
    names = await children(wire, resource)
    return [(await wire.get(f"{resource}/{name}"))[1].ephemeral_owner for name in names]


# ---------------------------------------------------------------------- Curator


class TestCurator:
    async def test_curator_16(self, contender: Contenders) -> None:
        """The session expired while LeaderSelector contended: its loop ended, and it never stood again."""
        a = await contender("a")
        await a.lead()
        first_token = a.election.status.fencing_token
        await a.expire()
        lost = await a.next(Role.CANDIDATE)
        while not isinstance(lost.error, SessionExpiredError):
            lost = await a.next(Role.CANDIDATE)
        again = await a.next(Role.LEADER)
        assert first_token is not None
        assert again.fencing_token is not None
        assert again.fencing_token > first_token

    async def test_curator_104(self, contender: Contenders) -> None:
        """ZooKeeper's leader was stopped and then the leading client: nobody stood any more who could take over.

        Both had lost their connections; the follower has to stand where it stood, and follow on.
        """
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        stood_at = b.path
        a.proxy.reset()
        b.proxy.reset()
        await soon(a.zk.get_children("/"))
        await soon(b.zk.get_children("/"))
        await soon(a.election.resign())
        await b.next(Role.LEADER)
        assert b.path == stood_at

    def test_curator_165(self) -> None:
        """Children were listed without one's own znode, an index was -1, the callback died and nobody led any more.

        Here the decision is a pure function: a view without the own znode has a verdict of its own, which asks the
        quorum; there is no index that could be -1.
        """
        own = "le_0000000005"
        for names in (["le_0000000004"], []):
            view = View(Sight("/election/DONE"), Sight(f"/election/{own}", is_there=True), in_touch=True, lease=1)
            view.listed(own, "/election", names)
            assert decide(view) == Verdict.MISSING

    async def test_curator_202(self, contender: Contenders, wire: WireClient, resource: str) -> None:
        """A connection was lost and came back in the same session; the old znode stayed, in front of the new one."""
        a = await contender("a")
        await a.lead()
        for _ in range(3):
            a.proxy.reset()
            await soon(a.zk.get_children("/"))
        await eventually(lambda: a.election.is_leader)
        assert await owners(wire, resource) == [a.zk.session.session_id]
        assert a.path.endswith((await children(wire, resource))[0])

    async def test_curator_498(self, contender: Contenders, wire: WireClient, resource: str) -> None:
        """Looking for the znode of a create whose reply was lost found the one of the session that was just ending.

        A znode counts as one's own only with one's own session in `ephemeralOwner`. Here an earlier session's znode
        with the same name still stands when the reply to the nomination is lost.
        """
        async with await WireClient.connect(contender.port) as former:
            stale = await former.create(f"{resource}/le_", b"a", ephemeral=True, sequential=True)
            a = await contender("a")
            lost = a.proxy.lose_next_reply({OpCode.CREATE2})
            await a.follow()
            await lost
            assert a.path != stale
            assert a.election.status.now_following == stale
            assert await owners(wire, resource) == [former.session_id, a.zk.session.session_id]
        await a.next(Role.LEADER)

    async def test_curator_620(self, contender: Contenders, wire: WireClient, resource: str) -> None:
        """Two RECONNECTED events in a row were handled at once: one deleted the znode by which the other led.

        One task does all the talking, one thing after the other; whatever happens meanwhile only makes it look again.
        """
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        for _ in range(10):
            a.proxy.reset()
            await soon(a.zk.get_children("/"))  # the next one comes while the last one is still being handled
        await soon(a.zk.get_children("/"))
        await eventually(lambda: a.election.is_leader)
        assert not b.election.is_leader
        assert await owners(wire, resource) == [a.zk.session.session_id, b.zk.session.session_id]

    async def test_curator_644(self, contender: Contenders, wire: WireClient, resource: str) -> None:
        """After a reconnect a lone latch reset itself over and over, a new znode each time.

        A reconnect within the session makes no znode at all: the parent's count of changes stays.
        """
        a = await contender("a")
        await a.lead()
        before = await wire.exists(resource)
        for _ in range(5):
            a.proxy.reset()
            await soon(a.zk.get_children("/"))
            await eventually(lambda: a.election.is_leader)
        after = await wire.exists(resource)
        assert before is not None
        assert after is not None
        assert after.cversion == before.cversion

    async def test_curator_645(self, contender: Contenders, wire: WireClient, resource: str) -> None:
        """The predecessor vanished while it was being watched; two latches answered each other's resets for ever.

        Then the children are listed, and the own znode stays. The predecessor goes at the worst moment: after the
        follower was nominated, before its look at the predecessor is answered.
        """
        a, b, c = await contender("a"), await contender("b"), await contender("c")
        await a.lead()
        await b.follow()
        held = c.proxy.on_request(_asks_for(b.path), Action.HOLD)
        starting = asyncio.create_task(c.election.start())
        await soon(asyncio.shield(held.happened))
        await soon(b.election.resign())
        held.release()
        assert (await soon(starting)).now_following == a.path
        assert len(await children(wire, resource)) == 2
        done, own = Sight(f"{resource}/DONE", is_there=False), Sight(f"{resource}/le_0000000002", is_there=True)
        assert decide(View(done, own, in_touch=True, lease=1)) == Look(None)

    async def test_curator_653(self, contender: Contenders, wire: WireClient, resource: str) -> None:
        """Everybody reconnected at once, deleted an old znode and made a new one: two led by each other's old znodes.

        Within a session nobody deletes its znode. Between sessions the old one is gone before the new one stands.
        """
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        places = [a.path, b.path]
        a.proxy.reset()
        b.proxy.reset()
        await soon(asyncio.gather(a.zk.get_children("/"), b.zk.get_children("/")))
        await eventually(lambda: a.election.is_leader)
        assert [f"{resource}/{name}" for name in await children(wire, resource)] == places
        assert not b.election.is_leader

    async def test_curator_696(self, contender: Contenders, wire: WireClient) -> None:
        """A session was over, its znode not gone yet; the client came back with a new one, saw it, and led by it."""
        a = await contender("a")
        await a.lead()
        former = a.path
        session_id, password = a.zk.session.session_id, a.zk.session.password
        handshake = a.proxy.on_request(lambda frame: frame.opcode == OpCode.CREATE_SESSION, Action.HOLD)
        a.proxy.reset()
        await handshake
        await expire_session(a.proxy.target_port, session_id, password)
        # Somebody else's znode at the very same place, of another session: as the old one would look.
        await wire.create(former, b"a", ephemeral=True)
        handshake.release()
        following = await a.next(Role.FOLLOWER)
        assert following.now_following == former
        assert not a.election.is_leader
        await wire.delete(former)
        assert (await a.next(Role.LEADER)).candidate_id != former

    async def test_curator_724(self, contender: Contenders, wire: WireClient, resource: str) -> None:
        """ZooKeeper came back without the election's path; the latch went on retrying in silence and never led again.

        Here it is an end that says so: whoever waits for leadership gets the error, and can make the node again.
        """
        a = await contender("a")
        await a.lead()
        waiting = asyncio.create_task(_run_until_lost(a.election))
        async with deaf(a.proxy):
            await wire.delete(a.path)
            await wire.delete(resource)
        with pytest.raises(LeadershipLostError):
            await soon(waiting)
        *_, last = [status async for status in a.statuses]
        assert last.role is Role.NONE
        assert last.error is not None
        assert "over" in str(last.error)


# ---------------------------------------------------------------------- kazoo, Marathon, PaaSTA


class TestKazooAndItsUsers:
    async def test_kazoo_29(self, contender: Contenders) -> None:
        """Watches were not set again after a reconnect: what happened then was never heard of."""
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        b.proxy.reset()
        await soon(b.zk.get_children("/"))
        await soon(a.election.resign())
        await b.next(Role.LEADER)

    async def test_kazoo_116(self, contender: Contenders) -> None:
        """A ping went unanswered, the client reconnected at once, and the candidate waited for its lock for days.

        The connection is dead without a sign: nothing comes back, nothing breaks. Meanwhile the leader leaves.
        """
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        async with deaf(b.proxy):
            await soon(a.election.resign())
            connections = b.proxy.connections
            await eventually(lambda: b.proxy.connections > connections)
        await b.next(Role.LEADER)

    async def test_kazoo_151(self, contender: Contenders) -> None:
        """CONNECTED, SUSPENDED, CONNECTED: a lock that was being waited for was never granted.

        (As kazoo's pull request 170 tells it; issue 151 itself could not be looked up.) The znode before goes exactly
        while there is no connection: the event is lost, and only a look can tell.
        """
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        handshake = b.proxy.on_request(lambda frame: frame.opcode == OpCode.CREATE_SESSION, Action.HOLD)
        b.proxy.reset()
        await handshake
        await soon(a.election.resign())
        handshake.release()
        await b.next(Role.LEADER)

    async def test_marathon_2509(self, contender: Contenders) -> None:
        """A leader that had lost ZooKeeper went on leading while it tried to reconnect."""
        a = await contender("a")
        await a.lead()
        leadership = a.election.current_leadership
        assert leadership is not None
        async with deaf(a.proxy):
            await soon(leadership.wait_lost())
            assert not a.election.is_leader
            assert isinstance((await a.next(Role.CANDIDATE)).error, LeaseExpiredError)

    async def test_paasta_2450(self, ensemble: Ensemble, resource: str) -> None:
        """On a lost session the client was stopped first; giving up the lock then hung, and the work went on.

        Here a closed client ends belief and the work at once, and resigning on it does not hang.
        """
        zk = ZKClient(ensemble.hosts, session_timeout=T)
        await zk.start()
        election = AsyncElection(zk, resource)
        await soon(election.start())
        leadership = await soon(election.wait_for_leadership())
        working = asyncio.create_task(_run_until_lost(election))
        await asyncio.sleep(0)
        await zk.close()
        assert not leadership.is_valid
        with pytest.raises(LeadershipLostError):
            await soon(working)
        await soon(election.resign())


# ---------------------------------------------------------------------- etcd, client-go


class TestEtcdAndClientGo:
    async def test_etcd_21128(self, ensemble: Ensemble, wire: WireClient, resource: str) -> None:
        """Campaign failed for another reason than a cancelled context: its key stayed, and led for nobody.

        A nomination that fails after the znode was made takes it away again.
        """
        async with Proxy(ensemble.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=T) as zk:
            election = AsyncElection(zk, resource, "a")
            held = proxy.on_reply(lambda frame: frame.opcode == OpCode.CREATE2, Action.HOLD)
            starting = asyncio.create_task(asyncio.wait_for(election.start(), 0.2))
            await held
            with pytest.raises(TimeoutError):
                await starting
            held.release()
            await soon(election.resign())
            assert await children(wire, resource) == []

    async def test_etcd_22123(self, contender: Contenders, wire: WireClient) -> None:
        """Resign failed, forgot what it was to delete, and a second one returned as if all was well."""
        a = await contender("a")
        await a.lead()
        path = a.path
        async with deaf(a.proxy):
            with pytest.raises(ResignError):
                await a.election.resign(timeout=0.05)
            with pytest.raises(ResignError):
                await a.election.resign(timeout=0.05)
            assert await is_there(wire, path)
        await soon(a.election.resign())
        assert not await is_there(wire, path)

    async def test_etcd_campaign_neither_notices_its_lost_session_nor_returns(self, contender: Contenders) -> None:
        """A follower's session expired: its key was gone, and it waited on, or led without key and lease."""
        a, b = await contender("a"), await contender("b", rejoin=False)
        await a.lead()
        await b.follow()
        waiting = asyncio.create_task(b.election.wait_for_leadership())
        await b.expire()
        with pytest.raises(SessionExpiredError):
            await soon(waiting)
        await soon(a.election.resign())
        assert not b.election.is_leader

    async def test_kubernetes_139991(self, contender: Contenders) -> None:
        """The lock was released before the work under it had stopped: the next one overlapped with it.

        Resigning first ends the work, and waits for it; only then the znode goes.
        """
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        may_stop, is_stopping = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            async with a.election.leadership():
                try:
                    await asyncio.Event().wait()
                finally:
                    is_stopping.set()
                    await may_stop.wait()

        working = asyncio.create_task(work())
        await asyncio.sleep(0)
        resigning = asyncio.create_task(a.election.resign())
        await soon(is_stopping.wait())
        assert not a.election.is_leader
        await soon(b.zk.get_children("/"))
        assert not b.election.is_leader
        may_stop.set()
        await soon(resigning)
        await b.next(Role.LEADER)
        with pytest.raises(LeadershipLostError):
            await working

    async def test_etcd_java_49(self, contender: Contenders) -> None:
        """The network was away, the lease expired, and the election's listener was never told: several leaders."""
        a = await contender("a")
        await a.lead()
        async with deaf(a.proxy):
            status = await a.next(Role.CANDIDATE)
            assert isinstance(status.error, LeaseExpiredError)
            assert not a.election.is_leader
        await a.next(Role.LEADER)


# ---------------------------------------------------------------------- GoLea


class TestGoLea:
    async def test_a_resignation_that_did_not_reach_zookeeper(self, contender: Contenders, wire: WireClient) -> None:
        """`Resign()` tells nothing: when its delete is lost, the znode stays as long as the session, and leads."""
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        path = a.path
        lost = a.proxy.lose_next_request({OpCode.DELETE})
        await soon(a.election.resign())
        await lost
        assert not await is_there(wire, path)
        await b.next(Role.LEADER)

    async def test_a_notification_that_got_lost(self, contender: Contenders) -> None:
        """The event of the predecessor's end never came, and with it went every further leader.

        A notification is lost only with its connection; on the next one everybody looks for themselves.
        """
        a, b = await contender("a"), await contender("b")
        await a.lead()
        await b.follow()
        lost = b.proxy.on_reply(lambda frame: frame.opcode == 0, Action.RESET)
        await soon(a.election.resign())
        await lost
        await b.next(Role.LEADER)

    async def test_a_created_znode_that_nobody_knows_of(
        self, contender: Contenders, wire: WireClient, resource: str
    ) -> None:
        """Its nomination is no protected create (a TODO in Election.go): a lost reply, and a znode leads for nobody."""
        a = await contender("a")
        lost = a.proxy.lose_next_reply({OpCode.CREATE2})
        await a.lead()
        await lost
        assert await owners(wire, resource) == [a.zk.session.session_id]

    async def test_a_candidate_that_was_deleted(self, contender: Contenders, wire: WireClient) -> None:
        """Its own znode is deleted by somebody: that is told, once, and is final."""
        a = await contender("a")
        await a.lead()
        await wire.delete(a.path)
        *_, last = [status async for status in a.statuses]
        assert isinstance(last.error, CandidateDeletedError)


async def _run_until_lost(election: AsyncElection) -> None:
    async with election.leadership():
        await asyncio.Event().wait()


def _asks_for(path: str) -> Predicate:
    def is_it(frame: Frame) -> bool:
        return frame.opcode == OpCode.GET_DATA and path.encode() in frame.payload

    return is_it
