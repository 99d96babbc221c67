"""Handing over: the place is given away when the work has stopped, leadership moves once, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    CandidateDeletedError,
    ElectionOverError,
    HandedOverError,
    Leadership,
    LeadershipLostError,
    NotStandingError,
    ResignError,
    Role,
    TransferError,
    create_election,
    delete_election,
    depose,
    end_election,
    get_leader,
    list_candidates,
    transfer_leadership,
)
from golea_async.testing import MemoryZooKeeper, OpCode
from tests.support.elections import eventually, soon
from tests.support.golea import GoLeaCandidate
from tests.support.interruption import INTERRUPTIONS, by_task
from tests.support.leading import KINDS, client_of
from tests.support.leftovers import background_to_end
from tests.support.wire import WireClient

RESOURCE = "/election"
STEP_DOWN = f"{RESOURCE}/step_down"
T = 2.0

NewClient = Callable[[], Awaitable[aiozk.ZKClient]]
both_kinds = pytest.mark.parametrize("kind", KINDS, indirect=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "golea_async")


@pytest.fixture
async def new_client(zookeeper: MemoryZooKeeper, kind: str) -> AsyncIterator[NewClient]:
    async with AsyncExitStack() as stack:

        async def connect() -> aiozk.ZKClient:
            return await stack.enter_async_context(client_of(kind, zookeeper.hosts, T))

        await create_election(await connect(), RESOURCE)
        yield connect


async def standing(new_client: NewClient, *names: str) -> list[AsyncElection]:
    """So many candidates, each on a client of its own, in this order."""
    elections = [AsyncElection(await new_client(), RESOURCE, name) for name in names]
    for election in elections:
        await soon(election.start())
    return elections


async def resign_all(elections: list[AsyncElection]) -> None:
    await soon(asyncio.gather(*(election.resign() for election in elections)))


def order(zookeeper: MemoryZooKeeper) -> list[str]:
    """The names of those who stand."""
    znodes = sorted((path, data) for path, data in zookeeper.znodes().items() if path.startswith(f"{RESOURCE}/le_"))
    return [(data or b"").decode() for _, data in znodes]


class Worker:
    """The work of one replica; it takes note of when it begins and stops."""

    def __init__(self, election: AsyncElection, log: list[str], *, stops: asyncio.Event | None = None) -> None:
        self.election = election
        self.tokens: list[int] = []
        self._log = log
        self._stops = stops

    async def __call__(self, leadership: Leadership) -> None:
        self._log.append(f"{self.election.name} begins")
        self.tokens.append(leadership.fencing_token)
        try:
            await asyncio.Event().wait()
        finally:
            while self._stops is not None and not self._stops.is_set():  # whoever cancels it
                with suppress(asyncio.CancelledError):
                    await self._stops.wait()
            self._log.append(f"{self.election.name} stops")


class TestSteppingDown:
    @both_kinds
    async def test_the_work_stops_before_the_next_one_leads(
        self, zookeeper: MemoryZooKeeper, new_client: NewClient
    ) -> None:
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        workers = [Worker(election, log, stops=stops) for election in elections]
        running = [asyncio.create_task(each.election.run(each)) for each in workers]
        await eventually(lambda: log == ["a begins"])
        stepping = asyncio.create_task(elections[0].step_down())
        await eventually(lambda: not elections[0].is_leader)
        await soon(elections[1]._zk.exists("/"))
        assert order(zookeeper) == ["a", "b"]
        stops.set()
        await soon(stepping)
        await eventually(lambda: log == ["a begins", "a stops", "b begins"])
        assert order(zookeeper) == ["b", "a"]
        await eventually(lambda: elections[0].status.role is Role.FOLLOWER)
        await soon(elections[1].step_down())
        await eventually(lambda: log[-2:] == ["b stops", "a begins"])
        assert workers[0].tokens == sorted(set(workers[0].tokens))
        for task in running:
            task.cancel()
        await soon(asyncio.gather(*running, return_exceptions=True))
        assert order(zookeeper) == []

    async def test_a_body_is_told_why(self, new_client: NewClient) -> None:
        (election,) = await standing(new_client, "alone")
        statuses = election.statuses()
        entered = asyncio.Event()

        async def body() -> None:
            async with election.leadership():
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(body())
        await soon(entered.wait())
        token = (await soon(anext(statuses))).fencing_token
        await soon(election.step_down())
        with pytest.raises(LeadershipLostError) as lost:
            await soon(task)
        assert isinstance(lost.value.__cause__, HandedOverError)
        assert lost.value.__cause__.by is None
        status = await soon(anext(statuses))
        assert (status.role, status.error) == (Role.CANDIDATE, None)
        status = await soon(anext(statuses))
        assert status.role is Role.LEADER
        assert status.fencing_token is not None
        assert token is not None
        assert status.fencing_token > token
        await soon(election.resign())

    async def test_work_that_does_not_stop_in_time(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
        await eventually(lambda: bool(log))
        with pytest.raises(ResignError, match="has not stopped in time"):
            await soon(elections[0].step_down(timeout=0.01))
        assert order(zookeeper) == ["a", "b"]
        assert not elections[0].is_leader
        again = asyncio.create_task(elections[0].step_down(timeout=None))
        stops.set()
        await soon(again)
        await eventually(lambda: elections[1].is_leader)
        running.cancel()
        await asyncio.wait([running])
        await resign_all(elections)

    async def test_by_the_body_itself(self, new_client: NewClient) -> None:
        """It goes on, and nobody leads beside it: not even the same candidate again."""
        (election,) = await standing(new_client, "alone")
        async with election.leadership() as leadership:
            await soon(election.step_down())
            assert not leadership.is_valid
            await soon(election._zk.exists("/"))
            assert not election.is_leader
        await eventually(lambda: election.is_leader)
        await soon(election.resign())

    async def test_by_a_child_of_the_body(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        elections = await standing(new_client, "a", "b")
        with pytest.raises(LeadershipLostError):
            async with elections[0].leadership(), asyncio.TaskGroup() as group:
                group.create_task(elections[0].step_down())
        await eventually(lambda: elections[1].is_leader)
        await eventually(lambda: order(zookeeper) == ["b", "a"])
        await resign_all(elections)

    async def test_who_does_not_stand(self, new_client: NewClient) -> None:
        election = AsyncElection(await new_client(), RESOURCE)
        with pytest.raises(NotStandingError):
            await election.step_down()
        await soon(election.start())
        await soon(election.resign())
        with pytest.raises(NotStandingError):
            await election.step_down()

    @both_kinds
    @pytest.mark.parametrize("fault", ["lost reply", "cut"])
    async def test_the_reply_is_lost(self, zookeeper: MemoryZooKeeper, new_client: NewClient, fault: str) -> None:
        elections = await standing(new_client, "a", "b")
        session_id = elections[0]._zk.session.session_id
        if fault == "lost reply":
            zookeeper.lose_reply(OpCode.MULTI, session_id=session_id)
            await soon(elections[0].step_down())
        else:
            with zookeeper.cut(session_id, replies=False):  # it was sent, and never came
                stepping = asyncio.create_task(elections[0].step_down())
                await asyncio.sleep(0)
                zookeeper.drop_connections(session_id)
            await soon(stepping)
        await eventually(lambda: order(zookeeper) == ["b", "a"])
        await eventually(lambda: elections[1].is_leader)
        await eventually(lambda: elections[0].status.role is Role.FOLLOWER)
        await resign_all(elections)
        assert order(zookeeper) == []

    async def test_the_session_is_lost(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        elections = await standing(new_client, "a", "b")
        session_id = elections[0]._zk.session.session_id
        with zookeeper.cut(session_id):
            stepping = asyncio.create_task(elections[0].step_down(timeout=None))
            await asyncio.sleep(0)
            zookeeper.expire_session(session_id)
        await soon(stepping)  # nominated anew it is at the end
        assert order(zookeeper) == ["b", "a"]
        await resign_all(elections)

    @pytest.mark.parametrize("interrupted", INTERRUPTIONS)
    async def test_cancelled_at_every_step(
        self, zookeeper: MemoryZooKeeper, new_client: NewClient, interrupted: Any
    ) -> None:
        """A cancellation is held back until it is through."""
        (election,) = await standing(new_client, "alone")
        is_working = False

        async def work(_: Leadership) -> None:
            nonlocal is_working
            is_working = True
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                is_working = False

        running = asyncio.create_task(election.run(work))
        steps, has_fired = 0, True
        while has_fired:
            before = election.status.candidate_id
            await eventually(lambda: is_working)
            has_fired = await soon(interrupted(election.step_down, steps))
            assert election.status.role is not Role.NONE
            (after,) = (path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/"))
            assert after != before
            steps += 1
        assert steps > 5
        running.cancel()
        await asyncio.wait([running])


class TestTransferring:
    @both_kinds
    async def test_to_the_last_of_four(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        """In one move: none of the others leads for a moment."""
        elections = await standing(new_client, "a", "b", "c", "d")
        log: list[str] = []
        running = [asyncio.create_task(each.run(Worker(each, log))) for each in elections]
        await eventually(lambda: bool(log))
        leader = await soon(transfer_leadership(await new_client(), RESOURCE, "d"))
        assert (leader.name, leader.id) == ("d", elections[3].status.candidate_id)
        await eventually(lambda: elections[3].is_leader)
        assert elections[3].status.fencing_token == leader.fencing_token
        await eventually(lambda: log == ["a begins", "a stops", "d begins"])
        names = order(zookeeper)
        assert (names[0], names[-1], sorted(names[1:3])) == ("d", "a", ["b", "c"])
        assert STEP_DOWN not in zookeeper.znodes()
        for task in running:
            task.cancel()
        await soon(asyncio.gather(*running, return_exceptions=True))

    async def test_to_whoever_is_next(self, new_client: NewClient) -> None:
        elections, operator = await standing(new_client, "a", "b", "c"), await new_client()
        statuses = elections[0].statuses()
        assert (await soon(anext(statuses))).role is Role.LEADER
        assert (await soon(transfer_leadership(operator, RESOURCE))).name == "b"
        status = await soon(anext(statuses))
        assert status.role is Role.CANDIDATE
        assert isinstance(status.error, HandedOverError)
        assert status.error.by
        assert (await soon(transfer_leadership(operator, RESOURCE, elections[0].status.candidate_id))).name == "a"
        assert (await soon(transfer_leadership(operator, RESOURCE, "a"))).name == "a"  # at once
        await resign_all(elections)

    async def test_what_cannot_be(self, new_client: NewClient) -> None:
        operator = await new_client()
        with pytest.raises(TransferError, match="nobody stands"):
            await soon(transfer_leadership(operator, RESOURCE))
        elections = await standing(new_client, "a")
        with pytest.raises(TransferError, match="nobody else stands"):
            await soon(transfer_leadership(operator, RESOURCE))
        elections += await standing(new_client, "twin", "twin")
        with pytest.raises(ValueError, match="le_0000000002") as ambiguous:
            await soon(transfer_leadership(operator, RESOURCE, "twin"))
        assert str(elections[1].status.candidate_id) in str(ambiguous.value)
        with pytest.raises(TransferError, match="no candidate 'nobody' stands"):
            await soon(transfer_leadership(operator, RESOURCE, "nobody"))
        with pytest.raises(TypeError):
            await transfer_leadership(operator, RESOURCE, 7)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="empty"):
            await transfer_leadership(operator, RESOURCE, "")
        assert elections[0].is_leader
        await resign_all(elections)

    async def test_work_that_does_not_stop(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        """Leadership stays, with its token, though nobody leads until that work has stopped."""
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        worker = Worker(elections[0], log, stops=stops)
        running = asyncio.create_task(elections[0].run(worker))
        await eventually(lambda: bool(log))
        transferring = asyncio.create_task(transfer_leadership(await new_client(), RESOURCE, timeout=T))
        await eventually(lambda: not elections[0].is_leader)
        with pytest.raises(TransferError, match=r"'a' \(le_0000000000\) did not step down in time"):
            await soon(transferring)
        assert order(zookeeper) == ["a", "b"]
        assert not elections[0].is_leader
        stops.set()
        await eventually(lambda: log == ["a begins", "a stops", "a begins"])
        assert worker.tokens[0] == worker.tokens[1]
        running.cancel()
        await asyncio.wait([running])
        await resign_all(elections)

    @pytest.mark.parametrize("gone", ["target", "operator"])
    async def test_meanwhile_one_is_gone(self, zookeeper: MemoryZooKeeper, new_client: NewClient, gone: str) -> None:
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        worker, operator = Worker(elections[0], log, stops=stops), await new_client()
        running = asyncio.create_task(elections[0].run(worker))
        await eventually(lambda: bool(log))
        transferring = asyncio.create_task(transfer_leadership(operator, RESOURCE, "b", timeout=20))
        await eventually(lambda: not elections[0].is_leader)
        if gone == "target":
            await soon(elections[1].resign())
            with pytest.raises(TransferError, match="who was to lead has left"):
                await soon(transferring)
        else:
            with zookeeper.cut(operator.session.session_id):
                zookeeper.expire_session(operator.session.session_id)
                transferring.cancel()
                await asyncio.wait([transferring])
        stops.set()
        await eventually(lambda: log[-1] == "a begins")
        assert set(worker.tokens) == {worker.tokens[0]}
        await eventually(lambda: STEP_DOWN not in zookeeper.znodes())
        running.cancel()
        await asyncio.wait([running])
        await resign_all(elections[1:])

    async def test_two_at_once(self, new_client: NewClient) -> None:
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
        await eventually(lambda: bool(log))
        operator = await new_client()  # also two of one program
        first = asyncio.create_task(transfer_leadership(operator, RESOURCE))
        await eventually(lambda: not elections[0].is_leader)
        with pytest.raises(TransferError, match="already"):
            await soon(transfer_leadership(operator, RESOURCE))
        with pytest.raises(TransferError, match="already"):
            await soon(depose(await new_client(), str(elections[0].status.candidate_id)))
        stops.set()
        assert (await soon(first)).name == "b"
        running.cancel()
        await asyncio.wait([running])
        await resign_all(elections)

    async def test_a_candidates_replies_are_lost(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        elections = await standing(new_client, "a", "b", "c")
        for election in elections:
            for opcode in (OpCode.MULTI, OpCode.GET_DATA):
                zookeeper.lose_reply(opcode, session_id=election._zk.session.session_id)
        assert (await soon(transfer_leadership(await new_client(), RESOURCE, "c"))).name == "c"
        await eventually(lambda: elections[2].is_leader)
        await resign_all(elections)
        assert order(zookeeper) == []

    async def test_the_operators_session_is_lost(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        """It asks again, in its next session."""
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
        await eventually(lambda: bool(log))
        operator = await new_client()
        transferring = asyncio.create_task(transfer_leadership(operator, RESOURCE, "b"))
        await eventually(lambda: not elections[0].is_leader)
        zookeeper.expire_session(operator.session.session_id)
        stops.set()
        assert (await soon(transferring)).name == "b"
        running.cancel()
        await asyncio.wait([running])
        await resign_all(elections)

    @pytest.mark.parametrize("end", [end_election, delete_election])
    async def test_the_election_is_ended_meanwhile(
        self, zookeeper: MemoryZooKeeper, new_client: NewClient, end: Any
    ) -> None:
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
        await eventually(lambda: bool(log))
        transferring = asyncio.create_task(transfer_leadership(await new_client(), RESOURCE))
        await eventually(lambda: not elections[0].is_leader)
        ending = asyncio.create_task(end(await new_client(), RESOURCE))
        with pytest.raises(ElectionOverError):
            await soon(transferring)
        stops.set()
        await soon(ending)
        with pytest.raises(ElectionOverError):
            await soon(running)
        assert [path for path in zookeeper.znodes() if path.startswith(f"{RESOURCE}/")] == []

    async def test_a_child_that_an_operator_has_left_behind(
        self, zookeeper: MemoryZooKeeper, wire: WireClient, new_client: NewClient
    ) -> None:
        await wire.create(STEP_DOWN, b"of something else")
        (election,) = await standing(new_client, "a")
        assert election.is_leader
        with pytest.raises(TransferError, match="already"):
            await soon(depose(await new_client(), str(election.status.candidate_id)))
        await soon(delete_election(await new_client(), RESOURCE))
        assert RESOURCE not in zookeeper.znodes()

    async def test_from_the_leaders_own_work(self, new_client: NewClient) -> None:
        """The work is stopped for it, and the rest is done in the background."""
        elections = await standing(new_client, "a", "b")
        with pytest.raises(LeadershipLostError) as lost:
            async with elections[0].leadership():
                await transfer_leadership(elections[0]._zk, RESOURCE)
        assert isinstance(lost.value.__cause__, HandedOverError)
        await eventually(lambda: elections[1].is_leader)
        await resign_all(elections)

    async def test_cancelled_at_every_step(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        """It has happened or not, and nothing of the request is left."""
        elections, operator = await standing(new_client, "a", "b"), await new_client()
        stand_by = [task for task in asyncio.all_tasks() if task.get_name().startswith("golea_async")]
        steps, has_fired = 0, True
        while has_fired:
            has_fired = await soon(by_task(lambda: transfer_leadership(operator, RESOURCE), steps))
            await soon(background_to_end(stand_by))
            assert STEP_DOWN not in zookeeper.znodes()
            await eventually(lambda: sum(election.is_leader for election in elections) == 1)
            await eventually(lambda: sum(election.status.role is Role.FOLLOWER for election in elections) == 1)
            steps += 1
        assert steps > 3
        await resign_all(elections)
        assert order(zookeeper) == []


class TestBesideGoLea:
    @pytest.fixture
    async def golea(self, zookeeper: MemoryZooKeeper) -> AsyncIterator[Callable[[], Awaitable[GoLeaCandidate]]]:
        async with AsyncExitStack() as stack:

            async def stand() -> GoLeaCandidate:
                zk = await stack.enter_async_context(await WireClient.connect(zookeeper.servers[0].port))
                candidate = await GoLeaCandidate.new_election(zk, RESOURCE, "a Go process")
                await soon(candidate.elect_leader())
                stack.push_async_callback(candidate.resign)
                return candidate

            yield stand

    async def test_one_before_the_target(
        self, zookeeper: MemoryZooKeeper, new_client: NewClient, golea: Callable[[], Awaitable[GoLeaCandidate]]
    ) -> None:
        first = await standing(new_client, "a")
        go = await golea()
        last = await standing(new_client, "b")
        with pytest.raises(TransferError, match="'a Go process'"):
            await soon(transfer_leadership(await new_client(), RESOURCE, "b", timeout=0.2))
        assert first[0].is_leader
        assert STEP_DOWN not in zookeeper.znodes()
        leader = await soon(transfer_leadership(await new_client(), RESOURCE, go.candidate_id))
        assert leader.name == "a Go process"
        with pytest.raises(TransferError, match="'a Go process'"):
            await soon(transfer_leadership(await new_client(), RESOURCE, timeout=0.2))
        await resign_all([*first, *last])

    async def test_one_behind_the_target(
        self, new_client: NewClient, golea: Callable[[], Awaitable[GoLeaCandidate]]
    ) -> None:
        elections = await standing(new_client, "a", "b")
        await golea()
        assert (await soon(transfer_leadership(await new_client(), RESOURCE, "b"))).name == "b"
        await resign_all(elections)

    async def test_one_that_is_to_leave(
        self, zookeeper: MemoryZooKeeper, new_client: NewClient, golea: Callable[[], Awaitable[GoLeaCandidate]]
    ) -> None:
        go, operator = await golea(), await new_client()
        with pytest.raises(TransferError, match="force=True"):
            await soon(depose(operator, go.candidate_id, timeout=0.1))
        await soon(depose(operator, go.candidate_id, force=True))
        assert order(zookeeper) == []


class TestDeposing:
    @both_kinds
    async def test_the_work_stops_first(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
        await eventually(lambda: bool(log))
        operator = await new_client()
        deposing = asyncio.create_task(depose(operator, str(elections[0].status.candidate_id)))
        await eventually(lambda: not elections[0].is_leader)
        assert order(zookeeper) == ["a", "b"]
        stops.set()
        await soon(deposing)
        with pytest.raises(CandidateDeletedError, match="was deposed by"):
            await soon(running)
        await eventually(lambda: elections[1].is_leader)
        await soon(elections[0].start())  # one object may stand again
        assert order(zookeeper) == ["b", "a"]
        await soon(depose(operator, f"{RESOURCE}/le_0000000000"))  # gone is fine
        await resign_all(elections)

    @both_kinds
    async def test_one_that_is_about_to_step_down(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        """It leaves, also where it has gone to the end of the line meanwhile."""
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
        await eventually(lambda: bool(log))
        own = str(elections[0].status.candidate_id)
        stepping_down = asyncio.create_task(elections[0].step_down(timeout=None))
        await eventually(lambda: not elections[0].is_leader)
        deposing = asyncio.create_task(depose(await new_client(), own, timeout=None))
        await eventually(lambda: STEP_DOWN in zookeeper.znodes())
        stops.set()
        await soon(deposing)
        assert order(zookeeper) == ["b"]
        with pytest.raises(CandidateDeletedError, match="was deposed by"):
            await soon(running)
        # It may have moved before it had heard of that, and then was asked again.
        with suppress(CandidateDeletedError):
            await soon(stepping_down)
        await resign_all(elections)

    async def test_work_that_does_not_stop(self, new_client: NewClient) -> None:
        elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
        running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
        await eventually(lambda: bool(log))
        operator, own = await new_client(), str(elections[0].status.candidate_id)
        with pytest.raises(TransferError, match="'a'"):
            await soon(depose(operator, own, timeout=0.1))
        await soon(depose(operator, own, force=True))
        await eventually(lambda: elections[1].is_leader)
        stops.set()
        with pytest.raises(CandidateDeletedError):
            await soon(running)
        await resign_all(elections)

    async def test_one_that_is_cut_off(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        """It leaves with its session."""
        elections, operator = await standing(new_client, "a", "b"), await new_client()
        with zookeeper.cut(elections[0]._zk.session.session_id):
            await soon(depose(operator, str(elections[0].status.candidate_id)))
        await eventually(lambda: elections[1].is_leader)
        await resign_all(elections)

    async def test_a_persistent_znode(self, wire: WireClient, new_client: NewClient) -> None:
        await wire.create(f"{RESOURCE}/le_0000000000", b"restored")
        operator, (election,) = await new_client(), await standing(new_client, "a")
        with pytest.raises(TransferError, match="force=True"):
            await soon(transfer_leadership(operator, RESOURCE, "a"))
        with pytest.raises(TransferError, match="force=True"):
            await soon(depose(operator, f"{RESOURCE}/le_0000000000"))
        await soon(depose(operator, f"{RESOURCE}/le_0000000000", force=True))
        await eventually(lambda: election.is_leader)
        await soon(election.resign())


async def test_many_candidates_of_one_client(new_client: NewClient) -> None:
    """They share the watch, and each of them answers."""
    zk = await new_client()
    elections = [AsyncElection(zk, RESOURCE, f"{number}") for number in range(5)]
    for election in elections:
        await soon(election.start())
    await soon(transfer_leadership(await new_client(), RESOURCE, "4"))
    await eventually(lambda: elections[4].is_leader)
    assert [each.name for each in await soon(list_candidates(zk, RESOURCE))][-1] == "0"
    await resign_all(elections)
    await soon(background_to_end())
    assert await soon(get_leader(zk, RESOURCE)) is None


async def test_a_target_that_goes_just_before_it_is_watched(zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
    """The operator hears of it all the same, without the time limit's help."""
    elections, operator = await standing(new_client, "a", "b", "c"), await new_client()
    for _ in range(3):
        transferring = asyncio.create_task(transfer_leadership(operator, RESOURCE, "c", timeout=None))
        await eventually(lambda task=transferring: STEP_DOWN in zookeeper.znodes() or task.done())  # type: ignore[misc]
        await soon(asyncio.gather(*(each.step_down() for each in elections if not each.is_leader)))
        with suppress(TransferError):  # or it was faster
            await soon(transferring)
    await resign_all(elections)


async def test_an_operators_client_comes_to_lead_meanwhile(zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
    """Its lease is kept alive, though its background had begun when nobody stood."""
    elections, log, stops = await standing(new_client, "a", "b"), list[str](), asyncio.Event()
    running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
    await eventually(lambda: bool(log))
    operator, clock = await new_client(), asyncio.get_running_loop().time
    transferring = asyncio.create_task(transfer_leadership(operator, RESOURCE, "b", timeout=None))
    await eventually(lambda: STEP_DOWN in zookeeper.znodes())
    await create_election(operator, "/other")
    async with AsyncElection(operator, "/other", "operator") as candidate:
        leadership = await soon(candidate.wait_for_leadership())
        deadline = clock() + leadership.remaining
        await eventually(lambda: leadership.is_valid and clock() + leadership.remaining > deadline + T / 16)
    stops.set()
    await soon(transferring)
    running.cancel()
    await soon(asyncio.gather(running, return_exceptions=True))
    await resign_all(elections)


@both_kinds
async def test_who_steps_down_is_listed_all_the_time(new_client: NewClient) -> None:
    elections, operator = await standing(new_client, "a", "b", "c"), await new_client()
    reads = [0]

    async def read() -> None:
        for _ in range(30):
            names = sorted(each.name for each in await list_candidates(operator, RESOURCE))
            assert names == ["a", "b", "c"]
            reads[0] += 1

    reading = asyncio.create_task(read())
    while not reading.done():
        await soon(elections[reads[0] % 3].step_down())
    await reading
    await resign_all(elections)


@pytest.mark.parametrize("by", ["name", "id"])
async def test_a_target_that_steps_down_meanwhile_leads_all_the_same(new_client: NewClient, by: str) -> None:
    elections, log, stops = await standing(new_client, "a", "b", "c"), list[str](), asyncio.Event()
    running = asyncio.create_task(elections[0].run(Worker(elections[0], log, stops=stops)))
    await eventually(lambda: bool(log))
    to = "b" if by == "name" else str(elections[1].status.candidate_id)
    transferring = asyncio.create_task(transfer_leadership(await new_client(), RESOURCE, to, timeout=None))
    await eventually(lambda: not elections[0].is_leader)
    await soon(elections[1].step_down())
    stops.set()
    assert (await soon(transferring)).name == "b"
    await eventually(lambda: elections[1].is_leader)
    running.cancel()
    await asyncio.wait([running])
    await resign_all(elections)
