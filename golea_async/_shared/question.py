"""One batch of a candidate's: what of it is sent, and what the watches of others on the same client answer.

ZooKeeper has one watch for a path on one connection. So a second candidate that watches a path shares the watch, and
sends nothing, when the watch is set, or when its request is under way and something is sent behind that: ZooKeeper
answers in order, so the answer to anything that was sent later says that the earlier ones are there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from golea_async._protocol.steps import Ask, Known, Reply
from golea_async._zookeeper.wire import WatchKind

from .batch import Batch
from .channel import Channel

Answer: TypeAlias = tuple[str, Reply]
"""The path of a watch, and what answers the request for it."""


class Question:
    """A batch, until all of it is answered.

    :ivar channel: on which it is asked.
    :ivar is_awaited: the asker waits for answers to what is sent.
    :ivar replies: what the asker gets, in order.
    :ivar watched: the paths that are watched from its sending on.
    """

    __slots__ = ("_batch", "_next", "_sent", "_unknown", "channel", "is_awaited", "replies", "watched")

    def __init__(self, channel: Channel, step: Ask, own: str | None) -> None:
        """Find out what has to be sent.

        :param own: of this path the asker's own reading counts: its request is always sent.
        """
        self.channel = channel
        self.replies: list[Reply] = [Known(None)] * len(step.requests)
        self._batch: Batch | None = None
        requests = [(request, channel.watched_path(request)) for request in step.requests + step.behind]
        self.watched = [path for _, path in requests if path is not None]
        shared = {path for path in self.watched if path != own and channel.watches.is_shared(path)}
        unknown = [path for path in shared if channel.watches.shows(path, WatchKind.DATA) is None]
        if unknown and len(shared) == len(requests):  # nothing would be sent behind those
            shared, unknown = shared.difference(unknown), []
        self._unknown = unknown
        # With the place of its reply among those that the asker gets.
        self._sent = [(index, request, path) for index, (request, path) in enumerate(requests) if path not in shared]
        awaited = sum(index < len(step.requests) for index, _, _ in self._sent)
        if not awaited and any(path in unknown for _, path in requests[: len(step.requests)]):
            awaited = 1
        self.is_awaited = awaited > 0
        self._next = awaited or len(self._sent)

    def send(self) -> list[Answer]:
        """Send it; return what others' watches answer at once. To be called when its own watches are listened to.

        :raises ConnectionLostError: when the connection has ended.
        """
        if self._sent:
            self._batch = self.channel.ask(*(request for _, request, _ in self._sent))
        sent = {path for _, _, path in self._sent}
        return [self._known(path) for path in self.watched if path not in sent and path not in self._unknown]

    def when_answered(self, call: Callable[[], None]) -> None:
        """Call once when :meth:`take` has what comes next: the awaited answers first, then the others."""
        if self._batch is not None and self._next:
            self._batch.when_answered(self._next, call)

    def take(self) -> list[Answer]:
        """Return the next answers that say something of a watch.

        :raises ConnectionLostError: when the connection ended before the last of them.
        """
        assert self._batch is not None, "something was sent"
        answers = []
        sent, self._sent = self._sent[: self._next], self._sent[self._next :]
        for (index, _, path), reply in zip(sent, self._batch.take(self._next), strict=True):
            if index < len(self.replies):
                self.replies[index] = reply
            if path is not None:
                answers.append((path, reply))
        answers += map(self._known, self._unknown)
        self._unknown, self._next = [], len(self._sent)
        return answers

    def _known(self, path: str) -> Answer:
        return path, Known(self.channel.watches.shows(path, WatchKind.DATA))
