"""Watches survive reconnects, fire what they should and nothing else, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest
from aiozk import WatchEvent, protocol
from aiozk.states import States

from golea_async._zookeeper.watches import MAX_SET_WATCHES_LENGTH
from golea_async.client import ZKClient
from tests.support.ensemble import Ensemble
from tests.support.proxy import Proxy
from tests.support.wire import OpCode, WireClient, expire_session

ALL = (WatchEvent.CREATED, WatchEvent.DELETED, WatchEvent.DATA_CHANGED, WatchEvent.CHILDREN_CHANGED)


class Fired(list[int]):
    """The events of a path, in order."""

    def __init__(self, client: ZKClient, path: str) -> None:
        self._callbacks = [(event, path, lambda _, event=event: self.append(event)) for event in ALL]
        for callback in self._callbacks:
            client.session.add_watch_callback(*callback)


async def change(wire: WireClient, path: str, event: int) -> None:
    if event == WatchEvent.CREATED:
        await wire.create(path)
    elif event == WatchEvent.DELETED:
        await wire.delete(path)
    elif event == WatchEvent.DATA_CHANGED:
        await wire.set_data(path, b"new")
    else:
        await wire.create(f"{path}/child")


CASES = [
    ("exists", False, WatchEvent.CREATED),
    ("exists", True, WatchEvent.DATA_CHANGED),
    ("exists", True, WatchEvent.DELETED),
    ("get_data", True, WatchEvent.DATA_CHANGED),
    ("get_data", True, WatchEvent.DELETED),
    ("get_children", True, WatchEvent.CHILDREN_CHANGED),
    ("get_children", True, WatchEvent.DELETED),
]


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize(("arming", "is_there", "event"), CASES)
async def test_a_watch_survives_a_reconnect(
    server: Ensemble, wire_to_server: WireClient, arming: str, is_there: bool, event: int, when: str
) -> None:
    """The change comes while the connection is there, is away, or is back again: one event, and the right one."""
    path = await wire_to_server.create("/watch-", sequential=True)
    if not is_there:
        await wire_to_server.delete(path)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        fired = Fired(client, path)
        await getattr(client, arming)(path, watch=True)
        if when == "before":
            await change(wire_to_server, path, event)
        await client.exists("/")
        proxy.cut()
        await client.session.state.wait_for(States.SUSPENDED)
        if when == "during":
            await change(wire_to_server, path, event)
        proxy.heal()
        await client.exists("/")
        if when == "after":
            assert fired == []
            await change(wire_to_server, path, event)
            await client.exists("/")
        assert fired == [event]


async def test_a_wait_made_while_disconnected(server: Ensemble, wire_to_server: WireClient) -> None:
    path = await wire_to_server.create("/watch-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        proxy.cut()
        await client.session.state.wait_for(States.SUSPENDED)
        deleted = client.wait_for_events([WatchEvent.DELETED], path)
        exists = asyncio.ensure_future(client.exists(path, watch=True))
        proxy.heal()
        assert await exists
        assert not deleted.done()
        await wire_to_server.delete(path)
        await deleted


async def test_a_wait_outlives_the_session(ensemble: Ensemble) -> None:
    async with ZKClient(ensemble.hosts, session_timeout=6) as client:
        path = await client.create("/ephemeral-", ephemeral=True, sequential=True)
        deleted = client.wait_for_events([WatchEvent.DELETED], path)
        await client.exists(path, watch=True)
        await expire_session(ensemble.servers[0].port, client.session.session_id, client.session.password)
        await deleted


async def test_many_watches_are_set_again_in_parts(server: Ensemble, wire_to_server: WireClient) -> None:
    name = "x" * 1000
    paths = [f"/{number}-{name}" for number in range(MAX_SET_WATCHES_LENGTH // 1000 * 2 + 10)]
    async with Proxy(server.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        waits = [client.wait_for_events([WatchEvent.CREATED], path) for path in paths]
        await asyncio.gather(*(client.exists(path, watch=True) for path in paths))
        proxy.reset()
        await client.session.state.wait_for(States.SUSPENDED)
        await client.exists("/")
        assert proxy.requests[OpCode.SET_WATCHES] == 3
        for path in (paths[0], paths[-1]):
            await wire_to_server.create(path)
        await asyncio.gather(waits[0], waits[-1])
        assert sum(wait.done() for wait in waits) == 2
        for wait in waits:
            wait.cancel()
        await asyncio.sleep(0)
        assert client.session.watch_callbacks == {}


async def test_the_events_come_before_the_answers_of_later_requests(
    server: Ensemble, wire_to_server: WireClient
) -> None:
    path = await wire_to_server.create("/watch-", sequential=True)
    async with ZKClient(server.hosts) as client:
        changed = client.wait_for_events([WatchEvent.DATA_CHANGED], path)
        await client.get_data(path, watch=True)
        await client.set_data(path, b"own")
        assert changed.done()


async def test_twenty_thousand_waits_leave_memory_where_it_was(server: Ensemble) -> None:
    async def arm_and_cancel(client: ZKClient, count: int) -> None:
        for start in range(0, count, 500):
            waits = [client.wait_for_events(ALL, f"/path-{number}") for number in range(start, start + 500)]
            await asyncio.gather(
                *(
                    client.session.send(protocol.ExistsRequest(path=f"/path-{number % 1000}", watch=True))
                    for number in range(start, start + 500)
                ),
                return_exceptions=True,
            )
            for wait in waits:
                wait.cancel()
            await asyncio.sleep(0)

    async with ZKClient(server.hosts, session_timeout=10) as client:
        await arm_and_cancel(client, 2000)
        gc.collect()
        before = sys.getallocatedblocks()
        await arm_and_cancel(client, 20_000)
        gc.collect()
        after = sys.getallocatedblocks()
        assert client.session.watch_callbacks == {}
        assert client.session.watches._kinds == {}
        assert after - before < 1000  # One block for twenty waits; a leak would cost several for each.


async def test_the_stat_cache_does_not_grow(server: Ensemble, wire_to_server: WireClient) -> None:
    parent = await wire_to_server.create("/stats-", sequential=True)
    async with ZKClient(server.hosts) as client:
        await asyncio.gather(*(client.create(f"{parent}/{number}") for number in range(1500)))
        await asyncio.gather(*(client.exists(f"{parent}/{number}") for number in range(1500)))
        assert len(client.stat_cache) == 1000
        assert f"{parent}/1499" in client.stat_cache
