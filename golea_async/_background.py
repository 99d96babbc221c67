"""Waiting for a background task to its end, whatever happens to who waits."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio


async def completion(task: asyncio.Task[Any], timeout: float | None) -> bool:
    """Wait until ``task`` has ended, at most ``timeout`` seconds (None: no limit); return whether it has.

    Cancelled, by ``task.cancel()`` or by a scope of anyio: goes on waiting, and is cancelled only then.
    """
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    cancellation: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            remaining = None if deadline is None else deadline - loop.time()
            if remaining is not None and remaining < 0:
                break
            try:
                await asyncio.wait({task}, timeout=remaining)
            except asyncio.CancelledError as error:
                cancellation = error
    if cancellation is not None:
        raise cancellation
    return task.done()
