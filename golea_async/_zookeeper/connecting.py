"""How a session stays connected: one task that connects, waits until that connection is over, and connects again.

- A try goes to one address at a time. It is bounded, from TCP to the last auth reply: a server that accepts and never
  answers costs 0.4 s (of a short session timeout T: T/10) in the first round and twice as much in each later one, up to
  T/2: a slow ensemble must be reachable, too. Where it is known to be slow a try begins with what the last ones took.
  Never two tries at once: a session must not move back and forth between servers.
- A try that was to begin a session is not cut off, since the server may have begun one: it is closed when it answers.
- No single server's word is final. A server that refuses TLS or a credential is passed over; only when all refuse, and
  none ever served this client, is that an error. A client that was connected once never gives up.
- A server that is behind what this client has seen closes the connection; so does one without a quorum. When nobody has
  served the session for as long as it can live, such a server is asked again without that past. One that serves
  answers: the session is gone, or (an older snapshot was restored) is there and is closed. Then a new one begins.
- From a server that only answers reads the client goes to one that writes as soon as there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl as ssl_module
from collections import deque
from typing import Any, Protocol

from aiozk import exc, protocol

from .backoff import Backoff
from .connection import Connection
from .credentials import Credentials
from .errors import AuthenticationError, GarbageError
from .frames import ConnectReply
from .hearers import Owner
from .hosts import Address, Host
from .names import Names
from .waiting import HungUpError, Waiting

log = logging.getLogger("golea_async.client")

FIRST_TRY_TIMEOUT = 0.4
FIRST_TRY_SHARE = 1 / 10
TRY_TIMEOUT_SHARE = 1 / 2
LEAST_TRY_TIMEOUT_CAP = 1.0

SHORT_LIFE = 1.0
SHORT_LIFE_SHARE = 1 / 4
"""A connection that lived for less does not end the backoff: a server that takes us in only to hang up."""

_REMEMBERED = 3

READS_ONLY = "it is cut off from the ensemble and answers reads only"

_FAILED = (OSError, GarbageError, exc.SessionLost, AuthenticationError)


class Taker(Owner, Protocol):
    """Whom the connections are for."""

    def check_process(self) -> None: ...
    def session_granted(self, reply: ConnectReply) -> None: ...
    def session_outlived(self, seconds: float) -> None: ...
    def established(self, connection: Connection, reply: ConnectReply) -> None: ...
    def is_wary(self) -> bool: ...


class Connecting:
    """Keeps one session connected.

    :ivar connections: those whose sockets are open.
    :ivar was_connected: whether a server has ever served the client since it was started.
    """

    def __init__(
        self,
        taker: Taker,
        credentials: Credentials,
        hosts: list[Host],
        waiting: Waiting,
        *,
        ssl: ssl_module.SSLContext | None,
        auth: tuple[tuple[str, bytes], ...],
        allow_read_only: bool,
        read_timeout: float | None,
    ) -> None:
        self._taker = taker
        self._credentials = credentials
        self._hosts = hosts
        self._names = Names()
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self._waiting = waiting
        self._ssl = ssl
        self._auth = auth
        self._allow_read_only = allow_read_only
        self._read_timeout = read_timeout
        self._last_address: Address | None = None
        self._unserved_since = 0.0
        self._tried = self._silent = 0  # servers, in the present round; which of them did not answer in time
        self._doublings = 0  # of the time for a try
        self.connections: set[Connection] = set()
        self.was_connected = False

    async def stay_connected(self) -> None:
        """Connect again and again, until cancelled.

        :raises ssl.SSLError: every server is refused by TLS or refuses it, and none ever served this client.
        :raises AuthenticationError: the same for the credentials.
        """
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            self._unserved_since = loop.time()
            self._waiting.begin()
            connection = await self._connect(backoff)
            since = loop.time()
            if connection.start_read_only:
                connection = await self._leave_read_only(connection)
            if not connection.start_read_only:
                self._waiting.end()
            await connection.closed
            if loop.time() - since < min(SHORT_LIFE, SHORT_LIFE_SHARE * self._credentials.timeout):
                self._waiting.begin()
                await backoff.pause(self._credentials.timeout)
            else:
                backoff.reset()

    async def _connect(self, backoff: Backoff) -> Connection:
        """Go round until a server has taken us in."""
        rounds = self._doublings = 0
        while (connection := await self._go_round(rounds)) is None:
            if not self.was_connected and (refusal := self._waiting.refusal) is not None:
                raise refusal
            log.log(logging.DEBUG if rounds else logging.INFO, "no server takes us in: %s", self._waiting.describe())
            rounds += 1
            await backoff.pause(self._credentials.timeout)
        return connection

    async def _leave_read_only(self, connection: Connection) -> Connection:
        """Look for a server that writes; return its connection, or this one when it has ended."""
        backoff, rounds, self._doublings = Backoff(), 0, 0
        self._waiting.failed(Host(connection.host, connection.port), READS_ONLY)
        while connection.failure is None:
            await backoff.pause(self._credentials.timeout)
            found = await self._go_round(rounds, leaving=connection)
            rounds += 1
            if found is not None:
                return found
        return connection

    async def _go_round(self, rounds: int, leaving: Connection | None = None) -> Connection | None:
        """Try every address once; when leaving a server that only reads, every other one, and only if it writes."""
        timeout = self._try_timeout()
        self._tried = self._silent = 0
        self._waiting.begin_round()
        last = None if rounds and leaving is None else self._last_address
        # Closed here and now: else the event loop makes a task to close it.
        async with contextlib.aclosing(self._names.in_random_order(self._hosts, last, timeout)) as addresses:
            async for address in addresses:
                if leaving is not None and leaving.failure is not None:
                    return None
                self._tried += 1
                if not isinstance(address, Address):
                    self._waiting.failed(*address)
                elif leaving is None or address != self._last_address:
                    connection = await self._attempt(address, timeout, leaving)
                    if connection is not None:
                        return connection
        self._note_silence()
        return None

    def _note_silence(self) -> None:
        """Give those more time that were silent; twice as much when all were: there is little to find that out in.

        None, where all have refused: one that begins to listen may leave its first connections without an answer.
        """
        if self._silent:
            self._doublings += 2 if self._silent == self._tried else 1
        else:
            self._doublings = 0

    async def _attempt(self, address: Address, timeout: float, leaving: Connection | None) -> Connection | None:
        """Try one address, and take note of what became of it."""
        self._waiting.trying(address.host)
        try:
            return await self._try(address, timeout, leaving)
        except HungUpError as error:
            self._waiting.failed(address.host, error)
            unserved = asyncio.get_running_loop().time() - self._unserved_since
            if leaving is None and self._credentials.session_id and unserved >= self._credentials.timeout:
                await self._ask_without_past(address, timeout, unserved)
        except _FAILED as error:
            self._silent += isinstance(error, TimeoutError)
            self._waiting.failed(address.host, error)
        return None

    def _try_timeout(self) -> float:
        """Return seconds for a try: doubled while servers are silent, up to half of the session timeout."""
        timeout = self._credentials.timeout
        cap = self._read_timeout or max(LEAST_TRY_TIMEOUT_CAP, TRY_TIMEOUT_SHARE * timeout)
        first = max(min(FIRST_TRY_TIMEOUT, FIRST_TRY_SHARE * timeout), 2 * min(self._took, default=0.0))
        return min(first * 2.0 ** min(self._doublings, 16), cap)

    async def _try(self, address: Address, timeout: float, leaving: Connection | None) -> Connection:
        """Try one address, bounded; a connection that failed is closed when this raises."""
        self._taker.check_process()
        connection = Connection(address.host.name, address.host.port, self._taker)
        request = self._connect_request(read_only=self._allow_read_only and leaving is None)
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout):
                reply = await self._handshake(connection, address, request)
                self._taker.session_granted(reply)
                await connection.authenticate(self._auth)
            self._took.append(asyncio.get_running_loop().time() - began)
            if self._taker.is_wary():
                async with asyncio.timeout(timeout):
                    await connection.ping()
            connection.start_read_only = reply.read_only
            self._last_address, self.was_connected = address, True
            self._taker.established(connection, reply)
        except TimeoutError:
            if request.session_id or not connection.abandon_handshake(self._credentials.requested_timeout):
                connection.fail("no answer in time")
            raise
        except BaseException as error:
            connection.fail(str(error) or type(error).__name__)
            raise
        return connection

    async def _ask_without_past(self, address: Address, timeout: float, unserved: float) -> None:
        """Ask a server that hung up what became of the session, as if nothing had been seen in it."""
        connection = Connection(address.host.name, address.host.port, self._taker)
        try:
            async with asyncio.timeout(timeout):
                reply = await self._handshake(connection, address, self._connect_request(last_zxid=0))
                if not reply.session_is_gone:
                    await connection.send(protocol.CloseRequest())
        except (OSError, GarbageError, exc.ZKError):
            return  # It has no quorum: the session may live.
        finally:
            connection.fail("only asked about the session")
        self._taker.session_outlived(unserved)

    async def _handshake(self, connection: Connection, address: Address, request: Any) -> ConnectReply:
        """Open a connection and have a server answer the ConnectRequest.

        :raises HungUpError: it closed the connection instead.
        """
        server_hostname = address.host.name if self._ssl is not None else None
        await asyncio.get_running_loop().create_connection(
            lambda: connection, address.address, address.host.port, ssl=self._ssl, server_hostname=server_hostname
        )
        # Only now: of a connection that did not come about (TLS refused) nobody hears the end; its socket is closed.
        self.connections.add(connection)
        connection.closed.add_done_callback(lambda _: self.connections.discard(connection))
        try:
            return await connection.handshake(request)
        except ConnectionError as error:
            raise (HungUpError if connection.was_hung_up else GarbageError)(str(error)) from None

    def _connect_request(self, *, read_only: bool = False, last_zxid: int | None = None) -> Any:
        credentials = self._credentials
        # A session that a server which is cut off has made for itself no server that writes knows.
        session_id = 0 if credentials.is_local and not read_only else credentials.session_id
        past = credentials.last_zxid if last_zxid is None else last_zxid
        return protocol.ConnectRequest(
            protocol_version=0,
            last_seen_zxid=past if session_id else 0,
            timeout=round(credentials.requested_timeout * 1000),
            session_id=session_id,
            password=credentials.password,
            read_only=read_only,
        )
