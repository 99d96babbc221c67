"""The session: one task that keeps it connected, and the requests that go through whatever connection there is.

How it works:

- ``repair_loop_task`` lives from start to close. It connects, waits until that connection is over, and connects again.
- A try goes to one address at a time. It is bounded, from TCP to the last auth reply: a server that accepts and never
  answers costs 0.4 s in the first round and more in later ones, up to a share of the session timeout (a slow ensemble
  must be reachable too). Never two tries at once: a session must not move back and forth between servers.
- Only a server's word ends the session: a reply to the ConnectRequest with timeout 0. Everything else (a server that
  lags behind what we have seen hangs up on us; garbage; silence) means: the next server. ``last_zxid`` is only ever
  raised, so that no server that lags is taken.
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
from typing import Any

from aiozk import RetryPolicy, exc, protocol
from aiozk.states import States

from .background import tasks_of_asyncios_own
from .backoff import Backoff
from .connection import AuthenticationError, Connection, ConnectReply, GarbageError, NotSentError, OutcomeUnknownError
from .events import SessionEvent, SessionEventPublisher, SessionState
from .guardian import SessionGuard
from .hosts import Address, Host, in_random_order, parse_hosts
from .idempotent import only_reads
from .process import other_process, this_process
from .states import SessionStates
from .watches import WatchCallback, Watches

log = logging.getLogger("golea_async.client")

FIRST_TRY_TIMEOUT = 0.4
LEAST_TRY_TIMEOUT_CAP = 1.0
CLOSE_TIMEOUT = 1.0

SHORT_LIFE = 1.0
"""A connection that lived for less (seconds) does not end the backoff: a server that takes us in only to hang up."""

NO_PASSWORD = bytes(16)
LAST_XID = 0x7FFFFFFF

_CONNECTED_STATES = (States.CONNECTED, States.READ_ONLY)

# Python's own words for a TLS connection that was cut; any other ssl.SSLError is TLS that says no.
_TLS_CUT = (ssl_module.SSLEOFError, ssl_module.SSLZeroReturnError, ssl_module.SSLSyscallError)


class Session:
    """A ZooKeeper session with the surface of aiozk's ``Session``. Made by :class:`golea_async.ZKClient`.

    :ivar state: the state machine: ``state == States.CONNECTED``, ``await state.wait_for(...)``.
    :ivar conn: the latest connection, a new object for each; set before the state becomes CONNECTED. None at first.
    :ivar session_id: 0 when there is none.
    :ivar timeout: the negotiated session timeout in seconds; before that, the one to be asked for.
    :ivar process: that has started it; in another one, forked from it, nothing is sent.
    :ivar xid: the latest request's number. Numbers go on from connection to connection: see :meth:`next_xid`.
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
        self.hosts = parse_hosts(servers)
        self.retry_policy = retry_policy or RetryPolicy.forever()
        self.allow_read_only = allow_read_only
        self.read_timeout = read_timeout
        self.conn: Connection | None = None
        self.state = SessionStates(session=self)
        self.session_id = 0
        self.password = NO_PASSWORD
        self.timeout = self._requested_timeout = timeout
        self.xid = 0  # of the latest request
        self._last_zxid = 0
        self.repair_loop_task: asyncio.Task[None] | None = None
        self.started = False
        self.closing = False
        self.events = SessionEventPublisher()

        self._ssl = ssl
        self._auth = tuple(_checked_credential(entry) for entry in auth)
        self._guard = guard
        if guard is not None:
            guard.credentials = self._auth
        self._watches = Watches()
        self._waiters: dict[asyncio.Future[None], None] = {}  # In order: who waited first sends first.
        self._connections: set[Connection] = set()
        self._last_address: Address | None = None
        self._failure: BaseException | None = None
        self._was_connected = False
        self._start_returned = False
        self.has_ended = False  # ZooKeeper has said so when the client was closed, or before: its znodes are gone
        self._local = False
        self._starting = 0
        self._close_lock = asyncio.Lock()
        self.process = this_process()

    def __repr__(self) -> str:
        return f"<Session {_hex(self.session_id)}, {self.state.current_state}>"

    @property
    def last_zxid(self) -> int:
        """The greatest zxid that was seen in a reply; what is set is only taken when it is greater."""
        return self._last_zxid

    @last_zxid.setter
    def last_zxid(self, zxid: int) -> None:
        self._last_zxid = max(self._last_zxid, zxid)

    @property
    def watch_callbacks(self) -> dict[tuple[int, str], set[WatchCallback]]:
        """Who waits, by (event type, absolute path). No entry is empty."""
        return self._watches.callbacks

    def add_watch_callback(self, event_type: int, path: str, callback: WatchCallback) -> None:
        """Call ``callback(path)`` at every such event of the absolute ``path``, until it is removed."""
        self._watches.add(event_type, path, callback)

    def remove_watch_callback(self, event_type: int, path: str, callback: WatchCallback) -> None:
        """Nothing happens if it is not there."""
        self._watches.discard(event_type, path, callback)

    # --- start and close -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, and wait until that has worked; a second call waits too. Cancelled, it leaves nothing behind.

        :raises ssl.SSLError: TLS refused a server or was refused by one (wrong authority, wrong host name, ...).
        :raises AuthenticationError: a server refused a credential.
        :raises NotSentError: the client was closed meanwhile, or this process was forked from the one that started it.
        """
        self.check_process()
        if not self.started:
            self._begin()
        self._starting += 1
        try:
            await self.ensure_safe_state()
            self._start_returned = True
        except BaseException as error:
            cause, was_connected = self._failure, self._was_connected
            # Also when it is connected by now: nobody knows of it yet who would close it.
            if not self._start_returned and self._starting == 1:
                await self.close()
            if isinstance(error, NotSentError) and cause is not None and not was_connected:
                raise cause from None
            raise
        finally:
            self._starting -= 1

    def _begin(self) -> None:
        self.started = True
        if self._guard is not None:
            self._guard.begin()
        self.process = this_process()
        self._failure = None
        self._was_connected = self._start_returned = self.has_ended = False
        # In a context of its own: what it logs or traces does not belong to the request that happened to start it.
        context = contextvars.Context()
        with tasks_of_asyncios_own():
            self.repair_loop_task = asyncio.create_task(self._stay_connected(), name="golea-session", context=context)
        self.repair_loop_task.add_done_callback(self._stopped)

    async def close(self) -> None:
        """End the session and everything of it here, within about a second. In any state, any number of times.

        Requests that wait for a connection end with :class:`NotSentError`.

        :raises NotSentError: this process was forked from the one that started the client: the session is not its own.
        """
        self.check_process()
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
        for connection in list(self._connections):
            connection.fail("the client was closed")
        if self.state != States.LOST:
            self.state.transition_to(States.LOST)
        self.events.publish(None)
        if self._guard is not None:
            self._guard.end()

    async def _until_dropped(self) -> None:
        if self.repair_loop_task is not None:
            await asyncio.wait({self.repair_loop_task})
        while self._connections:
            await asyncio.wait({connection.closed for connection in self._connections})
            # Who removes it from the set is called at the next step of the event loop.
            await asyncio.sleep(0)

    # --- requests --------------------------------------------------------------------------------------------------

    def check_process(self) -> None:
        """Refuse a forked child.

        :raises NotSentError: the client was started in another process.
        """
        if self.started and (refusal := other_process("the ZooKeeper client", self.process)):
            raise NotSentError(refusal)

    def next_xid(self) -> int:
        """Return the next request's number.

        They go on through a session, whatever connection they travel on: a server matches a commit with what it has
        pending by session and number alone (CommitProcessor.java:326), so a request that had the number of a write
        which is still under way from an earlier connection would get that one's answer.
        """
        self.xid = self.xid % LAST_XID + 1
        return self.xid

    async def ensure_safe_state(self, writing: bool = False) -> None:
        """Wait until a request can be sent.

        :raises NotSentError: it never can: the client is not started, is closed or has given up.
        """
        safe_states = _CONNECTED_STATES if self.allow_read_only and not writing else (States.CONNECTED,)
        self._raise_if_unusable()
        while self.state.current_state not in safe_states:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)
            self._raise_if_unusable()

    async def send(self, request: Any) -> Any:
        """Send a request when there is a connection, and return the response.

        What only reads is sent again when the connection dies, as often as the retry policy allows. Anything else is
        sent once. Cancelled, it may have been carried out or not.

        :raises aiozk.exc.ResponseError: ZooKeeper's answer, e.g. NoNode.
        :raises OutcomeUnknownError: it was sent, and the connection died before the answer.
        :raises NotSentError: it was not sent: the client is not started, is closed or has given up.
        :raises aiozk.exc.SessionLost: it only reads, and the session in which it was sent is gone.
        :raises aiozk.exc.FailedRetry: the retry policy allows no further try.
        """
        sent_in = 0
        try:
            while True:
                self._raise_if_unusable()
                await self.retry_policy.enforce(request)
                await self.ensure_safe_state(writing=not only_reads(request))
                if sent_in not in (0, self.session_id):
                    raise exc.SessionLost(f"session {_hex(sent_in)} is lost")
                sent_in = self.session_id
                assert self.conn is not None
                try:
                    _, response = await self.conn.send(request)
                    return response
                except OutcomeUnknownError:
                    if not only_reads(request) or self.closing:
                        raise
        finally:
            self.retry_policy.clear(request)

    def _raise_if_unusable(self) -> None:
        self.check_process()
        if self._failure is not None:
            raise NotSentError(f"the client has given up: {self._failure}") from self._failure
        if not self.started or self.closing:
            raise NotSentError("the client is closed, or was never started")

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- what the state machine and the connections tell -----------------------------------------------------------

    def state_changed(self, state: str) -> None:
        """A transition was made, here or by somebody outside."""
        session_id, connection = self.session_id, self.conn
        if state == States.LOST:
            self._forget_session()
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

    def reply_received(self, request: Any, zxid: int, result: Any) -> None:
        self._last_zxid = max(self._last_zxid, zxid)
        self._watches.request_answered(request, result)

    def watch_fired(self, event: Any) -> None:
        for callback in self._watches.fire(event.type, event.path):
            asyncio.get_running_loop().call_soon(callback, event.path)

    def awaits_event(self, path: str) -> bool:
        """Whether a callback waits for any event of the absolute path."""
        return self._watches.anybody_waits(path)

    def connection_lost(self, connection: Connection, reason: str) -> None:
        if connection is not self.conn or self.closing or self.state.current_state not in _CONNECTED_STATES:
            return
        log.warning("connection to %s:%s lost: %s", connection.host, connection.port, reason)
        # A server that is cut off makes sessions of its own, which no other server knows.
        self.state.transition_to(States.LOST if self._local else States.SUSPENDED)

    def _forget_session(self) -> None:
        self.session_id = 0
        self.password = NO_PASSWORD
        self.timeout = self._requested_timeout
        self._local = False
        self._watches.forget_kinds()

    # --- connecting ------------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            connection = await self._connect(backoff)
            since = loop.time()
            await connection.closed
            if loop.time() - since < SHORT_LIFE:
                await backoff.pause()
            else:
                backoff.reset()

    def _stopped(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._failure = error
        if not isinstance(error, AuthenticationError | ssl_module.SSLError):
            log.error("the client stops, by a fault of its own", exc_info=error)
        elif self._was_connected:
            log.error("the client stops: %s", error)  # Nobody waits in start() to hear it.
        if self.state != States.LOST:
            self.state.transition_to(States.LOST)
        self._wake_waiters()

    async def _connect(self, backoff: Backoff) -> Connection:
        """Go round until a server has taken us in."""
        rounds = 0
        while (connection := await self._go_round(rounds)) is None:
            rounds += 1
            await backoff.pause()
        return connection

    async def _go_round(self, rounds: int) -> Connection | None:
        """Try every address once."""
        timeout = self._try_timeout(rounds)
        failures: list[str] = []
        # Closed here and now: else the event loop makes a task to close it.
        async with contextlib.aclosing(
            in_random_order(self.hosts, None if rounds else self._last_address, timeout)
        ) as addresses:
            async for address in addresses:
                if not isinstance(address, Address):
                    failures.append(_described(*address))
                    continue
                try:
                    return await self._try(address, timeout)
                except (OSError, GarbageError, exc.SessionLost) as error:
                    if self._is_fatal(error):
                        raise
                    failures.append(_described(address.host, error))
        log.log(logging.DEBUG if rounds else logging.INFO, "no server takes us in: %s", "; ".join(failures))
        return None

    def _try_timeout(self, rounds: int) -> float:
        """Seconds for a try: doubled each round, up to a host's share of the session timeout (ZooKeeper's limit)."""
        cap = self.read_timeout or max(LEAST_TRY_TIMEOUT_CAP, self.timeout / len(self.hosts))
        return min(FIRST_TRY_TIMEOUT * 2.0 ** min(rounds, 16), cap)

    async def _try(self, address: Address, timeout: float) -> Connection:
        """One bounded try at one address; a connection that failed is closed when this raises."""
        self.check_process()
        connection = Connection(address.host.name, address.host.port, self)
        try:
            async with asyncio.timeout(timeout):
                await self._open(connection, address)
                reply = await connection.handshake(self._connect_request())
                self._session_granted(reply)
                await connection.authenticate(self._auth)
            self._established(connection, address, reply)
        except BaseException as error:
            connection.fail(str(error) or type(error).__name__)
            raise
        return connection

    async def _open(self, connection: Connection, address: Address) -> None:
        server_hostname = address.host.name if self._ssl is not None else None
        await asyncio.get_running_loop().create_connection(
            lambda: connection, address.address, address.host.port, ssl=self._ssl, server_hostname=server_hostname
        )
        # Only now: of a connection that did not come about (TLS refused) nobody hears the end; its socket is closed.
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._connections.discard(connection))

    def _connect_request(self) -> Any:
        return protocol.ConnectRequest(
            protocol_version=0,
            last_seen_zxid=self.last_zxid,
            timeout=round(self._requested_timeout * 1000),
            session_id=self.session_id,
            password=self.password,
            read_only=self.allow_read_only,
        )

    def _session_granted(self, reply: ConnectReply) -> None:
        if reply.session_is_gone:
            if self.session_id == 0:
                raise GarbageError("the server refused a new session")
            lost = self.session_id
            log.warning("session %s is lost", _hex(lost))
            self._lose_session()
            raise exc.SessionLost(f"session {_hex(lost)} is lost")
        if self.session_id not in (0, reply.session_id):
            raise GarbageError(
                f"asked for session {_hex(self.session_id)}, the server answered with {_hex(reply.session_id)}"
            )
        self._local = reply.read_only and (self._local or self.session_id == 0)
        # At once, also when the try fails later: the next one goes on with this session and orphans none.
        self.session_id, self.password, self.timeout = reply.session_id, reply.password, reply.timeout

    def _lose_session(self) -> None:
        if self.state == States.LOST:  # The session was granted in a try that failed later: nobody has seen it.
            self._forget_session()
        else:
            self.state.transition_to(States.LOST)

    def _established(self, connection: Connection, address: Address, reply: ConnectReply) -> None:
        connection.start_read_only = reply.read_only
        connection.watch_over(self.timeout)
        for request in self._watches.requests_to_set_again(self.last_zxid):
            connection.send(request).add_done_callback(lambda done: _watches_set_again(connection, done))
        self.conn, self._last_address, self._was_connected = connection, address, True
        log.info("connected to %s:%s, session %s, timeout %g s", *address.host, _hex(self.session_id), self.timeout)
        self.state.transition_to(States.READ_ONLY if reply.read_only else States.CONNECTED)

    def _is_fatal(self, error: Exception) -> bool:
        """Whether trying on is no use. TLS that refuses is, unless it has worked before: one server may be amiss."""
        if isinstance(error, ssl_module.SSLError) and not isinstance(error, _TLS_CUT):
            if not self._was_connected:
                return True
            log.warning("TLS refuses a server: %s", error)
        return False


def _checked_credential(entry: Any) -> tuple[str, bytes]:
    """:raises TypeError: it is not (scheme, credential). The text does not show what it was: it may be a password."""
    if isinstance(entry, tuple | list) and len(entry) == 2:
        scheme, credential = entry
        if isinstance(scheme, str) and isinstance(credential, str | bytes):
            return scheme, credential.encode() if isinstance(credential, str) else credential
    raise TypeError("auth takes a sequence of (scheme, credential), such as [('digest', 'user:password')]")


def _watches_set_again(connection: Connection, done: asyncio.Future[tuple[int, Any]]) -> None:
    if not done.cancelled() and isinstance(done.exception(), exc.ResponseError):
        connection.fail(f"the server refused to set the watches again ({done.exception()})")


def _described(host: Host, error: Exception) -> str:
    what = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return f"{host.name}:{host.port}: {what}"


def _hex(session_id: int) -> str:
    """As ZooKeeper's own logs write it: unsigned."""
    return f"{session_id & 0xFFFFFFFFFFFFFFFF:#x}"
