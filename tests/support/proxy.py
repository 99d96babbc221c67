"""A TCP proxy in front of one ZooKeeper server, which can do to a connection what networks do.

It understands the frames of the client protocol, so that a test can lose exactly the reply to the next create. A
connection that starts with a four-letter word instead is passed on as it comes (aiozk sends `srvr` on a connection of
its own before each real one).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Generator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Self

from .listener import Listener, until_closed
from .ports import LOOPBACK, choose_free_ports
from .wire import AUTH_XID, PING_XID, WATCH_XID, OpCode

SET_WATCHES_XID = -8
SPECIAL_XIDS = {PING_XID: OpCode.PING, AUTH_XID: OpCode.AUTH, SET_WATCHES_XID: OpCode.SET_WATCHES}
LARGEST_FRAME = 64 * 1024 * 1024
"""Four ASCII letters, read as a length, are far beyond this; no frame is."""
CHUNK = 65536
UNTIL_ASKED_AGAIN = 0.01


class Action(Enum):
    """What happens to a frame that a rule was made for."""

    FORWARD = auto()
    SWALLOW = auto()
    RESET = auto()
    """The frame is swallowed and its connection reset, towards the client and the server."""
    HOLD = auto()
    """The frame, and all behind it in its direction, wait for `Rule.release`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the client protocol. A reply has the opcode of its request, a watch event has none (0).

    The first frame of a connection, in either direction, counts as `OpCode.CREATE_SESSION`, with xid 0.
    """

    opcode: int
    xid: int
    payload: bytes
    """All of it but the length in front."""


Predicate = Callable[[Frame], bool]
Rewrite = Callable[[bytes], bytes]


class Rule:
    """An action that waits for its frame. `await rule` returns that frame when it has come; it acts once."""

    def __init__(self, predicate: Predicate, action: Action) -> None:
        self.predicate = predicate
        self.action = action
        self.happened: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._released = asyncio.Event()

    def __await__(self) -> Generator[Any, None, Frame]:
        return asyncio.shield(self.happened).__await__()

    def release(self) -> None:
        """Let what a HOLD keeps back go on."""
        self._released.set()

    async def until_released(self) -> None:
        await self._released.wait()


class Gate:
    """One direction of all connections: open, or swallowing."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.rules: list[Rule] = []

    @property
    def is_swallowing(self) -> bool:
        return not self._open.is_set()

    def swallow(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def until_open(self) -> None:
        await self._open.wait()

    def take_rule(self, frame: Frame) -> Rule | None:
        for rule in self.rules:
            if rule.predicate(frame):
                self.rules.remove(rule)
                rule.happened.set_result(frame)
                return rule
        return None


class Proxy:
    """Listens on `port` (a free one) and passes everything to `target_port`, until told otherwise.

        async with Proxy(server.port) as proxy:
            client = aiozk.ZKClient(proxy.address)

    With `frames=False` it passes bytes on without a look at them, which suits the servers' own connections; `rewrite`
    may change them, a piece at a time as they come. With `waits_for_target` a connection waits for who does not listen
    yet, and is not closed: a proxy cannot refuse a connection, as such a server would, which is then asked again.
    """

    def __init__(
        self,
        target_port: int,
        *,
        port: int | None = None,
        frames: bool = True,
        rewrite: Rewrite | None = None,
        waits_for_target: bool = False,
    ) -> None:
        self.target_port = target_port
        self.rewrite = rewrite
        self.waits_for_target = waits_for_target
        self.frames = frames
        self.port = choose_free_ports(1)[0] if port is None else port
        self.requests: Counter[int] = Counter()
        """How many requests came from clients, by opcode."""
        self.watching_exists: Counter[str] = Counter()
        """How many of those were an `exists` that sets a watch, by the last name of the path."""
        self.replies: Counter[int] = Counter()
        """How many replies came from the server, by the opcode of their request."""
        self.events = 0
        """How many watch events came from the server."""
        self.delay_seconds = 0.0
        self.request_gate = Gate()
        self.reply_gate = Gate()
        self._is_cut = False
        self._links: set[_Link] = set()
        self._listener = Listener(self._serve, self.port)

    @property
    def address(self) -> str:
        return self._listener.address

    @property
    def connections(self) -> int:
        """How many connections were accepted, those for four-letter words included."""
        return self._listener.connections

    @property
    def open_connections(self) -> int:
        return len(self._links)

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.reset()
        await self._listener.__aexit__()

    def reset(self) -> None:
        """Reset (RST) every connection there is now, towards the client and the server; new ones are welcome."""
        for link in list(self._links):
            link.reset()

    def cut(self) -> None:
        """Reset every connection, and every new one at once, until `heal`."""
        self._is_cut = True
        self.reset()

    def swallow_requests(self) -> None:
        """What clients send vanishes, the end of their connections too, until `heal`. What vanished stays lost."""
        self.request_gate.swallow()

    def swallow_replies(self) -> None:
        """What the server sends vanishes, the end of its connections too, until `heal`. What vanished stays lost."""
        self.reply_gate.swallow()

    def strand_server(self) -> None:
        """Reset every connection towards the client alone, and every new one: the server hears nothing until `heal`.

        So it goes on believing in its connections; their end reaches it with the healing.
        """
        self._is_cut = True
        self.swallow_requests()
        self.swallow_replies()
        for link in list(self._links):
            link.reset_client()

    def delay(self, seconds: float) -> None:
        """From now on everything takes this much longer, in either direction; the order stays."""
        self.delay_seconds = seconds

    def heal(self) -> None:
        """No cut, no swallowing, no delay. Rules stay."""
        self._is_cut = False
        self.delay_seconds = 0.0
        self.request_gate.open()
        self.reply_gate.open()

    def on_request(self, predicate: Predicate, action: Action) -> Rule:
        """Do `action` to the next request for which `predicate` holds."""
        return self._add_rule(self.request_gate, predicate, action)

    def on_reply(self, predicate: Predicate, action: Action) -> Rule:
        """Do `action` to the next reply or watch event for which `predicate` holds."""
        return self._add_rule(self.reply_gate, predicate, action)

    def lose_next_request(self, opcodes: Collection[int]) -> Rule:
        """The next such request never reaches the server: its connection is reset instead."""
        return self.on_request(lambda frame: frame.opcode in opcodes, Action.RESET)

    def lose_next_reply(self, opcodes: Collection[int]) -> Rule:
        """The next such request is done by the server, but its connection is reset instead of the reply."""
        return self.on_reply(lambda frame: frame.opcode in opcodes, Action.RESET)

    def _add_rule(self, gate: Gate, predicate: Predicate, action: Action) -> Rule:
        assert self.frames, "rules are about frames"
        rule = Rule(predicate, action)
        gate.rules.append(rule)
        return rule

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._is_cut:
                return
            server_reader, server_writer = await self._connect_to_target()
            link = _Link(self, writer, server_writer)
            self._links.add(link)
            try:
                if self._is_cut:
                    link.reset()
                await link.run(reader, server_reader)
            finally:
                self._links.discard(link)
        finally:  # also where there is no server
            reset_connection(writer)

    async def _connect_to_target(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_connection(LOOPBACK, self.target_port)
            except OSError:
                if not self.waits_for_target or self._is_cut:
                    raise
            await asyncio.sleep(UNTIL_ASKED_AGAIN)


class _Link:
    """One connection of a client, and the proxy's own to the server."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_framed = proxy.frames
        self._opcodes: dict[int, int] = {}
        self._had_request = False
        self._had_reply = False
        self._was_reset = asyncio.Event()

    def reset(self) -> None:
        self._was_reset.set()
        reset_connection(self._client)
        reset_connection(self._server)

    def reset_client(self) -> None:
        reset_connection(self._client)

    async def run(self, client_reader: asyncio.StreamReader, server_reader: asyncio.StreamReader) -> None:
        """Pass on both directions until one of them has ended."""
        requests, replies = self._proxy.request_gate, self._proxy.reply_gate
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._pass_on(client_reader, self._server, requests, self._parse_request)),
            asyncio.create_task(self._pass_on(server_reader, self._client, replies, self._parse_reply)),
            asyncio.create_task(self._was_reset.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._client.close()
            self._server.close()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until_closed(self._client)
            await until_closed(self._server)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: Gate, parse: Callable[[bytes], Frame]
    ) -> None:
        on_their_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(_deliver(on_their_way, writer))
        loop = asyncio.get_running_loop()
        was_broken = False
        try:
            try:
                async for data in self._read(reader, gate, parse):
                    on_their_way.put_nowait((loop.time() + self._proxy.delay_seconds, data))
            except OSError:
                was_broken = True
            # The end of a connection passes like its data: not while the gate swallows, and in its turn.
            await gate.until_open()
            on_their_way.put_nowait((loop.time() + self._proxy.delay_seconds, b""))
            await delivery
            if was_broken:
                self.reset()
        finally:
            delivery.cancel()

    async def _read(
        self, reader: asyncio.StreamReader, gate: Gate, parse: Callable[[bytes], Frame]
    ) -> AsyncIterator[bytes]:
        """What is to be delivered, until the end of the connection."""
        while data := await self._read_piece(reader):
            frame = parse(data[4:]) if self._is_framed else None
            if gate.is_swallowing:
                continue
            rule = gate.take_rule(frame) if frame is not None else None
            if rule is not None and rule.action is Action.RESET:
                self.reset()
                return
            if rule is not None and rule.action is Action.HOLD:
                await rule.until_released()
            if rule is None or rule.action is not Action.SWALLOW:
                yield data

    async def _read_piece(self, reader: asyncio.StreamReader) -> bytes:
        """A frame with its length in front, or the bytes that are there; nothing at the end of the connection."""
        if not self._is_framed:
            data = await reader.read(CHUNK)
            return data if self._proxy.rewrite is None else self._proxy.rewrite(data)
        with suppress(asyncio.IncompleteReadError):
            head = await reader.readexactly(4)
            (length,) = struct.unpack("!i", head)
            if length > LARGEST_FRAME:
                # A four-letter word, or the answer to one: text, in both directions.
                self._is_framed = False
                return head
            return head + await reader.readexactly(length)
        return b""

    def _parse_request(self, payload: bytes) -> Frame:
        if not self._had_request:
            self._had_request = True
            frame = Frame(OpCode.CREATE_SESSION, 0, payload)
        else:
            xid, opcode = struct.unpack_from("!ii", payload)
            self._opcodes[xid] = opcode
            frame = Frame(opcode, xid, payload)
        self._proxy.requests[frame.opcode] += 1
        if frame.opcode == OpCode.EXISTS and payload[-1]:
            self._proxy.watching_exists[payload[12:-1].decode().rpartition("/")[2]] += 1
        return frame

    def _parse_reply(self, payload: bytes) -> Frame:
        if not self._had_reply:
            self._had_reply = True
            frame = Frame(OpCode.CREATE_SESSION, 0, payload)
        else:
            (xid,) = struct.unpack_from("!i", payload)
            if xid == WATCH_XID:
                self._proxy.events += 1
                return Frame(0, xid, payload)
            opcode = SPECIAL_XIDS[xid] if xid in SPECIAL_XIDS else self._opcodes.pop(xid)
            frame = Frame(opcode, xid, payload)
        self._proxy.replies[frame.opcode] += 1
        return frame


async def _deliver(on_their_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    """Write each piece when it is due, in order; an empty one is the end."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while True:
            due, data = await on_their_way.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if not data or writer.is_closing():  # on a connection that was reset, uvloop's write is a RuntimeError
                return
            writer.write(data)
            await writer.drain()


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, so that the other side gets an error and not the end of a stream."""
    if not writer.transport.is_closing():
        connection = writer.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
