"""What is slow, wrong or missing in aiozk's client when servers fail, next to ours. Each test is a row of the design.

A new release of aiozk that mends one of these makes its test fail: then that row can go.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

import aiozk
import pytest
from aiozk import WatchEvent, exc
from aiozk.states import States

from golea_async.client import OutcomeUnknownError, ZKClient
from tests.ensemble.client.helpers import (
    aiozk_client,
    connect_reply,
    connected_anew,
    read_frame,
    server_of,
    until,
    until_the_end,
)
from tests.support.ensemble import Ensemble
from tests.support.listener import Listener
from tests.support.proxy import Action, Proxy
from tests.support.wire import OpCode, WireClient

OwnEnsemble = Callable[..., Ensemble]

CREATES = (OpCode.CREATE, OpCode.CREATE2)


@pytest.mark.both_loops
async def test_the_connected_server_is_killed(own_ensemble: OwnEnsemble) -> None:
    ensemble = await asyncio.to_thread(own_ensemble, 3)
    async with ZKClient(ensemble.hosts, session_timeout=4) as ours, aiozk_client(ensemble.hosts, 4) as theirs:
        for client in (ours, theirs):
            victim = server_of(ensemble, client)
            await asyncio.to_thread(victim.kill)
            before = client.session.session_id
            if client is ours:
                assert await ours.exists("/zookeeper")
                assert ours.session.conn is not None
                assert ours.session.conn.port != victim.port
                assert ours.session.session_id == before
            else:
                # Nothing has told it: its state says connected, to a server that is dead.
                request = asyncio.ensure_future(theirs.exists("/zookeeper"))
                assert await ours.exists("/zookeeper")
                assert theirs.session.state == States.CONNECTED
                assert not request.done()
                request.cancel()
            await asyncio.to_thread(victim.restart)


async def test_requests_in_flight_end_with_the_connection(own_ensemble: OwnEnsemble) -> None:
    ensemble = await asyncio.to_thread(own_ensemble, 3)
    async with ZKClient(ensemble.hosts, session_timeout=20) as client:
        victim = server_of(ensemble, client)
        victim.freeze()
        creates = [asyncio.ensure_future(client.create(f"/in-flight-{number}")) for number in range(10)]
        reads = [asyncio.ensure_future(client.exists("/zookeeper")) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.to_thread(victim.kill)
        outcomes = await asyncio.gather(*creates, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {OutcomeUnknownError}
        assert await asyncio.gather(*reads) == [True] * 10


async def test_a_server_accepts_and_never_answers(own_ensemble: OwnEnsemble) -> None:
    ensemble = await asyncio.to_thread(own_ensemble, 3)
    frozen = ensemble.followers()[0]
    frozen.freeze()
    for _ in range(6):
        async with ZKClient(ensemble.hosts, session_timeout=6) as client:
            assert server_of(ensemble, client) is not frozen

    hanging = aiozk.ZKClient(frozen.address, session_timeout=2)
    start = asyncio.ensure_future(hanging.start())
    bounded = ZKClient(f"{frozen.address}", session_timeout=2)
    other = asyncio.ensure_future(bounded.start())
    await until(lambda: hanging.session.repair_loop_task is not None)
    await asyncio.sleep(3)  # More than its session timeout and its read_timeout: no event tells that nothing happens.
    assert hanging.session.conn is None  # It still waits for the first answer of its first try.
    for task in (start, hanging.session.repair_loop_task):
        task.cancel()
    await asyncio.gather(start, hanging.session.repair_loop_task, return_exceptions=True)
    frozen.thaw()
    await other
    await bounded.close()


async def test_the_ensemble_is_away_and_comes_back(own_ensemble: OwnEnsemble) -> None:
    ensemble = await asyncio.to_thread(own_ensemble, 3)
    async with ZKClient(ensemble.hosts, session_timeout=20) as client:
        session_id = client.session.session_id
        for server in ensemble.servers:
            server.freeze()  # all at once: those that are left elect nobody meanwhile
        for server in ensemble.servers:
            await asyncio.to_thread(server.kill)
        await asyncio.sleep(2.5)
        for server in ensemble.servers:
            server.start(wait=False)
        assert await client.exists("/zookeeper")
        assert client.session.session_id == session_id


async def test_who_is_back_sooner(server: Ensemble) -> None:
    """After a first failure aiozk sleeps for 4 s, whatever happens meanwhile."""
    async with (
        Proxy(server.servers[0].port) as proxy,
        ZKClient(proxy.address, session_timeout=10) as ours,
        aiozk_client(proxy.address, 10) as theirs,
    ):
        proxy.cut()
        theirs.session.state.transition_to(States.SUSPENDED)  # Else it would only notice after 10 s.
        await ours.session.state.wait_for(States.SUSPENDED)
        accepted = proxy.connections
        await until(lambda: proxy.connections > accepted + 3)  # Both have tried, and failed.
        proxy.heal()
        assert await ours.exists("/zookeeper")
        assert theirs.session.state == States.SUSPENDED


@pytest.mark.parametrize("arming", ["exists", "get_data", "get_children"])
async def test_a_wait_for_deleted_survives_a_reconnect(
    server: Ensemble, wire_to_server: WireClient, arming: str
) -> None:
    path = await wire_to_server.create("/watched-", sequential=True)
    async with (
        Proxy(server.servers[0].port) as proxy,
        ZKClient(proxy.address, session_timeout=2) as ours,
        aiozk_client(proxy.address, 2) as theirs,
    ):
        waits = []
        for client in (ours, theirs):
            waits.append(client.wait_for_events([WatchEvent.DELETED], path))
            await getattr(client, arming)(path, watch=True)
        connections = [client.session.conn for client in (ours, theirs)]
        proxy.reset()
        for client, connection in zip((ours, theirs), connections, strict=True):
            await connected_anew(client, connection)
            assert await client.exists("/zookeeper")
        await wire_to_server.delete(path)
        await waits[0]
        assert not await theirs.exists(path)  # An event would have come before this answer.
        assert not waits[1].done()


async def test_a_reconnect_tells_the_last_zxid(server: Ensemble) -> None:
    seen = []

    def is_connect(frame: object) -> bool:
        return getattr(frame, "opcode", None) == OpCode.CREATE_SESSION

    async with Proxy(server.servers[0].port) as proxy:
        rules = [proxy.on_request(is_connect, Action.FORWARD)]
        async with ZKClient(proxy.address, session_timeout=4) as ours:
            await ours.exists("/zookeeper")
            zxid = ours.session.last_zxid
            assert zxid > 0
            rules.append(proxy.on_request(is_connect, Action.FORWARD))
            proxy.reset()
            await rules[1]
            await ours.exists("/zookeeper")
            assert ours.session.last_zxid >= zxid
        seen = [int.from_bytes((await rule).payload[4:12], "big") for rule in rules]
    assert seen[0] == 0
    assert seen[1] == zxid

    async with Proxy(server.servers[0].port) as proxy, aiozk_client(proxy.address, 2) as theirs:
        await theirs.exists("/zookeeper")
        theirs.session.last_zxid = None  # What its connect reply leaves behind; a second reconnect sends it.
        rule = proxy.on_request(is_connect, Action.FORWARD)
        theirs.session.state.transition_to(States.SUSPENDED)
        assert int.from_bytes((await rule).payload[4:12], "big") == 0


async def test_a_server_that_refuses_does_not_end_the_session(server: Ensemble) -> None:
    """A server that lags hangs up in the handshake."""

    async def refuse(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_frame(reader)

    async with Listener(refuse) as lagging, Proxy(server.servers[0].port) as proxy:
        client = ZKClient(f"{lagging.address},{proxy.address}", session_timeout=6)
        async with client:
            events = client.session_events()
            session_id = client.session.session_id
            proxy.cut()
            await client.session.state.wait_for(States.SUSPENDED)
            await until(lambda: lagging.connections >= 3)
            proxy.heal()
            assert await client.exists("/zookeeper")
            assert client.session.session_id == session_id
        assert [event.state async for event in events] == ["suspended", "connected", "lost"]


async def test_aiozk_takes_a_refusal_for_a_lost_session(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy, aiozk_client(proxy.address, 6) as theirs:
        proxy.lose_next_reply([OpCode.CREATE_SESSION])
        theirs.session.state.transition_to(States.SUSPENDED)
        async with asyncio.timeout(30):
            await theirs.session.state.wait_for(States.LOST)


async def test_a_create_whose_reply_is_lost(server: Ensemble, wire_to_server: WireClient) -> None:
    parent = await wire_to_server.create("/lost-reply-", sequential=True)
    async with Proxy(server.servers[0].port) as proxy:
        async with ZKClient(proxy.address, session_timeout=6) as ours:
            lost = proxy.lose_next_reply(CREATES)
            with pytest.raises(OutcomeUnknownError, match="outcome unknown"):
                await ours.create(f"{parent}/ours-", sequential=True)
            await lost
            assert await ours.exists(parent)
        assert len(await wire_to_server.get_children(parent)) == 1

        async with aiozk_client(proxy.address, 2) as theirs:
            lost = proxy.lose_next_reply(CREATES)
            outcome = asyncio.ensure_future(theirs.create(f"{parent}/theirs-", sequential=True))
            await lost
            await asyncio.wait({outcome}, timeout=30)
            children = [name for name in await wire_to_server.get_children(parent) if name.startswith("theirs")]
            # Sent twice, or sent once and an error that does not tell.
            assert len(children) == 2 or isinstance(outcome.exception(), exc.TimeoutError | exc.ConnectError)
            assert not isinstance(outcome.exception() if len(children) < 2 else None, OutcomeUnknownError)


async def test_silence_is_noticed_before_the_session_expires(server: Ensemble) -> None:
    """Half-open: what the server sends vanishes, and nobody closes the connection."""
    async with (
        Proxy(server.servers[0].port) as proxy,
        ZKClient(f"{proxy.address},{server.hosts}", session_timeout=3) as ours,
        aiozk_client(proxy.address, 3) as theirs,
    ):
        while ours.session.conn is None or ours.session.conn.port != proxy.port:
            old = ours.session.conn
            ours.session.state.transition_to(States.SUSPENDED)
            await connected_anew(ours, old)
        events = ours.session_events()
        session_id = ours.session.session_id
        proxy.swallow_replies()
        assert await ours.exists("/zookeeper")  # It was sent, not answered, and sent again elsewhere.
        assert ours.session.session_id == session_id
        assert (await anext(events)).state == "suspended"
        assert (await anext(events)).state == "connected"
        assert theirs.session.state == States.CONNECTED
        proxy.heal()


async def test_what_nobody_waits_for_leaves_nothing(ensemble: Ensemble, wire: WireClient) -> None:
    path = await wire.create("/unwatched-", sequential=True)
    async with ZKClient(ensemble.hosts, session_timeout=6) as ours, aiozk_client(ensemble.hosts, 6) as theirs:
        for client in (ours, theirs):
            await client.session.send(aiozk.protocol.SyncRequest(path=path))
            client.wait_for_events([WatchEvent.CREATED, WatchEvent.DELETED], path).cancel()
            await client.exists(path, watch=True)
        await wire.set_data(path, b"changed")
        for client in (ours, theirs):
            await client.session.send(aiozk.protocol.SyncRequest(path=path))
            await client.exists("/")
        assert ours.session.watch_callbacks == {}
        assert len(theirs.session.watch_callbacks) == 3


async def test_ensure_path_asks_for_containers_and_gets_persistent_znodes(
    own_ensemble: OwnEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZooKeeper 3.8 makes real containers by another operation, and removes them when they are empty again."""

    class CreateContainerRequest(aiozk.protocol.CreateRequest):  # type: ignore[misc]
        opcode = OpCode.CREATE_CONTAINER

    monkeypatch.setitem(aiozk.protocol.response_xref, OpCode.CREATE_CONTAINER, aiozk.protocol.Create2Response)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dznode.container.checkIntervalMs=500")  # Instead of a minute.
    ensemble = await asyncio.to_thread(own_ensemble, 1)
    async with ZKClient(ensemble.hosts, session_timeout=6) as ours:
        real = CreateContainerRequest(path="/real", acl=ours.default_acl)
        real.set_flags(container=True)
        await ours.send(real)
        await ours.ensure_path("/aiozk")
        for path in ("/aiozk", "/real"):
            await ours.create(f"{path}/child")
            await ours.delete(f"{path}/child")
        removed = ours.wait_for_events([WatchEvent.DELETED], "/real")
        if await ours.exists("/real", watch=True):
            await removed
        assert await ours.exists("/aiozk")


async def test_one_connection_per_connect(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy:
        async with ZKClient(proxy.address) as ours:
            assert proxy.connections == 1
            assert ours.features.create_with_stat
            assert ours.features.containers
            assert ours.features.reconfigure
            proxy.reset()
            await ours.session.state.wait_for(States.SUSPENDED)
            await ours.exists("/")
            assert proxy.connections == 2
        async with aiozk_client(proxy.address, 6):
            assert proxy.connections == 4


async def test_an_ordinary_failover_is_no_error_in_the_log(
    own_ensemble: OwnEnsemble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ensemble = await asyncio.to_thread(own_ensemble, 3)
    async with ZKClient(ensemble.hosts, session_timeout=6) as client:
        caplog.clear()
        await asyncio.to_thread(server_of(ensemble, client).kill)
        await client.exists("/")
    records = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert [record.name for record in records] == ["golea_async.client"] * len(records)
    assert {record.levelno for record in records} <= {logging.INFO, logging.WARNING}
    assert not any(record.exc_info for record in records)
    lost = [record.getMessage() for record in records if "lost" in record.getMessage()]
    assert len(lost) == 1


async def test_a_session_is_lost_when_the_server_says_so() -> None:
    session_ids = itertools.count(0x77)

    async def forget(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_frame(reader)
        asked_for = int.from_bytes(request[16:24], "big")
        writer.write(connect_reply(0, 0) if asked_for else connect_reply(6, next(session_ids)))
        await until_the_end(reader)

    async with Listener(forget) as forgetful, ZKClient(forgetful.address, session_timeout=6) as client:
        events = client.session_events()
        request = asyncio.ensure_future(client.exists("/in-flight"))
        await asyncio.sleep(0)
        client.session.state.transition_to(States.SUSPENDED)
        told = [await anext(events) for _ in range(3)]
        assert [event.state for event in told] == ["suspended", "lost", "connected"]
        assert [event.session_id for event in told] == [0x77, 0x77, 0x78]
        with pytest.raises(exc.SessionLost):
            await request
