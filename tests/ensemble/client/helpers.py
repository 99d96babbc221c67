"""What the tests of the client share."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiozk
from aiozk.states import States

from tests.support.ensemble import Ensemble, Server
from tests.support.wire import AUTH_XID

AUTH_FAILED = -115
HANGING = 60.0
"""Seconds after which a wait counts as hanging. Nothing is measured with it."""


def server_of(ensemble: Ensemble, client: Any) -> Server:
    """The server that the client is connected to."""
    return next(server for server in ensemble.servers if server.port == client.session.conn.port)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(HANGING):
        while not condition():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


async def connected_anew(client: aiozk.ZKClient, old: object) -> None:
    """Wait until the client is connected through another connection than ``old``."""
    await until(lambda: client.session.conn is not old and client.session.state == States.CONNECTED)


@asynccontextmanager
async def aiozk_client(hosts: str, session_timeout: float) -> AsyncIterator[aiozk.ZKClient]:
    """aiozk's own client. Its close() can hang and leaves tasks behind: so it is torn down by hand."""
    client = aiozk.ZKClient(hosts, session_timeout=session_timeout)
    before = asyncio.all_tasks()
    try:
        async with asyncio.timeout(HANGING):
            await client.start()
        yield client
    finally:
        session = client.session
        session.closing = True  # else it logs the cancellation as an error
        if session.heartbeat_handle is not None:
            session.heartbeat_handle.cancel()
        ours = {task for task in asyncio.all_tasks() - before if "aiozk" in str(task.get_coro())}
        for task in ours | {session.repair_loop_task}:
            task.cancel()
        await asyncio.gather(*ours, session.repair_loop_task, return_exceptions=True)
        if session.conn is not None and session.conn.writer is not None:
            session.conn.writer.transport.abort()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    return await reader.readexactly(length)


def framed(payload: bytes) -> bytes:
    return struct.pack("!i", len(payload)) + payload


def connect_reply(timeout: float, session_id: int, *, read_only: bytes = b"\0", password: bytes = bytes(16)) -> bytes:
    """A frame that answers a ConnectRequest; servers before 3.4 leave out the last byte."""
    return framed(struct.pack("!iiqi", 0, round(timeout * 1000), session_id, 16) + password + read_only)


async def until_the_end(reader: asyncio.StreamReader) -> None:
    """Read on, answer nothing."""
    while await reader.read(65536):
        pass


async def take_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float = 6) -> int:
    """Grant the session that is asked for, or a new one; return its id."""
    request = await read_frame(reader)
    session_id = int.from_bytes(request[16:24], "big") or 0x99
    writer.write(connect_reply(timeout, session_id, password=request[28:44]))
    return session_id


def answer(xid: int, error_code: int = 0, body: bytes = b"") -> bytes:
    """A frame that answers a request."""
    return framed(struct.pack("!iqi", xid, 1, error_code) + body)


async def refuse_credential(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a client in and refuse its credential, as a server does whose configuration lacks the scheme."""
    await take_in(reader, writer)
    await read_frame(reader)
    writer.write(answer(AUTH_XID, AUTH_FAILED))
    await writer.drain()
