"""One TCP connection to a server: bytes that come in are cut into frames, and frames are written.

A connection is used once. Whatever goes wrong with it (end of stream, reset, a frame that makes no sense) ends in
``fail``, of which the subclass makes what that means.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from abc import abstractmethod
from typing import cast

from .clock import boottime
from .errors import GarbageError
from .unread import has_unread

MAX_FRAME_LENGTH = 64 * 1024 * 1024
"""A longer frame is taken for garbage. ZooKeeper does not bound its replies; a million children fit in this."""

_MOST_HELD_BACK = 4096
"""Bytes, some thirty requests: a server is to work on the first of thousands before the last has been thought of."""

_LENGTH = struct.Struct("!i")

_FOREIGN_WORDS = {b"\x15\x03": "it speaks TLS: give ssl=", b"HT": "it speaks HTTP: this is no ZooKeeper port"}


class Framing(asyncio.Protocol):
    """A connection to ``host:port`` as a stream of frames.

    :ivar closed: a future that is done once the socket is closed.
    :ivar heard_at: when something came in last (:func:`boottime`).
    :ivar failure: why the connection is over, or None while it is not.
    :ivar was_hung_up: whether the other side closed it.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.failure: str | None = None
        self.was_hung_up: bool = False
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._unread = 0  # bytes that have been taken from the socket and not worked off
        self._held_back = bytearray()  # what is written while frames are worked off, and goes out behind them
        self._is_working_off = self._holds_back = False
        self._last_sent = self._last_byte = self._loop.time()
        self.heard_at: float = boottime()

    def __repr__(self) -> str:
        return f"<Connection to {self.host}:{self.port}{f', over: {self.failure}' if self.failure else ''}>"

    @property
    def peer(self) -> tuple[str, int, str]:
        """The address to which it is connected, the port, and the name of the host."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        return (name[0] if name else self.host), self.port, self.host

    @property
    def has_unread(self) -> bool:
        """Whether something has come that was not read: frames behind this one, or what lies in the socket."""
        return self._unread > 0 or self._transport is None or has_unread(self._transport)

    @abstractmethod
    def frame_received(self, frame: bytes) -> None:
        """Work off a frame.

        :raises GarbageError: it is none of ZooKeeper's.
        """

    @abstractmethod
    def fail(self, reason: str, tls_refusal: ssl.SSLError | None = None) -> None:
        """End the connection at once; idempotent."""

    def _write(self, *payloads: bytes) -> None:
        """Write frames, at once; but while others are worked off, all but the first behind them.

        A join or a hand-over waits for one of them. Where thousands go on, a write for each would cost more than it.
        """
        assert self._transport is not None
        self._last_sent = self._loop.time()
        written = b"".join([_LENGTH.pack(len(payload)) + payload for payload in payloads])
        if self._holds_back:
            self._held_back += written
            if len(self._held_back) > _MOST_HELD_BACK:
                self._flush()
        else:
            self._holds_back = self._is_working_off
            self._transport.write(written)

    def _flush(self) -> None:
        written, self._held_back = self._held_back, bytearray()
        if written and self._transport is not None and self.failure is None:
            self._transport.write(written)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it.
        if self.failure is not None:  # The try was cancelled meanwhile; uvloop goes on connecting.
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._last_byte, self.heard_at = self._loop.time(), boottime()
        self._is_working_off = True
        try:
            if self._buffer:
                self._buffer += data
                del self._buffer[: self._frames_received(self._buffer)]
            elif (end := self._frames_received(data)) < len(data):
                self._buffer += data[end:]
        except GarbageError as error:
            self.fail(str(error))
        finally:
            self._is_working_off = self._holds_back = False
            self._flush()

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
            self._unread = len(data) - end
            self.frame_received(bytes(data[start + _LENGTH.size : end]))
            start = end
        self._unread = len(data) - start
        return start

    def connection_lost(self, error: Exception | None) -> None:
        reason = "the server closed the connection" if error is None else str(error) or type(error).__name__
        self.was_hung_up = self.failure is None
        self.fail(reason, error if isinstance(error, ssl.SSLError) else None)
        if not self.closed.done():
            self.closed.set_result(None)
