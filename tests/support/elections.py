"""What the tests of elections share: clients, waiting, reading statuses, and looking at what ZooKeeper has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import aiozk

from golea_async import AsyncElection, Role, Status, ZKClient

from .wire import WatchEvent, WireClient

CLIENT_VARIABLE = "GOLEA_ASYNC_TEST_CLIENT"
SOON = 30.0
SESSION_TIMEOUT = 4.0
LONG_SESSION_TIMEOUT = 10.0
"""The longest that the shared ensembles grant, for who keeps the event loop busy: it has to outlast a slow machine."""
T = TypeVar("T")
Connect = Callable[..., Awaitable[aiozk.ZKClient]]
"""`await connect(hosts, session_timeout=..., chroot=...)`: a started client, which is closed with the test."""


def client_under_test() -> type[aiozk.ZKClient]:
    """The tests of elections run on both; candidates in processes of their own inherit the choice."""
    return ZKClient if os.environ.get(CLIENT_VARIABLE) == "ours" else aiozk.ZKClient


async def soon(awaitable: Awaitable[T]) -> T:
    """What happens by itself; the limit only ends a test that fails."""
    async with asyncio.timeout(SOON):
        return await awaitable


async def eventually(condition: Callable[[], bool]) -> None:
    """Where there is nothing to wait for but the condition itself."""
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(hosts: str, **settings: Any) -> AsyncIterator[aiozk.ZKClient]:
    """A started client of the kind under test, in a session of its own; afterwards nothing of it is left."""
    client = client_under_test()(hosts, **{"session_timeout": SESSION_TIMEOUT, **settings})
    connections = [] if isinstance(client, ZKClient) else _connections_of(client)
    try:
        await soon(client.start())
        yield client
    finally:
        await _close(client)
        for connection in connections:
            connection.writer.transport.abort()


def _connections_of(client: aiozk.ZKClient) -> list[Any]:
    """All connections that the client will make: aiozk forgets to close some of those that broke."""
    connections = []
    make_connection = client.session.make_connection

    async def remember(*address: Any) -> Any:
        connection = await make_connection(*address)
        if connection is not None:
            connections.append(connection)
        return connection

    client.session.make_connection = remember
    return connections


async def _close(client: aiozk.ZKClient) -> None:
    """Close a client, also one whose server is gone: aiozk then waits for a session timeout, or for ever."""
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * SESSION_TIMEOUT):
            await client.close()


async def stand(zk: aiozk.ZKClient, resource: str, *names: str) -> list[AsyncElection]:
    """Candidates that have joined one after the other: the first leads."""
    elections = [AsyncElection(zk, resource, name) for name in names]
    for election in elections:
        await soon(election.start())
    return elections


async def resign(*elections: AsyncElection) -> None:
    for election in elections:
        await soon(election.resign())


async def next_status(statuses: AsyncIterator[Status]) -> Status:
    return await soon(anext(statuses))


async def status_of(statuses: AsyncIterator[Status], role: Role) -> Status:
    """The next status with this role."""
    async with asyncio.timeout(SOON):
        async for status in statuses:
            if status.role is role:
                return status
    raise AssertionError(f"the statuses ended without one of {role}")


async def rest_of(statuses: AsyncIterator[Status]) -> list[Status]:
    """The statuses up to their end."""
    async with asyncio.timeout(SOON):
        return [status async for status in statuses]


async def is_quiet(statuses: AsyncIterator[Status], seconds: float) -> bool:
    """Whether there is no further status in this time."""
    try:
        async with asyncio.timeout(seconds):
            await anext(statuses)
    except TimeoutError:
        return True
    return False


async def sync(client: aiozk.ZKClient) -> None:
    """Return when the client's server has all that was written before, and the client all events of it."""
    await soon(client.send(aiozk.protocol.SyncRequest(path="/")))


async def children(wire: WireClient, path: str) -> list[str]:
    """The children of a znode as of now, sorted."""
    await wire.sync(path)
    return sorted(await wire.get_children(path))


async def until_gone(wire: WireClient, path: str) -> None:
    """Return when there is no such znode."""
    events: asyncio.Queue[WatchEvent] = asyncio.Queue()
    while await wire.exists(path, events.put_nowait) is not None:
        await soon(events.get())


async def is_there(wire: WireClient, path: str) -> bool:
    """Whether a znode exists as of now."""
    await wire.sync(path)
    return await wire.exists(path) is not None


def callbacks_on(client: aiozk.ZKClient) -> int:
    """How many watch callbacks aiozk has."""
    return sum(map(len, client.session.watch_callbacks.values()))
