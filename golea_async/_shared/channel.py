"""One connection of a client, as elections use it: requests that are sent together, watches, and the lease.

A request belongs to one :class:`Channel`: it is written at once, never again, and ends with its connection, by
:class:`ConnectionLostError`: what was asked may have happened. A plain aiozk client has channels of a class of its
own, :class:`golea_async._shared.aiozk_channel.AiozkChannel`.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import aiozk
from aiozk import exc, protocol
from aiozk.states import States

from golea_async._protocol.refusals import is_elsewhere
from golea_async._protocol.steps import ConnectionLostError
from golea_async._zookeeper.acknowledgements import Acknowledgements
from golea_async._zookeeper.clock import boottime
from golea_async._zookeeper.replies import Reply, first_failure, is_quorum_write
from golea_async._zookeeper.requests import Request, Requests
from golea_async._zookeeper.wire import KINDS_USED_UP, WatchKind

from .batch import Batch
from .lease import LEASE_SHARE, Lease, Write, is_limited, proven_touch, proves_from
from .watch_table import Event, Listener, Watch, WatchTable

# More than the T/8 from one keep-alive of a leader to the next.
_JUST_NOW_SHARE = 1 / 6

# A turn of the event loop that took longer has held up what came meanwhile.
_LONG_TURN_SHARE = 1 / 64
# asyncio reads 256 kB in every second turn: more than a socket holds, as a rule.
_TURNS_TO_READ = 32

_EVENTS = {event.value: event for event in Event if event is not Event.LOST}


class Channel(Requests):
    """One connection of a :class:`golea_async.ZKClient`'s session, from its handshake to its end.

    Paths are the application's, within the client's chroot.

    :ivar client: whose it is.
    :ivar watches: what is watched on it. Whoever listens there leaves by :meth:`unwatch`.
    :ivar written_at: when the newest quorum write was sent that has come through.
    :ivar newest_write_at: the same, and the ConnectRequest counts; None without one.
    :ivar write_took: how long its answer took.
    :ivar was_limited: whether another one now would move the deadline far, since there was none for long before it.
    :ivar answered_at: when the newest answer was read.
    :ivar answered_sent_at: when the request was sent to which that was the answer.
    """

    _quiet_turns = 0  # in which nothing comes until all is told that was read

    def __init__(self, client: aiozk.ZKClient, lease: Lease) -> None:
        super().__init__("" if client.chroot in (None, "/") else str(client.chroot), client.default_acl)
        self.lease = lease
        self.session_id: int = client.session.session_id
        self.watches = WatchTable(self._chroot)
        self.written_at = self.answered_at = self.answered_sent_at = -math.inf
        self.write_took = 0.0
        self.was_limited = False
        self.newest_write_at: float | None = None
        self.client = client
        self._session = client.session
        self._wire = client.session.conn
        self._is_abandoned = False
        self._of_batches = (self._read_answer, self.abandon)  # the same for all: there may be thousands
        self._catching_up: list[Callable[[], None]] = []  # who waits until everything was read
        self._context = contextvars.Context()  # in which they are called: nobody's
        self._begin()

    def _begin(self) -> None:
        self._connect_sent_at: float | None = self._wire.connect_sent_at
        self._acknowledgements: Acknowledgements = self._wire.acknowledgements
        self._wire.hear, self._wire.listens = self.hear, self.watches.listens
        if boottime() - self._wire.connect_sent_at < self.lease.timeout:  # the leader has answered it, as a write
            self.newest_write_at = self._wire.connect_sent_at

    @property
    def is_current(self) -> bool:
        """Whether the session is connected, through this connection, and not being closed.

        It may be so in a forked child, which has a copy of its parent's: there the client's connection sends nothing.
        """
        session = self._session
        return bool(
            not self._is_abandoned
            and session.conn is self._wire
            and session.state.current_state == States.CONNECTED
            and session.session_id == self.session_id
            and session.started
            and not session.closing
        )

    @property
    def is_up_to_date(self) -> bool:
        """Whether silent watches are as good as a look: an answer was read just now, and nothing is unread.

        After a blocked event loop an event may lie in the socket. After a pause of the whole machine it may not even
        have come yet: then too long a time has passed since the last answer.
        """
        return self._quiet_turns == 0 and self.has_recent_answer and not self._has_unread()

    @property
    def has_recent_answer(self) -> bool:
        """Whether an answer was read just now."""
        return boottime() - self.answered_at <= _JUST_NOW_SHARE * self.lease.timeout

    def _has_unread(self) -> bool:
        return bool(self._wire.has_unread)

    def when_caught_up(self, call: Callable[[], None]) -> None:
        """Call once when everything was read that has come by now; no request is sent. Thousands share that."""
        self._catching_up.append(call)
        if len(self._catching_up) == 1:
            self._begin_to_catch_up()

    def _begin_to_catch_up(self) -> None:
        self._look_again(len(self._catching_up), 0, 0)

    def _look_again(self, waiting: int, turns: int, quiet: int) -> None:
        look = partial(self._look_for_unread, waiting, turns, quiet, boottime())
        asyncio.get_running_loop().call_soon(look, context=self._context)

    def _look_for_unread(self, waiting: int, turns: int, quiet: int, began: float) -> None:
        """Look in each turn of the event loop until nothing is unread.

        Others' answers may come all the time: then it is enough that the event loop has read as much as lay there,
        and that nothing has held it up meanwhile.

        :param waiting: so many wait for it since the first look.
        :param turns: since then.
        :param quiet: of these, the latest ones in which nothing was unread.
        :param began: when this turn did.
        """
        turns = turns + 1 if boottime() - began <= _LONG_TURN_SHARE * self.lease.timeout else 0
        quiet = 0 if self._has_unread() else quiet + 1
        if quiet <= self._quiet_turns and turns < _TURNS_TO_READ and self.is_current:
            self._look_again(waiting, turns, quiet)
            return
        if quiet and not self._quiet_turns:
            waiting = len(self._catching_up)  # those that have come later have read everything, too
        calls, self._catching_up = self._catching_up[:waiting], self._catching_up[waiting:]
        if self._catching_up:
            self._begin_to_catch_up()
        for call in calls:
            call()

    def proves_from(self, last: float) -> float:
        """Return from when on a quorum write proves more than the one that was sent at ``last``."""
        return proves_from(self.lease.timeout, self._acknowledgements, last)

    def deadline_after(self, write: Write) -> float:
        """Return the lease's deadline when this quorum write succeeds, as far as can be seen now."""
        touched_at = self._touch_proven_by(write)
        return -math.inf if touched_at is None else touched_at + LEASE_SHARE * self.lease.timeout

    def _touch_proven_by(self, write: Write) -> float | None:
        return proven_touch(write, self.lease.timeout, self._connect_sent_at, self._acknowledgements)

    def touch(self, _path: str) -> None:
        """Send what touches the session and costs no quorum."""
        self._wire.touch()

    async def send(self, *requests: Request) -> list[Reply]:
        """Send requests together and return their replies in order; one that ZooKeeper refused is its error.

        The requests are written before this first suspends. Cancelled: each may or may not have happened.

        :raises ConnectionLostError: when the connection ended before the last reply.
        """
        try:
            return await self.ask(*requests).replies(len(requests))
        except ConnectionLostError as error:
            error.requests = requests
            raise

    def ask(self, *requests: Request) -> Batch:
        """Send requests together, at once; their replies need not be waited for all at once.

        :raises ConnectionLostError: when the connection has ended.
        """
        if not self.is_current:
            raise ConnectionLostError
        batch = Batch(requests, boottime(), self.newest_write_at, *self._of_batches)
        if requests:
            self._post(requests, batch)
            self.watches.sent(requests)
        return batch

    def _post(self, requests: Sequence[Request], batch: Batch) -> None:
        self._wire.post(requests, batch.sent_at, batch.answered)

    def _read_answer(self, batch: Batch, request: Request, _zxid: int, result: Any) -> Reply:
        """Read an answer; renew the lease when it says that a quorum write has succeeded.

        :raises ConnectionLostError: when it says that the session is not served on this connection any more.
        """
        reply, sent_at = self.reply(result), batch.sent_at
        self.answered_at, self.answered_sent_at = self._heard_at(), sent_at
        if is_quorum_write(reply):
            self.written_at = self.newest_write_at = max(self.written_at, sent_at)
            self.write_took = self.answered_at - sent_at
            write = Write(sent_at, batch.previous_at)
            self.was_limited = is_limited(write, self.lease.timeout, self._acknowledgements)
            touched_at = self._touch_proven_by(write)
            if touched_at is not None:
                self.lease.renew(touched_at)
        self.watches.answered(request, reply)
        return reply

    def _heard_at(self) -> float:
        """Return when the answer came that is being read."""
        return float(self._wire.heard_at)

    def reply(self, reply: Reply) -> Reply:
        """Read an outcome.

        :raises ConnectionLostError: when it says that the session is not served on this connection any more.
        """
        if isinstance(reply, (exc.ResponseError, protocol.TransactionResponse)) and is_elsewhere(first_failure(reply)):
            raise ConnectionLostError  # a transaction says only in its results that the session is over
        return reply

    def abandon(self) -> None:
        """Give this connection up: the client goes and connects again, within the same session."""
        if self.is_current:
            self._session.state.transition_to(States.SUSPENDED)
        self._is_abandoned = True

    def lose(self) -> None:
        """End every request and watch, since the connection has ended."""
        self._is_abandoned = True
        self._end()
        self._call(Event.LOST, self.watches.lost())

    def _end(self) -> None:
        self._wire.give_up_posted()
        if self._wire.hear == self.hear:
            self._wire.hear = self._wire.listens = None

    def hear(self, event_type: int, absolute_path: str) -> None:
        """Hear of an event, which uses up the watches that it came from; to be called by the client's connection."""
        event = _EVENTS.get(event_type)
        if event is not None:
            self._call(event, self.watches.fired(event, absolute_path))

    def fire_untold(self, event: Event, watch: Watch) -> None:
        """Tell of an event that ZooKeeper has kept from this client, unless that watch has fired since."""
        if self.watches.find(watch.path, watch.kind) is watch:
            self._call(event, self.watches.fired(event, self._absolute(watch.path)))

    def _call(self, event: Event, fired: list[Watch]) -> None:
        for row in fired:
            for listener in list(row.listeners):
                listener(event, row.path)

    def unwatch(self, listener: Listener, *watches: tuple[str, WatchKind]) -> None:
        """Take ``listener`` off watches, and have ZooKeeper forget those to which nobody else listens.

        They would stay on the server as long as the connection. For ZooKeeper it is one watch with the application's
        own, which therefore stays.
        """
        left = [self.watches.leave(path, kind, listener) for path, kind in watches]
        unneeded = [(self._absolute(row.path), row.kind) for row in left if row is not None and row.is_on_server]
        if unneeded and self.is_current:  # else they have gone with the connection
            self._forget_watches([watch for watch in unneeded if not self._watches(*watch)])

    def _forget_watches(self, watches: list[tuple[str, WatchKind]]) -> None:
        self._wire.remove_watches(watches)

    def _watches(self, absolute_path: str, kind: WatchKind) -> bool:
        """Whether a callback of the application's waits for an event of this watch, by its calls to the client."""
        callbacks = self._session.watch_callbacks
        return bool(callbacks) and any(
            callbacks.get((event, absolute_path)) for event, kinds in KINDS_USED_UP.items() if kind in kinds
        )


def check_client(client: object) -> None:
    """Refuse what is not an aiozk client.

    :raises TypeError: when it is not.
    """
    if not isinstance(client, aiozk.ZKClient):
        raise TypeError(f"an aiozk.ZKClient (or golea_async.ZKClient) is needed, not {type(client).__name__}")
