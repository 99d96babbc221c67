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
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiozk.states import States

from golea_async import Guardian, TLSFiles, ZKClient

from .elections import soon
from .wire import expire_session

ROOT = Path(__file__).parents[2]


# ---------------------------------------------------------------------- the test's side


@dataclass
class Program:
    """One of the programs.

    :ivar path: its ephemeral znode.
    :ivar warnings: what it was warned of.
    """

    name: str
    pid: int = 0
    path: str = ""
    session_id: int = 0
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
        self, name: str, hosts: str, deed: str = "wait", *, timeout: float = 10, **settings: Any
    ) -> Program:
        """Start a program, and return when it has its znode."""
        program = self._programs[name] = Program(name)
        order = {"name": name, "hosts": hosts, "deed": deed, "timeout": timeout, "settings": settings}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await soon(program.is_ready.wait())
        return program

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            program = self._programs[said["name"]]
            match said["event"]:
                case "ready":
                    program.pid, program.path, program.session_id = said["pid"], said["path"], said["session"]
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


def guardians_of(pid: int) -> list[int]:
    """Return the process ids of a program's guardians."""
    return [found for found, command in _processes() if "guardian_process.py" in command and str(pid) in command[-3:-2]]


def all_guardians() -> list[int]:
    """Return the process ids of all guardians on the machine that stand beside a program."""
    return [found for found, command in _processes() if any(part.endswith("guardian_process.py") for part in command)]


def _processes() -> list[tuple[int, list[str]]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                names = [part.rpartition("/")[2] for part in command]
                found.append((int(entry.name), names))
    return found


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
    await expire_session(zk.session.hosts[0].port, zk.session.session_id, zk.session.password)
    with suppress(Exception):
        await zk.exists("/")
    await zk.exists("/")


BEFORE: dict[str, Callable[[ZKClient], Awaitable[None]]] = {
    "reconnect": reconnect,
    "lose the session": lose_the_session,
}
"""What is done before the znode is made; then the program waits."""

DEEDS: dict[str, Callable[[], object]] = {
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
    files = settings.pop("tls", None)
    delay = settings.pop("delay", 0)
    auth = [tuple(pair) for pair in settings.pop("auth", [])]
    zk = ZKClient(
        hosts,
        session_timeout=timeout,
        guardian=Guardian(delay=delay),
        ssl=None if files is None else TLSFiles(*files),
        auth=auth,
        **settings,
    )
    await zk.start()
    if deed in BEFORE:
        await BEFORE[deed](zk)
    path = await zk.create(f"/guarded-{name}", ephemeral=True)
    say(name, "ready", pid=os.getpid(), path=f"{zk.chroot}{path}", session=zk.session.session_id)
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
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            try:
                asyncio.run(program(**json.loads(line)))
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
