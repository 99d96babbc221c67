"""A client that does one request at a time and tells all that the server said, in words that two servers can share.

Zxids are counted from the beginning of a run, sessions by their order in it, and times are left out: so what a run
gives on one server can be compared with what the same run gives on another. Every reply is read before the next request
is sent, and all sessions then send a ping: a server answers a connection in order, so that all events of a request have
come in when they have their answers.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .ports import LOOPBACK
from .wire import PING_XID, WATCH_XID, OpCode, Reader, pack_buffer, pack_text

GET_ACL, SET_ACL, CHECK_WATCHES, REMOVE_WATCHES, SET_WATCHES2, ADD_WATCH = 6, 7, 17, 18, 105, 106
GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER = 103, 104
SOCKET_TIMEOUT = 20.0
NO_PASSWORD = bytes(16)
Told: TypeAlias = tuple[Any, ...]
"""One frame, or the end of a connection, in words that do not depend on the server."""


@dataclass
class Scale:
    """How to tell the zxids and sessions of a run."""

    first_zxid: int = 0
    events_have_zxids: bool = False
    """ZooKeeper 3.9 tells the zxid of the change with the event; before, and where the watch came late, it is -1."""
    sessions: list[int] = field(default_factory=list)
    passwords: list[bytes] = field(default_factory=list)

    def zxid(self, zxid: int) -> int:
        # Whatever is older than the run is the same on both servers; so are those that mean something else.
        return zxid - self.first_zxid if zxid > 0 else zxid

    def owner(self, session_id: int) -> str:
        return f"session {self.sessions.index(session_id)}" if session_id in self.sessions else str(session_id)

    def stat(self, reader: Reader) -> Told:
        stat = reader.stat()
        return (
            *map(self.zxid, (stat.czxid, stat.mzxid, stat.pzxid)),
            (stat.version, stat.cversion, stat.aversion),
            self.owner(stat.ephemeral_owner),
            (stat.data_length, stat.number_of_children),
        )


class LockstepClient:
    """One connection, which may be broken and made again, within one session at a time."""

    def __init__(self, port: int, scale: Scale) -> None:
        self._port = port
        self._scale = scale
        self._socket: socket.socket | None = None
        self._xid = 0
        self.session_id = 0
        self.password = NO_PASSWORD
        self.last_zxid = 0

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    def connect(self, *, timeout: int, password: bytes | None = None, zxid_ahead: int = 0) -> list[Told]:
        """Begin a session, or take up again the one that there was; a connection that is open stays behind, open."""
        self._socket = socket.create_connection((LOOPBACK, self._port), timeout=SOCKET_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = self.password if password is None else password
        request = struct.pack("!iqiq", 0, self.last_zxid + zxid_ahead, timeout, self.session_id)
        self._write(request + pack_buffer(shown) + b"\0")
        frame = self._read()
        if frame is None:
            return [("end",)]
        reader = Reader(frame)
        version, negotiated, session_id = reader.take("iiq")
        self.password = reader.buffer()
        if session_id and session_id not in self._scale.sessions:
            self._scale.sessions.append(session_id)
            self._scale.passwords.append(self.password)
        told: Told = ("connected", version, negotiated, self._scale.owner(session_id), len(self.password), reader.rest)
        self.session_id = session_id
        if negotiated > 0:
            return [told]
        self.forget_session()
        return [told, *self._until_the_end()]

    def forget_session(self) -> None:
        self.session_id, self.password = 0, NO_PASSWORD

    def until_closed_by(self, reconnect: Callable[[], list[Told]]) -> list[Told]:
        """What that connection tells, and that the server has closed the one before, which stayed open here."""
        earlier = self._socket
        told = reconnect()
        if earlier is not None:
            later, self._socket = self._socket, earlier
            assert self._read() is None
            self._socket = later
        return told

    def end_sessions(self) -> None:
        """End every session of the run that lives: one that was left to its timeout would disturb a later run."""
        for session_id, password in zip(self._scale.sessions, self._scale.passwords, strict=True):
            self.drop()
            self.session_id, self.password, self.last_zxid = session_id, password, 0
            self.connect(timeout=0)
            if self.is_connected:
                self.request(OpCode.CLOSE_SESSION, b"", ends=True)

    def drop(self) -> None:
        """Close the connection; the session lives on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(self, opcode: int, payload: bytes, *, xid: int | None = None, ends: bool = False) -> list[Told]:
        """The events before the reply, the reply, and with `ends` all up to the end of the connection."""
        self._xid += 1
        expected = self._xid if xid is None else xid
        self._write(struct.pack("!ii", expected, opcode) + payload)
        told: list[Told] = []
        while (frame := self._read()) is not None:
            reader = Reader(frame)
            got, zxid, code = reader.take("iqi")
            if got == WATCH_XID:
                told.append(self._event(zxid, reader))
                continue
            assert got == expected, f"a reply to {got} where one to {expected} was due"
            self.last_zxid = max(self.last_zxid, zxid)
            relative = self._scale.zxid(zxid)
            told.append(("reply", relative, code, *(_body(opcode, reader, self._scale) if code == 0 else ())))
            if not ends:
                return told
        told.append(("end",))
        self.drop()
        return told

    def ping(self) -> list[Told]:
        """The events that have come in."""
        if not self.is_connected:
            return []
        return self.request(OpCode.PING, b"", xid=PING_XID)

    def _event(self, zxid: int, reader: Reader) -> Told:
        event_type, state = reader.take("ii")
        assert zxid == -1 or (self._scale.events_have_zxids and zxid > self.last_zxid), zxid
        return ("event", event_type, state, reader.text())

    def _until_the_end(self) -> list[Told]:
        assert self._read() is None
        self.drop()
        return [("end",)]

    def _write(self, frame: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(pack_buffer(frame))

    def _read(self) -> bytes | None:
        header = self._read_exactly(4)
        if header is None:
            self.drop()
            return None
        return self._read_exactly(struct.unpack("!i", header)[0])

    def _read_exactly(self, size: int) -> bytes | None:
        assert self._socket is not None
        data = bytearray()
        while len(data) < size:
            try:
                chunk = self._socket.recv(size - len(data))
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return None
            data += chunk
        return bytes(data)


def _body(opcode: int, reader: Reader, scale: Scale) -> Told:
    decode = _BODIES.get(opcode)
    told = decode(reader, scale) if decode is not None else ()
    return (*told, reader.rest)


def _optional_buffer(reader: Reader) -> bytes | None:
    length = reader.integer()
    return None if length < 0 else bytes(reader.take("B" * length))


def _children(reader: Reader, _: Scale) -> Told:
    return (sorted(reader.texts()),)


def _acl(reader: Reader, scale: Scale) -> Told:
    entries = [(reader.integer(), reader.text(), reader.text()) for _ in range(reader.integer())]
    return (entries, scale.stat(reader))


def _multi(reader: Reader, scale: Scale) -> Told:
    results: list[Told] = []
    while True:
        opcode, done, code = reader.take("i?i")
        if done:
            return tuple(results)
        if opcode == OpCode.ERROR:
            results.append(("error", code, reader.integer()))
        else:
            decode = _BODIES.get(opcode)
            results.append((opcode, code, *(decode(reader, scale) if decode is not None else ())))


_BODIES: dict[int, Callable[[Reader, Scale], Told]] = {
    OpCode.CREATE: lambda reader, _: (reader.text(),),
    OpCode.CREATE2: lambda reader, scale: (reader.text(), scale.stat(reader)),
    OpCode.CREATE_CONTAINER: lambda reader, scale: (reader.text(), scale.stat(reader)),
    OpCode.EXISTS: lambda reader, scale: (scale.stat(reader),),
    OpCode.SET_DATA: lambda reader, scale: (scale.stat(reader),),
    SET_ACL: lambda reader, scale: (scale.stat(reader),),
    OpCode.GET_DATA: lambda reader, scale: (_optional_buffer(reader), scale.stat(reader)),
    GET_ACL: _acl,
    OpCode.GET_CHILDREN: _children,
    GET_EPHEMERALS: _children,
    GET_ALL_CHILDREN_NUMBER: lambda reader, _: (reader.integer(),),
    OpCode.GET_CHILDREN2: lambda reader, scale: (*_children(reader, scale), scale.stat(reader)),
    OpCode.SYNC: lambda reader, _: (reader.text(),),
    OpCode.MULTI: _multi,
}


def pack_texts(values: Sequence[str]) -> bytes:
    return struct.pack("!i", len(values)) + b"".join(map(pack_text, values))


def pack_optional_buffer(value: bytes | None) -> bytes:
    return struct.pack("!i", -1) if value is None else pack_buffer(value)
