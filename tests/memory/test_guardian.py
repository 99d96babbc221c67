"""The program's side of the guardian: what it takes, where there can be none, and clients in several event loops."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiozk.states import States
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from golea_async import Guardian, TLSFiles, ZKClient
from golea_async._zookeeper.guardian import GuardianLink
from golea_async._zookeeper.guardian_process import Program
from golea_async.testing import MemoryZooKeeper
from tests.support.certificates import Authority
from tests.support.elections import eventually
from tests.support.guarded import guardians_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hosts() -> Iterator[str]:
    with MemoryZooKeeper(1) as zookeeper:
        yield zookeeper.hosts


@pytest.fixture(autouse=True)
def a_process_without_a_past() -> Iterator[None]:
    """Where there can be no guardian nobody looks for one again."""
    GuardianLink.begin_anew()
    yield
    GuardianLink.begin_anew()


def test_what_is_no_pidfd_proves_nothing(tmp_path: Path) -> None:
    """Such a descriptor is readable, as that of a dead program is."""
    ours, theirs = socket.socketpair()
    with (tmp_path / "file").open("w+") as file, ours, theirs, pytest.raises(OSError, match="Bad file descriptor"):
        Program(os.getpid(), file.fileno(), theirs, 0.0)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"guardian": "yes"}, TypeError, "guardian= takes True or a Guardian, not str"),
        ({"guardian": None}, TypeError, "guardian= takes True or a Guardian, not NoneType"),
        ({"guardian": True, "ssl": ssl.create_default_context()}, ValueError, "give ssl=TLSFiles"),
    ],
)
def test_arguments(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ZKClient("127.0.0.1", **arguments)


@pytest.mark.parametrize(
    ("delay", "error"), [(-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), (True, TypeError)]
)
def test_delays(delay: float, error: type[Exception]) -> None:
    with pytest.raises(error, match="the guardian's delay must be seconds"):
        Guardian(delay=delay)


def test_a_key_with_a_passphrase_is_an_error(tmp_path: Path) -> None:
    """Python would ask for the passphrase, at a terminal that a service does not have."""
    key = tmp_path / "key.pem"
    encryption = serialization.BestAvailableEncryption(b"secret")
    private = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption)
    )
    authority = Authority(tmp_path, "authority")
    with pytest.raises(ValueError, match="has a passphrase"):
        ZKClient("127.0.0.1", ssl=TLSFiles(authority.certificate, authority.certificate, key), guardian=True)


@pytest.mark.parametrize("reason", ["no plain Python interpreter", "is frozen", "no pidfd", "ended with"])
async def test_where_there_can_be_none(
    reason: str, hosts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One WARNING for all clients, and everything else works."""
    match reason:
        case "no plain Python interpreter":
            monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
        case "is frozen":
            monkeypatch.setattr(sys, "frozen", True, raising=False)
        case "no pidfd":
            monkeypatch.delattr(os, "pidfd_open")
        case "ended with":
            (tmp_path / "python").symlink_to("/bin/false")
            monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for _ in range(2):
        async with ZKClient(hosts, guardian=True) as zk:
            assert await zk.exists("/")
            await eventually(lambda: bool(caplog.messages))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith("no guardian can be started: ")
    assert caplog.messages[0].endswith("everything else works")
    assert reason == "is frozen" or reason in caplog.messages[0]


async def test_one_that_could_not_be_started_is_started_later(
    hosts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that ends at once may do better the next time."""
    (tmp_path / "python").symlink_to("/bin/true")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    async with ZKClient(hosts, guardian=True):
        await eventually(lambda: bool(caplog.messages))
        monkeypatch.undo()
        assert caplog.messages[0].startswith("no guardian can be started: ")
        assert "; another one is started; " in caplog.messages[0]
        await eventually(lambda: len(guardians_of(os.getpid())) == 1)
    await eventually(lambda: guardians_of(os.getpid()) == [])


async def test_without_a_thread_there_is_none(
    hosts: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there are too many threads; the next client that wants a guardian tries again."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", start)
        async with ZKClient(hosts, guardian=True) as first:
            assert await first.exists("/")
    assert caplog.messages[0].startswith("no guardian can be started: can't start new thread")
    async with ZKClient(hosts, guardian=True):
        await eventually(lambda: len(guardians_of(os.getpid())) == 1)
    await eventually(lambda: guardians_of(os.getpid()) == [])


async def test_a_delay_that_is_too_long_is_said_once(hosts: str, caplog: pytest.LogCaptureFixture) -> None:
    async with ZKClient(hosts, session_timeout=8, guardian=Guardian(delay=3)) as zk:
        before, session = zk.session.conn, zk.session.session_id
        zk.session.state.transition_to(States.SUSPENDED)
        await eventually(lambda: zk.session.conn is not before and zk.session.state == States.CONNECTED)
        assert zk.session.session_id == session
    said = [message for message in caplog.messages if "is too long for a session timeout of 8 s" in message]
    assert len(said) == 1
    assert "(less than 3 s is short enough)" in said[0]


def test_clients_of_several_event_loops_share_one(hosts: str) -> None:
    """Each in a thread of its own, uvloop's among them: with the last client the guardian ends."""
    together, first_has_gone = threading.Barrier(3), threading.Event()

    async def be_guarded(*, leaves_first: bool) -> None:
        async with ZKClient(hosts, guardian=True):
            await asyncio.to_thread(together.wait, 30)
            if not leaves_first:
                await asyncio.to_thread(first_has_gone.wait, 30)
                await asyncio.to_thread(together.wait, 30)

    def run(factory: Callable[[], asyncio.AbstractEventLoop], *, leaves_first: bool) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(be_guarded(leaves_first=leaves_first))

    first = threading.Thread(target=run, args=(asyncio.new_event_loop,), kwargs={"leaves_first": True})
    second = threading.Thread(target=run, args=(uvloop.new_event_loop,), kwargs={"leaves_first": False})
    third = threading.Thread(target=run, args=(asyncio.new_event_loop,), kwargs={"leaves_first": False})
    for thread in (first, second, third):
        thread.start()
    first.join()
    asyncio.run(eventually(lambda: len(guardians_of(os.getpid())) == 1))
    first_has_gone.set()
    together.wait(30)
    for thread in (second, third):
        thread.join()
    asyncio.run(eventually(lambda: guardians_of(os.getpid()) == []))


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.02, 0.1])
def test_the_interpreter_ends_while_a_guardian_is_started(seconds: float, hosts: str) -> None:
    program = f"""
import asyncio
from golea_async import ZKClient
async def main():
    await ZKClient({hosts!r}, guardian=True).start()
    await asyncio.sleep({seconds})
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
