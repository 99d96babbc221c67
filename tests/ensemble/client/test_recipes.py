"""aiozk's recipes take our client as theirs, also when it reconnects meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiozk import exc
from aiozk.states import States

from golea_async.client import ZKClient
from tests.ensemble.client.helpers import until
from tests.support.ensemble import Ensemble
from tests.support.wire import WireClient

pytestmark = pytest.mark.both_loops


@pytest.fixture
async def path(wire_to_server: WireClient) -> str:
    return await wire_to_server.create("/recipe-", sequential=True)


@asynccontextmanager
async def two_clients(server: Ensemble) -> AsyncIterator[tuple[ZKClient, ZKClient]]:
    async with (
        ZKClient(server.hosts, chroot="/chroot/recipes") as one,
        ZKClient(server.hosts, "/chroot/recipes") as two,
    ):
        yield one, two


async def reconnect(client: ZKClient) -> None:
    client.session.state.transition_to(States.SUSPENDED)
    await client.session.state.wait_for(States.CONNECTED)


async def test_chroot(server: Ensemble, path: str) -> None:
    async with ZKClient(server.hosts, chroot=f"{path}/a/b") as client, ZKClient(server.hosts) as other:
        assert await client.create("/x", b"1") == "/x"
        assert await other.get_data(f"{path}/a/b/x") == b"1"
        deleted = client.wait_for_events([2], "/x")
        await client.exists("/x", watch=True)
        await other.delete(f"{path}/a/b/x")
        await deleted


async def test_lock(server: Ensemble, path: str) -> None:
    async with two_clients(server) as (one, two):
        first, second = one.recipes.Lock(path), two.recipes.Lock(path)
        async with first:
            waiting = asyncio.ensure_future(second.acquire())
            with pytest.raises(exc.TimeoutError):
                await two.recipes.Lock(path).acquire(timeout=0.2)
            await reconnect(two)
            assert not waiting.done()
        await waiting
        await second.release()


async def test_election(server: Ensemble, path: str) -> None:
    async with two_clients(server) as (one, two):
        first, second = one.recipes.LeaderElection(path), two.recipes.LeaderElection(path)
        await one.ensure_path(path)
        await first.volunteer()
        await first.wait_for_leadership()
        await second.volunteer()
        await reconnect(two)
        await first.resign()
        await second.wait_for_leadership()
        await second.resign()


async def test_barriers(server: Ensemble, path: str) -> None:
    async with two_clients(server) as (one, two):
        await one.ensure_path(path)
        barrier = one.recipes.Barrier(f"{path}/barrier")
        await barrier.create()
        waiting = asyncio.ensure_future(two.recipes.Barrier(f"{path}/barrier").wait())
        await asyncio.sleep(0.1)
        await reconnect(two)
        await barrier.lift()
        await waiting
        doubles = [client.recipes.DoubleBarrier(f"{path}/double", min_participants=2) for client in (one, two)]
        await asyncio.gather(*(double.enter() for double in doubles))
        await asyncio.gather(*(double.leave() for double in doubles))


async def test_counter_and_party(server: Ensemble, path: str) -> None:
    async with two_clients(server) as (one, two):
        await one.ensure_path(path)
        counter = one.recipes.Counter(f"{path}/counter")
        await counter.start()
        await counter.incr()
        await reconnect(one)
        await counter.incr()
        assert counter.value == 2
        parties = [client.recipes.Party(f"{path}/party", name) for client, name in ((one, "one"), (two, "two"))]
        await one.ensure_path(f"{path}/party")
        for party in parties:
            await party.join()
        await until(lambda: sorted(parties[0].members) == ["one", "two"])
        for party in parties:
            await party.leave()


async def test_watchers(server: Ensemble, path: str) -> None:
    seen: list[Any] = []
    async with two_clients(server) as (one, two):
        await one.ensure_path(path)
        data, children = one.recipes.DataWatcher(), one.recipes.ChildrenWatcher()
        data.set_client(one)
        children.set_client(one)
        data.add_callback(path, seen.append)
        children.add_callback(path, seen.append)
        await until(lambda: len(seen) == 2)
        await reconnect(one)
        await two.set_data(path, b"new")
        await until(lambda: b"new" in seen)
        await two.create(f"{path}/child")
        await until(lambda: ["child"] in seen)
        data.remove_callback(path, seen.append)
        children.remove_callback(path, seen.append)
        await asyncio.sleep(0)
