"""Cancelling a block of code in a task, as CPython's ``asyncio.timeout`` does it.

``task.cancel()`` once, at the edge, so that ``finally`` blocks may await and task groups inside shut down in order; and
``uncancel()`` on the way out tells this cancellation from anybody else's. When a leader's body is cancelled,
and how often, is decided in ``leadership.py``.
"""

from __future__ import annotations

import asyncio
import math

import anyio


class Cancellation:
    """The cancellations of one block, which are taken back when it has ended.

    :ivar count: how often the block was cancelled.
    :ivar is_under_way: right now, in this very call.
    :ivar has_cancelled: the task that ran when the block was cancelled, and was cancelled by that: the block awaits it.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self.is_under_way: bool = False
        self.has_cancelled: asyncio.Task[object] | None = None
        self._pending = 0

    def begin(self, task: asyncio.Task[object]) -> None:
        """Count how many cancellations of others are pending when the block begins."""
        self._pending = task.cancelling()

    def cancel(self, task: asyncio.Task[object]) -> None:
        """Cancel the block, and see whether that has cancelled the current task: then the block awaits it."""
        current = asyncio.current_task(task.get_loop())
        cancelled_before = 0 if current is None else current.cancelling()
        self.count += 1
        self.is_under_way = True
        try:
            task.cancel()
        finally:
            self.is_under_way = False
        if current is not None and current is not task and current.cancelling() > cancelled_before:
            self.has_cancelled = current

    async def take_back(self, task: asyncio.Task[object], error: BaseException | None) -> bool:
        """Undo these cancellations; return whether the block ended by them, and by nobody else's.

        :param error: with which the block has ended.
        :raises asyncio.CancelledError: somebody else's cancellation, which stays one.
        """
        if not self.count:
            return False
        pending: asyncio.CancelledError | None = None
        try:
            # The last one may not have been delivered yet, when the body has not awaited since: let it come here.
            await asyncio.sleep(0)
        except asyncio.CancelledError as delivered:
            pending = delivered
        for _ in range(self.count):
            task.uncancel()
        is_cancellation = isinstance(error, asyncio.CancelledError)
        if task.cancelling() <= self._pending:
            return is_cancellation
        # Somebody else's, which stays one. It may be the one that was delivered above, and anyio knows its own by
        # their text, so that very exception goes on.
        if error is None or (is_cancellation and pending is not None):
            raise pending or asyncio.CancelledError
        if not is_cancellation and pending is not None:
            _cancel_again(task)
        return False


async def hear_of_cancellation(task: asyncio.Task[object], pending: int) -> None:
    """Let somebody else's cancellation come, which an error has displaced: a task group raises its errors alone.

    :param pending: how many cancellations the task is to go on with.
    :raises asyncio.CancelledError: when there was one.
    """
    if task.cancelling() > pending:
        _cancel_again(task)
        await asyncio.sleep(0)


def _cancel_again(task: asyncio.Task[object]) -> None:
    """Cancel a task by a cancellation that it has been told of. A scope of anyio's that is cancelled does it itself."""
    if anyio.current_effective_deadline() > -math.inf:
        task.uncancel()
        task.cancel()
