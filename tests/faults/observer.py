"""Observers: who is first by ZooKeeper's word, and whether a quorum answers. They speak to the servers directly."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from golea_async._protocol.znodes import in_order
from tests.support.ensemble import Server
from tests.support.wire import WireClient, WireError, check_operation

from .clock import now
from .record import Record, View, Znode

WRITE_INTERVAL = 0.2
PATIENCE = 1.0
OUT_OF_REACH = (OSError, EOFError, WireError, TimeoutError)
"""What a server answers that is down, frozen or cut off."""


class Observer:
    """Records what one server shows of an election, and writes to the quorum through it."""

    def __init__(self, server: Server, resource: str, record: Record) -> None:
        self._server = server
        self._resource = resource
        self._record = record

    async def run(self) -> None:
        """Go on until it is cancelled, whatever becomes of the server."""
        while True:
            with suppress(*OUT_OF_REACH):
                await self._observe()
            await asyncio.sleep(0.05)

    async def _observe(self) -> None:
        async with asyncio.timeout(PATIENCE):
            wire = await WireClient.connect(self._server.port, session_timeout=10)
        try:
            changed = asyncio.Event()
            changed.set()
            while True:
                async with asyncio.timeout(PATIENCE):
                    if changed.is_set():
                        changed.clear()
                        await self._look(wire, changed)
                    await wire.multi([check_operation(self._resource)])
                self._record.writes.append(now())
                with suppress(TimeoutError):
                    async with asyncio.timeout(WRITE_INTERVAL):
                        await changed.wait()
        finally:
            await wire.drop()

    async def _look(self, wire: WireClient, changed: asyncio.Event) -> None:
        """Record the first candidate; `changed` is set when the children change."""
        children = await wire.get_children(self._resource, lambda _: changed.set())
        first = next(iter(in_order(children)), None) or min(children, key=lambda name: name[-10:], default=None)
        token, holder = None, None
        if first is not None:
            try:
                data, stat = await wire.get(f"{self._resource}/{first}")
            except WireError:
                return  # gone meanwhile: the watch says so
            token, holder = stat.czxid, data.decode(errors="replace")
        parent = await wire.exists(self._resource)
        if parent is not None:
            self._record.views.append(
                View(self._server.identity, now(), parent.pzxid, first, token, holder),
            )


async def look_at_znodes(server: Server, resource: str) -> list[Znode]:
    """The candidates' znodes, as of now."""
    znodes = []
    async with asyncio.timeout(5), await WireClient.connect(server.port) as wire:
        await wire.sync(resource)
        for name in in_order(await wire.get_children(resource)):
            with suppress(WireError):  # gone meanwhile
                data, stat = await wire.get(f"{resource}/{name}")
                path = f"{resource}/{name}"
                znodes.append(Znode(path, stat.czxid, stat.ephemeral_owner, data.decode(errors="replace")))
    return znodes
