"""What a client's ``close()`` waits for: endings that have begun.

Half an ending would leave an election in which nobody can stand.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import aiozk

_LAST_WORDS = 1.0
"""Seconds for what gives up: a request, and its answer."""


class Unfinished(Protocol):
    """A background task that is to come to an end before its client is closed."""

    @property
    def task(self) -> asyncio.Task[Any]:
        """The background task."""

    def give_up(self) -> None:
        """Undo what can be undone, and end."""


_unfinished: WeakKeyDictionary[aiozk.ZKClient, dict[Unfinished, None]] = WeakKeyDictionary()


def finish_before_close(client: aiozk.ZKClient, work: Unfinished) -> None:
    """Have the client's ``close()`` wait for this, until its task has ended."""
    works = _unfinished.setdefault(client, {})
    works[work] = None
    work.task.add_done_callback(lambda _: works.pop(work, None))


async def finish_unfinished(client: aiozk.ZKClient) -> None:
    """Wait for what has begun, at most the session timeout; have what is left then give up."""
    works = list(_unfinished.get(client, ()))
    works = [work for work in works if work.task.get_loop() is asyncio.get_running_loop()]
    if not works:
        return
    _, left = await asyncio.wait([work.task for work in works], timeout=client.session.timeout)
    for work in works:
        if work.task in left:
            work.give_up()
    if left:
        await asyncio.wait(left, timeout=_LAST_WORDS)
