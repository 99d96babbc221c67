"""A client's TCP connection to the in-memory ZooKeeper: frames in, frames out, with the faults in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import cast

from . import _wire
from ._engine import Engine
from ._faults import Faults
from ._four_letters import answer
from ._frame_buffer import FrameBuffer
from ._model import Multi, OpCode, Write
from ._replica import Connection

# A client that sends and never reads is cut off with this much unread.
MAX_UNREAD = 16 * 2**20
# The largest one that is read at once. A longer transaction has thousands of operations.
LARGE_FRAME = 2**16
# As ZooKeeper does with a connection that never begins a session.
HANDSHAKE_LIMIT = 10.0


class ClientProtocol(asyncio.Protocol):
    """One connection, from its beginning to its end. It is the engine's way back to that client."""

    def __init__(self, engine: Engine, server: int, faults: Faults, open_protocols: set[ClientProtocol]) -> None:
        self._engine = engine
        self._server = server
        self._faults = faults
        self._open_protocols = open_protocols
        self._incoming = FrameBuffer()
        self._outgoing: deque[tuple[float, bytes]] = deque()
        self._outgoing_size = 0
        self._is_closing = False
        self._is_full = False
        self._timer: asyncio.TimerHandle | None = None
        self._reading: asyncio.Handle | None = None  # of a transaction that is read in parts
        self._claimed_session_id = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        peer = self._transport.get_extra_info("peername")
        self._connection = Connection(self, self._server, peer[0])
        self._engine.connected(self._connection)
        self._open_protocols.add(self)
        self._handshake_limit = self._loop.call_later(HANDSHAKE_LIMIT, self._transport.abort)
        self.apply_faults()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._handshake_limit.cancel()
        for handle in (self._timer, self._reading):
            if handle is not None:
                handle.cancel()
        self._engine.disconnected(self._connection)
        self._open_protocols.discard(self)
        self.closed.set_result(None)

    @property
    def server(self) -> int:
        return self._server

    @property
    def session_id(self) -> int:
        """The session's id; before the handshake was answered the one that the client asked for."""
        return self._connection.session_id or self._claimed_session_id

    def abort(self) -> None:
        """End the connection at once, as the loss of the network would."""
        self._connection.is_closed = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._incoming.feed(data)
        self._carry_out()

    def pause_writing(self) -> None:
        self._is_full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_full = False
        self.apply_faults()

    def send(self, opcode: OpCode, frame: bytes) -> None:
        """Called by the engine."""
        if self._connection.is_closed:
            return
        if self._faults.take_lost_reply(opcode, self.session_id):
            self.abort()
            return
        due = self._loop.time() + self._faults.delay(self.session_id)
        if self._outgoing:  # A connection keeps its order, also when a delay has ended.
            due = max(due, self._outgoing[-1][0])
        self._outgoing.append((due, frame))
        self._outgoing_size += len(frame)
        self._deliver()
        if self._outgoing_size + self._transport.get_write_buffer_size() > MAX_UNREAD:
            self.abort()

    def close(self) -> None:
        """Called by the engine."""
        self._is_closing = True
        self._deliver()

    def apply_faults(self) -> None:
        """Look again at what may pass: something about the faults has changed."""
        if self._transport.is_closing():
            return
        self._deliver()
        self._carry_out()
        if self._must_wait():
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _carry_out(self) -> None:
        try:
            if self._incoming.four_letter_word() is not None:
                self._answer_four_letter_word()
                return
            while (frame := self._incoming.first()) is not None:
                self._look_at_handshake(frame)
                if self._connection.is_closed or self._must_wait():
                    self._transport.pause_reading()
                    return
                self._incoming.remove(frame)
                self._carry_out_one(frame)
        except _wire.MalformedError:
            self.abort()

    def _carry_out_one(self, frame: bytes) -> None:
        if self._connection.session is not None:
            _, number, _ = _wire.decode_header(frame)
            if self._faults.take_throttled(number, self.session_id):
                self._engine.throttle(self._connection, frame)
                return
            if number == OpCode.MULTI and len(frame) > LARGE_FRAME:
                self._read_in_parts(frame)
                return
        self._engine.handle(self._connection, frame)

    def _read_in_parts(self, frame: bytes) -> None:
        """Read a long transaction while others are served: as in ZooKeeper, its connection alone waits for that."""
        _, _, reader = _wire.decode_header(frame)
        self._reading = self._loop.call_soon(self._read_part, frame, _wire.parts_of_multi(reader), [])

    def _read_part(self, frame: bytes, parts: Iterator[list[Write]], writes: list[Write]) -> None:
        self._reading = None
        try:
            part = next(parts, None)
        except _wire.MalformedError:
            self._engine.handle(self._connection, frame)  # which answers that
        else:
            if part is not None:
                writes += part
                self._reading = self._loop.call_soon(self._read_part, frame, parts, writes)
                return
            self._engine.handle(self._connection, frame, Multi(tuple(writes)))
        self.apply_faults()

    def _must_wait(self) -> bool:
        """Whether no request may be carried out: who does not read his replies gets no more of them."""
        return self._is_full or self._reading is not None or self._faults.holds_requests(self.session_id, self._server)

    def _look_at_handshake(self, frame: bytes) -> None:
        if self._connection.session is None:
            self._claimed_session_id = _wire.decode_connect_request(frame).session_id
            self._handshake_limit.cancel()

    def _answer_four_letter_word(self) -> None:
        word = self._incoming.four_letter_word()
        if word is None or self._is_closing or self._faults.holds_requests(0, self._server):
            return
        self._is_closing = True
        self._transport.write(answer(word, self._engine, self._server).encode())
        self._transport.close()

    def _deliver(self) -> None:
        """Send what is due and not held; then close, if that was asked for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport.is_closing() or self._faults.holds_replies(self.session_id, self._server):
            return
        while self._outgoing:
            due, frame = self._outgoing[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._deliver)
                return
            self._outgoing.popleft()
            self._outgoing_size -= len(frame)
            self._transport.write(frame)
        if self._is_closing:
            self._transport.close()
