"""What the library has left on a client, in the event loop and on a server: tests compare it with nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiozk
from aiozk import exc
from aiozk.states import States

from golea_async import ZKClient
from golea_async._shared.client_context import _contexts
from golea_async._zookeeper.host_list import parse_hosts
from golea_async.testing import MemoryServer

from .ensemble import Server
from .proxy import Action, Frame, Proxy
from .wire import OpCode


def background_tasks() -> set[asyncio.Task[Any]]:
    """The library's tasks that have not ended."""
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("golea_async")}


def tasks_of_elections() -> set[asyncio.Task[Any]]:
    """Those of them that do something for one election: the others are there for all of a client's."""
    return {task for task in background_tasks() if "/" in task.get_name()}


async def background_to_end(expected: Collection[asyncio.Task[Any]] = ()) -> None:
    """Wait until the library does nothing in the background but what is expected to go on."""
    while tasks := background_tasks().difference(expected):
        await asyncio.wait(tasks)
    await asyncio.sleep(0)  # their done-callbacks


def watch_callbacks(zk: aiozk.ZKClient) -> dict[Any, set[Any]]:
    """What the client's session keeps about watches, empty entries included."""
    return dict(zk.session.watch_callbacks)


def state_waiters(zk: aiozk.ZKClient) -> int:
    """How many wait for a transition of the client's session, besides aiozk's own task.

    Those that have waited do not count: aiozk keeps its own for ever, one for each transition.
    """
    waiting = {future for futures in zk.session.state.futures.values() for future in futures}
    return sum(not future.done() for future in waiting) - (0 if isinstance(zk, ZKClient) else 1)


def registries(zk: aiozk.ZKClient) -> dict[str, int]:
    """The sizes of all containers of the client, of its session and connection, and of what its elections share.

    Found by walking through the objects, so that a new one is not forgotten; those of a fixed length are left out.
    """
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("client", zk), ("link", _contexts.get(zk))]
    while waiting:
        name, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Collection) and not isinstance(value, (str, bytes, bytearray)):
            if getattr(value, "maxlen", None) is not None:
                continue
            sizes[name] = sizes.get(name, 0) + len(value)
            members = value.values() if isinstance(value, Mapping) else value
            waiting += [(f"{name}[]", member) for member in members]
        elif type(value).__module__.partition(".")[0] in ("aiozk", "golea_async"):
            waiting += [(f"{name}.{field}", member) for field, member in getattr(value, "__dict__", {}).items()]
    return sizes


def server_watches(server: Server | MemoryServer, below: str) -> list[tuple[str, str]]:
    """The watches on a znode and those below, as this server has them: path and session.

    ZooKeeper 3.5 also keeps those that it comes to set after their connection has gone: such a one counts once.
    """
    watches, path = [], ""
    for line in server.four_letter("wchp").splitlines():
        if line.startswith("/"):
            path = line
        elif line and (path == below or path.startswith(f"{below}/")):
            watches.append((path, line.strip()))
    return sorted(set(watches))


def is_watched(server: Server | MemoryServer, path: str, zk: aiozk.ZKClient) -> bool:
    """Whether this server has a watch of this client's session on a znode."""
    return (path, hex(zk.session.session_id)) in server_watches(server, path)


def watch_count(server: Server) -> int:
    """On the whole server, by its own count."""
    match = re.search(r"^zk_watch_count\t(\d+)$", server.four_letter("mntr"), re.MULTILINE)
    assert match is not None
    return int(match[1])


async def reconnect(zk: aiozk.ZKClient, proxy: Proxy) -> None:
    """Reset the client's connection; return when it has the next one (of the same session if that lives)."""
    # aiozk notices a broken connection at once only when a request is under way, and sends this one again.
    rule = proxy.lose_next_request({OpCode.GET_DATA})
    with suppress(exc.TimeoutError):  # aiozk's word for a request on the connection that it has given up
        await zk.get("/")
    await rule


@asynccontextmanager
async def out_of_touch(zk: aiozk.ZKClient, proxy: Proxy) -> AsyncIterator[None]:
    """Reset the client's connection; the server gets to read the next handshake only when the block has ended."""
    handshake = proxy.on_request(is_handshake, Action.HOLD)
    proxy.lose_next_request({OpCode.GET_DATA})
    back = asyncio.create_task(zk.get("/"))
    await handshake
    assert zk.session.state == States.SUSPENDED
    try:
        yield
    finally:
        handshake.release()
        with suppress(exc.SessionLost):  # our client's word for a read whose session has ended; aiozk reads on
            await back


def send_to(zk: aiozk.ZKClient, server: Server) -> None:
    """Have the client's next connection go to this server."""
    zk.session.hosts[:] = parse_hosts(server.address) if isinstance(zk, ZKClient) else [("127.0.0.1", server.port)]


def is_handshake(frame: Frame) -> bool:
    return frame.opcode == OpCode.CREATE_SESSION
