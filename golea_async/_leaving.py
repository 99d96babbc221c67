"""A task has a candidate resign, or step down, and waits until that is done, whatever cancels the task meanwhile."""

from __future__ import annotations

import asyncio
import logging
import math

from ._caller import Caller
from ._runner import Runner
from ._shared.shielded import completion
from ._zookeeper.log import Log
from .exceptions import ElectionError
from .report import Reason
from .status import Role

_logger = Log(logging.getLogger("golea_async.election"))


async def withdraw(runner: Runner, timeout: float | None) -> None:
    """Have a candidate resign; return when nothing of it is in ZooKeeper any more.

    :raises ResignError: when that cannot be known in time.
    """
    deadline = None
    if timeout is not None and timeout < math.inf:
        deadline = asyncio.get_running_loop().time() + timeout
    caller = Caller(runner.public.bodies)
    runner.leave()
    caller.bodies_are_stopped()
    try:
        await _see_withdrawn(runner, caller, deadline)
    except asyncio.CancelledError:
        if (error := what_is_left(runner)) is not None:
            # Nobody else says it: the cancellation propagates.
            _logger.warning("%s", error, extra=runner.identity.fields(Role.NONE, Reason.RESIGNED, None))
        raise
    if (error := what_is_left(runner)) is not None:
        raise error
    await runner.closed()


async def _see_withdrawn(runner: Runner, caller: Caller, deadline: float | None) -> None:
    """Wait for the background task; where that was cancelled or refused, try once more, in this task's time.

    The end of ``asyncio.run`` cancels both of them.
    """

    async def end_of_task() -> None:
        if runner.task is not None:
            left = None if deadline is None else max(0, deadline - asyncio.get_running_loop().time())
            await completion(runner.task, left, caller.on_cancel)

    try:
        await end_of_task()
    except asyncio.CancelledError:
        if runner.withdraw_again():
            await end_of_task()
        raise
    if runner.withdraw_again():
        await end_of_task()


def what_is_left(runner: Runner) -> ElectionError | None:
    """Return an error when it is not known that the candidate's znode is gone."""
    identity, task = runner.identity, runner.task
    if task is None or (task.done() and runner.is_withdrawn):
        return None
    if runner.withdrawal_error is not None:
        return runner.withdrawal_error
    if runner.public.has_work:
        return identity.not_withdrawn("has work in leadership() that has not stopped in time, so its znode stays, and")
    return identity.not_withdrawn("is not seen to be gone in time; deleting it goes on, and it")


async def step_down(runner: Runner, timeout: float | None) -> None:
    """Have a candidate go to the end of the line; return when it is there.

    :raises ResignError: when that cannot be known in time.
    """
    bodies = runner.public.bodies
    caller = Caller(bodies)
    moved = runner.step_down(bodies)
    caller.bodies_are_stopped()
    limit = None if timeout is None or timeout == math.inf else timeout
    if not await completion(moved, limit, caller.on_cancel):
        raise runner.identity.not_stepped_down(
            "has work in leadership() that has not stopped in time, so it keeps its place"
            if runner.public.has_work
            else "is not known in time to be at the end of the line"
        )
    moved.result()
