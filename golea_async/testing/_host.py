"""The in-memory ZooKeeper's sockets and timers, all in one event loop."""

from __future__ import annotations

import asyncio
import random
import socket
import time

from ._engine import MILLISECONDS, Engine, Limits
from ._faults import Fault, Faults
from ._ports import LOOPBACK, choose_free_ports
from ._transport import ClientProtocol

CONTAINER_INTERVAL = 60.0
BIND_ATTEMPTS = 20


class Host:
    """Listens and keeps time for an engine. Everything here is called in the loop in which it was started."""

    def __init__(self, ports: list[int], limits: Limits, generator: random.Random) -> None:
        self.ports = ports  # 0 before the first start: any
        self.engine = Engine(len(ports), limits, clock=time.monotonic, wall_clock=time.time, generator=generator)
        self._faults = Faults()
        self._protocols: set[ClientProtocol] = set()
        self._listeners: dict[int, asyncio.Server] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """:raises OSError: there is no free port"""
        for index in range(len(self.ports)):
            await self.listen(index)
        self._tasks = [
            asyncio.create_task(self._count_ticks(), name="ticks of MemoryZooKeeper"),
            asyncio.create_task(self._delete_containers(), name="containers of MemoryZooKeeper"),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for index in range(len(self.ports)):
            self.stop_listening(index)
        await asyncio.gather(*(protocol.closed for protocol in self._protocols))

    async def listen(self, index: int) -> None:
        """Serve on this server's port, or the first time on a new one. Nothing happens if it does already.

        :raises OSError: somebody else has taken the port
        """
        if index in self._listeners:
            return
        if not self._listeners:
            self.engine.restart()
        listening = _bind(self.ports[index])
        self.ports[index] = listening.getsockname()[1]
        self._listeners[index] = await asyncio.get_running_loop().create_server(
            lambda: ClientProtocol(self.engine, index, self._faults, self._protocols), sock=listening
        )

    def stop_listening(self, index: int) -> None:
        """Refuse connections, and break those that there are."""
        if index in self._listeners:
            self._listeners.pop(index).close()
        for protocol in list(self._protocols):
            if protocol.server == index:
                protocol.abort()

    def drop_connections(self, session_id: int | None) -> None:
        for protocol in list(self._protocols):
            if session_id in (None, protocol.session_id):
                protocol.abort()

    def begin(self, fault: Fault) -> None:
        self._faults.begin(fault)
        self._apply_faults()

    def end(self, fault: Fault) -> None:
        # While all servers were frozen nobody counted. What is over is over before a late ping can save it.
        self._faults.end(fault)
        self._expire_sessions()
        self._apply_faults()

    def _apply_faults(self) -> None:
        for protocol in list(self._protocols):
            protocol.apply_faults()

    async def _count_ticks(self) -> None:
        while True:
            tick = self.engine.limits.tick
            await asyncio.sleep((tick - self.engine.now() % tick) / MILLISECONDS)
            self._expire_sessions()

    async def _delete_containers(self) -> None:
        while True:
            await asyncio.sleep(CONTAINER_INTERVAL)
            self.engine.delete_used_up_containers()

    def _expire_sessions(self) -> None:
        if any(not self._faults.holds_requests(0, index) for index in self._listeners):
            self.engine.expire_due_sessions()


def _bind(port: int) -> socket.socket:
    """A socket bound to this port, or to any for 0."""
    for attempts_left in reversed(range(1 if port else BIND_ATTEMPTS)):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, port or choose_free_ports(1)[0]))
        except OSError:
            listening.close()
            if not attempts_left:
                raise
        else:
            return listening
    raise AssertionError("not reached")
