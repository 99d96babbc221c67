"""The client against servers that refuse, forget, drip and hang up: it never dies for good, and says why it waits."""

from __future__ import annotations

import asyncio
import logging
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
from aiozk import WatchEvent, exc
from aiozk.states import States

from golea_async import AsyncElection, ElectionError, ZKClient, create_election, get_leader, observe_leader
from golea_async._zookeeper import events as _events
from golea_async._zookeeper import waiting as _waiting
from golea_async.client import AuthenticationError, OutcomeUnknownError
from golea_async.testing import MemoryZooKeeper
from tests.ensemble.client.helpers import (
    answer,
    connect_reply,
    framed,
    read_frame,
    refuse_credential,
    take_in,
    until,
    until_the_end,
)
from tests.support.listener import Listener
from tests.support.ports import choose_free_ports
from tests.support.proxy import Action, Proxy
from tests.support.wire import PING_XID, OpCode

AUTH = [("digest", "user:password")]


@pytest.fixture
async def zookeeper() -> AsyncIterator[MemoryZooKeeper]:
    with MemoryZooKeeper() as memory:
        yield memory


async def pings_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer pings, and hang up at anything else."""
    while (await read_frame(reader))[:4] == struct.pack("!i", PING_XID):
        writer.write(answer(PING_XID))


# --- who refuses


async def test_a_start_passes_over_one_server_that_refuses(zookeeper: MemoryZooKeeper) -> None:
    async with Listener(refuse_credential) as amiss:
        for _ in range(12):
            async with ZKClient(f"{amiss.address},{zookeeper.hosts}", session_timeout=2, auth=AUTH) as client:
                assert await client.exists("/zookeeper")
        assert amiss.connections


async def test_a_start_raises_when_all_servers_refuse() -> None:
    async with Listener(refuse_credential) as one, Listener(refuse_credential) as other:
        with pytest.raises(AuthenticationError) as caught:
            await ZKClient(f"{one.address},{other.address}", auth=AUTH).start()
        assert one.connections == other.connections == 1
        assert all(address in caught.value.__notes__[0] for address in (one.address, other.address))


async def test_a_start_waits_while_a_server_may_still_take_it_in(zookeeper: MemoryZooKeeper) -> None:
    (port,) = choose_free_ports(1)
    async with Listener(refuse_credential) as amiss:
        client = ZKClient(f"{amiss.address},127.0.0.1:{port}", session_timeout=2, auth=AUTH)
        start = asyncio.ensure_future(client.start())
        await until(lambda: amiss.connections >= 2)
        assert not start.done()
        async with Proxy(zookeeper.servers[0].port, port=port):
            await start
            await client.close()


# --- whose data are gone


@pytest.mark.parametrize("restored", [False, True], ids=["wiped", "restored with the session in it"])
async def test_the_data_are_older_than_what_the_client_has_seen(
    restored: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A server hangs up on a client that has seen more than it has, for ever; another session begins with nothing."""
    closed = []
    granted = iter((0x99, 0x100))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_frame(reader)
        zxid, session_id = struct.unpack_from("!q4xq", request, 4)
        if zxid:
            return
        if session_id and not restored:
            writer.write(connect_reply(0, 0))
            return
        writer.write(connect_reply(0.6, session_id or next(granted)))
        while request := await read_frame(reader):
            xid, opcode = struct.unpack_from("!ii", request)
            if opcode == OpCode.CLOSE_SESSION:
                closed.append(session_id)
            writer.write(answer(xid))
            if opcode == OpCode.SYNC:
                return

    async with Listener(serve) as older, ZKClient(older.address, session_timeout=0.6) as client:
        events = client.session_events()
        client.session.last_zxid = 0x500000007
        client.session.state.transition_to(States.SUSPENDED)
        await client.session.state.wait_for(States.LOST)
        await client.session.state.wait_for(States.CONNECTED)
        assert client.session.session_id == 0x100
        assert client.session.last_zxid == 0
        told = [await anext(events) for _ in range(3)]
        assert [(event.state, event.session_id) for event in told] == [
            ("suspended", 0x99),
            ("lost", 0x99),
            ("connected", 0x100),
        ]
        assert closed == ([0x99] if restored else [])
        assert any("data were wiped" in record.getMessage() for record in caplog.records)


async def test_an_ensemble_without_a_quorum_keeps_its_sessions() -> None:
    """It hangs up, too, and for longer than the session's time, which does not run without a leader."""
    serving = True
    refused = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        if not serving:
            await read_frame(reader)
            refused += 1
            return
        await take_in(reader, writer, 0.4)
        await until_the_end(reader)

    async with Listener(serve) as server, ZKClient(server.address, session_timeout=0.4) as client:
        events = client.session_events()
        serving = False
        client.session.state.transition_to(States.SUSPENDED)
        await until(lambda: client.session.waiting.lasts > 0.8)
        assert refused > 4
        serving = True
        assert [(await anext(events)).state for _ in range(2)] == ["suspended", "connected"]
        assert client.session.session_id == 0x99


async def test_an_ensemble_that_begins_to_serve_just_after_it_hung_up_keeps_its_sessions() -> None:
    """Being asked without what was seen, it answers; that alone says nothing of what was seen."""
    hangs_up, opcodes = False, list[int]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hangs_up
        (zxid,) = struct.unpack_from("!q", await read_frame(reader), 4)
        hangs_up = hangs_up and zxid != 0
        if hangs_up:
            return
        writer.write(connect_reply(0.4, 0x99))
        while request := await read_frame(reader):
            xid, opcode = struct.unpack_from("!ii", request)
            opcodes.append(opcode)
            writer.write(answer(xid))

    async with Listener(serve) as server, ZKClient(server.address, session_timeout=0.4) as client:
        events = client.session_events()
        client.session.last_zxid = 7
        hangs_up = True
        client.session.state.transition_to(States.SUSPENDED)
        assert [(await anext(events)).state for _ in range(2)] == ["suspended", "connected"]
        assert not hangs_up
        assert client.session.session_id == 0x99
        assert OpCode.CLOSE_SESSION not in opcodes


async def test_a_client_that_is_started_again_has_seen_nothing(zookeeper: MemoryZooKeeper) -> None:
    client = ZKClient(zookeeper.hosts, session_timeout=2)
    async with client:
        await client.create("/seen")
    client.session.last_zxid = 1 << 60
    async with client:
        assert await client.exists("/seen")


async def test_a_foreign_session_means_that_ours_is_lost() -> None:
    ids = iter(range(0x99, 0x200))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(connect_reply(6, next(ids)))
        await until_the_end(reader)

    async with Listener(serve) as server, ZKClient(server.address, session_timeout=6) as client:
        events = client.session_events()
        client.session.state.transition_to(States.SUSPENDED)
        told = [await anext(events) for _ in range(3)]
        assert [(event.state, event.session_id) for event in told] == [
            ("suspended", 0x99),
            ("lost", 0x99),
            ("connected", 0x9A),
        ]
        assert server.connections == 2


async def test_from_a_server_that_only_reads_to_one_that_writes(zookeeper: MemoryZooKeeper) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await read_frame(reader))[-1:] != b"\1":
            return  # as a server does that is cut off, to whom wants to write
        writer.write(connect_reply(6, 0x77, read_only=b"\1"))
        await until_the_end(reader)

    async with Proxy(zookeeper.servers[0].port) as proxy, Listener(serve) as cut_off:
        proxy.cut()
        hosts = f"{cut_off.address},{proxy.address}"
        async with ZKClient(hosts, session_timeout=6, allow_read_only=True) as client:
            events = client.session_events()
            assert client.session.state == States.READ_ONLY
            assert "answers reads only" in (client.session.waiting.describe() or "")
            proxy.heal()
            await create_election(client, "/e")
            async with AsyncElection(client, "/e") as election:
                await election.wait_for_leadership()
            told = [await anext(events) for _ in range(2)]
            assert [(event.state, event.read_only) for event in told] == [("lost", False), ("connected", False)]
            assert client.session.waiting.describe() is None


async def test_a_server_that_is_cut_off_and_makes_no_sessions() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(answer(0, -119))  # as ZooKeeper 3.8 does without localSessionsEnabled
        await until_the_end(reader)

    async with Listener(serve) as cut_off:
        client = ZKClient(cut_off.address, session_timeout=6, allow_read_only=True)
        start = asyncio.ensure_future(client.start())
        await until(lambda: "makes no sessions" in (client.session.waiting.describe() or ""))
        start.cancel()
        await asyncio.wait({start})


# --- who answers no ping


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write((1000).to_bytes(4, "big"))
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.01)


async def flood(writer: asyncio.StreamWriter) -> None:
    event = framed(struct.pack("!iqiiii", -1, 1, 0, WatchEvent.DATA_CHANGED, 3, 2) + b"/x")
    while True:
        writer.write(event * 100)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("send", [drip, flood])
async def test_bytes_and_events_are_no_life(send: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_in(reader, writer, 0.5)
        await send(writer)

    async with Listener(serve) as hostile, ZKClient(hostile.address, session_timeout=0.5) as client:
        await client.session.state.wait_for(States.SUSPENDED)
        assert client.session.conn is not None
        assert "no word" in str(client.session.conn.failure)


# --- a request that ends the connection each time


async def test_a_request_that_ends_the_connection_each_time(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_in(reader, writer)
        await pings_only(reader, writer)

    async with Listener(serve) as old, ZKClient(old.address, session_timeout=6) as client:
        with pytest.raises(OutcomeUnknownError, match=r"request 5 times in a row: Exists of /x.*server's log"):
            await client.exists("/x")
        with pytest.raises(ElectionError, match=r"5 times in a row: Create of /e"):
            await create_election(client, "/e")
        with pytest.raises(OutcomeUnknownError, match=r"request of 20\d{5} bytes.*jute.maxbuffer"):
            await client.create("/large", bytes(2_000_000))
        said = [record.getMessage() for record in caplog.records if "5 times in a row" in record.getMessage()]
        assert len(said) == 2
    with pytest.raises(OutcomeUnknownError, match="Create2 of /app"):
        async with Listener(serve) as old:
            await ZKClient(old.address, chroot="/app").start()


async def test_a_server_that_hangs_up_at_once_is_not_the_requests_fault(zookeeper: MemoryZooKeeper) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_in(reader, writer)
        await read_frame(reader)

    async with Listener(serve) as fickle, ZKClient(fickle.address, session_timeout=6) as client:
        request = asyncio.ensure_future(client.exists("/zookeeper"))
        await until(lambda: fickle.connections >= 8)
        assert not request.done()
        client.session.hosts[:] = ZKClient(zookeeper.hosts).session.hosts
        with pytest.raises(exc.SessionLost):  # the other ensemble does not know it
            await request


# --- waiting is never silent


async def test_waiting_names_every_host(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_waiting, "FIRST_WARNING", 0.3)
    monkeypatch.setattr(_waiting, "WARNING_INTERVAL", 0.1)
    (closed,) = choose_free_ports(1)

    async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)

    async def tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(b"\x15\x03\x03\0\2\2\x46")
        await until_the_end(reader)

    async def freeze(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await until_the_end(reader)

    async with Listener(hang_up) as behind, Listener(tls) as secret, Listener(freeze) as frozen:
        hosts = f"127.0.0.1:{closed},no-such-host.invalid:1,{behind.address},{secret.address},{frozen.address}"
        addresses = [server.address for server in (behind, secret, frozen)]
        client = ZKClient(hosts, session_timeout=6)
        start = asyncio.ensure_future(client.start())
        await until(lambda: sum("it goes on trying" in record.getMessage() for record in caplog.records) >= 12)
        start.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await start
    record = [record for record in caplog.records if "it goes on trying" in record.getMessage()][-1]
    assert (record.name, record.levelno) == ("golea_async.client", logging.WARNING)
    (note,) = caught.value.__notes__
    for said in (record.getMessage(), note):
        assert f"127.0.0.1:{closed}: connection refused" in said
        assert "no-such-host.invalid:1: the name" in said
        assert f"{addresses[0]}: it closed the connection instead of answering" in said
        assert f"{addresses[1]}: it speaks TLS: give ssl=" in said
        assert f"{addresses[2]}: no answer" in said
    assert client.session.waiting.describe() is None


async def test_time_limits_say_what_was_waited_for(zookeeper: MemoryZooKeeper) -> None:
    async with Proxy(zookeeper.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        await create_election(client, "/e")
        standing = AsyncElection(client, "/e")
        await standing.start()
        follower = AsyncElection(client, "/e")
        await follower.start()
        proxy.cut()
        await client.session.state.wait_for(States.SUSPENDED)
        waits: dict[str, Callable[[], Awaitable[object]]] = {
            "start": AsyncElection(client, "/e").start,
            "wait_for_leadership": follower.wait_for_leadership,
            "get_leader": lambda: get_leader(client, "/e"),
            "create_election": lambda: create_election(client, "/e"),
            "observe_leader": lambda: anext(aiter(observe_leader(client, "/e"))),
            "a request": lambda: client.exists("/e"),
        }
        for name, wait in waits.items():
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05):
                    await wait()
            assert caught.value.__cause__ is not None
            (note,) = caught.value.__cause__.__notes__
            assert proxy.address in note, name
        proxy.heal()
        await follower.resign()
        await standing.resign()


# --- one event loop


async def test_another_event_loop_is_refused_at_once(zookeeper: MemoryZooKeeper) -> None:
    async with ZKClient(zookeeper.hosts, session_timeout=2) as client:
        await create_election(client, "/e")
        election = AsyncElection(client, "/e")
        await election.start()
        calls: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "start": client.start,
            "request": lambda: client.exists("/"),
            "close": client.close,
            "get_leader": lambda: get_leader(client, "/e"),
            "create_election": lambda: create_election(client, "/e"),
            "start of an election": AsyncElection(client, "/e").start,
            "wait_for_leadership": election.wait_for_leadership,
            "resign": election.resign,
        }
        refused: dict[str, str] = {}

        def call() -> None:
            for name, each in calls.items():
                try:
                    asyncio.run(each())
                except RuntimeError as error:
                    refused[name] = str(error)

        thread = threading.Thread(target=call)
        thread.start()
        await until(lambda: not thread.is_alive())
        assert set(refused) == set(calls)
        assert all("started in another event loop" in text for text in refused.values())
        assert election.is_leader
        await election.resign()


def test_a_client_of_a_closed_event_loop() -> None:
    with MemoryZooKeeper() as zookeeper:
        client = ZKClient(zookeeper.hosts, session_timeout=2)

        async def lose() -> None:
            await client.start()
            assert client.session.conn is not None
            client.session.conn.fail("lost with its loop")  # else Python warns of an open socket

        asyncio.run(lose())
        with pytest.raises(RuntimeError, match="closed since"):
            asyncio.run(client.close())


def test_no_event_loop_of_asyncio() -> None:
    election = AsyncElection(ZKClient("127.0.0.1:1"), "/e")
    for call in (ZKClient("127.0.0.1:1").start, election.start, election.resign):
        coroutine = call()
        with pytest.raises(RuntimeError, match="needs asyncio's event loop"):
            coroutine.send(None)


# --- nothing grows


async def test_session_events_that_are_never_read_are_bounded() -> None:
    reader = ZKClient("127.0.0.1:1").session_events()
    publisher = reader._publisher
    for number in range(3 * _events.MOST_UNREAD):
        publisher.publish(_events.SessionEvent(_events.SessionState.SUSPENDED, number))
    publisher.publish(None)
    read = [event.session_id async for event in reader]
    assert read == list(range(2 * _events.MOST_UNREAD + 1, 3 * _events.MOST_UNREAD))


# --- watches


@pytest.mark.parametrize("reconnects", [False, True])
async def test_a_deletion_is_heard_of_behind_other_events(zookeeper: MemoryZooKeeper, reconnects: bool) -> None:
    async with ZKClient(zookeeper.hosts, session_timeout=2) as client, ZKClient(zookeeper.hosts) as other:
        await other.create("/watched")
        deleted = client.wait_for_events([WatchEvent.DELETED], "/watched")
        await client.exists("/watched", watch=True)
        for data in (b"1", b"2", b"3"):
            await other.set_data("/watched", data, force=True)
            if reconnects:
                zookeeper.drop_connections(client.session.session_id)
            await client.exists("/watched")
        assert not deleted.done()
        await other.delete("/watched", force=True)
        await deleted


async def test_a_deletion_between_two_watches_is_heard_of(zookeeper: MemoryZooKeeper) -> None:
    """The znode is made again at once: its czxid tells."""
    async with ZKClient(zookeeper.hosts, session_timeout=2) as client, ZKClient(zookeeper.hosts) as other:
        await other.create("/watched")
        deleted = client.wait_for_events([WatchEvent.DELETED], "/watched")
        await client.exists("/watched", watch=True)
        client.session.state.transition_to(States.SUSPENDED)
        await other.delete("/watched", force=True)
        await other.create("/watched")
        await deleted


async def test_creation_then_change(zookeeper: MemoryZooKeeper) -> None:
    async with ZKClient(zookeeper.hosts, session_timeout=2) as client, ZKClient(zookeeper.hosts) as other:
        changed = client.wait_for_events([WatchEvent.DATA_CHANGED], "/watched")
        assert not await client.exists("/watched", watch=True)
        await other.create("/watched")
        await client.exists("/watched")
        await other.set_data("/watched", b"1", force=True)
        await changed
        await until(lambda: client.session.watch_callbacks == {})  # in the next turn, where it had come already


# --- transactions


@pytest.mark.parametrize("chroot", [None, "/", "/app", "/app/x"])
async def test_paths_in_results_are_within_the_chroot(zookeeper: MemoryZooKeeper, chroot: str | None) -> None:
    async with ZKClient(zookeeper.hosts, chroot=chroot, session_timeout=2) as client:
        await create_election(client, "/e")
        async with AsyncElection(client, "/e") as election:
            leadership = await election.wait_for_leadership()
            async with leadership.transaction() as transaction:
                transaction.create("/app", b"1")
                transaction.create("/data-", b"2", sequential=True)
            first, second = (result.path for result in transaction.results)
            assert first == "/app"
            assert await client.get_data(first) == b"1"
            assert await client.get_data(second) == b"2"


async def test_a_transaction_that_is_too_large(zookeeper: MemoryZooKeeper) -> None:
    async with Proxy(zookeeper.servers[0].port) as proxy, ZKClient(proxy.address, session_timeout=6) as client:
        await create_election(client, "/e")
        async with AsyncElection(client, "/e") as election:
            leadership = await election.wait_for_leadership()
            proxy.on_request(lambda frame: len(frame.payload) > 1_000_000, Action.RESET)
            with pytest.raises(ElectionError, match=r"most likely not: its 1\d{6} bytes .*jute.maxbuffer"):
                async with leadership.transaction() as transaction:
                    transaction.create("/large", bytes(1_100_000))
