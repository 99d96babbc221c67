"""Opening one connection to one address: TCP, TLS, the ConnectRequest, the credentials, and the session that it grants.

- A try is bounded, from TCP to the last auth reply.
- A try that was to begin a session is not cut off, since the server may have begun one: it is closed when it answers.
- Only a server's word ends the session: a reply to the ConnectRequest with timeout 0, or with another session.
- A server that is behind what this client has seen closes the connection; so does one without a quorum. When nobody has
  served the session for as long as it can live, such a server is asked again without that past. One that serves
  answers: the session is gone, or it is there. Then the server takes that past, too, if it has just begun to serve; or
  it goes on refusing it (an older snapshot was restored). Then the session is closed, and a new one begins.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl as ssl_module
from collections import deque
from collections.abc import Callable
from typing import Any

from aiozk import exc, protocol
from aiozk.states import States

from .connection import Connection
from .errors import AuthenticationError, GarbageError, OutcomeUnknownError
from .frames import ConnectReply
from .host_list import Address
from .log import Log
from .session_record import OUTLIVED, Grant, SessionRecord, hexadecimal
from .states import SessionStates
from .waiting import HungUpError

log = Log(logging.getLogger("golea_async.client"))

_REMEMBERED = 3

Credential = tuple[str, bytes]
Established = Callable[[Connection, ConnectReply], None]


class Opener:
    """Opens the connections of one session.

    :ivar connections: those whose sockets are open.
    :ivar took: how long the latest ones took to open, in seconds.
    :ivar last_address: the address where a server took the client in last; None before.
    :ivar was_connected: whether one ever has since the client was started.

    :param check_process: refuses a forked child.
    :param established: takes a connection into use.
    """

    def __init__(
        self,
        record: SessionRecord,
        state: SessionStates,
        check_process: Callable[[], None],
        established: Established,
        ssl: ssl_module.SSLContext | None,
        auth: tuple[Credential, ...],
    ) -> None:
        self.connections: set[Connection] = set()
        self.took: deque[float] = deque(maxlen=_REMEMBERED)
        self.last_address: Address | None = None
        self.was_connected = False
        self._record = record
        self._state = state
        self._check_process = check_process
        self._established = established
        self._ssl = ssl
        self._auth = auth

    async def open(self, address: Address, timeout: float, *, read_only: bool) -> Connection:
        """Open a connection, in so many seconds; one that failed is closed when this raises.

        :param read_only: whether a server will do that only answers reads.
        """
        self._check_process()
        connection = Connection(address.host.name, address.host.port, self._record)
        request = self._connect_request(read_only=read_only)
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout):
                reply = await self._handshake(connection, address, request)
                self._take_session(reply)
                await authenticate(connection, self._auth)
            self.took.append(asyncio.get_running_loop().time() - began)
            if self._record.suspects.calls_for_ping:
                async with asyncio.timeout(timeout):
                    await ping(connection)
            connection.start_read_only = reply.read_only
            self.last_address, self.was_connected = address, True
            self._established(connection, reply)
        except TimeoutError:
            if request.session_id or not connection.abandon_handshake(self._record.requested_timeout):
                connection.fail("no answer in time")
            raise
        except BaseException as error:
            connection.fail(str(error) or type(error).__name__)
            raise
        return connection

    def let_end(self, then: Callable[[], None]) -> None:
        """Keep the session alive no longer, unless requests do; call ``then`` when its connection has ended."""
        serving = [connection for connection in self.connections if connection.failure is None]
        for connection in serving:
            connection.ping_after = math.inf
            connection.closed.add_done_callback(lambda _: then())
        if not serving:
            then()

    async def ask_without_past(self, address: Address, timeout: float, unserved: float) -> None:
        """Ask a server that hung up what became of the session, as if nothing had been seen in it.

        The session ends when the server says so, or refuses what was seen in it between two answers without that: it
        serves then, and all others have refused the session for ``unserved`` seconds.
        """
        try:
            if not (await self._ask(address, timeout, last_zxid=0)).session_is_gone:
                if await self._takes_past(address, timeout):
                    return  # It has begun to serve in this very moment.
                await self._ask(address, timeout, last_zxid=0, closes=True)
        except (OSError, GarbageError, exc.ZKError):
            return  # It has no quorum: the session may live.
        log.warning(OUTLIVED, hexadecimal(self._record.session_id), unserved, self._record.last_zxid)
        self._lose_session()

    async def _takes_past(self, address: Address, timeout: float) -> bool:
        try:
            await self._ask(address, timeout)
        except HungUpError:
            return False
        return True

    async def _ask(
        self, address: Address, timeout: float, *, last_zxid: int | None = None, closes: bool = False
    ) -> ConnectReply:
        """Return what a server answers to the ConnectRequest; the connection is for nothing else.

        :param closes: whether the session is closed on it, if the server knows it.
        """
        connection = Connection(address.host.name, address.host.port, self._record)
        try:
            async with asyncio.timeout(timeout):
                reply = await self._handshake(connection, address, self._connect_request(last_zxid=last_zxid))
                if closes and not reply.session_is_gone:
                    await connection.send(protocol.CloseRequest())
                return reply
        finally:
            connection.fail("only asked about the session")

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
        record = self._record
        # A session that a server which is cut off has made for itself no server that writes knows.
        session_id = 0 if record.is_local and not read_only else record.session_id
        past = record.last_zxid if last_zxid is None else last_zxid
        return protocol.ConnectRequest(
            protocol_version=0,
            last_seen_zxid=past if session_id else 0,
            timeout=round(record.requested_timeout * 1000),
            session_id=session_id,
            password=record.password,
            read_only=read_only,
        )

    # --- the session -----------------------------------------------------------------------------------------------

    def _take_session(self, reply: ConnectReply) -> None:
        """Judge a reply to the ConnectRequest, and go on with the session that it grants.

        :raises GarbageError: it refuses a new session.
        :raises aiozk.exc.SessionLost: it says that the session is over.
        """
        lost = self._record.session_id
        match self._record.judge(reply):
            case Grant.NONE:
                raise GarbageError("the server refused a new session")
            case Grant.GONE:
                log.warning("session %s is lost", hexadecimal(lost))
                self._lose_session()
                raise exc.SessionLost(f"session {hexadecimal(lost)} is lost")
            case Grant.FOREIGN:
                given = hexadecimal(reply.session_id)
                log.warning("session %s is lost: the server has given %s in its place", hexadecimal(lost), given)
                self._lose_session()
        # At once, also when the try fails later: the next one goes on with this session and orphans none.
        self._record.take(reply)

    def _lose_session(self) -> None:
        if self._state == States.LOST:  # The session was granted in a try that failed later: nobody has seen it.
            self._record.forget()
        else:
            self._state.transition_to(States.LOST)


async def authenticate(connection: Connection, credentials: tuple[Credential, ...]) -> None:
    """Present each credential to the server, before any other request.

    :raises AuthenticationError: the server refused one.
    :raises ConnectionError: the connection ended.
    """
    for scheme, credential in credentials:
        connection.raise_if_failed()
        request = protocol.AuthRequest(type=0, scheme=scheme, auth=credential)
        try:
            await connection.send_out_of_turn(request, protocol.AUTH_XID)
        except exc.AuthFailed:
            where = f"{connection.host}:{connection.port}"
            raise AuthenticationError(f"{where} refused the credential of scheme {scheme!r}") from None
        except OutcomeUnknownError as error:
            raise ConnectionError(error.reason) from None


async def ping(connection: Connection) -> None:
    """Have the server answer a ping.

    :raises ConnectionError: the connection ended.
    """
    connection.raise_if_failed()
    try:
        await connection.send_out_of_turn(protocol.PingRequest(), protocol.PING_XID)
    except OutcomeUnknownError as error:
        raise ConnectionError(error.reason) from None
    except exc.ResponseError as error:
        raise ConnectionError(str(error)) from None
