"""ZKClient and aiozk's client side by side, in one run: how soon each notices, and what a request costs.

    python -m tests.benchmarks.client

Three ZooKeeper servers on this machine, session timeout 6 s. Every figure is measured in this run, in alternating
rounds; a figure that a client did not reach within the limit is printed as such.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiozk

from golea_async import ZKClient
from tests.support.ensemble import Ensemble, Server

SESSION_TIMEOUT = 6.0
LIMIT = 5 * SESSION_TIMEOUT
KINDS: dict[str, type[aiozk.ZKClient]] = {"golea_async": ZKClient, "aiozk": aiozk.ZKClient}
Measurement = Callable[[Ensemble, type[aiozk.ZKClient]], Awaitable[float]]


@asynccontextmanager
async def client(kind: type[aiozk.ZKClient], hosts: str) -> AsyncIterator[aiozk.ZKClient]:
    """A started client; closing is bounded, since aiozk's waits for ever when it is out of touch."""
    zk = kind(hosts, session_timeout=SESSION_TIMEOUT)
    async with asyncio.timeout(LIMIT):
        await zk.start()
    try:
        yield zk
    finally:
        try:
            async with asyncio.timeout(2 * SESSION_TIMEOUT):
                await zk.close()
        except Exception as error:  # noqa: BLE001 - aiozk's close() raises what it likes; it is not what is measured
            print(f"    ({kind.__module__}: close() raised {error!r})")


async def answered(zk: aiozk.ZKClient) -> float:
    """Seconds until a request is answered, tried again as often as it fails; infinite after the limit."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    await zk.exists("/")
                    return time.perf_counter() - began
                except aiozk.exc.ZKError:
                    await asyncio.sleep(0)
    except TimeoutError:
        return float("inf")


async def after_a_kill(ensemble: Ensemble, kind: type[aiozk.ZKClient]) -> float:
    """From killing the connected server (a follower of the ensemble) to the first answer."""
    async with client(kind, ensemble.hosts) as zk:
        server = await on_a_follower(ensemble, zk)
        server.kill()
        try:
            return await answered(zk)
        finally:
            await asyncio.to_thread(server.start)


async def on_a_follower(ensemble: Ensemble, zk: aiozk.ZKClient) -> Server:
    """Move the client until its server is not the ensemble's leader, whose end would hold up everybody."""
    while True:
        server = next(server for server in ensemble.servers if server.port == zk.session.conn.port)
        if await asyncio.to_thread(server.mode) == "follower":
            return server
        zk.session.state.transition_to("suspended")
        await answered(zk)


async def after_an_outage(ensemble: Ensemble, kind: type[aiozk.ZKClient]) -> float:
    """From the moment at which the whole ensemble serves again, after 2.5 s, to the first answer."""
    async with client(kind, ensemble.hosts) as zk:
        for server in ensemble.servers:
            server.kill()
        waiting = asyncio.create_task(answered(zk))
        await asyncio.sleep(2.5)
        await asyncio.gather(*(asyncio.to_thread(server.start, wait=False) for server in ensemble.servers))
        await asyncio.to_thread(ensemble.wait_until_serving)
        back = time.perf_counter()
        await waiting
        return max(0.0, time.perf_counter() - back)


async def starts_that_hang(ensemble: Ensemble, kind: type[aiozk.ZKClient], starts: int = 12) -> float:
    """The share of starts that have not come back after a session timeout while one server is frozen."""
    frozen = (await asyncio.to_thread(ensemble.followers))[0]
    frozen.freeze()
    clients = [kind(ensemble.hosts, session_timeout=SESSION_TIMEOUT) for _ in range(starts)]
    tasks = [asyncio.create_task(zk.start()) for zk in clients]
    _, hanging = await asyncio.wait(tasks, timeout=SESSION_TIMEOUT)
    frozen.thaw()
    await asyncio.wait(tasks, timeout=SESSION_TIMEOUT)
    await asyncio.gather(*(zk.close() for zk in clients), return_exceptions=True)
    return len(hanging) / starts


Request = Callable[[aiozk.ZKClient, str, int], Awaitable[object]]


async def exists(zk: aiozk.ZKClient, parent: str, _number: int) -> None:
    await zk.exists(parent)


async def create(zk: aiozk.ZKClient, parent: str, number: int) -> None:
    await zk.create(f"{parent}/{number}")


async def one_by_one(zk: aiozk.ZKClient, request: Request, count: int) -> float:
    """Microseconds for a request, the median."""
    parent, times = await zk.create("/bench-", sequential=True), []
    for number in range(count):
        began = time.perf_counter()
        await request(zk, parent, number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


async def at_once(zk: aiozk.ZKClient, request: Request, count: int) -> float:
    """Requests per second."""
    parent = await zk.create("/bench-", sequential=True)
    began = time.perf_counter()
    await asyncio.gather(*(request(zk, parent, number) for number in range(count)))
    return count / (time.perf_counter() - began)


async def requests(ensemble: Ensemble, rounds: int = 5) -> None:
    figures: dict[str, dict[str, list[float]]] = {}
    async with client(ZKClient, ensemble.hosts) as ours, client(aiozk.ZKClient, ensemble.hosts) as theirs:
        for number in range(rounds + 1):
            for name, zk in (("golea_async", ours), ("aiozk", theirs)):
                measured = {
                    "exists, one by one, us": await one_by_one(zk, exists, 300),
                    "create, one by one, us": await one_by_one(zk, create, 300),
                    "exists, at once, /s": await at_once(zk, exists, 3000),
                    "create, at once, /s": await at_once(zk, create, 3000),
                }
                if number:  # the first round warms up
                    for what, figure in measured.items():
                        figures.setdefault(what, {}).setdefault(name, []).append(figure)
    for what, by_kind in figures.items():
        row(what, by_kind)


def row(what: str, figures: dict[str, list[float]]) -> None:
    cells = [f"{statistics.median(values):10.2f} ({min(values):.2f}..{max(values):.2f})" for values in figures.values()]
    print(f"{what:48}" + "".join(f"{cell:>34}" for cell in cells), flush=True)


async def compare(what: str, ensemble: Ensemble, measure: Measurement, rounds: int) -> None:
    figures: dict[str, list[float]] = {name: [] for name in KINDS}
    for _ in range(rounds):
        for name, kind in KINDS.items():
            figures[name].append(await measure(ensemble, kind))
    row(what, figures)


async def main(ensemble: Ensemble) -> None:
    print(f"{'median (least..most)':48}" + "".join(f"{name:>34}" for name in KINDS))
    await requests(ensemble)
    await compare("connected server killed: first answer after, s", ensemble, after_a_kill, 3)
    await compare("ensemble away for 2.5 s: back after, s", ensemble, after_an_outage, 3)
    await compare("one server frozen: share of starts that hang", ensemble, starts_that_hang, 2)


if __name__ == "__main__":
    logging.getLogger("aiozk").setLevel(logging.CRITICAL)
    logging.getLogger("golea_async").setLevel(logging.ERROR)
    with Ensemble(3) as shared:
        asyncio.run(main(shared))
