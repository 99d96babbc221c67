"""Waiting for a background task to its end, whatever happens to who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio


async def completion(
    task: asyncio.Future[Any], timeout: float | None, on_cancel: Callable[[], None] | None = None
) -> bool:
    """Wait until a task or future is done, at most ``timeout`` seconds (None: no limit); return whether it is.

    Cancelled, by ``task.cancel()`` or by a scope of anyio: goes on waiting, and is cancelled only then.

    :param on_cancel: is called at each of these cancellations, by the task and in the context of who cancels.
    """
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    cancelling = _cancelling()
    try:
        return await _completion(task, deadline, on_cancel)
    except asyncio.CancelledError as error:
        # Several of one turn are one exception, with the text of the first; a scope cancels but once in a turn.
        is_only_a_scope = _is_of_a_scope(error) and _cancelling() <= cancelling + 1
        cancellation = None if is_only_a_scope else error
    # A scope that is cancelled cancels at every step, and will again when this is done. To be shielded from the start
    # would cost a resignation as much as all else that it does while ZooKeeper deletes the znode.
    with anyio.CancelScope(shield=True):
        while not task.done() and (deadline is None or loop.time() < deadline):
            try:
                await _completion(task, deadline, on_cancel)
            except asyncio.CancelledError as error:
                cancellation = error
    if cancellation is not None:
        raise cancellation
    return task.done()


class _Waiting(asyncio.Future[None]):
    """What a task waits for that wants to know who cancels it."""

    def __init__(self, on_cancel: Callable[[], None]) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._on_cancel = on_cancel

    def cancel(self, msg: Any = None) -> bool:
        """Be cancelled, in the call that cancels the waiting task."""
        if not self.done():
            self._on_cancel()
        return super().cancel(msg)


async def _completion(task: asyncio.Future[Any], deadline: float | None, on_cancel: Callable[[], None] | None) -> bool:
    """What ``asyncio.wait`` does with its sets and a coroutine more."""
    loop = asyncio.get_running_loop()
    if task.done() or (deadline is not None and deadline <= loop.time()):
        return task.done()
    ended: asyncio.Future[None] = loop.create_future() if on_cancel is None else _Waiting(on_cancel)

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
