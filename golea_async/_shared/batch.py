"""Requests that were sent together on one connection, and their replies as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiozk import exc

from golea_async._protocol.steps import ConnectionLostError
from golea_async._zookeeper.replies import Reply
from golea_async._zookeeper.requests import Request


class Batch:
    """Requests that were sent together. ZooKeeper answers them in order, so their replies are read in order.

    :ivar sent_at: when they were sent.
    :ivar previous_at: when the newest quorum write was sent that had been answered by then; None without one.

    :param read: called with each answer as it comes: this, the request, the zxid, and the response or ZooKeeper's
        error; returns the reply, or raises :class:`ConnectionLostError`.
    :param give_up: called, in the next turn of the event loop, when the connection has ended before the last answer.
    """

    __slots__ = (
        "_call",
        "_give_up",
        "_is_lost",
        "_needed",
        "_read",
        "_replies",
        "_requests",
        "_unanswered",
        "previous_at",
        "sent_at",
    )

    def __init__(
        self,
        requests: Sequence[Request],
        sent_at: float,
        previous_at: float | None,
        read: Callable[[Batch, Request, int, Any], Reply],
        give_up: Callable[[], None],
    ) -> None:
        self._requests = requests
        self._read = read
        self._give_up = give_up
        self.sent_at = sent_at
        self.previous_at = previous_at
        self._replies: list[Reply] | None = None  # that have come, and were not taken; thousands wait at once
        self._unanswered = len(requests)
        self._is_lost = False
        self._needed = 0
        self._call: Callable[[], None] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether no further reply comes."""
        return self._is_lost or not self._unanswered

    @property
    def _come(self) -> int:
        """How many replies have come, and were not taken."""
        return 0 if self._replies is None else len(self._replies)

    def when_answered(self, count: int, call: Callable[[], None]) -> None:
        """Call once when so many replies can be taken, or never can be: in the very call that reads the last of them.

        That is at once when they are there.
        """
        self._needed, self._call = count, call
        if self._come >= count:
            self._tell()
        elif self._is_lost:
            asyncio.get_running_loop().call_soon(self._tell)

    def take(self, count: int) -> list[Reply]:
        """Return the next replies, as many as that.

        :raises ConnectionLostError: when the connection ended before the last of them.
        """
        if self._come < count:
            raise ConnectionLostError
        replies = self._replies or []
        self._replies = replies[count:] or None
        return replies[:count]

    async def replies(self, count: int) -> list[Reply]:
        """Wait for the next replies, as many as that, and take them. Cancelled: they can be waited for again.

        :raises ConnectionLostError: when the connection ended before the last of them.
        """
        if self._come < count:
            answered = asyncio.Event()
            self.when_answered(count, answered.set)
            await answered.wait()
        return self.take(count)

    def answered(self, zxid: int, result: Any) -> None:
        """Read the next answer; to be called by the connection, with an error when it has ended before the answer."""
        if self._is_lost:
            return
        if isinstance(result, exc.ConnectError):
            self.unanswered()
            return
        request = self._requests[-self._unanswered]
        try:
            reply = self._read(self, request, zxid, result)
        except ConnectionLostError:
            self.unanswered()
            return
        self._unanswered -= 1
        if self._replies is None:
            self._replies = []
        self._replies.append(reply)
        if self._come >= self._needed:
            self._tell()

    def unanswered(self) -> None:
        """Take note that no further answer comes. A reader is told later: the connection is just being ended."""
        if not self._is_lost:
            self._is_lost = True
            asyncio.get_running_loop().call_soon(self._lose)

    def _lose(self) -> None:
        self._give_up()
        self._tell()

    def _tell(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()
