"""The session ends, the znode goes, the client is closed: under a candidate that stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    ElectionOverError,
    NotStandingError,
    ResignError,
    Role,
    SessionExpiredError,
    Status,
    depose,
    end_election,
)
from tests.support.elections import children, connected, eventually, next_status, rest_of, soon, status_of
from tests.support.ensemble import SharedEnsemble
from tests.support.leftovers import (
    background_tasks,
    background_to_end,
    is_watched,
    out_of_touch,
    reconnect,
    watch_callbacks,
)
from tests.support.proxy import Action, Predicate, Proxy
from tests.support.wire import OpCode, WireClient, WireError, expire_session


@pytest.fixture
async def zk(proxy: Proxy) -> AsyncIterator[aiozk.ZKClient]:
    """Connected to the server that `wire` is connected to."""
    async with connected(proxy.address, session_timeout=2) as zk:
        yield zk


@pytest.fixture
async def second(ensemble: SharedEnsemble, resource: str) -> AsyncIterator[aiozk.ZKClient]:  # noqa: ARG001
    async with connected(ensemble.servers[1].address, session_timeout=2) as zk:
        yield zk


def is_check_of(path: str) -> Predicate:
    """The candidate's own question; the keep-alive of who only stands checks the election node."""
    return lambda frame: frame.opcode == OpCode.MULTI and path.encode() in frame.payload


async def expire(ensemble: SharedEnsemble, zk: aiozk.ZKClient) -> None:
    await expire_session(ensemble.servers[2].port, zk.session.session_id, zk.session.password)


async def status_of_expiry(statuses: AsyncIterator[Status]) -> Status:
    async for status in statuses:
        if isinstance(status.error, SessionExpiredError):
            return status
    raise AssertionError("the statuses ended without one")


class TestExpiry:
    async def test_the_znodes_deletion_is_heard_of_first(
        self, ensemble: SharedEnsemble, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        """Its own znode goes while its server still talks to it: that is not taken for a deletion by somebody."""
        blocker = await wire.create(f"{resource}/le_", b"first", ephemeral=True, sequential=True)
        election = AsyncElection(zk, resource, "one")
        statuses = election.statuses()
        first = await election.start()
        assert first.now_following == blocker
        question = proxy.on_request(is_check_of(str(first.candidate_id)), Action.HOLD)
        thief = await WireClient.connect(
            ensemble.servers[2].port, session_id=zk.session.session_id, password=zk.session.password
        )
        await thief.delete(str(first.candidate_id))
        await soon(asyncio.shield(question.happened))  # the candidate has heard of it, and asks the quorum
        await thief.close()
        question.release()
        lost = await status_of(statuses, Role.CANDIDATE)
        while lost.error is None:
            lost = await status_of(statuses, Role.CANDIDATE)
        assert isinstance(lost.error, SessionExpiredError)
        assert lost.error.candidate_id == first.candidate_id
        assert lost.was_following == blocker
        again = await next_status(statuses)
        assert (again.role, again.now_following, again.error) == (Role.FOLLOWER, blocker, None)
        assert again.candidate_id != first.candidate_id
        assert await children(wire, resource) == ["le_0000000000", str(again.candidate_id)[-13:]]
        await election.resign()

    @pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
    async def test_it_stands_again(
        self,
        ensemble: SharedEnsemble,
        zk: aiozk.ZKClient,
        second: aiozk.ZKClient,
        wire: WireClient,
        resource: str,
        leads: bool,
    ) -> None:
        async with AsyncElection(zk, resource, "one") as one, AsyncElection(second, resource, "two") as two:
            lost, other = (one, two) if leads else (two, one)
            before = lost.status
            statuses = lost.statuses()
            # From before the loss on: to who reads late only the newest status of a follower is shown.
            reading = asyncio.create_task(soon(status_of_expiry(statuses)))
            await asyncio.sleep(0)
            await expire(ensemble, zk if leads else second)
            assert (await reading).role is Role.CANDIDATE
            again = await status_of(statuses, Role.FOLLOWER)
            assert again.candidate_id != before.candidate_id
            assert again.now_following == other.status.candidate_id
            await status_of(other.statuses(), Role.LEADER)
            assert other.is_leader
            assert not lost.is_leader
            assert len(await children(wire, resource)) == 2

    async def test_the_election_ends_before_it_hears_that_it_stands_again(
        self,
        ensemble: SharedEnsemble,
        proxy: Proxy,
        zk: aiozk.ZKClient,
        second: aiozk.ZKClient,
        wire: WireClient,
        resource: str,
    ) -> None:
        """As a whole: `DONE` is gone again when it looks. It watches that from its nomination on, as at its start."""
        async with AsyncElection(second, resource, "leader"):
            election = AsyncElection(zk, resource, "one")
            await soon(election.start())
            statuses = election.statuses()
            nominated = proxy.on_reply(lambda frame: frame.opcode == OpCode.CREATE2, Action.HOLD)
            await expire(ensemble, zk)
            await soon(asyncio.shield(nominated.happened))
            await eventually(lambda: is_watched(ensemble.servers[0], f"{resource}/DONE", zk))
            await soon(end_election(second, resource, force_after=0))
            nominated.release()
            *_, last = await rest_of(statuses)
            assert isinstance(last.error, ElectionOverError)
            await soon(election.resign())
        assert await children(wire, resource) == []

    async def test_without_rejoin_it_is_final(
        self, ensemble: SharedEnsemble, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        election = AsyncElection(zk, resource, "one", rejoin=False)
        statuses = election.statuses()
        token = (await election.start()).candidate_id
        await expire(ensemble, zk)
        *_, last = await rest_of(statuses)
        assert last.role is Role.NONE
        assert isinstance(last.error, SessionExpiredError)
        assert last.error.candidate_id == token
        await election.resign()
        assert background_tasks() == set()
        assert await children(wire, resource) == []

    async def test_while_starting(
        self, ensemble: SharedEnsemble, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        """Between the nomination and the position."""
        position = proxy.on_request(lambda frame: frame.opcode == OpCode.GET_DATA, Action.HOLD)
        election = AsyncElection(zk, resource, "one")
        starting = asyncio.create_task(election.start())
        await soon(asyncio.shield(position.happened))
        await soon(_nominated(wire, resource))
        await expire(ensemble, zk)
        position.release()
        assert (await soon(starting)).role is Role.LEADER
        assert [f"{resource}/{name}" for name in await children(wire, resource)] == [election.status.candidate_id]
        await election.resign()
        assert await children(wire, resource) == []

    async def test_while_resigning(
        self, ensemble: SharedEnsemble, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        election = AsyncElection(zk, resource, "one")
        await election.start()
        deletion = proxy.on_request(lambda frame: frame.opcode == OpCode.DELETE, Action.HOLD)
        resigning = asyncio.create_task(election.resign())
        await soon(asyncio.shield(deletion.happened))
        await expire(ensemble, zk)
        deletion.release()
        await soon(resigning)
        assert await children(wire, resource) == []
        assert watch_callbacks(zk) == {}

    async def test_out_of_touch(
        self, ensemble: SharedEnsemble, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        async with AsyncElection(zk, resource, "one") as election:
            before, statuses = election.status, election.statuses()
            assert before.role is Role.LEADER
            async with out_of_touch(zk, proxy):
                await expire(ensemble, zk)
            while not isinstance((await next_status(statuses)).error, SessionExpiredError):
                pass
            again = await status_of(statuses, Role.LEADER)
            assert (again.fencing_token or 0) > (before.fencing_token or 0)
            assert [f"{resource}/{name}" for name in await children(wire, resource)] == [again.candidate_id]


class TestDeletion:
    @pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
    async def test_by_an_administrator_is_final(
        self, zk: aiozk.ZKClient, second: aiozk.ZKClient, wire: WireClient, resource: str, leads: bool
    ) -> None:
        async with AsyncElection(zk, resource, "one") as one, AsyncElection(second, resource, "two") as two:
            deleted, other = (one, two) if leads else (two, one)
            statuses, own = deleted.statuses(), str(deleted.status.candidate_id)
            await next_status(statuses)
            await wire.delete(own)
            *_, last = await rest_of(statuses)
            assert isinstance(last.error, CandidateDeletedError)
            assert (last.role, last.error.resource, last.error.candidate_id) == (Role.NONE, resource, own)
            assert not deleted.is_leader
            await status_of(other.statuses(), Role.LEADER)
            assert other.is_leader
            with pytest.raises(NotStandingError):
                await deleted.end()

    async def test_by_depose(self, zk: aiozk.ZKClient, second: aiozk.ZKClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        await election.start()
        statuses = election.statuses()
        await depose(second, str(election.status.candidate_id))
        *_, last = await rest_of(statuses)
        assert isinstance(last.error, CandidateDeletedError)
        await soon(background_to_end())

    @pytest.mark.parametrize("others", [0, 1], ids=["and nobody stands", "and another one stands"])
    async def test_while_starting(
        self, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str, others: int
    ) -> None:
        """The election node has one child then, too: it must not be taken for the own one."""
        position = proxy.on_request(lambda frame: frame.opcode == OpCode.GET_DATA, Action.HOLD)
        election = AsyncElection(zk, resource, "one")
        statuses = election.statuses()
        starting = asyncio.create_task(election.start())
        await soon(asyncio.shield(position.happened))
        name = await soon(_nominated(wire, resource))
        await wire.delete(f"{resource}/{name}")
        for _ in range(others):
            await wire.create(f"{resource}/le_", b"another", ephemeral=True, sequential=True)
        position.release()
        with pytest.raises(CandidateDeletedError):
            await soon(starting)
        assert Role.LEADER not in {status.role for status in await rest_of(statuses)}
        await election.resign()
        assert watch_callbacks(zk) == {}

    async def test_before_it_is_watched(
        self, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        """The election node has shown that it is alone, and the request that sets its watch comes too late."""
        watch = proxy.on_request(
            lambda frame: frame.opcode == OpCode.GET_DATA and b"/le_" in frame.payload, Action.HOLD
        )
        election = AsyncElection(zk, resource, "one")
        assert (await soon(election.start())).role is Role.LEADER
        leadership = election.current_leadership
        assert leadership is not None
        statuses = election.statuses()
        await soon(asyncio.shield(watch.happened))
        await wire.delete(str(election.status.candidate_id))
        watch.release()
        await soon(leadership.wait_lost())
        *_, last = await rest_of(statuses)
        assert isinstance(last.error, CandidateDeletedError)
        await election.resign()
        assert watch_callbacks(zk) == {}

    async def test_out_of_touch(self, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        own = str((await election.start()).candidate_id)
        statuses = election.statuses()
        async with out_of_touch(zk, proxy):
            await wire.delete(own)
        *_, last = await rest_of(statuses)
        assert isinstance(last.error, CandidateDeletedError)

    async def test_a_change_of_the_data_is_none(
        self, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        async with AsyncElection(zk, resource, "one") as election:
            own = str(election.status.candidate_id)
            await wire.set_data(own, b"touched")
            await reconnect(zk, proxy)
            await wire.set_data(own, b"again")
            await wire.delete(own)
            *_, last = await rest_of(election.statuses())
            assert isinstance(last.error, CandidateDeletedError)


class TestAnotherAtTheSamePath:
    """The election node is deleted and made anew: numbers start again."""

    async def remake(self, wire: WireClient, resource: str) -> None:
        for name in await children(wire, resource):
            await wire.delete(f"{resource}/{name}")
        await wire.delete(resource)
        await wire.create(resource)
        stranger = await wire.create(f"{resource}/le_", b"one", ephemeral=True, sequential=True)
        assert stranger == f"{resource}/le_0000000000"

    async def test_in_the_same_session(self, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        assert (await election.start()).candidate_id == f"{resource}/le_0000000000"
        statuses = election.statuses()
        async with out_of_touch(zk, proxy):
            await self.remake(wire, resource)
        *_, last = await rest_of(statuses)
        assert isinstance(last.error, (CandidateDeletedError, ElectionOverError))
        assert not election.is_leader
        await election.resign()
        assert await children(wire, resource) == ["le_0000000000"]

    async def test_in_the_next_session(
        self, ensemble: SharedEnsemble, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        async with AsyncElection(zk, resource, "one") as election:
            statuses = election.statuses()
            async with out_of_touch(zk, proxy):
                await expire(ensemble, zk)
                await self.remake(wire, resource)
            again = await status_of(statuses, Role.FOLLOWER)
            assert (again.candidate_id, again.now_following) == (
                f"{resource}/le_0000000001",
                f"{resource}/le_0000000000",
            )
            assert not election.is_leader
        assert await children(wire, resource) == ["le_0000000000"]

    async def test_while_resigning(self, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        await election.start()
        async with out_of_touch(zk, proxy):
            resigning = asyncio.create_task(election.resign())
            await self.remake(wire, resource)
        await soon(resigning)
        assert await children(wire, resource) == ["le_0000000000"]

    async def test_while_starting(self, proxy: Proxy, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        position = proxy.on_request(lambda frame: frame.opcode == OpCode.GET_DATA, Action.HOLD)
        election = AsyncElection(zk, resource, "one")
        starting = asyncio.create_task(election.start())
        await soon(asyncio.shield(position.happened))
        await soon(_nominated(wire, resource))
        await self.remake(wire, resource)
        position.release()
        with pytest.raises((CandidateDeletedError, ElectionOverError)):
            await soon(starting)
        await election.resign()
        assert await children(wire, resource) == ["le_0000000000"]


class TestClosingTheClientFirst:
    async def test_belief_ends_at_once(self, ensemble: SharedEnsemble, wire: WireClient, resource: str) -> None:
        async with connected(ensemble.servers[0].address) as zk:
            election = AsyncElection(zk, resource, "one")
            await election.start()
            statuses = election.statuses()
            assert (await next_status(statuses)).role is Role.LEADER
            closing = asyncio.create_task(zk.close())
            await asyncio.sleep(0)
            assert not election.is_leader
            await soon(closing)
            *_, last = await rest_of(statuses)
            assert isinstance(last.error, SessionExpiredError)
            await soon(election.resign())
            assert background_tasks() == set()
            assert await children(wire, resource) == []

    async def test_resigning_meanwhile(self, ensemble: SharedEnsemble, wire: WireClient, resource: str) -> None:
        async with connected(ensemble.servers[0].address) as zk:
            election = AsyncElection(zk, resource, "one")
            await election.start()
            closing = asyncio.create_task(zk.close())
            await asyncio.sleep(0)
            await soon(election.resign())
            await soon(closing)
            assert await children(wire, resource) == []

    async def test_in_a_body(self, ensemble: SharedEnsemble, wire: WireClient, resource: str) -> None:
        async with connected(ensemble.servers[0].address) as zk, AsyncElection(zk, resource, "one"):
            await zk.close()
        assert await children(wire, resource) == []

    async def test_out_of_touch(self, proxy: Proxy, resource: str) -> None:
        """aiozk gives up closing after a session timeout: the znode goes only with the session, which is said."""
        zk = aiozk.ZKClient(proxy.address, session_timeout=2)
        await zk.start()
        election = AsyncElection(zk, resource, "one")
        await election.start()
        proxy.on_request(lambda frame: frame.opcode == OpCode.CREATE_SESSION, Action.SWALLOW)
        proxy.lose_next_request({OpCode.CLOSE_SESSION})
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await zk.close()
        assert not election.is_leader
        *_, last = await rest_of(election.statuses())
        assert isinstance(last.error, SessionExpiredError)
        for _ in range(2):
            with pytest.raises(ResignError):
                await soon(election.resign())
        assert background_tasks() == set()
        zk.session.conn.writer.transport.abort()

    async def test_nothing_works_afterwards(self, ensemble: SharedEnsemble, resource: str) -> None:
        async with connected(ensemble.servers[0].address) as zk:
            await zk.close()
            with pytest.raises(ValueError, match="not running"):
                await AsyncElection(zk, resource, "one").start()


async def test_a_session_can_be_expired_once(ensemble: SharedEnsemble, zk: aiozk.ZKClient) -> None:
    """The tests' own helper: it really ends the session. The client may have another one at once."""
    former = ensemble.servers[2].port, zk.session.session_id, zk.session.password
    await expire_session(*former)
    with pytest.raises(WireError, match="SESSION_EXPIRED"):
        await expire_session(*former)


async def _nominated(wire: WireClient, resource: str) -> str:
    """Wait until the nomination is carried out: what is held back was sent right behind it."""
    while not (names := await children(wire, resource)):
        pass
    return names[0]
