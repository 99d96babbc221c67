"""A survey of what is watched, beside a lease that is to be renewed."""

from __future__ import annotations

import asyncio

import pytest

from golea_async import AsyncElection, Role, ZKClient, create_election
from golea_async._shared.client_context import ClientContext
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import eventually, resign, soon

T = 4.0
MANY = 12
"""More than the keep-alives that a lease outlives without one of them."""


async def test_a_leader_leads_on_when_many_that_it_watches_go_at_once(zookeeper: MemoryZooKeeper) -> None:
    """Each part of the survey is refused then, and a part stands in for a keep-alive."""
    elsewhere = [f"/elsewhere-{number}" for number in range(MANY)]
    async with (
        ZKClient(zookeeper.hosts, session_timeout=T) as zk,
        ZKClient(zookeeper.hosts, session_timeout=T) as other,
    ):
        for path in ("/mine", *elsewhere):
            await create_election(zk, path)
        theirs = [AsyncElection(other, path) for path in elsewhere]
        ours = [AsyncElection(zk, path) for path in ("/mine", *elsewhere)]
        for election in (*theirs, *ours):
            await soon(election.start())
        assert [election.status.role for election in ours[1:]] == [Role.FOLLOWER] * MANY
        leadership = await soon(ours[0].wait_for_leadership())
        context = ClientContext.attach(zk)
        context._survey.stop()
        context._survey._fall_due()
        zookeeper.expire_session(other.session.session_id)
        await eventually(lambda: all(election.is_leader for election in ours))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5 * T):
                await leadership.wait_lost()
        context.detach()
        await resign(*ours)
        await asyncio.gather(*(election.resign() for election in theirs))
