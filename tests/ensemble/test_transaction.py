"""Leadership.transaction(): ZooKeeper writes that are carried out only while the candidate stands."""

# ruff: noqa: PT012 - what raises is the whole `async with`

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiozk
import pytest
from aiozk import exc
from aiozk.states import States

from golea_async import AsyncElection, CandidateDeletedError, ElectionError, LeadershipLostError, Role
from tests.support.elections import eventually, is_there, soon
from tests.support.ensemble import Ensemble
from tests.support.leading import KINDS, client_of, depose, leading
from tests.support.leftovers import background_to_end
from tests.support.proxy import Action, Frame, Proxy
from tests.support.wire import OpCode, WireClient

T = 6.0


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def proxy(ensemble: Ensemble) -> AsyncIterator[Proxy]:
    async with Proxy(ensemble.servers[1].port) as proxy:
        yield proxy


@pytest.fixture
async def zk(kind: str, proxy: Proxy, resource: str) -> AsyncIterator[aiozk.ZKClient]:  # noqa: ARG001
    async with client_of(kind, proxy.address, T) as client:
        yield client


@pytest.fixture
async def election(zk: aiozk.ZKClient, resource: str) -> AsyncIterator[AsyncElection]:
    """A candidate that leads already, behind the proxy."""
    async with AsyncElection(zk, resource, "leader") as candidate:
        await leading(candidate)
        yield candidate


@pytest.fixture
async def place(wire: WireClient, resource: str) -> str:
    """A znode to be written to."""
    return await wire.create(f"{resource}-data", b"before")


async def data_of(wire: WireClient, path: str) -> bytes:
    await wire.sync(path)
    data, _ = await wire.get(path)
    return data


def writes(path: str) -> Callable[[Frame], bool]:
    """A request that has this path in it and is a transaction."""

    def matches(frame: Frame) -> bool:
        return frame.opcode == OpCode.MULTI and path.encode() in frame.payload

    return matches


async def test_it_commits_while_the_candidate_stands(election: AsyncElection, wire: WireClient, place: str) -> None:
    leadership = await leading(election)
    await wire.create(f"{place}/old")
    async with leadership.transaction() as transaction:
        transaction.check_version(place, version=0)
        transaction.set_data(place, b"after", version=0)
        transaction.create(f"{place}/new-", b"x", sequential=True)
        transaction.create(f"{place}/mine", ephemeral=True)
        transaction.delete(f"{place}/old")
    assert await data_of(wire, place) == b"after"
    assert sorted(await wire.get_children(place)) == ["mine", "new-0000000001"]
    assert len(transaction.results) == 5
    assert transaction.results[1].stat.version == 1
    assert transaction.results[2].path == f"{place}/new-0000000001"


async def test_zookeepers_own_errors_come_through(election: AsyncElection, wire: WireClient, place: str) -> None:
    """And nothing is written; leadership is not touched by it."""
    leadership = await leading(election)
    with pytest.raises(exc.BadVersion):
        async with leadership.transaction() as transaction:
            transaction.create(f"{place}/not-made")
            transaction.set_data(place, b"after", version=7)
    with pytest.raises(exc.NoNode):
        async with leadership.transaction() as transaction:
            transaction.delete(f"{place}/nothing")
    with pytest.raises(exc.NodeExists):
        async with leadership.transaction() as transaction:
            transaction.set_data(place, b"after")
            transaction.create(place)
    assert await data_of(wire, place) == b"before"
    assert await wire.get_children(place) == []
    assert transaction.results == []
    leadership.check()


async def test_a_block_that_raises_sends_nothing(election: AsyncElection, wire: WireClient, place: str) -> None:
    leadership = await leading(election)
    with pytest.raises(KeyError):
        async with leadership.transaction() as transaction:
            transaction.set_data(place, b"after")
            raise KeyError
    assert await data_of(wire, place) == b"before"


async def test_an_empty_one_is_a_mistake(election: AsyncElection) -> None:
    leadership = await leading(election)
    with pytest.raises(ValueError, match="without operations"):
        async with leadership.transaction():
            pass


async def test_bad_arguments_are_refused_at_once(election: AsyncElection, wire: WireClient, place: str) -> None:
    leadership = await leading(election)
    async with leadership.transaction() as transaction:
        with pytest.raises(TypeError, match="bytes"):
            transaction.set_data(place, "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="bytes"):
            transaction.create(place, None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="absolute"):
            transaction.delete("relative")
        with pytest.raises(TypeError, match="str"):
            transaction.check_version(b"/bytes")  # type: ignore[arg-type]
        transaction.set_data(place, b"after")
    assert await data_of(wire, place) == b"after"


async def test_none_begins_after_the_loss(election: AsyncElection, wire: WireClient, place: str) -> None:
    leadership = await leading(election)
    await depose(wire, election)
    await soon(leadership.wait_lost())
    with pytest.raises(LeadershipLostError):
        async with leadership.transaction():
            raise AssertionError
    assert await data_of(wire, place) == b"before"


async def test_none_commits_after_the_loss(election: AsyncElection, wire: WireClient, place: str) -> None:
    """It knows already, and asks nobody."""
    leadership = await leading(election)
    with pytest.raises(LeadershipLostError) as caught:
        async with leadership.transaction() as transaction:
            transaction.set_data(place, b"after")
            await depose(wire, election)
            await soon(leadership.wait_lost())
    assert isinstance(caught.value.__cause__, CandidateDeletedError)
    assert await data_of(wire, place) == b"before"


async def test_a_deposed_leaders_late_write_is_refused(
    election: AsyncElection, ensemble: Ensemble, proxy: Proxy, wire: WireClient, resource: str, place: str
) -> None:
    """It is sent by a leader in good faith, held up on the way, and arrives when another one leads and has written."""
    leadership = await leading(election)
    held = proxy.on_request(writes(place), Action.HOLD)

    async def write() -> None:
        async with leadership.transaction() as transaction:
            transaction.set_data(place, b"late")

    async with client_of("golea_async", ensemble.hosts, T) as zk, AsyncElection(zk, resource, "next") as successor:
        writing = asyncio.create_task(write())
        await soon(held)
        await depose(wire, election)
        new = await leading(successor)
        async with new.transaction() as transaction:
            transaction.set_data(place, b"new leader's")
        held.release()
        with pytest.raises(LeadershipLostError) as caught:
            await soon(writing)
        assert isinstance(caught.value.__cause__, CandidateDeletedError)
        assert await data_of(wire, place) == b"new leader's"
        assert new.fencing_token > leadership.fencing_token


@pytest.mark.parametrize("lost", ["request", "reply"])
async def test_when_the_answer_is_lost_it_says_so(
    election: AsyncElection, proxy: Proxy, wire: WireClient, place: str, lost: str
) -> None:
    """It may have been carried out or not: here once the one, once the other, and the caller cannot tell."""
    leadership = await leading(election)
    sent = proxy.on_request(writes(place), Action.RESET if lost == "request" else Action.FORWARD)
    if lost == "reply":
        proxy.on_reply(lambda frame: sent.happened.done() and frame.xid == sent.happened.result().xid, Action.RESET)
    with pytest.raises(ElectionError, match="may have been carried out or not") as caught:
        async with leadership.transaction() as transaction:
            transaction.set_data(place, b"after")
    assert type(caught.value) is ElectionError
    await soon(sent)
    assert await data_of(wire, place) == (b"before" if lost == "request" else b"after")


async def test_while_disconnected_it_waits_for_the_next_connection(
    election: AsyncElection, proxy: Proxy, wire: WireClient, place: str, kind: str
) -> None:
    """As long as it leads."""
    leadership = await leading(election)
    handshake = proxy.on_request(lambda frame: frame.opcode == OpCode.CREATE_SESSION, Action.HOLD)
    proxy.reset()
    await soon(handshake)

    async def write() -> None:
        async with leadership.transaction() as transaction:
            transaction.set_data(place, b"after")

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    assert not writing.done()
    leadership.check()
    handshake.release()
    try:
        await soon(writing)
    except LeadershipLostError:
        # aiozk takes its time to come back. ZKClient does not.
        assert kind == "aiozk"
        assert await data_of(wire, place) == b"before"
    else:
        assert await data_of(wire, place) == b"after"


async def test_while_disconnected_for_longer_than_the_lease(
    kind: str, ensemble: Ensemble, wire: WireClient, resource: str, place: str
) -> None:
    """It gives up with the leadership: nothing waits to be written afterwards."""
    async with Proxy(ensemble.servers[1].port) as proxy, client_of(kind, proxy.address, 2.0) as zk:
        election = AsyncElection(zk, resource)
        leadership = await leading(election)
        proxy.cut()
        await eventually(lambda: zk.session.state != States.CONNECTED)
        with pytest.raises(LeadershipLostError):
            async with leadership.transaction() as transaction:
                transaction.set_data(place, b"after")
                await asyncio.sleep(0)
        proxy.heal()
        again = await leading_again(election, leadership.fencing_token)
        assert again >= leadership.fencing_token
        assert await data_of(wire, place) == b"before"
        await soon(election.resign(timeout=None))
        await soon(background_to_end())


async def leading_again(election: AsyncElection, former: int) -> int:
    async for status in election.statuses():
        if status.role is Role.LEADER and election.is_leader:
            assert status.fencing_token is not None
            return status.fencing_token
    raise AssertionError(former)


async def test_cancelled_while_it_commits_nothing_is_left(
    election: AsyncElection, proxy: Proxy, wire: WireClient, place: str
) -> None:
    leadership = await leading(election)
    held = proxy.on_request(writes(place), Action.HOLD)

    async def write() -> None:
        async with leadership.transaction() as transaction:
            transaction.set_data(place, b"after")

    writing = asyncio.create_task(write())
    await soon(held)
    writing.cancel()
    await soon(asyncio.wait({writing}))
    assert writing.cancelled()
    held.release()
    async with leadership.transaction() as transaction:  # behind it on the same connection
        transaction.create(f"{place}/behind")
    assert await data_of(wire, place) == b"after"
    assert await is_there(wire, f"{place}/behind")
