"""The tests' own tools, on the real thing: what the other tests stand on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import aiozk
import pytest

from golea_async.testing import ensemble as ensemble_module
from tests.support.ensemble import Ensemble, EnsembleError, Server
from tests.support.golea import FOLLOWER, LEADER, GoLeaCandidate, GoLeaError, GoLeaStatus, delete_election
from tests.support.listener import Listener
from tests.support.ports import LOOPBACK, choose_free_ports
from tests.support.proxy import Action, Proxy
from tests.support.wire import (
    PERMISSION_ALL,
    Acl,
    ErrorCode,
    EventType,
    OpCode,
    WatchEvent,
    WireClient,
    WireConnectionError,
    WireError,
    check_operation,
    create_operation,
    delete_operation,
    expire_session,
    set_data_operation,
)
from tests.support.zookeeper import ZooKeeperNotInstalledError, find_class_path, find_java

ROOT = Path(__file__).parents[2]
SOON = 20.0
OwnEnsemble = Callable[..., Ensemble]
T = TypeVar("T")


async def soon(awaitable: Awaitable[T]) -> T:
    """What happens by itself; the limit only ends a test that fails."""
    async with asyncio.timeout(SOON):
        return await awaitable


class TestEnsemble:
    def test_three_servers_have_one_leader(self, ensemble: Ensemble) -> None:
        assert sorted(server.mode() for server in ensemble.servers) == ["follower", "follower", "leader"]
        assert ensemble.leader() not in ensemble.followers()
        assert ensemble.hosts == ",".join(f"127.0.0.1:{server.port}" for server in ensemble.servers)

    def test_a_single_server_leads(self, server: Ensemble) -> None:
        assert server.leader().mode() == "standalone"
        assert server.followers() == []

    def test_four_letter_words_are_answered(self, server: Ensemble) -> None:
        assert "zk_version" in server.leader().four_letter("mntr")
        assert server.leader().four_letter("ruok") == "imok"

    def test_settings_reach_the_server(self, own_ensemble: OwnEnsemble) -> None:
        own = own_ensemble(
            1, tick=0.2, min_session_timeout=0.3, max_session_timeout=7, extra={"globalOutstandingLimit": "77"}
        )
        settings = own.leader().four_letter("conf")
        assert {"tickTime=200", "minSessionTimeout=300", "maxSessionTimeout=7000"} <= set(settings.split())
        assert "globalOutstandingLimit=77" in (own.leader().directory / "zoo.cfg").read_text()

    def test_a_killed_leader_is_replaced_and_comes_back_as_a_follower(self, own_ensemble: OwnEnsemble) -> None:
        own = own_ensemble(3)
        old = own.leader()
        old.kill()
        assert not old.is_running
        with pytest.raises(EnsembleError, match="does not answer"):
            old.mode()
        own.wait_until_serving()
        assert own.leader() is not old
        old.restart()
        assert old.mode() == "follower"
        assert len(own.followers()) == 2

    def test_restart_keeps_the_data(self, own_ensemble: OwnEnsemble) -> None:
        own = own_ensemble(1)
        (only,) = own.servers
        process_id = only.process_id

        async def create() -> None:
            async with await WireClient.connect(only.port) as client:
                await client.create("/kept", b"data")

        async def read() -> bytes:
            async with await WireClient.connect(only.port) as client:
                return (await client.get("/kept"))[0]

        asyncio.run(create())
        only.restart()
        assert only.process_id != process_id
        assert asyncio.run(read()) == b"data"

    async def test_a_frozen_server_accepts_and_answers_when_it_thaws(self, own_ensemble: OwnEnsemble) -> None:
        own = own_ensemble(1)
        (only,) = own.servers
        only.freeze()
        assert only.is_running
        reader, writer = await asyncio.open_connection(LOOPBACK, only.port)
        writer.write(b"ruok")
        answer = asyncio.create_task(reader.read())
        with pytest.raises(EnsembleError, match="does not answer"):
            await asyncio.to_thread(only.four_letter, "ruok")
        assert not answer.done()
        only.thaw()
        assert await soon(answer) == b"imok"
        await closed(writer)

    async def test_a_server_that_a_thread_started_outlives_the_thread(self, own_ensemble: OwnEnsemble) -> None:
        own = own_ensemble(1)
        (only,) = own.servers

        def restart_in_a_thread() -> None:
            asyncio.run(asyncio.to_thread(only.restart))

        await asyncio.to_thread(restart_in_a_thread)
        assert only.mode() == "standalone"

    def test_nothing_is_left_after_stop(self) -> None:
        own = Ensemble(1)
        own.start()
        (only,) = own.servers
        process_id, directory = only.process_id, only.directory
        own.stop()
        assert not is_alive(process_id)
        assert not directory.parent.exists()
        own.stop()

    def test_nothing_is_left_when_the_process_dies(self) -> None:
        script = (
            "import sys; from tests.support.ensemble import Ensemble; own = Ensemble(1); own.start();"
            "own.servers[0].freeze();"
            "print(own.servers[0].process_id, own.servers[0].directory.parent, flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
            assert starter.stdout is not None
            process_id, directory = starter.stdout.readline().split()
            assert is_alive(int(process_id))
            starter.kill()
            # The guardian has this pipe too: it ends when the guardian has done its work and is gone.
            starter.stdout.read()
        while is_alive(int(process_id)):  # killed: its threads end one by one
            time.sleep(0.01)
        assert not Path(directory).exists()

    def test_stolen_ports_are_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stolen = choose_free_ports(3)
        offers = [stolen, choose_free_ports(3)]
        monkeypatch.setattr(ensemble_module, "choose_free_ports", lambda _count: offers.pop(0))
        with socket.create_server((LOOPBACK, stolen[0])), Ensemble(1) as own:
            assert own.leader().port not in stolen
            assert offers == []

    def test_a_start_that_fails_shows_the_log(self) -> None:
        with pytest.raises(EnsembleError, match="Invalid config"):
            Ensemble(1, extra={"serverCnxnFactory": "no", "tickTime": "none"}).start()

    def test_a_missing_zookeeper_is_explained(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path))
        with pytest.raises(ZooKeeperNotInstalledError, match=r"(?s)apt-get install zookeeper.*brew install zookeeper"):
            Ensemble(1).start()

    def test_a_missing_java_is_explained(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("golea_async.testing._installation.HOMEBREW_PREFIXES", (tmp_path,))
        with pytest.raises(ZooKeeperNotInstalledError, match="no java"):
            find_java()

    def test_zookeeper_home_comes_first(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "lib").mkdir()
        jars = [tmp_path / "lib" / "netty-handler.jar", tmp_path / "lib" / "zookeeper-3.9.3.jar"]
        for jar in jars:
            jar.touch()
        monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path))
        assert find_class_path() == [str(jar) for jar in jars]

    async def test_a_server_is_cut_off_from_its_peers(self, own_ensemble: OwnEnsemble) -> None:
        """The hook `peer_address`: what server 1 says to the others, and they to it, goes through proxies."""
        loop = asyncio.get_running_loop()
        proxies: list[Proxy] = []

        async def start_proxy(port: int) -> int:
            proxies.append(await Proxy(port, frames=False).__aenter__())
            return proxies[-1].port

        def lead_through_proxies(from_id: int, to_id: int, port: int) -> int:
            if 1 not in (from_id, to_id):
                return port
            return asyncio.run_coroutine_threadsafe(start_proxy(port), loop).result()

        own = await asyncio.to_thread(own_ensemble, 3, peer_address=lead_through_proxies)
        assert len(proxies) == 8
        assert sum(proxy.connections for proxy in proxies) > 0
        try:
            for proxy in proxies:
                proxy.cut()
            await soon(asyncio.to_thread(wait_until_not_serving, own.servers[0]))
            await asyncio.to_thread(own.servers[1].wait_until_serving)
            await asyncio.to_thread(own.servers[2].wait_until_serving)
            for proxy in proxies:
                proxy.heal()
            await asyncio.to_thread(own.wait_until_serving)
            assert len(own.followers()) == 2
        finally:
            await asyncio.to_thread(own.stop)  # first, or the servers would go on connecting to what is being closed
            for proxy in proxies:
                await proxy.__aexit__()


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    # A zombie has ended; only its parent has not asked yet.
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:  # it has just gone, or this is no Linux
        ps = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], check=False, capture_output=True, text=True)
        state = ps.stdout
    return not state.startswith("Z") and state != ""


def wait_until_not_serving(server: Server) -> None:
    while True:
        try:
            server.mode()
        except EnsembleError:
            return


class TestWireClient:
    async def test_create_read_change_delete(self, wire: WireClient, resource: str) -> None:
        path = await wire.create(f"{resource}/le_", b"name", ephemeral=True, sequential=True)
        assert path == f"{resource}/le_0000000000"
        data, stat = await wire.get(path)
        assert (data, stat.ephemeral_owner, stat.data_length) == (b"name", wire.session_id, 4)
        assert (await wire.set_data(path, b"other")).version == 1
        assert await wire.get_children(resource) == ["le_0000000000"]
        await wire.delete(path)
        assert await wire.exists(path) is None

    async def test_errors_carry_zookeepers_code(self, wire: WireClient, resource: str) -> None:
        with pytest.raises(WireError) as missing:
            await wire.get(f"{resource}/none")
        assert missing.value.code is ErrorCode.NO_NODE
        with pytest.raises(WireError) as there:
            await wire.create(resource)
        assert there.value.code is ErrorCode.NODE_EXISTS

    async def test_acl_and_authentication(self, ensemble: Ensemble, wire: WireClient, resource: str) -> None:
        private = f"{resource}/private"
        async with await WireClient.connect(ensemble.servers[1].port) as owner:
            await owner.add_auth("digest", b"somebody:secret")
            await owner.create(private, b"", acl=[Acl(PERMISSION_ALL, "auth", "")])
            assert (await owner.get(private))[0] == b""
            await wire.sync(private)
            with pytest.raises(WireError) as refused:
                await wire.get(private)
            assert refused.value.code is ErrorCode.NO_AUTH

    async def test_watches_fire_once(self, wire: WireClient, resource: str) -> None:
        events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        path = f"{resource}/watched"
        assert await wire.exists(path, events.put_nowait) is None
        await wire.create(path)
        assert await soon(events.get()) == WatchEvent(EventType.CREATED, path)
        await wire.get(path, events.put_nowait)
        await wire.set_data(path, b"new")
        assert await soon(events.get()) == WatchEvent(EventType.DATA_CHANGED, path)
        await wire.get_children(resource, events.put_nowait)
        await wire.delete(path)
        assert await soon(events.get()) == WatchEvent(EventType.CHILDREN_CHANGED, resource)
        assert events.empty()

    async def test_multi_is_all_or_nothing(self, wire: WireClient, resource: str) -> None:
        a, b = f"{resource}/a", f"{resource}/b"
        done = await wire.multi([create_operation(a), create_operation(b, with_stat=True), check_operation(a)])
        assert done == [a, b, None]
        with pytest.raises(WireError, match=f"NO_NODE from delete {resource}/none"):
            await wire.multi([delete_operation(a), delete_operation(f"{resource}/none"), delete_operation(b)])
        assert sorted(await wire.get_children(resource)) == ["a", "b"]
        await wire.multi([set_data_operation(a, b"x"), delete_operation(a), delete_operation(b)])
        assert await wire.get_children(resource) == []
        assert await wire.multi([]) == []

    async def test_a_session_outlives_its_connection(self, ensemble: Ensemble, resource: str) -> None:
        first = await WireClient.connect(ensemble.servers[0].port)
        path = await first.create(f"{resource}/mine", ephemeral=True)
        await first.drop()
        with pytest.raises(WireConnectionError):
            await first.exists(path)
        port, session_id, password = ensemble.servers[1].port, first.session_id, first.password
        async with await WireClient.connect(port, session_id=session_id, password=password) as second:
            stat = await second.exists(path)
            assert stat is not None
            assert stat.ephemeral_owner == second.session_id == session_id

    async def test_closing_removes_ephemeral_znodes(self, ensemble: Ensemble, wire: WireClient, resource: str) -> None:
        async with await WireClient.connect(ensemble.servers[1].port) as other:
            path = await other.create(f"{resource}/mine", ephemeral=True)
            events: asyncio.Queue[WatchEvent] = asyncio.Queue()
            await wire.sync(path)
            assert await wire.exists(path, events.put_nowait) is not None
        assert await soon(events.get()) == WatchEvent(EventType.DELETED, path)

    @pytest.mark.both_loops
    async def test_pings_keep_an_idle_session(self, ensemble: Ensemble) -> None:
        async with (
            Proxy(ensemble.servers[0].port) as proxy,
            await WireClient.connect(proxy.port, session_timeout=1) as idle,
        ):
            assert idle.session_timeout == 1
            for _ in range(5):
                await soon(proxy.on_reply(lambda frame: frame.opcode == OpCode.PING, Action.FORWARD))
            assert await idle.exists("/") is not None

    @pytest.mark.parametrize("through", [0, 1])
    async def test_expire_session(self, ensemble: Ensemble, wire: WireClient, resource: str, through: int) -> None:
        victim = await WireClient.connect(ensemble.servers[0].port)
        path = await victim.create(f"{resource}/mine", ephemeral=True)
        await expire_session(ensemble.servers[through].port, victim.session_id, victim.password)
        await wire.sync(path)
        assert await wire.exists(path) is None
        with pytest.raises(WireError) as gone:
            await expire_session(ensemble.servers[through].port, victim.session_id, victim.password)
        assert gone.value.code is ErrorCode.SESSION_EXPIRED
        await victim.drop()

    async def test_a_taken_over_session_hears_of_its_own_znode_before_its_end(
        self, ensemble: Ensemble, resource: str
    ) -> None:
        victim = await WireClient.connect(ensemble.servers[0].port)
        path = await victim.create(f"{resource}/mine", ephemeral=True)
        events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        await victim.exists(path, events.put_nowait)
        port, session_id, password = ensemble.servers[1].port, victim.session_id, victim.password
        async with await WireClient.connect(port, session_id=session_id, password=password) as thief:
            await thief.delete(path)
            assert await soon(events.get()) == WatchEvent(EventType.DELETED, path)
            assert not victim.disconnected.is_set()
        await soon(victim.disconnected.wait())
        await victim.drop()


@pytest.fixture
async def proxied(proxy: Proxy) -> AsyncIterator[WireClient]:
    client = await WireClient.connect(proxy.port)
    yield client
    await client.drop()


class TestListener:
    @pytest.mark.both_loops
    @pytest.mark.parametrize("turns", range(6))
    async def test_no_connection_outlives_it(self, turns: int) -> None:
        """Be it in the queue, accepted, or served already."""

        async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await reader.read()

        with socket.socket() as client:
            async with Listener(serve) as listener:
                client.connect((LOOPBACK, listener.port))
                for _ in range(turns):
                    await asyncio.sleep(0)
            client.setblocking(False)
            with suppress(ConnectionResetError):
                assert await soon(asyncio.get_running_loop().sock_recv(client, 1)) == b""


@pytest.mark.both_loops
class TestProxy:
    async def test_requests_replies_and_events_are_counted(
        self, proxy: Proxy, proxied: WireClient, resource: str
    ) -> None:
        events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        path = await proxied.create(f"{resource}/counted")
        await proxied.exists(path, events.put_nowait)
        await proxied.delete(path)
        await soon(events.get())
        expected = {OpCode.CREATE_SESSION: 1, OpCode.CREATE: 1, OpCode.EXISTS: 1, OpCode.DELETE: 1}
        assert proxy.requests == expected
        assert proxy.replies == expected
        assert proxy.events == 1
        assert proxy.connections == proxy.open_connections == 1

    async def test_four_letter_words_pass(self, proxy: Proxy) -> None:
        for word, answer in (("srvr", b"Mode: "), ("ruok", b"imok")):
            reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
            writer.write(word.encode())
            assert answer in await soon(reader.read())
            await closed(writer)
        assert proxy.requests == {}

    async def test_a_cut_resets_every_connection_until_it_heals(self, proxy: Proxy, proxied: WireClient) -> None:
        proxy.cut()
        await soon(proxied.disconnected.wait())
        with pytest.raises(ConnectionError):
            await WireClient.connect(proxy.port)
        proxy.heal()
        async with await WireClient.connect(proxy.port) as healed:
            assert await healed.exists("/") is not None

    async def test_a_reset_is_an_rst_and_new_connections_are_welcome(self, proxy: Proxy) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        await eventually(lambda: proxy.open_connections == 1)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await soon(reader.read())
        await closed(writer)
        async with await WireClient.connect(proxy.port):
            pass

    async def test_the_servers_end_reaches_the_client(self, own_ensemble: OwnEnsemble) -> None:
        own = own_ensemble(1)
        async with Proxy(own.leader().port) as proxy:
            client = await WireClient.connect(proxy.port)
            own.leader().kill()
            await soon(client.disconnected.wait())
            with pytest.raises(ConnectionError):
                await WireClient.connect(proxy.port)

    async def test_a_connection_waits_for_who_does_not_listen_yet(self) -> None:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"here")
            await writer.drain()

        (port,) = choose_free_ports(1)
        async with Proxy(port, frames=False, waits_for_target=True) as proxy:
            reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
            await eventually(lambda: proxy.connections == 1)
            async with Listener(answer, port):
                assert await soon(reader.read()) == b"here"
            await closed(writer)

    async def test_swallowed_replies_are_done_and_never_told(
        self, proxy: Proxy, proxied: WireClient, wire: WireClient, resource: str
    ) -> None:
        path = f"{resource}/done"
        proxy.swallow_replies()
        creating = asyncio.create_task(proxied.create(path))
        events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        if await wire.exists(path, events.put_nowait) is None:
            await soon(events.get())
        await eventually(lambda: proxy.replies[OpCode.CREATE] == 1)
        proxy.heal()
        assert await proxied.exists(path) is not None
        assert not creating.done()
        creating.cancel()

    async def test_swallowed_requests_are_never_done(self, proxy: Proxy, proxied: WireClient, resource: str) -> None:
        proxy.swallow_requests()
        creating = asyncio.create_task(proxied.create(f"{resource}/never"))
        await eventually(lambda: proxy.requests[OpCode.CREATE] == 1)
        proxy.heal()
        assert await proxied.exists(f"{resource}/never") is None
        assert not creating.done()
        creating.cancel()

    async def test_a_swallowed_end_keeps_the_servers_side_open(self, ensemble: Ensemble, proxy: Proxy) -> None:
        client = await WireClient.connect(proxy.port)
        session = f"sid=0x{client.session_id:x}"
        proxy.swallow_requests()
        await client.drop()
        assert session in ensemble.servers[0].four_letter("cons")
        assert proxy.open_connections == 1
        proxy.heal()
        await eventually(lambda: session not in ensemble.servers[0].four_letter("cons"))

    async def test_a_delay_is_kept_in_either_direction_and_the_order_too(
        self, proxy: Proxy, proxied: WireClient, resource: str
    ) -> None:
        loop = asyncio.get_running_loop()
        proxy.delay(0.2)
        started = loop.time()
        paths = await asyncio.gather(*(proxied.create(f"{resource}/n", sequential=True) for _ in range(20)))
        # All twenty travel together; were they sent one after the other, this would be 8 s.
        assert loop.time() - started >= 0.4
        assert paths == [f"{resource}/n{number:010}" for number in range(20)]

    async def test_lose_next_reply(self, proxy: Proxy, proxied: WireClient, wire: WireClient, resource: str) -> None:
        lost = proxy.lose_next_reply({OpCode.CREATE, OpCode.CREATE2})
        assert await proxied.exists(resource) is not None
        with pytest.raises(WireConnectionError):
            await proxied.create(f"{resource}/done")
        frame = await soon(lost)
        assert frame.opcode == OpCode.CREATE
        await wire.sync(resource)
        assert await wire.get_children(resource) == ["done"]
        async with await WireClient.connect(proxy.port) as again:
            assert await again.create(f"{resource}/again") == f"{resource}/again"

    async def test_lose_next_request(self, proxy: Proxy, proxied: WireClient, wire: WireClient, resource: str) -> None:
        lost = proxy.lose_next_request({OpCode.CREATE})
        with pytest.raises(WireConnectionError):
            await proxied.create(f"{resource}/never")
        assert b"/never" in (await soon(lost)).payload
        await wire.sync(resource)
        assert await wire.get_children(resource) == []

    async def test_a_rule_swallows_one_frame_and_no_other(
        self, proxy: Proxy, proxied: WireClient, resource: str
    ) -> None:
        swallowed = proxy.on_reply(lambda frame: frame.opcode == OpCode.EXISTS, Action.SWALLOW)
        first = asyncio.create_task(proxied.exists(resource))
        await soon(swallowed)
        assert await proxied.exists(resource) is not None
        assert not first.done()
        first.cancel()

    async def test_a_held_request_waits_and_so_do_those_behind_it(
        self, proxy: Proxy, proxied: WireClient, wire: WireClient, resource: str
    ) -> None:
        held = proxy.on_request(lambda frame: frame.opcode == OpCode.CREATE, Action.HOLD)
        creating = asyncio.create_task(proxied.create(f"{resource}/late"))
        await soon(held)
        behind = asyncio.create_task(proxied.exists(f"{resource}/late"))
        await wire.sync(resource)
        assert await wire.get_children(resource) == []
        assert not behind.done()
        held.release()
        assert await soon(creating) == f"{resource}/late"
        assert await soon(behind) is not None

    async def test_aiozk_connects_through_it_and_loses_a_reply(self, proxy: Proxy, resource: str) -> None:
        client = aiozk.ZKClient(proxy.address, session_timeout=6)
        await soon(client.start())
        assert proxy.connections == 2  # the first one for srvr
        lost = proxy.lose_next_reply({OpCode.EXISTS})
        reading = asyncio.create_task(client.exists(resource))
        await soon(lost)
        await soon(asyncio.wait({reading}))
        reading.exception()
        await client.close()


async def eventually(condition: Callable[[], bool]) -> None:
    """Where there is nothing to wait for but the condition itself."""
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):  # it was reset
        await writer.wait_closed()


class Candidates:
    """GoLea candidates, each with a session of its own, on any server of the ensemble."""

    def __init__(self, ensemble: Ensemble, resource: str) -> None:
        self._ensemble = ensemble
        self._resource = resource
        self.clients: list[WireClient] = []

    async def join(self, name: str) -> GoLeaCandidate:
        servers = self._ensemble.servers
        self.clients.append(await WireClient.connect(servers[len(self.clients) % len(servers)].port))
        candidate = await GoLeaCandidate.new_election(self.clients[-1], self._resource, name)
        await candidate.elect_leader()
        return candidate


@pytest.fixture
async def candidates(ensemble: Ensemble, resource: str) -> AsyncIterator[Candidates]:
    joined = Candidates(ensemble, resource)
    yield joined
    for client in joined.clients:
        await client.close()


async def next_status(candidate: GoLeaCandidate) -> GoLeaStatus | None:
    return await soon(candidate.statuses.get())


class TestGoLeaCandidate:
    async def test_two_elect_and_the_follower_takes_over(
        self, candidates: Candidates, wire: WireClient, resource: str
    ) -> None:
        first, second = await candidates.join("one"), await candidates.join("two")
        leading, following = await next_status(first), await next_status(second)
        assert leading == GoLeaStatus(first.candidate_id, role=LEADER)
        assert following == GoLeaStatus(second.candidate_id, role=FOLLOWER, now_following=first.candidate_id)
        assert re.fullmatch(rf"{resource}/le_[0-9]{{10}}", first.candidate_id)
        await wire.sync(resource)
        assert (await wire.get(first.candidate_id))[0] == b"one"

        await soon(first.resign())
        assert await next_status(first) is None
        assert await next_status(second) == GoLeaStatus(
            second.candidate_id, role=LEADER, was_following=first.candidate_id
        )
        await soon(second.resign())
        await wire.sync(resource)
        assert await wire.get_children(resource) == []

    async def test_a_middle_one_resigns(self, candidates: Candidates) -> None:
        first, second, third = [await candidates.join(name) for name in ("one", "two", "three")]
        for candidate in (first, second, third):
            await next_status(candidate)
        await soon(second.resign())
        assert await next_status(third) == GoLeaStatus(
            third.candidate_id, now_following=first.candidate_id, was_following=second.candidate_id
        )
        assert first.statuses.empty()

    async def test_the_leader_ends_the_election(self, candidates: Candidates, wire: WireClient, resource: str) -> None:
        first, second = await candidates.join("one"), await candidates.join("two")
        await next_status(first)
        await next_status(second)
        await soon(first.end_election())
        assert await next_status(first) is None
        told = await next_status(second)
        assert told is not None
        assert "deleted" in str(told.error)
        assert await next_status(second) is None
        await wire.sync(resource)
        assert await wire.get_children(resource) == []

    async def test_the_election_is_deleted_under_them(
        self, candidates: Candidates, wire: WireClient, resource: str
    ) -> None:
        standing = [await candidates.join(name) for name in ("one", "two", "three")]
        for candidate in standing:
            await next_status(candidate)
        await wire.sync(resource)
        await delete_election(wire, resource)
        assert await wire.exists(resource) is None
        for candidate in standing:
            told = await next_status(candidate)
            assert told is not None
            assert isinstance(told.error, GoLeaError)
            assert await next_status(candidate) is None
        await delete_election(wire, resource)

    async def test_nobody_joins_an_election_that_is_over(
        self, candidates: Candidates, wire: WireClient, resource: str
    ) -> None:
        await wire.create(f"{resource}/DONE", b"done")
        late = await candidates.join("late")
        told = await next_status(late)
        assert told is not None
        assert "Election is over" in str(told.error)
        await soon(late.resign())
        await wire.delete(f"{resource}/DONE")

    async def test_a_missing_election_is_refused(self, wire: WireClient, resource: str) -> None:
        with pytest.raises(GoLeaError, match="does not exist"):
            await GoLeaCandidate.new_election(wire, f"{resource}/none")

    async def test_a_crash_is_noticed_when_the_session_ends(self, ensemble: Ensemble, candidates: Candidates) -> None:
        first, second = await candidates.join("one"), await candidates.join("two")
        await next_status(first)
        await next_status(second)
        await expire_session(ensemble.servers[2].port, first.zk.session_id, first.zk.password)
        led = await next_status(second)
        assert led is not None
        assert led.role == LEADER


def test_interrupted_by_the_terminal() -> None:
    """Ctrl-C goes to the whole group of processes; the ensemble is stopped in order all the same."""
    script = (
        "import sys; from tests.support.ensemble import Ensemble\n"
        "with Ensemble(1) as own:\n"
        "    print(own.servers[0].process_id, own.servers[0].directory.parent, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        process_id, directory = process.stdout.readline().split()
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()
    assert not is_alive(int(process_id))
    assert not Path(directory).exists()
