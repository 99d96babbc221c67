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
    cancelling = _cancelling()
    try:
        return await _completion(task, deadline)
    except asyncio.CancelledError as error:
        # Several of one turn are one exception, with the text of the first; a scope cancels but once in a turn.
        is_only_a_scope = _is_of_a_scope(error) and _cancelling() <= cancelling + 1
        cancellation = None if is_only_a_scope else error
    # A scope that is cancelled cancels at every step, and will again when this is done. To be shielded from the start
    # would cost a resignation as much as all else that it does while ZooKeeper deletes the znode.
    with anyio.CancelScope(shield=True):
        while not task.done() and (deadline is None or loop.time() < deadline):
            try:
                await _completion(task, deadline)
            except asyncio.CancelledError as error:
                cancellation = error
    if cancellation is not None:
        raise cancellation
    return task.done()


async def _completion(task: asyncio.Task[Any], deadline: float | None) -> bool:
    """What ``asyncio.wait`` does with its sets and a coroutine more."""
    loop = asyncio.get_running_loop()
    if task.done() or (deadline is not None and deadline <= loop.time()):
        return task.done()
    ended = loop.create_future()

    def wake(_: object = None) -> None:
        if not ended.done():
            ended.set_result(None)

    timer = None if deadline is None else loop.call_at(deadline, wake)
    task.add_done_callback(wake)
    try:
        await ended
    finally:
        task.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()
    return task.done()


def _cancelling() -> int:
    """How many cancellations of this task were not taken back."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _is_of_a_scope(cancellation: asyncio.CancelledError) -> bool:
    """Whether it is anyio's, which tells its own from others by their text, too."""
    text = cancellation.args[0] if cancellation.args else None
    return isinstance(text, str) and text.startswith(("Cancelled via cancel scope ", "Cancelled by cancel scope "))
