"""A rolling update that moves leadership once: three old replicas and three new ones, each behind HTTP.

The new ones are started, leadership is transferred to the youngest, and the old ones are stopped. A client asks all of
them over HTTP who leads, as a load balancer does (`GET /leader`: 200 from the leader, 503 from the others), and tells
how often leadership moved and for how long nobody led.

    python examples/rolling_update.py                                     # on a ZooKeeper in memory
    python examples/rolling_update.py --zookeeper zk1:2181,zk2:2181       # on yours
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from contextlib import AsyncExitStack, suppress
from itertools import groupby, pairwise

import aiohttp
from aiohttp import web

from golea_async import AsyncElection, Leadership, ZKClient, create_election, transfer_leadership
from golea_async.testing import MemoryZooKeeper

REPLICAS = 3
LOOPBACK = "127.0.0.1"


class Replica:
    """One copy of the service: it stands, works while it leads, and answers at a port of its own."""

    def __init__(self, name: str, hosts: str, resource: str) -> None:
        self.name = name
        self._zk = ZKClient(hosts, session_timeout=6)
        self._resource = resource
        self._exits = AsyncExitStack()
        self.url = ""

    async def start(self) -> None:
        """Return when it serves, and has its place in the line."""
        zk = await self._exits.enter_async_context(self._zk)
        self._election = AsyncElection(zk, self._resource, self.name)
        await self._election.start()
        running = asyncio.create_task(self._election.run(self._work))
        self._exits.push_async_callback(_stopped, running)
        app = web.Application()
        app.router.add_get("/leader", self._answer)
        server = web.AppRunner(app)
        await server.setup()
        self._exits.push_async_callback(server.cleanup)
        site = web.TCPSite(server, LOOPBACK, 0)
        await site.start()
        self.url = f"http://{LOOPBACK}:{server.addresses[0][1]}/leader"

    async def stop(self) -> None:
        """What SIGTERM does to a service: it resigns, and ends."""
        await self._exits.aclose()

    async def _work(self, leadership: Leadership) -> None:
        print(f"{self.name} begins to work (fencing token {leadership.fencing_token})", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print(f"{self.name} has stopped", flush=True)

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self._election.is_leader else 503, text=self.name)


class LoadBalancer:
    """Asks each replica, over and over, whether it leads."""

    def __init__(self) -> None:
        self.backends: list[Replica] = []
        self.seen: list[tuple[float, str | None]] = []

    async def run(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                for backend in list(self.backends):
                    with suppress(aiohttp.ClientError):
                        async with session.get(backend.url) as response:
                            if response.status == 200:
                                self.seen.append((time.monotonic(), backend.name))
                await asyncio.sleep(0.002)

    def leaders(self) -> list[str]:
        return [str(name) for name, _ in groupby(name for _, name in self.seen)]

    def longest_gap(self) -> float:
        """The longest time for which it has seen no leader."""
        times = [moment for moment, _ in self.seen]
        return max(later - earlier for earlier, later in pairwise(times))


async def update(hosts: str, resource: str) -> int:
    """Play the update; return how often leadership moved."""
    balancer = LoadBalancer()
    old = [Replica(f"old-{number}", hosts, resource) for number in range(1, REPLICAS + 1)]
    new = [Replica(f"new-{number}", hosts, resource) for number in range(1, REPLICAS + 1)]
    async with ZKClient(hosts) as operator:
        await create_election(operator, resource)
        for replica in old:
            await replica.start()
            balancer.backends.append(replica)
        watching = asyncio.create_task(balancer.run())
        await _until_leads(balancer, old[0])
        print("--- the new ones are started", flush=True)
        for replica in new:
            await replica.start()
            balancer.backends.append(replica)
        print(f"--- leadership is transferred to the youngest, {new[-1].name}", flush=True)
        await transfer_leadership(operator, resource, new[-1].name)
        await _until_leads(balancer, new[-1])
        print("--- the old ones are stopped", flush=True)
        for replica in old:
            await replica.stop()
            balancer.backends.remove(replica)
        await _stopped(watching)
        for replica in new:
            await replica.stop()
    leaders = balancer.leaders()
    print(f"leadership moved {len(leaders) - 1} time(s): {' -> '.join(leaders)}")
    print(f"nobody led, as seen over HTTP, for {1000 * balancer.longest_gap():.0f} ms")
    return len(leaders) - 1


async def _until_leads(balancer: LoadBalancer, replica: Replica) -> None:
    while not balancer.seen or balancer.seen[-1][1] != replica.name:  # noqa: ASYNC110 - as it sees it, over HTTP
        await asyncio.sleep(0.005)


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def main() -> int:
    parser = argparse.ArgumentParser(description="A rolling update that moves leadership once.")
    parser.add_argument("--zookeeper", help="host:port,host:port,...; without it, a ZooKeeper in memory")
    parser.add_argument("--election", default="/example-rolling-update", help="path of the election node")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with MemoryZooKeeper() as zookeeper:
        moves = asyncio.run(update(arguments.zookeeper or zookeeper.hosts, arguments.election))
    return 0 if moves == 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
