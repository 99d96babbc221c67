"""Work as the leader: waiting until a candidate leads, and running the work of ``run()`` again after each loss."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ._arguments import check_awaitable
from ._runner import Runner
from .exceptions import LeadershipLostError, NotStandingError
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
    while True:
        leadership, body = None, Body(partial(leading, runner))
        try:
            async with body as leadership:
                return await check_awaitable(work(leadership), work)
        except Exception as error:
            is_our_loss = isinstance(error, LeadershipLostError) and leadership is not None and not leadership.is_valid
            if is_our_loss and not body.ends_its_election:
                continue
            if leadership is not None and not is_our_loss:  # else that is what ended the election
                runner.public.history.dead_work = error
            raise
