"""The background tasks of one client, in one task group.

A host task opens the group for the first of them, does the client's own work while they run, and leaves the group when
the last has ended. Tasks are added from anywhere, at once, in nobody's context (no request id of the code that happened
to start one), and are held strongly.

    the first spawn()     makes the host, which opens the group
    further ones          add their tasks to it
    all have ended        the host leaves the group; the next spawn() opens another one
    the host is cancelled (the end of asyncio.run) its tasks are cancelled, and it takes no more

An error in one is logged here, and cancels no other.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias
from weakref import WeakSet

from golea_async._zookeeper.background import tasks_of_asyncios_own
from golea_async._zookeeper.log import Log

_logger = Log(logging.getLogger("golea_async.client"))

OnEnd: TypeAlias = Callable[[asyncio.Task[None]], None]


class Background:
    """The tasks that run in the background for one client.

    :param own_work: what the host does while there is something to do; begun again when a task is added after that.
    """

    def __init__(self, own_work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._own_work = own_work
        self._context = contextvars.Context()  # of all of them, which set nothing in it
        self._tasks: dict[asyncio.Task[None], tuple[Coroutine[Any, Any, None], OnEnd | None]] = {}
        self._note_end = self._has_ended  # one for all of them: there may be thousands
        self._group: asyncio.TaskGroup | None = None
        self._host: asyncio.Task[None] | None = None
        self._first: WeakSet[asyncio.Task[None]] = WeakSet()  # those from before the host has opened its group
        self._changed: asyncio.Future[None] | None = None  # what the host waits for, when its own work has ended

    @property
    def is_ending(self) -> bool:
        """Whether the group is being cancelled, as at the end of ``asyncio.run``: it takes no more tasks."""
        return self._host is not None and (self._host.done() or self._host.cancelling() > 0)

    def spawn(self, work: Coroutine[Any, Any, None], name: str, on_end: OnEnd | None = None) -> asyncio.Task[None]:
        """Run ``work`` in the background.

        :param on_end: called when it has ended: has returned, has raised, or was cancelled, maybe before it began.
        """
        if self.is_ending:
            self._host = self._group = None  # that one ends by itself
        with tasks_of_asyncios_own():
            task = self._make(work, name)
        self._tasks[task] = (work, on_end)
        self._tell_host()
        task.add_done_callback(self._note_end, context=self._context)
        return task

    def _make(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        if self._group is not None:
            return self._group.create_task(_contained(work), name=name, context=self._context)
        task = asyncio.create_task(_contained(work), name=name, context=self._context)
        self._first.add(task)
        if self._host is None:
            self._host = asyncio.create_task(self._hold_group(), name="golea_async tasks", context=self._context)
        return task

    async def ended(self) -> None:
        """Wait until all of them have ended, and the group was left."""
        while self._host is not None and not self._host.done():
            await asyncio.wait({self._host})

    async def _hold_group(self) -> None:
        first, self._first = self._first, WeakSet()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while self._tasks:
                    await _contained(self._own_work())
                    if self._tasks:
                        self._changed = asyncio.get_running_loop().create_future()
                        await self._changed
            finally:
                for task in first:
                    task.cancel()  # where this one is cancelled: the group cancels the others
                if self._group is group:
                    self._group = self._host = None

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        work, on_end = self._tasks.pop(task)
        work.close()  # a task that was cancelled before it began has not begun this either
        if not self._tasks:
            self._tell_host()
        if on_end is not None:
            on_end(task)

    def _tell_host(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


async def _contained(work: Coroutine[Any, Any, None]) -> None:
    """Do the work; log an error that escapes it."""
    try:
        await work
    except Exception:
        _logger.exception("a background task has crashed: this is a bug in golea_async")
