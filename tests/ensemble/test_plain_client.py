"""What aiozk's own client does in its own way: an election on it comes back, and hears of everything, all the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import TypeVar

import aiozk
import pytest
from aiozk.states import States

from golea_async import AsyncElection, ElectionOverError, Role, end_election
from tests.support.elections import Connect, connected, eventually, rest_of, soon, status_of, sync
from tests.support.ensemble import SharedEnsemble
from tests.support.leftovers import background_to_end, is_handshake, is_watched, reconnect, watch_callbacks
from tests.support.ports import LOOPBACK
from tests.support.proxy import Action, Frame, Proxy
from tests.support.wire import OpCode, WireClient

Result = TypeVar("Result")
CHUNK = 65536


@pytest.fixture
async def zk(proxy: Proxy) -> AsyncIterator[aiozk.ZKClient]:
    async with connected(proxy.address, session_timeout=4) as zk:
        yield zk


@pytest.fixture
async def leader(wire: WireClient, resource: str) -> str:
    return await wire.create(f"{resource}/le_", b"leader", ephemeral=True, sequential=True)


def is_event(frame: Frame) -> bool:
    return frame.opcode == 0


async def test_an_event_on_a_connection_that_was_given_up(
    zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, leader: str
) -> None:
    async with AsyncElection(zk, resource, "follower") as election:
        handshake = proxy.on_request(is_handshake, Action.HOLD)
        late = proxy.on_reply(is_event, Action.FORWARD)
        zk.session.state.transition_to(States.SUSPENDED)
        await soon(asyncio.shield(handshake.happened))
        await wire.delete(leader)
        await soon(asyncio.shield(late.happened))
        proxy.lose_next_request({OpCode.SET_WATCHES})
        handshake.release()
        await status_of(election.statuses(), Role.LEADER)
    assert watch_callbacks(zk) == {}


async def test_the_watches_of_the_application(
    zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, leader: str
) -> None:
    """aiozk sets them again on the next connection; that one ends before it has answered."""
    heard = asyncio.Event()

    def hear(_path: str) -> None:
        heard.set()

    await zk.get(leader, watch=True)
    zk.session.add_watch_callback(aiozk.WatchEvent.DATA_CHANGED, leader, hear)
    async with AsyncElection(zk, resource, "follower") as election:
        lost = proxy.lose_next_request({OpCode.SET_WATCHES})
        await reconnect(zk, proxy)
        await soon(asyncio.shield(lost.happened))
        await wire.set_data(leader, b"changed")
        await soon(heard.wait())
        await wire.delete(leader)
        await status_of(election.statuses(), Role.LEADER)
    zk.session.remove_watch_callback(aiozk.WatchEvent.DATA_CHANGED, leader, hear)
    assert watch_callbacks(zk) == {}


async def test_a_server_that_accepts_and_never_answers(
    zk: aiozk.ZKClient, proxy: Proxy, wire: WireClient, resource: str, leader: str
) -> None:
    silent = socket.create_server((LOOPBACK, 0))
    silent.setblocking(False)
    with silent:
        async with AsyncElection(zk, resource, "follower") as election:
            others, zk.session.hosts = zk.session.hosts, [silent.getsockname()]
            proxy.reset()
            connection, _ = await soon(asyncio.get_running_loop().sock_accept(silent))
            with connection:
                zk.session.hosts = others
                await wire.delete(leader)
                await status_of(election.statuses(), Role.LEADER)


async def test_an_event_that_nobody_waits_for(zk: aiozk.ZKClient, wire: WireClient, resource: str) -> None:
    """ZooKeeper keeps the watch of a request whose sender has lost interest; aiozk would keep an empty entry."""
    async with AsyncElection(zk, resource, "leader"):
        await zk.get(resource, watch=True)
        await wire.set_data(resource, b"changed")
        await sync(zk)
        assert all(watch_callbacks(zk).values())
    await soon(background_to_end())
    assert watch_callbacks(zk) == {}


async def test_an_event_in_one_piece_with_the_replies_before_it(
    zk: aiozk.ZKClient,
    ensemble: SharedEnsemble,
    connect: Connect,
    resource: str,
    leader: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`DONE` came and went when this candidate stood: that is heard behind the reply which says that it stands."""
    assert leader
    monkeypatch.setattr(asyncio, "wait_for", wait_for_since_python_3_12)
    other, transport = await connect(ensemble.hosts), zk.session.conn.writer.transport
    election = AsyncElection(zk, resource, "late")
    statuses = election.statuses()
    transport.pause_reading()
    starting = asyncio.create_task(election.start())
    await eventually(lambda: is_watched(ensemble.servers[0], f"{resource}/DONE", zk))
    await soon(end_election(other, resource, force_after=0))
    await eventually(lambda: b"/DONE" in unread(transport))
    transport.resume_reading()
    await soon(asyncio.gather(starting, return_exceptions=True))
    *_, last = await rest_of(statuses)
    assert isinstance(last.error, ElectionOverError)
    await soon(election.resign())


def unread(transport: asyncio.Transport) -> bytes:
    """What has come and waits in the socket."""
    descriptor = transport.get_extra_info("socket").fileno()
    with suppress(BlockingIOError), socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as stream:
        return stream.recv(CHUNK, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return b""


async def wait_for_since_python_3_12(awaitable: Awaitable[Result], timeout: float | None) -> Result:
    """It goes on at once where it need not wait: so aiozk reads all that has come before the event loop goes on."""
    async with asyncio.timeout(timeout):
        return await awaitable
