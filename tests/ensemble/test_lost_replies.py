"""The reply to a request, or the request itself, is lost: no znode stays that nobody knows of, and somebody leads."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import aiozk
import pytest
from aiozk.states import States

from golea_async import (
    AsyncElection,
    Role,
    create_election,
    delete_election,
    depose,
    end_election,
    list_candidates,
)
from golea_async.client import OutcomeUnknownError
from tests.support.elections import SOON, Connect, connected, soon, status_of
from tests.support.ensemble import Ensemble, Server
from tests.support.leftovers import background_to_end, send_to
from tests.support.proxy import Action, Frame, Proxy, Rule
from tests.support.wire import OpCode, WireClient

_numbers = itertools.count()
LOSSES = ["reply", "request"]


def lose_next(proxy: Proxy, what: str, opcode: OpCode) -> Rule:
    """Lose the next request of this kind, or the reply to it; the connection is reset."""
    return proxy.lose_next_reply({opcode}) if what == "reply" else proxy.lose_next_request({opcode})


@pytest.fixture
async def proxy(server: Ensemble) -> AsyncIterator[Proxy]:
    async with Proxy(server.leader().port) as proxy:
        yield proxy


@pytest.fixture
async def zk(proxy: Proxy) -> AsyncIterator[aiozk.ZKClient]:
    async with connected(proxy.address, session_timeout=3) as zk:
        yield zk


@pytest.fixture
async def wire(server: Ensemble) -> AsyncIterator[WireClient]:
    async with await WireClient.connect(server.leader().port) as client:
        yield client


@pytest.fixture
async def resource(wire: WireClient) -> str:
    return await wire.create(f"/lost-{next(_numbers)}")


async def known(zk: aiozk.ZKClient, resource: str, *elections: AsyncElection) -> None:
    """Wait until every znode of the election belongs to a candidate that knows it; assert that the first one leads.

    What a lost reply has left may be found by another candidate of the same client and name, which still deletes it.
    """
    async with asyncio.timeout(SOON):
        while True:
            ids = [candidate.id for candidate in await list_candidates(zk, resource)]
            if ids == sorted(str(election.status.candidate_id) for election in elections):
                break
    roles = {election.status.candidate_id: election.status.role for election in elections}
    assert [roles[own] for own in ids] == [Role.LEADER, *[Role.FOLLOWER] * (len(ids) - 1)]


async def test_aiozk_itself_sends_a_create_again(
    zk: aiozk.ZKClient, client_kind: str, proxy: Proxy, wire: WireClient
) -> None:
    """Why the library sends its own: of one call there are two znodes. Our client says that it does not know."""
    resource = await wire.create(f"/lost-{next(_numbers)}")
    loss = proxy.lose_next_reply({OpCode.CREATE2})
    creating = soon(zk.create(f"{resource}/le_", "name", ephemeral=True, sequential=True))
    if client_kind == "ours":
        with pytest.raises(OutcomeUnknownError):
            await creating
        assert await wire.get_children(resource) == ["le_0000000000"]
        return
    created = await creating
    await loss
    assert created == f"{resource}/le_0000000001"
    assert sorted(await wire.get_children(resource)) == ["le_0000000000", "le_0000000001"]


@pytest.mark.parametrize("what", LOSSES)
class TestOneCandidate:
    async def test_nomination(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        loss = lose_next(proxy, what, OpCode.CREATE2)
        async with AsyncElection(zk, resource, "one") as election:
            await loss
            assert election.is_leader
            assert await wire.get_children(resource) == ["le_0000000000"]
        assert await wire.get_children(resource) == []

    @pytest.mark.parametrize("opcode", [OpCode.GET_DATA, OpCode.EXISTS], ids=lambda code: code.name)
    async def test_position(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str, opcode: OpCode
    ) -> None:
        loss = lose_next(proxy, what, opcode)
        async with AsyncElection(zk, resource, "one") as election:
            await loss
            assert election.is_leader
            assert election.status.candidate_id == f"{resource}/le_0000000000"
            assert await wire.get_children(resource) == ["le_0000000000"]
        assert await wire.get_children(resource) == []

    async def test_position_of_a_follower(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        leader = await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
        async with AsyncElection(zk, resource, "one") as election:
            loss = lose_next(proxy, what, OpCode.GET_CHILDREN2)
            await wire.delete(leader)
            statuses = election.statuses()
            assert (await status_of(statuses, Role.LEADER)).was_following == leader
            await loss
            await known(zk, resource, election)

    async def test_resignation(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        async with AsyncElection(zk, resource, "one"):
            follower = AsyncElection(zk, resource, "two")
            await follower.start()
            loss = lose_next(proxy, what, OpCode.DELETE)
        await loss
        statuses = follower.statuses()
        await status_of(statuses, Role.LEADER)
        await known(zk, resource, follower)
        await follower.resign()
        assert await wire.get_children(resource) == []

    async def test_resigning_after_a_nomination_was_lost_and_cancelled(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        election = AsyncElection(zk, resource, "one")
        loss = lose_next(proxy, what, OpCode.CREATE2)
        starting = asyncio.create_task(election.start())
        await loss
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await election.resign()
        assert await wire.get_children(resource) == []

    @pytest.mark.parametrize("second_name", ["one", "two"])
    async def test_two_candidates_on_one_client(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str, second_name: str
    ) -> None:
        """Both are nominated at once, and one loses its reply, and so does the other, as its connection is reset."""
        elections = [AsyncElection(zk, resource, name) for name in ("one", second_name)]
        loss = lose_next(proxy, what, OpCode.CREATE2)
        await soon(asyncio.gather(*(election.start() for election in elections)))
        await loss
        await known(zk, resource, *elections)
        await soon(asyncio.gather(*(election.resign() for election in elections)))
        assert await wire.get_children(resource) == []

    async def test_the_second_of_two_of_one_name(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        async with AsyncElection(zk, resource, "one") as first:
            loss = lose_next(proxy, what, OpCode.CREATE2)
            async with AsyncElection(zk, resource, "one") as second:
                await loss
                await status_of(first.statuses(), Role.LEADER)
                await known(zk, resource, first, second)
            assert [f"{resource}/{name}" for name in await wire.get_children(resource)] == [first.status.candidate_id]
        assert await wire.get_children(resource) == []


async def is_following(election: AsyncElection, leader: str) -> bool:
    """Wait until it follows this one."""
    async for status in election.statuses():
        if status.role is Role.FOLLOWER:
            return status.now_following == leader
    return False


def lose_nth(proxy: Proxy, what: str, number: int) -> Rule:
    """Lose this frame (0 is the next) of those that come on established connections."""
    left = number

    def is_it(frame: Frame) -> bool:
        nonlocal left
        if frame.opcode in (OpCode.CREATE_SESSION, OpCode.CLOSE_SESSION, OpCode.PING, 0):
            return False
        left -= 1
        return left < 0

    return (proxy.on_reply if what == "reply" else proxy.on_request)(is_it, Action.RESET)


def losses(proxy: Proxy, what: str, *, more_than: int) -> Iterator[int]:
    """Have the first frame lost, then the second in a next try, and so on; end behind the first try that lost none.

    :param more_than: so many have to have been lost.
    """
    for number in itertools.count():
        loss = lose_nth(proxy, what, number)
        yield number
        if not loss.happened.done():
            assert number > more_than
            return


@pytest.mark.parametrize("what", LOSSES)
class TestEveryFrame:
    """The first frame is lost, or the second, or the third, and so on until there is none to lose."""

    async def test_of_a_candidate(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
        for _ in losses(proxy, what, more_than=3):
            election = AsyncElection(zk, resource, "one")
            assert (await soon(election.start())).role is Role.FOLLOWER
            names = await wire.get_children(resource)
            assert sorted(names)[1:] == [str(election.status.candidate_id).rpartition("/")[2]]
            await soon(election.resign())
            assert await wire.get_children(resource) == ["le_0000000000"]

    async def test_of_a_cancelled_start(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        """It goes on in the background, which loses a frame, too."""
        for _ in losses(proxy, what, more_than=1):
            starting = asyncio.create_task(AsyncElection(zk, resource, "one").start())
            await asyncio.sleep(0)  # the background task begins
            await asyncio.sleep(0)  # and sends the nomination
            starting.cancel()
            await asyncio.wait({starting})
            await soon(background_to_end())
            assert await wire.get_children(resource) == []

    @pytest.mark.parametrize("candidates", [0, 3])
    async def test_of_a_deletion(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str, candidates: int
    ) -> None:
        for _ in losses(proxy, what, more_than=5):
            for _ in range(candidates):
                await wire.create(f"{resource}/le_", b"told", ephemeral=True, sequential=True)
            await soon(delete_election(zk, resource, force_after=0))
            assert await wire.exists(resource) is None
            await wire.create(resource)

    @pytest.mark.parametrize("candidates", [0, 3])
    async def test_of_an_end(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str, candidates: int
    ) -> None:
        for _ in losses(proxy, what, more_than=5):
            for _ in range(candidates):
                await wire.create(f"{resource}/le_", b"told", ephemeral=True, sequential=True)
            await soon(end_election(zk, resource, force_after=0))
            assert await wire.get_children(resource) == []

    async def test_of_a_creation(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        for number in losses(proxy, what, more_than=3):
            await soon(create_election(zk, f"{resource}/{number}/deep/er"))
            assert await wire.get_children(f"{resource}/{number}/deep/er") == []

    async def test_of_a_step_down(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
        election = AsyncElection(zk, resource, "one")
        await election.start()
        for _ in losses(proxy, what, more_than=1):
            before = election.status.candidate_id
            await soon(election.step_down())
            names = sorted(await wire.get_children(resource))
            assert len(names) == 2
            assert f"{resource}/{names[1]}" > str(before)
            assert await is_following(election, f"{resource}/{names[0]}")
        await election.resign()

    async def test_of_a_deposition(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, what: str
    ) -> None:
        for _ in losses(proxy, what, more_than=0):
            candidate = await wire.create(f"{resource}/le_", b"stuck", ephemeral=True, sequential=True)
            await soon(depose(zk, candidate, force=True))
            assert await wire.get_children(resource) == []


async def test_an_end_that_another_has_finished_meanwhile(
    zk: aiozk.ZKClient, proxy: Proxy, server: Ensemble, wire: WireClient, resource: str
) -> None:
    """Who ends an election that somebody else has ended meanwhile leaves those alone who have joined since."""
    await wire.create(f"{resource}/le_", b"told", ephemeral=True, sequential=True)
    deletion = proxy.on_request(is_deletion_of_candidates, Action.HOLD)
    ending = asyncio.create_task(end_election(zk, resource, force_after=0))
    await soon(asyncio.shield(deletion.happened))
    async with connected(server.hosts, session_timeout=3) as other:
        await end_election(other, resource, force_after=0)
        newcomer = await wire.create(f"{resource}/le_", b"newcomer", ephemeral=True, sequential=True)
        deletion.release()
        await soon(ending)
        assert [f"{resource}/{name}" for name in await wire.get_children(resource)] == [newcomer]


def is_deletion_of_candidates(frame: Frame) -> bool:
    return frame.opcode == OpCode.MULTI and b"le_0" in frame.payload


class TestStillOnItsWay:
    """The nomination is on its way while the client looks for it through another server: it may appear afterwards."""

    @pytest.fixture
    async def wire(self, resource: str) -> None:
        """Not here: the ensemble is another one."""

    @pytest.fixture
    async def resource(self) -> str:
        return "/election"

    async def nominate_and_move(
        self, zk: aiozk.ZKClient, proxy: Proxy, to: Server, names: list[str]
    ) -> list[AsyncElection]:
        """Send nominations through the proxy, and have the client go elsewhere before they are answered."""
        elections = [AsyncElection(zk, "/election", name) for name in names]
        sent = [proxy.on_request(lambda frame: frame.opcode == OpCode.CREATE2, Action.FORWARD) for _ in names]
        starting = [asyncio.create_task(election.start()) for election in elections]
        for rule in sent:
            await soon(asyncio.shield(rule.happened))
        await asyncio.sleep(0)
        # As aiozk does it when a ping is not answered.
        send_to(zk, to)
        zk.session.state.transition_to(States.SUSPENDED)
        await soon(asyncio.gather(*starting))
        return elections

    @pytest.mark.parametrize("names", [["one"], ["one", "one"], ["one", "two"]], ids=",".join)
    async def test_in_a_frozen_server(
        self, own_ensemble: Callable[..., Ensemble], connect: Connect, names: list[str]
    ) -> None:
        own = await asyncio.to_thread(own_ensemble, 3)
        frozen, other = own.followers()
        await create_on(other, "/election")
        async with Proxy(frozen.port) as proxy:
            zk = await connect(proxy.address, session_timeout=4)
            await catch_up(frozen)
            frozen.freeze()
            elections = await self.nominate_and_move(zk, proxy, other, names)
            await known(zk, "/election", *elections)
            frozen.thaw()
            await asyncio.to_thread(frozen.wait_until_serving)
            await read_through(frozen)
            await known(zk, "/election", *elections)
            await zk.close()

    async def test_between_the_servers(self, own_ensemble: Callable[..., Ensemble], connect: Connect) -> None:
        """What the client's server says to the others is delayed, and the client goes to another server."""
        proxies: dict[tuple[int, int], Proxy] = {}
        loop = asyncio.get_running_loop()

        async def start_proxy(pair: tuple[int, int], port: int) -> int:
            proxies[*pair, port] = await Proxy(port, frames=False).__aenter__()  # type: ignore[index]
            return proxies[*pair, port].port  # type: ignore[index]

        def through_proxy(from_id: int, to_id: int, port: int) -> int:
            return asyncio.run_coroutine_threadsafe(start_proxy((from_id, to_id), port), loop).result()

        own = await asyncio.to_thread(own_ensemble, 3, peer_address=through_proxy)
        try:
            slow, other = await asyncio.to_thread(own.followers)
            leader = await asyncio.to_thread(own.leader)
            await create_on(other, "/election")
            async with Proxy(slow.port) as proxy:
                zk = await connect(proxy.address, session_timeout=4)
                await catch_up(slow)
                link = proxies[slow.identity, leader.identity, leader.quorum_port]  # type: ignore[index]
                link.delay(0.7)
                elections = await self.nominate_and_move(zk, proxy, other, ["one"])
                await known(zk, "/election", *elections)
                link.delay(0)
                await read_through(slow)
                await known(zk, "/election", *elections)
                await zk.close()
        finally:
            for each in proxies.values():
                await each.__aexit__()


async def create_on(server: Server, path: str) -> None:
    async with await WireClient.connect(server.port) as client:
        await client.create(path)


async def catch_up(server: Server) -> None:
    """Return when this server has what others had before."""
    async with await WireClient.connect(server.port) as client:
        await client.sync()


async def read_through(server: Server) -> None:
    """Return when all that this server had to say to the others has arrived: a write of a client of its own has."""
    async with await WireClient.connect(server.port) as client:
        await client.delete(await client.create("/through"))
