"""aiozk's edge, wrapped once: connections, with their requests and watches.

aiozk 0.32's ``Session.send`` sends a create again after a lost reply, waits for ever when there is no connection, and
hears of a dead one after a whole session timeout. So a request here belongs to one :class:`Connection`: it is written
at once, never again, and ends with its connection, by :class:`ConnectionLostError`: what was asked may have happened.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any, TypeAlias

import aiozk
from aiozk import exc, protocol
from aiozk.states import States

from ._clock import boottime
from ._connection import Connection as TimedConnection
from ._lease import Acknowledgements, Lease, proven_touch
from ._plain_client import ignore_unheard_events
from ._replies import Reply, first_failure, is_multi, is_quorum_write

Request: TypeAlias = Any
Listener: TypeAlias = Callable[["Event", str], None]

# Errors after which a request's outcome is unknown, or the session is not served on this connection any more.
_CONNECTION_IS_LOST = (
    exc.ConnectionLoss,
    exc.NotReadOnly,
    exc.OperationTimeout,
    exc.SessionExpired,
    exc.SessionMoved,
)


class ConnectionLostError(Exception):
    """The connection ended before the reply: what was asked may have happened, or may still happen."""


class Event(IntEnum):
    """What a watch says (ZooKeeper's ``EventType``). LOST is ours: the connection ended, and its watches with it."""

    LOST = 0
    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


class WatchKind(IntEnum):
    """What is watched, as RemoveWatches names it (ZooKeeper's ``WatcherType``)."""

    CHILDREN = 1
    DATA = 2


_EVENTS_OF = {
    WatchKind.DATA: (Event.CREATED, Event.DELETED, Event.DATA_CHANGED),
    WatchKind.CHILDREN: (Event.CHILDREN_CHANGED, Event.DELETED),
}


class Connection:
    """One connection of a client's session, from its handshake to its end.

    Paths are the application's, within the client's chroot.

    :ivar written_at: when the newest quorum write was sent that has come through.
    :ivar answered_at: when the newest answer was read.
    """

    def __init__(self, client: aiozk.ZKClient, lease: Lease) -> None:
        self.lease = lease
        self.written_at = self.answered_at = -math.inf
        self._client = client
        self._session = client.session
        self._wire = client.session.conn
        # aiozk matches the replies to its pings last in, first out: of its requests only ours can be timed.
        is_timed = isinstance(self._wire, TimedConnection)
        self._connect_sent_at: float | None = self._wire.connect_sent_at if is_timed else None
        self._own_acknowledgements = None if is_timed else Acknowledgements(lease.timeout)
        # aiozk's reader ends silently at the end of the stream, and its session learns of that by its next ping.
        self._reader = None if is_timed else getattr(self._wire, "read_loop_task", None)
        if self._reader is not None:
            self._reader.add_done_callback(self._reader_ended)
        if not is_timed:
            ignore_unheard_events(self._session, self._wire)
        self._abandoned = False
        self._outstanding: dict[asyncio.Future[list[Any]], None] = {}
        self._watches: dict[tuple[str, WatchKind], _Watch] = {}
        self.session_id: int = client.session.session_id

    @property
    def is_current(self) -> bool:
        """Whether the session is connected, through this connection, and not being closed."""
        session = self._session
        return bool(
            not self._abandoned
            and session.conn is self._wire
            and session.state == States.CONNECTED
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
        if not self.is_current:
            raise ConnectionLostError
        sent_at = boottime()
        outcomes = self._post(requests)
        self._outstanding[outcomes] = None
        try:
            replies = [self._reply(outcome) for outcome in await outcomes]
        except exc.ConnectError:
            self.abandon()
            raise ConnectionLostError from None
        finally:
            self._outstanding.pop(outcomes, None)
        self._renew_lease(sent_at, replies)
        return replies

    def _renew_lease(self, sent_at: float, replies: list[Reply]) -> None:
        """Take note of answers; renew the lease when a quorum write has succeeded."""
        self.answered_at = boottime()
        if any(is_quorum_write(reply) for reply in replies):
            self.written_at = max(self.written_at, sent_at)
            timed = self._own_acknowledgements or self._wire
            touched_at = proven_touch(sent_at, self.lease.timeout, self._connect_sent_at, timed.newest_acknowledged)
            if touched_at is not None:
                self.lease.renew(touched_at)
        if self._own_acknowledgements is not None:
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
        for outcomes in list(self._outstanding):
            if not outcomes.done():
                outcomes.set_exception(ConnectionLostError())
        for watch in list(self._watches.values()):
            watch.fire(Event.LOST)

    def watch(self, path: str, kind: WatchKind, listener: Listener) -> None:
        """Call ``listener`` at the next event of a watch. To be called before the request that sets the watch.

        ZooKeeper has one watch for a path on one connection, and it fires once; here it may have many listeners.
        """
        watch = self._watches.get((path, kind))
        if watch is None:
            watch = self._watches[path, kind] = _Watch(self, path, kind)
        watch.listeners[listener] = None

    def is_watching(self, path: str, kind: WatchKind, listener: Listener) -> bool:
        """Whether ``listener`` still waits for the first event of this watch."""
        watch = self._watches.get((path, kind))
        return watch is not None and listener in watch.listeners

    def confirm_watch(self, path: str, kind: WatchKind, listener: Listener) -> None:
        """Take note that ZooKeeper has set this watch: who wants it, too, needs no request of its own.

        To be called with the reply to the listener's request. When it has heard the event before that, this is
        another's watch by now.
        """
        if self.is_watching(path, kind, listener):
            self._watches[path, kind].is_set = True

    def has_set_watch(self, path: str, kind: WatchKind) -> bool:
        """Whether ZooKeeper is known to have set this watch, and has sent no event since."""
        watch = self._watches.get((path, kind))
        return watch is not None and watch.is_set

    def forget_watches(self, listener: Listener, *watches: tuple[str, WatchKind]) -> list[tuple[str, WatchKind]]:
        """Take ``listener`` off watches; return those whose event nobody waits for now.

        They are to be removed in ZooKeeper too, by :meth:`remove_watches`, and then here, by :meth:`drop_unused`:
        otherwise they stay on the server as long as the connection, and aiozk keeps an entry for each event that
        nobody waits for.
        """
        unused = []
        for key in watches:
            watch = self._watches.get(key)
            # One that another listener has left already is that one's to drop: ZooKeeper may not have removed it yet.
            if watch is not None and listener in watch.listeners:
                del watch.listeners[listener]
                if not watch.listeners:
                    watch.is_set = False  # it is about to be removed: who comes now must set it again
                    unused.append(key)
        return unused

    def drop_unused(self, watches: Iterable[tuple[str, WatchKind]]) -> None:
        """Drop watches for which nobody waits (somebody may have come while ZooKeeper was removing them)."""
        for key in watches:
            watch = self._watches.get(key)
            if watch is not None and not watch.listeners:
                watch.drop()

    async def unwatch(self, listener: Listener, *watches: tuple[str, WatchKind]) -> None:
        """Take ``listener`` off watches, and remove those that nobody else waits for.

        Cancelled: the listener is off, ZooKeeper may keep the watch.
        """
        unused = self.forget_watches(listener, *watches)
        try:
            if unused and self.is_current:
                await self.send(*self.remove_watches(unused))
        except ConnectionLostError:
            pass  # and the watches with it
        finally:
            self.drop_unused(unused)

    def get(self, path: str, *, watch: bool = False) -> Request:
        """Ask for data and stat. Of a missing znode it leaves no watch."""
        return protocol.GetDataRequest(path=self._absolute(path), watch=watch)

    def exists(self, path: str, *, watch: bool = False) -> Request:
        """Ask for the stat. The watch is set whether the znode is there or not."""
        return protocol.ExistsRequest(path=self._absolute(path), watch=watch)

    def children(self, path: str, *, watch: bool = False) -> Request:
        """Ask for the children's names and the stat."""
        return protocol.GetChildren2Request(path=self._absolute(path), watch=watch)

    def create(
        self,
        path: str,
        data: bytes,
        acl: Sequence[aiozk.ACL] | None = None,
        *,
        ephemeral: bool = False,
        sequential: bool = False,
    ) -> Request:
        """Ask for a new znode; the reply has its path and stat."""
        request = protocol.Create2Request(
            path=self._absolute(path),
            data=data,
            acl=list(acl or self._client.default_acl),
        )
        request.set_flags(ephemeral=ephemeral, sequential=sequential)
        return request

    def create_parent(self, absolute_path: str, acl: Sequence[aiozk.ACL] | None = None) -> Request:
        """Ask for an empty persistent znode at a path outside the chroot, or of the chroot itself."""
        request = protocol.Create2Request(path=absolute_path, data=b"", acl=list(acl or self._client.default_acl))
        request.set_flags()
        return request

    def exists_parent(self, absolute_path: str) -> Request:
        """Ask for the stat of such a znode."""
        return protocol.ExistsRequest(path=absolute_path, watch=False)

    def delete(self, path: str, version: int = -1) -> Request:
        """Ask for a deletion, at this version of the znode (-1: at any)."""
        return protocol.DeleteRequest(path=self._absolute(path), version=version)

    def set_data(self, path: str, data: bytes, version: int) -> Request:
        """Ask for other data, at this version of the znode (-1: at any)."""
        return protocol.SetDataRequest(path=self._absolute(path), data=data, version=version)

    def check(self, path: str) -> Request:
        """Ask the quorum whether a znode is there: a transaction that changes nothing.

        It is ordered with all writes by ZooKeeper's leader, and this connection's later reads see what was written
        before it, so it is also the barrier (``sync`` is none when the server is ZooKeeper's leader itself).
        """
        return self.multi(self.check_operation(path))

    def check_operation(self, path: str, version: int = -1) -> Request:
        """The same as an operation of a transaction, at this version of the znode (-1: at any)."""
        return protocol.CheckVersionRequest(path=self._absolute(path), version=version)

    def multi(self, *operations: Request) -> Request:
        """Ask for a transaction. Look for what failed with :func:`first_failure`."""
        request = protocol.TransactionRequest()
        for operation in operations:
            request.add(operation)
        return request

    def sync(self, path: str) -> Request:
        """Ask the server to catch up with ZooKeeper's leader before it answers what is sent behind."""
        return protocol.SyncRequest(path=self._absolute(path))

    def remove_watches(self, watches: Iterable[tuple[str, WatchKind]]) -> list[Request]:
        """Ask the server to forget this connection's watches."""
        return [protocol.RemoveWatchesRequest(path=self._absolute(path), type=int(kind)) for path, kind in watches]

    def _absolute(self, path: str) -> str:
        return str(self._client.normalize_path(path))

    def _post(self, requests: Sequence[Request]) -> asyncio.Future[list[Any]]:
        """Write requests; return the future of their outcomes: zxid and reply, or an error."""
        if isinstance(self._wire, TimedConnection):
            return self._wire.send_together(requests)
        futures = []
        for request in requests:
            self._session.xid = self._session.xid + 1 if self._session.xid < 0x7FFFFFFF else 1
            futures.append(self._wire.send(request, xid=self._session.xid))
            futures[-1].add_done_callback(_see_error)
        return asyncio.gather(*futures, return_exceptions=True)

    def _reply(self, outcome: Any) -> Reply:
        if isinstance(outcome, tuple):
            self._session.last_zxid, reply = outcome
        else:
            reply = outcome
        # A transaction says only in its results that the session is over (PrepRequestProcessor checks each part).
        error = first_failure(reply) if is_multi(reply) else reply
        if isinstance(error, _CONNECTION_IS_LOST):
            self.abandon()
            raise ConnectionLostError
        if not isinstance(reply, BaseException) or isinstance(reply, exc.ResponseError):
            return reply
        if isinstance(reply, (exc.ZKError, OSError, asyncio.CancelledError)):
            self.abandon()
            raise ConnectionLostError from None
        raise reply


class _Watch:
    """The listeners of one watch, and their callbacks in aiozk's registry."""

    def __init__(self, connection: Connection, path: str, kind: WatchKind) -> None:
        self.listeners: dict[Listener, None] = {}
        self.is_set = False
        self._connection = connection
        self._key = (path, kind)
        self._session = connection._session
        absolute = connection._absolute(path)
        self._callbacks = [(event, absolute, self._callback(event)) for event in _EVENTS_OF[kind]]
        for registration in self._callbacks:
            self._session.add_watch_callback(*registration)

    def fire(self, event: Event) -> None:
        """Tell every listener; the watch is used up."""
        if self._connection._watches.get(self._key) is not self:
            return  # dropped while this was on its way through the event loop
        self.drop()
        for listener in list(self.listeners):
            listener(event, self._key[0])

    def drop(self) -> None:
        """Take the callbacks out of aiozk's registry: aiozk would send them again on the next connection."""
        del self._connection._watches[self._key]
        for registration in self._callbacks:
            self._session.remove_watch_callback(*registration)

    def _callback(self, event: Event) -> Callable[[str], None]:
        return lambda _path: self.fire(event)


def _see_error(answered: asyncio.Future[Any]) -> None:
    """Look at it: of several that were sent together nobody does when the connection ends before the last answer."""
    if not answered.cancelled():
        answered.exception()


def check_client(client: object) -> None:
    """Refuse what is not an aiozk client.

    :raises TypeError: when it is not.
    """
    if not isinstance(client, aiozk.ZKClient):
        raise TypeError(f"an aiozk.ZKClient (or golea_async.ZKClient) is needed, not {type(client).__name__}")
