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
from ._shared.channel import Channel
from ._shared.watch_table import Event
from ._zookeeper.replies import Reply
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
        # `exists` needs no permission: who may not list is to hear of that now, and not when it has to succeed.
        node = [connection.get(resource)] if may_be_alone else []
        connection.watches.listen(done, WatchKind.DATA, self.on_event)
        self._asked: Batch | None = connection.ask(*node, connection.exists(done, watch=True))
        self._asked.when_answered(1, self.told)

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
            self.forget()  # whoever has come to listen meanwhile keeps the watch

    def _node_is_shown(self, asked: Batch, node: Reply | None) -> None:
        self.is_awaited = False
        see_node, self._see_node = self._see_node, None
        asked.when_answered(1, self.told)
        if see_node is not None:
            see_node(node)

    def on_event(self, _event: Event, _path: str) -> None:
        """Hear that the watch is used up, or gone with the connection."""

    def forget(self) -> None:
        """Listen and tell no more. If nobody else listens, as after a refusal, ZooKeeper forgets the watch, too.

        This lives as long as the candidate, which may outlive many connections: it does not keep this one.
        """
        connection, self._connection, self._asked, self._see_node = self._connection, None, None, None
        if connection is not None:
            connection.unwatch(self.on_event, (self._done, WatchKind.DATA))
