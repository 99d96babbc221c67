"""A web application whose workers have a guarded client each, and a znode with their process id for a name.

As `application` (ASGI) the client lives in the server's event loop, as `wsgi` in a thread of each worker that gunicorn
has forked. GUARDED_APP in the environment names the servers and the parent of the znodes.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

from golea_async import ZKClient


async def start() -> ZKClient:
    hosts, parent = os.environ["GUARDED_APP"].split()
    zk = ZKClient(hosts, session_timeout=10, guardian=True)
    await zk.start()
    await zk.create(f"{parent}/{os.getpid()}", ephemeral=True)
    return zk


async def application(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    assert scope["type"] == "lifespan"
    assert (await receive())["type"] == "lifespan.startup"
    zk = await start()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await zk.close()
    await send({"type": "lifespan.shutdown.complete"})


def wsgi(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("204 No Content", [])
    return []


async def run() -> None:
    await start()
    await asyncio.Event().wait()


def post_worker_init(_worker: object) -> None:
    """Called by gunicorn in each worker."""
    threading.Thread(target=asyncio.run, args=(run(),), daemon=True).start()
