"""Watches that nobody needs any more are removed from the server when the connection is quiet, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from aiozk import WatchEvent, protocol
from aiozk.exc import NoNode

from golea_async._zookeeper.connection import Connection
from golea_async._zookeeper.stale_watches import QUIET
from golea_async._zookeeper.wire import WatchKind
from golea_async.client import ZKClient
from tests.support.ensemble import Ensemble
from tests.support.leftovers import watch_count
from tests.support.proxy import Action, Proxy
from tests.support.wire import OpCode, WireClient

from .helpers import HANGING, connected_anew, until
from .test_watches import Fired, change

pytestmark = pytest.mark.both_loops

CHANGES = {
    "exists": (WatchKind.DATA, WatchEvent.DATA_CHANGED),
    "get_data": (WatchKind.DATA, WatchEvent.DATA_CHANGED),
    "get_children": (WatchKind.CHILDREN, WatchEvent.CHILDREN_CHANGED),
}
OTHER = {WatchKind.DATA: "get_children", WatchKind.CHILDREN: "get_data"}


def connection_of(client: ZKClient) -> Connection:
    assert client.session.conn is not None
    return client.session.conn


@pytest.fixture(scope="module")
def server() -> Iterator[Ensemble]:
    """For these tests alone: it counts watches without saying whose they are."""
    with Ensemble(1) as server:
        yield server


@pytest.fixture
def count(server: Ensemble) -> Callable[[], int]:
    """How many watches the server has that were not there before."""
    before = watch_count(server.servers[0])
    return lambda: watch_count(server.servers[0]) - before


@pytest.mark.parametrize("arming", CHANGES)
async def test_in_a_quiet_moment(
    server: Ensemble, wire_to_server: WireClient, count: Callable[[], int], arming: str
) -> None:
    path = await wire_to_server.create("/unneeded-", sequential=True)
    async with ZKClient(server.hosts) as client:
        await getattr(client, arming)(path, watch=True)
        assert count() == 1
        connection_of(client).remove_watches([(path, CHANGES[arming][0])])
        await until(lambda: count() == 0)
        assert await client.exists(path)


@pytest.mark.parametrize("arming", CHANGES)
async def test_set_again_meanwhile(
    server: Ensemble, wire_to_server: WireClient, count: Callable[[], int], arming: str
) -> None:
    """Whoever needs it now may be another election, or the application: it fires."""
    kind, event = CHANGES[arming]
    path, other = [await wire_to_server.create("/unneeded-", sequential=True) for _ in range(2)]
    async with ZKClient(server.hosts) as client:
        fired = Fired(client, path)
        for each in (path, other):
            await getattr(client, arming)(each, watch=True)
            connection_of(client).remove_watches([(each, kind)])
        await getattr(client, arming)(path, watch=True)
        await until(lambda: count() == 1)
        await change(wire_to_server, path, event)
        await until(lambda: fired == [event])


@pytest.mark.parametrize("arming", CHANGES)
async def test_a_watch_of_the_other_kind_is_another_one(
    server: Ensemble, wire_to_server: WireClient, count: Callable[[], int], arming: str
) -> None:
    kind, event = CHANGES[arming]
    path = await wire_to_server.create("/unneeded-", sequential=True)
    async with ZKClient(server.hosts) as client:
        fired = Fired(client, path)
        await getattr(client, arming)(path, watch=True)
        connection_of(client).remove_watches([(path, kind)])
        await getattr(client, OTHER[kind])(path, watch=True)
        await until(lambda: count() == 1)
        await change(wire_to_server, path, event)
        await client.exists("/")
        assert fired == []


async def test_several_where_it_has_been_quiet_for_long(server: Ensemble, count: Callable[[], int]) -> None:
    """They are due at once. A timer of uvloop's that is due at once does not know when it is due."""
    paths = [f"/unneeded/{number}" for number in range(3)]
    async with ZKClient(server.hosts) as client:
        for path in paths:
            await client.exists(path, watch=True)
        await asyncio.sleep(4 * QUIET)  # no event: to be quiet for so long is what the test is about
        for path in paths:
            connection_of(client).remove_watches([(path, WatchKind.DATA)])
        await until(lambda: count() == 0)


async def fire_while_it_is_set_again(proxy: Proxy, client: ZKClient, wire: WireClient, path: str) -> None:
    """Then the request sets another one behind that."""
    await client.exists(path, watch=True)
    again = proxy.on_request(lambda frame: frame.opcode == OpCode.EXISTS, Action.HOLD)
    connection_of(client).remove_watches([(path, WatchKind.DATA)])
    # In the same turn: in the next one the watch may be removed already.
    exists = connection_of(client).send(protocol.ExistsRequest(path=path, watch=True))
    await again
    events = proxy.events
    await change(wire, path, WatchEvent.DATA_CHANGED)
    await until(lambda: proxy.events == events + 1)
    again.release()
    assert await exists


async def test_it_fires_while_it_is_being_set_again_for_nobody(
    server: Ensemble, wire_to_server: WireClient, count: Callable[[], int]
) -> None:
    path = await wire_to_server.create("/unneeded-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address) as client:
        await fire_while_it_is_set_again(proxy, client, wire_to_server, path)
        await until(lambda: count() == 0)


async def test_it_fires_while_it_is_being_set_again_for_somebody(
    server: Ensemble, wire_to_server: WireClient, count: Callable[[], int]
) -> None:
    path = await wire_to_server.create("/unneeded-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address) as client:
        fired = Fired(client, path)
        await fire_while_it_is_set_again(proxy, client, wire_to_server, path)
        await client.exists("/unneeded/other", watch=True)
        connection_of(client).remove_watches([("/unneeded/other", WatchKind.DATA)])
        await until(lambda: count() == 1)  # so what was to be removed was removed
        await change(wire_to_server, path, WatchEvent.DELETED)
        await until(lambda: fired == [WatchEvent.DATA_CHANGED, WatchEvent.DELETED])


async def test_a_request_that_sets_none_keeps_none(server: Ensemble, count: Callable[[], int]) -> None:
    """`get` sets none where there is no znode, but the one that `exists` has set is there."""
    async with ZKClient(server.hosts) as client:
        await client.exists("/unneeded/missing", watch=True)
        connection_of(client).remove_watches([("/unneeded/missing", WatchKind.DATA)])
        with pytest.raises(NoNode):
            await client.get_data("/unneeded/missing", watch=True)
        await until(lambda: count() == 0)


async def test_where_it_is_never_quiet(server: Ensemble, wire_to_server: WireClient, count: Callable[[], int]) -> None:
    path = await wire_to_server.create("/unneeded-", sequential=True)
    async with ZKClient(server.hosts) as client:
        await client.exists(path, watch=True)
        connection_of(client).remove_watches([(path, WatchKind.DATA)])
        async with asyncio.timeout(HANGING):
            while count():
                await client.exists("/")


async def test_many_in_few_packets(server: Ensemble, count: Callable[[], int]) -> None:
    """One that the server does not have is no fault: its event may have come meanwhile."""
    paths = [f"/unneeded/{number}" for number in range(1200)]
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address) as client:
        await asyncio.gather(*(client.exists(path, watch=True) for path in paths))
        connection = connection_of(client)
        for path in (*paths, "/unneeded/which-was-never-set"):
            connection.remove_watches([(path, WatchKind.DATA)])
        await until(lambda: proxy.requests[OpCode.REMOVE_WATCHES] == len(paths) + 1)
        await until(lambda: count() == 0)
        assert await client.exists("/")
        assert connection_of(client) is connection


async def test_they_go_with_the_connection(server: Ensemble, wire_to_server: WireClient) -> None:
    path = await wire_to_server.create("/unneeded-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        await client.exists(path, watch=True)
        connection = connection_of(client)
        connection.remove_watches([(path, WatchKind.DATA)])
        proxy.reset()
        await until(lambda: connection.failure is not None)
        connection.remove_watches([(path, WatchKind.DATA)])
        await connected_anew(client, connection)
        fired = Fired(client, path)
        await client.exists(path, watch=True)
        await change(wire_to_server, path, WatchEvent.DATA_CHANGED)
        await until(lambda: fired == [WatchEvent.DATA_CHANGED])
        assert proxy.requests[OpCode.REMOVE_WATCHES] == 0
