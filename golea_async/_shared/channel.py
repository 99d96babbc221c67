"""aiozk's edge, wrapped once: connections, with their requests and watches.

aiozk 0.32's ``Session.send`` sends a create again after a lost reply, waits for ever when there is no connection, and
hears of a dead one after a whole session timeout. So a request here belongs to one :class:`Channel`: it is written
at once, never again, and ends with its connection, by :class:`ConnectionLostError`: what was asked may have happened.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Protocol

import aiozk
from aiozk import exc
from aiozk.states import States

from golea_async._zookeeper import wire as _requests
from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.connection import Connection
from golea_async._zookeeper.process import this_process
from golea_async._zookeeper.replies import Reply, first_failure, is_multi, is_quorum_write
from golea_async._zookeeper.requests import Request, Requests
from golea_async._zookeeper.touch import is_touch
from golea_async._zookeeper.wire import KINDS_USED_UP, WatchKind

from .aiozk_channel import hear_events
from .batch import Batch, ConnectionLostError
from .lease import Acknowledgements, Lease, proven_touch

# Errors after which a request's outcome is unknown, or the session is not served on this connection any more.
_CONNECTION_IS_LOST = (
    exc.ConnectionLoss,
    exc.NotReadOnly,
    exc.OperationTimeout,
    exc.SessionExpired,
    exc.SessionMoved,
)


class Event(IntEnum):
    """What a watch says (ZooKeeper's ``EventType``). LOST is ours: the connection ended, and its watches with it."""

    LOST = 0
    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


class Listener(Protocol):
    """Who listens to watches."""

    def on_event(self, event: Event, path: str) -> None:
        """Hear of the event that uses one up."""


_EVENTS = {event.value: event for event in Event if event is not Event.LOST}


class Channel(Requests):
    """One connection of a client's session, from its handshake to its end.

    Paths are the application's, within the client's chroot.

    :ivar written_at: when the newest quorum write was sent that has come through.
    :ivar answered_at: when the newest answer was read.
    """

    def __init__(self, client: aiozk.ZKClient, lease: Lease) -> None:
        self.lease = lease
        self.written_at = self.answered_at = -math.inf
        self._client = client
        super().__init__("" if client.chroot in (None, "/") else str(client.chroot), client.default_acl)
        self._session = client.session
        self._wire = client.session.conn
        # aiozk matches the replies to its pings last in, first out: of its requests only ours can be timed.
        is_timed = isinstance(self._wire, Connection)
        self._connect_sent_at: float | None = self._wire.connect_sent_at if is_timed else None
        self._own_acknowledgements = None if is_timed else Acknowledgements(lease.timeout)
        # aiozk's reader ends silently at the end of the stream, and its session learns of that by its next ping.
        self._reader = None if is_timed else getattr(self._wire, "read_loop_task", None)
        if self._reader is not None:
            self._reader.add_done_callback(self._reader_ended)
        if is_timed:
            self._wire.watcher = self
        else:
            hear_events(self._session, self._wire, self.hear)
        self._abandoned = False
        self._process = this_process()
        self._sent_to_aiozk: dict[Batch, None] = {}  # and not answered: they end with the connection
        self._watches: dict[WatchKind, dict[str, _Watch]] = {WatchKind.CHILDREN: {}, WatchKind.DATA: {}}  # by path
        self.session_id: int = client.session.session_id

    @property
    def is_current(self) -> bool:
        """Whether the session is connected, through this connection, and not being closed; never in a forked child."""
        session = self._session
        return bool(
            not self._abandoned
            and self._process == this_process()
            and session.conn is self._wire
            and session.state.current_state == States.CONNECTED
            and session.session_id == self.session_id
            and session.started
            and not session.closing
        )

    @property
    def renews_from(self) -> float:
        """From when on a quorum write that is sent renews the lease; those before it have proved nothing yet."""
        return -math.inf if self._own_acknowledgements is None else self._own_acknowledgements.proves_from

    async def send(self, *requests: Request) -> list[Reply]:
        """Send requests together and return their replies in order; one that ZooKeeper refused is its error.

        The requests are written before this first suspends. Cancelled: each may or may not have happened.

        :raises ConnectionLostError: when the connection ended before the last reply.
        """
        return await self.ask(*requests).replies(len(requests))

    def ask(self, *requests: Request) -> Batch:
        """Send requests together, at once; their replies need not be waited for all at once.

        :raises ConnectionLostError: when the connection has ended.
        """
        if not self.is_current:
            raise ConnectionLostError
        batch = Batch(self, len(requests))
        if not requests:
            return batch
        if isinstance(self._wire, Connection):
            self._wire.post(requests, batch)
        else:
            self._post_to_aiozk(requests, batch)
        return batch

    def renew_lease(self, sent_at: float, reply: Reply) -> None:
        """Take note of an answer; renew the lease when it says that a quorum write has succeeded."""
        self.answered_at = boottime()
        if is_quorum_write(reply):
            self.written_at = max(self.written_at, sent_at)
            timed = self._own_acknowledgements or self._wire
            touched_at = proven_touch(sent_at, self.lease.timeout, self._connect_sent_at, timed.newest_acknowledged)
            if touched_at is not None:
                self.lease.renew(touched_at)
        if self._own_acknowledgements is not None and is_touch(0, getattr(reply, "error_code", 0)):
            self._own_acknowledgements.record(sent_at, self.answered_at)

    def abandon(self) -> None:
        """Give this connection up: the client goes and connects again, within the same session."""
        if self.is_current:
            self._session.state.transition_to(States.SUSPENDED)
        self._abandoned = True

    def _reader_ended(self, _reader: asyncio.Task[None]) -> None:
        self.abandon()

    def lose(self) -> None:
        """End every request and watch, since the connection has ended."""
        self._abandoned = True
        if self._reader is not None:
            self._reader.remove_done_callback(self._reader_ended)
        for batch in self._sent_to_aiozk:
            batch.unanswered()
        if isinstance(self._wire, Connection):
            self._wire.give_up_posted()
            if self._wire.watcher is self:
                self._wire.watcher = None
        for kind, watches in self._watches.items():
            for path in list(watches):
                self._fire(Event.LOST, path, kind)

    def listens(self, absolute_path: str, kind: WatchKind) -> bool:
        """Whether somebody waits for the event of a watch; to be asked by the client's connection."""
        return absolute_path.startswith(self._chroot) and absolute_path[len(self._chroot) :] in self._watches[kind]

    def hear(self, event_type: int, absolute_path: str) -> None:
        """Hear of an event, which uses up the watches that it came from; to be called by the client's connection."""
        event = _EVENTS.get(event_type)
        if event is not None and absolute_path.startswith(self._chroot):
            path = absolute_path[len(self._chroot) :]
            for kind in KINDS_USED_UP[event]:
                self._fire(event, path, kind)

    def _fire(self, event: Event, path: str, kind: WatchKind) -> None:
        watch = self._watches[kind].pop(path, None)
        if watch is not None:
            for listener in list(watch):
                listener.on_event(event, path)

    def watch(self, path: str, kind: WatchKind, listener: Listener) -> None:
        """Tell ``listener`` of the next event of a watch. To be called before the request that sets the watch.

        ZooKeeper has one watch for a path on one connection, and it fires once; here it may have many listeners.
        """
        watch = self._watches[kind].get(path)
        if watch is None:
            watch = self._watches[kind][path] = _Watch()
        watch[listener] = None

    def watch_is_asked(self, path: str, kind: WatchKind, batch: Batch) -> None:
        """Take note of the request that is to set a watch: who wants it, too, can wait for the reply to that."""
        self._watches[kind][path].asked = batch

    def confirm_watch(self, path: str, kind: WatchKind, *, is_there: bool) -> None:
        """Take note that ZooKeeper has set this watch, and what it has shown: who wants it, too, needs no request.

        To be called with the reply to a listener's request, and only while that listener has heard no event: by then
        it may be another's watch.
        """
        watch = self._watches[kind][path]
        watch.asked, watch.is_there = None, is_there

    def shows(self, path: str, kind: WatchKind) -> bool | None:
        """Whether this znode is there, as its watch says, which ZooKeeper has set; None when it is not known to be."""
        watch = self._watches[kind].get(path)
        return None if watch is None else watch.is_there

    def is_setting_watch(self, path: str, kind: WatchKind) -> bool:
        """Whether a request that is to set this watch was sent, and is not answered yet."""
        watch = self._watches[kind].get(path)
        return watch is not None and watch.asked is not None and not watch.asked.is_complete

    def unwatch(self, listener: Listener, *watches: tuple[str, WatchKind], are_set: bool = True) -> None:
        """Take ``listener`` off watches, and have ZooKeeper forget those that are set and that nobody else waits for.

        They would stay on the server as long as the connection. For ZooKeeper it is one watch with the application's
        own, which therefore stays.
        """
        for path, kind in watches:
            watch = self._watches[kind].get(path)
            if watch is not None and listener in watch:
                del watch[listener]
                if not watch:
                    del self._watches[kind][path]
                    if are_set and self.is_current:  # else they have gone with the connection
                        self._remove_watch(self._absolute(path), kind)

    def _remove_watch(self, absolute_path: str, kind: WatchKind) -> None:
        if self._application_watches(absolute_path, kind):
            return
        if isinstance(self._wire, Connection):
            self._wire.remove_watch(absolute_path, kind)
        else:  # at once: who comes next sets the watch again, behind that
            self.ask(_requests.RemoveWatches(absolute_path, kind))

    def _application_watches(self, absolute_path: str, kind: WatchKind) -> bool:
        """Whether a callback of the application's waits for an event of this watch, by its calls to the client."""
        callbacks = self._session.watch_callbacks
        return bool(callbacks) and any(
            callbacks.get((event, absolute_path)) for event, kinds in KINDS_USED_UP.items() if kind in kinds
        )

    def _post_to_aiozk(self, requests: Sequence[Request], batch: Batch) -> None:
        """Write requests to aiozk's connection, whose futures end with ZooKeeper's error, or are cancelled."""
        session, sent, come = self._session, deque[asyncio.Future[Any]](), set[asyncio.Future[Any]]()

        def pass_on(answered: asyncio.Future[Any]) -> None:
            come.add(answered)  # not all that are done: an event may be due between them
            while sent and sent[0] in come:  # in order, also where one before is missing: aiozk goes by their numbers
                _pass_on(sent.popleft(), batch)
            if not sent:
                self._sent_to_aiozk.pop(batch, None)

        self._sent_to_aiozk[batch] = None
        for request in requests:
            session.xid = session.xid + 1 if session.xid < 0x7FFFFFFF else 1
            sent.append(self._wire.send(request, xid=session.xid))
        for answered in tuple(sent):
            answered.add_done_callback(pass_on)

    def reply(self, zxid: int, reply: Reply) -> Reply:
        """Read an outcome.

        :raises ConnectionLostError: when it says that the session is not served on this connection any more.
        """
        if zxid > 0:
            self._session.last_zxid = zxid
        # A transaction says only in its results that the session is over (PrepRequestProcessor checks each part).
        error = first_failure(reply) if is_multi(reply) else reply
        if isinstance(error, _CONNECTION_IS_LOST):
            raise ConnectionLostError
        return reply


class _Watch(dict[Listener, None]):
    """Who waits for the event of one watch; what is to set it, and what ZooKeeper has shown when it had set it."""

    __slots__ = ("asked", "is_there")

    def __init__(self) -> None:
        super().__init__()
        self.asked: Batch | None = None
        self.is_there: bool | None = None


def _pass_on(answered: asyncio.Future[Any], batch: Batch) -> None:
    """Tell what has become of a request to aiozk."""
    error = asyncio.CancelledError() if answered.cancelled() else answered.exception()
    if error is None:
        batch.answered(*answered.result())
    elif isinstance(error, exc.ResponseError):
        batch.answered(0, error)
    else:
        batch.unanswered()


def check_client(client: object) -> None:
    """Refuse what is not an aiozk client.

    :raises TypeError: when it is not.
    """
    if not isinstance(client, aiozk.ZKClient):
        raise TypeError(f"an aiozk.ZKClient (or golea_async.ZKClient) is needed, not {type(client).__name__}")
