"""Who leads, asked of a server that leads ZooKeeper no more and does not know: it answers reads, and even `sync`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from golea_async import AsyncElection, ZKClient, create_election, get_leader, list_candidates
from tests.support.elections import soon
from tests.support.wire import WireClient, WireConnectionError

from .cluster import SESSION_TIMEOUT, Cluster

pytestmark = pytest.mark.asyncio(loop_scope="package")  # as the cluster's


@pytest.mark.parametrize("look", [get_leader, list_candidates])
async def test_of_a_stranded_leader(cluster: Cluster, look: Callable[..., Awaitable[Any]]) -> None:
    await cluster.until_whole()
    resource = f"/stale-{look.__name__}"
    stranded = await cluster.leader()
    others = ",".join(server.address for server in cluster.servers if server is not stranded)
    async with (
        ZKClient(others, session_timeout=SESSION_TIMEOUT) as theirs,
        ZKClient(stranded.address, session_timeout=SESSION_TIMEOUT) as ours,
        await WireClient.connect(stranded.port) as reader,
    ):
        await create_election(theirs, resource)
        election = AsyncElection(theirs, resource, "of the past")
        await soon(election.start())
        await soon(look(ours, resource))
        async with cluster.strand_leader(stranded):
            await soon(election.resign(timeout=None))
            asked = asyncio.ensure_future(look(ours, resource))
            with suppress(WireConnectionError):  # on a busy machine it has found out by now
                assert await reader.get_children(resource) == ["le_0000000000"]  # it answers, and is wrong
            assert not asked.done() or not asked.result()
        assert not await soon(asked)
