"""One TCP connection to one ZooKeeper server.

How it works, from the outside in:

- Bytes come in at :meth:`Connection.data_received`, are cut into frames, and every frame is a reply or a watch event.
  ZooKeeper answers one connection in the order of its requests, so replies are matched from the front of a queue.
- A connection is used once. Whatever goes wrong with it (end of stream, reset, silence, a frame that makes no sense)
  ends in :meth:`Connection.fail`: all requests in flight get their error in that very call, and the owner is told.
- Silence is watched by one timer. As in ZooKeeper's own client a ping goes out when nothing was sent for a third of
  the session timeout, and the server counts as dead when no answer came from it for two thirds: early enough to find
  another server before the session expires.
- Watches that nobody needs any more are removed by the same timer, in a quiet moment: see
  :mod:`golea_async._zookeeper.stale_watches`.

The clock of what is recorded for leases is :func:`boottime`: it goes on while the machine is suspended.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from aiozk import exc, protocol

from .acknowledgements import Acknowledgements
from .clock import boottime
from .errors import AuthenticationError, GarbageError, NotSentError, OutcomeUnknownError
from .frames import REPLY_HEADER, ConnectReply, read_reply, understood
from .hearers import Owner, Watcher
from .pending import NOBODY, Answer, Asker, Pending, Posted, failed
from .process import other_process, this_process
from .stale_watches import UnneededWatches
from .suspects import is_large
from .touch import is_touch
from .unread import has_unread
from .wire import AuthenticationRequiredError, WatchKind, read_watch_event, response_error

MAX_FRAME_LENGTH = 64 * 1024 * 1024
"""A longer frame is taken for garbage. ZooKeeper does not bound its replies; a million children fit in this."""

ASSUMED_VERSION = (3, 5, 1)
"""Nobody tells the server's version without the ``srvr`` command; every server of today can what 3.5.1 could."""

_LENGTH = struct.Struct("!i")

ABANDONED = "no answer in time"

_GRACE = 0.001
"""Before a silent server is given up the event loop looks at the socket once more: see ``_watch_silence``."""

_CLOCK_TICK = 0.001
"""uvloop's clock and timers know no less."""

_SOON = 1.0
"""A connection that ends so many seconds after a request was sent, or fewer, may have ended for it."""

_FOREIGN_WORDS = {b"\x15\x03": "it speaks TLS: give ssl=", b"HT": "it speaks HTTP: this is no ZooKeeper port"}

_SESSION_IS_ELSEWHERE = (exc.SessionExpired, exc.SessionMoved, exc.UnknownSession)


class Connection(asyncio.Protocol):
    """A connection to the server ``host:port``, for one session.

    :ivar connect_sent_at: when the ConnectRequest was sent (:func:`boottime`), or None.
    :ivar acknowledgements: when requests were sent and answered for which ZooKeeper touches the session (see
        :mod:`golea_async._zookeeper.touch`).
    :ivar closed: a future that is done once the socket is closed.
    :ivar failure: why the connection is over, or None while it is not.
    :ivar watcher: who sets watches by :meth:`post`; hears of each event before the owner does.
    :ivar was_hung_up: whether the other side closed it.
    :ivar has_answered: whether a request or a ping was answered.
    :ivar ended_at: the request at which the server closed the connection, soon after it was sent; else None.
    """

    def __init__(self, host: str, port: int, owner: Owner) -> None:
        self.host = host
        self.port = port
        self.version_info = ASSUMED_VERSION
        self.start_read_only = False
        self.watcher: Watcher | None = None
        self.failure: str | None = None
        self.was_hung_up: bool = False
        self.has_answered: bool = False
        self.ended_at: Any | None = None
        self._is_abandoned = False
        self._error: OSError | None = None  # The same for who waits.
        self.connect_sent_at: float | None = None
        self.acknowledgements: Acknowledgements = Acknowledgements()

        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._process = this_process()
        self._handshake: asyncio.Future[ConnectReply] | None = None
        # Replies keep the order of requests within each queue. Pings and auth packets have their own fixed xids, and
        # the server answers an auth packet out of turn.
        self._pending: deque[Pending | Posted] = deque()
        self._pings: deque[Pending | Posted] = deque()
        self._auths: deque[Pending | Posted] = deque()
        self._special = {protocol.PING_XID: self._pings, protocol.AUTH_XID: self._auths}
        self._session_timeout = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._last_sent = self._last_byte = self._loop.time()
        self._last_heard = self._last_sent  # the latest answer
        self._heard_at = boottime()
        self._unneeded = UnneededWatches()

    def __repr__(self) -> str:
        return f"<Connection to {self.host}:{self.port}{f', over: {self.failure}' if self.failure else ''}>"

    @property
    def peer(self) -> tuple[str, int, str]:
        """The address to which it is connected, the port, and the name of the host."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        return (name[0] if name else self.host), self.port, self.host

    # --- opening ---------------------------------------------------------------------------------------------------

    async def handshake(self, request: Any) -> ConnectReply:
        """Send the ConnectRequest and wait for its reply. Must be the first thing on the connection.

        :raises GarbageError: the server answered something else.
        :raises ConnectionError: the server closed the connection, as it does when it lags behind our zxid.
        :raises ssl.SSLError: the server refused our certificate. With TLS 1.3 a client hears of that only now: to it
            the TLS handshake is over before the server has looked at the certificate.
        """
        self._raise_if_failed()
        self._handshake = self._loop.create_future()
        self.connect_sent_at = boottime()
        self._write(request.serialize())
        return await self._handshake

    def abandon_handshake(self, patience: float) -> bool:
        """Close the session that a server may have begun, when it has answered; return whether that goes on.

        :param patience: seconds after which the connection ends in any case.
        """
        if self.connect_sent_at is None or self._handshake is None or self.is_over:
            return False
        self._is_abandoned = True
        self._timer = self._loop.call_later(patience, self.fail, ABANDONED)
        return True

    async def authenticate(self, credentials: tuple[tuple[str, bytes], ...]) -> None:
        """Present each (scheme, credential) to the server, before any other request.

        :raises AuthenticationError: the server refused one.
        :raises ConnectionError: the connection ended.
        """
        for scheme, credential in credentials:
            self._raise_if_failed()
            request = protocol.AuthRequest(type=0, scheme=scheme, auth=credential)
            try:
                await self._transmit_one(self._auths, request, protocol.AUTH_XID)
            except exc.AuthFailed:
                raise AuthenticationError(
                    f"{self.host}:{self.port} refused the credential of scheme {scheme!r}"
                ) from None
            except OutcomeUnknownError as error:
                raise ConnectionError(error.reason) from None

    async def ping(self) -> None:
        """Have the server answer a ping.

        :raises ConnectionError: the connection ended.
        """
        self._raise_if_failed()
        try:
            await self._transmit_one(self._pings, protocol.PingRequest(), protocol.PING_XID)
        except OutcomeUnknownError as error:
            raise ConnectionError(error.reason) from None
        except exc.ResponseError as error:
            raise ConnectionError(str(error)) from None

    def watch_over(self, session_timeout: float) -> None:
        """Begin to ping the server and to notice its silence. ``session_timeout`` is the negotiated one in seconds.

        :raises ConnectionError: the connection is over already.
        """
        self._raise_if_failed()
        self._session_timeout = self.acknowledgements.timeout = session_timeout
        self._set_timer()

    # --- requests --------------------------------------------------------------------------------------------------

    def send(self, request: Any, xid: int | None = None) -> asyncio.Future[tuple[int, Any]]:  # noqa: ARG002
        """Send a request once, on this connection; the future's result is (zxid, response).

        ``xid`` is there for aiozk's signature and not used. The future ends with the server's error
        (:class:`aiozk.exc.ResponseError`), with :class:`OutcomeUnknownError` when the connection dies first, or with
        :class:`NotSentError` when it is over already.
        """
        if self.is_over:
            return failed(self._loop.create_future(), self._not_sent())
        return self._transmit_one(self._pending, request, self._owner.next_xid())

    def post(self, requests: Sequence[Any], asker: Asker) -> None:
        """Send requests in this order, in one write; ``asker`` is told of their answers."""
        if self.is_over:
            asker.unanswered()
            return
        sent_at, payloads, posted = boottime(), [], []
        for request in requests:
            xid = self._owner.next_xid()
            payloads.append(request.serialize(xid))
            posted.append(Posted(request, xid, sent_at, asker))
        # Only now: a request that cannot be written must not leave a trace.
        self._pending.extend(posted)
        for request in requests:
            self._unneeded.sent(request)
        self._write(*payloads)

    def give_up_posted(self) -> None:
        """End what was sent by :meth:`post` as if the connection was over; it goes on for everybody else."""
        for pending in self._pending:
            if isinstance(pending, Posted):
                pending.asker.unanswered()

    def _transmit_one(self, queue: deque[Pending | Posted], request: Any, xid: int) -> asyncio.Future[tuple[int, Any]]:
        payload = request.serialize(xid)
        self._unneeded.sent(request)
        future: asyncio.Future[Answer] = self._loop.create_future()
        queue.append(Pending(request, xid, boottime(), future))
        self._write(payload)
        return future

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent: it has failed, or this is a forked child, which has a copy of its parent's."""
        return self.failure is not None or self._process != this_process()

    def _not_sent(self) -> NotSentError:
        reason = other_process("the connection", self._process) or f"the connection is over ({self.failure})"
        return NotSentError(reason, self.host, self.port)

    def _write(self, *payloads: bytes) -> None:
        assert self._transport is not None
        self._last_sent = self._loop.time()
        self._transport.write(b"".join([_LENGTH.pack(len(payload)) + payload for payload in payloads]))

    # --- what comes in ---------------------------------------------------------------------------------------------

    @property
    def has_unread(self) -> bool:
        """Whether something has come that was not read: a part of a frame, or what lies in the socket."""
        return bool(self._buffer) or self._transport is None or has_unread(self._transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it.
        if self.failure is not None:  # The try was cancelled meanwhile; uvloop goes on connecting.
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._last_byte, self._heard_at = self._loop.time(), boottime()
        try:
            if self._buffer:
                self._buffer += data
                del self._buffer[: self._frames_received(self._buffer)]
            elif (end := self._frames_received(data)) < len(data):
                self._buffer += data[end:]
        except GarbageError as error:
            self.fail(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        reason = "the server closed the connection" if error is None else str(error) or type(error).__name__
        self.was_hung_up = self.failure is None
        if self.was_hung_up and self._pending and boottime() - self._pending[0].sent_at < _SOON:
            self.ended_at = self._pending[0].request
            size = len(self.ended_at.serialize(1))
            if is_large(size):
                reason += f" at a request of {size} bytes, which is more than jute.maxbuffer lets it take by default"
        self.fail(reason, error if isinstance(error, ssl.SSLError) else None)
        if not self.closed.done():
            self.closed.set_result(None)

    def _frames_received(self, data: bytes | bytearray) -> int:
        """Work off the frames that are complete; return where the rest begins."""
        start = 0
        while len(data) - start >= _LENGTH.size and self.failure is None:
            (length,) = _LENGTH.unpack_from(data, start)
            if not 0 <= length <= MAX_FRAME_LENGTH:
                foreign = _FOREIGN_WORDS.get(bytes(data[start : start + 2]))
                raise GarbageError(foreign or f"it sent a frame of {length} bytes")
            end = start + _LENGTH.size + length
            if len(data) < end:
                break
            self._frame_received(bytes(data[start + _LENGTH.size : end]))
            start = end
        return start

    def _frame_received(self, frame: bytes) -> None:
        if self._handshake is not None:
            reply = understood(ConnectReply.parse, frame)
            if not self._handshake.done():
                self._handshake.set_result(reply)
            elif self._is_abandoned and not reply.session_is_gone:
                self.send(protocol.CloseRequest()).add_done_callback(lambda _: self.fail(ABANDONED))
            self._handshake = None
            return
        if len(frame) < REPLY_HEADER.size:
            raise GarbageError(f"the server sent a reply of {len(frame)} bytes")
        xid, zxid, error_code = REPLY_HEADER.unpack_from(frame)
        if xid == protocol.WATCH_XID:
            event = understood(read_watch_event, frame, REPLY_HEADER.size)
            self._unneeded.heard(event.type, event.path)
            if self.watcher is not None:
                self.watcher.hear(event.type, event.path)
            self._owner.watch_fired(event)
        else:
            self._reply_received(xid, zxid, error_code, frame)

    def _reply_received(self, xid: int, zxid: int, error_code: int, frame: bytes) -> None:
        queue = self._pending if xid > 0 else self._special.get(xid, self._pending)
        if not queue or queue[0].xid != xid:
            raise GarbageError(f"the server answered request {xid}, which is not the one whose turn it is")
        # Parsed before it leaves the queue: when the reply is garbage, the request has to end with an error.
        request = queue[0].request
        result = response_error(error_code) if error_code else understood(read_reply, request, frame)
        answered = queue.popleft()
        # Only answers are life: a server that drips bytes or floods events, and answers no ping, serves nobody.
        self._last_heard = self._loop.time()
        self.has_answered = self.has_answered or queue is not self._auths
        if is_touch(request.opcode, error_code):
            self.acknowledgements.record(answered.sent_at, self._heard_at)
        if queue is self._pending and not self._is_abandoned:
            self._owner.reply_received(request, zxid, result)
            watch = self._unneeded.answered(request, result)
            if watch is not None and not self._is_awaited(*watch):
                self.remove_watch(*watch)
        answered.answer(zxid, result)
        if isinstance(result, AuthenticationRequiredError):
            # The server does not look at what is behind it, and closes the connection.
            behind = list(self._pending)
            self._pending.clear()
            for each in behind:
                each.answer(0, AuthenticationRequiredError())
            self.fail(str(result))
        if isinstance(result, _SESSION_IS_ELSEWHERE):
            # What has become of the session, only a new ConnectRequest tells.
            self.fail(f"the server answered {type(result).__name__}")

    # --- silence ---------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        silence_ends = self._last_heard + self._session_timeout * 2 / 3
        ping_due = self._last_sent + self._session_timeout / 3
        self._timer_due = min(silence_ends, ping_due, self._next_removal)
        self._timer = self._loop.call_at(self._timer_due, self._watch_silence)

    def _watch_silence(self) -> None:
        if self.is_over:
            return  # in a forked child: a ping from here would keep the parent's session alive
        now = self._loop.time()
        if now >= self._next_removal - _CLOCK_TICK:
            self.post(self._unneeded.take(), NOBODY)
        if now >= self._last_sent + self._session_timeout / 3:
            self.touch()
        if now >= self._last_heard + self._session_timeout * 2 / 3:
            # After a blocked event loop the answer may lie in the socket: uvloop runs timers before it reads. So let
            # it read once, and judge then.
            self._timer = self._loop.call_later(_GRACE, self._judge_silence)
        else:
            self._set_timer()

    def _judge_silence(self) -> None:
        silence = self._loop.time() - self._last_heard
        if silence >= self._session_timeout * 2 / 3:
            self.fail(f"no word from the server for {silence:.1f} s")
        else:
            self._set_timer()

    def touch(self) -> None:
        """Send a ping, which touches the session."""
        if not self.is_over:
            self._transmit_one(self._pings, protocol.PingRequest(), protocol.PING_XID)

    # --- watches that nobody needs ---------------------------------------------------------------------------------

    def remove_watch(self, path: str, kind: WatchKind) -> None:
        """Have the server forget a watch: soon, when the connection is quiet, unless it is set again before."""
        if self.is_over:
            return  # it has gone with the connection
        self._unneeded.add(path, kind, self._loop.time())
        if self._timer is not None and self._timer_due > self._next_removal:
            self._timer.cancel()
            self._set_timer()

    @property
    def _next_removal(self) -> float:
        return self._unneeded.due(self._loop.time() if self._pending else max(self._last_sent, self._last_byte))

    def _is_awaited(self, path: str, kind: WatchKind) -> bool:
        return (self.watcher is not None and self.watcher.listens(path, kind)) or self._owner.awaits_event(path)

    # --- the end ---------------------------------------------------------------------------------------------------

    def fail(self, reason: str, tls_refusal: ssl.SSLError | None = None) -> None:
        """End the connection at once. Requests in flight end with :class:`OutcomeUnknownError`; idempotent."""
        if self.is_over:
            return  # in a forked child: to close the transport takes the parent's socket off the epoll that both share
        self.failure = reason
        self._error = tls_refusal or ConnectionError(reason)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(self._error)
        for pending in (*self._pending, *self._auths, *self._pings):
            pending.fail(OutcomeUnknownError(self.host, self.port, reason))
        for queue in (self._pending, self._auths, self._pings):
            queue.clear()
        self._unneeded.clear()
        self._owner.connection_lost(self, reason)

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise self._error
