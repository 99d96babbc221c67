"""Hand-overs, on both kinds of client, while something dies, hangs, is lost or comes too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

import aiozk
import pytest

from golea_async import (
    AsyncElection,
    Candidate,
    CandidateDeletedError,
    ElectionError,
    Leadership,
    Role,
    TransferError,
    create_election,
    depose,
    list_candidates,
    transfer_leadership,
)
from golea_async.testing import MemoryZooKeeper
from tests.ensemble.test_lost_replies import LOSSES, lose_nth
from tests.support.elections import eventually, soon
from tests.support.leading import KINDS, client_of
from tests.support.proxy import Action, Frame, Proxy
from tests.support.wire import WATCH_XID, OpCode

RESOURCE = "/election"
STEP_DOWN = f"{RESOURCE}/step_down"
T = 2.0
LONG = 10.0
"""For a candidate that is to wait for an answer for as long as an operator's time limit, and longer."""

NewClient = Callable[..., Awaitable[aiozk.ZKClient]]


@pytest.fixture(params=KINDS)
async def new_client(zookeeper: MemoryZooKeeper, request: pytest.FixtureRequest) -> AsyncIterator[NewClient]:
    """`await new_client(hosts)`: of the candidates and, without a proxy, of the operator."""
    async with AsyncExitStack() as stack:

        async def connect(hosts: str = zookeeper.hosts, session_timeout: float = T) -> aiozk.ZKClient:
            return await stack.enter_async_context(client_of(request.param, hosts, session_timeout))

        await create_election(await connect(), RESOURCE)
        yield connect


@asynccontextmanager
async def standing(*clients: aiozk.ZKClient) -> AsyncIterator[list[AsyncElection]]:
    """Candidates named a, b, c, in this order; the first leads."""
    elections = [AsyncElection(zk, RESOURCE, name) for zk, name in zip(clients, "abc", strict=False)]
    for election in elections:
        await soon(election.start())
    await soon(elections[0].wait_for_leadership())
    try:
        yield elections
    finally:
        await soon(asyncio.gather(*(election.resign() for election in elections), return_exceptions=True))


async def one_leads(*elections: AsyncElection) -> AsyncElection:
    """Wait until one leads and all others follow; return it."""
    roles = sorted([Role.LEADER, *[Role.FOLLOWER] * (len(elections) - 1)])
    await eventually(lambda: sorted(each.status.role for each in elections) == roles)
    return next(each for each in elections if each.status.role is Role.LEADER)


def is_about_the_request(frame: Frame) -> bool:
    return b"/step_down" in frame.payload


@pytest.mark.parametrize("what", LOSSES)
async def test_the_operator_is_killed_at_each_step(
    zookeeper: MemoryZooKeeper, new_client: NewClient, what: str
) -> None:
    """Leadership moves, or it does not; when its session is over nothing of the request is left."""
    async with standing(await new_client(), await new_client()) as elections:
        for number in count():
            async with Proxy(zookeeper.servers[0].port) as way, client_of("golea_async", way.address, T) as operator:
                session_id, loss = operator.session.session_id, lose_nth(way, what, number)
                follower = next(each for each in elections if not each.is_leader)
                transferring = asyncio.ensure_future(transfer_leadership(operator, RESOURCE, follower.name))
                either: list[asyncio.Future[Any]] = [transferring, loss.happened]
                await soon(asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED))
                way.cut()
                await one_leads(*elections)
                if session_id in [each.session_id for each in zookeeper.sessions()]:
                    zookeeper.expire_session(session_id)
                await eventually(lambda: STEP_DOWN not in zookeeper.znodes())
                await one_leads(*elections)
                transferring.cancel()
                way.heal()
                await asyncio.wait([transferring])
            if not loss.happened.done():
                break
        assert number > 5
        assert len(await list_candidates(await new_client(), RESOURCE)) == 2


@pytest.mark.parametrize("what", LOSSES)
async def test_each_frame_of_the_leaders_is_lost(zookeeper: MemoryZooKeeper, new_client: NewClient, what: str) -> None:
    """It moves, or moves when it is asked again."""
    async with (
        Proxy(zookeeper.servers[0].port) as proxy,
        standing(await new_client(proxy.address), await new_client()) as (first, second),
    ):
        operator = await new_client()
        for number in count():
            loss = lose_nth(proxy, what, number)
            assert (await soon(transfer_leadership(operator, RESOURCE, "b", timeout=None))).name == "b"
            has_happened = loss.happened.done()
            await soon(second.wait_for_leadership())
            await eventually(lambda: first.status.role is Role.FOLLOWER)
            proxy.request_gate.rules.clear()
            proxy.reply_gate.rules.clear()
            await soon(transfer_leadership(operator, RESOURCE, "a", timeout=None))
            await one_leads(first, second)
            if not has_happened:
                break
        assert number > 2
        assert STEP_DOWN not in zookeeper.znodes()


async def test_a_target_whose_process_was_killed(zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
    """Its session has not expired: leadership moves there, and on when that is over."""
    async with standing(await new_client(), await new_client()) as (first, second):
        token = (await soon(first.wait_for_leadership())).fencing_token
        with zookeeper.cut(second._zk.session.session_id):
            leader = await soon(transfer_leadership(await new_client(), RESOURCE, "b"))
            assert leader.id == second.status.candidate_id
            assert not first.is_leader
            await eventually(lambda: first.is_leader)
            assert (await soon(first.wait_for_leadership())).fencing_token > token


class TestTooLate:
    """The candidate's answer comes when the operator's time limit is over."""

    @pytest.mark.parametrize("late", ["the event", "the move"])
    async def test_it_leads_on(self, zookeeper: MemoryZooKeeper, new_client: NewClient, late: str) -> None:
        async with (
            Proxy(zookeeper.servers[0].port) as proxy,
            standing(await new_client(proxy.address, LONG), await new_client()) as (first, second),
        ):
            token = (await soon(first.wait_for_leadership())).fencing_token
            if late == "the event":
                held = proxy.on_reply(lambda frame: frame.xid == WATCH_XID and is_about_the_request(frame), Action.HOLD)
            else:
                held = proxy.on_request(
                    lambda frame: frame.opcode == OpCode.MULTI and is_about_the_request(frame), Action.HOLD
                )
            transferring = asyncio.ensure_future(
                transfer_leadership(await new_client(), RESOURCE, "b", timeout=LONG / 8)
            )
            await soon(held)
            with pytest.raises(TransferError, match=r"'a' .* did not step down in time"):
                await soon(transferring)
            held.release()
            await eventually(lambda: first.is_leader)
            assert (await soon(first.wait_for_leadership())).fencing_token == token
            assert not second.is_leader
            assert (await soon(transfer_leadership(await new_client(), RESOURCE, "b"))).name == "b"
            await one_leads(first, second)

    async def test_it_has_moved(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        """Only its answer is late: the operator sees in the line what has come of it."""
        async with (
            Proxy(zookeeper.servers[0].port) as proxy,
            standing(await new_client(proxy.address), await new_client()) as (first, second),
        ):
            is_moving = proxy.on_request(
                lambda frame: frame.opcode == OpCode.MULTI and is_about_the_request(frame), Action.FORWARD
            )
            transferring = asyncio.ensure_future(transfer_leadership(await new_client(), RESOURCE, "b", timeout=T))
            await soon(is_moving)
            held = proxy.on_reply(lambda frame: frame.opcode == OpCode.MULTI, Action.HOLD)
            assert (await soon(transferring)).name == "b"
            held.release()
            assert await one_leads(first, second) is second


class TestDeposedByForceMeanwhile:
    """Work takes its time to stop, and an operator has no patience."""

    async def begin(self, new_client: NewClient, first: AsyncElection) -> tuple[asyncio.Task[Candidate], asyncio.Event]:
        stops, entered = asyncio.Event(), asyncio.Event()

        async def work(_: Leadership) -> None:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                await stops.wait()

        self.running = asyncio.create_task(first.run(work))
        await soon(entered.wait())
        transferring = asyncio.create_task(transfer_leadership(await new_client(), RESOURCE, "b"))
        await eventually(lambda: not first.is_leader)
        return transferring, stops

    async def test_the_leader(self, new_client: NewClient) -> None:
        async with standing(await new_client(), await new_client()) as (first, second):
            transferring, stops = await self.begin(new_client, first)
            await soon(depose(await new_client(), str(first.status.candidate_id), force=True))
            assert (await soon(transferring)).name == "b"
            stops.set()
            with pytest.raises(CandidateDeletedError):
                await soon(self.running)
            await soon(second.wait_for_leadership())

    async def test_the_target(self, zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
        async with standing(await new_client(), await new_client()) as (first, second):
            transferring, stops = await self.begin(new_client, first)
            await soon(depose(await new_client(), str(second.status.candidate_id), force=True))
            with pytest.raises(TransferError, match="who was to lead has left"):
                await soon(transferring)
            stops.set()
            await eventually(lambda: first.is_leader)
            assert STEP_DOWN not in zookeeper.znodes()
            self.running.cancel()
            await asyncio.wait([self.running])


async def test_operators_who_want_different_things(zookeeper: MemoryZooKeeper, new_client: NewClient) -> None:
    """At the same time, again and again: whoever is refused is told so, and one leads."""
    async with standing(*[await new_client() for _ in range(3)]) as elections:
        operators = [await new_client() for _ in range(2)]
        for _ in range(8):
            followers = [each for each in elections if not each.is_leader]
            asked = [
                transfer_leadership(operator, RESOURCE, each.name)
                for operator, each in zip(operators, followers, strict=True)
            ]
            outcomes = await soon(asyncio.gather(*asked, return_exceptions=True))
            led = [outcome for outcome in outcomes if not isinstance(outcome, ElectionError)]
            assert all(isinstance(outcome, Candidate | TransferError) for outcome in outcomes), outcomes
            leader = await one_leads(*elections)
            assert not led or leader.name in [each.name for each in followers]
            assert STEP_DOWN not in zookeeper.znodes()
