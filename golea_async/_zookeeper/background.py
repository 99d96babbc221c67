"""Background tasks, which the application's task factory has no part in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tasks_of_asyncios_own() -> Iterator[None]:
    """Make tasks in a block, in which nothing is awaited, without the application's task factory.

    A factory may know no ``context``, raise, begin at once, or return something that begins when it is awaited. What
    has been sent by then would be nobody's. So it makes the application's tasks, and not these.
    """
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    if factory is None:
        yield
        return
    loop.set_task_factory(None)
    try:
        yield
    finally:
        loop.set_task_factory(factory)
