"""Clients of both kinds, and the elections that are measured on them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiozk
from aiozk import protocol

from golea_async import ZKClient, create_election

from .report import Contestant

SESSION_TIMEOUT = 10.0
_numbers = itertools.count(1)


def kind_of(contestant: Contestant) -> type[aiozk.ZKClient]:
    """The client on which this one is measured: ours for the bare requests too."""
    return aiozk.ZKClient if contestant in (Contestant.OURS_ON_AIOZK, Contestant.RECIPE) else ZKClient


@asynccontextmanager
async def opened(
    kind: type[aiozk.ZKClient], hosts: str, session_timeout: float = SESSION_TIMEOUT
) -> AsyncIterator[aiozk.ZKClient]:
    """A client in a session of its own."""
    zk = kind(hosts, session_timeout=session_timeout)
    await zk.start()
    try:
        yield zk
    finally:
        await zk.close()


async def opened_many(
    stack: AsyncExitStack, kind: type[aiozk.ZKClient], hosts: str, count: int, session_timeout: float
) -> list[aiozk.ZKClient]:
    """Clients that are closed with the stack."""
    return [await stack.enter_async_context(opened(kind, hosts, session_timeout)) for _ in range(count)]


async def new_election(zk: aiozk.ZKClient, *others: aiozk.ZKClient) -> str:
    """Make an election node, which the servers of the others have too when this returns."""
    resource = f"/bench/{next(_numbers)}-{zk.session.session_id:x}"
    await create_election(zk, resource)
    for other in others:
        await other.send(protocol.SyncRequest(path=resource))
    return resource
