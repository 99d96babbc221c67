"""The faults of `MemoryZooKeeper`, as a client sees them."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from golea_async.testing import MemoryZooKeeper, MemoryZooKeeperError, OpCode, _host
from tests.support.elections import soon
from tests.support.ports import LOOPBACK
from tests.support.wire import (
    ErrorCode,
    EventType,
    WatchEvent,
    WireClient,
    WireConnectionError,
    WireError,
    create_operation,
)

MUCH_LATER = 60.0
CONTAINER = 4  # in a multi the flag makes a container


async def other(zookeeper: MemoryZooKeeper, server: int = 0, session_timeout: float = 6.0) -> WireClient:
    return await WireClient.connect(zookeeper.servers[server].port, session_timeout=session_timeout)


async def is_waiting(task: asyncio.Task[object]) -> bool:
    """Whether it has no answer although the server has had time for many others."""
    await asyncio.sleep(0.1)
    return not task.done()


async def test_an_expired_session_takes_its_znodes_along(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    owner = await other(zookeeper, 1)
    await owner.create("/mine", ephemeral=True)
    events: asyncio.Queue[WatchEvent] = asyncio.Queue()
    await wire.get("/mine", events.put_nowait)
    zookeeper.expire_session(owner.session_id)
    assert await soon(events.get()) == WatchEvent(EventType.DELETED, "/mine")
    await soon(owner.disconnected.wait())
    with pytest.raises(WireError) as error:
        await WireClient.connect(zookeeper.servers[1].port, session_id=owner.session_id, password=owner.password)
    assert error.value.code is ErrorCode.SESSION_EXPIRED
    with pytest.raises(MemoryZooKeeperError, match=f"0x{owner.session_id:x}"):
        zookeeper.expire_session(owner.session_id)


async def test_a_session_without_a_client_expires_by_itself(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    owner = await other(zookeeper, session_timeout=0.3)
    await owner.create("/mine", ephemeral=True)
    events: asyncio.Queue[WatchEvent] = asyncio.Queue()
    await wire.get("/mine", events.put_nowait)
    await owner.drop()
    assert await soon(events.get()) == WatchEvent(EventType.DELETED, "/mine")
    assert [each.session_id for each in zookeeper.sessions()] == [wire.session_id]


async def test_dropped_connections_leave_sessions(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    await wire.create("/mine", ephemeral=True)
    bystander = await other(zookeeper)
    zookeeper.drop_connections(wire.session_id)
    await soon(wire.disconnected.wait())
    async with await WireClient.connect(
        zookeeper.servers[1].port, session_id=wire.session_id, password=wire.password
    ) as back:
        assert back.session_id == wire.session_id
        assert await back.exists("/mine") is not None
        await bystander.sync()
        zookeeper.drop_connections()
        await soon(bystander.disconnected.wait())
        await soon(back.disconnected.wait())


@pytest.mark.parametrize(("requests", "replies"), [(True, True), (True, False), (False, True)])
async def test_a_cut_holds_what_it_should(
    zookeeper: MemoryZooKeeper, wire: WireClient, requests: bool, replies: bool
) -> None:
    cut_off = await other(zookeeper)
    with zookeeper.cut(cut_off.session_id, requests=requests, replies=replies):
        create = asyncio.create_task(cut_off.create("/a"))
        assert await is_waiting(create)
        assert (await wire.exists("/a") is None) == requests
    assert await soon(create) == "/a"
    assert await wire.exists("/a") is not None
    await cut_off.close()


async def test_a_session_that_is_cut_off_expires(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    cut_off = await other(zookeeper, session_timeout=0.5)
    await cut_off.create("/mine", ephemeral=True)
    events: asyncio.Queue[WatchEvent] = asyncio.Queue()
    await wire.get("/mine", events.put_nowait)
    with zookeeper.cut(cut_off.session_id):
        assert (await soon(events.get())).type is EventType.DELETED
        again = asyncio.create_task(
            WireClient.connect(zookeeper.servers[2].port, session_id=cut_off.session_id, password=cut_off.password)
        )
        assert await is_waiting(again)
    with pytest.raises(WireError, match="SESSION_EXPIRED"):
        await soon(again)
    await soon(cut_off.disconnected.wait())


async def test_delays_add_up_and_keep_the_order(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    await wire.create("/a")
    order: list[str] = []

    async def read(name: str) -> None:
        await wire.get("/a")
        order.append(name)

    began = time.monotonic()
    with zookeeper.delay(0.1, wire.session_id), zookeeper.delay(0.1):
        late = asyncio.create_task(read("late"))
        await asyncio.sleep(0.01)
    await soon(asyncio.gather(late, read("after it")))
    assert order == ["late", "after it"]
    assert time.monotonic() - began >= 0.2


async def test_a_lost_reply_was_carried_out(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    unlucky = await other(zookeeper)
    zookeeper.lose_reply(OpCode.CREATE, session_id=unlucky.session_id)
    await wire.create("/not-that")
    assert await unlucky.exists("/nothing") is None
    with pytest.raises(WireConnectionError):
        await soon(unlucky.create("/a", ephemeral=True))
    stat = await wire.exists("/a")
    assert stat is not None
    assert stat.ephemeral_owner == unlucky.session_id
    async with await WireClient.connect(
        zookeeper.servers[0].port, session_id=unlucky.session_id, password=unlucky.password
    ) as back:
        assert await back.create("/b") == "/b"  # only once


async def test_an_outage_leaves_sessions_and_znodes(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    brief = await other(zookeeper, 1, session_timeout=0.3)
    await brief.create("/mine", b"data", ephemeral=True)
    ports = [server.port for server in zookeeper.servers]
    with zookeeper.outage():
        await soon(wire.disconnected.wait())
        await soon(brief.disconnected.wait())
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(LOOPBACK, port)
        await asyncio.sleep(0.6)  # longer than the session's timeout, in which nobody counts
    assert [server.port for server in zookeeper.servers] == ports
    async with await WireClient.connect(ports[2], session_id=brief.session_id, password=brief.password) as back:
        assert (await back.get("/mine"))[0] == b"data"


async def test_a_frozen_server_answers_nothing(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    zookeeper.servers[0].freeze()
    create = asyncio.create_task(wire.create("/a"))
    newcomer = asyncio.create_task(other(zookeeper))
    with socket.create_connection((LOOPBACK, zookeeper.servers[0].port), timeout=0.1) as probe:
        probe.sendall(b"ruok")
        with pytest.raises(TimeoutError):
            probe.recv(1)
        async with await other(zookeeper, 1) as elsewhere:
            assert await elsewhere.exists("/a") is None
        assert not create.done()
        assert not newcomer.done()
        zookeeper.servers[0].thaw()
        probe.settimeout(MUCH_LATER)
        assert await asyncio.to_thread(probe.recv, 4) == b"imok"
    assert await soon(create) == "/a"
    await (await soon(newcomer)).close()


async def test_sessions_of_a_frozen_server_expire(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    frozen = await other(zookeeper, 1, session_timeout=0.3)
    await frozen.create("/mine", ephemeral=True)
    events: asyncio.Queue[WatchEvent] = asyncio.Queue()
    await wire.get("/mine", events.put_nowait)
    zookeeper.servers[1].freeze()
    assert (await soon(events.get())).type is EventType.DELETED
    zookeeper.servers[1].thaw()
    await soon(frozen.disconnected.wait())


async def test_when_all_are_frozen_sessions_expire_at_the_thaw(zookeeper: MemoryZooKeeper) -> None:
    frozen = await other(zookeeper, session_timeout=0.3)
    for server in zookeeper.servers:
        server.freeze()
    await asyncio.sleep(0.6)
    assert [each.session_id for each in zookeeper.sessions()] == [frozen.session_id]
    zookeeper.servers[2].thaw()
    assert zookeeper.sessions() == []
    await frozen.drop()


async def test_a_stopped_server_leaves_the_others(zookeeper: MemoryZooKeeper) -> None:
    mover, stayer = await other(zookeeper, 0), await other(zookeeper, 1)
    zookeeper.servers[0].stop()
    await soon(mover.disconnected.wait())
    async with await WireClient.connect(
        zookeeper.servers[2].port, session_id=mover.session_id, password=mover.password
    ) as moved:
        await moved.create("/a")
        assert await stayer.exists("/a") is not None
        assert {each.session_id: each.server for each in zookeeper.sessions()} == {
            stayer.session_id: 1,
            moved.session_id: 2,
        }
    zookeeper.servers[0].start()
    zookeeper.servers[0].start()
    await (await other(zookeeper)).close()
    await stayer.close()


async def test_a_session_that_has_moved(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    """The server that it has left answers reads; a write through it ends that connection, and is not done."""
    async with await WireClient.connect(
        zookeeper.servers[1].port, session_id=wire.session_id, password=wire.password
    ) as moved:
        assert await wire.exists("/a") is None
        with pytest.raises(WireConnectionError):
            await soon(wire.create("/a"))
        assert await moved.exists("/a") is None
        assert await moved.create("/b") == "/b"


async def test_a_client_that_has_seen_more_is_refused(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    await wire.create("/a")
    reader, writer = await asyncio.open_connection(LOOPBACK, zookeeper.servers[1].port)
    request = (0).to_bytes(4) + (1000).to_bytes(8) + (6000).to_bytes(4) + bytes(8) + (16).to_bytes(4) + bytes(17)
    writer.write(len(request).to_bytes(4) + request)
    assert await soon(reader.read()) == b""
    writer.close()
    await writer.wait_closed()


async def test_restart_keeps_everything(zookeeper: MemoryZooKeeper, wire: WireClient) -> None:
    await wire.create("/a", b"data")
    before = zookeeper.znodes()
    zookeeper.restart()
    await soon(wire.disconnected.wait())
    assert zookeeper.znodes() == before
    async with await other(zookeeper) as later:
        stat = await later.exists("/a")
        assert stat is not None
        assert stat.czxid < (await later.set_data("/a", b"")).mzxid


async def test_used_up_containers_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host, "CONTAINER_INTERVAL", 0.05)
    with MemoryZooKeeper() as zookeeper:
        async with await other(zookeeper) as client:
            for path in ("/unused", "/used", "/used/child", "/empty", "/empty/child"):
                await client.multi([create_operation(path, flags=CONTAINER)])
            events: asyncio.Queue[WatchEvent] = asyncio.Queue()
            await client.exists("/empty", events.put_nowait)
            await client.delete("/empty/child")
            assert await soon(events.get()) == WatchEvent(EventType.DELETED, "/empty")
        assert {"/unused", "/used", "/used/child"} < set(zookeeper.znodes())


def test_used_outside_of_its_life() -> None:
    zookeeper = MemoryZooKeeper()
    with pytest.raises(MemoryZooKeeperError, match="does not run"):
        zookeeper.sessions()
    with zookeeper, pytest.raises(MemoryZooKeeperError, match="make another"):
        zookeeper.start()
    zookeeper.close()
    with pytest.raises(MemoryZooKeeperError, match="does not run"):
        zookeeper.restart()


@pytest.mark.parametrize("settings", [{"servers": 0}, {"tick": 0}, {"tick": 0.0001}])
def test_settings_that_make_no_sense(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        MemoryZooKeeper(**settings)
