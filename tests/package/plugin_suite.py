"""A user's test, run in an environment in which the package was installed beside pytest and nothing of this project."""

from __future__ import annotations

import asyncio

from golea_async import AsyncElection, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper


def test_the_fixtures_are_there(memory_zookeeper: MemoryZooKeeper, zk_client: ZKClient) -> None:
    async def lead() -> None:
        async with zk_client as zk:
            await create_election(zk, "/package")
            async with AsyncElection(zk, "/package") as election:
                assert (await election.wait_for_leadership()).is_valid

    asyncio.run(lead())
    assert memory_zookeeper.hosts
