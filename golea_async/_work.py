"""Work as the leader: waiting until a candidate leads, and running the work of ``run()`` again after each loss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ._arguments import check_awaitable
from ._cancellation import hear_of_cancellation
from ._runner import Runner
from .exceptions import NotStandingError
from .leadership import Body, Leadership

_Result = TypeVar("_Result")


async def leading(runner: Runner) -> Leadership:
    """Wait until this candidate leads: the one that stands now, and none that the same object begins later."""
    if runner.task is None:
        raise runner.identity.error(NotStandingError, "does not stand: start() it first")
    async for _ in runner.public.board.reader():
        leadership = runner.public.leadership
        if leadership is not None and leadership.is_valid:
            return leadership
    raise runner.public.board.latest.error or runner.identity.error(NotStandingError, "has resigned")


async def work_until_done(runner: Runner, work: Callable[[Leadership], Awaitable[_Result]]) -> _Result:
    """Run the work as the leader, again after each loss of leadership, until it returns; return what it returns."""
    task = asyncio.current_task()
    assert task is not None, "run() is a coroutine function"
    pending = task.cancelling()
    while True:
        leadership, body = None, Body(partial(leading, runner))
        try:
            async with body as leadership:
                return await check_awaitable(work(leadership), work)
        except BaseException as error:
            is_cancelled = isinstance(error, asyncio.CancelledError) and task.cancelling() > pending
            is_loss = leadership is not None and leadership.is_all_of(error)
            if leadership is not None and not is_loss and not is_cancelled:
                runner.public.history.dead_work = error
            if not is_loss or body.ends_its_election:
                raise
        await hear_of_cancellation(task, pending)
