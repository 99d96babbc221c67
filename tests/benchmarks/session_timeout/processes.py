"""Candidates in processes of their own, which say when they begin and cease to believe that they lead."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from golea_async import AsyncElection, ZKClient, create_election
from tests.support.proxy import Proxy

living: list[Process] = []
"""Those that would go on when something fails here."""

Main = Callable[[Callable[[str], None]], Awaitable[None]]


@dataclass
class Process:
    """A forked process, as its parent sees it."""

    pid: int
    pipe: int

    def said(self, word: str) -> float:
        """Wait until the process says this word, past others; return when it said so."""
        while True:
            spoken, at = self.line()
            if spoken == word:
                return at

    def line(self) -> tuple[str, float]:
        """Return the next thing that it says, and when it said so."""
        said = b""
        while not said.endswith(b"\n"):
            piece = os.read(self.pipe, 1)
            assert piece, "the process has died"
            said += piece
        spoken, at = said.decode().split()
        return spoken, float(at)

    def signal(self, number: signal.Signals) -> float:
        at = time.monotonic()
        os.kill(self.pid, number)
        return at

    def bury(self) -> None:
        living.remove(self)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pipe)


def fork(main: Main) -> Process:
    """Run a coroutine function in a new process; it is given what to say things with."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:

        def say(word: str) -> None:
            os.write(writing, f"{word} {time.monotonic()}\n".encode())

        try:
            asyncio.run(main(say))  # type: ignore[arg-type]
        finally:
            os._exit(1)
    os.close(writing)
    process = Process(pid, reading)
    living.append(process)
    return process


def bury_all() -> None:
    for process in (*living,):
        process.bury()


def candidate(hosts: str, resource: str, session_timeout: float, *, guardian: bool) -> Process:
    """Fork a candidate: it says `stands`, and then `leads` and `lost` in turn."""

    async def main(say: Callable[[str], None]) -> None:
        async with ZKClient(hosts, session_timeout=session_timeout, guardian=guardian) as zk:
            assert zk.session.timeout == session_timeout, "this is what was granted"
            await create_election(zk, resource)
            async with AsyncElection(zk, resource) as election:
                say("stands")
                while True:
                    leadership = await election.wait_for_leadership()
                    say("leads")
                    await leadership.wait_lost()
                    say("lost")

    return fork(main)


def proxies(hosts: str) -> tuple[Process, str]:
    """Fork a process that stands between a candidate and the servers; return it, and where the candidate connects.

    To stop it (SIGSTOP) cuts the candidate off: connections stay open, and nothing passes either way.
    """
    reading, writing = os.pipe()

    async def main(say: Callable[[str], None]) -> None:
        between = [Proxy(int(host.rpartition(":")[2]), frames=False) for host in hosts.split(",")]
        for proxy in between:
            await proxy.__aenter__()
        os.write(writing, ",".join(proxy.address for proxy in between).encode() + b"\n")
        say("serves")
        await asyncio.Event().wait()

    process = fork(main)
    process.said("serves")
    addresses = os.read(reading, 1000).decode().strip()
    os.close(reading)
    os.close(writing)
    return process, addresses
