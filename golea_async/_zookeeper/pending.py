"""Requests that wait for their replies on one connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

_Result = TypeVar("_Result")

Answer: TypeAlias = tuple[int, Any]  # the zxid of a reply, and the response or the server's error


@dataclass(slots=True)
class Pending:
    """A request that waits for its reply."""

    request: Any
    xid: int
    sent_at: float
    future: asyncio.Future[Answer]

    def answer(self, zxid: int, result: Any) -> None:
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result((zxid, result))

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            failed(self.future, error)


class Asker(Protocol):
    """Who has sent requests by :meth:`Connection.post`: is told of their answers in order, as they are read."""

    def answered(self, zxid: int, result: Any) -> None:
        """Hear the next answer: the reply, or ZooKeeper's error. A future would tell it one turn of the loop later."""

    def unanswered(self) -> None:
        """Hear that the connection has ended before the next answer; it may be told so for each."""


@dataclass(slots=True)
class Posted:
    """A request of an :class:`Asker`'s that waits for its reply."""

    request: Any
    xid: int
    sent_at: float
    asker: Asker

    def answer(self, zxid: int, result: Any) -> None:
        self.asker.answered(zxid, result)

    def fail(self, _: Exception) -> None:
        self.asker.unanswered()


class _Nobody:
    """Asks for what need not succeed."""

    def answered(self, zxid: int, result: Any) -> None: ...
    def unanswered(self) -> None: ...


NOBODY = _Nobody()


def failed(future: asyncio.Future[_Result], error: Exception) -> asyncio.Future[_Result]:
    future.set_exception(error)
    # Who sent the request may be gone by now: no complaint of the event loop about that.
    future.exception()
    return future
