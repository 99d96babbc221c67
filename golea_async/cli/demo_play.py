"""The play of ``golea demo``: candidates, each a process, stand, lead, and are killed.

Leaders are killed with SIGKILL, or told to resign, in turn. Each has a guardian beside it, which closes the session of
a killed one at once. Half-way the ZooKeeper server to which the leader is connected is lost and started again, and the
leader goes on leading. Each time a leader is lost somebody else takes
over, and a new process takes its place. The candidates (:mod:`golea_async.cli.demo_candidate`) report whether they
believe to lead every 5 ms, and while one leads.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Self

from golea_async import ZKClient, create_election
from golea_async.testing import Ensemble, MemoryZooKeeper

from .demo_terms import PATIENCE, Chronicle

CANDIDATE_PROGRAM = "golea_async.cli.demo_candidate"
RESOURCE = "/demo"
PACE = 1.0  # how long a leader leads before something happens to it


# ---------------------------------------------------------------------- the ZooKeeper


@dataclass(frozen=True)
class StageServer:
    """One ZooKeeper server that can be lost and come back."""

    port: int
    lose: Callable[[], None]
    start: Callable[[], None]


@dataclass(frozen=True)
class Stage:
    """The ZooKeeper on which the candidates stand."""

    hosts: str
    session_timeout: float
    servers: Sequence[StageServer]
    loss: str  # what happens to a server that is lost
    guardian: bool  # whether candidates have one


@contextmanager
def memory_stage(*, guardian: bool) -> Iterator[Stage]:
    """Three ports of a ZooKeeper in this process, without Java."""
    with MemoryZooKeeper(3) as zookeeper:
        servers = [StageServer(server.port, server.stop, server.start) for server in zookeeper.servers]
        yield Stage(zookeeper.hosts, session_timeout=1.5, servers=servers, loss="stop", guardian=guardian)


@contextmanager
def ensemble_stage(*, guardian: bool) -> Iterator[Stage]:
    """Three real ZooKeeper servers."""
    # The death of ZooKeeper's own leader costs the ensemble about 0.5 s here, and a lease must outlast it.
    with Ensemble(3, tick=0.5) as ensemble:
        servers = [StageServer(server.port, server.kill, server.start) for server in ensemble.servers]
        yield Stage(ensemble.hosts, session_timeout=3.0, servers=servers, loss="kill -9", guardian=guardian)


# ---------------------------------------------------------------------- the candidates


class CandidateProcess:
    """A candidate in a process of its own, with a ZooKeeper client of its own."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, chronicle: Chronicle, readers: asyncio.TaskGroup
    ) -> None:
        self.name = name
        self._stands: asyncio.Event = asyncio.Event()
        self._process = process
        self._chronicle = chronicle
        self._leaving: str | None = None
        self._reports = readers.create_task(self._read_reports())

    @classmethod
    async def started(cls, name: str, stage: Stage, chronicle: Chronicle, readers: asyncio.TaskGroup) -> Self:
        """Start one. What it reports is read in ``readers``."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            CANDIDATE_PROGRAM,
            stage.hosts,
            RESOURCE,
            name,
            str(stage.session_timeout),
            "guardian" if stage.guardian else "no-guardian",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo, which then tells the candidates
        )
        return cls(name, process, chronicle, readers)

    async def until_it_stands(self) -> None:
        """Wait until it has said that it stands."""
        async with asyncio.timeout(PATIENCE):
            await self._stands.wait()

    async def kill(self) -> None:
        """SIGKILL."""
        self._leaving = "kill -9"
        self._process.kill()
        await self._ended()

    async def resign(self) -> None:
        """Have it resign and end; wait until it has."""
        self._leaving = "resigned"
        self._chronicle.states[self.name] = "is resigning"
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._ended()

    async def stop(self) -> None:
        """Leave nothing running."""
        if self._process.returncode is None:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        await self._process.wait()
        await asyncio.wait([self._reports])  # all that it wrote is read
        self._chronicle.end_term(self.name, self._leaving or "its process ended")
        self._chronicle.states[self.name] = self._leaving or "its process ended"

    async def _read_reports(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                report = json.loads(line)
            except ValueError:
                return  # cut short by SIGKILL
            if "leads" in report:
                if not report["leads"] and self._leaving:
                    self._chronicle.end_term(self.name, self._leaving)
                self._chronicle.sample(self.name, **report)
            else:
                self._read_status(report)

    def _read_status(self, report: dict[str, str | None]) -> None:
        if report["error"]:
            self._chronicle.say(f"{self.name} is {report['role']}: {report['error']}")
        elif report["following"]:
            self._chronicle.say(f"{self.name} ({report['candidate_id']}) follows {report['following']}")
            self._chronicle.states[self.name] = f"follows {report['following']}"
        if report["role"] in ("leader", "follower"):
            self._stands.set()


# ---------------------------------------------------------------------- the play


class Demo:
    """Starts candidates and makes them lose the leadership."""

    def __init__(self, stage: Stage, chronicle: Chronicle) -> None:
        self._stage = stage
        self._chronicle = chronicle
        self._candidates: dict[str, CandidateProcess] = {}
        self._numbers = count(1)

    async def play(self, candidates: int, rounds: int) -> None:
        """Play it all.

        :raises OSError: what is reported cannot be shown: the play is over.
        """
        await self._make_election()
        try:
            async with asyncio.TaskGroup() as self._readers:
                try:
                    await self._play(candidates, rounds)
                finally:
                    await asyncio.gather(*(candidate.stop() for candidate in self._candidates.values()))
        except* OSError as failed:
            raise failed.exceptions[0] from None

    async def _play(self, candidates: int, rounds: int) -> None:
        for _ in range(candidates):
            await self._add_candidate()
        for number in range(rounds):
            if number == rounds // 2:
                await self._restart_server()
            await self._change_leader(by_killing=number % 2 == 0)
        await self._chronicle.leader()
        await asyncio.sleep(PACE)
        await self._send_all_home()

    async def _make_election(self) -> None:
        async with ZKClient(self._stage.hosts, session_timeout=self._stage.session_timeout) as zk:
            await create_election(zk, RESOURCE)

    async def _add_candidate(self) -> None:
        name = f"candidate-{next(self._numbers)}"
        candidate = await CandidateProcess.started(name, self._stage, self._chronicle, self._readers)
        self._candidates[name] = candidate  # from now on it is stopped at the end, whatever happens
        await candidate.until_it_stands()

    async def _change_leader(self, *, by_killing: bool) -> None:
        await self._chronicle.leader()
        await asyncio.sleep(PACE)
        leader = self._candidates.pop(await self._chronicle.leader())
        if by_killing:
            self._chronicle.say(f"--- kill -9 of {leader.name}")
            await leader.kill()
        else:
            self._chronicle.say(f"--- {leader.name} is told to resign")
            await leader.resign()
        await self._add_candidate()
        await self._chronicle.leader()

    async def _restart_server(self) -> None:
        """Lose the ZooKeeper server to which the leader is connected, and start it again.

        The leader's client goes to another server within its lease, so leadership does not move.
        """
        await self._chronicle.leader()
        await asyncio.sleep(PACE)
        term = self._chronicle.leads_now(await self._chronicle.leader())
        number, server = next(
            (number, server)
            for number, server in enumerate(self._stage.servers, start=1)
            if term is not None and server.port == term.server
        )
        name = f"ZooKeeper server {number}"
        self._chronicle.say(f"--- {self._stage.loss} of {name}, to which the leader is connected")
        await asyncio.to_thread(server.lose)
        await asyncio.sleep(PACE)
        await asyncio.to_thread(server.start)
        self._chronicle.say(f"--- {name} is back")

    async def _send_all_home(self) -> None:
        self._chronicle.say("--- the end: all followers resign, then the leader")
        leader = await self._chronicle.leader()
        followers = [candidate for name, candidate in self._candidates.items() if name != leader]
        await asyncio.gather(*(follower.resign() for follower in followers))
        await self._candidates[leader].resign()
