"""Requests that wait for their replies on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from aiozk import exc

_Result = TypeVar("_Result")

Answer: TypeAlias = tuple[int, Any]
"""The zxid of a reply, and the response."""

Tell: TypeAlias = Callable[[int, Any], None]
"""Called with each answer, as it is read: its zxid, and the response or ZooKeeper's error.

When the connection has ended before the answer it is called with a :class:`aiozk.exc.ConnectError`.
"""


@dataclass(slots=True)
class Pending:
    """A request that waits for its reply.

    :ivar is_posted: it was sent by :meth:`Connection.post`.
    """

    request: Any
    xid: int
    sent_at: float
    tell: Tell
    is_posted: bool = False


def nobody(_zxid: int, _result: Any) -> None:
    """Hear of nothing: what was asked for need not succeed."""


def resolve(future: asyncio.Future[Answer], zxid: int, result: Any) -> None:
    """Make an answer a future's result, or its exception."""
    if future.done():
        return
    if isinstance(result, exc.ConnectError):
        failed(future, result)
    elif isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result((zxid, result))


def failed(future: asyncio.Future[_Result], error: Exception) -> asyncio.Future[_Result]:
    future.set_exception(error)
    # Who sent the request may be gone by now: no complaint of the event loop about that.
    future.exception()
    return future
