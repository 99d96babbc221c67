"""A small ZooKeeper client of the tests' own: "somebody else", who shares no code with the library or with aiozk.

It never reconnects: a connection that breaks ends it, and whoever wants the session back connects again with its id and
password. Layouts are those of ZooKeeper's `zookeeper.jute`.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from .ports import LOOPBACK


class OpCode(IntEnum):
    ERROR = -1
    CREATE_SESSION = -10  # never on the wire as such: the name for ConnectRequest and ConnectResponse
    CLOSE_SESSION = -11
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    CREATE_TTL = 21
    AUTH = 100
    SET_WATCHES = 101


class ErrorCode(IntEnum):
    SYSTEM_ERROR = -1
    RUNTIME_INCONSISTENCY = -2
    DATA_INCONSISTENCY = -3
    CONNECTION_LOSS = -4
    MARSHALLING_ERROR = -5
    UNIMPLEMENTED = -6
    OPERATION_TIMEOUT = -7
    BAD_ARGUMENTS = -8
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_CALLBACK = -113
    INVALID_ACL = -114
    AUTH_FAILED = -115
    SESSION_MOVED = -118


class EventType(IntEnum):
    NOT_WATCHING = -2  # not ZooKeeper's: this connection is gone, and its watches with it
    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


WATCH_XID = -1
PING_XID = -2
AUTH_XID = -4
PERMISSION_ALL = 31
ANY_VERSION = -1
EPHEMERAL, SEQUENTIAL = 1, 2
CONNECT_TIMEOUT = 10.0
TAKE_OVER_TIMEOUT = 1.0


class WireError(Exception):
    """ZooKeeper said no."""

    def __init__(self, code: int, what: str) -> None:
        self.code = ErrorCode(code)
        super().__init__(f"{self.code.name} from {what}")


class WireConnectionError(ConnectionError):
    """The connection broke: the outcome of what was under way is not known."""


@dataclass(frozen=True, slots=True)
class Stat:
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
class Acl:
    permissions: int
    scheme: str
    identity: str


OPEN_ACL = (Acl(PERMISSION_ALL, "world", "anyone"),)


@dataclass(frozen=True, slots=True)
class WatchEvent:
    type: EventType
    path: str


Watch = Callable[[WatchEvent], object]
"""What is called, once, when a watch fires: `asyncio.Queue.put_nowait`, for example."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, alone or within `multi`."""

    opcode: OpCode
    payload: bytes
    description: str


class Reader:
    """Takes values off the front of a frame."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def rest(self) -> bytes:
        return self._data[self._position :]

    def take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"!{layout}", self._data, self._position)
        self._position += struct.calcsize(f"!{layout}")
        return values

    def integer(self) -> int:
        return self.take("i")[0]

    def buffer(self) -> bytes:
        length = self.integer()
        if length < 0:
            return b""
        value = self._data[self._position : self._position + length]
        self._position += length
        return value

    def text(self) -> str:
        return self.buffer().decode()

    def texts(self) -> list[str]:
        return [self.text() for _ in range(self.integer())]

    def stat(self) -> Stat:
        return Stat(*self.take("qqqqiiiqiiq"))


def pack_buffer(value: bytes) -> bytes:
    return struct.pack("!i", len(value)) + value


def pack_text(value: str) -> bytes:
    return pack_buffer(value.encode())


def create_operation(
    path: str, data: bytes = b"", *, flags: int = 0, acl: Sequence[Acl] = OPEN_ACL, with_stat: bool = False
) -> Operation:
    entries = b"".join(
        struct.pack("!i", entry.permissions) + pack_text(entry.scheme) + pack_text(entry.identity) for entry in acl
    )
    payload = pack_text(path) + pack_buffer(data) + struct.pack("!i", len(acl)) + entries + struct.pack("!i", flags)
    return Operation(OpCode.CREATE2 if with_stat else OpCode.CREATE, payload, f"create {path}")


def delete_operation(path: str, version: int = ANY_VERSION) -> Operation:
    return Operation(OpCode.DELETE, pack_text(path) + struct.pack("!i", version), f"delete {path}")


def check_operation(path: str, version: int = ANY_VERSION) -> Operation:
    return Operation(OpCode.CHECK, pack_text(path) + struct.pack("!i", version), f"check {path}")


def set_data_operation(path: str, data: bytes, version: int = ANY_VERSION) -> Operation:
    payload = pack_text(path) + pack_buffer(data) + struct.pack("!i", version)
    return Operation(OpCode.SET_DATA, payload, f"set {path}")


class _Watches:
    """Who waits for what: a watch on a znode's data or existence, and a watch on its children, each fires once."""

    def __init__(self) -> None:
        self._of_nodes: defaultdict[str, list[Watch]] = defaultdict(list)
        self._of_children: defaultdict[str, list[Watch]] = defaultdict(list)

    def on_node(self, path: str, watch: Watch) -> None:
        self._of_nodes[path].append(watch)

    def on_children(self, path: str, watch: Watch) -> None:
        self._of_children[path].append(watch)

    def fire(self, event: WatchEvent) -> None:
        waiting: list[Watch] = []
        if event.type is not EventType.CHILDREN_CHANGED:
            waiting += self._of_nodes.pop(event.path, [])
        if event.type in (EventType.CHILDREN_CHANGED, EventType.DELETED):
            waiting += self._of_children.pop(event.path, [])
        for watch in waiting:
            watch(event)

    def end(self) -> None:
        for watches in (self._of_nodes, self._of_children):
            ended = list(watches.items())
            watches.clear()
            for path, waiting in ended:
                for watch in waiting:
                    watch(WatchEvent(EventType.NOT_WATCHING, path))


@dataclass(frozen=True, slots=True)
class _Pending:
    description: str
    future: asyncio.Future[Reader]
    on_reply: Callable[[bool], None] | None


class WireClient:
    """One connection to one server, in a session of its own or an existing one.

    `async with` closes the session at the end; `drop` breaks the connection and leaves the session to its timeout.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._xid = 0
        self._pending: dict[int, _Pending] = {}
        self._watches = _Watches()
        self._tasks: list[asyncio.Task[None]] = []
        self.session_id = 0
        self.password = bytes(16)
        self.session_timeout = 0.0
        self.disconnected = asyncio.Event()

    @classmethod
    async def connect(
        cls, port: int, *, session_timeout: float = 6.0, session_id: int = 0, password: bytes = bytes(16)
    ) -> Self:
        """Connect to the server on `port`; with `session_id` and `password`, take over that session.

        :raises WireError: SESSION_EXPIRED, there is no such session any more
        :raises ConnectionError: the server refuses
        :raises TimeoutError: it does not answer within 10 s
        """
        async with asyncio.timeout(CONNECT_TIMEOUT):
            client = cls(*await asyncio.open_connection(LOOPBACK, port))
            try:
                await client._open_session(session_timeout, session_id, password)
            except BaseException:
                client._writer.transport.abort()
                raise
        client._tasks = [asyncio.create_task(client._read_replies()), asyncio.create_task(client._send_pings())]
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session, so that its ephemeral znodes go; a lost connection is no error."""
        with suppress(WireConnectionError, WireError):
            await self._call(OpCode.CLOSE_SESSION, b"", "close")
        await self.drop()

    async def drop(self) -> None:
        """Break the connection as the death of the process would: the session lives on until its timeout."""
        for task in self._tasks:
            task.cancel()
        self._writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def create(
        self,
        path: str,
        data: bytes = b"",
        *,
        ephemeral: bool = False,
        sequential: bool = False,
        acl: Sequence[Acl] = OPEN_ACL,
    ) -> str:
        """Returns the path, with the number that a sequential znode was given."""
        flags = EPHEMERAL * ephemeral | SEQUENTIAL * sequential
        return (await self._request(create_operation(path, data, flags=flags, acl=acl))).text()

    async def delete(self, path: str, version: int = ANY_VERSION) -> None:
        await self._request(delete_operation(path, version))

    async def set_data(self, path: str, data: bytes, version: int = ANY_VERSION) -> Stat:
        return (await self._request(set_data_operation(path, data, version))).stat()

    async def exists(self, path: str, watch: Watch | None = None) -> Stat | None:
        """The znode's stat. `watch` is called when it is created, changed or deleted."""
        reply = await self._watching(OpCode.EXISTS, path, watch)
        return None if reply is None else reply.stat()

    async def get(self, path: str, watch: Watch | None = None) -> tuple[bytes, Stat]:
        """The znode's data and stat. `watch` is called when it is changed or deleted."""
        reply = _found(await self._watching(OpCode.GET_DATA, path, watch), path)
        return reply.buffer(), reply.stat()

    async def get_children(self, path: str, watch: Watch | None = None) -> list[str]:
        """The names of its children. `watch` is called when they change or it is deleted."""
        return _found(await self._watching(OpCode.GET_CHILDREN, path, watch), path).texts()

    async def sync(self, path: str = "/") -> None:
        await self._call(OpCode.SYNC, pack_text(path), f"sync {path}")

    async def add_auth(self, scheme: str, credentials: bytes) -> None:
        payload = struct.pack("!i", 0) + pack_text(scheme) + pack_buffer(credentials)
        await self._call(OpCode.AUTH, payload, f"auth {scheme}", xid=AUTH_XID)

    async def multi(self, operations: Sequence[Operation]) -> list[str | None]:
        """All or nothing. Returns the path for each create, None for each other operation.

        :raises WireError: the code of the operation because of which nothing was done
        """
        parts = [struct.pack("!i?i", each.opcode, False, -1) + each.payload for each in operations]
        payload = b"".join(parts) + struct.pack("!i?i", -1, True, -1)
        reply = await self._call(OpCode.MULTI, payload, f"multi of {len(operations)}")
        results, codes = zip(*(_multi_result(reply) for _ in operations), strict=True) if operations else ((), ())
        for operation, code in zip(operations, codes, strict=True):
            # Operations before the one that failed carry 0, those after it RUNTIME_INCONSISTENCY.
            if code:
                raise WireError(code, operation.description)
        return list(results)

    async def _open_session(self, session_timeout: float, session_id: int, password: bytes) -> None:
        milliseconds = round(session_timeout * 1000)
        self._send(struct.pack("!iqiq", 0, 0, milliseconds, session_id) + pack_buffer(password) + b"\0")
        response = Reader(await self._read_frame())
        _, negotiated, self.session_id = response.take("iiq")
        self.password = response.buffer()
        self.session_timeout = negotiated / 1000
        if negotiated <= 0:
            raise WireError(ErrorCode.SESSION_EXPIRED, f"connect with session 0x{session_id:x}")

    async def _request(self, operation: Operation) -> Reader:
        return await self._call(operation.opcode, operation.payload, operation.description)

    async def _watching(self, opcode: OpCode, path: str, watch: Watch | None) -> Reader | None:
        """A read that may leave a watch; None: there is no such znode."""

        def register(found: bool) -> None:
            if watch is None:
                return
            if opcode is OpCode.GET_CHILDREN and found:
                self._watches.on_children(path, watch)
            elif opcode is OpCode.EXISTS or found:
                self._watches.on_node(path, watch)

        payload = pack_text(path) + struct.pack("!?", watch is not None)
        try:
            return await self._call(opcode, payload, f"{opcode.name} {path}", on_reply=register)
        except WireError as error:
            if error.code is ErrorCode.NO_NODE:
                return None
            raise

    async def _call(
        self,
        opcode: OpCode,
        payload: bytes,
        description: str,
        *,
        xid: int | None = None,
        on_reply: Callable[[bool], None] | None = None,
    ) -> Reader:
        if self.disconnected.is_set():
            raise WireConnectionError(f"{description}: the connection is gone")
        if xid is None:
            self._xid += 1
            xid = self._xid
        future: asyncio.Future[Reader] = asyncio.get_running_loop().create_future()
        self._pending[xid] = _Pending(description, future, on_reply)
        self._send(struct.pack("!ii", xid, opcode) + payload)
        return await future

    def _send(self, frame: bytes) -> None:
        self._writer.write(pack_buffer(frame))

    async def _read_frame(self) -> bytes:
        (length,) = struct.unpack("!i", await self._reader.readexactly(4))
        return await self._reader.readexactly(length)

    async def _read_replies(self) -> None:
        try:
            while True:
                self._handle(Reader(await self._read_frame()))
        except (OSError, EOFError):
            self._end()

    def _handle(self, reply: Reader) -> None:
        xid, _, code = reply.take("iqi")
        if xid == WATCH_XID:
            event_type, _ = reply.take("ii")
            self._watches.fire(WatchEvent(EventType(event_type), reply.text()))
        elif xid != PING_XID:
            pending = self._pending.pop(xid)
            # Here, not when the caller goes on: the event may be the very next frame.
            if pending.on_reply is not None and code in (0, ErrorCode.NO_NODE):
                pending.on_reply(code == 0)
            if pending.future.done():
                return
            if code:
                pending.future.set_exception(WireError(code, pending.description))
            else:
                pending.future.set_result(reply)

    async def _send_pings(self) -> None:
        await asyncio.sleep(self.session_timeout / 3)
        while not self.disconnected.is_set():
            self._send(struct.pack("!ii", PING_XID, OpCode.PING))
            await asyncio.sleep(self.session_timeout / 3)

    def _end(self) -> None:
        if self.disconnected.is_set():
            return
        self.disconnected.set()
        self._writer.transport.abort()
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(WireConnectionError(f"{pending.description}: the connection broke"))
        self._pending.clear()
        self._watches.end()


def _multi_result(reply: Reader) -> tuple[str | None, int]:
    """The path that a create made, and the error code."""
    opcode, _, _ = reply.take("i?i")
    if opcode == OpCode.ERROR:
        return None, reply.integer()
    path = reply.text() if opcode in (OpCode.CREATE, OpCode.CREATE2) else None
    if opcode in (OpCode.CREATE2, OpCode.SET_DATA):
        reply.stat()
    return path, 0


def _found(reply: Reader | None, path: str) -> Reader:
    if reply is None:
        raise WireError(ErrorCode.NO_NODE, path)
    return reply


async def expire_session(port: int, session_id: int, password: bytes) -> None:
    """Make a session end as if it had expired: somebody else takes it over through `port` and closes it.

    Its ephemeral znodes are gone when this returns. Its owner may hear of their deletion first, or only of the end of
    its connection: ZooKeeper does not say which. A test that needs the former takes the session over with `connect`,
    deletes the znode, waits until the owner has heard of it, and then calls `close`.

    The owner may take the session back before the close arrives, so this goes on until ZooKeeper says that it is gone.

    A try can stay without an answer: a follower keeps one connection per session that it is asking the ensemble's
    leader about (`pendingRevalidations`, Learner.java), so when owner and thief ask at the same moment, it forgets one.

    :raises WireError: SESSION_EXPIRED, it is gone already
    """
    has_closed = False
    while True:
        try:
            async with asyncio.timeout(TAKE_OVER_TIMEOUT):
                thief = await WireClient.connect(port, session_id=session_id, password=password)
        except WireError as error:
            if has_closed and error.code is ErrorCode.SESSION_EXPIRED:
                return
            raise
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            continue  # forgotten as above; or the server hangs up on a session that is just being closed
        await thief.close()
        has_closed = True
