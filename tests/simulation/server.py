"""One simulated ZooKeeper server, as its clients see it: connections, reads of its own, writes through the leader.

What it knows is its own (`Replica`): it may lag behind, and goes on answering reads when it is cut off from the others.
How the servers agree stands in `quorum.py`. References are to ZooKeeper's sources.
"""

from __future__ import annotations

import enum
import random
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from golea_async.testing import _wire
from golea_async.testing._changes import Applied
from golea_async.testing._engine import INVALID_PASSWORD, MILLISECONDS, Limits, authenticate, goes_to_the_leader
from golea_async.testing._model import (
    AddWatch,
    Bare,
    ConnectRequest,
    ErrorCode,
    FindWatch,
    OpCode,
    Read,
    RequestError,
    SetWatches,
)
from golea_async.testing._replica import Connection, Replica
from golea_async.testing._sessions import Session
from golea_async.testing._tree import Tree

from .commits import WaitingWrites, outcome
from .history import SESSION_MOVED, CloseSession, History, OpenSession, Proposal, Transaction
from .machine import Machine
from .network import Transport
from .world import Clock, World

if TYPE_CHECKING:
    from .quorum import Ensemble, Following, Leading

_LENGTH = struct.Struct("!i")


class Role(enum.Enum):
    """LOOKING: for a leader; it serves nobody meanwhile."""

    LOOKING = enum.auto()
    FOLLOWING = enum.auto()
    LEADING = enum.auto()


class Server(Machine):
    """:ivar applied: how many transactions of its log it has applied to its replica."""

    def __init__(self, world: World, clock: Clock, ensemble: Ensemble, index: int, limits: Limits) -> None:
        super().__init__(world, clock)
        self.ensemble = ensemble
        self.index = index
        self.limits = limits
        self.history = History()
        self.replica = Replica(Tree())
        self.applied = 0
        self.epoch = 0
        self.post: Leading | Following | None = None
        self.looking_since = world.now
        self.apply_delay = 0.0
        self.log_delay = self.log_stalls_until = 0.0
        self.waiting_writes = WaitingWrites()
        self.visitors: dict[Visitor, None] = {}
        self._apply_due = self._logged_due = 0.0
        self._to_apply = 0

    @property
    def role(self) -> Role:
        return Role.LOOKING if self.post is None else self.post.role

    @property
    def applied_zxid(self) -> int:
        return self.history.log[self.applied - 1].moment.zxid if self.applied else 0

    def accept(self, transport: Transport) -> None:
        """A client has connected."""
        visitor = Visitor(self, transport)
        transport.endpoint = visitor
        self.visitors[visitor] = None

    def take_post(self, post: Leading | Following) -> None:
        """It has found its place in a quorum, and serves from now on; nothing waits of what came before."""
        self.post = post
        self.waiting_writes = WaitingWrites()

    def look(self) -> None:
        """It has lost the quorum: its clients are sent away, and it looks for another leader."""
        self.post = None
        self.looking_since = self.world.now
        self._to_apply = self.applied
        for visitor in list(self.visitors):
            visitor.connection.close()
        self.ensemble.look_for_leaders()

    def die(self) -> None:
        """As by SIGKILL. The log is on disk."""
        post, self.post = self.post, None
        super().die()
        for visitor in list(self.visitors):
            visitor.transport.reset()
        self.visitors.clear()
        self.replica.watches = Replica(Tree()).watches
        self._to_apply = self.applied
        if post is not None:
            post.abandon()

    def live(self) -> None:
        super().live()
        self.looking_since = self.world.now
        self.ensemble.look_for_leaders()

    def when_logged(self, act: Callable[[], None]) -> None:
        """Do something when what was just appended to the log is on disk."""
        due = max(self._logged_due, self.world.now + self.log_delay, self.log_stalls_until)
        if due <= self.world.now:
            act()
        else:
            self._logged_due = due
            self.world.at(due, self.receive, act)

    def committed(self, length: int) -> None:
        """So much of its log is history now. It applies that when it comes to it, and answers its own clients."""
        if length <= self._to_apply:
            return
        self._to_apply = length
        if not self.apply_delay and self._apply_due <= self.world.now:
            self._apply_up_to(length)
            return
        self._apply_due = max(self._apply_due, self.world.now + self.apply_delay)
        self.world.at(self._apply_due, self.receive, self._apply_up_to, length)

    def _apply_up_to(self, length: int) -> None:
        while self.applied < min(length, self._to_apply) and self.post is not None:
            transaction = self.history.log[self.applied]
            self.applied += 1
            self._apply(transaction)

    def _apply(self, transaction: Transaction) -> None:
        applied = [self.replica.tree.apply(change, transaction.moment) for change in transaction.changes]
        self.replica.publish(applied)
        waiting = self.waiting_writes.take(transaction.proposal)
        if waiting is not None and waiting.origin is not None:
            visitor, pending = waiting.origin
            if visitor.server is self:
                if waiting is not transaction.proposal:
                    self.ensemble.on_mistaken(transaction.proposal, waiting)
                visitor.answer_write(pending, transaction, applied)
        if isinstance(transaction.proposal.request, CloseSession):
            for each in list(self.visitors):
                if each.connection.session_id == transaction.proposal.session_id:
                    each.connection.close()


@dataclass(slots=True)
class _Pending:
    """A request whose turn has not come: ZooKeeper answers a connection in the order of its requests."""

    xid: int
    opcode: OpCode
    request: Any
    reply: bytes | None = None


class Visitor:
    """A client's connection, at the server: the replica's way back (`Outlet`), the network's end (`Endpoint`)."""

    def __init__(self, server: Server, transport: Transport) -> None:
        self.server = server
        self.transport = transport
        self.connection = Connection(self, server.index, "10.0.0.1")
        self._life = server.life
        self._has_asked = False
        self._queue: deque[_Pending] = deque()

    # --- the network -----------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        start = 0
        while start < len(data):
            (length,) = _LENGTH.unpack_from(data, start)
            start += _LENGTH.size
            self.server.receive(self._in_this_life, self._handle, data[start : start + length])
            start += length

    def ended(self) -> None:
        self.server.receive(self._in_this_life, self._forget)

    def _in_this_life(self, handler: Callable[..., None], *arguments: Any) -> None:
        if self._life == self.server.life:
            handler(*arguments)

    def _forget(self) -> None:
        self.connection.is_closed = True
        self.server.replica.forget(self.connection)
        self.server.visitors.pop(self, None)

    # --- the way back ----------------------------------------------------------------------------------------------

    def send(self, opcode: OpCode, frame: bytes) -> None:
        self.transport.send(opcode, frame)

    def close(self) -> None:
        self.transport.close_from_server()
        self._forget()

    # --- requests --------------------------------------------------------------------------------------------------

    def _handle(self, frame: bytes) -> None:
        connection, server = self.connection, self.server
        if connection.is_closed:
            return
        if server.post is None:
            connection.close()
        elif connection.session is None:
            if not self._has_asked:
                self._has_asked = True
                self._handshake(_wire.decode_connect_request(frame))
        else:
            xid, number, reader = _wire.decode_header(frame)
            opcode = OpCode(number)
            if opcode is OpCode.AUTH:  # answered at once, and without a touch (processPacket)
                authenticate(connection, xid, _wire.decode_auth_request(reader))
                return
            server.post.touch(connection.session_id)
            self._take_turn(_Pending(xid, opcode, _wire.decode_request(opcode, reader)))

    def _take_turn(self, pending: _Pending) -> None:
        self._queue.append(pending)
        if pending.opcode is OpCode.SYNC:
            assert self.server.post is not None
            self.server.post.sync(self, pending)
        elif goes_to_the_leader(pending.opcode):
            request = CloseSession() if pending.opcode is OpCode.CLOSE_SESSION else pending.request
            self._propose(request, pending)
        else:
            self._answer_those_whose_turn_it_is()

    def _propose(self, request: Any, pending: _Pending) -> None:
        assert self.server.post is not None
        connection = self.connection
        proposal = Proposal(connection.session_id, connection.author, request, (self, pending), pending.xid)
        self.server.post.propose(proposal)

    def _answer_those_whose_turn_it_is(self) -> None:
        while self._queue and not self.connection.is_closed:
            pending = self._queue[0]
            if pending.reply is None:
                if goes_to_the_leader(pending.opcode):
                    return
                pending.reply = self._read(pending)
            self._queue.popleft()
            self.send(pending.opcode, pending.reply)
            if pending.opcode is OpCode.CLOSE_SESSION:
                self.connection.close()

    def _read(self, pending: _Pending) -> bytes:
        replica, body, code = self.server.replica, b"", ErrorCode.OK
        try:
            match pending.request:
                case Read() as request:
                    body = replica.read(self.connection, request)
                case SetWatches() as request:
                    replica.set_watches(self.connection, request)
                case FindWatch() as request:
                    replica.find_watch(self.connection, request)
                case AddWatch() as request:
                    replica.add_watch(self.connection, request)
                case Bare(OpCode.PING):
                    pass
        except RequestError as refused:
            code = refused.code
        return _wire.encode_reply(pending.xid, self.server.applied_zxid, code, body)

    def answer_sync(self, pending: _Pending) -> None:
        """The leader's word has come back, behind all that was history when it was given."""
        if not self.connection.is_closed:
            body = _wire.encode_text(pending.request.path)
            pending.reply = _wire.encode_reply(pending.xid, self.server.applied_zxid, ErrorCode.OK, body)
            self._answer_those_whose_turn_it_is()

    def answer_write(self, pending: _Pending | None, transaction: Transaction, applied: list[Applied]) -> None:
        """What was proposed here is history."""
        if self.connection.is_closed:
            return
        if transaction.code == SESSION_MOVED:
            self.connection.close()  # such an error is never sent
            return
        if pending is None:
            self._grant_session(transaction.proposal.session_id, transaction.proposal.request.timeout)
            return
        code, body = outcome(pending.opcode, transaction, applied)
        pending.reply = _wire.encode_reply(pending.xid, transaction.moment.zxid, code, body)
        self._answer_those_whose_turn_it_is()

    # --- sessions --------------------------------------------------------------------------------------------------

    def _handshake(self, request: ConnectRequest) -> None:
        server = self.server
        assert server.post is not None
        if request.last_zxid > server.applied_zxid:
            self.connection.close()  # the client has seen what this server has not
            return
        timeout = server.limits.negotiate(request.timeout)
        if request.session_id == 0:
            session_id = server.ensemble.new_session_id()
            server.post.propose(Proposal(session_id, self.connection.author, OpenSession(timeout), (self, None)))
            return
        for earlier in list(server.visitors):
            if earlier.connection.session_id == request.session_id:
                earlier.connection.close()
        if request.password != password_of(request.session_id):
            self._refuse_session()
        else:
            server.post.revalidate(self, request.session_id, timeout)

    def revalidated(self, session_id: int, timeout: int, is_valid: bool) -> None:
        """The leader has said whether the session lives."""
        if self.connection.is_closed:
            return
        if is_valid:
            self._grant_session(session_id, timeout)
        else:
            self._refuse_session()

    def _grant_session(self, session_id: int, timeout: int) -> None:
        password = password_of(session_id)
        self.connection.session = Session(session_id, password, timeout, self.server.index)
        response = _wire.encode_connect_response(timeout, session_id, password, with_read_only=True)
        self.send(OpCode.CREATE_SESSION, response)

    def _refuse_session(self) -> None:
        response = _wire.encode_connect_response(0, 0, INVALID_PASSWORD, with_read_only=True)
        self.send(OpCode.CREATE_SESSION, response)
        self.connection.close()


def password_of(session_id: int) -> bytes:
    """Every server can tell, as in ZooKeeper: it is drawn from the session's id."""
    return random.Random(session_id).randbytes(16)


def milliseconds(seconds: float) -> int:
    return int(seconds * MILLISECONDS)
