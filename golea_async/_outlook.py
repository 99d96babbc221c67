"""What a candidate asks right behind its nomination: the election node, and ``DONE``.

ZooKeeper answers one connection in order, and each read from a state that has the writes before it. So these answers
come with the nomination's, without a round trip of their own, and show what a look after it would have shown: whether
the new candidate is the only one, which is then the first, and that ``DONE`` is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ._replies import Reply, is_missing, is_refused
from ._zk import Connection, ConnectionLostError, Event, WatchKind


class Outlook:
    """The two questions, and the watch of ``DONE`` until the candidate's place listens to that itself.

    :ivar is_awaited: whether the answer that shows the election node has not come.
    """

    def __init__(self, connection: Connection, resource: str, done: str) -> None:
        self.is_awaited = True
        self._connection = connection
        self._done = done
        self._told: Callable[[Reply | None], None] | None = None
        self._is_listening = True
        self._asked = connection.ask(connection.get(resource), connection.exists(done, watch=True))
        connection.watch(done, WatchKind.DATA, self)
        connection.watch_is_asked(done, WatchKind.DATA, self._asked)
        self._asked.tell(1, self._node_is_shown)

    def tell(self, told: Callable[[Reply | None], None]) -> None:
        """Have ``told`` called with what shows the election node, or with None when the connection ends before."""
        self._told = told

    def _node_is_shown(self) -> None:
        try:
            (node,) = self._asked.take(1)
            self._asked.tell(1, self._done_is_shown)
        except ConnectionLostError:
            node = None
        self.is_awaited = False
        told, self._told = self._told, None
        if told is not None:
            told(node)

    def _done_is_shown(self) -> None:
        """Read it for whoever has come to listen meanwhile. If it was refused they ask again, and are told."""
        with suppress(ConnectionLostError):
            (done,) = self._asked.take(1)
            if self._is_listening and (is_missing(done) or not is_refused(done)):
                self._connection.confirm_watch(self._done, WatchKind.DATA, is_there=not is_missing(done))
        self.forget()

    def on_event(self, _event: Event, _path: str) -> None:
        """Hear that the watch is used up, or gone with the connection."""
        self._is_listening = False

    def forget(self) -> None:
        """Listen and tell no more. If nobody else listens, as after a refusal, ZooKeeper forgets the watch, too."""
        self._is_listening, self._told = False, None
        unused = self._connection.forget_watches(self, (self._done, WatchKind.DATA))
        if unused:
            with suppress(ConnectionLostError):  # and the watch with it
                self._connection.ask(*self._connection.remove_watches(unused))
            self._connection.drop_unused(unused)
