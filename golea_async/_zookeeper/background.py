"""Background tasks, which the application's task factory has no part in."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def background_task(
    work: Coroutine[Any, Any, _Result], *, name: str, context: contextvars.Context
) -> asyncio.Task[_Result]:
    """Run ``work`` in a task of asyncio's own, which begins in a later turn of the event loop.

    A task factory may know no ``context``, raise, begin at once, or return something that begins when it is awaited.
    What has been sent by then would be nobody's. So the factory makes the application's tasks, and not these.
    """
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        return loop.create_task(work, name=name, context=context)
    return asyncio.Task(work, loop=loop, name=name, context=context)
