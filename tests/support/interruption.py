"""Cancelling a piece of work at every single step of the event loop in turn.

A step is one `call_soon`: every resumption of a task, every callback of a future is one. Waiting for the network is
none, so the same work has about the same steps each time, however long ZooKeeper takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio

Work = Callable[[], Awaitable[object]]


class Fuse:
    """Burns down by one at each step, then does its action, once, as the very next thing that the loop does."""

    def __init__(self, steps: int, action: Callable[[], object]) -> None:
        self.has_fired = False
        self._steps = steps
        self._action = action
        self._is_lit = False

    @contextmanager
    def lit(self) -> Iterator[None]:
        """Count the steps of the running loop; the action is not done any more when the block has ended."""
        loop: Any = asyncio.get_running_loop()
        call_soon = loop.call_soon

        def counting(callback: Callable[..., object], *args: Any, **context: Any) -> asyncio.Handle:
            handle: asyncio.Handle = call_soon(callback, *args, **context)
            if self._steps == 0:
                call_soon(self._fire)
            self._steps -= 1
            return handle

        self._is_lit = True
        loop.call_soon = counting
        try:
            yield
        finally:
            self._is_lit = False
            del loop.call_soon

    def _fire(self) -> None:
        if self._is_lit:
            self.has_fired = True
            self._action()


async def by_task(work: Work, steps: int) -> bool:
    """Cancel the task that does the work after so many steps; return whether it took as many.

    Work that ends just then may still come to its end.
    """

    async def body() -> Fuse:
        task = asyncio.current_task()
        assert task is not None
        fuse = Fuse(steps, task.cancel)
        with suppress(asyncio.CancelledError), fuse.lit():
            await work()
        return fuse

    return (await asyncio.create_task(body())).has_fired


async def by_scope(work: Work, steps: int) -> bool:
    """The same with a cancel scope of anyio, which cancels again at every step until it is left."""
    with anyio.CancelScope() as scope:
        fuse = Fuse(steps, scope.cancel)
        with fuse.lit():
            await work()
    return fuse.has_fired


async def by_timeout(work: Work, steps: int) -> bool:
    """The same with `asyncio.timeout`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:
            fuse = Fuse(steps, lambda: limit.reschedule(0))
            with fuse.lit():
                await work()
    return fuse.has_fired


INTERRUPTIONS = [by_task, by_scope, by_timeout]
