"""What ZooKeeper does with what its clients send: one history, sessions, and the servers that clients are connected to.

No I/O and no clock of its own: whoever drives it hands in frames and the time, and gets frames back through each
connection's `Outlet`. Requests are carried out one after the other, in the order in which they come in.

References are to ZooKeeper's `ZooKeeperServer`, `PrepRequestProcessor` and `FinalRequestProcessor`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import _acl, _wire
from ._changes import Applied, Deletion, Moment, MultiError
from ._model import (
    AddWatch,
    AuthRequest,
    Bare,
    Check,
    ConnectRequest,
    Create,
    Delete,
    ErrorCode,
    FindWatch,
    Multi,
    OpCode,
    Read,
    Request,
    RequestError,
    SetAcl,
    SetData,
    SetWatches,
)
from ._replica import Connection, Replica
from ._results import failed_multi_result, multi_result, result_of
from ._sessions import Session, Sessions
from ._tree import Tree

INVALID_PASSWORD = bytes(16)
ANSWERED_OPCODES = frozenset(OpCode) - {OpCode.ERROR, OpCode.CREATE_SESSION, OpCode.NOTIFICATION, OpCode.AUTH}
WRITE_OPCODES = frozenset(
    {
        OpCode.CREATE,
        OpCode.CREATE2,
        OpCode.CREATE_CONTAINER,
        OpCode.DELETE,
        OpCode.SET_DATA,
        OpCode.SET_ACL,
        OpCode.CHECK,
        OpCode.MULTI,
    }
)
MIN_TICKS = 2
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """In milliseconds."""

    tick: int
    min_session_timeout: int
    max_session_timeout: int

    def negotiate(self, timeout: int) -> int:
        return min(max(timeout, self.min_session_timeout), self.max_session_timeout)


class Engine:
    """An ensemble whose servers all have the same history at any moment. `clock` and `wall_clock` are in seconds."""

    def __init__(
        self,
        servers: int,
        limits: Limits,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        generator: random.Random,
    ) -> None:
        self.limits = limits
        self.tree = Tree()
        self.sessions = Sessions(limits.tick, generator)
        self.last_zxid = 0
        self.replicas = [Replica(self.tree) for _ in range(servers)]
        self.connections: dict[Connection, None] = {}
        self._clock = clock
        self._wall_clock = wall_clock

    def now(self) -> int:
        """In milliseconds, as sessions count them."""
        return int(self._clock() * MILLISECONDS)

    def connected(self, connection: Connection) -> None:
        self.connections[connection] = None

    def disconnected(self, connection: Connection) -> None:
        """The connection is gone; its session lives on until its timeout."""
        connection.is_closed = True
        self.connections.pop(connection, None)
        self.replicas[connection.server].forget(connection)

    def handle(self, connection: Connection, frame: bytes, multi: Multi | None = None) -> None:
        """Carry out what a client sent.

        :param multi: what it says, when that has been read already.
        :raises MalformedError: it is no message; the connection is to be closed
        """
        if connection.is_closed:
            return
        if connection.session is None:
            self._handshake(connection, _wire.decode_connect_request(frame))
            return
        xid, number, reader = _wire.decode_header(frame)
        if number == OpCode.AUTH:
            authenticate(connection, xid, _wire.decode_auth_request(reader))
            return
        self.sessions.touch(connection.session, self.now())
        if number not in ANSWERED_OPCODES:
            connection.outlet.send(OpCode.ERROR, _wire.encode_reply(xid, _wire.NO_ZXID, ErrorCode.UNIMPLEMENTED))
            connection.close()
            return
        self._answer(connection, connection.session, xid, OpCode(number), multi or reader)

    def throttle(self, connection: Connection, frame: bytes) -> None:
        """Answer that there was no time for this request. As in ZooKeeper that touches the session all the same."""
        xid, number, _ = _wire.decode_header(frame)
        if connection.is_closed or connection.session is None:
            return
        self.sessions.touch(connection.session, self.now())
        connection.outlet.send(OpCode(number), _wire.encode_reply(xid, self.last_zxid, ErrorCode.THROTTLED_OP))

    def expire_session(self, session_id: int) -> None:
        """End a session now. Its client may still hear of the end of its own ephemeral znodes, as in ZooKeeper."""
        self._end_session(session_id)
        self._close_connections_of(session_id)

    def expire_due_sessions(self) -> None:
        """End the sessions whose time is over."""
        for session_id in self.sessions.expired(self.now()):
            self.expire_session(session_id)

    def delete_used_up_containers(self) -> None:
        """What ZooKeeper does once a minute."""
        for path in self.tree.used_up_containers():
            self._publish([self.tree.apply(Deletion(path), self._next_moment())])

    def restart(self) -> None:
        """Every connection is gone; sessions begin their timeouts anew, and all else is as it was."""
        self.sessions.restart(self.now())

    def _next_moment(self) -> Moment:
        self.last_zxid += 1
        return Moment(self.last_zxid, int(self._wall_clock() * MILLISECONDS))

    def _handshake(self, connection: Connection, request: ConnectRequest) -> None:
        if request.last_zxid > self.last_zxid:
            # The client has seen what this server has not: it must try another one.
            connection.close()
            return
        timeout = self.limits.negotiate(request.timeout)
        if request.session_id == 0:
            self._next_moment()
            session: Session | None = self.sessions.open(timeout, connection.server, self.now())
        else:
            self._close_earlier_connections(connection, request.session_id)
            session = self.sessions.find(request.session_id)
            if session is not None and session.password != request.password:
                session = None
        if session is None:
            response = _wire.encode_connect_response(0, 0, INVALID_PASSWORD, with_read_only=request.knows_read_only)
            connection.outlet.send(OpCode.CREATE_SESSION, response)
            connection.close()
            return
        session.timeout, session.server = timeout, connection.server
        connection.session = session
        self.sessions.touch(session, self.now())
        response = _wire.encode_connect_response(
            timeout, session.session_id, session.password, with_read_only=request.knows_read_only
        )
        connection.outlet.send(OpCode.CREATE_SESSION, response)

    def _close_earlier_connections(self, connection: Connection, session_id: int) -> None:
        # Only those to the same server, and before the password is looked at: so does ZooKeeper. A server that the
        # session has left learns of it when it passes on the next write.
        for earlier in list(self.connections):
            if earlier.session_id == session_id and earlier.server == connection.server:
                earlier.close()

    def _answer(
        self, connection: Connection, session: Session, xid: int, opcode: OpCode, sent: Multi | _wire.Reader
    ) -> None:
        try:
            request = sent if isinstance(sent, Multi) else _wire.decode_request(opcode, sent)
            if goes_to_the_leader(opcode) and session.server != connection.server:
                # Session moved: such an error is never sent, the connection is closed.
                connection.close()
                return
            code, body = ErrorCode.OK, self._carry_out(connection, opcode, request)
        except RequestError as error:
            code, body = error.code, b""
        except _wire.MalformedError:
            if opcode in WRITE_OPCODES:  # as every other write that fails
                self._next_moment()
            code, body = ErrorCode.MARSHALLING_ERROR, b""
        connection.outlet.send(opcode, _wire.encode_reply(xid, self.last_zxid, code, body))
        if opcode is OpCode.CLOSE_SESSION:
            self._close_connections_of(session.session_id)

    def _carry_out(self, connection: Connection, opcode: OpCode, request: Request) -> bytes:
        match request:
            case Create() | Delete() | SetData() | SetAcl() | Check():
                # A write that fails has its place in history too.
                moment = self._next_moment()
                applied = self.tree.write(request, connection.author, moment)
                self._publish([applied])
                return result_of(opcode, applied)
            case Multi():
                return self._multi(connection, request)
            case Read():
                return self.replicas[connection.server].read(connection, request)
            case SetWatches():
                self.replicas[connection.server].set_watches(connection, request)
            case AddWatch():
                self.replicas[connection.server].add_watch(connection, request)
                return _wire.encode_integer(ErrorCode.OK)
            case FindWatch():
                self.replicas[connection.server].find_watch(connection, request)
            case Bare(OpCode.CLOSE_SESSION):
                self._end_session(connection.session_id)
            case Bare(OpCode.CREATE_TTL):
                raise RequestError(ErrorCode.UNIMPLEMENTED)
            case Bare():
                pass
        return b""

    def _multi(self, connection: Connection, request: Multi) -> bytes:
        moment = self._next_moment()
        try:
            applied = self.tree.write_all(request.writes, connection.author, moment)
        except MultiError as error:
            return failed_multi_result(request, error)
        self._publish(applied)
        return multi_result(request, applied)

    def _end_session(self, session_id: int) -> None:
        moment = self._next_moment()
        self.sessions.remove(session_id)
        paths = self.tree.ephemerals_of(session_id)
        self._publish([self.tree.apply(Deletion(path), moment) for path in paths])

    def _close_connections_of(self, session_id: int) -> None:
        for connection in list(self.connections):
            if connection.session_id == session_id:
                connection.close()

    def _publish(self, applied: Iterable[Applied]) -> None:
        changes = list(applied)
        for replica in self.replicas:
            replica.publish(changes)


def authenticate(connection: Connection, xid: int, request: AuthRequest) -> None:
    """Answer an `auth` packet. The session is not touched for it (ZooKeeperServer.java:1698)."""
    if request.scheme not in ("digest", "ip"):
        connection.outlet.send(OpCode.AUTH, _wire.encode_reply(xid, 0, ErrorCode.AUTH_FAILED))
        connection.close()
        return
    if request.scheme == "digest":
        identity = _acl.digest_identity(request.credentials)
        if identity not in connection.identities:
            connection.identities.append(identity)
    connection.outlet.send(OpCode.AUTH, _wire.encode_reply(xid, 0))


def goes_to_the_leader(opcode: OpCode) -> bool:
    return opcode in WRITE_OPCODES or opcode in (OpCode.SYNC, OpCode.CLOSE_SESSION)
