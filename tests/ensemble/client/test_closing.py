"""close() works in every state and leaves nothing; so does a start() that is cancelled. And the session's events."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from aiozk import protocol
from aiozk.states import States

from golea_async.client import NotSentError, SessionEvent, ZKClient
from tests.ensemble.client.helpers import until, until_the_end
from tests.support.elections import soon, until_gone
from tests.support.ensemble import Ensemble
from tests.support.listener import Listener
from tests.support.proxy import Proxy
from tests.support.wire import OpCode, WireClient

pytestmark = pytest.mark.both_loops


def sockets() -> set[str]:
    """The sockets that this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue  # It was the one that lists them.
        if target.startswith("socket:"):
            found.add(target)
    return found


class Leftovers:
    """What was not there when this was made: tasks and sockets."""

    def __init__(self) -> None:
        self._tasks, self._sockets = asyncio.all_tasks(), sockets()

    def __bool__(self) -> bool:
        return bool(asyncio.all_tasks() - self._tasks or sockets() - self._sockets)


async def never_answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await until_the_end(reader)


async def test_before_start_twice_and_concurrently(server: Ensemble) -> None:
    leftovers = Leftovers()
    client = ZKClient(server.hosts)
    await client.close()
    await client.start()
    await asyncio.gather(client.close(), client.close(), client.close())
    await client.close()
    assert not leftovers


async def test_the_session_is_closed_on_the_server(ensemble: Ensemble) -> None:
    async with ZKClient(ensemble.hosts) as other:
        async with ZKClient(ensemble.hosts) as client:
            path = await client.create("/ephemeral-", ephemeral=True, sequential=True)
        await other.send(protocol.SyncRequest(path=path))
        assert not await other.exists(path)


@pytest.mark.parametrize("by", ["cancellation", "close"])
@pytest.mark.parametrize("server_is", ["silent", "absent"])
async def test_while_connecting(by: str, server_is: str) -> None:
    leftovers = Leftovers()
    async with Listener(never_answer) as fake:
        client = ZKClient(fake.address if server_is == "silent" else "127.0.0.1:1")
        start = asyncio.ensure_future(client.start())
        if server_is == "silent":
            await until(lambda: fake.open_connections == 1)
        else:
            await asyncio.sleep(0.05)  # It is in one of its pauses.
        if by == "close":
            await client.close()
            with pytest.raises(NotSentError):
                await start
        else:
            start.cancel()
            await asyncio.wait({start})
            assert start.cancelled()
        assert not client.session.started
        assert client.session.repair_loop_task is not None
        assert client.session.repair_loop_task.done()
        await until(lambda: fake.open_connections == 0)
    await until(lambda: not leftovers)


async def test_cancelled_at_every_step_of_start(server: Ensemble) -> None:
    leftovers = Leftovers()
    for steps in range(40):
        client = ZKClient(server.hosts, chroot="/cancelled-start")
        start = asyncio.ensure_future(client.start())
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        if start.done():
            await client.close()
            continue
        start.cancel()
        await asyncio.wait({start})
        await until(lambda: not leftovers)
        assert not client.session.started


async def test_one_of_two_starts_is_cancelled(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy:
        proxy.cut()
        client = ZKClient(proxy.address)
        starts = [asyncio.ensure_future(client.start()) for _ in range(2)]
        await asyncio.sleep(0)
        starts[0].cancel()
        await asyncio.wait({starts[0]})
        proxy.heal()
        await starts[1]
        assert await client.exists("/zookeeper")
        await client.start()
        await client.close()


async def test_while_suspended(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy:
        client = ZKClient(proxy.address)
        await client.start()
        proxy.cut()
        await client.session.state.wait_for(States.SUSPENDED)
        await client.close()
        assert client.session.state == States.LOST
        await until(lambda: proxy.open_connections == 0)


async def test_a_server_that_does_not_answer_the_close(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy:
        client = ZKClient(proxy.address, session_timeout=30)
        await client.start()
        proxy.swallow_replies()
        async with asyncio.timeout(20):  # Far below the session timeout.
            await client.close()
        assert proxy.requests[OpCode.CLOSE_SESSION] == 1
        assert client.session.conn is not None
        assert client.session.conn.closed.done()


async def test_a_cancelled_close_closes_all_the_same(server: Ensemble) -> None:
    async with Proxy(server.servers[0].port) as proxy:
        client = ZKClient(proxy.address, session_timeout=30)
        await client.start()
        proxy.swallow_replies()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.close()
        assert not client.session.started
        assert client.session.conn is not None
        assert client.session.conn.closed.done()


async def test_started_again_after_close(server: Ensemble) -> None:
    client = ZKClient(server.hosts)
    sessions = set()
    for _ in range(3):
        async with client:
            assert await client.exists("/zookeeper")
            sessions.add(client.session.session_id)
        assert client.session.session_id == 0
    assert len(sessions) == 3


async def test_no_session_event_is_missed(server: Ensemble) -> None:
    client = ZKClient(server.hosts, session_timeout=6)
    events = client.session_events()
    await client.start()
    session_id = client.session.session_id
    for _ in range(5):
        client.session.state.transition_to(States.SUSPENDED)
        await client.session.state.wait_for(States.CONNECTED)
    idle = client.session_events()
    read = asyncio.ensure_future(anext(idle))
    await asyncio.sleep(0)
    read.cancel()  # A read that is cancelled loses nothing.
    await asyncio.wait({read})
    await client.close()
    assert [event.state async for event in idle] == ["lost"]
    states = ["connected"] + ["suspended", "connected"] * 5 + ["lost"]
    assert [event async for event in events] == [SessionEvent(state, session_id) for state in states]  # type: ignore[arg-type]
    assert [event async for event in events] == []


async def test_readers_that_were_dropped_leave_nothing(server: Ensemble) -> None:
    async with ZKClient(server.hosts) as client:
        kept = client.session_events()
        for _ in range(100):
            client.session_events()
        reader = asyncio.ensure_future(anext(client.session_events()))
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait({reader})
        del reader
        gc.collect()
        assert list(client.session.events._readers) == [kept]
        assert not client.session.events._waiters


async def test_a_task_that_only_waits_for_events_stays_alive(server: Ensemble) -> None:
    seen: list[str] = []

    async def follow(client: ZKClient) -> None:
        seen.extend([event.state async for event in client.session_events()])

    async with ZKClient(server.hosts) as client:
        asyncio.ensure_future(follow(client))  # noqa: RUF006 - that nobody holds it is the point
        await asyncio.sleep(0)
        gc.collect()
    await until(lambda: seen == ["lost"])


async def test_a_client_whose_task_was_cancelled_lets_its_session_end(
    server: Ensemble, wire_to_server: WireClient
) -> None:
    """As at the end of `asyncio.run`, which then waits for threads: nobody would connect the session again."""
    client = ZKClient(server.hosts, session_timeout=2)
    await client.start()
    path = await client.create("/left-alone-", ephemeral=True, sequential=True)
    assert client.session.repair_loop_task is not None
    client.session.repair_loop_task.cancel()
    await client.exists("/")  # what is sent is answered as long as the connection is there
    await soon(until_gone(wire_to_server, path))
    with pytest.raises(NotSentError, match=r"^not sent: the client has given up: its own task was cancelled$"):
        await client.exists("/")
    await client.close()
