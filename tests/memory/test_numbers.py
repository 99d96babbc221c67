"""Numbers that end, and numbers that go on: of sequential znodes, and of a session's requests."""

from __future__ import annotations

import pytest
from aiozk import exc

from golea_async import ZKClient
from golea_async.testing import MemoryZooKeeper

LAST = 2**31 - 1


async def _number(client: ZKClient) -> str:
    path: str = await client.create("/e/le_", sequential=True)
    return path.removeprefix("/e/le_")


async def test_the_counter_of_sequential_znodes_sticks_at_the_last_number(zookeeper: MemoryZooKeeper) -> None:
    """As ZooKeeper's does: a name that was issued is issued again once its znode is gone."""
    async with ZKClient(zookeeper.hosts) as client:
        await client.create("/e")
        zookeeper._call(lambda: setattr(zookeeper._host.engine.tree.get("/e"), "cversion", LAST - 1))
        assert await _number(client) == str(LAST - 1)
        assert await _number(client) == str(LAST)
        with pytest.raises(exc.NodeExists):
            await _number(client)
        await client.delete(f"/e/le_{LAST}", force=True)
        assert await _number(client) == str(LAST)
        assert await client.exists("/e")  # though its stat counts more changes than the field can hold


async def test_the_numbers_of_requests_go_on_through_a_session(zookeeper: MemoryZooKeeper) -> None:
    """A server matches a commit with a request by session and number alone."""
    async with ZKClient(zookeeper.hosts) as client:
        await client.create("/a")
        first, before = client.session.conn, client.session.xid
        assert before > 0
        zookeeper.drop_connections()
        await client.exists("/a")
        assert client.session.conn is not first
        assert client.session.xid > before
