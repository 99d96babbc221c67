"""A candidate's place in the line: who is before it, and the watches on which that knowledge rests.

What is known is bound to one connection: with that it counts as unknown, and is looked up again on the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiozk import exc

from ._identity import Identity
from ._nomination import Nomination
from ._replies import Reply, accept, is_missing, is_present, is_refused
from ._zk import Asked, Connection, Event, Request, WatchKind
from .exceptions import CandidateDeletedError
from .standing import DONE, View


@dataclass(slots=True)
class _Look:
    """What was asked at one look, by path, and how many of the answers decide."""

    connection: Connection
    predecessor: str | None
    paths: list[str]
    needed: int
    asked: Asked


class Place:
    """The place of one znode among the candidates.

    :ivar own: that znode.
    :ivar followed: path of the znode that was followed last; None for who was the first.
    :ivar has_seen_done: whether ``DONE`` was heard to be created: it may be gone again, with the own znode.
    """

    def __init__(
        self, identity: Identity, own: Nomination, shown_on: Connection, heard: Callable[[Event, str], None]
    ) -> None:
        self.own = own
        self.followed: str | None = None
        self.has_seen_done = False
        self.done = f"{identity.resource}/{DONE}"
        self._identity = identity
        self._resource = identity.resource
        self._heard = heard
        self._watched: dict[str, bool] = {}  # whose event has not come yet; whether it is set, and shows what it should
        self._connection: Connection | None = None  # the one on which the place was taken; None while it is looked for
        self._shown_on: Connection | None = shown_on  # the last one on which ZooKeeper has shown the own znode
        self._look: _Look | None = None  # what was asked, and whose answers were not read
        self._unread: _Look | None = None  # of whose answers those are not read that it did not need to decide

    def ask(self, connection: Connection, predecessor: str | None, *, barrier: bool = False) -> None:
        """Ask ZooKeeper, in one round trip, for all that is not being watched yet; list when nobody is named.

        A watch counts from when its request is sent: its event can come before the reply. When the one before has
        gone, the place has asked already, in the call that heard of it; then this asks for nothing more.
        """
        if self._look is not None and self._look.connection is connection:
            return
        requests: dict[str, Request] = {}  # by path
        if barrier:
            requests["barrier"] = connection.check(self._resource)
        if predecessor is None:
            needed = self._list(connection, requests)
        else:
            needed = self._look_at(connection, requests, self._path(predecessor))
        asked = connection.ask(*requests.values())
        for path, outcome in zip(requests, asked.outcomes, strict=True):
            if path in self._watched:
                connection.watch_is_asked(path, WatchKind.DATA, outcome)
        self._look = _Look(connection, predecessor, list(requests), needed, asked)

    async def view(self) -> View:
        """Wait for what decides; :meth:`confirm` reads the rest."""
        look, self._look = self._look, None
        assert look is not None, "ask() comes first"
        replies = await look.asked.replies(look.needed)
        self._unread = look
        return self._view(look.connection, look.predecessor, dict(zip(look.paths, replies, strict=False)))

    def _list(self, connection: Connection, requests: dict[str, Request]) -> int:
        """Return how many of the requests decide: the list shows `DONE`, too."""
        self._want(connection, self.own.path, requests)
        if not connection.lease.is_valid:  # who finds itself the first needs a lease at once
            requests["keep-alive"] = connection.check(self.own.path)
        requests[self._resource] = connection.children(self._resource)
        needed = len(requests)
        self._want(connection, self.done, requests, is_known=_is_known(connection, self.done))
        return needed

    def _look_at(self, connection: Connection, requests: dict[str, Request], followed: str) -> int:
        """Return how many decide: that the own znode stands is known when it was just made on this connection.

        What other candidates of this client have just asked for is answered before what is asked for here; so where
        something is, nobody has to ask for the same again.
        """
        asks_itself = not self._watched.get(self.own.path)
        for path in (self.done, followed):
            is_asked = asks_itself and connection.is_setting_watch(path, WatchKind.DATA)
            self._want(connection, path, requests, is_known=is_asked or _is_known(connection, path))
        needed = len(requests)
        awaits_others = any(connection.is_setting_watch(path, WatchKind.DATA) for path in (self.done, followed))
        self._want(connection, self.own.path, requests)
        return len(requests) if awaits_others or self._shown_on is not connection else needed

    def _want(self, connection: Connection, path: str, requests: dict[str, Request], *, is_known: bool = False) -> None:
        """Listen to the watch of a znode; add the request that sets it, and shows the znode, if one is needed.

        None is when ZooKeeper has shown it to another candidate on this connection, and has set the watch: then it is
        as it was, or an event comes. Of the own znode this one's stat counts.
        """
        if self._watched.get(path):
            return
        connection.watch(path, WatchKind.DATA, self._on_event)
        self._watched[path] = False
        if not is_known:
            requests[path] = (connection.exists if path == self.done else connection.get)(path, watch=True)

    def _view(self, connection: Connection, predecessor: str | None, replies: dict[str, Reply]) -> View:
        """Read the replies: what was not asked is being watched, and so is as it was."""
        for path, reply in replies.items():
            self._read(connection, path, reply)
        listed = replies.get(self._resource)
        if listed is not None:
            accept(listed, exc.NoNode, path=self._resource, **self._identity.names)
        if predecessor is not None and not (
            self._is_set(connection, self.done) and self._is_set(connection, self._path(predecessor))
        ):
            predecessor = None
        return View(
            own_stands=self._shown_on is connection,
            done=connection.shows(self.done, WatchKind.DATA) is True,
            predecessor=predecessor,
            children=None if listed is None or is_missing(listed) else listed.children,
        )

    async def confirm(self) -> None:
        """Read what the decision did not need. When it puts the place in question, that does not hold any more."""
        look, self._unread = self._unread, None
        if look is None:
            return
        paths = look.paths[look.needed :]
        for path, reply in zip(paths, await look.asked.replies(len(paths)), strict=True):
            self._read(look.connection, path, reply)

    def _read(self, connection: Connection, path: str, reply: Reply) -> None:
        """Read the answer to a request that sets a watch, unless its event has come already."""
        if path not in self._watched:
            return
        is_there = not is_refused(reply)
        if path == self.done:
            is_there = is_there or is_present(reply, path=path, **self._identity.names)
        else:
            accept(reply, exc.NoNode, path=path, **self._identity.names)
        is_as_it_should = is_there is (path != self.done)
        if path == self.own.path:
            is_as_it_should = self.own.is_shown_by(reply)
            self._shown_on = connection if is_as_it_should else None
        if is_as_it_should or path == self.done:
            connection.confirm_watch(path, WatchKind.DATA, is_there=is_there)
            self._watched[path] = is_as_it_should
        else:  # of a missing znode `get` leaves no watch
            self._watches_no_more(connection, path)

    async def verify(self, connection: Connection) -> None:
        """Ask the quorum whether the own znode is gone.

        Its deletion is also what a client hears of its own expiry, and a server that lags may not have it yet. Only
        the quorum's word on the live session is final.

        :raises ElectionOverError: when the election was ended or deleted.
        :raises CandidateDeletedError: when somebody deleted this candidate alone.
        """
        own, names = self.own, self._identity.names
        checked, shown, done, parent = await connection.send(
            connection.check(own.path),
            connection.get(own.path),
            connection.exists(self.done),
            connection.exists(self._resource),
        )
        accept(checked, exc.NoNode, path=own.path, **names)
        if not is_missing(checked) and own.is_shown_by(accept(shown, exc.NoNode, path=own.path, **names)):
            return
        if self.has_seen_done or is_missing(parent) or is_present(done, path=self.done, **names):
            raise self._identity.over()
        raise self._identity.error(
            CandidateDeletedError, "was deleted by somebody: make another AsyncElection to stand again"
        )

    def leave(self) -> None:
        """Stand nowhere until the place was looked for and taken."""
        self._connection = None

    def take(self, connection: Connection, followed: str | None) -> None:
        """Stand behind ``followed``, as was seen on this connection; None: stand before all others."""
        self.followed = followed
        self._connection = connection

    def stands(self, connection: Connection) -> bool:
        """Whether neither the own znode's end nor that of the election was heard of on this connection."""
        return connection.is_current and self.own.path in self._watched and self.done in self._watched

    def is_undisturbed(self, connection: Connection) -> bool:
        """Whether the place was taken on this connection, and no event has put it in question."""
        return (
            self._connection is connection
            and self.stands(connection)
            and (self.followed is None or self.followed in self._watched)
        )

    def holds(self, connection: Connection) -> bool:
        """Whether that is so, and ZooKeeper has set every watch on which it rests."""
        return (
            self._connection is connection
            and connection.is_current
            and self.sees_its_own(connection)
            and self._is_set(connection, self.done)
            and (self.followed is None or self._is_set(connection, self.followed))
        )

    def sees_its_own(self, connection: Connection) -> bool:
        """Whether the own znode stands: it was shown on this connection, and its watch is silent."""
        return self._shown_on is connection and self._watched.get(self.own.path, False)

    def sees_the_followed(self, connection: Connection) -> bool:
        """Whether the watch of the one who is followed is silent."""
        return self.followed is not None and self._is_set(connection, self.followed)

    def _is_set(self, connection: Connection, path: str) -> bool:
        """Whether a watch is set and silent: by a request of this candidate's, or of another one's on this client."""
        is_set = self._watched.get(path)
        if is_set is False and connection.shows(path, WatchKind.DATA) is (path != self.done):
            is_set = self._watched[path] = True
        return bool(is_set)

    def forget_watches(self, connection: Connection) -> list[tuple[str, WatchKind]]:
        """Listen no more; return the watches that nobody needs now, as :meth:`Connection.forget_watches` does."""
        watched, self._watched = self._watched, {}
        return connection.forget_watches(self._on_event, *((path, WatchKind.DATA) for path in watched))

    def _on_event(self, event: Event, path: str) -> None:
        self._watched.pop(path, None)
        if path == self.own.path:
            self._shown_on = None
        # Who may be the successor asks in this very call: before its task has woken up the answer is on its way.
        if path == self.followed and self._connection is not None and self.stands(self._connection):
            self.ask(self._connection, None)
        self.has_seen_done = self.has_seen_done or event is Event.CREATED  # of all these only DONE can be missing
        self._heard(event, path)

    def _path(self, name: str) -> str:
        return f"{self._resource}/{name}"

    def _watches_no_more(self, connection: Connection, path: str) -> None:
        connection.drop_unused(connection.forget_watches(self._on_event, (path, WatchKind.DATA)))
        self._watched.pop(path, None)


def _is_known(connection: Connection, path: str) -> bool:
    return connection.shows(path, WatchKind.DATA) is not None
