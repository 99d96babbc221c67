"""What users of the public interface rely on, on a real ensemble."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    Candidate,
    CandidateDeletedError,
    ElectionError,
    ElectionNotFoundError,
    ElectionOverError,
    NotStandingError,
    ResignError,
    Role,
    SessionExpiredError,
    Status,
    create_election,
    delete_election,
    depose,
    end_election,
    get_leader,
    list_candidates,
    observe_leader,
)
from tests.support.elections import (
    LONG_SESSION_TIMEOUT,
    Connect,
    children,
    eventually,
    is_there,
    next_status,
    resign,
    rest_of,
    soon,
    stand,
    status_of,
    sync,
)
from tests.support.ensemble import SharedEnsemble
from tests.support.leftovers import background_tasks, is_watched, watch_callbacks
from tests.support.proxy import Action, Proxy
from tests.support.wire import OpCode, WireClient, create_operation, delete_operation, expire_session

Work = Callable[..., Awaitable[None]]


async def names_in(zk: aiozk.ZKClient, resource: str) -> list[str]:
    return [candidate.name for candidate in await soon(list_candidates(zk, resource))]


@pytest.fixture
async def other(ensemble: SharedEnsemble, connect: Connect) -> aiozk.ZKClient:
    """Another process's client."""
    return await connect(ensemble.hosts)


class TestOneClient:
    @pytest.mark.both_loops
    async def test_several_elections(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        resources = [f"{resource}/{letter}" for letter in "abc"]
        for path in resources:
            await soon(create_election(zk, path))
        elections = [(await stand(zk, path, "same name"))[0] for path in resources]
        assert [election.is_leader for election in elections] == [True, True, True]
        await soon(elections[1].resign())
        assert [election.is_leader for election in elections] == [True, False, True]
        await wire.sync()
        assert [await children(wire, path) for path in resources] == [["le_0000000000"], [], ["le_0000000000"]]
        await resign(*elections)

    @pytest.mark.both_loops
    async def test_several_candidates_of_one_election(self, zk: aiozk.ZKClient, resource: str) -> None:
        elections = await stand(zk, resource, "one", "two", "three")
        assert [election.status.role for election in elections] == [Role.LEADER, Role.FOLLOWER, Role.FOLLOWER]
        assert await names_in(zk, resource) == ["one", "two", "three"]
        statuses = elections[2].statuses()
        await soon(elections[0].resign())
        await eventually(lambda: elections[1].is_leader)
        await soon(elections[1].resign())
        assert (await status_of(statuses, Role.LEADER)).candidate_id == elections[2].status.candidate_id
        await soon(elections[2].resign())
        assert not watch_callbacks(zk)
        assert not background_tasks()

    async def test_the_same_name_twice_at_once(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        elections = [AsyncElection(zk, resource, "twin") for _ in range(8)]
        statuses = await soon(asyncio.gather(*(election.start() for election in elections)))
        ids = {status.candidate_id for status in statuses}
        assert len(ids) == 8
        assert len(await children(wire, resource)) == 8
        assert sum(election.is_leader for election in elections) == 1
        # None takes another's znode with it.
        for left in range(7, -1, -1):
            await soon(elections.pop().resign())
            assert len(await children(wire, resource)) == left

    async def test_nothing_of_the_library_is_left_on_it(self, zk: aiozk.ZKClient, resource: str) -> None:
        for _ in range(3):
            await resign(*await stand(zk, resource, "one", "two"))
        await sync(zk)
        assert not watch_callbacks(zk)
        assert not background_tasks()

    @pytest.mark.parametrize("chroot_is_there", [True, False])
    async def test_a_chroot(
        self, ensemble: SharedEnsemble, connect: Connect, wire: WireClient, resource: str, chroot_is_there: bool
    ) -> None:
        chroot = f"{resource}/of/this/application"
        zk = await connect(ensemble.hosts, chroot=chroot)
        if not chroot_is_there:
            await wire.sync()
            for path in (chroot, f"{resource}/of/this", f"{resource}/of"):
                await wire.delete(path)
            await sync(zk)
        await soon(create_election(zk, "/jobs/election"))
        leader, follower = await stand(zk, "/jobs/election", "leader", "follower")
        assert leader.status.candidate_id == "/jobs/election/le_0000000000"
        assert follower.status.now_following == "/jobs/election/le_0000000000"
        assert await children(wire, f"{chroot}/jobs/election") == ["le_0000000000", "le_0000000001"]
        candidates = await soon(list_candidates(zk, "/jobs/election"))
        assert [candidate.id for candidate in candidates] == [leader.status.candidate_id, follower.status.candidate_id]
        assert await soon(get_leader(zk, "/jobs/election")) == candidates[0]
        observed = observe_leader(zk, "/jobs/election")
        assert await soon(anext(observed)) == candidates[0]
        statuses = follower.statuses()
        await soon(depose(zk, candidates[0].id))
        assert (await status_of(statuses, Role.LEADER)).was_following == candidates[0].id
        assert await soon(anext(observed)) == candidates[1]
        await soon(delete_election(zk, "/jobs/election"))
        assert isinstance((await rest_of(statuses))[-1].error, ElectionOverError)
        assert await soon(anext(observed)) is None
        await resign(leader, follower)
        assert not await is_there(wire, f"{chroot}/jobs/election")


WITH_THE_NOMINATION = {OpCode.CREATE2: 1, OpCode.GET_DATA: 1, OpCode.EXISTS: 1}
"""The create, a look at the election node, and the watch of `DONE`."""


class TestRequests:
    """What a join costs: requests that travel together are one round trip."""

    async def join(
        self, proxy: Proxy, zk: aiozk.ZKClient, resource: str, before_it_decides: dict[OpCode, int]
    ) -> AsyncElection:
        """Hold the replies of each round trip until all that was sent with it has come."""
        before = requests_of(proxy)
        nominated = proxy.on_reply(lambda frame: frame.opcode == OpCode.CREATE2, Action.HOLD)
        election = AsyncElection(zk, resource, "joining")
        joining = asyncio.create_task(election.start())
        await soon(nominated)
        await eventually(lambda: requests_since(before, proxy) == WITH_THE_NOMINATION)
        positioned = proxy.on_reply(lambda frame: frame.opcode == OpCode.GET_DATA, Action.HOLD)
        nominated.release()
        await soon(positioned)
        await eventually(lambda: requests_since(before, proxy) == before_it_decides)
        positioned.release()
        await soon(joining)
        return election

    async def watches_itself(self, before: Counter[int], proxy: Proxy, decided: dict[OpCode, int]) -> None:
        """Behind the decision."""
        own_too = {**decided, OpCode.GET_DATA: decided[OpCode.GET_DATA] + 1}
        await eventually(lambda: requests_since(before, proxy) == own_too)

    async def test_a_join_behind_a_live_candidate_is_two_round_trips_and_no_list(
        self, proxy: Proxy, connect: Connect, zk: aiozk.ZKClient, resource: str
    ) -> None:
        (leader,) = await stand(zk, resource, "leader")
        joining = await connect(proxy.address)
        before = requests_of(proxy)
        and_a_look = {**WITH_THE_NOMINATION, OpCode.GET_DATA: 3}  # at the one before, and behind that at itself
        election = await self.join(proxy, joining, resource, and_a_look)
        assert election.status.now_following == leader.status.candidate_id
        assert requests_since(before, proxy) == and_a_look
        await resign(election, leader)

    async def test_the_first_join_is_one_round_trip(
        self, proxy: Proxy, connect: Connect, wire: WireClient, resource: str
    ) -> None:
        joining = await connect(proxy.address)
        before = requests_of(proxy)
        election = await self.join(proxy, joining, resource, WITH_THE_NOMINATION)
        assert election.is_leader
        await self.watches_itself(before, proxy, WITH_THE_NOMINATION)
        await soon(election.resign())
        assert await children(wire, resource) == []

    async def test_who_followed_and_stands_again_lists_at_once(
        self, proxy: Proxy, connect: Connect, zk: aiozk.ZKClient, resource: str
    ) -> None:
        """Its number before is that of the znode it has deleted, and it is not the only one: another was before it."""
        (leader,) = await stand(zk, resource, "leader")
        again = await connect(proxy.address)
        await resign(*await stand(again, resource, "again"))
        before = requests_of(proxy)
        (election,) = await stand(again, resource, "again")
        assert election.status.now_following == leader.status.candidate_id
        sent = {
            OpCode.CREATE2: 1,
            OpCode.GET_CHILDREN2: 1,
            OpCode.EXISTS: 1,
            OpCode.GET_DATA: 2,  # the leader, and itself
        }
        await eventually(lambda: requests_since(before, proxy) == sent)
        await resign(election, leader)

    async def test_who_led_and_stands_again_alone_does_not_list(
        self, proxy: Proxy, connect: Connect, resource: str
    ) -> None:
        again = await connect(proxy.address)
        await resign(*await stand(again, resource, "again"))
        before = requests_of(proxy)
        election = await self.join(proxy, again, resource, WITH_THE_NOMINATION)
        assert election.is_leader
        await resign(election)
        assert OpCode.GET_CHILDREN2 not in requests_since(before, proxy)

    async def test_who_followed_and_stands_again_alone_leads(
        self, proxy: Proxy, connect: Connect, zk: aiozk.ZKClient, resource: str
    ) -> None:
        """By the list, in two round trips."""
        (leader,) = await stand(zk, resource, "leader")
        again = await connect(proxy.address)
        await resign(*await stand(again, resource, "again"))
        await resign(leader)
        before = requests_of(proxy)
        (election,) = await stand(again, resource, "again")
        assert election.is_leader
        sent = {OpCode.CREATE2: 1, OpCode.GET_CHILDREN2: 1, OpCode.EXISTS: 1, OpCode.GET_DATA: 1}
        await eventually(lambda: requests_since(before, proxy) == sent)
        await resign(election)

    async def test_the_only_one_behind_a_number_that_is_gone_does_not_list(
        self, proxy: Proxy, connect: Connect, zk: aiozk.ZKClient, resource: str
    ) -> None:
        """The election node has one child: that says it, whatever becomes of the look at the number before."""
        await resign(*await stand(zk, resource, "gone"))
        joining = await connect(proxy.address)
        before = requests_of(proxy)
        election = await self.join(proxy, joining, resource, {**WITH_THE_NOMINATION, OpCode.GET_DATA: 3})
        assert election.is_leader
        assert OpCode.GET_CHILDREN2 not in requests_since(before, proxy)
        await resign(election)

    async def test_the_first_number_beside_a_stranger_lists(
        self, proxy: Proxy, connect: Connect, wire: WireClient, resource: str
    ) -> None:
        """Then the number of children says nothing."""
        joining = await connect(proxy.address)
        nominated = proxy.on_reply(lambda frame: frame.opcode == OpCode.CREATE2, Action.HOLD)
        shown = proxy.on_request(lambda frame: frame.opcode == OpCode.GET_DATA, Action.HOLD)
        election = AsyncElection(joining, resource, "joining")
        starting = asyncio.create_task(election.start())
        await soon(nominated)
        await soon(shown)
        await wire.create(f"{resource}/stranger")  # on the same server: another one may be ahead of it
        nominated.release()
        shown.release()
        assert (await soon(starting)).role is Role.LEADER
        assert requests_since({}, proxy)[OpCode.GET_CHILDREN2] == 1
        await wire.delete(f"{resource}/stranger")
        await resign(election)

    async def test_who_is_refused_leaves_no_watch(self, proxy: Proxy, connect: Connect) -> None:
        """`DONE` is asked for, with a watch, before it is known that there is no election."""
        joining = await connect(proxy.address)
        election = AsyncElection(joining, "/nothing-here", "joining")
        with pytest.raises(ElectionNotFoundError):
            await soon(election.start())
        await soon(election.resign())
        await eventually(lambda: proxy.requests[OpCode.REMOVE_WATCHES] == 1)
        assert requests_since({}, proxy)[OpCode.EXISTS] == 1

    async def test_not_the_only_one_behind_a_number_that_is_gone(
        self, proxy: Proxy, connect: Connect, zk: aiozk.ZKClient, resource: str
    ) -> None:
        """Then the number of children says nothing: they are listed."""
        leader, gone = await stand(zk, resource, "leader", "gone")
        await resign(gone)
        (election,) = await stand(await connect(proxy.address), resource, "joining")
        assert election.status.now_following == leader.status.candidate_id
        await resign(leader)
        assert (await soon(election.wait_for_leadership())).is_valid
        await resign(election)

    async def test_many_on_one_client_share_what_they_watch(
        self, proxy: Proxy, connect: Connect, wire: WireClient, resource: str
    ) -> None:
        """Two requests for each: the create, and the look at the own znode, which is what the next one follows."""
        many = await connect(proxy.address, session_timeout=LONG_SESSION_TIMEOUT)
        elections = [AsyncElection(many, resource, f"number {number}") for number in range(500)]
        await soon(asyncio.gather(*(election.start() for election in elections)))
        await sync(many)
        sent = requests_since({}, proxy)
        assert sent[OpCode.CREATE2] == 500
        assert sent[OpCode.GET_DATA] - 500 + sent[OpCode.EXISTS] < 10
        assert OpCode.GET_CHILDREN2 not in sent
        following = {election.status.now_following for election in elections}
        assert following == {None, *(f"{resource}/{name}" for name in (await children(wire, resource))[:-1])}
        await soon(asyncio.gather(*(election.resign(timeout=None) for election in elections)))

    async def test_no_herd(self, proxy: Proxy, connect: Connect, zk: aiozk.ZKClient, resource: str) -> None:
        """A departure wakes the next in the queue, and nobody else."""
        first, second = await stand(zk, resource, "first", "second")
        others = await connect(proxy.address)
        queue = await stand(others, resource, *(f"number {number}" for number in range(5)))
        await sync(others)  # the last look at the own znode has come through
        before = requests_of(proxy)
        statuses = second.statuses()
        await soon(first.resign())
        await status_of(statuses, Role.LEADER)
        await sync(others)
        assert proxy.events == 0
        assert requests_since(before, proxy) == {OpCode.SYNC: 1}
        # And the next departure wakes one of them.
        await soon(second.resign())
        await eventually(lambda: queue[0].is_leader)
        assert proxy.events == 1
        await resign(*reversed(queue))


def requests_since(before: dict[int, int], proxy: Proxy) -> dict[int, int]:
    """What clients have sent since, without what comes with time."""
    counted = {opcode: count - before.get(opcode, 0) for opcode, count in requests_of(proxy).items()}
    return {opcode: count for opcode, count in counted.items() if count}


def requests_of(proxy: Proxy) -> Counter[int]:
    """What clients have sent, without what comes with time.

    That is the beats, the removals of watches, and the watch of ``step_down``, which is set when it is quiet. A plain
    client touches its session by an ``exists`` that sets no watch.
    """
    counted = proxy.requests.copy()
    for timed in (OpCode.PING, OpCode.MULTI, OpCode.REMOVE_WATCHES):
        del counted[timed]
    counted[OpCode.EXISTS] = proxy.watching_exists.total() - proxy.watching_exists["step_down"]
    return counted


class TestStatuses:
    async def test_before_the_start_and_after_the_resignation(self, zk: aiozk.ZKClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        assert election.status == Status(Role.NONE)
        assert not election.is_leader
        status = await soon(election.start())
        assert election.status == status
        assert election.is_leader
        await soon(election.resign())
        assert (election.status.role, election.status.error) == (Role.NONE, None)
        assert not election.is_leader

    async def test_a_subscription_made_before_the_start_reads_it_all(self, zk: aiozk.ZKClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        statuses = election.statuses()
        assert (await next_status(statuses)).role is Role.NONE
        starting = asyncio.create_task(election.start())
        assert (await next_status(statuses)).role is Role.CANDIDATE
        assert await next_status(statuses) == await soon(starting)
        await soon(election.resign())
        assert await rest_of(statuses) == []

    async def test_the_token_is_there_if_and_only_if_leading(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        leader, follower = await stand(zk, resource, "leader", "follower")
        stat = await wire.exists(leader.status.candidate_id or "")
        assert stat is not None
        assert leader.status.fencing_token == stat.czxid
        assert follower.status.fencing_token is None
        await resign(leader, follower)
        assert leader.status.fencing_token is None

    async def test_nobody_believes_in_leading_while_resigning(self, zk: aiozk.ZKClient, resource: str) -> None:
        (election,) = await stand(zk, resource, "one")
        resigning = asyncio.create_task(election.resign())
        await asyncio.sleep(0)
        assert not election.is_leader
        await soon(resigning)

    async def test_a_read_is_cancelled_and_break_leaves_nothing(self, zk: aiozk.ZKClient, resource: str) -> None:
        leader, follower = await stand(zk, resource, "leader", "follower")
        statuses = follower.statuses()
        await next_status(statuses)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(statuses)
        await soon(leader.resign())
        assert (await next_status(statuses)).role is Role.LEADER
        gone = weakref.ref(statuses)
        del statuses
        gc.collect()
        assert gone() is None
        await soon(follower.resign())

    async def test_a_lost_session_is_the_end_without_rejoin(
        self, ensemble: SharedEnsemble, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        election = AsyncElection(zk, resource, "one", rejoin=False)
        statuses = election.statuses()
        await soon(election.start())
        await expire_session(ensemble.servers[0].port, zk.session.session_id, zk.session.password)
        *_, last = await rest_of(statuses)
        assert last.role is Role.NONE
        assert isinstance(last.error, SessionExpiredError)
        assert not election.is_leader
        await soon(election.resign())
        assert await children(wire, resource) == []

    async def test_a_lost_session_is_a_new_nomination_with_rejoin(
        self, ensemble: SharedEnsemble, zk: aiozk.ZKClient, resource: str
    ) -> None:
        (election,) = await stand(zk, resource, "one")
        before, statuses = election.status, election.statuses()
        await next_status(statuses)
        await expire_session(ensemble.servers[0].port, zk.session.session_id, zk.session.password)
        again = await status_of(statuses, Role.LEADER)
        assert again.candidate_id != before.candidate_id
        assert (again.fencing_token or 0) > (before.fencing_token or 0)
        await soon(election.resign())

    async def test_a_deletion_through_a_session_that_moved(
        self, ensemble: SharedEnsemble, zk: aiozk.ZKClient, resource: str
    ) -> None:
        """The session lives, so this is somebody's deletion: final, and no loss of the session."""
        (election,) = await stand(zk, resource, "one")
        session = {"session_id": zk.session.session_id, "password": zk.session.password}
        connected_to = zk.session.conn.port
        elsewhere = next(server for server in ensemble.servers if server.port != int(connected_to))
        statuses = election.statuses()
        async with await WireClient.connect(elsewhere.port, **session) as thief:
            await thief.delete(election.status.candidate_id or "")
            *_, last = await rest_of(statuses)
        assert isinstance(last.error, CandidateDeletedError)
        await soon(election.resign())


class BodyError(Exception):
    """What a user's code raises."""


class TestStartAndResign:
    async def test_entering_is_standing_and_leaving_is_resigning(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        async with AsyncElection(zk, resource, "one") as one, AsyncElection(zk, resource, "two") as two:
            assert (one.status.role, two.status.role) == (Role.LEADER, Role.FOLLOWER)
        assert await children(wire, resource) == []

    async def test_the_bodys_exception_propagates(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        with pytest.raises(BodyError) as raised:
            async with AsyncElection(zk, resource, "one"):
                raise BodyError
        assert not hasattr(raised.value, "__notes__")
        assert await children(wire, resource) == []

    async def test_a_resign_error_on_top_is_a_note_and_a_warning(
        self, proxy: Proxy, connect: Connect, resource: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        zk = await connect(proxy.address)
        election = AsyncElection(zk, resource, "one", resign_timeout=0.05)

        async def body() -> None:
            async with election:
                proxy.swallow_replies()
                raise BodyError

        with pytest.raises(BodyError) as raised:
            await body()
        (note,) = raised.value.__notes__
        assert election.status.candidate_id is not None
        assert election.status.candidate_id in note
        assert [record.levelname for record in caplog.records if record.message in note] == ["WARNING"]
        proxy.heal()
        proxy.reset()
        await soon(election.resign(timeout=None))

    async def test_a_resignation_in_time_or_an_error_and_another_one_waits(
        self, proxy: Proxy, connect: Connect, wire: WireClient, resource: str
    ) -> None:
        zk = await connect(proxy.address)
        (election,) = await stand(zk, resource, "one")
        proxy.swallow_requests()
        with pytest.raises(ResignError, match="resign\\(\\) again"):
            await election.resign(timeout=0.05)
        assert not election.is_leader
        with pytest.raises(ResignError):
            await election.resign(timeout=0)
        assert len(await children(wire, resource)) == 1
        proxy.heal()
        proxy.reset()
        await soon(election.resign(timeout=None))
        assert await children(wire, resource) == []

    async def test_resign_before_the_start(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        await soon(election.resign())
        assert await children(wire, resource) == []
        await soon(election.start())
        assert len(await children(wire, resource)) == 1
        await soon(election.resign())
        assert await children(wire, resource) == []

    async def test_resign_twice_and_at_once(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        (election,) = await stand(zk, resource, "one")
        await soon(asyncio.gather(election.resign(), election.resign()))
        await soon(election.resign())
        assert await children(wire, resource) == []

    async def test_resign_while_starting(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        starting = asyncio.create_task(election.start())
        await asyncio.sleep(0)
        await soon(election.resign())
        with pytest.raises(NotStandingError, match="while it was starting"):
            await soon(starting)
        assert await children(wire, resource) == []
        assert not background_tasks()

    async def test_start_and_resign_in_different_tasks(self, zk: aiozk.ZKClient, resource: str) -> None:
        election = AsyncElection(zk, resource, "one")
        await asyncio.create_task(election.start())
        assert election.is_leader
        await asyncio.create_task(election.resign())

    async def test_a_candidate_of_a_missing_election(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        election = AsyncElection(zk, f"{resource}/missing", "one")
        with pytest.raises(ElectionNotFoundError, match="create_election"):
            await soon(election.start())
        await soon(election.resign())
        assert await children(wire, resource) == []


class TestFromOutside:
    async def test_list_candidates_and_get_leader(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        assert await soon(list_candidates(zk, resource)) == []
        assert await soon(get_leader(zk, resource)) is None
        elections = await stand(zk, resource, "one", "caf\u00e9")
        candidates = await soon(list_candidates(zk, resource))
        assert [candidate.name for candidate in candidates] == ["one", "caf\u00e9"]
        assert [candidate.id for candidate in candidates] == [election.status.candidate_id for election in elections]
        assert candidates[0].fencing_token == elections[0].status.fencing_token
        assert candidates[0].fencing_token < candidates[1].fencing_token
        assert await soon(get_leader(zk, resource)) == candidates[0]
        await resign(*elections)
        await wire.create(f"{resource}/le_0000000099", b"\xff not utf-8", ephemeral=True)
        (odd,) = await soon(list_candidates(zk, resource))
        assert odd.name.endswith("not utf-8")

    async def test_depose(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        leader, follower = await stand(zk, resource, "leader", "follower")
        own = leader.status.candidate_id
        assert own is not None
        statuses, successor = leader.statuses(), follower.statuses()
        await soon(depose(zk, own))
        *_, last = await rest_of(statuses)
        assert last.role is Role.NONE
        assert isinstance(last.error, CandidateDeletedError)
        assert last.error.candidate_id == own
        assert (await status_of(successor, Role.LEADER)).was_following == own
        await soon(depose(zk, own))
        await resign(leader, follower)
        await wire.sync()
        await wire.delete(resource)
        with pytest.raises(ElectionNotFoundError):
            await soon(depose(zk, own))

    async def test_an_administrator_who_deletes_the_znode_is_final(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        leader, follower = await stand(zk, resource, "leader", "follower")
        statuses = follower.statuses()
        await wire.sync()
        await wire.delete(follower.status.candidate_id or "")
        assert isinstance((await rest_of(statuses))[-1].error, CandidateDeletedError)
        assert leader.is_leader
        await resign(leader, follower)

    async def test_a_missing_election(self, zk: aiozk.ZKClient, resource: str) -> None:
        for work in (list_candidates, get_leader, end_election):
            with pytest.raises(ElectionNotFoundError, match="create_election"):
                await soon(work(zk, f"{resource}/missing"))
        with pytest.raises(ElectionNotFoundError):
            await soon(anext(observe_leader(zk, f"{resource}/missing")))
        await soon(delete_election(zk, f"{resource}/missing"))

    async def test_tokens_grow_also_when_the_election_is_made_again(self, zk: aiozk.ZKClient, resource: str) -> None:
        tokens = []
        for _ in range(3):
            elections = await stand(zk, resource, "one", "two")
            tokens += [candidate.fencing_token for candidate in await soon(list_candidates(zk, resource))]
            assert elections[0].status.candidate_id == f"{resource}/le_0000000000"
            await soon(delete_election(zk, resource))
            await resign(*elections)
            await soon(create_election(zk, resource))
        assert all(earlier < later for earlier, later in pairwise(tokens))


class TestObserveLeader:
    async def test_the_leader_now_and_each_change(
        self, zk: aiozk.ZKClient, other: aiozk.ZKClient, resource: str
    ) -> None:
        observed = observe_leader(other, resource)
        assert await soon(anext(observed)) is None
        one, two, three = await stand(zk, resource, "one", "two", "three")
        assert name_of(await soon(anext(observed))) == "one"
        await soon(two.resign())
        await soon(one.resign())
        assert name_of(await soon(anext(observed))) == "three"
        change = asyncio.create_task(soon(anext(observed)))
        await soon(three.resign())
        assert await change is None
        await nothing_left_on(other)

    async def test_a_cancelled_read_loses_nothing(self, zk: aiozk.ZKClient, resource: str) -> None:
        one, two = await stand(zk, resource, "one", "two")
        observed = observe_leader(zk, resource)
        await soon(anext(observed))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(observed)
        await soon(one.resign())
        assert name_of(await soon(anext(observed))) == "two"
        await soon(two.resign())
        await nothing_left_on(zk)

    async def test_break_leaves_nothing(self, zk: aiozk.ZKClient, resource: str) -> None:
        async for leader in observe_leader(zk, resource):
            assert leader is None
            break
        await nothing_left_on(zk)

    async def test_the_election_is_deleted_and_made_again(self, zk: aiozk.ZKClient, resource: str) -> None:
        (one,) = await stand(zk, resource, "one")
        observed = observe_leader(zk, resource)
        assert name_of(await soon(anext(observed))) == "one"
        await soon(delete_election(zk, resource))
        await soon(one.resign())
        assert await soon(anext(observed)) is None
        change = asyncio.create_task(soon(anext(observed)))
        await soon(create_election(zk, resource))
        (again,) = await stand(zk, resource, "again")
        assert name_of(await change) == "again"
        assert again.status.candidate_id == f"{resource}/le_0000000000"
        await soon(again.resign())


def name_of(leader: Candidate | None) -> str | None:
    return leader.name if leader is not None else None


async def nothing_left_on(zk: aiozk.ZKClient) -> None:
    """Removing a watch takes one more round trip, in the background."""
    await eventually(lambda: not background_tasks())
    await sync(zk)
    assert not watch_callbacks(zk)


STRANGERS = ["_c_5d1f-lock-0000000001", "le_x", "leader", "le_12"]


class TestStrangers:
    async def test_a_join_ignores_and_keeps_them(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        for name in STRANGERS:
            await wire.create(f"{resource}/{name}", b"theirs")
        await sync(zk)
        leader, follower = await stand(zk, resource, "leader", "follower")
        assert leader.is_leader
        assert follower.status.now_following == leader.status.candidate_id
        await soon(leader.resign())
        await eventually(lambda: follower.is_leader)
        await soon(follower.resign())
        assert await children(wire, resource) == sorted(STRANGERS)
        assert await soon(list_candidates(zk, resource)) == []
        assert await soon(get_leader(zk, resource)) is None

    async def test_delete_refuses_and_loses_nothing(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        leader, follower = await stand(zk, resource, "leader", "follower")
        for name in STRANGERS:
            await wire.create(f"{resource}/{name}", b"theirs")
        before = await children(wire, resource)
        with pytest.raises(ElectionError, match="le_x") as refused:
            await soon(delete_election(zk, resource))
        assert all(name in str(refused.value) for name in STRANGERS)
        assert await children(wire, resource) == before
        assert leader.is_leader
        assert follower.status.role is Role.FOLLOWER
        await resign(leader, follower)

    async def test_an_end_leaves_them_alone(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        (leader,) = await stand(zk, resource, "leader")
        await wire.create(f"{resource}/theirs", b"theirs")
        await soon(leader.end())
        assert await children(wire, resource) == ["theirs"]


class TestEndAndDelete:
    @pytest.mark.both_loops
    async def test_end_is_for_everybody_and_the_node_is_used_again(
        self, zk: aiozk.ZKClient, other: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        elections = await stand(zk, resource, "one", "two") + await stand(other, resource, "three")
        statuses = [election.statuses() for election in elections]
        await soon(elections[1].end())
        for reader in statuses:
            assert isinstance((await rest_of(reader))[-1].error, ElectionOverError)
        assert await children(wire, resource) == []
        with pytest.raises(NotStandingError):
            await elections[1].end()
        await resign(*elections)
        (again,) = await stand(zk, resource, "again")
        assert again.is_leader
        await soon(again.resign())

    @pytest.mark.parametrize("work", [end_election, delete_election])
    async def test_twice_and_from_two_clients_at_once(
        self, zk: aiozk.ZKClient, other: aiozk.ZKClient, wire: WireClient, resource: str, work: Work
    ) -> None:
        elections = await stand(zk, resource, *(f"number {number}" for number in range(20)))
        await soon(asyncio.gather(work(zk, resource), work(other, resource), work(zk, resource)))
        assert await is_there(wire, resource) == (work is end_election)
        await soon(work(other, resource))
        for election in elections:  # each asks ZooKeeper once more before it believes that it is over
            assert isinstance((await rest_of(election.statuses()))[-1].error, ElectionOverError)
        if work is end_election:
            assert await children(wire, resource) == []
        await resign(*elections)

    @pytest.mark.parametrize("has_followed", [False, True])
    async def test_as_a_whole_before_a_candidate_hears_of_its_nomination(
        self,
        ensemble: SharedEnsemble,
        proxy: Proxy,
        connect: Connect,
        zk: aiozk.ZKClient,
        resource: str,
        *,
        has_followed: bool,
    ) -> None:
        """`DONE` is gone again when the candidate looks: what it hears of that is the event of its watch."""
        leader, follower = await stand(zk, resource, "leader", "follower")
        late = await connect(proxy.address)
        if has_followed:
            await resign(*await stand(late, resource, "late"))
        nominated = proxy.on_reply(lambda frame: frame.opcode == OpCode.CREATE2, Action.HOLD)
        election = AsyncElection(late, resource, "late")
        statuses = election.statuses()
        starting = asyncio.create_task(election.start())
        await soon(nominated)
        await eventually(lambda: is_watched(ensemble.servers[0], f"{resource}/DONE", late))
        await soon(end_election(zk, resource, force_after=0))
        nominated.release()
        await asyncio.gather(starting, return_exceptions=True)  # it may have led for a moment
        assert isinstance((await rest_of(statuses))[-1].error, ElectionOverError)
        await resign(election, leader, follower)

    @pytest.mark.parametrize("work", [end_election, delete_election])
    async def test_after_a_crash_half_way(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str, work: Work
    ) -> None:
        """`DONE` is there, some of the candidates are gone, others never heard."""
        elections = await stand(zk, resource, "one", "two", "three")
        await wire.sync()
        await wire.create(f"{resource}/le_", b"a process that died", ephemeral=True, sequential=True)
        await wire.multi([create_operation(f"{resource}/DONE", b"done"), delete_operation(f"{resource}/le_0000000001")])
        with pytest.raises(ElectionOverError):
            await soon(create_election(zk, resource))
        late = AsyncElection(zk, resource, "late")
        with pytest.raises(ElectionOverError):
            await soon(late.start())
        await soon(work(zk, resource, force_after=0))
        assert await is_there(wire, resource) == (work is end_election)
        if work is end_election:
            assert await children(wire, resource) == []
        for election in elections:
            assert isinstance((await rest_of(election.statuses()))[-1].error, ElectionOverError)
        await resign(*elections, late)

    async def test_many_candidates_are_more_than_one_transaction(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        for _ in range(12):
            await asyncio.gather(
                *(wire.create(f"{resource}/le_", b"x", ephemeral=True, sequential=True) for _ in range(100))
            )
        await soon(delete_election(zk, resource, force_after=0))
        assert not await is_there(wire, resource)


class TestCreateElection:
    async def test_it_makes_parents_and_is_there_to_stay(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        path = f"{resource}/some/where/election"
        await soon(create_election(zk, path))
        await wire.sync()
        for made in (f"{resource}/some", f"{resource}/some/where", path):
            data, stat = await wire.get(made)
            assert (data, stat.ephemeral_owner, stat.version) == (b"", 0, 0)

    async def test_already_there_is_fine_and_untouched(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        (leader,) = await stand(zk, resource, "leader")
        before = (await wire.get(resource))[1].czxid
        await soon(asyncio.gather(*(create_election(zk, resource) for _ in range(3))))
        assert (await wire.get(resource))[1].czxid == before
        assert leader.is_leader
        await soon(leader.resign())

    async def test_made_by_many_at_once(
        self, zk: aiozk.ZKClient, other: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        path = f"{resource}/a/b/c/election"
        await soon(asyncio.gather(*(create_election(client, path) for client in [zk, other] * 5)))
        assert await is_there(wire, path)

    async def test_over_is_over(self, zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
        await wire.create(f"{resource}/DONE", b"done")
        await sync(zk)
        with pytest.raises(ElectionOverError, match="delete_election"):
            await soon(create_election(zk, resource))

    @pytest.mark.parametrize("below", ["", "/election", "/some/where/election"])
    async def test_an_ephemeral_znode_in_its_place_or_above_it(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str, below: str
    ) -> None:
        await wire.create(f"{resource}/ephemeral", ephemeral=True)
        await sync(zk)
        with pytest.raises(ElectionError, match="ephemeral"):
            await soon(create_election(zk, f"{resource}/ephemeral{below}"))

    async def test_nobody_stands_under_an_ephemeral_znode(
        self, zk: aiozk.ZKClient, wire: WireClient, resource: str
    ) -> None:
        await wire.create(f"{resource}/ephemeral", ephemeral=True)
        await sync(zk)
        election = AsyncElection(zk, f"{resource}/ephemeral", "one")
        with pytest.raises(ElectionError, match="ephemeral"):
            await soon(election.start())
        await soon(election.resign())


async def test_a_persistent_znode_with_a_candidates_name_is_nobodys_to_delete(
    zk: aiozk.ZKClient, wire: WireClient, resource: str
) -> None:
    """Somebody's data: neither ending nor deleting touches it, nor anything else."""
    somebodys = await wire.create(f"{resource}/le_0000000007", b"data")
    async with AsyncElection(zk, resource) as election:
        for operation in (delete_election, end_election):
            with pytest.raises(ElectionError, match="le_0000000007"):
                await soon(operation(zk, resource))
        assert await is_there(wire, somebodys)
        own = str(election.status.candidate_id).rpartition("/")[2]
        assert sorted(await wire.get_children(resource)) == sorted(["le_0000000007", own])
