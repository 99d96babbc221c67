"""What a candidate asks right behind its nomination: the election node, and ``DONE``.

ZooKeeper answers one connection in order, and each read from a state that has the writes before it. So these answers
come with the nomination's, without a round trip of their own, and show what a look after it would have shown: whether
the new candidate is the only one, which is then the first, and that ``DONE`` is not there. That is watched from then
on: a whole election may end, and ``DONE`` be gone again, before the candidate takes its next step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ._shared.batch import Batch, ConnectionLostError
from ._shared.channel import Channel, Event
from ._zookeeper.replies import Reply, is_missing, is_refused
from ._zookeeper.wire import WatchKind


class Outlook:
    """The two questions, and the watch of ``DONE`` until the candidate's place listens to that itself.

    The election node is asked for only where the candidate may be alone: that is a read more while others wait.

    :ivar is_awaited: whether an answer is to show the election node, and has not come.
    """

    def __init__(self, connection: Channel, resource: str, done: str, *, may_be_alone: bool) -> None:
        self.is_awaited = may_be_alone
        self._connection: Channel | None = connection  # until nothing more is heard of it: see `forget`
        self._done = done
        self._see_node: Callable[[Reply | None], None] | None = None
        self._is_listening = True
        # `exists` needs no permission: who may not list is to hear of that now, and not when it has to succeed.
        node = [connection.get(resource)] if may_be_alone else []
        self._asked: Batch | None = connection.ask(*node, connection.exists(done, watch=True))
        connection.watch(done, WatchKind.DATA, self)
        connection.watch_is_asked(done, WatchKind.DATA, self._asked)
        self._asked.tell(1, self)

    def tell(self, see_node: Callable[[Reply | None], None]) -> None:
        """Have it called with what shows the election node, or with None when the connection ends before."""
        self._see_node = see_node

    def told(self) -> None:
        """Read the next answer; to be called when it has come, or never will."""
        if self._asked is None:
            return  # forgotten
        reply = None
        with suppress(ConnectionLostError):
            (reply,) = self._asked.take(1)
        if self.is_awaited:
            self._node_is_shown(self._asked, reply)
        else:
            self._done_is_shown(reply)

    def _node_is_shown(self, asked: Batch, node: Reply | None) -> None:
        self.is_awaited = False
        see_node, self._see_node = self._see_node, None
        asked.tell(1, self)
        if see_node is not None:
            see_node(node)

    def _done_is_shown(self, done: Reply | None) -> None:
        """Take note of it for whoever has come to listen meanwhile. If it was refused they ask again, and are told."""
        is_known = is_missing(done) or not is_refused(done)
        if self._connection is not None and self._is_listening and done is not None and is_known:
            self._connection.confirm_watch(self._done, WatchKind.DATA, is_there=not is_missing(done))
        self.forget()

    def on_event(self, _event: Event, _path: str) -> None:
        """Hear that the watch is used up, or gone with the connection."""
        self._is_listening = False

    def forget(self) -> None:
        """Listen and tell no more. If nobody else listens, as after a refusal, ZooKeeper forgets the watch, too.

        This lives as long as the candidate, which may outlive many connections: it does not keep this one.
        """
        connection, self._connection, self._asked, self._see_node = self._connection, None, None, None
        if connection is not None:
            connection.unwatch(self, (self._done, WatchKind.DATA))
