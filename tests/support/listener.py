"""A port of a test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self, TypeAlias

from .ports import LOOPBACK

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BACKLOG = 128


class Listener:
    """Has `serve` serve whoever connects, each in a task of its own. No connection outlives it.

    asyncio's own server is not like that: what it has accepted and not told of yet stays open when the loop ends.

    :ivar port: where it listens; one that is free, if 0 was given.
    :ivar connections: how many connections were accepted.
    """

    def __init__(self, serve: Serve, port: int = 0) -> None:
        self.port = port
        self.connections = 0
        self._serve = serve
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listener: socket.socket | None = None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server((LOOPBACK, self.port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _address = self._listener.accept()
        except OSError:  # whoever connected has left again
            return
        connection.setblocking(False)
        self.connections += 1
        task = asyncio.create_task(self._serve_one(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: connection.close())  # a task that never ran closes nothing itself

    async def _serve_one(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            with suppress(OSError, EOFError):
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            await until_closed(writer)


async def until_closed(writer: asyncio.StreamWriter) -> None:
    """A transport is closed one turn of the loop after it was told; a loop that ends before leaves it open."""
    with suppress(OSError):
        await writer.wait_closed()
