"""The contestants, each behind the same few calls: two sides that join, hand over and leave, timed where they act.

The first side stands on the first server of the ensemble and the second one on the second, whoever is measured. Each
call returns seconds.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Protocol

import aiozk
from aiozk import WatchEvent, exc, protocol
from aiozk.recipes.election import LeaderElection
from kazoo.client import KazooClient

from golea_async import AsyncElection
from golea_async._protocol.znodes import CANDIDATE_PREFIX, DONE, name_before
from golea_async._zookeeper.clock import boottime
from golea_async.testing import Ensemble

from .clients import SESSION_TIMEOUT, kind_of, new_election, opened
from .report import Contestant


class Sides(Protocol):
    """Two clients, each with at most one candidate in the election that they share."""

    async def join(self, side: int) -> float:
        """From the call until it knows whether it leads or whom it follows."""

    async def hand_over(self) -> float:
        """From the call with which the first side's leader leaves until the second side's candidate leads."""

    async def leave(self, side: int) -> None: ...


class BareSides:
    """The requests that cannot be done without: create and list; delete, event, and list."""

    def __init__(self, clients: tuple[aiozk.ZKClient, aiozk.ZKClient], resource: str, *, checks: bool = False) -> None:
        self._clients = clients
        self._resource = resource
        self._checks = checks
        self._candidates = ["", ""]

    async def join(self, side: int) -> float:
        zk, began = self._clients[side], time.perf_counter()
        self._candidates[side] = await zk.create(f"{self._resource}/le_", data=b"n", ephemeral=True, sequential=True)
        await zk.get_children(self._resource)
        return time.perf_counter() - began

    async def hand_over(self) -> float:
        first, second = self._clients
        gone = second.wait_for_events([WatchEvent.DELETED], self._candidates[0])
        await second.exists(self._candidates[0], watch=True)
        began = time.perf_counter()
        deletion = asyncio.ensure_future(first.delete(self._candidates[0]))
        await gone
        await asyncio.gather(*self._look(second))
        taken = time.perf_counter() - began
        await deletion
        return taken

    def _look(self, zk: aiozk.ZKClient) -> list[Any]:
        listing = zk.get_children(self._resource)
        return [bare_check(zk, self._candidates[1]), listing] if self._checks else [listing]

    async def leave(self, side: int) -> None:
        await self._clients[side].delete(self._candidates[side])


class OurRequestsSides(BareSides):
    """What golea_async sends for a join until it knows its place, with nothing around it.

    Right behind the nomination it asks for the election node and `DONE`. By that the first one knows; another looks at
    the one before.
    """

    async def join(self, side: int) -> float:
        connection, began = self._clients[side].session.conn, time.perf_counter()
        acl = list(self._clients[side].default_acl)
        create = protocol.Create2Request(path=f"{self._resource}/{CANDIDATE_PREFIX}", data=b"n", acl=acl)
        create.set_flags(ephemeral=True, sequential=True)
        look_at_node = protocol.GetDataRequest(path=self._resource, watch=False)
        look_at_done = protocol.ExistsRequest(path=f"{self._resource}/{DONE}", watch=True)
        created, node = Answers.of(connection, create), Answers.of(connection, look_at_node, look_at_done)[0]
        own = self._candidates[side] = (await created[0]).path
        if side == 0:
            await node
        else:
            before = f"{self._resource}/{name_before(own.rpartition('/')[2])}"
            await Answers.of(connection, protocol.GetDataRequest(path=before, watch=True))[0]
        return time.perf_counter() - began


class Answers:
    """The answers to requests that were sent together."""

    def __init__(self, count: int) -> None:
        self.futures: list[asyncio.Future[Any]] = [asyncio.get_running_loop().create_future() for _ in range(count)]
        self._next = 0

    @classmethod
    def of(cls, connection: Any, *requests: Any) -> list[asyncio.Future[Any]]:
        answers = cls(len(requests))
        connection.post(requests, boottime(), answers.told)
        return answers.futures

    def told(self, _zxid: int, result: Any) -> None:
        """Take the next answer, also where that is an error."""
        future = self.futures[self._next]
        self._next += 1
        if isinstance(result, Exception) and not isinstance(result, exc.NoNode):
            future.set_exception(result)
        else:
            future.set_result(result)


async def bare_check(zk: aiozk.ZKClient, path: str) -> None:
    """The keep-alive's quorum write."""
    request = protocol.TransactionRequest()
    request.add(protocol.CheckVersionRequest(path=path, version=-1))
    await zk.send(request)


async def hand_over(leader: AsyncElection | LeaderElection, heir: AsyncElection | LeaderElection) -> float:
    """From the call of `resign()` until the other one leads; both libraries name these calls the same."""
    led = asyncio.ensure_future(heir.wait_for_leadership())
    await asyncio.sleep(0)
    began = time.perf_counter()
    resignation = asyncio.ensure_future(leader.resign())
    await led
    taken = time.perf_counter() - began
    await resignation
    return taken


class GoleaSides:
    def __init__(self, clients: tuple[aiozk.ZKClient, aiozk.ZKClient], resource: str) -> None:
        self._clients = clients
        self._resource = resource
        self._candidates: dict[int, AsyncElection] = {}

    async def join(self, side: int) -> float:
        began = time.perf_counter()
        election = self._candidates[side] = AsyncElection(self._clients[side], self._resource, "n")
        await election.start()
        return time.perf_counter() - began

    async def hand_over(self) -> float:
        return await hand_over(self._candidates[0], self._candidates[1])

    async def leave(self, side: int) -> None:
        await self._candidates[side].resign()


class TellingElection(LeaderElection):  # type: ignore[misc]  # aiozk has no types
    """aiozk's recipe, and when it has found its place: it leads, or watches the one before."""

    def __init__(self, base_path: str) -> None:
        super().__init__(base_path)
        self.placed = asyncio.Event()

    def set_client(self, client: aiozk.ZKClient) -> None:
        super().set_client(_TellingClient(client, self.placed))

    async def volunteer(self) -> None:
        await super().volunteer()
        self.watch_loop_task.add_done_callback(lambda _: self.placed.set())


class _TellingClient:
    """Passes everything on, and tells when a look at a znode is answered."""

    def __init__(self, client: Any, answered: asyncio.Event) -> None:
        self._client = client
        self._answered = answered

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def exists(self, **arguments: Any) -> Any:
        found = await self._client.exists(**arguments)
        self._answered.set()
        return found


class RecipeSides:
    def __init__(self, clients: tuple[aiozk.ZKClient, aiozk.ZKClient], resource: str) -> None:
        self._clients = clients
        self._resource = resource
        self._candidates: dict[int, TellingElection] = {}

    async def join(self, side: int) -> float:
        election = self._candidates[side] = TellingElection(self._resource)
        election.set_client(self._clients[side])
        began = time.perf_counter()
        await election.volunteer()
        await election.placed.wait()
        return time.perf_counter() - began

    async def hand_over(self) -> float:
        return await hand_over(self._candidates[0], self._candidates[1])

    async def leave(self, side: int) -> None:
        await self._candidates[side].resign()


class KazooSides:
    """Each side is a thread inside kazoo's `Election.run`; a follower cannot tell that it has joined."""

    def __init__(self, clients: tuple[KazooClient, KazooClient], resource: str) -> None:
        self._workers = [_KazooWorker(client, resource) for client in clients]

    async def join(self, side: int) -> float:
        worker = self._workers[side]
        worker.begin()
        if side:
            while not await asyncio.to_thread(worker.is_in_line):
                pass
            await asyncio.sleep(0.01)  # nothing tells when it has set its watch
            return math.nan
        return await asyncio.to_thread(worker.wait_led) - worker.began_at

    async def hand_over(self) -> float:
        first, second = self._workers
        first.ended.set()
        led_at = await asyncio.to_thread(second.wait_led)
        return led_at - first.left_at

    async def leave(self, side: int) -> None:
        await asyncio.to_thread(self._workers[side].leave)


class _KazooWorker:
    """One candidate after the other, each in a thread."""

    def __init__(self, client: KazooClient, resource: str) -> None:
        self._client = client
        self._resource = resource
        self._led_at: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._election: Any = None
        self._thread: threading.Thread | None = None
        self.ended = threading.Event()
        self.began_at = self.left_at = 0.0

    def begin(self) -> None:
        self.leave()
        self.ended.clear()
        self._election = self._client.Election(self._resource, "n")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_led(self) -> float:
        return self._led_at.get()

    def is_in_line(self) -> bool:
        return len(self._client.get_children(self._resource)) == 2

    def leave(self) -> None:
        """End its leadership, or its waiting for that, and wait until it has gone."""
        self.ended.set()
        if self._thread is not None and self._thread.is_alive():
            self._election.cancel()
            self._thread.join()

    def _run(self) -> None:
        self.began_at = time.perf_counter()
        self._election.run(self._lead)

    def _lead(self) -> None:
        self._led_at.put(time.perf_counter())
        self.ended.wait()
        self.left_at = time.perf_counter()


_MAKERS: dict[Contestant, Callable[..., Sides]] = {
    Contestant.FLOOR: BareSides,
    Contestant.OUR_REQUESTS: OurRequestsSides,
    Contestant.OURS: GoleaSides,
    Contestant.OURS_ON_AIOZK: GoleaSides,
    Contestant.RECIPE: RecipeSides,
}


@asynccontextmanager
async def all_sides(ensemble: Ensemble) -> AsyncIterator[dict[Contestant, Callable[[str], Sides]]]:
    """Every contestant, each on clients of its own: takes an election node."""
    first, second = (server.address for server in ensemble.servers[:2])
    async with AsyncExitStack() as stack:
        sides: dict[Contestant, Callable[[str], Sides]] = {}
        for contestant, make in _MAKERS.items():
            one = await stack.enter_async_context(opened(kind_of(contestant), first))
            two = await stack.enter_async_context(opened(kind_of(contestant), second))
            sides[contestant] = partial(make, (one, two))
            if contestant is Contestant.OURS_ON_AIOZK:  # its lease begins 11/40 T after the first join
                for zk in (one, two):
                    await stack.enter_async_context(AsyncElection(zk, await new_election(zk)))
        clients = KazooClient(first, timeout=SESSION_TIMEOUT), KazooClient(second, timeout=SESSION_TIMEOUT)
        for client in clients:
            await asyncio.to_thread(client.start)
            stack.push_async_callback(asyncio.to_thread, client.close)
            stack.push_async_callback(asyncio.to_thread, client.stop)
        sides[Contestant.KAZOO] = partial(KazooSides, clients)
        yield sides
