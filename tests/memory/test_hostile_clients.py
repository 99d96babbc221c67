"""Bytes that are no protocol, clients that never read, and what stays of clients that are gone."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from golea_async.testing import MemoryZooKeeper, _transport
from golea_async.testing._engine import Engine, Limits
from golea_async.testing._faults import Faults
from tests.support.elections import eventually
from tests.support.lockstep import ADD_WATCH, LockstepClient, Scale
from tests.support.ports import LOOPBACK
from tests.support.wire import ErrorCode, OpCode, WatchEvent, WireClient, pack_buffer, pack_text

PATIENCE = 20.0
HANDSHAKE = pack_buffer(struct.pack("!iqiq", 0, 0, 6000, 0) + pack_buffer(bytes(16)) + b"\0")
MAX_FRAME = 0xFFFFF


@pytest.fixture(scope="module")
def shared() -> Iterator[MemoryZooKeeper]:
    with MemoryZooKeeper() as zookeeper:
        yield zookeeper


def count(zookeeper: MemoryZooKeeper, what: str) -> int:
    lines = dict(line.split("\t") for line in zookeeper.four_letter("mntr").splitlines())
    return int(lines[f"zk_{what}"])


def send_and_hang_up(port: int, data: bytes) -> None:
    """Send this, and return when the server has read all of it, or has closed the connection."""
    with socket.create_connection((LOOPBACK, port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except ConnectionError:
            return  # closed with bytes unread


frames = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda xid, opcode, payload: pack_buffer(struct.pack("!ii", xid, opcode) + payload),
        st.integers(-(2**31), 2**31 - 1),
        st.one_of(st.integers(-12, 110), st.integers(-(2**31), 2**31 - 1)),
        st.one_of(
            st.binary(max_size=100),
            st.builds(lambda path, rest: pack_text(path) + rest, st.text(max_size=10), st.binary(max_size=60)),
            st.builds(lambda count: struct.pack("!qi", 0, count), st.integers(-(2**31), 2**31 - 1)),
        ),
    ),
)


@given(begin=st.sampled_from([b"", HANDSHAKE]), sent=st.lists(frames, max_size=6))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_else_is_disturbed(
    shared: MemoryZooKeeper, caplog: pytest.LogCaptureFixture, begin: bytes, sent: list[bytes]
) -> None:
    bystander = LockstepClient(shared.servers[0].port, Scale())
    bystander.connect(timeout=6000)
    caplog.set_level(logging.ERROR)
    send_and_hang_up(shared.servers[0].port, begin + b"".join(sent))
    assert bystander.request(OpCode.EXISTS, pack_text("/") + b"\0")[0][2] == 0
    bystander.request(OpCode.CLOSE_SESSION, b"", ends=True)
    assert not caplog.records, "a fault in the server"
    assert set(shared.znodes()) >= {"/", "/zookeeper"}


@pytest.mark.parametrize("length", [-1, -(2**31), MAX_FRAME + 1, 2**31 - 1])
@pytest.mark.parametrize("begin", [b"", HANDSHAKE])
def test_a_frame_of_impossible_length(shared: MemoryZooKeeper, begin: bytes, length: int) -> None:
    with socket.create_connection((LOOPBACK, shared.servers[0].port), timeout=PATIENCE) as connection:
        connection.sendall(begin + struct.pack("!i", length))
        received = bytearray()
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            return
        assert bool(received) == bool(begin)


async def test_the_largest_frame(shared: MemoryZooKeeper) -> None:
    async with await WireClient.connect(shared.servers[0].port) as client:
        await client.create("/large", bytes(MAX_FRAME - 100))
        assert len((await client.get("/large"))[0]) == MAX_FRAME - 100
        await client.delete("/large")


def test_a_frame_in_single_bytes(shared: MemoryZooKeeper) -> None:
    with socket.create_connection((LOOPBACK, shared.servers[0].port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in HANDSHAKE:
            connection.sendall(bytes([number]))
        assert len(connection.recv(4)) > 0


class Wire(asyncio.Transport):
    """A client's end of a connection to the engine, without a socket: what is written to it, and whether it is open."""

    def __init__(self) -> None:
        super().__init__({"peername": (LOOPBACK, 1)})
        self.written: list[bytes] = []
        self.is_open = True

    def write(self, data: Any) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return not self.is_open

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.is_open = False

    close = abort


@pytest.mark.parametrize(("last", "is_complete"), [(-1, True), (7, True), (-1, False)])
async def test_others_are_served_while_a_long_transaction_is_read(last: int, is_complete: bool) -> None:
    """Its own connection waits for it. It succeeds, fails at its last operation, or cannot be read to its end."""
    limits = Limits(tick=2000, min_session_timeout=4000, max_session_timeout=40_000)
    engine = Engine(1, limits, clock=time.monotonic, wall_clock=time.time, generator=random.Random(1))
    wires, faults = [Wire(), Wire()], Faults()
    protocols = [_transport.ClientProtocol(engine, 0, faults, set()) for _ in wires]
    for protocol, wire in zip(protocols, wires, strict=True):
        protocol.connection_made(wire)
        protocol.data_received(HANDSHAKE)
    exists = pack_buffer(struct.pack("!ii", 2, OpCode.EXISTS) + pack_text("/") + b"\0")
    checks = [struct.pack("!i?i", OpCode.CHECK, False, -1) + pack_text("/") + struct.pack("!i", -1)] * 20_000
    end = struct.pack("!i?i", -1, True, -1) if is_complete else b""
    transaction = struct.pack("!ii", 1, OpCode.MULTI) + b"".join(checks)[:-4] + struct.pack("!i", last) + end
    protocols[0].data_received(pack_buffer(transaction) + exists)
    turns = 0
    while len(wires[0].written) == 1:
        protocols[1].data_received(exists)
        assert len(wires[1].written) == 2 + turns
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 20
    codes = [struct.unpack_from("!4xiqi", written)[::2] for written in wires[0].written[1:]]
    assert codes == [(1, 0 if is_complete else ErrorCode.MARSHALLING_ERROR), (2, 0)]
    for protocol in protocols:
        protocol.connection_lost(None)


def test_who_never_shakes_hands_is_cut_off(shared: MemoryZooKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transport, "HANDSHAKE_LIMIT", 0.05)
    with socket.create_connection((LOOPBACK, shared.servers[0].port), timeout=PATIENCE) as connection:
        assert connection.recv(1) == b""


def test_who_never_reads_replies_is_not_read_either(shared: MemoryZooKeeper) -> None:
    """A hundred requests for a megabyte: those that nobody fetches are not answered, in memory or anywhere."""
    writer = LockstepClient(shared.servers[0].port, Scale())
    writer.connect(timeout=40_000)
    size = 10**6
    payload = pack_text("/megabyte") + pack_buffer(bytes(size)) + struct.pack("!i", 1)
    payload += struct.pack("!i", 31) + pack_text("world") + pack_text("anyone") + struct.pack("!i", 0)
    writer.request(OpCode.CREATE, payload)
    request = pack_buffer(struct.pack("!ii", 1, OpCode.GET_DATA) + pack_text("/megabyte") + b"\0")
    with socket.create_connection((LOOPBACK, shared.servers[0].port), timeout=PATIENCE) as connection:
        connection.sendall(HANDSHAKE + request * 100)
        writer.request(OpCode.SYNC, pack_text("/"))
        unread = max(protocol._transport.get_write_buffer_size() for protocol in shared._host._protocols)
        assert unread < 4 * size
        received = 0
        while received < 100 * size:
            received += len(connection.recv(2**20))
    writer.request(OpCode.DELETE, pack_text("/megabyte") + struct.pack("!i", -1))
    writer.request(OpCode.CLOSE_SESSION, b"", ends=True)


def test_who_never_reads_events_is_cut_off(shared: MemoryZooKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transport, "MAX_UNREAD", 2**16)
    writer, deaf = (LockstepClient(shared.servers[0].port, Scale()) for _ in range(2))
    writer.connect(timeout=40_000)
    deaf.connect(timeout=40_000)
    path = "/" + "long" * 10_000
    deaf.request(ADD_WATCH, pack_text(path) + struct.pack("!i", 0))
    create = pack_text(path) + pack_buffer(b"") + struct.pack("!i", 1)
    create += struct.pack("!i", 31) + pack_text("world") + pack_text("anyone") + struct.pack("!i", 0)
    while count(shared, "watch_count"):
        writer.request(OpCode.CREATE, create)
        writer.request(OpCode.DELETE, pack_text(path) + struct.pack("!i", -1))
    assert shared._host.engine.sessions.find(deaf.session_id) is not None
    writer.request(OpCode.CLOSE_SESSION, b"", ends=True)
    deaf.drop()


async def test_nothing_stays_of_who_is_gone() -> None:
    threads = threading.active_count()
    seen: list[WatchEvent] = []
    with MemoryZooKeeper() as zookeeper:
        port = zookeeper.servers[0].port
        empty = zookeeper.znodes()
        for way in ("close", "drop", "expire") * 5:
            client = await WireClient.connect(port, session_timeout=1)
            await client.create("/mine", ephemeral=True)
            for path in ("/mine", "/missing"):
                await client.exists(path, seen.append)
            await client.get_children("/", seen.append)
            if way == "close":
                await client.close()
            elif way == "drop":
                await client.drop()
                await eventually(lambda: not zookeeper.sessions())
            else:
                zookeeper.expire_session(client.session_id)
                await client.drop()
        await eventually(lambda: count(zookeeper, "num_alive_connections") == 0)
        for what in ("watch_count", "ephemerals_count", "global_sessions"):
            assert count(zookeeper, what) == 0
        assert zookeeper.znodes() == empty
        engine = zookeeper._host.engine
        assert engine.sessions.next_expiry() is None
        assert list(engine.replicas[0].watches.items()) == []
        assert threading.active_count() == threads + 1
    assert threading.active_count() == threads
