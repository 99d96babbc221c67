"""Guarded programs, each a process with a ZooKeeper client and one ephemeral znode: many are played side by side.

`python -m tests.support.guarded` forks one for each line that it reads (JSON: the keywords of `Nursery.start`), since a
Python that starts by itself takes most of a second. A program says when its znode is there, and each WARNING of its
guardian, as lines of JSON on standard output; what it does then is one of `DEEDS`.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiozk import exc
from aiozk.states import States

from golea_async import AsyncElection, Guardian, TLSFiles, ZKClient

from .elections import eventually, is_there, soon, until_gone
from .wire import WireClient, expire_session

ROOT = Path(__file__).parents[2]

TIMEOUT = 10.0
"""Session timeout of the programs: it cannot end by itself in less than half of that."""
LATEST = TIMEOUT / 2


# ---------------------------------------------------------------------- the test's side


@dataclass
class Program:
    """One of the programs.

    :ivar path: its ephemeral znode.
    :ivar port: the server to which it is connected.
    :ivar warnings: what it was warned of.
    """

    name: str
    pid: int = 0
    path: str = ""
    port: int = 0
    warnings: list[str] = field(default_factory=list)
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    is_done: asyncio.Event = field(default_factory=asyncio.Event)
    """It has done its deed, and goes on living."""

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)


class Nursery:
    """Starts programs and hears of them."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._programs: dict[str, Program] = {}

    async def start(
        self, name: str, hosts: str, deed: str = "wait", *, timeout: float = TIMEOUT, **settings: Any
    ) -> Program:
        """Start a program, and return when it has its znode."""
        program = self._programs[name] = Program(name)
        order = {"name": name, "hosts": hosts, "deed": deed, "timeout": timeout, "settings": settings}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await soon(program.is_ready.wait())
        return program

    def tell(self, program: Program) -> None:
        """Have a program do its deed, also where process ids are others than here."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"tell": program.pid}).encode() + b"\n")

    def kill(self) -> None:
        """Kill the process that was started, but no program."""
        self._process.kill()

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            program = self._programs[said["name"]]
            match said["event"]:
                case "ready":
                    program.pid, program.path, program.port = said["pid"], said["path"], said["port"]
                    program.is_ready.set()
                case "warning":
                    program.warnings.append(said["text"])
                case "done":
                    program.is_done.set()


@asynccontextmanager
async def nursery(*prefix: str, **environment: str) -> AsyncIterator[Nursery]:
    """Start a nursery, by the command in ``prefix`` if there is one; at the end its programs are killed."""
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", "tests.support.guarded"),
        cwd=ROOT,
        env=os.environ | environment,
        stdin=PIPE,
        stdout=PIPE,
    )
    programs = Nursery(process)
    reading = asyncio.create_task(programs.read())
    try:
        yield programs
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await soon(process.wait())
        await reading


def proc(pid: int, name: str) -> str:
    """Return what a file of ``/proc`` says of a process."""
    return Path(f"/proc/{pid}/{name}").read_text()


def guardians_of(pid: int) -> list[int]:
    """Return the process ids of a program's guardians, in its own pid namespace."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError):
                script, *numbers = (entry / "cmdline").read_bytes().decode().split("\0")[3:5]
                if script.endswith("guardian_process.py") and numbers == [str(pid)]:
                    found.append(int(entry.name))
    return found


async def guarded(*programs: Program) -> list[int]:
    """Return the process ids of the programs' guardians, when they have been told of the sessions."""
    found: list[list[int]] = []

    def have_begun() -> bool:
        found[:] = [[each for each in guardians_of(program.pid) if has_left(each, program)] for program in programs]
        return all(len(guardians) == 1 for guardians in found)

    await eventually(have_begun)
    await asyncio.sleep(0.2)
    return [guardian for (guardian,) in found]


def has_left(guardian: int, program: Program) -> bool:
    """Whether it is no child of the program: that is the process that starts a guardian, and ends then."""
    with suppress(OSError):  # it has ended just now
        return proc(guardian, "stat").rpartition(")")[2].split()[1] != str(program.pid)
    return False


async def live(wire: WireClient, *programs: Program) -> None:
    """Check that all of the sessions are there."""
    for program in programs:
        assert await is_there(wire, program.path), program.name


async def closed_in_time(wire: WireClient, *programs: Program) -> None:
    """Wait until the sessions have ended, sooner than by themselves."""
    async with asyncio.timeout(LATEST):
        for program in programs:
            await until_gone(wire, program.path)


async def guardians_end(*programs: Program) -> None:
    """Wait until no guardian of the programs is left."""
    for program in programs:
        await eventually(lambda pid=program.pid: guardians_of(pid) == [])  # type: ignore[misc]


# ---------------------------------------------------------------------- the programs' side


def say(name: str, event: str, **more: Any) -> None:
    """Write one line at once."""
    os.write(1, json.dumps({"name": name, "event": event, **more}).encode() + b"\n")


class Say(logging.Handler):
    """Says what the guardian warns of."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.WARNING)
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        say(self._name, "warning", text=record.getMessage())


def segfault() -> None:
    ctypes.string_at(0)


def fail_in_a_thread() -> None:
    """As where an uncaught error of a thread ends the process: in C++, or with such a hook."""
    threading.excepthook = lambda *_: os.abort()
    threading.Thread(target=lambda: 1 // 0).start()
    time.sleep(60)


def end_the_main_thread() -> None:
    """The others go on: the process lives."""
    threading.Thread(target=time.sleep, args=(60,)).start()
    ctypes.CDLL(None).pthread_exit(None)


def exec_another(*, in_a_thread: bool) -> None:
    def become() -> None:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"])

    if in_a_thread:
        threading.Thread(target=become).start()
        time.sleep(60)
    become()


def close_descriptors() -> None:
    """Close all, and have other files take their numbers."""
    os.closerange(3, 100)
    for _ in range(30):
        os.open("/dev/null", os.O_RDWR)


def fork_children() -> None:
    """One outlives the program; three end before it."""
    context = multiprocessing.get_context("fork")
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    for _ in range(2):
        if (child := os.fork()) == 0:
            os._exit(0)
        os.waitpid(child, 0)
    process = context.Process(target=time.sleep, args=(0,))
    process.start()
    process.join()


async def reconnect(zk: ZKClient) -> None:
    zk.session.state.transition_to(States.SUSPENDED)
    await zk.exists("/")


async def lose_the_session(zk: ZKClient) -> None:
    former = zk.session.session_id
    await expire_session(zk.session.hosts[0].port, former, zk.session.password)
    while zk.session.session_id == former:  # a server that lags may go on answering
        with suppress(exc.ZKError):
            await zk.exists("/")


BEFORE: dict[str, Callable[[ZKClient], Awaitable[None]]] = {
    "reconnect": reconnect,
    "lose the session": lose_the_session,
}
"""What is done before the znode is made; then the program waits."""

DEEDS: dict[str, Callable[[], object]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "abort": os.abort,
    "segfault": segfault,
    "fail in a thread": fail_in_a_thread,
    "block": lambda: time.sleep(3.5),
    "close descriptors": close_descriptors,
    "end the main thread": end_the_main_thread,
    "exec": lambda: exec_another(in_a_thread=False),
    "exec in a thread": lambda: exec_another(in_a_thread=True),
    "fork": fork_children,
    "eat memory": lambda: bytearray(b"x") * (1 << 32),
}


async def program(name: str, hosts: str, deed: str, timeout: float, settings: dict[str, Any]) -> None:
    """Have a znode, and do the deed when told by SIGUSR1, or at once if it ends the program."""
    logging.getLogger("golea_async.guardian").addHandler(Say(name))
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    if settings.pop("default_sigpipe", False):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for number in settings.pop("closed", ()):
        os.close(number)
    files = settings.pop("tls", None)
    delay = settings.pop("delay", 0)
    resource = settings.pop("resource", None)
    sys.executable = settings.pop("interpreter", sys.executable)
    zk = ZKClient(
        hosts,
        session_timeout=timeout,
        guardian=Guardian(delay=delay),
        ssl=None if files is None else TLSFiles(*files),
        **settings,
    )
    await zk.start()
    if deed in BEFORE:
        await BEFORE[deed](zk)
    if resource is None:
        path = await zk.create(f"/guarded-{name}", ephemeral=True)
    else:
        await (election := AsyncElection(zk, resource, name)).start()
        path = election.status.candidate_id or ""
    assert zk.session.conn is not None
    say(name, "ready", pid=os.getpid(), path=f"{zk.chroot or ''}{path}", port=zk.session.conn.port)
    await told.wait()
    if deed in DEEDS:
        DEEDS[deed]()
    say(name, "done")
    if deed == "close descriptors":  # the event loop's, too
        time.sleep(60)  # noqa: ASYNC251
    await asyncio.sleep(60)


def main() -> None:
    """Fork programs until the input ends; then kill them and what they have forked."""
    signal.signal(signal.SIGCHLD, reap)
    children = []
    for line in sys.stdin:
        order = json.loads(line)
        if "tell" in order:
            os.kill(order["tell"], signal.SIGUSR1)
            continue
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            try:
                asyncio.run(program(**order))
            except BaseException:  # noqa: BLE001  # the process ends here
                traceback.print_exc()
            finally:
                os._exit(1)
        children.append(child)
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def reap(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
