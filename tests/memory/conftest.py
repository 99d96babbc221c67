"""A `MemoryZooKeeper` of three servers, and sessions on it that belong to nobody's election."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from golea_async.testing import MemoryZooKeeper
from tests.support.wire import WireClient


@pytest.fixture
def zookeeper() -> Iterator[MemoryZooKeeper]:
    with MemoryZooKeeper(3) as three:
        yield three


@pytest.fixture
async def wire(zookeeper: MemoryZooKeeper) -> AsyncIterator[WireClient]:
    """Somebody's session, on the first server."""
    async with await WireClient.connect(zookeeper.servers[0].port) as client:
        yield client
