"""Which servers are tried, for how long, and what they may do meanwhile."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiozk.states import States

from golea_async import AsyncElection, create_election
from golea_async._zookeeper.framing import MAX_FRAME_LENGTH
from golea_async._zookeeper.host_list import Address, Host, parse_hosts
from golea_async._zookeeper.hosts import Hosts
from golea_async.client import NotSentError, ZKClient
from tests.ensemble.client.helpers import (
    HANGING,
    connect_reply,
    framed,
    read_frame,
    server_of,
    until,
    until_the_end,
)
from tests.support.ensemble import Ensemble, EnsembleError, Server
from tests.support.listener import Listener
from tests.support.ports import choose_free_ports
from tests.support.proxy import Proxy
from tests.support.wire import OpCode

OwnEnsemble = Callable[..., Ensemble]
NO_SUCH_NAME = "no-such-host.invalid"


@pytest.mark.parametrize(
    ("servers", "hosts"),
    [
        ("zk", [Host("zk", 2181)]),
        ("zk1:1, zk2:2", [Host("zk1", 1), Host("zk2", 2)]),
        ("[::1]:3", [Host("::1", 3)]),
        ("[::1]", [Host("::1", 2181)]),
        ("fe80::1", [Host("fe80::1", 2181)]),
    ],
)
def test_the_ways_to_name_servers(servers: str, hosts: list[Host]) -> None:
    assert parse_hosts(servers) == hosts


@pytest.mark.parametrize("servers", ["", ",", "zk:port", "zk:0", "zk:65536", "zk:1:2", "[::1"])
def test_servers_that_cannot_be_read(servers: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        ZKClient(servers)


async def test_names_that_cannot_be_resolved_are_passed_over(server: Ensemble) -> None:
    async with ZKClient(f"{NO_SUCH_NAME}:2181,{'x' * 70}.invalid:2181,{server.hosts}", session_timeout=4) as client:
        client.session.state.transition_to(States.SUSPENDED)
        assert await client.exists("/zookeeper")


async def test_a_name_that_no_thread_can_look_up_at_first(server: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    start, is_full = threading.Thread.start, True

    def refuse(thread: threading.Thread) -> None:
        nonlocal is_full
        if is_full:
            is_full = False
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    async with ZKClient(f"localhost:{server.servers[0].port}") as client:
        assert not is_full
        assert await client.exists("/")


async def test_a_name_that_is_not_resolved_at_first(server: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    resolve = socket.getaddrinfo

    def later(host: str, port: int, **options: Any) -> Any:
        asked.append(host)
        if len(asked) < 3:
            raise socket.gaierror("not yet")
        return resolve("127.0.0.1", port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", later)
    async with ZKClient(f"zk.test:{server.servers[0].port}") as client:
        assert await client.exists("/zookeeper")
    assert asked == ["zk.test"] * 3


async def test_a_name_with_several_addresses(server: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are tried: only one of them has a server. 127.0.0.2 and ::1 refuse."""
    resolve = socket.getaddrinfo

    def several(host: str, port: int, **options: Any) -> Any:
        assert host == "zk.test"
        return [each for name in ("127.0.0.2", "::1", "127.0.0.1") for each in resolve(name, port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    for _ in range(8):
        async with ZKClient(f"zk.test:{server.servers[0].port}") as client:
            assert await client.exists("/zookeeper")


async def test_the_addresses_come_in_random_order_and_the_last_one_last() -> None:
    hosts = [Host("127.0.0.1", port) for port in range(1, 5)]
    last = Address(hosts[0], "127.0.0.1")
    orders = [
        [address.host.port async for address in Hosts(hosts).in_random_order(last, 1) if isinstance(address, Address)]
        for _ in range(200)
    ]
    assert {order[-1] for order in orders} == {1}
    assert len({tuple(order) for order in orders}) == 6


async def test_ipv6(server: Ensemble) -> None:
    connections: list[asyncio.Task[None]] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.servers[0].port)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
        for each in (writer, inner_writer):
            await each.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.create_task(forward(reader, writer)))

    (port,) = choose_free_ports(1)
    listener = await asyncio.start_server(accept, "::1", port)
    try:
        async with ZKClient(f"[::1]:{port}", session_timeout=4) as client:
            assert await client.exists("/zookeeper")
    finally:
        listener.close()
    await asyncio.gather(*connections)


async def test_one_host_never_answers(server: Ensemble) -> None:
    """It takes no TCP connection either: its queue is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host = f"127.0.0.1:{full.getsockname()[1]}"
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        for _ in range(6):
            async with ZKClient(f"{host},{server.hosts}", session_timeout=6) as client:
                assert await client.exists("/zookeeper")
        for filler in fillers:
            filler.close()


async def test_a_reconnect_while_a_server_is_frozen(own_ensemble: OwnEnsemble) -> None:
    ensemble = await asyncio.to_thread(own_ensemble, 3)
    frozen = ensemble.followers()[0]
    async with ZKClient(ensemble.hosts, session_timeout=6) as client:
        while server_of(ensemble, client) is frozen:
            client.session.state.transition_to(States.SUSPENDED)
            await client.session.state.wait_for(States.CONNECTED)
        session_id = client.session.session_id
        frozen.freeze()
        for _ in range(6):
            client.session.state.transition_to(States.SUSPENDED)
            assert await client.exists("/zookeeper")
            assert server_of(ensemble, client) is not frozen
        assert client.session.session_id == session_id
        frozen.thaw()


GARBAGE = {
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "oversized": (MAX_FRAME_LENGTH + 1).to_bytes(4, "big"),
    "negative": b"\xff\xff\xff\xff",
    "empty": framed(b""),
    "short": framed(b"\0" * 7),
    "no session": connect_reply(6, 0),
    "no timeout": connect_reply(0, 5),
    "no new session": connect_reply(0, 0),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_in_the_handshake(server: Ensemble, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(answer)
        await until_the_end(reader)

    async with Listener(serve) as bad, Proxy(server.servers[0].port) as proxy:
        async with ZKClient(f"{bad.address},{proxy.address}", session_timeout=6) as client:
            session_id = client.session.session_id
            events = client.session_events()
            if answer is not GARBAGE["no new session"]:  # To a known session that is no garbage but its end.
                proxy.cut()
                seen = bad.connections
                await until(lambda: bad.connections > seen)
                proxy.heal()
                assert await client.exists("/zookeeper")
                assert client.session.session_id == session_id
                assert [(await anext(events)).state for _ in range(2)] == ["suspended", "connected"]
        assert bad.open_connections == 0


LATE_GARBAGE = {
    "oversized": b"\x7f\xff\xff\xff",
    "negative": b"\x80\0\0\0",
    "short": framed(b"\0" * 15),
    "unknown request": framed(b"\0\0\0\x63" + b"\0" * 12),
    "unasked ping": framed(b"\xff\xff\xff\xfe" + b"\0" * 12),
    "broken event": framed(b"\xff\xff\xff\xff" + b"\0" * 12 + b"\0\0\0\1\0\0\0\3\0\0\0\x09x"),
    "broken reply": framed(b"\0\0\0\1" + b"\0" * 12 + b"\0"),
}


@pytest.mark.parametrize("garbage", LATE_GARBAGE.values(), ids=LATE_GARBAGE.keys())
async def test_garbage_later(garbage: bytes) -> None:
    """Whatever it is: the connection ends, what was in flight and only reads waits for the next, the session stays."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_frame(reader)
        writer.write(connect_reply(6, int.from_bytes(request[16:24], "big") or 0x99))
        await read_frame(reader)
        writer.write(garbage)
        await until_the_end(reader)

    async with Listener(serve) as bad, ZKClient(bad.address, session_timeout=6) as client:
        request = asyncio.ensure_future(client.exists("/"))
        await until(lambda: bad.connections >= 2)
        assert client.session.session_id == 0x99
        assert not request.done()
        request.cancel()


async def test_a_server_drops_off_in_the_handshake(server: Ensemble) -> None:
    opcode = OpCode.CREATE_SESSION
    async with Proxy(server.servers[0].port) as proxy:
        proxy.lose_next_request([opcode])
        proxy.lose_next_reply([opcode])
        async with ZKClient(proxy.address, session_timeout=6) as client:
            session_id = client.session.session_id
            proxy.lose_next_reply([opcode])
            proxy.reset()
            await client.session.state.wait_for(States.SUSPENDED)
            assert await client.exists("/zookeeper")
            assert client.session.session_id == session_id


async def test_a_server_that_takes_us_in_and_hangs_up_is_no_busy_loop() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_frame(reader)
        writer.write(connect_reply(6, int.from_bytes(request[16:24], "big") or 0x99))
        await writer.drain()

    async with Listener(serve) as fickle, ZKClient(fickle.address, session_timeout=6):
        await asyncio.sleep(1)
        assert 2 < fickle.connections < 45  # Pauses of at least 25 ms, growing.


async def test_nobody_there_is_no_busy_loop() -> None:
    async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    async with Listener(hang_up) as absent:
        client = ZKClient(absent.address, session_timeout=6)
        start = asyncio.ensure_future(client.start())
        await asyncio.sleep(1)
        assert 2 < absent.connections < 45
        await client.close()
        with pytest.raises(NotSentError):
            await start


async def test_a_server_without_the_last_byte_in_its_reply() -> None:
    """Before 3.4 there was no read-only mode."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(connect_reply(6, 0x99, read_only=b""))
        await until_the_end(reader)

    async with Listener(serve) as old, ZKClient(old.address, session_timeout=6, allow_read_only=True) as client:
        assert client.session.state == States.CONNECTED


async def test_a_read_only_server(own_ensemble: OwnEnsemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is cut off answers reads to whom it suits; its session is its own, and lost with the connection."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dreadonlymode.enabled=true")
    ensemble = await asyncio.to_thread(lambda: own_ensemble(3, extra={"localSessionsEnabled": "true"}))
    alone, *others = ensemble.servers
    for other in others:
        await asyncio.to_thread(other.kill)
    async with ZKClient(alone.address, session_timeout=6, allow_read_only=True) as client:
        events = client.session_events()
        assert client.session.state == States.READ_ONLY
        assert await client.exists("/zookeeper")
        create = asyncio.ensure_future(client.create("/written"))
        for other in others:
            other.start(wait=False)
        assert await create == "/written"
        told = [await anext(events), await anext(events)]
        assert [(event.state, event.read_only) for event in told] == [("lost", False), ("connected", False)]
        assert told[0].session_id != told[1].session_id


async def test_from_a_read_only_server_to_the_ensemble_without_it(
    own_ensemble: OwnEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three is cut off for good and answers reads; a candidate does not stay with it."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dreadonlymode.enabled=true")
    local = {"localSessionsEnabled": "true", "localSessionsUpgradingEnabled": "true"}
    ensemble = await asyncio.to_thread(lambda: own_ensemble(3, extra=local))
    alone, *others = ensemble.servers
    await asyncio.to_thread(cut_off, alone, others)
    async with ZKClient(alone.address, session_timeout=6, allow_read_only=True) as client:
        assert client.session.state == States.READ_ONLY
        client.session.hosts = parse_hosts(ensemble.hosts)
        async with asyncio.timeout(HANGING):
            await create_election(client, "/e")
            async with AsyncElection(client, "/e") as election:
                await election.wait_for_leadership()
        assert server_of(ensemble, client) is not alone


def cut_off(server: Server, others: Sequence[Server]) -> None:
    """Have a server look for the others where they are not."""
    server.kill()
    settings = server.directory / "zoo.cfg"
    text = settings.read_text()
    for other, port in zip(others, choose_free_ports(len(others)), strict=True):
        text = text.replace(f":{other.election_port}", f":{port}")
    settings.write_text(text)
    server.start(wait=False)
    while "read-only" not in mode_of(server):
        time.sleep(0.02)


def mode_of(server: Server) -> str:
    try:
        return server.four_letter("srvr", timeout=0.2)
    except EnsembleError:
        return ""
