"""The guardian of a simulated process: what it says and for how long is the real one's, that it acts is played.

It runs on the machine of the program, in a process of its own, so that the same cuts and delays befall both.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Sequence
from typing import Any

from golea_async import ZKClient
from golea_async._zookeeper import guardian_process, guardian_talk

from .network import Wire
from .process import Process
from .world import Clock, World

_LENGTH = struct.Struct("!i")


class GuardianProcess(Process):
    """The process in which sessions are closed."""


class Guardian:
    """Guards one client's session, as it was told of it at the latest connection.

    :ivar processes: those in which it has closed sessions.
    """

    def __init__(self, world: World, clock: Clock, wires: Sequence[Wire], seed: int, name: str) -> None:
        self.processes: list[Process] = []
        self._world = world
        self._clock = clock
        self._wires = wires
        self._generator = random.Random(seed)
        self._name = name

    def pipe_ended(self, client: ZKClient) -> None:
        """The pipe from the program has ended: that proves nothing, a program may close its descriptors, or exec."""

    def program_died(self, client: ZKClient, *, late: float) -> None:
        """The program's pidfd says so.

        :param late: seconds for which the guardian was frozen meanwhile.
        """
        looked_before = self._generator.uniform(0, client.session.timeout / 8)
        self.close_session(client, self._clock.time() - looked_before, late)

    def close_session(self, client: ZKClient, died_at: float, late: float) -> None:
        """Close what was the client's session at this moment."""
        told = client.session
        if told.session_id == 0 or told.conn is None:
            return
        session = {
            "session": told.session_id,
            "password": told.password.hex(),
            "timeout": told.timeout,
            "auth": [("digest", b"member:password".hex())],
        }
        process = GuardianProcess(self._world, self._clock, self._generator, self._name)
        self.processes.append(process)
        connected = told.conn.port - 1
        wires = sorted(self._wires, key=lambda wire: wire.server.index != connected)
        process.spawn(_close(process, wires, session, died_at, late), self._name)


async def _close(process: Process, wires: Sequence[Wire], session: dict[str, Any], died_at: float, late: float) -> None:
    def limit() -> float:
        return guardian_process.seconds_for_a_try(session["timeout"], died_at, process.clock.time())

    await asyncio.sleep(late)
    silent: set[Wire] = set()
    while limit() > 0:
        for wire in wires:
            if wire in silent or limit() <= 0:
                continue
            try:
                if await _ask(process, wire, session, limit()):
                    return
            except TimeoutError:
                silent.add(wire)
            except (OSError, EOFError):
                pass
        await asyncio.sleep(guardian_process.pause_between_rounds(session["timeout"]))


async def _ask(process: Process, wire: Wire, session: dict[str, Any], limit: float) -> bool:
    """:raises TimeoutError: the server was asked, and has not answered in time."""
    deadline = process.loop.time() + limit
    frames = _Frames(process)
    try:
        async with asyncio.timeout_at(deadline):
            transport = await wire.dial(process, frames)
    except TimeoutError:
        raise ConnectionError from None
    try:
        async with asyncio.timeout_at(deadline):
            talk, answer = guardian_talk.conversation(session), None
            while True:
                try:
                    transport.write(talk.send(answer))
                except StopIteration as done:
                    return bool(done.value)
                answer = await frames.next()
    finally:
        transport.abort()


class _Frames(asyncio.Protocol):
    """What a server has answered."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._data = b""
        self._has_ended = False
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, _: asyncio.BaseTransport) -> None: ...

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._wake()

    def connection_lost(self, _: Exception | None) -> None:
        self._has_ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next(self) -> bytes:
        """:raises EOFError: the server has closed the connection."""
        while True:
            if len(self._data) >= _LENGTH.size:
                end = _LENGTH.size + _LENGTH.unpack_from(self._data)[0]
                if len(self._data) >= end:
                    frame, self._data = self._data[_LENGTH.size : end], self._data[end:]
                    return frame
            if self._has_ended:
                raise EOFError
            self._waiting = self._process.loop.create_future()
            await self._waiting
