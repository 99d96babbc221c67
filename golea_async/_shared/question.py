"""One batch of a candidate's: what of it is sent, and what the watches of others on the same client answer.

ZooKeeper has one watch for a path on one connection. So a second candidate that watches a path shares the watch, and
sends nothing, when the watch is set, or when its request is under way and something is sent behind that: ZooKeeper
answers in order, so the answer to anything that was sent later says that the earlier ones are there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from golea_async._protocol.steps import Ask, Known, Reply
from golea_async._zookeeper.requests import Request
from golea_async._zookeeper.wire import WatchKind

from .batch import Batch
from .channel import Channel
from .watch_table import Listener, Watch

Answer: TypeAlias = tuple[str, Reply, bool]
"""The path that was asked about, what answers that, and whether the request sets a watch."""


_Sent: TypeAlias = tuple[int, Request, str | None]
"""Its place in the batch, the request, and the path that it watches."""


class Question:
    """A batch, until all of it is answered.

    :ivar channel: on which it is asked.
    :ivar is_awaited: the asker waits for answers to what is sent.
    :ivar replies: what the asker gets, in order.
    :ivar watched: the paths that are watched from its sending on, in order.
    """

    __slots__ = ("_batch", "_next", "_sent", "_set", "_unknown", "channel", "is_awaited", "replies", "watched")

    def __init__(self, channel: Channel, step: Ask, own: str | None, listener: Listener) -> None:
        """Find out what has to be sent, and listen to the watches.

        :param own: of this path the asker's own reading counts: its request is always sent.
        :param listener: called with the event of each watch.
        """
        self.channel = channel
        self.replies: list[Reply] = [_NOTHING] * len(step.requests)
        self.watched: dict[str, None] = {}
        self._batch: Batch | None = None
        self._sent: list[_Sent] = []
        self._set: list[Watch] = []  # others' watches: these are set
        self._unknown: list[Watch] = []  # and these are asked for
        shared: list[_Sent] = []  # the requests that would set the latter
        awaited = waits = 0  # of what is sent, and of what others have asked
        for index, request in enumerate(step.requests + step.behind):
            path = row = None
            if getattr(request, "watch", False):
                path = channel.watches.path_of(request)
                self.watched[path] = None
                row = channel.watches.listen(path, WatchKind.DATA, listener)
            if row is None or path == own or not row.is_shareable:
                self._sent.append((index, request, path))
                awaited += index < len(self.replies)
            elif row.shows is None:
                self._unknown.append(row)
                shared.append((index, request, path))
                waits += index < len(self.replies)
            else:
                self._set.append(row)
        if not self._sent:  # nothing is sent behind them
            self._sent, self._unknown, awaited = shared, [], waits
        self.is_awaited = awaited + waits > 0
        self._next = awaited or (1 if waits else len(self._sent))

    def send(self) -> list[Answer]:
        """Send it; return what others' watches answer at once.

        :raises ConnectionLostError: when the connection has ended.
        """
        if self._sent:
            self._batch = self.channel.ask(*[request for _, request, _ in self._sent])
        return [_known(row) for row in self._set]

    def when_answered(self, call: Callable[[], None]) -> None:
        """Call once when :meth:`take` has what comes next: the awaited answers first, then the others."""
        if self._batch is not None and self._next:
            self._batch.when_answered(self._next, call)

    def take(self) -> list[Answer]:
        """Return the next answers that are news: those that travelled behind, and those that say something of a watch.

        :raises ConnectionLostError: when the connection ended before the last of them.
        """
        assert self._batch is not None, "something was sent"
        answers = [_known(row) for row in self._unknown]
        sent, self._sent = self._sent[: self._next], self._sent[self._next :]
        for (index, request, path), reply in zip(sent, self._batch.take(self._next), strict=True):
            if index < len(self.replies):
                self.replies[index] = reply
            if path is not None:
                answers.append((path, reply, True))
            elif index >= len(self.replies):
                answers.append((self.channel.watches.path_of(request), reply, False))
        self._unknown, self._next = [], len(self._sent)
        return answers


def _known(row: Watch) -> Answer:
    return row.path, Known(row.shows), True


_NOTHING = Known(None)
