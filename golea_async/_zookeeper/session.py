"""The session: the requests that go through whatever connection there is, and what happens to the session itself.

How it works:

- ``repair_loop_task`` lives from start to close and keeps the session connected: see
  :mod:`golea_async._zookeeper.connecting`.
- Only a server's word ends the session (:mod:`golea_async._zookeeper.opening`). Everything else (a server that lags
  behind what we have seen hangs up on us; garbage; silence) means: the next server.
- The state is aiozk's state machine. Its transitions are where everything hangs on: who waits, who follows the session
  events, and the connection that a transition from outside ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import ssl as ssl_module
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiozk import RetryPolicy, exc, protocol
from aiozk.states import States

from .arguments import check_auth, check_flag, check_seconds
from .background import tasks_of_asyncios_own
from .connecting import Connecting
from .connection import Connection
from .errors import AuthenticationError, NotSentError
from .events import SessionEvent, SessionEventPublisher, SessionState
from .frames import ConnectReply
from .guardian import SessionGuard
from .host_list import Host, parse_hosts
from .hosts import Hosts
from .idempotent import send_until_answered
from .log import Log
from .loops import check_loop, running_loop
from .opening import Opener
from .process import ProcessId, other_process, this_process
from .session_record import SessionRecord, hexadecimal
from .states import SessionStates
from .waiting import Waiting
from .watches import WatchCallback

log = Log(logging.getLogger("golea_async.client"))

CLOSE_TIMEOUT = 1.0
_CONNECTED_STATES = (States.CONNECTED, States.READ_ONLY)


class Session(SessionRecord):
    """A ZooKeeper session with the surface of aiozk's ``Session``. Made by :class:`golea_async.ZKClient`.

    :ivar state: the state machine: ``state == States.CONNECTED``, ``await state.wait_for(...)``.
    :ivar conn: the latest connection, a new object for each; set before the state becomes CONNECTED. None at first.
    :ivar loop: the event loop in which it was started; None before.
    :ivar watch_callbacks: who waits, by (event type, absolute path); no entry is empty.
    :ivar has_ended: ZooKeeper has said so when the client was closed, or before: its znodes are gone.
    :ivar process: that has started it; in another one, forked from it, nothing is sent.
    :ivar waiting: what the client waits for while no server serves it.
    """

    def __init__(
        self,
        servers: str,
        timeout: float,
        retry_policy: Any,
        allow_read_only: bool,
        read_timeout: float | None,
        *,
        ssl: ssl_module.SSLContext | None = None,
        auth: Sequence[tuple[str, str | bytes]] = (),
        guard: SessionGuard | None = None,
    ) -> None:
        super().__init__(check_seconds("session_timeout", timeout))
        self._hosts: list[Host] = parse_hosts(servers)
        self.retry_policy: RetryPolicy = retry_policy or RetryPolicy.forever()
        self.allow_read_only: bool = check_flag("allow_read_only", allow_read_only)
        self.conn: Connection | None = None
        self.state: SessionStates = SessionStates(session=self)
        self.repair_loop_task: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.started: bool = False
        self.closing: bool = False
        self.has_ended: bool = False
        self.events: SessionEventPublisher = SessionEventPublisher()
        self.watch_callbacks: dict[tuple[int, str], set[WatchCallback]] = self.watches.callbacks
        self.waiting: Waiting = Waiting(self._hosts, tls=ssl is not None)
        self.process: ProcessId = this_process()
        self._guard = guard
        presented = check_auth(auth)
        if guard is not None:
            guard.credentials = presented
        self._opener = Opener(self, self.state, self.check_process, self._established, ssl, presented)
        hosts, read_only = Hosts(self._hosts), self.allow_read_only
        self._connecting = Connecting(self, self._opener, hosts, self.waiting, read_only, read_timeout)
        self._waiters: dict[asyncio.Future[None], None] = {}  # In order: who waited first sends first.
        self._failure: BaseException | None = None
        self._start_returned = False
        self._starting = 0
        self._close_lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Session {hexadecimal(self.session_id)}, {self.state.current_state}>"

    @property
    def hosts(self) -> list[Host]:
        """The servers. Others may be set, or the list be changed: the next round of tries goes by that."""
        return self._hosts

    @hosts.setter
    def hosts(self, hosts: Sequence[Host]) -> None:
        self._hosts[:] = hosts  # the one list, which the tries and what is said of them go by

    def add_watch_callback(self, event_type: int, path: str, callback: WatchCallback) -> None:
        """Call ``callback(path)`` at every such event of the absolute ``path``, until it is removed."""
        self.watches.add(event_type, path, callback)

    def remove_watch_callback(self, event_type: int, path: str, callback: WatchCallback) -> None:
        """Nothing happens if it is not there."""
        self.watches.discard(event_type, path, callback)

    # --- start and close

    async def start(self) -> None:
        """Connect, and wait until that has worked; a second call waits too. Cancelled, it leaves nothing behind.

        :raises ssl.SSLError: TLS refused every server or was refused by it (wrong authority, wrong host name, ...).
        :raises AuthenticationError: every server refused a credential.
        :raises NotSentError: the client was closed meanwhile, or this process was forked from the one that started it.
        :raises RuntimeError: another event loop runs than the one in which it was started, or none of asyncio's.
        """
        self.check_process()
        if not self.started:
            self._begin()
        check_loop(self.loop, "the ZooKeeper client")
        self._starting += 1
        try:
            await self.ensure_safe_state()
            self._start_returned = True
        except BaseException as error:
            cause, was_connected = self._failure, self._opener.was_connected
            # Also when it is connected by now: nobody knows of it yet who would close it.
            if not self._start_returned and self._starting == 1:
                await self.close()
            if isinstance(error, NotSentError) and cause is not None and not was_connected:
                raise cause from None
            raise
        finally:
            self._starting -= 1

    def _begin(self) -> None:
        self.loop = running_loop()
        self._close_lock = asyncio.Lock()  # of this event loop
        self.started = True
        if self._guard is not None:
            self._guard.begin()
        self.process = this_process()
        self._failure = None
        self._opener.was_connected = self._start_returned = self.has_ended = False
        # In a context of its own: what it logs or traces does not belong to the request that happened to start it.
        context = contextvars.Context()
        with tasks_of_asyncios_own():
            self.repair_loop_task = asyncio.create_task(
                self._connecting.stay_connected(), name="golea-session", context=context
            )
        self.repair_loop_task.add_done_callback(self._stopped)

    async def close(self) -> None:
        """End the session and everything of it here, within about a second. In any state, any number of times.

        Requests that wait for a connection end with :class:`NotSentError`.

        :raises NotSentError: this process was forked from the one that started the client: the session is not its own.
        :raises RuntimeError: it was started in another event loop.
        """
        self.check_process()
        if not self.started:
            return
        check_loop(self.loop, "the ZooKeeper client")
        async with self._close_lock:
            if not self.started:
                return
            self.closing = True
            self._wake_waiters()
            try:
                await self._end_session()
            finally:
                self._drop_everything()
                try:
                    await self._until_dropped()
                finally:
                    self.started = self.closing = False

    async def _end_session(self) -> None:
        if self.conn is None or self.conn.failure is not None:
            self.has_ended = bool(self.state == States.LOST)
            return
        with contextlib.suppress(TimeoutError, exc.ZKError):
            async with asyncio.timeout(min(CLOSE_TIMEOUT, self.timeout)):
                await self.conn.send(protocol.CloseRequest())
                self.has_ended = True

    def _drop_everything(self) -> None:
        if self.repair_loop_task is not None:
            self.repair_loop_task.cancel()
        self.waiting.end()
        for connection in list(self._opener.connections):
            connection.fail("the client was closed")
        if self.state != States.LOST:
            self.state.transition_to(States.LOST)
        self.events.publish(None)
        if self._guard is not None:
            self._guard.end()

    async def _until_dropped(self) -> None:
        if self.repair_loop_task is not None:
            await asyncio.wait({self.repair_loop_task})
        while connections := self._opener.connections:
            await asyncio.wait({connection.closed for connection in connections})
            # Who removes it from the set is called at the next step of the event loop.
            await asyncio.sleep(0)

    # --- requests --------------------------------------------------------------------------------------------------

    def check_process(self) -> None:
        """Refuse a forked child.

        :raises NotSentError: the client was started in another process.
        """
        if self.started and (refusal := other_process("the ZooKeeper client", self.process)):
            raise NotSentError(refusal)

    async def ensure_safe_state(self, writing: bool = False) -> None:
        """Wait until a request can be sent.

        :raises NotSentError: it never can: the client is not started, is closed or has given up.
        """
        safe_states = _CONNECTED_STATES if self.allow_read_only and not writing else (States.CONNECTED,)
        self.raise_if_unusable()
        while self.state.current_state not in safe_states:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                with self.waiting:
                    await waiter
            finally:
                self._waiters.pop(waiter, None)
            self.raise_if_unusable()

    async def send(self, request: Any) -> Any:
        """Send a request when there is a connection, and return the response.

        What only reads, and a delete, is sent again within the session when the connection dies, as often as the retry
        policy allows; a delete that finds no znode after such a doubt was carried out. Anything else is sent once.
        Cancelled, it may have been carried out or not.

        :raises aiozk.exc.ResponseError: ZooKeeper's answer, e.g. NoNode.
        :raises OutcomeUnknownError: it was sent, and the connection died before the answer; and each time, when the
            server ends the connection at this very request.
        :raises NotSentError: it was not sent: the client is not started, is closed or has given up.
        :raises aiozk.exc.SessionLost: it only reads, and the session in which it was sent is gone.
        :raises aiozk.exc.FailedRetry: it only reads, and the retry policy allows no further try.
        """
        return await send_until_answered(self, request)

    def raise_if_unusable(self) -> None:
        """Return while a request can be sent, now or later.

        :raises NotSentError: when it never can.
        :raises RuntimeError: in another event loop.
        """
        self.check_process()
        check_loop(self.loop, "the ZooKeeper client")
        if self._failure is not None:
            why = self._failure.reason if isinstance(self._failure, NotSentError) else self._failure
            raise NotSentError(f"the client has given up: {why}") from self._failure
        if not self.started or self.closing:
            raise NotSentError("the client is closed, or was never started")

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def state_changed(self, state: str) -> None:
        """A transition was made, here or by somebody outside."""
        session_id, connection = self.session_id, self.conn
        if state == States.LOST:
            self.forget()
        if state in _CONNECTED_STATES:
            self._wake_waiters()
        elif connection is not None and connection.failure is None:
            log.info("leaving %s:%s, as was asked for", connection.host, connection.port)
            connection.fail("the client was asked to leave this server")
        if self._guard is not None and state != States.SUSPENDED:
            where = connection.peer if connection is not None and state in _CONNECTED_STATES else None
            self._guard.session_is(self.session_id, self.password, self.timeout, where, self.hosts)
        told = SessionState.CONNECTED if state == States.READ_ONLY else SessionState(state)
        self.events.publish(SessionEvent(told, session_id, read_only=state == States.READ_ONLY))

    def _connection_lost(self, connection: Connection, reason: str) -> None:
        if connection is not self.conn or self.closing or self.state.current_state not in _CONNECTED_STATES:
            return
        log.warning("connection to %s:%s lost: %s", connection.host, connection.port, reason)
        verdict = self.suspects.connection_ended(connection.ended_at, had_answered=connection.has_answered)
        if verdict is not None:
            log.warning("%s", verdict)
        # A server that is cut off makes sessions of its own, which no other server knows.
        self.state.transition_to(States.LOST if self.is_local else States.SUSPENDED)

    def _established(self, connection: Connection, reply: ConnectReply) -> None:
        """Go on with a new connection."""
        connection.watch_over(self.timeout)
        connection.lost = partial(self._connection_lost, connection)
        for request in self.watches.requests_to_set_again(self.last_zxid):
            connection.send(request).add_done_callback(lambda done: _watches_set_again(connection, done))
        left, self.conn = self.conn, connection
        if left is not None:
            left.fail("left for a server that also writes")
        where = (connection.host, connection.port)
        log.info("connected to %s:%s, session %s, timeout %g s", *where, hexadecimal(self.session_id), self.timeout)
        self.state.transition_to(States.READ_ONLY if reply.read_only else States.CONNECTED)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            if not self.closing:
                log.info(
                    "the client's task was cancelled, not by close(): it connects no more, and its session ends within "
                    "%g s unless requests go on; close the client before asyncio.run ends",
                    self.timeout,
                )
                self._opener.let_end(partial(self._give_up, NotSentError("its own task was cancelled")))
        elif (error := task.exception()) is not None:
            if not isinstance(error, AuthenticationError | ssl_module.SSLError):
                log.error("the client stops, by a fault of its own", exc_info=error)
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self._failure = error
        self.waiting.end()
        if self.state != States.LOST:
            self.state.transition_to(States.LOST)
        self._wake_waiters()


def _watches_set_again(connection: Connection, done: asyncio.Future[tuple[int, Any]]) -> None:
    if not done.cancelled() and isinstance(done.exception(), exc.ResponseError):
        connection.fail(f"the server refused to set the watches again ({done.exception()})")
