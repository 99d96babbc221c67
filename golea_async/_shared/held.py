"""Strong references to the tasks that run an application's work: asyncio holds tasks weakly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_tasks: dict[object, asyncio.Task[Any]] = {}


def hold(key: object, task: asyncio.Task[Any]) -> None:
    """Hold ``task`` until :func:`let_go` is called with the same key."""
    _tasks[key] = task


def let_go(key: object) -> None:
    """Hold that task no longer. Idempotent."""
    _tasks.pop(key, None)


@contextmanager
def held() -> Iterator[None]:
    """Hold the current task while the block runs."""
    key, task = object(), asyncio.current_task()
    if task is not None:
        hold(key, task)
    try:
        yield
    finally:
        let_go(key)
