"""A name server that is away, servers that are slow to connect to, connections that break, a machine that slept."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from aiozk.states import States

from golea_async import AsyncElection, LeadershipLostError, Role, ZKClient, create_election
from golea_async._shared.client_context import ClientContext
from golea_async._zookeeper import clock
from golea_async._zookeeper.host_list import Address, Host
from golea_async._zookeeper.hosts import Hosts
from golea_async.testing import MemoryZooKeeper
from tests.ensemble.client.helpers import take_in, until_the_end
from tests.support.elections import eventually, soon
from tests.support.listener import Listener
from tests.support.proxy import Proxy

RESOURCE = "/election"


class NameServer:
    """Knows one name; when it is away whoever asks waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._look_up = socket.getaddrinfo
        self.is_there = threading.Event()
        self.is_there.set()
        self.address = "127.0.0.1"
        self.asked: list[threading.Thread] = []
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)

    def _getaddrinfo(self, host: str, *args: Any, **options: Any) -> Any:
        if host != "zk.test":
            return self._look_up(host, *args, **options)
        self.asked.append(threading.current_thread())
        self.is_there.wait()
        return self._look_up(self.address, *args, **options)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer(monkeypatch)
    yield server
    server.is_there.set()
    for thread in server.asked:
        thread.join()


async def test_the_known_address_is_tried_while_the_name_server_is_away_and_the_executor_is_full(
    zookeeper: MemoryZooKeeper, names: NameServer
) -> None:
    async with ZKClient(f"zk.test:{zookeeper.servers[0].port}", session_timeout=4) as zk:
        session_id = zk.session.session_id
        names.is_there.clear()
        goes_on = threading.Event()
        jobs = [asyncio.create_task(asyncio.to_thread(goes_on.wait)) for _ in range(64)]
        for _ in range(3):
            former = zk.session.conn
            zookeeper.drop_connections()
            await eventually(partial(is_connected_anew, zk, former))
            await soon(zk.exists("/"))
        assert zk.session.session_id == session_id
        goes_on.set()
        await soon(asyncio.gather(*jobs))


async def test_a_name_is_looked_up_once_at_a_time_by_a_thread_that_nobody_waits_for(
    zookeeper: MemoryZooKeeper, names: NameServer
) -> None:
    clients = [ZKClient(f"zk.test:{zookeeper.servers[0].port}", session_timeout=4) for _ in range(5)]
    names.is_there.clear()
    starts = [asyncio.create_task(client.start()) for client in clients]
    await eventually(lambda: len(names.asked) > 0)
    await asyncio.sleep(0)
    (thread,) = names.asked
    assert thread.daemon
    names.is_there.set()
    await soon(asyncio.gather(*starts))
    for client in clients:
        await soon(client.close())


async def test_an_address_that_was_looked_up_meanwhile_is_tried_in_the_same_round(names: NameServer) -> None:
    host = Host("zk.test", 2181)
    known = Hosts([host])
    assert [each async for each in known.in_random_order(None, 1)] == [Address(host, "127.0.0.1")]
    names.is_there.clear()
    names.address = "127.0.0.2"
    tried = []
    async for each in known.in_random_order(None, 1):
        tried.append(each)
        names.is_there.set()
        await eventually(lambda: not names.asked[-1].is_alive())
    assert tried == [Address(host, "127.0.0.1"), Address(host, "127.0.0.2")]


async def test_a_name_that_was_never_found_is_an_error_when_its_time_is_over(names: NameServer) -> None:
    names.is_there.clear()
    ((host, error),) = [each async for each in Hosts([Host("zk.test", 2181)]).in_random_order(None, 0.01)]
    assert (host, str(error)) == (Host("zk.test", 2181), "the name was not resolved in time")


def is_connected_anew(zk: ZKClient, former: object) -> bool:
    return zk.session.conn is not former and zk.session.state == States.CONNECTED


async def test_a_slow_connect_succeeds_and_leaves_one_session(zookeeper: MemoryZooKeeper) -> None:
    with zookeeper.delay(0.75):
        zk = ZKClient(zookeeper.hosts, session_timeout=2)
        async with asyncio.timeout(30):
            await zk.start()
    await eventually(lambda: [each.session_id for each in zookeeper.sessions()] == [zk.session.session_id])
    former = zk.session.conn
    with zookeeper.delay(0.75):  # now it is known to take that long
        zookeeper.drop_connections()
        await eventually(partial(is_connected_anew, zk, former))
    assert [each.session_id for each in zookeeper.sessions()] == [zk.session.session_id]
    await soon(zk.close())


async def test_connects_that_become_slow_cost_no_session(zookeeper: MemoryZooKeeper) -> None:
    """All servers are silent for too long: how slow they are is to be found out while the session lives."""
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(Proxy(server.port)) for server in zookeeper.servers]
        hosts = ",".join(way.address for way in ways)
        async with ZKClient(hosts, session_timeout=3) as zk:
            session_id, former, connections = (
                zk.session.session_id,
                zk.session.conn,
                sum(way.connections for way in ways),
            )
            for way in ways:
                way.delay(0.8 / 2)
                way.reset()
            await eventually(partial(is_connected_anew, zk, former))
            assert zk.session.session_id == session_id
            assert sum(way.connections for way in ways) <= connections + 4


async def test_a_write_proves_what_it_does_by_the_one_that_was_answered_when_it_was_sent(
    zookeeper: MemoryZooKeeper,
) -> None:
    """Also where the next answer is read in the same instant."""
    async with ZKClient(zookeeper.hosts, session_timeout=4) as zk:
        context = ClientContext.attach(zk)
        try:
            channel = await context.connected()
            connected_at, sent = channel.newest_write_at, []
            first, second = channel.ask(channel.check("/")), channel.ask(channel.check("/"))
            first.when_answered(1, lambda: sent.append(channel.ask(channel.check("/"))))
            await soon(second.replies(1))
            await soon(sent[0].replies(1))
            last = channel.ask(channel.check("/"))
            assert connected_at is not None
            assert first.previous_at == second.previous_at == connected_at
            assert [sent[0].previous_at, last.previous_at] == [first.sent_at, sent[0].sent_at]
            await soon(last.replies(1))
        finally:
            context.detach()


async def test_where_answers_are_slow_one_try_to_connect_again_is_enough(zookeeper: MemoryZooKeeper) -> None:
    """The requests on the connection that has ended have told how slow they are."""
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(Proxy(server.port)) for server in zookeeper.servers]
        async with ZKClient(",".join(way.address for way in ways), session_timeout=2) as zk:
            for way in ways:
                way.delay(0.35 / 2)
            for _ in range(3):
                await soon(zk.exists("/"))
            former, connections = zk.session.conn, sum(way.connections for way in ways)
            for way in ways:
                way.reset()
            await eventually(partial(is_connected_anew, zk, former))
            assert sum(way.connections for way in ways) == connections + 1


def sent_by(zk: ZKClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the client's connection sends from now on: `touch` for a ping, `post` for requests that go together."""
    connection, sent = zk.session.conn, list[str]()
    assert connection is not None

    def note(name: str) -> None:
        send = getattr(connection, name)

        def note_and_send(*arguments: Any) -> None:
            sent.append(name)
            send(*arguments)

        monkeypatch.setattr(connection, name, note_and_send)

    note("touch")
    note("post")
    return sent


async def test_while_a_nomination_is_unanswered_the_session_is_touched_again_and_again(
    zookeeper: MemoryZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where answers are slow, the first lease can be renewed in time only by what was sent meanwhile."""
    async with ZKClient(zookeeper.hosts, session_timeout=10) as zk:
        await create_election(zk, RESOURCE)
        election, sent = AsyncElection(zk, RESOURCE), sent_by(zk, monkeypatch)
        with zookeeper.cut(zk.session.session_id, requests=False):
            starting = asyncio.create_task(election.start())
            await eventually(lambda: sent.count("touch") >= 5)
            assert sent.count("post") == 1, "only the nomination"
        assert (await soon(starting)).role is Role.LEADER
        await election.resign()


async def test_a_nomination_that_is_answered_at_once_brings_few_touches(
    zookeeper: MemoryZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ZKClient(zookeeper.hosts, session_timeout=3) as zk, ZKClient(zookeeper.hosts, session_timeout=3) as two:
        await create_election(zk, RESOURCE)
        async with AsyncElection(two, RESOURCE), AsyncElection(zk, RESOURCE):
            sent = sent_by(zk, monkeypatch)
            await eventually(lambda: sent.count("post") >= 2)  # watches that are set late, and a keep-alive
            assert sent.count("touch") <= 4


async def test_a_server_that_begins_to_listen_and_does_not_answer_its_first_connection() -> None:
    """ZooKeeper does that. After many refusals it is not waited for any longer than at first."""
    connections, was_silent = itertools.count(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(connections)
        if number < 8:
            return
        if number == 8:
            was_silent.set()
        else:
            await take_in(reader, writer)
        await until_the_end(reader)

    async with Listener(serve) as server:
        client = ZKClient(server.address, session_timeout=40)
        start = asyncio.create_task(client.start())
        await soon(was_silent.wait())
        async with asyncio.timeout(5):
            await start
        await client.close()


async def test_connections_that_break_before_the_timeout_cost_no_lead(zookeeper: MemoryZooKeeper) -> None:
    async with ZKClient(zookeeper.hosts, session_timeout=1) as zk:
        await create_election(zk, RESOURCE)
        async with AsyncElection(zk, RESOURCE) as election:
            leadership = await soon(election.wait_for_leadership())
            for _ in range(4):
                await asyncio.sleep(0.9)
                zookeeper.drop_connections()
            await soon(zk.exists("/"))
            assert leadership.is_valid


async def test_a_body_hears_soon_that_the_lease_has_lapsed_while_the_machine_slept(
    zookeeper: MemoryZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop's timers have stood still: the next keep-alive is seconds away, and ZooKeeper out of reach."""

    class Slept:
        CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

        @staticmethod
        def clock_gettime(which: int) -> float:
            return time.clock_gettime(which) + 60

    async with ZKClient(zookeeper.hosts, session_timeout=40) as zk:
        await create_election(zk, RESOURCE)
        async with AsyncElection(zk, RESOURCE) as election:
            entered = asyncio.Event()

            async def lead() -> None:
                async with election.leadership():
                    entered.set()
                    await asyncio.Event().wait()

            body = asyncio.create_task(lead())
            await soon(entered.wait())
            with zookeeper.cut(zk.session.session_id):
                monkeypatch.setattr(clock, "time", Slept)
                async with asyncio.timeout(2):
                    with pytest.raises(LeadershipLostError):
                        await body
                monkeypatch.undo()
