"""The words of ZooKeeper's protocol: operations, error codes, events, and what a client asks for.

Numbers are those of ZooKeeper's `ZooDefs`, `KeeperException.Code` and `Watcher.Event.EventType`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias


class OpCode(IntEnum):
    """What a request asks for. `NOTIFICATION` is no request: it marks the frames of watch events."""

    ERROR = -1
    CREATE_SESSION = -10
    CLOSE_SESSION = -11
    NOTIFICATION = 0
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    CHECK_WATCHES = 17
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    CREATE_TTL = 21
    AUTH = 100
    SET_WATCHES = 101
    GET_EPHEMERALS = 103
    GET_ALL_CHILDREN_NUMBER = 104
    SET_WATCHES2 = 105
    ADD_WATCH = 106


class ErrorCode(IntEnum):
    """The error codes that a reply can carry."""

    OK = 0
    RUNTIME_INCONSISTENCY = -2
    MARSHALLING_ERROR = -5
    UNIMPLEMENTED = -6
    BAD_ARGUMENTS = -8
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    INVALID_ACL = -114
    AUTH_FAILED = -115
    NO_WATCHER = -121
    THROTTLED_OP = -127


class EventType(IntEnum):
    """What a watch event tells."""

    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


class Permission(IntEnum):
    """What an ACL entry permits; as plain integers, since a large transaction asks a hundred thousand times."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16
    ALL = 31


class RequestError(Exception):
    """The answer to a request is this error code."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.name)
        self.code = code


class Identity(NamedTuple):
    """Who somebody is, within a scheme such as `digest`. What came from a client may lack either part."""

    scheme: str | None
    name: str | None


class Acl(NamedTuple):
    """One entry of an access control list."""

    permissions: int
    identity: Identity


OPEN_ACL = (Acl(Permission.ALL, Identity("world", "anyone")),)


class Stat(NamedTuple):
    """What ZooKeeper tells of a znode, in the order of the wire. Times are in milliseconds since 1970."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeral_owner: int
    data_length: int
    number_of_children: int
    pzxid: int


@dataclass(frozen=True, slots=True)
class Create:
    """`opcode` says how it was asked for, which decides on the reply and on whether it is a container."""

    opcode: OpCode
    path: str
    data: bytes | None
    acl: tuple[Acl, ...]
    flags: int


@dataclass(frozen=True, slots=True)
class Delete:
    path: str
    version: int


@dataclass(frozen=True, slots=True)
class SetData:
    path: str
    data: bytes | None
    version: int


@dataclass(frozen=True, slots=True)
class SetAcl:
    path: str
    acl: tuple[Acl, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Check:
    path: str
    version: int


Write: TypeAlias = Create | Delete | SetData | SetAcl | Check


@dataclass(frozen=True, slots=True)
class Multi:
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """`exists`, `getData`, `getChildren` and their relatives; `sync` and `getACL` leave no watch."""

    opcode: OpCode
    path: str
    watch: bool = False


class WatchMode(IntEnum):
    """How long a watch stays: until its first event, or until it is removed."""

    STANDARD = -1
    PERSISTENT = 0
    PERSISTENT_RECURSIVE = 1


class WatchKind(IntEnum):
    """Which watches `checkWatches` and `removeWatches` mean."""

    CHILDREN = 1
    DATA = 2
    ANY = 3


@dataclass(frozen=True, slots=True)
class AddWatch:
    path: str
    mode: WatchMode


@dataclass(frozen=True, slots=True)
class FindWatch:
    opcode: OpCode
    path: str
    kind: WatchKind


@dataclass(frozen=True, slots=True)
class SetWatches:
    """What a client watched on its last connection, and the last zxid that it saw there."""

    zxid: int
    data: tuple[str, ...]
    existence: tuple[str, ...]
    children: tuple[str, ...]
    persistent: tuple[str, ...] = ()
    recursive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bare:
    """A request without contents: `ping` and `closeSession`."""

    opcode: OpCode


Request: TypeAlias = Write | Multi | Read | AddWatch | FindWatch | SetWatches | Bare


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """The first frame of a connection. `timeout` is in milliseconds; no `session_id`: 0."""

    last_zxid: int
    timeout: int
    session_id: int
    password: bytes
    # Clients older than 3.4 do not send whether they take a read-only server, and want no such byte in the reply.
    knows_read_only: bool


@dataclass(frozen=True, slots=True)
class AuthRequest:
    scheme: str
    credentials: bytes
