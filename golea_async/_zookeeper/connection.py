"""One TCP connection to one ZooKeeper server.

How it works, from the outside in:

- Every frame that comes in (:mod:`golea_async._zookeeper.framing`) is a reply or a watch event.
  ZooKeeper answers one connection in the order of its requests, so replies are matched from the front of a queue.
- A connection is used once. Whatever goes wrong with it (end of stream, reset, silence, a frame that makes no sense)
  ends in :meth:`Connection.fail`: all requests in flight get their error in that very call, and the session is told.
- Silence is watched by one timer. As in ZooKeeper's own client a ping goes out when nothing was sent for a third of
  the session timeout, and the server counts as dead when no answer came from it for two thirds: early enough to find
  another server before the session expires.
- Watches that nobody needs any more are removed by the same timer, in a quiet moment: see
  :mod:`golea_async._zookeeper.stale_watches`.

The clock of what is recorded for leases is :func:`boottime`: it goes on while the machine is suspended.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from aiozk import exc, protocol

from .acknowledgements import Acknowledgements
from .clock import boottime
from .errors import GarbageError, NotSentError, OutcomeUnknownError
from .frames import REPLY_HEADER, ConnectReply, read_reply, understood
from .framing import Framing
from .pending import Answer, Pending, Tell, failed, nobody, resolve
from .process import other_process, this_process
from .session_record import SessionRecord
from .stale_watches import UnneededWatches
from .suspects import reason_of_end
from .touch import is_touch
from .wire import AuthenticationRequiredError, Exists, WatchKind, read_watch_event, response_error

ASSUMED_VERSION = (3, 5, 1)
"""Nobody tells the server's version without the ``srvr`` command; every server of today can what 3.5.1 could."""

ABANDONED = "no answer in time"

_GRACE = 0.001
"""Before a silent server is given up the event loop looks at the socket once more: see ``_watch_silence``."""

_CLOCK_TICK = 0.001
"""uvloop's clock and timers know no less."""

_SOON = 1.0
"""A connection that ends so many seconds after a request was sent, or fewer, may have ended for it."""

_SESSION_IS_ELSEWHERE = (exc.SessionExpired, exc.SessionMoved, exc.UnknownSession)


class Connection(Framing):
    """A connection to the server ``host:port``, for one session.

    :ivar connect_sent_at: when the ConnectRequest was sent (:func:`boottime`), or None.
    :ivar acknowledgements: when requests were sent and answered for which ZooKeeper touches the session (see
        :mod:`golea_async._zookeeper.touch`).
    :ivar hear: called with the type and the path of each event, before the application's callbacks are.
    :ivar listens: says whether somebody needs a watch that was set by :meth:`post`.
    :ivar lost: called with the reason when the connection ends.
    :ivar has_answered: whether a request or a ping was answered.
    :ivar ended_at: the request at which the server closed the connection, soon after it was sent; else None.
    """

    def __init__(self, host: str, port: int, record: SessionRecord) -> None:
        super().__init__(host, port)
        self.version_info = ASSUMED_VERSION
        self.start_read_only = False
        self.hear: Callable[[int, str], None] | None = None
        self.listens: Callable[[str, WatchKind], bool] | None = None
        self.lost: Callable[[str], None] | None = None
        self.has_answered: bool = False
        self.ended_at: Any | None = None
        self._is_abandoned = False
        self._error: OSError | None = None  # The same for who waits.
        self.connect_sent_at: float | None = None
        self.acknowledgements: Acknowledgements = Acknowledgements()
        self._record = record
        self._process = this_process()
        self._handshake: asyncio.Future[ConnectReply] | None = None
        # Replies keep the order of requests within each queue. Pings and auth packets have their own fixed xids, and
        # the server answers an auth packet out of turn.
        self._pending: deque[Pending] = deque()
        self._pings: deque[Pending] = deque()
        self._auths: deque[Pending] = deque()
        self._special = {protocol.PING_XID: self._pings, protocol.AUTH_XID: self._auths}
        self._session_timeout = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self.ping_after: float = math.inf  # seconds without a request
        self._last_heard = self._last_sent  # the latest answer
        self._unneeded = UnneededWatches()

    # --- opening ---------------------------------------------------------------------------------------------------

    async def handshake(self, request: Any) -> ConnectReply:
        """Send the ConnectRequest and wait for its reply. Must be the first thing on the connection.

        :raises GarbageError: the server answered something else.
        :raises ConnectionError: the server closed the connection, as it does when it lags behind our zxid.
        :raises ssl.SSLError: the server refused our certificate. With TLS 1.3 a client hears of that only now: to it
            the TLS handshake is over before the server has looked at the certificate.
        """
        self.raise_if_failed()
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

    def watch_over(self, session_timeout: float) -> None:
        """Begin to ping the server and to notice its silence. ``session_timeout`` is the negotiated one in seconds.

        :raises ConnectionError: the connection is over already.
        """
        self.raise_if_failed()
        self._session_timeout = self.acknowledgements.timeout = session_timeout
        self.ping_after = session_timeout / 3
        self._set_timer()

    # --- requests --------------------------------------------------------------------------------------------------

    def send(self, request: Any, xid: int | None = None) -> asyncio.Future[tuple[int, Any]]:
        """Send a request once, on this connection; the future's result is (zxid, response).

        ``xid`` is there for aiozk's signature and not used. The future ends with the server's error
        (:class:`aiozk.exc.ResponseError`), with :class:`OutcomeUnknownError` when the connection dies first, or with
        :class:`NotSentError` when it is over already.
        """
        if self.is_over:
            return failed(self._loop.create_future(), self._not_sent())
        xid = self._record.next_xid()
        return self._transmit_one(self._pending, request, xid)

    def post(self, requests: Sequence[Any], now: float, tell: Tell) -> None:
        """Send requests in this order, in one write; ``tell`` is called with their answers, in this order.

        A future would tell them one turn of the event loop later.

        :param now: the present time (:func:`boottime`).
        """
        if self.is_over:
            tell(0, self._not_sent())
            return
        payloads, posted = [], []
        for request in requests:
            xid = self._record.next_xid()
            payloads.append(request.serialize(xid))
            posted.append(Pending(request, xid, now, tell, is_posted=True))
        # Only now: a request that cannot be written must not leave a trace.
        self._pending.extend(posted)
        self._unneeded.sent(requests)
        self._write(*payloads)

    def give_up_posted(self) -> None:
        """End what was sent by :meth:`post` as if the connection was over; it goes on for everybody else."""
        for pending in self._pending:
            if pending.is_posted:
                pending.tell(0, self._unanswered("it was given up"))

    def _transmit_one(self, queue: deque[Pending], request: Any, xid: int) -> asyncio.Future[tuple[int, Any]]:
        payload = request.serialize(xid)
        self._unneeded.sent([request])
        future: asyncio.Future[Answer] = self._loop.create_future()
        queue.append(Pending(request, xid, boottime(), partial(resolve, future)))
        self._write(payload)
        return future

    def send_out_of_turn(self, request: Any, xid: int) -> asyncio.Future[tuple[int, Any]]:
        """Send an AUTH packet or a ping, which have fixed numbers of their own; see :meth:`send`."""
        return self._transmit_one(self._special[xid], request, xid)

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent: it has failed, or this is a forked child, which has a copy of its parent's."""
        return self.failure is not None or self._process != this_process()

    def _not_sent(self) -> NotSentError:
        reason = other_process("the connection", self._process) or f"the connection is over ({self.failure})"
        return NotSentError(reason, self.host, self.port)

    def _unanswered(self, reason: str) -> OutcomeUnknownError:
        return OutcomeUnknownError(self.host, self.port, reason)

    # --- what comes in ---------------------------------------------------------------------------------------------

    def frame_received(self, frame: bytes) -> None:
        """Work off a reply or an event."""
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
            self._event_received(event.type, event.path)
        else:
            self._reply_received(xid, zxid, error_code, frame)

    def _event_received(self, event_type: int, path: str) -> None:
        self._unneeded.heard(event_type, path)
        if self.hear is not None:
            self.hear(event_type, path)
        watches = self._record.watches
        if watches.callbacks:
            for callback in watches.fire(event_type, path):
                self._loop.call_soon(callback, path)
            if watches.set_again_after(event_type, path):
                self.post([Exists(path, watch=True)], self.heard_at, nobody)

    def _reply_received(self, xid: int, zxid: int, error_code: int, frame: bytes) -> None:
        queue = self._pending if xid > 0 else self._special.get(xid, self._pending)
        if not queue or queue[0].xid != xid:
            raise GarbageError(f"the server answered request {xid}, which is not the one whose turn it is")
        # Parsed before it leaves the queue: when the reply is garbage, the request has to end with an error.
        request = queue[0].request
        result = response_error(error_code) if error_code else understood(read_reply, request, frame)
        answered = queue.popleft()
        # Only answers are life: a server that drips bytes or floods events, and answers no ping, serves nobody.
        self._last_heard = self._last_byte
        self.has_answered = self.has_answered or queue is not self._auths
        if is_touch(request.opcode, error_code):
            self.acknowledgements.record(answered.sent_at, self.heard_at)
        if queue is self._pending and not self._is_abandoned:
            for callback in self._record.answered(request, zxid, result):
                self._loop.call_soon(callback, request.path)
            if self._unneeded.replaced_by:
                watch = self._unneeded.answered(request, result)
                if watch is not None and not self._is_awaited(*watch):
                    self.remove_watches([watch])
        answered.tell(zxid, result)
        if isinstance(result, AuthenticationRequiredError):
            # The server does not look at what is behind it, and closes the connection.
            behind = list(self._pending)
            self._pending.clear()
            for each in behind:
                each.tell(0, AuthenticationRequiredError())
            self.fail(str(result))
        if isinstance(result, _SESSION_IS_ELSEWHERE):
            # What has become of the session, only a new ConnectRequest tells.
            self.fail(f"the server answered {type(result).__name__}")

    # --- silence ---------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        silence_ends = self._last_heard + self._session_timeout * 2 / 3
        ping_due = self._last_sent + self.ping_after
        self._timer_due = min(silence_ends, ping_due, self._next_removal)
        self._timer = self._loop.call_at(self._timer_due, self._watch_silence)

    def _watch_silence(self) -> None:
        if self.is_over:
            return  # in a forked child: a ping from here would keep the parent's session alive
        now = self._loop.time()
        if now >= self._next_removal - _CLOCK_TICK:
            self.post(self._unneeded.take(), boottime(), nobody)
        if now >= self._last_sent + self.ping_after:
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
            self.send_out_of_turn(protocol.PingRequest(), protocol.PING_XID)

    # --- watches that nobody needs ---------------------------------------------------------------------------------

    def remove_watches(self, watches: Sequence[tuple[str, WatchKind]]) -> None:
        """Have the server forget watches: soon, when the connection is quiet, unless they are set again before."""
        if self.is_over:
            return  # they have gone with the connection
        self._unneeded.add(watches, self._loop.time())
        if self._timer is not None and self._timer_due > self._next_removal:
            self._timer.cancel()
            self._set_timer()

    @property
    def _next_removal(self) -> float:
        return self._unneeded.due(self._loop.time() if self._pending else max(self._last_sent, self._last_byte))

    def _is_awaited(self, path: str, kind: WatchKind) -> bool:
        return (self.listens is not None and self.listens(path, kind)) or self._record.watches.anybody_waits(path)

    # --- the end ---------------------------------------------------------------------------------------------------

    def fail(self, reason: str, tls_refusal: ssl.SSLError | None = None) -> None:
        """End the connection at once. Requests in flight end with :class:`OutcomeUnknownError`; idempotent."""
        if self.is_over:
            return  # in a forked child: to close the transport takes the parent's socket off the epoll that both share
        if self.was_hung_up and self._pending and boottime() - self._pending[0].sent_at < _SOON:
            self.ended_at = self._pending[0].request
            reason += reason_of_end(self.ended_at)
        self.failure: str | None = reason
        self._error = tls_refusal or ConnectionError(reason)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(self._error)
        for pending in (*self._pending, *self._auths, *self._pings):
            pending.tell(0, self._unanswered(reason))
        for queue in (self._pending, self._auths, self._pings):
            queue.clear()
        self._unneeded.clear()
        if self.lost is not None:
            self.lost(reason)

    def raise_if_failed(self) -> None:
        """:raises ConnectionError: the connection is over (:class:`ssl.SSLError`: TLS refuses, or is refused)."""
        if self._error is not None:
            raise self._error
