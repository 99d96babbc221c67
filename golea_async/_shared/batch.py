"""Requests that were sent together on one connection, and their replies as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.replies import Reply

if TYPE_CHECKING:
    from .channel import Channel


class ConnectionLostError(Exception):
    """The connection ended before the reply: what was asked may have happened, or may still happen."""


class Reader(Protocol):
    """Who reads replies in the very call in which the last of them has come."""

    def told(self) -> None:
        """Hear that so many replies as were wanted can be taken, or never can be."""


class _Waiter:
    """A reader that waits, and reads later."""

    def __init__(self) -> None:
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def told(self) -> None:
        if not self.end.done():
            self.end.set_result(None)


class Batch:
    """Requests that were sent together. ZooKeeper answers them in order, so their replies are read in order."""

    __slots__ = ("_channel", "_is_lost", "_needed", "_reader", "_replies", "_sent_at", "_unanswered")

    def __init__(self, channel: Channel, count: int) -> None:
        self._channel = channel
        self._sent_at = boottime()
        self._replies: list[Reply] | None = None  # that have come, and were not taken; thousands wait at once
        self._unanswered = count
        self._is_lost = False
        self._needed = 0
        self._reader: Reader | None = None

    @property
    def is_complete(self) -> bool:
        """Whether no further reply comes."""
        return self._is_lost or not self._unanswered

    @property
    def _come(self) -> int:
        """How many replies have come, and were not taken."""
        return 0 if self._replies is None else len(self._replies)

    def can_take(self, count: int) -> bool:
        """Whether :meth:`take` can return so many replies, or never will."""
        return self._is_lost or self._come >= count

    def tell(self, count: int, reader: Reader) -> None:
        """Tell it once, in the very call that reads the last one, when so many replies can be taken, or never can be.

        That is at once when they are there.
        """
        self._needed, self._reader = count, reader
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
            waiter = _Waiter()
            self.tell(count, waiter)
            await waiter.end
        return self.take(count)

    def answered(self, zxid: int, result: Any) -> None:
        """Read the next answer; to be called by the connection."""
        if self._is_lost:
            return
        try:
            reply = self._channel.reply(zxid, result)
        except ConnectionLostError:
            self.unanswered()
            return
        self._channel.renew_lease(self._sent_at, reply)
        self._unanswered -= 1
        if self._replies is None:
            self._replies = []
        self._replies.append(reply)
        if self._come >= self._needed:
            self._tell()

    def unanswered(self) -> None:
        """Take note that nothing more comes. Who waits is told later: the connection is just being ended."""
        if not self._is_lost:
            self._is_lost = True
            asyncio.get_running_loop().call_soon(self._give_up)

    def _give_up(self) -> None:
        self._channel.abandon()
        self._tell()

    def _tell(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.told()
