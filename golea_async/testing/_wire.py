"""ZooKeeper's wire format, from bytes to requests and from replies to bytes. No I/O.

Layouts are those of `zookeeper.jute`: big-endian integers, and buffers and lists behind a length, -1 for none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import chain
from typing import TypeVar

from ._model import (
    Acl,
    AddWatch,
    AuthRequest,
    Bare,
    Check,
    ConnectRequest,
    Create,
    Delete,
    ErrorCode,
    EventType,
    FindWatch,
    Identity,
    Multi,
    OpCode,
    Read,
    Request,
    SetAcl,
    SetData,
    SetWatches,
    Stat,
    WatchKind,
    WatchMode,
    Write,
)

NOTIFICATION_XID = -1
PING_XID = -2
NO_ZXID = -1
CONNECTED_STATE = 3
CONTAINER_FLAG = 4
WRITES_OF_A_PART = 500
_INTEGER = struct.Struct("!i")
_FLAG = struct.Struct("!?")
_ZXID = struct.Struct("!q")
_HEADER = struct.Struct("!ii")
_CONNECT_REQUEST = struct.Struct("!iqiq")
_OPERATION = struct.Struct("!i?i")
T = TypeVar("T")
N = TypeVar("N", bound=IntEnum)


class MalformedError(ValueError):
    """These bytes are no such message."""


class Reader:
    """Takes values off the front of a frame; each call raises :exc:`MalformedError` where there is no such value."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def remaining(self) -> int:
        return len(self._data) - self._position

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        try:
            values: tuple[int, ...] = layout.unpack_from(self._data, self._position)
        except struct.error as error:
            raise MalformedError(str(error)) from None
        self._position += layout.size
        return values

    def integer(self) -> int:
        return self.take(_INTEGER)[0]

    def flag(self) -> bool:
        return bool(self.take(_FLAG)[0])

    def optional_buffer(self) -> bytes | None:
        length = self.integer()
        if length == -1:
            return None
        if not 0 <= length <= self.remaining:
            raise MalformedError(f"a buffer of {length} bytes where {self.remaining} are left")
        value = self._data[self._position : self._position + length]
        self._position += length
        return value

    def optional_text(self) -> str | None:
        value = self.optional_buffer()
        # As Java decodes it; the replacement is a character that no path may have.
        return None if value is None else value.decode(errors="replace")

    def text(self) -> str:
        value = self.optional_text()
        if value is None:
            raise MalformedError("no text where there must be one")
        return value

    def items(self, take: Callable[[], T]) -> tuple[T, ...]:
        # An item takes at least its four bytes of length, so a huge count ends at the end of the frame.
        return tuple(take() for _ in range(self.integer()))

    def one_of(self, numbers: type[N]) -> N:
        try:
            return numbers(self.integer())
        except ValueError as error:
            raise MalformedError(str(error)) from None

    def acl(self) -> Acl:
        return Acl(self.integer(), Identity(self.optional_text(), self.optional_text()))


def decode_connect_request(frame: bytes) -> ConnectRequest:
    """:raises MalformedError: it is none"""
    reader = Reader(frame)
    _, last_zxid, timeout, session_id = reader.take(_CONNECT_REQUEST)
    password = reader.optional_buffer() or b""
    return ConnectRequest(last_zxid, timeout, session_id, password, knows_read_only=reader.remaining > 0)


def decode_header(frame: bytes) -> tuple[int, int, Reader]:
    """xid, opcode, and the rest of the frame.

    :raises MalformedError: the frame is too short
    """
    reader = Reader(frame)
    xid, opcode = reader.take(_HEADER)
    return xid, opcode, reader


def decode_auth_request(reader: Reader) -> AuthRequest:
    """:raises MalformedError: it is none"""
    reader.integer()
    return AuthRequest(reader.text(), reader.optional_buffer() or b"")


def decode_request(opcode: OpCode, reader: Reader) -> Request:
    """What stands behind the header. Bytes behind it are nobody's business, as in ZooKeeper.

    :raises MalformedError: it is no such request
    """
    if opcode in _WRITES:
        return _WRITES[opcode](opcode, reader)
    if opcode in _OTHERS:
        return _OTHERS[opcode](opcode, reader)
    return Bare(opcode)


def _create(opcode: OpCode, reader: Reader) -> Create:
    return Create(opcode, reader.text(), reader.optional_buffer(), reader.items(reader.acl), reader.integer())


def _delete(_: OpCode, reader: Reader) -> Delete:
    return Delete(reader.text(), reader.integer())


def _set_data(_: OpCode, reader: Reader) -> SetData:
    return SetData(reader.text(), reader.optional_buffer(), reader.integer())


def _set_acl(_: OpCode, reader: Reader) -> SetAcl:
    return SetAcl(reader.text(), reader.items(reader.acl), reader.integer())


def _check(_: OpCode, reader: Reader) -> Check:
    return Check(reader.text(), reader.integer())


def _multi(_: OpCode, reader: Reader) -> Multi:
    return Multi(tuple(chain.from_iterable(parts_of_multi(reader))))


def parts_of_multi(reader: Reader) -> Iterator[list[Write]]:
    """The writes of a transaction, so many at a time as hold nobody else up for long."""
    part: list[Write] = []
    while True:
        number, is_over, _code = reader.take(_OPERATION)
        if is_over:
            yield part
            return
        decode = _WRITES_WITHIN_MULTI.get(number)
        if decode is None:
            raise MalformedError(f"operation {number} in a multi")
        part.append(decode(OpCode.CREATE, reader))
        if len(part) == WRITES_OF_A_PART:
            yield part
            part = []


def _create_within_multi(_: OpCode, reader: Reader) -> Create:
    """Within a multi, the flags alone decide what a create makes and what its reply has (ZooKeeper's `Op.Create`)."""
    path, data, acl, flags = reader.text(), reader.optional_buffer(), reader.items(reader.acl), reader.integer()
    return Create(OpCode.CREATE_CONTAINER if flags == CONTAINER_FLAG else OpCode.CREATE, path, data, acl, flags)


def _read(opcode: OpCode, reader: Reader) -> Read:
    return Read(opcode, reader.text(), reader.flag())


def _read_without_watch(opcode: OpCode, reader: Reader) -> Read:
    return Read(opcode, reader.text())


def _add_watch(_: OpCode, reader: Reader) -> AddWatch:
    path, mode = reader.text(), reader.one_of(WatchMode)
    if mode is WatchMode.STANDARD:
        raise MalformedError("a standard watch is none to add")
    return AddWatch(path, mode)


def _find_watch(opcode: OpCode, reader: Reader) -> FindWatch:
    return FindWatch(opcode, reader.text(), reader.one_of(WatchKind))


def _set_watches(opcode: OpCode, reader: Reader) -> SetWatches:
    (zxid,) = reader.take(_ZXID)
    lists = 5 if opcode is OpCode.SET_WATCHES2 else 3
    return SetWatches(zxid, *(reader.items(reader.text) for _ in range(lists)))


_WRITES: dict[OpCode, Callable[[OpCode, Reader], Write]] = {
    OpCode.CREATE: _create,
    OpCode.CREATE2: _create,
    OpCode.CREATE_CONTAINER: _create,
    OpCode.DELETE: _delete,
    OpCode.SET_DATA: _set_data,
    OpCode.SET_ACL: _set_acl,
    OpCode.CHECK: _check,
}
_WRITES_WITHIN_MULTI: dict[int, Callable[[OpCode, Reader], Write]] = {
    **dict.fromkeys((OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER), _create_within_multi),
    OpCode.DELETE: _delete,
    OpCode.SET_DATA: _set_data,
    OpCode.CHECK: _check,
}
_OTHERS: dict[OpCode, Callable[[OpCode, Reader], Request]] = {
    OpCode.MULTI: _multi,
    OpCode.EXISTS: _read,
    OpCode.GET_DATA: _read,
    OpCode.GET_CHILDREN: _read,
    OpCode.GET_CHILDREN2: _read,
    OpCode.GET_ACL: _read_without_watch,
    OpCode.SYNC: _read_without_watch,
    OpCode.GET_EPHEMERALS: _read_without_watch,
    OpCode.GET_ALL_CHILDREN_NUMBER: _read_without_watch,
    OpCode.ADD_WATCH: _add_watch,
    OpCode.CHECK_WATCHES: _find_watch,
    OpCode.REMOVE_WATCHES: _find_watch,
    OpCode.SET_WATCHES: _set_watches,
    OpCode.SET_WATCHES2: _set_watches,
}


def encode_frame(body: bytes) -> bytes:
    return struct.pack("!i", len(body)) + body


def encode_reply(xid: int, zxid: int, code: int = ErrorCode.OK, body: bytes = b"") -> bytes:
    return encode_frame(struct.pack("!iqi", xid, zxid, code) + body)


def encode_event(event: EventType, path: str) -> bytes:
    body = struct.pack("!ii", event, CONNECTED_STATE) + encode_text(path)
    return encode_reply(NOTIFICATION_XID, NO_ZXID, body=body)


def encode_connect_response(timeout: int, session_id: int, password: bytes, *, with_read_only: bool) -> bytes:
    body = struct.pack("!iiq", 0, timeout, session_id) + encode_buffer(password)
    return encode_frame(body + (b"\0" if with_read_only else b""))


def encode_buffer(value: bytes | None) -> bytes:
    return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value


def encode_text(value: str | None) -> bytes:
    return encode_buffer(None if value is None else value.encode())


def encode_texts(values: Iterable[str]) -> bytes:
    encoded = [encode_text(value) for value in values]
    return struct.pack("!i", len(encoded)) + b"".join(encoded)


def encode_acl(acl: Iterable[Acl]) -> bytes:
    entries = [
        struct.pack("!i", entry.permissions) + encode_text(entry.identity.scheme) + encode_text(entry.identity.name)
        for entry in acl
    ]
    return struct.pack("!i", len(entries)) + b"".join(entries)


def encode_stat(stat: Stat) -> bytes:
    return struct.pack(
        "!qqqqiiiqiiq",
        stat.czxid,
        stat.mzxid,
        stat.ctime,
        stat.mtime,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.number_of_children,
        stat.pzxid,
    )


def encode_multi_result(opcode: OpCode, code: ErrorCode, body: bytes) -> bytes:
    return struct.pack("!i?i", opcode, False, code) + body


END_OF_MULTI = struct.pack("!i?i", -1, True, -1)


def encode_integer(value: int) -> bytes:
    return struct.pack("!i", value)
