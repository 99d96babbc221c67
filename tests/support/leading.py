"""What the tests of leadership share: both kinds of client, and ways to lose a leadership."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiozk

from golea_async import AsyncElection, Leadership, Role, Status, ZKClient

from .elections import connected, soon, status_of
from .wire import WireClient

KINDS = ["aiozk", "golea_async"]


@asynccontextmanager
async def client_of(kind: str, hosts: str, session_timeout: float) -> AsyncIterator[aiozk.ZKClient]:
    """A started client of either kind."""
    if kind == "aiozk":
        async with connected(hosts, session_timeout=session_timeout) as plain:
            yield plain
    else:
        async with ZKClient(hosts, session_timeout=session_timeout) as prompt:
            yield prompt


async def leading(election: AsyncElection) -> Leadership:
    """Start it if need be, and wait until it leads."""
    if election.status.role is Role.NONE:
        await soon(election.start())
    return await soon(election.wait_for_leadership())


async def depose(wire: WireClient, election: AsyncElection) -> None:
    """Have somebody else delete the candidate's znode."""
    assert election.status.candidate_id is not None
    await wire.delete(election.status.candidate_id)


async def statuses_until_leader(statuses: AsyncIterator[Status]) -> list[Status]:
    """Read on to the next status of a leader; return all that were read."""
    read = [await soon(anext(statuses))]
    while read[-1].role is not Role.LEADER:
        read.append(await soon(anext(statuses)))
    return read


async def loss(statuses: AsyncIterator[Status]) -> Status:
    """Read on to the next status that says CANDIDATE."""
    return await status_of(statuses, Role.CANDIDATE)
