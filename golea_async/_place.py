"""A candidate's place in the line: who is before it, and the watches on which that knowledge rests.

What is known is bound to one connection: with that it counts as unknown, and is looked up again on the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from aiozk import exc

from ._identity import Identity
from ._nomination import Nomination
from ._outlook import Outlook
from ._protocol.standing import DONE, Verdict, View, decide, name_before
from ._shared.batch import Batch, ConnectionLostError
from ._shared.channel import Channel
from ._shared.watch_table import Event
from ._zookeeper.replies import Reply, accept, is_missing, is_present, is_refused
from ._zookeeper.requests import Request
from ._zookeeper.wire import WatchKind


class Candidate(Protocol):
    """Whose place it is."""

    def heard(self, event: Event, path: str) -> None:
        """Hear that a watch of the place has fired."""

    def decided(self, place: Place, connection: Channel, verdict: Verdict) -> None:
        """Hear what the answers mean, in the very call that reads the last of them."""

    def wake_soon(self) -> None:
        """Hear that a look has ended, when the answers have been read that have come with the last of its own."""


class _Look:
    """What was asked at one look, and what the answers mean."""

    __slots__ = ("asked", "connection", "error", "needed", "predecessor", "requests", "rest", "taken", "verdict")

    def __init__(
        self,
        connection: Channel,
        predecessor: str | None,
        requests: dict[str, Request],
        needed: int | None,
        asked: Batch,
    ) -> None:
        self.connection = connection
        self.predecessor = predecessor  # None: the children were listed
        self.requests = requests  # by path, in order
        self.needed = needed  # how many of them decide; None: the outlook does
        self.taken = 0  # how many answers were read for that
        self.asked = asked
        self.verdict: Verdict | None = None
        self.error: Exception | None = None
        self.rest: asyncio.Future[None] | None = None  # the reading of the answers that were not needed

    @property
    def has_ended(self) -> bool:
        return self.verdict is not None or self.error is not None

    def take(self) -> dict[str, Reply]:
        """Return the answers that decide, by path.

        :raises ConnectionLostError: when the connection ended before the last of them.
        """
        assert self.needed is not None, "else nothing that was asked decides"
        replies = dict(zip(self.requests, self.asked.take(self.needed), strict=False))
        self.taken = len(replies)
        return replies


class _Reading:
    """Reads answers in the very call in which they come: other candidates on this client rely on them, too.

    :ivar end: when they have been read; raises what is wrong with them.
    """

    def __init__(self, place: Place, connection: Channel, paths: list[str], asked: Batch) -> None:
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._place = place
        self._connection = connection
        self._paths = paths
        self._asked = asked
        asked.when_answered(len(paths), self.told)

    def told(self) -> None:
        """Read them; to be called when they have come, or never will."""
        try:
            for path, reply in zip(self._paths, self._asked.take(len(self._paths)), strict=True):
                self._place.read(self._connection, path, reply)
        except Exception as error:  # noqa: BLE001  # as in `Place.told`
            if not self.end.done():
                self.end.set_exception(error.with_traceback(None))
                self.end.exception()  # whoever waited may have been cancelled
        else:
            if not self.end.done():
                self.end.set_result(None)


class Place:
    """The place of one znode among the candidates.

    :ivar own: that znode.
    :ivar followed: path of the znode that was followed last; None for who was the first.
    :ivar has_seen_done: whether ``DONE`` was heard to be created: it may be gone again, with the own znode.
    """

    def __init__(
        self, identity: Identity, own: Nomination, shown_on: Channel, candidate: Candidate, outlook: Outlook | None
    ) -> None:
        self.own = own
        self.followed: str | None = None
        self.has_seen_done = False
        self.done = f"{identity.resource}/{DONE}"
        self._identity = identity
        self._resource = identity.resource
        self._candidate = candidate
        self._outlook = outlook  # None: others of this client may stand here, too
        self._watched: dict[str, bool] = {}  # whose event has not come yet; whether it is set, and shows what it should
        self._connection: Channel | None = None  # the one on which the place was taken; None while it is looked for
        self._shown_on: Channel | None = shown_on  # the last one on which ZooKeeper has shown the own znode
        self._look: _Look | None = None  # whose verdict was not taken
        self._rest: asyncio.Future[None] | None = None  # the reading of the answers that the verdict did not need
        self._is_disturbed = False  # an event has come since the last look began
        if outlook is not None:
            outlook.tell(partial(self._see_node, shown_on))

    def ask(self, connection: Channel, predecessor: str | None, *, barrier: bool = False) -> None:
        """Ask ZooKeeper, in one round trip, what decides and is not known from a watch; list when nobody is named.

        A watch counts from when its request is sent: its event can come before the reply. When the one before has
        gone, the place has asked already, in the call that heard of it; then this asks for nothing more.

        :raises ConnectionLostError: when the connection has ended.
        """
        if self._look is not None and self._look.connection is connection and not self._is_disturbed:
            return
        self._look = self._connection = None
        self._is_disturbed = False
        requests: dict[str, Request] = {}  # by path
        if barrier:
            requests["barrier"] = connection.check(self._resource)
        needed: int | None = None
        if self._awaits_outlook(connection):
            self._want(connection, self.done, requests, is_known=_is_asked(connection, self.done))
        elif predecessor is None:
            needed = self._list(connection, requests)
        else:
            needed = self._look_at(connection, requests, self._path(predecessor))
        self._look = _Look(connection, predecessor, requests, needed, self._send(connection, requests))
        if needed is not None:
            self._look.asked.when_answered(needed, self.told)

    def _awaits_outlook(self, connection: Channel) -> bool:
        """Whether no number is before the own one: then the answer that is on its way will do, or else a list."""
        return (
            self._outlook is not None
            and self._outlook.is_awaited
            and self._shown_on is connection
            and name_before(self.own.name) is None
        )

    def _list(self, connection: Channel, requests: dict[str, Request]) -> int:
        """Return how many of the requests decide: the list shows the own znode and `DONE`, too.

        `DONE` is watched from here on all the same: a whole election may end before this process does its next step.
        """
        if not connection.lease.is_valid:  # who finds itself the first needs a lease at once
            requests["keep-alive"] = connection.check(self.own.path)
        requests[self._resource] = connection.children(self._resource)
        needed = len(requests)
        self._want(connection, self.done, requests, is_known=_is_asked(connection, self.done))
        return needed

    def _look_at(self, connection: Channel, requests: dict[str, Request], followed: str) -> int:
        """Return how many decide, all: that the own znode stands is known when it was just made on this connection.

        What was asked before is answered before, so what others of this client have just asked for need not be asked
        for again: the answer to anything at all says that theirs is there.
        """
        can_wait = not self._watched.get(self.own.path)
        for path in (self.done, followed):
            is_asked = can_wait and connection.watches.is_asked(path, WatchKind.DATA)
            self._want(connection, path, requests, is_known=is_asked or _is_known(connection, path))
        # Who comes just behind on this client follows this one, and then needs no request of its own.
        if self._outlook is None or self._shown_on is not connection or not requests:
            self._want(connection, self.own.path, requests)
        return len(requests)

    def _send(self, connection: Channel, requests: dict[str, Request]) -> Batch:
        return connection.ask(*requests.values())

    def told(self) -> None:
        """Decide: what the event of a watch would say of these answers has not come before them."""
        look = self._look
        # They may be those of a look that an event has put in question, and another one has begun.
        if look is None or look.has_ended or look.needed is None:
            return
        if look.asked.can_take(look.needed):
            self._conclude(look, self._view)

    def _see_node(self, connection: Channel, node: Reply | None) -> None:
        """Hear what the election node has shown right behind the nomination: who was alone there is the first.

        Whoever comes later stands behind. So that decides, and the answers of the look, which come later, do not.
        """
        look = self._look
        if look is None or look.has_ended:
            return
        if node is not None and self.is_undisturbed(connection) and self._is_alone(node):
            self._conclude(look, self._view_of_one)
        elif look.needed is None:
            self._list_instead(look, connection)

    def _list_instead(self, look: _Look, connection: Channel) -> None:
        try:
            self._look = None
            self.ask(connection, None)
        except ConnectionLostError as error:
            self._look, look.error = look, error.with_traceback(None)
            self._candidate.wake_soon()

    def _conclude(self, look: _Look, view: Callable[[_Look], View]) -> None:
        try:
            look.verdict = decide(self.own.name, view(look))
            self._candidate.decided(self, look.connection, look.verdict)
            if look.taken < len(look.requests):
                look.rest = _Reading(self, look.connection, list(look.requests)[look.taken :], look.asked).end
        except Exception as error:  # noqa: BLE001  # who waits for the verdict raises it: here it is the connection's
            look.error = error
        # Last, so that who waits for the status goes first.
        self._candidate.wake_soon()

    @property
    def is_looking(self) -> bool:
        """Whether the answers to the last look have not come: the candidate is woken up when they have."""
        return self._look is not None and not self._look.has_ended

    def has_looked_on(self, connection: Channel) -> bool:
        """Whether there is a look on this connection whose verdict was not taken."""
        return self._look is not None and self._look.connection is connection

    def verdict(self) -> Verdict:
        """Return what the last look says, when that has ended.

        :raises ConnectionLostError: when the connection ended before.
        :raises ElectionError: when ZooKeeper has refused a request.
        """
        look = self._look
        assert look is not None, "ask() comes first"
        self._look, self._rest = None, look.rest
        if look.error is None:
            assert look.verdict is not None, "it has ended"
            return look.verdict
        error, look.error = look.error, None
        try:
            raise error
        finally:
            del error  # its traceback has this frame: together they would live until the collector comes

    def _want(self, connection: Channel, path: str, requests: dict[str, Request], *, is_known: bool = False) -> None:
        """Listen to the watch of a znode; add the request that sets it, and shows the znode, if one is needed.

        None is when ZooKeeper has shown it to another candidate on this connection, and has set the watch: then it is
        as it was, or an event comes. Of the own znode this one's stat counts.
        """
        if self._watched.get(path):
            return
        connection.watches.listen(path, WatchKind.DATA, self.on_event)
        self._watched[path] = False
        if not is_known:
            requests[path] = (connection.exists if path == self.done else connection.get)(path, watch=True)

    def _view(self, look: _Look) -> View:
        """Say what the replies show: what was not asked is being watched, and so is as it was."""
        connection, replies = look.connection, look.take()
        for path, reply in replies.items():
            self.read(connection, path, reply)
        if look.predecessor is None:
            listed = accept(replies[self._resource], exc.NoNode, path=self._resource, **self._identity.names)
            self._notice_list(connection, listed)
            children = None if is_missing(listed) else listed.children
            return View(self._shown_on is connection, done=False, children=children)
        followed = self._path(look.predecessor)
        lives = self._is_set(connection, self.done) and self._is_set(connection, followed)
        return View(
            own_stands=self._shown_on is connection,
            done=connection.watches.shows(self.done, WatchKind.DATA) is True,
            predecessor=look.predecessor if lives else None,
        )

    def _view_of_one(self, look: _Look) -> View:
        return View(
            own_stands=self._shown_on is look.connection,
            done=look.connection.watches.shows(self.done, WatchKind.DATA) is True,
            children=[self.own.name],
        )

    def _notice_list(self, connection: Channel, listed: Reply) -> None:
        """See whether a list shows the own znode: only when the election node is made anew do names come again."""
        is_own = not is_missing(listed) and listed.stat.created_zxid < self.own.czxid
        if is_own and self._shown_on is not connection:
            is_own = self.own.name in listed.children
        self._shown_on = connection if is_own else None

    def _is_alone(self, node: Reply) -> bool:
        """Whether the election node shows that its only child is the own znode: its last one came with that."""
        return (
            not is_refused(node) and node.stat.num_children == 1 and node.stat.last_modified_children == self.own.czxid
        )

    async def read_rest(self) -> None:
        """Wait for the answers that the verdict did not need. If they put the place in question, it does not hold.

        :raises ConnectionLostError: when the connection has ended.
        :raises ElectionError: when ZooKeeper has refused a request.
        """
        rest, self._rest = self._rest, None
        if rest is not None:
            await rest

    async def confirm(self, connection: Channel) -> None:
        """Watch what the decision did not need to be watched, and read the rest, as :meth:`read_rest` does."""
        requests: dict[str, Request] = {}
        self._want(connection, self.own.path, requests)
        if self.done not in self._watched:
            self._want(connection, self.done, requests, is_known=_is_asked(connection, self.done))
        confirmation = (
            _Reading(self, connection, list(requests), self._send(connection, requests)) if requests else None
        )
        await self.read_rest()
        if confirmation is not None:
            await confirmation.end

    def read(self, connection: Channel, path: str, reply: Reply) -> None:
        """Read the answer to a request that sets a watch, unless its event has come already."""
        if path not in self._watched:
            return
        is_there = not is_refused(reply)
        if path == self.done:
            is_there = is_there or is_present(reply, path=path, **self._identity.names)
        else:
            accept(reply, exc.NoNode, path=path, **self._identity.names)
        was_shown = path == self.own.path and self._shown_on is connection
        is_as_it_should = is_there is (path != self.done)
        if path == self.own.path:
            is_as_it_should = self.own.is_shown_by(reply)
            self._shown_on = connection if is_as_it_should else None
        if is_as_it_should or path == self.done:
            self._watched[path] = is_as_it_should
        else:
            del self._watched[path]
            connection.unwatch(self.on_event, (path, WatchKind.DATA))  # of a missing one `get` leaves none
        if was_shown and not is_as_it_should:  # deleted before the watch was set: its event would have said the same
            self.on_event(Event.DELETED, path)

    async def verify(self, connection: Channel) -> None:
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
        raise self._identity.deleted()

    def take(self, connection: Channel, followed: str | None) -> None:
        """Stand behind ``followed``, as was seen on this connection; None: stand before all others."""
        self.followed = followed
        self._connection = connection

    def is_undisturbed(self, connection: Channel) -> bool:
        """Whether no event has come on this connection since the last look began."""
        return connection.is_current and not self._is_disturbed

    def holds(self, connection: Channel) -> bool:
        """Whether the place was taken on this connection, and every watch on which it rests is set, and silent."""
        return (
            self._connection is connection
            and self._look is None
            and self.is_undisturbed(connection)
            and self.sees_its_own(connection)
            and self._is_set(connection, self.done)
            and (self.followed is None or self._is_set(connection, self.followed))
        )

    def sees_its_own(self, connection: Channel) -> bool:
        """Whether the own znode stands: it was shown on this connection, and its watch is silent."""
        return self._shown_on is connection and self._watched.get(self.own.path, False)

    @property
    def watches_its_own(self) -> bool:
        """Whether the watch of the own znode was asked for, and its event has not come."""
        return self.own.path in self._watched

    def sees_the_followed(self, connection: Channel) -> bool:
        """Whether the watch of the one who is followed is silent."""
        return self.followed is not None and self._is_set(connection, self.followed)

    def _is_set(self, connection: Channel, path: str) -> bool:
        """Whether a watch is set and silent: by a request of this candidate's, or of another one's on this client."""
        is_set = self._watched.get(path)
        if is_set is False and connection.watches.shows(path, WatchKind.DATA) is (path != self.done):
            is_set = self._watched[path] = True
        return bool(is_set)

    def leave_watches(self, connection: Channel) -> None:
        """Listen no more."""
        if self._outlook is not None:
            self._outlook.forget()
        watched, self._watched = self._watched, {}
        connection.unwatch(self.on_event, *[(path, WatchKind.DATA) for path in watched])

    def on_event(self, event: Event, path: str) -> None:
        """Hear the event of a watch; to be called by the connection."""
        was_disturbed, self._is_disturbed = self._is_disturbed, True
        self._watched.pop(path, None)
        if path == self.own.path:
            self._shown_on = None
        self.has_seen_done = self.has_seen_done or event is Event.CREATED  # of all these only DONE can be missing
        # Who may be the successor asks in this very call: before its task has woken up the answer is on its way.
        connection = self._connection
        if path == self.followed and not was_disturbed and connection is not None and connection.is_current:
            self.ask(connection, None)
        self._candidate.heard(event, path)

    def _path(self, name: str) -> str:
        return f"{self._resource}/{name}"


def _is_known(connection: Channel, path: str) -> bool:
    return connection.watches.shows(path, WatchKind.DATA) is not None


def _is_asked(connection: Channel, path: str) -> bool:
    return _is_known(connection, path) or connection.watches.is_asked(path, WatchKind.DATA)
