"""Background tasks, which the application's task factory has no part in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


def tasks_of_asyncios_own() -> AbstractContextManager[None]:
    """Make tasks in a block, in which nothing is awaited, without the application's task factory.

    A factory may know no ``context``, raise, begin at once, or return something that begins when it is awaited. What
    has been sent by then would be nobody's. So it makes the application's tasks, and not these.
    """
    return nullcontext() if asyncio.get_running_loop().get_task_factory() is None else _without_factory()


@contextmanager
def _without_factory() -> Iterator[None]:
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    loop.set_task_factory(None)
    try:
        yield
    finally:
        loop.set_task_factory(factory)
