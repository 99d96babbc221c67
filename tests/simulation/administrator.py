"""The operator of the simulated elections: nobody cuts it off, but what it does comes at any time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiozk import exc

import golea_async
from golea_async import ElectionError, ZKClient

from .member import RESOURCE, STORE
from .network import Wire
from .process import Process
from .world import Clock, World

SESSION_TIMEOUT = 10.0


class Administrator:
    """
    :ivar is_prepared: whether the election node was made.
    :ivar asks: how many of its deeds under way ask candidates for something.
    :ivar deletes: how many of its deeds under way delete candidates, which is beyond the lease.
    """

    def __init__(self, world: World, clock: Clock, wires: list[Wire], seed: int) -> None:
        self._generator = random.Random(seed)
        self.process = Process(world, clock, self._generator, "administrator")
        self.process.loop.dial = lambda protocol, port: wires[port - 1].dial(self.process, protocol)
        self.is_prepared = False
        self.deletes = self.asks = 0
        self._hosts = ",".join(f"10.0.0.1:{port}" for port in range(1, len(wires) + 1))
        self._client: ZKClient | None = None

    def start(self) -> None:
        self.process.spawn(self._prepare(), "prepare")

    def do(self, what: str, *, cancelled_after: float | None = None) -> None:
        """Do this, in a task of its own."""
        if self._client is None or not self.is_prepared:
            return
        deeds: dict[str, Callable[[ZKClient], Awaitable[object]]] = {
            "depose the leader": self._deleting(self._depose),
            "delete a candidate": self._deleting(self._delete_candidate),
            "end the election": self._end,
            "end the election by force": self._deleting(self._end_by_force),
            "make the election anew": self._make_anew,
            "look": self._look,
            "transfer leadership": self._asking(self._transfer),
            "transfer leadership to whoever is next": self._asking(self._transfer_to_next),
            "ask a candidate to leave": self._asking(self._remove),
        }
        self.process.spawn(self._carry_out(deeds[what], cancelled_after), what)

    def repair(self) -> None:
        """See that the election can go on, whatever was done to it."""
        self.process.spawn(self._carry_out(self._repair), "repair")

    async def _prepare(self) -> None:
        self._client = ZKClient(self._hosts, session_timeout=SESSION_TIMEOUT)
        await self._client.start()
        for path in (RESOURCE, STORE):
            await self._until_known(path)
        self.is_prepared = True

    async def _until_known(self, path: str) -> None:
        assert self._client is not None
        while True:
            with suppress(exc.ZKError):
                await golea_async.create_election(self._client, path)
                return

    async def _carry_out(
        self, deed: Callable[[ZKClient], Awaitable[object]], cancelled_after: float | None = None
    ) -> None:
        assert self._client is not None
        # The members have to cope with whatever comes of it; several may have one name.
        with suppress(ElectionError, exc.ZKError, TimeoutError, ValueError):
            async with asyncio.timeout(cancelled_after):
                await deed(self._client)

    def _asking(self, deed: Callable[[ZKClient], Awaitable[object]]) -> Callable[[ZKClient], Awaitable[object]]:
        async def work(client: ZKClient) -> None:
            self.asks += 1
            try:
                await deed(client)
            finally:
                self.asks -= 1

        return work

    async def _transfer(self, client: ZKClient) -> None:
        candidates = await golea_async.list_candidates(client, RESOURCE)
        if candidates:
            to = self._generator.choice(candidates)
            await golea_async.transfer_leadership(client, RESOURCE, to.id, timeout=self._generator.choice((1, 20)))

    async def _transfer_to_next(self, client: ZKClient) -> None:
        await golea_async.transfer_leadership(client, RESOURCE, timeout=self._generator.choice((1, 20)))

    async def _remove(self, client: ZKClient) -> None:
        candidates = await golea_async.list_candidates(client, RESOURCE)
        if candidates:
            await golea_async.depose(client, self._generator.choice(candidates).id, timeout=20)

    def _deleting(self, deed: Callable[[ZKClient], Awaitable[object]]) -> Callable[[ZKClient], Awaitable[object]]:
        async def work(client: ZKClient) -> None:
            self.deletes += 1
            try:
                await deed(client)
            finally:
                self.deletes -= 1

        return work

    async def _depose(self, client: ZKClient) -> None:
        leader = await golea_async.get_leader(client, RESOURCE)
        if leader is not None:
            await golea_async.depose(client, leader.id, force=True)

    async def _delete_candidate(self, client: ZKClient) -> None:
        candidates = await golea_async.list_candidates(client, RESOURCE)
        if candidates:
            await client.delete(self._generator.choice(candidates).id, force=True)

    async def _end(self, client: ZKClient) -> None:
        await golea_async.end_election(client, RESOURCE)

    async def _end_by_force(self, client: ZKClient) -> None:
        await golea_async.end_election(client, RESOURCE, force_after=self._generator.choice((0, 1)))

    async def _make_anew(self, client: ZKClient) -> None:
        await golea_async.delete_election(client, RESOURCE)
        await asyncio.sleep(self._generator.choice((0, 0, 0.01, 1)))
        await golea_async.create_election(client, RESOURCE)

    async def _look(self, client: ZKClient) -> None:
        await golea_async.list_candidates(client, RESOURCE)

    async def _repair(self, client: ZKClient) -> None:
        while True:
            try:
                await golea_async.create_election(client, RESOURCE)
                return
            except golea_async.ElectionOverError:
                await golea_async.end_election(client, RESOURCE)
            except (ElectionError, exc.ZKError):
                await asyncio.sleep(0.1)  # simulated: an operator who tries again, with the servers just back
