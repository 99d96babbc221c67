"""The guardian closes the session of a program that is dead.

A session of ten seconds cannot end by itself in less than half of them: what is gone by then was closed.
"""

from __future__ import annotations

import asyncio
import os
import resource as limits
import signal
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable
from pathlib import Path

import pytest

from golea_async import TLSFiles, ZKClient, list_candidates
from golea_async.testing import MemoryZooKeeper
from tests.support.certificates import Authority
from tests.support.cgroup import memory_cgroup
from tests.support.elections import SOON, eventually, soon, until_gone
from tests.support.ensemble import Ensemble, EnsembleError, SharedEnsemble
from tests.support.guarded import (
    LATEST,
    TIMEOUT,
    Nursery,
    closed_in_time,
    guarded,
    guardians_end,
    guardians_of,
    live,
    nursery,
    proc,
)
from tests.support.proxy import Action, Frame, Proxy
from tests.support.wire import OpCode, WireClient

from .client.test_tls_and_auth import TlsServer

OwnEnsemble = Callable[..., Ensemble]

SECRET = "correct-horse"


async def test_each_way_to_die(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    by_themselves = ["exit", "abort", "segfault", "fail in a thread"]
    by_signal = ["wait", "reconnect", "lose the session", "fork"]
    started = [
        await programs.start(deed.replace(" ", "-"), ensemble.hosts, deed, chroot=f"/ways-to-die-{number}")
        for number, deed in enumerate([*by_themselves, *by_signal])
    ]
    await guarded(*started)
    await live(wire, *started)
    for program in started:
        program.kill(signal.SIGUSR1)
    await soon(started[-1].is_done.wait())
    for program in started[len(by_themselves) :]:
        program.kill()
    await closed_in_time(wire, *started)
    await guardians_end(*started)


async def test_no_memory(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    program = await programs.start("no-memory", ensemble.hosts, "eat memory")
    (guardian,) = await guarded(program)
    with memory_cgroup(f"golea-async-{os.getpid()}", 100 << 20) as group:
        for pid in (program.pid, guardian):
            (group / "cgroup.procs").write_text(str(pid))
        await live(wire, program)
        program.kill(signal.SIGUSR1)
        await closed_in_time(wire, program)
        await guardians_end(program)


async def test_leader_and_follower(ensemble: SharedEnsemble, wire: WireClient, resource: str) -> None:
    async with nursery() as programs, ZKClient(ensemble.hosts) as zk:
        a, b, c = [await programs.start(name, ensemble.hosts, resource=resource) for name in "abc"]
        await guarded(a, b, c)
        await live(wire, a, b, c)
        b.kill()
        await closed_in_time(wire, b)
        a.kill()
        await closed_in_time(wire, a)
        assert [candidate.id for candidate in await list_candidates(zk, resource)] == [c.path]


async def test_tls_and_credentials(
    own_ensemble: OwnEnsemble, tmp_path: Path, programs: Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """With ``enforce.auth.enabled`` a server takes nothing before the credentials, not even a CloseSession."""
    authority = await asyncio.to_thread(Authority, tmp_path, "authority")
    certificate = await asyncio.to_thread(authority.sign, "client", "client")
    enforced = {"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest"}
    server = await asyncio.to_thread(lambda: TlsServer(own_ensemble, authority, "need", **enforced))
    plain, secure = server.ensemble.hosts, f"localhost:{server.port}"
    auth = [("ip", ""), ("digest", f"user:{SECRET}")]
    files = [str(authority.certificate), str(certificate)]
    a = await programs.start("digest", plain, auth=auth)
    b = await programs.start("tls", secure, auth=auth, tls=files)
    guardians = await guarded(a, b)
    for pid in [a.pid, b.pid, *guardians]:
        for name in ("cmdline", "environ"):
            assert SECRET not in proc(pid, name)
    for guardian in guardians:
        assert limits.prlimit(guardian, limits.RLIMIT_CORE) == (0, 0)
        assert int(proc(guardian, "coredump_filter"), 16) == 0
    async with await WireClient.connect(server.ensemble.servers[0].port, session_timeout=TIMEOUT) as wire:
        await wire.add_auth("digest", f"user:{SECRET}".encode())
        await live(wire, a, b)
        a.kill()
        b.kill()
        await closed_in_time(wire, a, b)

    gone = tmp_path / "gone.pem"
    gone.write_bytes(authority.certificate.read_bytes())
    client = ZKClient(secure, ssl=TLSFiles(gone, certificate), auth=auth, guardian=True)
    gone.unlink()
    async with client:
        await eventually(lambda: "the guardian cannot use TLSFiles" in caplog.text)
        assert await client.exists("/zookeeper")
    assert SECRET not in caplog.text


async def test_servers_that_are_gone(own_ensemble: OwnEnsemble, programs: Nursery) -> None:
    """The connected server dies with the program; then all do, and the guardian gives up in time."""
    ensemble = await asyncio.to_thread(own_ensemble)
    # Without its leader it would also elect anew: that is another test's.
    followers = [server for server in ensemble.servers if server is not ensemble.leader()]
    program = await programs.start("killed-with-its-server", ",".join(f"127.0.0.1:{each.port}" for each in followers))
    other = await programs.start("left", ensemble.hosts, timeout=2)
    await guarded(program, other)
    server = next(server for server in ensemble.servers if server.port == program.port)
    await asyncio.to_thread(server.kill)
    program.kill()
    survivor = next(each for each in ensemble.servers if each is not server)
    await asyncio.to_thread(survivor.wait_until_serving)
    async with await WireClient.connect(survivor.port, session_timeout=TIMEOUT) as wire:
        await live(wire, other)
        await closed_in_time(wire, program)

    for each in ensemble.servers:
        await asyncio.to_thread(each.kill)
    other.kill()
    await guardians_end(program, other)
    for each in ensemble.servers:
        await asyncio.to_thread(lambda each=each: each.start(wait=False))  # type: ignore[misc]
    await asyncio.to_thread(ensemble.wait_until_serving)
    async with await WireClient.connect(survivor.port, session_timeout=TIMEOUT) as wire:
        await until_gone(wire, other.path)


async def test_an_election_of_the_servers(own_ensemble: OwnEnsemble, programs: Nursery) -> None:
    """Their leader dies with the program: until they have another one, all refuse whoever asks."""
    ensemble = await asyncio.to_thread(lambda: own_ensemble(max_session_timeout=60.0))
    leader = await asyncio.to_thread(ensemble.leader)
    followers = [server for server in ensemble.servers if server is not leader]
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in followers)
    program = await programs.start("killed-with-a-leader", hosts, timeout=2 * SOON)
    await guarded(program)
    await asyncio.to_thread(leader.kill)
    program.kill()

    def is_elected() -> bool:
        """A follower says that it is one until it has noticed."""
        try:
            return ensemble.leader() is not leader
        except EnsembleError:
            return False

    await eventually(is_elected)
    await asyncio.to_thread(followers[0].wait_until_serving)
    async with await WireClient.connect(followers[0].port, session_timeout=TIMEOUT) as wire:
        await soon(until_gone(wire, program.path))
    await guardians_end(program)


async def test_a_server_that_refuses(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    """It is asked again: what it has refused has not touched the session."""
    async with Proxy(ensemble.servers[0].port) as proxy:
        program = await programs.start("refused", proxy.address)
        await guarded(program)
        await live(wire, program)
        refusals = [proxy.lose_next_request([OpCode.CREATE_SESSION]) for _ in range(5)]
        program.kill()
        for refusal in refusals:
            await soon(refusal)
        await closed_in_time(wire, program)


async def test_a_server_that_does_not_answer(ensemble: Ensemble, wire: WireClient, programs: Nursery) -> None:
    """It may yet carry out what it was asked, and touch the session at whatever time: it is asked once."""
    async with Proxy(ensemble.servers[0].port) as proxy:
        program = await programs.start("no-answer", proxy.address, timeout=4)
        await guarded(program)
        await live(wire, program)
        before = proxy.requests[OpCode.CREATE_SESSION]
        question = proxy.on_request(lambda frame: frame.opcode == OpCode.CREATE_SESSION, Action.SWALLOW)
        program.kill()
        await soon(question)
        await guardians_end(program)
        assert proxy.requests[OpCode.CREATE_SESSION] == before + 1
        await until_gone(wire, program.path)


async def test_a_guardian_that_is_cut_off(ensemble: Ensemble, wire: WireClient, programs: Nursery) -> None:
    """Its ConnectRequest has touched the session, and left it two ticks."""
    async with Proxy(ensemble.servers[0].port) as proxy:
        program = await programs.start("cut-off", proxy.address, timeout=4)
        await guarded(program)
        await live(wire, program)
        died_at = time.monotonic()
        lost = [proxy.on_request(is_close, Action.SWALLOW) for _ in range(2)]
        program.kill()
        await soon(lost[0])
        await until_gone(wire, program.path)
        assert time.monotonic() - died_at <= 4 + 2 * ensemble.tick


async def test_a_guardian_that_was_frozen(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    """It was not there when the program died: it must not connect any more when it cannot know for how long."""
    async with Proxy(ensemble.servers[0].port) as proxy:
        program = await programs.start("frozen-guardian", proxy.address, timeout=2)
        early = await programs.start("thawed-early", ensemble.hosts)
        guardian, thawed_early = await guarded(program, early)
        await live(wire, program, early)
        os.kill(guardian, signal.SIGSTOP)
        os.kill(thawed_early, signal.SIGSTOP)
        program.kill()
        early.kill()
        await asyncio.sleep(1)  # T/2
        os.kill(thawed_early, signal.SIGCONT)
        await closed_in_time(wire, early)
        os.kill(guardian, signal.SIGCONT)
        await guardians_end(program)
        assert proxy.connections == 1
        await until_gone(wire, program.path)


async def test_a_death_while_the_guardian_is_started(
    ensemble: SharedEnsemble, wire: WireClient, programs: Nursery, tmp_path: Path
) -> None:
    slow = tmp_path / "python-slow"
    slow.write_text(f'#!/bin/sh\nsleep 1; exec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    program = await programs.start("dies-early", ensemble.hosts, interpreter=str(slow))
    await live(wire, program)
    await asyncio.sleep(0.1)
    program.kill()
    await closed_in_time(wire, program)
    await guardians_end(program)


async def test_delay(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    program = await programs.start("delayed", ensemble.hosts, delay=1.5)
    too_late = await programs.start("too-late", ensemble.hosts, delay=4)
    await guarded(program, too_late)
    assert len(too_late.warnings) == 1
    assert "delay of 4 s is too long for a session timeout of 10 s" in too_late.warnings[0]
    died_at = time.monotonic()
    program.kill()
    await closed_in_time(wire, program)
    assert time.monotonic() - died_at >= 1.5
    assert not program.warnings


async def test_signals_to_all_at_once(ensemble: SharedEnsemble, wire: WireClient, programs: Nursery) -> None:
    """A service manager, or Ctrl-C, tells every process to end: the guardian has work left."""
    started = [await programs.start(f"signal-{number}", ensemble.hosts) for number in range(3)]
    await live(wire, *started)
    for program, guardian, number in zip(
        started, await guarded(*started), (signal.SIGTERM, signal.SIGINT, signal.SIGHUP), strict=True
    ):
        os.kill(guardian, number)
        await asyncio.sleep(0.05)
        program.kill()
        for _ in range(20):
            for pid in guardians_of(program.pid):
                os.kill(pid, number)
            await asyncio.sleep(0.001)
    await closed_in_time(wire, *started)


THOUSAND = """
import asyncio, os, sys
from contextlib import suppress
from pathlib import Path
from golea_async import ZKClient
from tests.support.elections import eventually
from tests.support.guarded import guardians_of, proc


def open_files():
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the directory's own
            found.append(str(link.readlink()))
    return found


def children():
    return proc(os.getpid(), f"task/{os.getpid()}/children").split()


async def main():
    async with ZKClient(sys.argv[1]):
        pass
    before = open_files()
    for _ in range(1000):
        async with ZKClient(sys.argv[1], guardian=True):
            pass
    with suppress(TimeoutError):
        await eventually(
            lambda: not guardians_of(os.getpid()) and not children() and len(open_files()) <= len(before)
        )
    assert (guardians_of(os.getpid()), children()) == ([], [])
    assert len(now := open_files()) <= len(before), sorted(set(now) - set(before))


asyncio.run(main())
"""


async def test_a_thousand_starts_and_closes() -> None:
    """Nothing is left; most clients close while their guardian is being started. In a process without a past."""
    with MemoryZooKeeper(1) as zookeeper:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", THOUSAND, zookeeper.hosts, stdout=PIPE, stderr=STDOUT
        )
        said, _ = await program.communicate()
    assert (program.returncode, said.decode()) == (0, "")


REAPS = """
import asyncio, os, signal, sys, threading
from golea_async import ZKClient
from golea_async.cli.descendants import become_subreaper
from tests.support.elections import eventually
from tests.support.guarded import guardians_of, proc


def children():
    return proc(os.getpid(), f"task/{os.getpid()}/children").split()


async def main():
    become_subreaper()
    async with ZKClient(sys.argv[1], guardian=True):
        await eventually(lambda: guardians_of(os.getpid()) and children())
        (guardian,) = guardians_of(os.getpid())
        os.kill(guardian, signal.SIGSTOP)
    names = ["golea-guardian", "golea-guardian-orders"]
    await eventually(lambda: not any(thread.name in names for thread in threading.enumerate()))
    async with ZKClient(sys.argv[1], guardian=True):  # another one is not kept waiting
        await eventually(lambda: len(guardians_of(os.getpid())) == 2)
        os.kill(guardian, signal.SIGCONT)
        await eventually(lambda: len(children()) == 1)
    await eventually(lambda: not children())


asyncio.run(main())
"""


async def test_one_that_is_slow_to_end_leaves_no_zombie() -> None:
    """In a program to which orphans come: as process 1, or as a subreaper."""
    with MemoryZooKeeper(1) as zookeeper:
        program = await asyncio.create_subprocess_exec(sys.executable, "-c", REAPS, zookeeper.hosts)
        assert await soon(program.wait()) == 0


async def test_in_memory(programs: Nursery) -> None:
    with MemoryZooKeeper(3, tick=0.5) as zookeeper:
        program = await programs.start("in-memory", zookeeper.hosts)
        await guarded(program)
        program.kill()
        async with ZKClient(zookeeper.hosts) as zk:
            async with asyncio.timeout(LATEST):
                while await zk.exists(program.path):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


def is_close(frame: Frame) -> bool:
    return frame.opcode == OpCode.CLOSE_SESSION
