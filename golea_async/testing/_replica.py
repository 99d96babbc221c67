"""What one server knows: the znodes, as far as it has applied history, and who watches them there. Pure.

References are to ZooKeeper's `FinalRequestProcessor` and `DataTree`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from . import _acl, _wire
from ._changes import Applied, Author
from ._model import (
    AddWatch,
    ErrorCode,
    EventType,
    FindWatch,
    Identity,
    OpCode,
    Permission,
    Read,
    RequestError,
    SetWatches,
    WatchMode,
)
from ._sessions import Session
from ._tree import Tree, Znode
from ._watches import Watches


class Outlet(Protocol):
    """The way back to a client."""

    def send(self, opcode: OpCode, frame: bytes) -> None:
        """Send the reply to a request of this kind, or with `NOTIFICATION` a watch event."""

    def close(self) -> None:
        """Close the connection, after what was sent."""


class Connection:
    """A client's connection to one server. Compared by identity: it is what a watch belongs to."""

    def __init__(self, outlet: Outlet, server: int, address: str) -> None:
        self.outlet = outlet
        self.server = server
        self.identities = [Identity("ip", address)]
        self.session: Session | None = None
        self.is_closed = False

    @property
    def session_id(self) -> int:
        """0 before the handshake."""
        return 0 if self.session is None else self.session.session_id

    @property
    def author(self) -> Author:
        """Who its writes come from."""
        return Author(self.session_id, tuple(self.identities))

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.outlet.close()


class Replica:
    """One server's znodes and watches. Servers that never lag share one tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.watches: Watches[Connection] = Watches()

    def forget(self, connection: Connection) -> None:
        """The connection is gone, and its watches with it."""
        self.watches.forget(connection)

    def add_watch(self, connection: Connection, request: AddWatch) -> None:
        self.watches.add(request.path, connection, request.mode)

    def read(self, connection: Connection, request: Read) -> bytes:
        """Return the reply's body.

        :raises RequestError: the answer is this error
        """
        path, watches = request.path, self.watches
        match request.opcode:
            case OpCode.SYNC:
                return _wire.encode_text(path)
            case OpCode.EXISTS:
                if "\0" in path:
                    raise RequestError(ErrorCode.BAD_ARGUMENTS)
                if request.watch:
                    watches.on_data(path, connection)
                return _wire.encode_stat(self.tree.get(path).stat())
            case OpCode.GET_ACL:
                return self._read_acl(connection, path)
            case OpCode.GET_EPHEMERALS:
                owned = self.tree.ephemerals_of(connection.session_id)
                return _wire.encode_texts(each for each in owned if each.startswith(path.strip() and path))
        znode = self.tree.get(path)
        _acl.require(znode.acl, Permission.READ, connection.identities)
        if request.opcode is OpCode.GET_ALL_CHILDREN_NUMBER:
            return _wire.encode_integer(self.tree.count_below(path))
        if request.watch:
            (watches.on_data if request.opcode is OpCode.GET_DATA else watches.on_children)(path, connection)
        return _contents(request.opcode, znode)

    def _read_acl(self, connection: Connection, path: str) -> bytes:
        znode = self.tree.get(path)
        _acl.require(znode.acl, Permission.READ | Permission.ADMIN, connection.identities)
        acl = _acl.redact(znode.acl, connection.identities)
        return _wire.encode_acl(acl) + _wire.encode_stat(znode.stat())

    def set_watches(self, connection: Connection, request: SetWatches) -> None:
        """What a client watched before it came here: what has happened since is told at once."""
        watches = self.watches
        for paths, missed, watch in (
            (request.data, _missed_on_data, watches.on_data),
            (request.existence, _missed_on_existence, watches.on_data),
            (request.children, _missed_on_children, watches.on_children),
        ):
            for path in paths:
                event_type = missed(self.tree.find(path), request.zxid)
                if event_type is None:
                    watch(path, connection)
                else:
                    _tell(connection, event_type, path)
        for path in request.persistent:
            watches.add(path, connection, WatchMode.PERSISTENT)
        for path in request.recursive:
            watches.add(path, connection, WatchMode.PERSISTENT_RECURSIVE)

    def find_watch(self, connection: Connection, request: FindWatch) -> None:
        """Look for a watch, or remove it.

        :raises RequestError: NO_WATCHER
        """
        watches = self.watches
        act = watches.remove if request.opcode is OpCode.REMOVE_WATCHES else watches.has
        if not act(request.path, connection, request.kind):
            raise RequestError(ErrorCode.NO_WATCHER)

    def publish(self, applied: Iterable[Applied]) -> None:
        """Tell who watches what was changed."""
        for done in applied:
            if done.event is None:
                continue
            for connection, event in self.watches.fire(done.event):
                # The watch is used up also when its owner may not hear of it (CVE-2024-23944).
                if _acl.permits(event.acl, Permission.READ, connection.identities):
                    _tell(connection, event.type, event.path)


def _tell(connection: Connection, event_type: EventType, path: str) -> None:
    if not connection.is_closed:
        connection.outlet.send(OpCode.NOTIFICATION, _wire.encode_event(event_type, path))


def _missed_on_data(znode: Znode | None, zxid: int) -> EventType | None:
    if znode is None:
        return EventType.DELETED
    return EventType.DATA_CHANGED if znode.mzxid > zxid else None


def _missed_on_existence(znode: Znode | None, _: int) -> EventType | None:
    return None if znode is None else EventType.CREATED


def _missed_on_children(znode: Znode | None, zxid: int) -> EventType | None:
    if znode is None:
        return EventType.DELETED
    return EventType.CHILDREN_CHANGED if znode.pzxid > zxid else None


def _contents(opcode: OpCode, znode: Znode) -> bytes:
    if opcode is OpCode.GET_DATA:
        return _wire.encode_buffer(znode.data) + _wire.encode_stat(znode.stat())
    names = _wire.encode_texts(znode.children)
    return names if opcode is OpCode.GET_CHILDREN else names + _wire.encode_stat(znode.stat())
