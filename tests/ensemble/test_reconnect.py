"""The connection breaks and comes back within the session: whoever stands notices what happened meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import aiozk
import pytest

from golea_async import AsyncElection, ElectionOverError, Role, delete_election, end_election, observe_leader
from tests.support.elections import Connect, children, connected, eventually, next_status, soon, status_of
from tests.support.ensemble import Ensemble
from tests.support.leftovers import (
    background_to_end,
    out_of_touch,
    reconnect,
    send_to,
    server_watches,
    state_waiters,
    watch_callbacks,
)
from tests.support.proxy import Action, Proxy
from tests.support.wire import OpCode, WireClient

Breakage = Callable[[aiozk.ZKClient, Proxy, Awaitable[object]], Awaitable[None]]


@pytest.fixture
async def zk(proxy: Proxy) -> AsyncIterator[aiozk.ZKClient]:
    """Connected to the server that `wire` is connected to.

    The session is longer than the 4 seconds that aiozk waits after its first round without a connection.
    """
    async with connected(proxy.address, session_timeout=8) as zk:
        yield zk


async def by_reset(zk: aiozk.ZKClient, proxy: Proxy, event: Awaitable[object]) -> None:
    """The connection is reset, the next one comes up after the event."""
    async with out_of_touch(zk, proxy):
        await event


async def by_lost_event(zk: aiozk.ZKClient, proxy: Proxy, event: Awaitable[object]) -> None:
    """The watch has fired, but its event never arrives."""
    lost = proxy.on_reply(lambda frame: frame.opcode == 0, Action.RESET)
    reading = asyncio.create_task(read_again_and_again(zk))
    await event
    await soon(asyncio.shield(lost.happened))
    reading.cancel()
    await asyncio.wait({reading})


async def read_again_and_again(zk: aiozk.ZKClient) -> None:
    """So that aiozk has a request under way, and notices at once that its connection is gone."""
    while True:
        await zk.get("/")


async def by_a_cut(zk: aiozk.ZKClient, proxy: Proxy, event: Awaitable[object]) -> None:
    """New connections are refused for a while, too, until aiozk waits before it tries again."""
    proxy.cut()
    back = asyncio.create_task(zk.get("/"))
    await event
    proxy.heal()
    await soon(back)


@pytest.mark.parametrize("broken", [by_reset, by_lost_event, by_a_cut], ids=lambda breakage: breakage.__name__)
class TestPredecessor:
    async def test_a_follower_whose_predecessor_goes_meanwhile_leads(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, broken: Breakage
    ) -> None:
        leader = await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
        async with AsyncElection(zk, resource, "follower") as election:
            statuses = election.statuses()
            assert (await next_status(statuses)).now_following == leader
            await broken(zk, proxy, wire.delete(leader))
            status = await next_status(statuses)
            assert (status.role, status.was_following, status.error) == (Role.LEADER, leader, None)
            assert election.is_leader

    async def test_one_in_the_middle_follows_another(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, broken: Breakage
    ) -> None:
        names = [await wire.create(f"{resource}/le_", b"x", ephemeral=True, sequential=True) for _ in range(2)]
        async with AsyncElection(zk, resource, "last") as election:
            statuses = election.statuses()
            assert (await next_status(statuses)).now_following == names[1]
            await broken(zk, proxy, wire.delete(names[1]))
            status = await next_status(statuses)
            assert (status.role, status.now_following, status.was_following) == (Role.FOLLOWER, names[0], names[1])


class TestLeader:
    async def test_keeps_leading_without_a_status(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str
    ) -> None:
        async with AsyncElection(zk, resource, "leader") as election:
            statuses = election.statuses()
            led = await next_status(statuses)
            for _ in range(5):
                await reconnect(zk, proxy)
            # The last thing it hears is of this: there was no status in between.
            await wire.create(f"{resource}/DONE", b"done")
            last = await next_status(statuses)
            assert (led.role, last.role) == (Role.LEADER, Role.NONE)
        await wire.delete(f"{resource}/DONE")

    async def test_both_on_one_client(self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str) -> None:
        async with AsyncElection(zk, resource, "one") as one, AsyncElection(zk, resource, "two") as two:
            statuses = two.statuses()
            await next_status(statuses)
            for _ in range(3):
                await reconnect(zk, proxy)
            await one.resign()
            assert (await next_status(statuses)).role is Role.LEADER
            assert len(await children(wire, resource)) == 1

    async def test_the_election_is_deleted_meanwhile(
        self, zk: aiozk.ZKClient, proxy: Proxy, ensemble: Ensemble, resource: str, wire: WireClient
    ) -> None:
        election = AsyncElection(zk, resource, "leader")
        await election.start()
        async with connected(ensemble.servers[1].address) as other:
            async with out_of_touch(zk, proxy):
                deleting = asyncio.create_task(delete_election(other, resource))
                await eventually(lambda: election.status.role is Role.LEADER)
                while await wire.exists(f"{resource}/DONE") is None:
                    await wire.sync(resource)
            await soon(deleting)
        statuses = election.statuses()
        while (await next_status(statuses)).role is not Role.NONE:
            pass
        assert type(election.status.error).__name__ == "ElectionOverError"
        await election.resign()
        await wire.create(resource)


class TestWhile:
    """The connection breaks at one moment or another of what is going on."""

    async def test_joining(self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str) -> None:
        async with out_of_touch(zk, proxy):
            starting = asyncio.create_task(AsyncElection(zk, resource, "one").start())
            await asyncio.sleep(0)
            assert await children(wire, resource) == []
        assert (await soon(starting)).role is Role.LEADER

    async def test_ending(self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str) -> None:
        async with out_of_touch(zk, proxy):
            await wire.create(f"{resource}/le_", b"x", ephemeral=True, sequential=True)
            ending = asyncio.create_task(end_election(zk, resource, force_after=0))
        await soon(ending)
        assert await children(wire, resource) == []

    async def test_ending_while_starting(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str
    ) -> None:
        """`end()` is sent before the nomination arrives: this candidate leaves all the same."""
        nomination = proxy.lose_next_request({OpCode.CREATE2})
        election = AsyncElection(zk, resource, "one")
        starting = asyncio.create_task(election.start())
        await soon(asyncio.shield(nomination.happened))
        await soon(election.end())
        with suppress(ElectionOverError):  # it may have led for a moment
            await soon(starting)
        assert isinstance(election.status.error, ElectionOverError)
        await election.resign()
        assert await children(wire, resource) == []

    async def test_observing(self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str) -> None:
        leaders = observe_leader(zk, resource)
        assert await soon(anext(leaders)) is None
        for name in ("one", "two", "three"):
            reading = asyncio.ensure_future(anext(leaders))
            async with out_of_touch(zk, proxy):
                for old in await children(wire, resource):
                    await wire.delete(f"{resource}/{old}")
                await wire.create(f"{resource}/le_", name.encode(), ephemeral=True, sequential=True)
            leader = await soon(reading)
            assert leader is not None
            assert leader.name == name
        await soon(background_to_end())
        assert watch_callbacks(zk) == {}

    async def test_the_handshake(self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str) -> None:
        """The connection breaks again before the handshake of the next one is answered."""
        leader = await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
        async with AsyncElection(zk, resource, "follower") as election:
            handshake = proxy.lose_next_reply({OpCode.CREATE_SESSION})
            await reconnect(zk, proxy)
            await handshake
            await wire.delete(leader)
            # aiozk takes that for a lost session: it stands again, behind nobody but its own former znode.
            await status_of(election.statuses(), Role.LEADER)
            assert [f"{resource}/{name}" for name in await children(wire, resource)] == [election.status.candidate_id]

    async def test_the_position_is_taken_again(
        self, zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str
    ) -> None:
        """And again, and again."""
        leader = await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
        async with AsyncElection(zk, resource, "follower") as election:
            statuses = election.statuses()
            await next_status(statuses)
            for opcode in (OpCode.MULTI, OpCode.GET_DATA, OpCode.EXISTS) * 3:
                again = proxy.lose_next_reply({opcode})
                await reconnect(zk, proxy)
                await soon(asyncio.shield(again.happened))
            await wire.delete(leader)
            assert (await next_status(statuses)).role is Role.LEADER


class TestServers:
    """What happens to whole servers, to a client that knows all of them."""

    @pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
    @pytest.mark.parametrize("how", ["kill", "freeze"])
    async def test_the_clients_server(
        self, own_ensemble: Callable[..., Ensemble], connect: Connect, how: str, leads: bool
    ) -> None:
        """aiozk notices that by a ping: somebody leads afterwards, once the old leader's znode is gone."""
        own = await asyncio.to_thread(own_ensemble, 3)
        hurt, other = own.followers()
        async with await WireClient.connect(other.port) as wire:
            await wire.create("/election")
            async with Proxy(hurt.port) as proxy:
                zk = await connect(proxy.address, session_timeout=4)
                election = AsyncElection(zk, "/election", "one")
                await soon(wait_for_node(hurt.port, "/election"))
                if not leads:
                    leader = await wire.create("/election/le_", b"leader", ephemeral=True, sequential=True)
                await election.start()
                send_to(zk, other)
                broken = zk.session.conn
                getattr(hurt, how)()
                if not leads:
                    await wire.delete(leader)
                await eventually(lambda: zk.session.conn is not broken and election.is_leader)
                assert await soon(children(wire, "/election")) == [str(election.status.candidate_id)[-13:]]
                if how == "freeze":
                    hurt.thaw()
                await election.resign()
                assert await children(wire, "/election") == []


async def wait_for_node(port: int, path: str) -> None:
    async with await WireClient.connect(port) as client:
        await client.sync(path)
        assert await client.exists(path) is not None


async def test_many_reconnects_leave_nothing(
    ensemble: Ensemble, zk: aiozk.ZKClient, client_kind: str, proxy: Proxy, wire: WireClient, resource: str
) -> None:
    await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)
    async with AsyncElection(zk, resource, "one"), AsyncElection(zk, resource, "two") as two:
        await reconnect(zk, proxy)
        await settled(zk, ensemble, resource)
        watches, callbacks, waiters = measure(zk, ensemble, resource)
        for _ in range(100 if client_kind == "aiozk" else 10):  # ours takes its time with a server that hangs up
            await reconnect(zk, proxy)
        await settled(zk, ensemble, resource)
        assert measure(zk, ensemble, resource) == (watches, callbacks, waiters)
        assert two.status.role is Role.FOLLOWER
        assert len(watches) == 5  # two znodes of its own, the leader's, DONE and step_down
    assert watch_callbacks(zk) == {}
    assert state_waiters(zk) == 0


def measure(zk: aiozk.ZKClient, ensemble: Ensemble, resource: str) -> tuple[list[tuple[str, str]], set[object], int]:
    watches = server_watches(ensemble.servers[0], resource)
    return watches, set(watch_callbacks(zk)), state_waiters(zk)


async def settled(zk: aiozk.ZKClient, ensemble: Ensemble, resource: str) -> None:
    """Return when both candidates have taken their place again."""
    async with asyncio.timeout(30):
        while len(server_watches(ensemble.servers[0], resource)) < 5:
            await zk.get("/")
        await zk.get("/")
