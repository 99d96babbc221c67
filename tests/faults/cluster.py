"""Three ZooKeeper servers that talk to each other through proxies, so that they can be cut from each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from tests.support.ensemble import Ensemble, EnsembleError, Server
from tests.support.ports import LOOPBACK
from tests.support.proxy import Proxy

TICK = 0.5
SESSION_TIMEOUT = 4.0
SYNC_LIMIT = 24
"""In ticks: three session timeouts. For so long a server that is cut off from the others goes on as if it were not."""


class Cluster:
    """An ensemble whose servers reach each other's quorum and election ports through proxies of this event loop."""

    def __init__(self) -> None:
        self.ensemble = Ensemble(3, tick=TICK, sync_limit=SYNC_LIMIT, peer_address=self._peer_address)
        self._peers: dict[tuple[int, int, int], Proxy] = {}
        self._loop = asyncio.get_running_loop()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.ensemble.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.ensemble.stop)
        await self._stack.aclose()

    @property
    def servers(self) -> list[Server]:
        return self.ensemble.servers

    @property
    def hosts(self) -> str:
        """All of them, without a proxy."""
        return ",".join(server.address for server in self.servers)

    async def leader(self) -> Server:
        """ZooKeeper's leader."""
        return await asyncio.to_thread(self.ensemble.leader)

    async def follower(self) -> Server:
        """One of the servers that follow it."""
        return (await asyncio.to_thread(self.ensemble.followers))[0]

    async def until_whole(self) -> None:
        """Return when all servers serve, one as the leader and all others as its followers."""
        # The servers talk through proxies of the event loop in which the cluster began.
        assert asyncio.get_running_loop() is self._loop, "mark the test: asyncio(loop_scope='package')"
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(self._is_whole):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def cut_server(self, server: Server) -> AsyncIterator[None]:
        """Nothing passes between this server and the others; no connection breaks, so neither side is told."""
        proxies = [proxy for (source, target, _), proxy in self._peers.items() if server.identity in (source, target)]
        for proxy in proxies:
            proxy.swallow_requests()
            proxy.swallow_replies()
        async with self._healing(proxies):
            yield

    @asynccontextmanager
    async def strand_leader(self, server: Server) -> AsyncIterator[None]:
        """The same for ZooKeeper's leader, but the followers are told at once: they elect another one.

        The leader that was goes on for `syncLimit`: nobody has told it.
        """
        proxies = []
        for (source, target, _), proxy in self._peers.items():
            if target == server.identity:
                proxy.strand_server()
            elif source == server.identity:
                proxy.cut()
            else:
                continue
            proxies.append(proxy)
        async with self._healing(proxies):
            yield

    @asynccontextmanager
    async def _healing(self, proxies: list[Proxy]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for proxy in proxies:
                # What was swallowed is missing in the middle of these streams: they must not go on.
                proxy.reset()
                proxy.heal()
            await self.until_whole()

    def _is_whole(self) -> bool:
        try:
            modes = [server.mode() for server in self.servers]
        except EnsembleError:
            return False
        return sorted(modes) == ["follower"] * (len(modes) - 1) + ["leader"]

    def _peer_address(self, source: int, target: int, port: int) -> int:
        """Called in the thread that starts the ensemble."""
        return asyncio.run_coroutine_threadsafe(self._start_proxy(source, target, port), self._loop).result()

    async def _start_proxy(self, source: int, target: int, port: int) -> int:
        def announce_proxy(data: bytes) -> bytes:
            """A server that speaks to another about an election says where it can be reached: at the other's proxy.

            Otherwise the other would answer on a connection of its own, past all proxies (QuorumCnxManager, which
            keeps the connection that the server with the higher id has made).
            """
            own = self.servers[source - 1].election_port
            way_back = self._peers.get((target, source, own))
            return data if way_back is None else data.replace(_address(own), _address(way_back.port))

        # A follower may come just before the new leader listens. Refused it would try again; a connection that ends
        # makes it elect anew, and the two do not agree until the leader gives up, initLimit later (Learner.java).
        is_for_followers = port != self.servers[target - 1].election_port
        proxy = await self._stack.enter_async_context(
            Proxy(port, frames=False, rewrite=announce_proxy, waits_for_target=is_for_followers)
        )
        self._peers[source, target, port] = proxy
        return proxy.port


def _address(port: int) -> bytes:
    """All ports here have five digits, so that one takes the place of another."""
    return f"{LOOPBACK}:{port}".encode()
