"""A ZooKeeper in memory, for what says nothing of ZooKeeper itself."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def memory() -> Iterator[MemoryZooKeeper]:
    with MemoryZooKeeper(tick=0.5) as zookeeper:
        yield zookeeper


@pytest.fixture
async def client(memory: MemoryZooKeeper) -> AsyncIterator[ZKClient]:
    async with ZKClient(memory.hosts) as zk:
        yield zk


@pytest.fixture
async def election(client: ZKClient) -> str:
    """The path of a new election in memory."""
    path = f"/cli/{next(_numbers)}"
    await create_election(client, path)
    return path


@pytest.fixture
async def leader(client: ZKClient, election: str) -> AsyncIterator[AsyncElection]:
    """Somebody who leads in it."""
    async with AsyncElection(client, election, "ada") as standing:
        yield standing
