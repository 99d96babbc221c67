"""A resignation deletes the own znode and no other: a path that was issued again is another candidate's."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import aiozk
import pytest

from golea_async import AsyncElection, Leadership, Status, ZKClient, create_election
from golea_async.testing import MemoryZooKeeper
from tests.support.elections import children, soon
from tests.support.leading import KINDS, client_of, leading
from tests.support.wire import WireClient

RESOURCE = "/election"


class Elsewhere:
    """Another process, in a thread of its own: deletes the election, makes it anew, and stands in it."""

    def __init__(self, zookeeper: MemoryZooKeeper, places: int) -> None:
        self._hosts = zookeeper.hosts
        self._port = zookeeper.servers[0].port
        self._places = places
        self._is_to_end = threading.Event()
        self._has_begun = threading.Event()
        self.statuses: list[Status] = []

    async def block_the_loop_meanwhile(self, zk: aiozk.ZKClient) -> None:
        """Do all that while the caller's event loop stands still, with every watch set; return in its next step."""
        for _ in range(2):  # the candidate sends its last request behind the first of these
            await zk.exists("/")
        self._thread = threading.Thread(target=asyncio.run, args=(self._live(),))
        self._thread.start()
        while not self._has_begun.is_set():  # busy, as a program with a long calculation
            os.sched_yield()

    async def end(self) -> None:
        self._is_to_end.set()
        await asyncio.to_thread(self._thread.join)

    async def _live(self) -> None:
        async with ZKClient(self._hosts, session_timeout=4) as zk:
            async with await WireClient.connect(self._port) as wire:
                for child in await children(wire, RESOURCE):
                    await wire.delete(f"{RESOURCE}/{child}")
                await wire.delete(RESOURCE)
            await create_election(zk, RESOURCE)
            elections = [AsyncElection(zk, RESOURCE, f"new {place}") for place in range(self._places)]
            self.statuses = [await election.start() for election in elections]
            self._has_begun.set()
            await asyncio.to_thread(self._is_to_end.wait)
            for election in elections:
                await election.resign()


Block = Callable[[], Awaitable[None]]


async def resign(election: AsyncElection, block: Block) -> None:
    await leading(election)
    await block()
    await election.resign()


async def run(election: AsyncElection, block: Block) -> None:
    async def work(_: Leadership) -> None:
        await block()

    await election.run(work)


async def leave_the_block(election: AsyncElection, block: Block) -> None:
    async with election:
        await election.wait_for_leadership()
        await block()


async def cancel_the_body(election: AsyncElection, block: Block) -> None:
    has_begun = asyncio.Event()

    async def work(_: Leadership) -> None:
        has_begun.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(election.run(work))
    await has_begun.wait()
    await block()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("leave", [resign, run, leave_the_block, cancel_the_body])
@pytest.mark.parametrize("kind", KINDS)
async def test_who_leads_after_a_blocked_loop_is_left_in_peace(
    zookeeper: MemoryZooKeeper, kind: str, leave: Callable[[AsyncElection, Block], Awaitable[None]]
) -> None:
    elsewhere = Elsewhere(zookeeper, 1)
    async with client_of(kind, zookeeper.hosts, session_timeout=4) as zk:
        await create_election(zk, RESOURCE)
        old = AsyncElection(zk, RESOURCE, "old")
        await soon(leave(old, partial(elsewhere.block_the_loop_meanwhile, zk)))
        assert elsewhere.statuses[0].candidate_id == f"{RESOURCE}/le_0000000000"  # the path that was the old one's
        assert zookeeper.znodes()[f"{RESOURCE}/le_0000000000"] == b"new 0"
        await elsewhere.end()


@pytest.mark.parametrize("kind", KINDS)
async def test_who_follows_after_a_blocked_loop_is_left_in_peace(zookeeper: MemoryZooKeeper, kind: str) -> None:
    elsewhere = Elsewhere(zookeeper, 2)
    async with client_of(kind, zookeeper.hosts, session_timeout=4) as zk:
        await create_election(zk, RESOURCE)
        first, old = AsyncElection(zk, RESOURCE, "first"), AsyncElection(zk, RESOURCE, "old")
        await leading(first)
        await soon(old.start())
        await elsewhere.block_the_loop_meanwhile(zk)
        await soon(old.resign())
        await soon(first.resign())
        assert zookeeper.znodes()[f"{RESOURCE}/le_0000000000"] == b"new 0"
        assert zookeeper.znodes()[f"{RESOURCE}/le_0000000001"] == b"new 1"
        await elsewhere.end()
