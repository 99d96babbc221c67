"""An election's requests and replies as bytes.

aiozk makes them of parts, with an object and a format for every field, which takes it some 20 us for a request and as
much for a reply with a stat. That is as long as ZooKeeper itself takes for one of thousands, so those that elections
send write and read themselves here. To everybody else they are what aiozk has: a request is a subclass of aiozk's, and
a reply has the same names. On an aiozk connection the replies *are* aiozk's.

The formats are those of ``zookeeper.jute``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import aiozk
from aiozk import exc, protocol

_INT = struct.Struct("!i")
_TWO_INTS = _HEADER = struct.Struct("!ii")  # of a request: xid and opcode
_STAT = struct.Struct("!qqqqiiiqiiq")
_PART_HEADER = struct.Struct("!i?i")  # of a transaction: type, done, error
_PARTS_END = _PART_HEADER.pack(-1, True, -1)
_TRUE, _FALSE = b"\x01", b"\x00"
_ERROR = -1


class WatchKind(IntEnum):
    """What is watched, as RemoveWatches names it (ZooKeeper's ``WatcherType``)."""

    CHILDREN = 1
    DATA = 2


KINDS_USED_UP = {
    protocol.WatchEvent.CREATED: (WatchKind.DATA,),
    protocol.WatchEvent.DELETED: (WatchKind.DATA, WatchKind.CHILDREN),
    protocol.WatchEvent.DATA_CHANGED: (WatchKind.DATA,),
    protocol.WatchEvent.CHILDREN_CHANGED: (WatchKind.CHILDREN,),
}
"""By event: the watches that it comes from, which the server has dropped."""


class Stat(NamedTuple):
    """A znode's stat, by aiozk's names."""

    created_zxid: int
    last_modified_zxid: int
    created: int
    modified: int
    version: int
    child_version: int
    acl_version: int
    ephemeral_owner: int
    data_length: int
    num_children: int
    last_modified_children: int


class Created(NamedTuple):
    """The reply to :class:`Create`."""

    path: str
    stat: Stat


class Shown(NamedTuple):
    """The reply to :class:`Get`."""

    data: bytes | None
    stat: Stat


class Found(NamedTuple):
    """The reply to :class:`Exists` and to :class:`SetData`."""

    stat: Stat


class Listed(NamedTuple):
    """The reply to :class:`Children`."""

    children: list[str]
    stat: Stat


class WatchEvent(NamedTuple):
    """What a watch says."""

    type: int
    state: int
    path: str


def read_watch_event(frame: bytes, offset: int) -> WatchEvent:
    kind, state = _TWO_INTS.unpack_from(frame, offset)
    path, _ = _read_string(frame, offset + _TWO_INTS.size)
    return WatchEvent(kind, state, path)


def _string(text: str) -> bytes:
    data = text.encode()
    return _INT.pack(len(data)) + data


def _buffer(data: bytes | None) -> bytes:
    return _INT.pack(-1) if data is None else _INT.pack(len(data)) + data


def _access_control_list(acl: Sequence[aiozk.ACL]) -> bytes:
    entries = [_INT.pack(entry.perms) + _string(entry.id.scheme) + _string(entry.id.id) for entry in acl]
    return _INT.pack(len(entries)) + b"".join(entries)


def _read_string(frame: bytes, offset: int) -> tuple[str, int]:
    (length,) = _INT.unpack_from(frame, offset)
    end = offset + 4 + length
    if not offset < end <= len(frame):
        raise ValueError(f"a string of {length} bytes")
    return frame[offset + 4 : end].decode(), end


def _read_stat(frame: bytes, offset: int) -> Stat:
    return Stat._make(_STAT.unpack_from(frame, offset))


class ReadsItsReply:
    """A request that knows how to read the reply to it: ``read(frame, offset)``, from behind the header."""

    opcode: int

    @staticmethod
    def read(frame: bytes, offset: int) -> Any:
        raise NotImplementedError


class Create(ReadsItsReply, protocol.Create2Request):
    """Make a znode; the reply has its path and stat."""

    def __init__(self, path: str, data: bytes, acl: Sequence[aiozk.ACL], flags: int) -> None:
        self.path, self.data, self.acl, self.flags = path, data, acl, flags

    def body(self) -> bytes:
        return b"".join((_string(self.path), _buffer(self.data), _access_control_list(self.acl), _INT.pack(self.flags)))

    def serialize(self, xid: int) -> bytes:
        return _HEADER.pack(xid, self.opcode) + self.body()

    @staticmethod
    def read(frame: bytes, offset: int) -> Created:
        path, offset = _read_string(frame, offset)
        return Created(path, _read_stat(frame, offset))


class _WatchableRead(ReadsItsReply):
    """A path, and whether to watch it."""

    opcode: int
    watch_kind = WatchKind.DATA

    def __init__(self, path: str, watch: bool) -> None:
        self.path, self.watch = path, watch

    def serialize(self, xid: int) -> bytes:
        return _HEADER.pack(xid, self.opcode) + _string(self.path) + (_TRUE if self.watch else _FALSE)


class Get(_WatchableRead, protocol.GetDataRequest):
    """Ask for data and stat."""

    @staticmethod
    def read(frame: bytes, offset: int) -> Shown:
        (length,) = _INT.unpack_from(frame, offset)
        offset += 4
        if length < 0:
            return Shown(None, _read_stat(frame, offset))
        return Shown(frame[offset : offset + length], _read_stat(frame, offset + length))


class Exists(_WatchableRead, protocol.ExistsRequest):
    """Ask for the stat."""

    @staticmethod
    def read(frame: bytes, offset: int) -> Found:
        return Found(_read_stat(frame, offset))


class Children(_WatchableRead, protocol.GetChildren2Request):
    """Ask for the children's names and the stat."""

    watch_kind = WatchKind.CHILDREN

    @staticmethod
    def read(frame: bytes, offset: int) -> Listed:
        (count,) = _INT.unpack_from(frame, offset)
        offset += 4
        children = []
        for _ in range(count):
            child, offset = _read_string(frame, offset)
            children.append(child)
        return Listed(children, _read_stat(frame, offset))


class _AtVersion:
    """A path, and the version that the znode must have (-1: any)."""

    opcode: int

    def __init__(self, path: str, version: int) -> None:
        self.path, self.version = path, version

    def body(self) -> bytes:
        return _string(self.path) + _INT.pack(self.version)

    def serialize(self, xid: int) -> bytes:
        return _HEADER.pack(xid, self.opcode) + self.body()


class Delete(_AtVersion, ReadsItsReply, protocol.DeleteRequest):
    """Delete a znode."""

    @staticmethod
    def read(_: bytes, __: int) -> Any:
        return _DELETED


class CheckVersion(_AtVersion, protocol.CheckVersionRequest):
    """Require a znode to be there: an operation of a transaction."""


class SetData(protocol.SetDataRequest):
    """Set a znode's data: an operation of a transaction."""

    def __init__(self, path: str, data: bytes, version: int) -> None:
        self.path, self.data, self.version = path, data, version

    def body(self) -> bytes:
        return _string(self.path) + _buffer(self.data) + _INT.pack(self.version)


class RemoveWatches(ReadsItsReply, protocol.RemoveWatchesRequest):
    """Have the server forget this connection's watches of one kind on a path."""

    def __init__(self, path: str, kind: WatchKind) -> None:
        self.path = path
        self.type: WatchKind = kind

    def serialize(self, xid: int) -> bytes:
        return _HEADER.pack(xid, self.opcode) + _string(self.path) + _INT.pack(self.type)

    @staticmethod
    def read(_: bytes, __: int) -> Any:
        return _REMOVED


class Multi(ReadsItsReply, protocol.TransactionRequest):
    """A transaction of the operations above."""

    def __init__(self, operations: Sequence[Any]) -> None:
        self.requests = list(operations)

    def serialize(self, xid: int) -> bytes:
        parts = [_HEADER.pack(xid, self.opcode)]
        for operation in self.requests:
            parts.append(_PART_HEADER.pack(operation.opcode, False, -1))
            parts.append(operation.body())
        parts.append(_PARTS_END)
        return b"".join(parts)

    @staticmethod
    def read(frame: bytes, offset: int) -> Any:
        """Return aiozk's response: a result for each operation, an error where it failed."""
        reply = protocol.TransactionResponse()
        while True:
            kind, is_end, _ = _PART_HEADER.unpack_from(frame, offset)
            offset += _PART_HEADER.size
            if is_end:
                return reply
            if kind == _ERROR:
                (code,) = _INT.unpack_from(frame, offset)
                result, offset = response_error(code), offset + 4
            elif kind in _WITHOUT_RESULT:
                result = _WITHOUT_RESULT[kind]
            else:
                result, offset = protocol.response_xref[kind].parse(frame, offset)
            reply.responses.append(result)


def kind_of_watch(request: Any) -> WatchKind | None:
    """Return what a request is to watch, if anything; also one of aiozk's own."""
    if not getattr(request, "watch", False):
        return None
    lists = isinstance(request, protocol.GetChildrenRequest | protocol.GetChildren2Request)
    return WatchKind.CHILDREN if lists else WatchKind.DATA


def response_error(code: int) -> exc.ResponseError:
    """aiozk's exception for a ZooKeeper error code; its own way to make an unknown one prints to standard output."""
    if code in exc.response_error_xref:
        return exc.response_error_xref[code]()
    unknown = exc.UnknownError.__new__(exc.UnknownError)
    unknown.error_code = code
    return unknown


class AuthenticationRequiredError(exc.ResponseError):
    """The servers demand an authenticated client (``SESSIONCLOSEDREQUIRESASLAUTH``, which aiozk does not know).

    The request was not carried out, and the server closes the connection behind this answer.
    """

    error_code = -124

    def __str__(self) -> str:
        return (
            "the server demands an authenticated client (sessionRequireClientSASLAuth or enforce.auth.schemes in its "
            "configuration): give auth=[(scheme, credential)] of a scheme that it takes; this client does not do SASL"
        )


_DELETED = protocol.DeleteResponse()
_REMOVED = protocol.RemoveWatchesResponse()
_WITHOUT_RESULT = {
    protocol.DeleteResponse.opcode: _DELETED,
    protocol.CheckVersionResponse.opcode: protocol.CheckVersionResponse(),
}
