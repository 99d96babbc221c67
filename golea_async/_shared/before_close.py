"""What a client's ``close()`` waits for: endings that have begun.

Half an ending would leave an election in which nobody can stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import aiozk

_LAST_WORDS = 1.0
"""Seconds for what gives up: a request, and its answer."""


GiveUp: TypeAlias = Callable[[], None]
"""Undo what can be undone, and end."""

_unfinished: WeakKeyDictionary[aiozk.ZKClient, dict[asyncio.Task[Any], GiveUp]] = WeakKeyDictionary()


def finish_before_close(client: aiozk.ZKClient, task: asyncio.Task[Any], give_up: GiveUp) -> None:
    """Have the client's ``close()`` wait until this background task has ended.

    :param give_up: called when that takes too long.
    """
    works = _unfinished.setdefault(client, {})
    works[task] = give_up
    task.add_done_callback(lambda _: works.pop(task, None))


async def finish_unfinished(client: aiozk.ZKClient) -> None:
    """Wait for what has begun, at most the session timeout; have what is left then give up."""
    works = {
        task: give_up
        for task, give_up in _unfinished.get(client, {}).items()
        if task.get_loop() is asyncio.get_running_loop()
    }
    if not works:
        return
    _, left = await asyncio.wait(works, timeout=client.session.timeout)
    for task, give_up in works.items():
        if task in left:
            give_up()
    if left:
        await asyncio.wait(left, timeout=_LAST_WORDS)
